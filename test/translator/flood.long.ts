import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flood } from './flood.ts';

test('a hundred thousand regions of code that is soon rewritten', (t) => {
  const { resident, table, machine } = flood(100_000);
  const mib = resident.map((bytes) => Math.round(bytes / 2 ** 20));
  t.diagnostic(`${machine.counts.installed} regions, table ${table.join(' ')}, resident MiB ${mib.join(' ')}`);
  assert.ok(machine.counts.installed > 80_000);
  assert.equal(table.at(-1), table[0]);
  assert.ok(mib[3]! - mib[0]! < 150, 'memory grows');
  assert.deepEqual(machine.busySlots, []);
});
