import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostileGuests } from './hostile.ts';

for (const bits of [64, 32] as const)
  test(`hostile PV guests: both tiers alike, and all invariants hold, ${bits} bits`, (t) => {
    const instructions = hostileGuests(bits, 0, 12);
    t.diagnostic(`${instructions} instructions`);
    assert.ok(instructions > 1_000_000, 'they end too soon');
  });
