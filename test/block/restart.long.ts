import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killed } from './restart.ts';

/** The first one leaves no time to get the next worker ready. */
for (const seed of [1, 2, 4])
  test(`ended in the middle of its work, 100 times (${seed})`, async (t) => {
    const { gaps, load } = await killed(100, seed, seed === 1 ? 0 : 200);
    const sorted = gaps.toSorted((x, y) => x - y);
    t.diagnostic(`${load.requests} requests; gap: median ${sorted[50]} ms, longest ${sorted[99]} ms`);
    assert.ok(load.requests > 1000);
  });
