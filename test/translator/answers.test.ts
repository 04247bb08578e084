// A part of the recorded cases; answers.long.ts has all of them.
import { answersInRegions } from './answers.ts';

answersInRegions('integer', 47, 0.85);
answersInRegions('sse', 47, 0.3);
