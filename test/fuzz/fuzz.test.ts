// Hostile guests call everything with anything: the host, its books and their victim stay as they are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzHost } from './host.ts';

test('100,000 hypercalls of hostile guests in 64-bit and 32-bit code', async (t) => {
  const fuzzed = await fuzzHost(100_000, 10_000, 1);
  t.diagnostic(JSON.stringify(fuzzed));
  assert.ok(fuzzed.calls >= 100_000);
  assert.ok(fuzzed.finished > 0, 'some fuzzers make all their calls');
  assert.ok(fuzzed.rounds > 1, 'the victim has looked at its memory meanwhile');
});
