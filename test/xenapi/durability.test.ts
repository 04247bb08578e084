import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killRounds } from './durability.ts';

test('what was acknowledged outlives SIGKILL, four times', async () => {
  const { changes } = await killRounds(4);
  assert.ok(changes > 10, `only ${changes} VMs were made`);
});
