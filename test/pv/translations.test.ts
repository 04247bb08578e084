import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchedBoot } from './translations.ts';

test('the TLB of a PV guest with one vCPU has what its page tables say: the kernel sets itself up', () => {
  assert.equal(watchedBoot(11_000, 50).turn, 11_000);
});
