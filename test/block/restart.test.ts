import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killed } from './restart.ts';

test('ended in the middle of its work, 12 times: nothing is lost, nothing is done twice, nobody is told', async (t) => {
  const { gaps, load } = await killed({ kills: 12, seed: 3, pauses: [150], busy: 0 });
  t.diagnostic(
    `${load.requests} requests, ${load.flushes} flushes; gaps in ms: ${gaps.map((g) => g.toFixed(0)).join(' ')}`,
  );
  assert.ok(load.requests > 100);
});
