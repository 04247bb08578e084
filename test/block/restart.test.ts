import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killed } from './restart.ts';

test('ended in the middle of its work, 12 times: nothing is lost, nothing is done twice, nobody is told', async (t) => {
  const { gaps, load } = await killed(12, 3, 150);
  const sorted = gaps.toSorted((x, y) => x - y);
  t.diagnostic(
    `${load.requests} requests, ${load.flushes} flushes; gaps in ms: ${sorted.map((g) => g.toFixed(0)).join(' ')}`,
  );
  assert.ok(load.requests > 100);
});
