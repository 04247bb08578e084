import { agrees } from './engine.cases.ts';

agrees('integer');
