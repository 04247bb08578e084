import { withShares } from './share.ts';

withShares('pv');
