import { withDisks } from './disk.ts';

withDisks('pv');
