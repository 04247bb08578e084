import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchedBoot } from './translations.ts';

test('the TLB of a PV guest with one vCPU has what its page tables say: a whole boot and its programs', () => {
  assert.match(watchedBoot(Infinity, 20).output, /tour: done/);
});
