import { answersInRegions } from './answers.ts';

answersInRegions('integer', 1, 0.85);
answersInRegions('sse', 1, 0.3);
answersInRegions('system', 1, 0);
