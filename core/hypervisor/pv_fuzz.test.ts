// Hostile PV guests: whatever they ask for, no page table is theirs to write, and no frame is anybody's without a reason.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PvFuzz } from '../../test/fuzz/pv.ts';

test('100,000 operations of hostile PV guests', () => {
  const fuzz = new PvFuzz(20260728);
  const out = fuzz.run(100_000, 100);
  assert.equal(out.broken, null);
  assert.equal(fuzz.end(), null);
  // They are neither deaf nor all refused, and operations do give way.
  assert.ok(out.succeeded > 30_000 && out.continued > 500 && out.abandoned > 5 && out.guests > 20, JSON.stringify(out));
});
