// SIGKILL in the middle of writes that nobody flushes, a hundred times each.
import { before, test } from 'node:test';
import { need } from '../../tools/apt.ts';
import { killed } from './kill.ts';

before(() => need('qemu-utils'));

for (const format of ['qcow2', 'vhd'] as const)
  for (const over of [true, false])
    test(`every answered write outlives its process: ${format}${over ? ' over another one' : ''}`, () =>
      killed(format, over, 100, 50));
