import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostileGuests } from './hostile.ts';

test('hostile PV guests: both tiers alike, and all invariants hold', (t) => {
  const instructions = hostileGuests(0, 12);
  t.diagnostic(`${instructions} instructions`);
  assert.ok(instructions > 1_000_000, 'they end too soon');
});
