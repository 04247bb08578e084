// `node --test test/xenapi/durability.long.ts`; KILLS and SEED in the environment make it a piece of the whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killRounds } from './durability.ts';

const KILLS = Number(process.env.KILLS ?? 100);
const SEED = Number(process.env.SEED ?? 4711);

test('what was acknowledged outlives SIGKILL, a hundred times', async (t) => {
  const { rounds, changes, operations } = await killRounds(KILLS, SEED);
  t.diagnostic(`${rounds} kills, ${changes} VMs, ${operations} operations on disks`);
  assert.ok(operations > KILLS, `only ${operations} operations on disks`);
});
