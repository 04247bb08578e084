import { agrees } from './engine.cases.ts';

agrees('system');
