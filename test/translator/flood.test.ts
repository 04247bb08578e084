import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flood, wide } from './flood.ts';

test('thousands of regions of code that is soon rewritten: their number and their memory are bounded', (t) => {
  const { resident, table, machine } = flood(6_000);
  const { installed, rejected, retired } = machine.counts;
  const mib = resident.map((bytes) => Math.round(bytes / 2 ** 20));
  t.diagnostic(`${installed} regions, ${rejected} rejected, table ${table.join(' ')}, resident MiB ${mib.join(' ')}`);
  assert.ok(installed > 5_000 && retired > 1_000_000);
  assert.ok(table.at(-1)! === table[1], 'the table grows');
  assert.ok(mib[3]! - mib[1]! < 100, 'memory grows');
  assert.deepEqual(machine.busySlots, [], 'slots are lost');
});

test('thousands of regions that stay: each takes little', (t) => {
  const { count, resident, machine } = wide();
  t.diagnostic(`${(resident / count / 1024).toFixed(1)} KiB a region`);
  assert.ok(machine.counts.installed > count * 0.95);
  assert.ok(resident < count * 40 * 1024);
  assert.deepEqual(machine.busySlots, [], 'slots are lost');
});
