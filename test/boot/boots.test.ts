import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { assertLevel, boots } from './boots.ts';

test('ten boots of the unikernel in one process: no frame and no memory is lost', async () => {
  const kernel = readFileSync(buildGuest('unikernel'));
  assertLevel(await boots({ kernel, cmdline: 'test=all', memory: 32 }, 10), 3, 8 << 20);
});
