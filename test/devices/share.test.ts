import { withShares } from './share.ts';

withShares('pvh');
