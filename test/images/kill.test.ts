// SIGKILL in the middle of writes that nobody flushes.
import { before, test } from 'node:test';
import { need } from '../../tools/apt.ts';
import { killed } from './kill.ts';

before(() => need('qemu-utils'));

test('every answered write outlives its process: qcow2 over another image', () => killed('qcow2', true, 4, 1));
test('every answered write outlives its process: qcow2', () => killed('qcow2', false, 2, 2));
test('every answered write outlives its process: VHD that differs from another one', () => killed('vhd', true, 2, 3));
