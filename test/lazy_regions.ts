// For tests with thousands of regions that run little: to optimize each where it is made (platform/core.ts) takes longer than to run it.
import { setFlagsFromString } from 'node:v8';
import '../platform/core.ts';

setFlagsFromString('--wasm-lazy-compilation');
