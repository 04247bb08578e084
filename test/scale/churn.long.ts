// Ten minutes of it: `npm run test:long`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNothingLeft, churn } from './churn.ts';

test('200 small guests and 5 Linux guests at once, at random for ten minutes: nothing is left behind', async (t) => {
  const result = await churn({ small: 200, linux: 5, rounds: 5, span: 120_000, seed: 1 });
  const { created, destroyed, paused, most, booted } = result;
  t.diagnostic(
    `${created} created, ${destroyed} destroyed, ${paused} times paused or let go on, ${booted} Linux guests on their console`,
  );
  t.diagnostic(
    result.held.map(({ heap, resident }) => `${heap >> 20}/${resident >> 20}`).join(' ') + ' MiB heap/resident',
  );
  assert.equal(destroyed, created);
  assert.deepEqual(most, { small: 200, linux: 5 });
  assertNothingLeft(result, { heap: 8 << 20, resident: 64 << 20 });
  assert.ok(booted > 0, 'some Linux guest has got to its console');
});
