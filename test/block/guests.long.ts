import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beside } from './guests.ts';

/** Issue 6: others keep their throughput within 20 %. */
const FLOOR = 0.8;

/** Short and many, in turn: what else the machine does falls upon both. */
const ROUNDS = 30;

const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);

test('twenty guests keep their throughput beside a hostile one', async (t) => {
  const { alone, beside: with_, each, steps, again } = await beside({ good: 20, hostile: 1, rounds: ROUNDS, span: 1000, seed: 1 }); // prettier-ignore
  const ratio = sum(with_) / sum(alone);
  const worst = Math.min(...each.map((n) => n.beside / n.alone));
  t.diagnostic(`${(sum(alone) * 100) / ROUNDS} requests a second alone, ${(sum(with_) * 100) / ROUNDS} beside it; ratio ${ratio.toFixed(2)}, of the worst guest ${worst.toFixed(2)}; ${steps} steps, begun again ${again} times`); // prettier-ignore
  assert.ok(ratio >= FLOOR, `they keep ${ratio.toFixed(2)} of it`);
  assert.ok(worst >= FLOOR - 0.1, `one keeps ${worst.toFixed(2)} of it`);
});
