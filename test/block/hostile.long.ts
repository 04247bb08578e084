import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostile } from './hostile.ts';

for (const seed of [1, 2, 3])
  test(`hostile front ends, a hundred thousand steps (${seed})`, async (t) => {
    const { closed, rounds } = await hostile(100_000, seed);
    t.diagnostic(`given up and begun again ${closed} times; the neighbour's ${rounds} rounds`);
    assert.ok(closed > 100 && rounds > 100);
  });
