// A short slice of churn.long.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNothingLeft, churn } from './churn.ts';

test('guests that come, pause and go at random leave nothing behind', async (t) => {
  const result = await churn({ small: 40, linux: 1, rounds: 3, span: 2000, seed: Date.now() & 0xffff });
  const { created, destroyed, paused, most } = result;
  t.diagnostic(
    `${created} created, ${destroyed} destroyed, ${paused} times paused or let go on; at most ${most.small}+${most.linux} at once`,
  );
  assert.ok(destroyed === created && created > 150, `${created}`);
  assert.deepEqual(most, { small: 40, linux: 1 });
  assertNothingLeft(result, { heap: 8 << 20 });
});
