import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beside } from './guests.ts';

test('a hostile guest with a disk harms itself alone: what others read is what they wrote', async (t) => {
  const {
    alone,
    beside: with_,
    steps,
    again,
  } = await beside({ good: 3, hostile: 1, rounds: 1, span: 1500, seed: 1, again: 3 });
  t.diagnostic(
    `${alone[0]! * 100} requests alone, ${with_[0]! * 100} beside it; ${steps} steps, begun again ${again} times`,
  );
  assert.ok(alone[0]! > 0 && with_[0]! > 0 && again >= 3);
});
