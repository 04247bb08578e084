// For tests with thousands of regions that run little: to compile each where it is made (bin/setup.cjs) takes longer than to run it.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--wasm-lazy-compilation');
