import { withDisplay } from './display.ts';

withDisplay('pv');
