import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bed, diskRecord, driveRecord, VM_RECORD } from '../testing.ts';
import { Schedules } from './snapshots.ts';
import { lastDue } from './schedule.ts';

const NULL = 'OpaqueRef:NULL';
const failed = (code: string) => ({ code });
const RECORD = { name_label: 's', name_description: '', enabled: true, type: 'snapshot', retained_snapshots: 2, frequency: 'daily', schedule: { hour: '3', min: '15' } }; // prettier-ignore

async function scheduled(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-vmss-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  const { call, xapi } = server;
  const vmss: string = await call('VMSS.create', RECORD);
  const vm: string = await call('VM.create', VM_RECORD);
  const sr: string = await call('pool.get_default_SR', xapi.pool.ref);
  await call('VBD.create', driveRecord(vm, await call('VDI.create', diskRecord(sr, 2 ** 20))));
  await call('VM.set_snapshot_schedule', vm, vmss);
  const messages = () => [...xapi.db.table('message').values()].filter((row) => row.text('cls') === 'VMSS').map((row) => row.text('name')); // prettier-ignore
  return { ...server, vmss, vm, folder, sr, messages };
}

test('snapshots at once: so many are kept, with their disks', async (t) => {
  const { call, xapi, vmss, vm, messages } = await scheduled(t);
  const { db } = xapi;
  const names: string[] = [];
  for (let i = 0; i < 4; i++) {
    assert.equal(await call('VMSS.snapshot_now', vmss), 'Snapshots of 1 machines');
    for (const ref of db.row('VM', vm).refs('snapshots')) names.push(ref);
  }
  const kept: string[] = await call('VM.get_snapshots', vm);
  assert.equal(kept.length, 2);
  assert.equal(new Set(names).size, 4);
  for (const ref of kept) {
    assert.equal(await call('VM.get_is_vmss_snapshot', ref), true);
    assert.equal(((await call('VM.get_VBDs', ref)) as string[]).length, 1);
  }
  const disks = [...db.table('VDI').values()].filter((vdi) => vdi.flag('is_a_snapshot'));
  assert.equal(disks.length, 2);
  assert.notEqual(await call('VMSS.get_last_run_time', vmss), '19700101T00:00:00Z');
  assert.deepEqual(messages(), Array(4).fill('VMSS_SNAPSHOT_SUCCEEDED'));
  // A snapshot that somebody has made by hand is his.
  const own: string = await call('VM.snapshot', vm, 'mine', []);
  await call('VMSS.snapshot_now', vmss);
  assert.ok(((await call('VM.get_snapshots', vm)) as string[]).includes(own));
  await call('VM.set_blocked_operations', vm, { snapshot: 'not now' });
  await assert.rejects(call('VMSS.snapshot_now', vmss), failed('OPERATION_PARTIALLY_FAILED'));
  assert.equal(messages().at(-1), 'VMSS_SNAPSHOT_FAILED');
});

test('snapshots by the clock', async (t) => {
  const { call, xapi, vmss, vm, messages } = await scheduled(t);
  const count = () => xapi.db.row('VM', vm).refs('snapshots').length;
  const at = (...parts: [number, number, number, number]) => new Date(2026, 10, ...parts);
  // A Thursday.
  const schedules = new Schedules(xapi, at(26, 3, 0, 0));
  await schedules.check(at(26, 3, 14, 50));
  assert.equal(count(), 0);
  await schedules.check(at(26, 3, 15, 20));
  assert.equal(count(), 1);
  await schedules.check(at(26, 3, 15, 50));
  await schedules.check(at(26, 23, 0, 0));
  assert.equal(count(), 1);
  await call('VMSS.set_enabled', vmss, false);
  await schedules.check(at(27, 4, 0, 0));
  assert.equal(count(), 1);
  await call('VMSS.set_enabled', vmss, true);
  await schedules.check(at(28, 3, 15, 0));
  assert.equal(count(), 2);
  // A host that did not run at the time says so.
  await call('VMSS.set_last_run_time', vmss, '20261120T03:15:00Z');
  void new Schedules(xapi, at(29, 12, 0, 0));
  assert.equal(messages().at(-1), 'VMSS_SNAPSHOT_MISSED_EVENT');

  const row = xapi.db.row('VMSS', vmss);
  const due = (...parts: [number, number, number, number]) => lastDue(row, at(...parts)).getTime();
  await call('VMSS.set_frequency', vmss, 'weekly');
  await call('VMSS.set_schedule', vmss, { days: 'Monday,Friday', hour: '22', min: '30' });
  assert.equal(due(26, 0, 0, 0), at(23, 22, 30, 0).getTime());
  assert.equal(due(27, 22, 30, 0), at(27, 22, 30, 0).getTime());
  assert.equal(due(27, 22, 29, 0), at(23, 22, 30, 0).getTime());
  await call('VMSS.set_frequency', vmss, 'hourly');
  assert.deepEqual({ ...row.map('schedule') }, { min: '30' });
  assert.equal(due(26, 5, 29, 0), at(26, 4, 30, 0).getTime());
  assert.equal(due(26, 0, 10, 0), at(25, 23, 30, 0).getTime());
});

