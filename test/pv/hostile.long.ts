import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostileGuests } from './hostile.ts';

test('a thousand hostile PV guests', (t) => {
  const instructions = hostileGuests(12, 1000);
  t.diagnostic(`${instructions} instructions`);
  assert.ok(instructions > 100_000_000, 'they end too soon');
});
