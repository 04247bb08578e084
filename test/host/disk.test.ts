import { withDisks } from './disk.ts';

withDisks('pvh');
