import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killedHosts } from './kill.ts';

const ROUNDS = 50;

test(`${ROUNDS} hosts killed in the middle of a guest's writes to raw, qcow2 and VHD disks: nothing that was safe is lost`, async (t) => {
  const safe = await killedHosts(ROUNDS, 4711);
  t.diagnostic(JSON.stringify(safe));
  for (const [format, { records, files }] of Object.entries(safe)) {
    assert.ok(records > ROUNDS, `${format}: the guest wrote only ${records} records`);
    assert.ok(files > 0, `${format}: the guest made no file`);
  }
});
