import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostile } from './hostile.ts';

test('hostile front ends harm themselves alone', async (t) => {
  const { closed, rounds } = await hostile(1500, 11);
  t.diagnostic(`given up and begun again ${closed} times; the neighbour's ${rounds} rounds`);
  assert.ok(closed > 5 && rounds > 20);
});
