import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bed, diskRecord, driveRecord, VM_RECORD } from '../testing.ts';

const MIB = 2 ** 20;
const failed = (code: string) => ({ code });

test('what disks and storage are called, and may be', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-settings-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { call, xapi, simulator } = await bed(t, { storage: folder });
  const { db } = xapi;
  const sr: string = await call('pool.get_default_SR', xapi.pool.ref);
  assert.deepEqual(await call('SR.get_supported_types'), ['file', 'ext', 'iso']);
  await call('SR.set_name_label', sr, 'mine');
  await call('SR.set_name_description', sr, 'about it');
  assert.deepEqual([db.row('SR', sr).text('name_label'), db.row('SR', sr).text('name_description')], ['mine', 'about it']); // prettier-ignore
  const vdi: string = await call('VDI.create', diskRecord(sr, MIB, { sm_config: { 'image-format': 'raw' } }));
  const row = db.row('VDI', vdi);
  await call('VDI.set_name_label', vdi, 'disk');
  await call('VDI.set_name_description', vdi, 'about');
  await call('VDI.set_sharable', vdi, true);
  assert.deepEqual([row.text('name_label'), row.text('name_description'), row.flag('sharable')], ['disk', 'about', true]); // prettier-ignore
  await call('VDI.set_sharable', vdi, false);
  db.set(row, { allow_caching: true });
  await call('VDI.set_allow_caching', vdi, false);
  assert.equal(row.flag('allow_caching'), false);
  await assert.rejects(call('VDI.set_allow_caching', vdi, true), failed('SR_OPERATION_NOT_SUPPORTED'));

  // What has been written since is seen when somebody asks.
  const used = () => [row.number('physical_utilisation'), db.row('SR', sr).number('virtual_allocation')];
  db.set(row, { physical_utilisation: 7 });
  db.set(db.row('SR', sr), { virtual_allocation: 7 });
  await call('SR.update', sr);
  const measured = used();
  assert.equal(measured[1], MIB);
  db.set(db.row('SR', sr), { virtual_allocation: 7 });
  await call('VDI.update', vdi);
  assert.deepEqual(used(), measured);

  const vm: string = await call('VM.create', VM_RECORD);
  const vbd: string = await call('VBD.create', driveRecord(vm, vdi));
  await call('VBD.set_mode', vbd, 'RO');
  assert.equal(await call('VBD.get_mode', vbd), 'RO');
  await call('VBD.set_mode', vbd, 'RW');
  await call('VDI.set_read_only', vdi, true);
  await assert.rejects(call('VM.start', vm, false, false), failed('VDI_READONLY'));
  await call('VDI.set_read_only', vdi, false);
  await call('VM.start', vm, false, false);
  for (const [method, ...params] of [['VBD.set_mode', vbd, 'RO'], ['VBD.destroy', vbd], ['VDI.set_read_only', vdi, true], ['VDI.forget', vdi]]) // prettier-ignore
    await assert.rejects(call(method as string, ...params), /DEVICE_ALREADY_ATTACHED|OPERATION_NOT_ALLOWED|VDI_IN_USE/, String(method)); // prettier-ignore
  assert.deepEqual(simulator.devices(db.row('VM', vm).uuid).disks, [0]);
  await call('VM.hard_shutdown', vm);
  await call('VBD.destroy', vbd);
  assert.deepEqual([db.find('VBD', vbd), await call('VM.get_VBDs', vm)], [undefined, []]);

  // The record goes, the image stays, and the next look finds it again.
  const path = join(xapi.storage.folder(db.row('SR', sr)), row.text('location'));
  await call('VDI.forget', vdi);
  assert.deepEqual([db.find('VDI', vdi), existsSync(path)], [undefined, true]);
  truncateSync(path, MIB);
  await call('SR.scan', sr);
  assert.equal(db.row('SR', sr).refs('VDIs').length, 1);
});

test('where storage is connected to', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-pbd-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { call, xapi } = await bed(t, { storage: folder });
  const sr: string = await call('SR.create', xapi.hostRef, { location: 'a' }, 0, 's', '', 'file', 'user', false);
  const other: string = await call('SR.create', xapi.hostRef, { location: 'b' }, 0, 't', '', 'file', 'user', false);
  await call('VDI.create', diskRecord(other, MIB));
  await call('SR.forget', other).then(assert.fail, () => {});
  const [pbd]: string[] = await call('SR.get_PBDs', sr);
  await assert.rejects(call('PBD.set_device_config', pbd, { location: 'b' }), failed('OPERATION_NOT_ALLOWED'));
  await assert.rejects(call('PBD.destroy', pbd), failed('OPERATION_NOT_ALLOWED'));
  await call('PBD.unplug', pbd);
  await assert.rejects(call('PBD.set_device_config', pbd, { location: '../x' }), failed('SR_BACKEND_FAILURE_90'));
  const [theirs]: string[] = await call('SR.get_PBDs', other);
  await call('PBD.unplug', theirs);
  await call('SR.forget', other);
  await call('PBD.set_device_config', pbd, { location: 'b' });
  await call('PBD.plug', pbd);
  // It has what lies in the other folder now.
  assert.equal(((await call('SR.get_VDIs', sr)) as string[]).length, 1);
  await call('PBD.unplug', pbd);
  await call('PBD.destroy', pbd);
  assert.deepEqual([xapi.db.find('PBD', pbd), await call('SR.get_PBDs', sr)], [undefined, []]);
});
