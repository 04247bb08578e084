import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostileGuests } from './hostile.ts';

for (const bits of [64, 32] as const)
  test(`a thousand hostile PV guests of ${bits} bits`, (t) => {
    const instructions = hostileGuests(bits, 12, 1000);
    t.diagnostic(`${instructions} instructions`);
    assert.ok(instructions > 100_000_000, 'they end too soon');
  });