test('what a schedule may be', async (t) => {
  const { call, xapi, vmss, vm } = await scheduled(t);
  const row = xapi.db.row('VMSS', vmss);
  const make = (rest: object) => call('VMSS.create', { ...RECORD, ...rest });
  for (const rest of [{ retained_snapshots: 0 }, { retained_snapshots: 11 }, { schedule: { min: '5' } }, { schedule: { hour: '24' } }, { schedule: { days: 'Monday' } }, { frequency: 'weekly', schedule: { days: 'Someday' } }, { schedule: { x: '1' } }]) // prettier-ignore
    await assert.rejects(make(rest), failed('INVALID_VALUE'), JSON.stringify(rest));
  for (const type of ['checkpoint', 'snapshot_with_quiesce']) {
    await assert.rejects(make({ type }), failed('LICENCE_RESTRICTION'));
    await assert.rejects(call('VMSS.set_type', vmss, type), failed('LICENCE_RESTRICTION'));
  }
  xapi.db.set(row, { type: 'checkpoint' });
  await call('VMSS.set_type', vmss, 'snapshot');
  assert.equal(row.text('type'), 'snapshot');
  await call('VMSS.set_retained_snapshots', vmss, 5);
  assert.equal(row.number('retained_snapshots'), 5);
  await assert.rejects(call('VMSS.set_retained_snapshots', vmss, 0), failed('INVALID_VALUE'));
  await call('VMSS.remove_from_schedule', vmss, 'hour');
  assert.deepEqual({ ...row.map('schedule') }, { min: '15' });
  await call('VMSS.add_to_schedule', vmss, 'hour', '23');
  assert.deepEqual({ ...row.map('schedule') }, { min: '15', hour: '23' });
  await assert.rejects(call('VMSS.add_to_schedule', vmss, 'hour', '2'), failed('MAP_DUPLICATE_KEY'));
  await assert.rejects(call('VMSS.add_to_schedule', vmss, 'min', '7'), failed('INVALID_VALUE'));
  await assert.rejects(call('VMSS.destroy', vmss), failed('VMSS_HAS_VM'));
  await call('VM.set_snapshot_schedule', vm, NULL);
  await assert.rejects(call('VMSS.snapshot_now', vmss), failed('OPERATION_NOT_ALLOWED'));
  await call('VMSS.destroy', vmss);
  assert.equal(xapi.db.table('VMSS').size, 0);
});

test('pruned snapshots leave no files', async (t) => {
  const { call, vmss, xapi, folder } = await scheduled(t);
  await call('VMSS.set_retained_snapshots', vmss, 1);
  for (let i = 0; i < 3; i++) await call('VMSS.snapshot_now', vmss);
  await xapi.storage.close();
  const files = readdirSync(folder, { recursive: true }).filter((name) => /\.(qcow2|vhd|raw)$/.test(String(name)));
  const known = [...xapi.db.table('VDI').values()].map((vdi) => vdi.uuid);
  for (const file of files)
    assert.ok(
      known.some((uuid) => String(file).includes(uuid)),
      String(file),
    );
});
