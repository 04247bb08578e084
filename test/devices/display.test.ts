import { withDisplay } from './display.ts';

withDisplay('pvh');
