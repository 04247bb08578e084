import { agrees } from './engine.cases.ts';

agrees('x87');
