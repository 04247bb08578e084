import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { create_image, open_image } from '../../../services/block/image/open.ts';
import { bed, diskRecord as disk, driveRecord as drive, VM_RECORD, type Bed } from '../testing.ts';

const MIB = 2 ** 20;
const NULL = 'OpaqueRef:NULL';

interface Stored extends Bed {
  folder: string;
  sr: string;
}

async function stored(t: TestContext): Promise<Stored> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-sr-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  return {
    ...server,
    folder,
    sr: await server.call('pool.get_default_SR', ((await server.call('pool.get_all')) as string[])[0]),
  };
}

const failed = (code: string) => ({ code });

/** The image that a VDI is. */
function pathOf({ xapi }: Bed, vdi: string): string {
  return xapi.storage.image(xapi.db.row('VDI', vdi)).path;
}

async function write(path: string, text: string): Promise<void> {
  const image = await open_image(path, { format: 'qcow2' });
  await image.write(0, [Buffer.alloc(512, text)]);
  await image.close();
}
async function read(path: string): Promise<string> {
  const image = await open_image(path, { format: 'qcow2', readonly: true });
  const bytes = Buffer.alloc(512);
  await image.read(0, [bytes]);
  await image.close();
  return bytes.toString().slice(0, 1);
}

test('a disk is an image, from its making to its end', async (t) => {
  const server = await stored(t);
  const { call, sr, xapi } = server;
  const vdi: string = await call('VDI.create', disk(sr, 8 * MIB + 1));
  const path = pathOf(server, vdi);
  const image = await open_image(path, { format: 'qcow2', readonly: true });
  assert.equal(image.size, 8 * MIB + 512);
  await image.close();
  assert.equal(await call('VDI.get_virtual_size', vdi), 8 * MIB + 512);
  assert.equal(await call('SR.get_virtual_allocation', sr), 8 * MIB + 512);
  assert.ok(xapi.db.row('SR', sr).number('physical_size') > 0);
  await assert.rejects(call('VDI.resize', vdi, MIB), failed('VDI_TOO_SMALL'));
  await call('VDI.resize', vdi, 16 * MIB);
  assert.equal(await call('VDI.get_virtual_size', vdi), 16 * MIB);
  await call('VDI.destroy', vdi);
  assert.equal(existsSync(path), false);
  assert.equal(await call('SR.get_virtual_allocation', sr), 0);
  for (const size of [0, -1, 2 ** 50])
    await assert.rejects(call('VDI.create', disk(sr, size)), failed('SR_BACKEND_FAILURE_79'));
  const raw: string = await call('VDI.create', disk(sr, MIB, { sm_config: { 'image-format': 'raw' } }));
  assert.equal(statSync(pathOf(server, raw)).size, MIB);
  await assert.rejects(
    call('VDI.create', disk(sr, MIB, { sm_config: { 'image-format': 'exe' } })),
    failed('VALUE_NOT_SUPPORTED'),
  );
});

test('copies have the contents and a life of their own', async (t) => {
  const server = await stored(t);
  const { call, sr, xapi } = server;
  const vdi: string = await call('VDI.create', disk(sr));
  await write(pathOf(server, vdi), 'a');
  const clone: string = await call('VDI.clone', vdi);
  const frozen: string = await call('VDI.snapshot', vdi);
  await write(pathOf(server, vdi), 'b');
  assert.deepEqual(
    [await read(pathOf(server, clone)), await read(pathOf(server, frozen)), await read(pathOf(server, vdi))],
    ['a', 'a', 'b'],
  );
  assert.deepEqual(xapi.db.row('VDI', vdi).refs('snapshots'), [frozen]);
  assert.equal(await call('VDI.get_is_a_snapshot', frozen), true);
  await call('VDI.destroy', vdi);
  assert.equal(await call('VDI.get_snapshot_of', frozen), NULL);
  assert.equal(await read(pathOf(server, clone)), 'a');
});

test('a running VM has its disks, and nobody takes them', async (t) => {
  const server = await stored(t);
  const { call, simulator, sr, xapi } = server;
  const vm: string = await call('VM.create', VM_RECORD);
  const vdi: string = await call('VDI.create', disk(sr));
  const vbd: string = await call('VBD.create', drive(vm, vdi));
  const cd: string = await call('VBD.create', drive(vm, NULL, { type: 'CD', mode: 'RO', userdevice: '3' }));
  await call('VM.start', vm, false, false);
  const { uuid } = xapi.db.row('VM', vm);
  assert.deepEqual(simulator.devices(uuid).disks, [0, 3]);
  assert.deepEqual([await call('VBD.get_device', vbd), await call('VBD.get_currently_attached', vbd)], ['xvda', true]);
  await assert.rejects(call('VDI.destroy', vdi), failed('VDI_IN_USE'));
  await assert.rejects(call('VDI.copy', vdi, sr), failed('VDI_IN_USE'));
  const [pbd]: string[] = await call('SR.get_PBDs', sr);
  await assert.rejects(call('PBD.unplug', pbd), failed('VDI_IN_USE'));
  // Another VM cannot have it for writing at the same time.
  const other: string = await call('VM.create', VM_RECORD);
  const second: string = await call('VBD.create', drive(other, vdi));
  await assert.rejects(call('VM.start', other, false, false), failed('VDI_IN_USE'));
  await assert.rejects(call('VBD.assert_attachable', second), failed('VDI_IN_USE'));
  // Hot plug, and discs.
  const more: string = await call('VBD.create', drive(vm, await call('VDI.create', disk(sr))));
  await call('VBD.plug', more);
  assert.deepEqual(simulator.devices(uuid).disks, [0, 3, 1]);
  await assert.rejects(call('VBD.plug', more), failed('DEVICE_ALREADY_ATTACHED'));
  await call('VBD.unplug', more);
  await assert.rejects(call('VBD.unplug', more), failed('DEVICE_ALREADY_DETACHED'));
  assert.deepEqual(simulator.devices(uuid).disks, [0, 3]);
  await assert.rejects(call('VBD.eject', cd), failed('VBD_IS_EMPTY'));
  await assert.rejects(call('VBD.insert', vbd, vdi), failed('VBD_NOT_REMOVABLE_MEDIA'));
  await call('VM.hard_shutdown', vm);
  await call('VDI.destroy', vdi);
  assert.deepEqual(xapi.db.row('VM', vm).refs('VBDs').includes(vbd), false);
});

test('a VM is cloned, frozen and taken back with its disks', async (t) => {
  const server = await stored(t);
  const { call, sr, xapi } = server;
  const vm: string = await call('VM.create', VM_RECORD);
  const vdi: string = await call('VDI.create', disk(sr));
  await call('VBD.create', drive(vm, vdi));
  await write(pathOf(server, vdi), '1');
  const diskOf = (ref: string) => xapi.db.row('VBD', xapi.db.row('VM', ref).refs('VBDs')[0]).text('VDI');
  const frozen: string = await call('VM.snapshot', vm, 'before');
  await write(pathOf(server, vdi), '2');
  await call('VM.set_memory_static_max', vm, 2 ** 30);
  const clone: string = await call('VM.clone', vm, 'clone');
  assert.equal(await read(pathOf(server, diskOf(clone))), '2');
  await call('VM.revert', frozen);
  assert.equal(await read(pathOf(server, diskOf(vm))), '1');
  assert.equal(xapi.db.find('VDI', vdi), undefined);
  assert.equal(await call('VM.get_memory_static_max', vm), VM_RECORD.memory_static_max);
  assert.equal(await call('VM.get_name_label', vm), VM_RECORD.name_label);
  await call('VM.start', vm, false, false);
  assert.equal(await call('VM.get_power_state', vm), 'Running');
});

test('a template makes its disks', async (t) => {
  const { call, xapi, sr } = await stored(t);
  const disks = `<provision><disk device="0" size="${4 * MIB}" sr="" bootable="true" type="system"/></provision>`;
  const vm: string = await call('VM.create', { ...VM_RECORD, is_a_template: true, other_config: { disks } });
  await call('VM.provision', vm);
  const vbd = xapi.db.row('VBD', xapi.db.row('VM', vm).refs('VBDs')[0]);
  const vdi = xapi.db.row('VDI', vbd.text('VDI'));
  assert.deepEqual([vdi.text('SR'), vdi.number('virtual_size'), vbd.flag('bootable')], [sr, 4 * MIB, true]);
  for (const bad of ['<x', '<disk size="x" device="0"/>', '<!DOCTYPE a><disk/>']) {
    const other: string = await call('VM.create', { ...VM_RECORD, is_a_template: true, other_config: { disks: bad } });
    await assert.rejects(call('VM.provision', other), failed('PROVISION_FAILED_XML'));
  }
});

test('folders of discs and of images that were there before', async (t) => {
  const { call, folder, xapi } = await stored(t);
  const at = join(folder, 'discs');
  const host = xapi.hostRef;
  const create = (type: string, location: string) =>
    call('SR.create', host, { location }, 0, 'n', '', type, 'iso', false) as Promise<string>;
  const sr = await create('iso', 'discs');
  assert.deepEqual(await call('SR.get_VDIs', sr), []);
  writeFileSync(join(at, 'debian.iso'), Buffer.alloc(4096));
  writeFileSync(join(at, 'notes.txt'), 'x');
  await call('SR.scan', sr);
  const [vdi]: string[] = await call('SR.get_VDIs', sr);
  assert.deepEqual([await call('VDI.get_name_label', vdi), await call('VDI.get_read_only', vdi)], ['debian.iso', true]);
  const vm: string = await call('VM.create', VM_RECORD);
  const cd: string = await call('VBD.create', drive(vm, NULL, { type: 'CD', mode: 'RO' }));
  await call('VBD.insert', cd, vdi);
  await assert.rejects(call('VBD.insert', cd, vdi), failed('VBD_NOT_EMPTY'));
  assert.deepEqual([await call('VBD.get_VDI', cd), await call('VBD.get_empty', cd)], [vdi, false]);
  await call('VBD.eject', cd);
  await assert.rejects(call('VDI.destroy', vdi), failed('SR_OPERATION_NOT_SUPPORTED'));
  rmSync(join(at, 'debian.iso'));
  await call('SR.scan', sr);
  assert.equal(await call('VDI.get_missing', vdi), true);
  for (const location of ['/etc', '../x', `${folder}/../y`, 'a/../..'])
    await assert.rejects(create('iso', location), failed('SR_BACKEND_FAILURE_90'), location);
  await assert.rejects(create('nfs', 'x'), failed('SR_UNKNOWN_DRIVER'));
  const images = await create('file', 'images');
  const name = '6f1c1f3e-0000-4000-8000-000000000001';
  await create_image(join(folder, 'images', `${name}.qcow2`), { format: 'qcow2', size: MIB });
  writeFileSync(join(folder, 'images', '6f1c1f3e-0000-4000-8000-000000000002.qcow2'), 'no image');
  await call('SR.scan', images);
  assert.deepEqual(await call('SR.get_VDIs', images), [await call('VDI.get_by_uuid', name)]);
});

test('an SR is disconnected, forgotten, introduced and destroyed', async (t) => {
  const { call, folder, sr, xapi } = await stored(t);
  const vdi: string = await call('VDI.create', disk(sr));
  const uuid: string = await call('SR.get_uuid', sr);
  const [pbd]: string[] = await call('SR.get_PBDs', sr);
  await assert.rejects(call('SR.forget', sr), failed('SR_HAS_PBD'));
  await call('PBD.unplug', pbd);
  await assert.rejects(call('VDI.create', disk(sr)), failed('SR_NOT_ATTACHED'));
  await assert.rejects(call('SR.destroy', sr), failed('SR_NOT_EMPTY'));
  const name: string = await call('VDI.get_uuid', vdi);
  await call('SR.forget', sr);
  assert.equal(xapi.db.table('VDI').size, 0);
  const again: string = await call('SR.introduce', uuid, 'again', '', 'file', 'user', false);
  await assert.rejects(call('SR.scan', again), failed('SR_HAS_NO_PBDS'));
  const back: string = await call('PBD.create', { host: xapi.hostRef, SR: again, device_config: {}, other_config: {} });
  await call('PBD.plug', back);
  // The disks are there again, by the same names.
  await call('VDI.destroy', await call('VDI.get_by_uuid', name));
  await call('PBD.unplug', back);
  await call('SR.destroy', again);
  assert.deepEqual(readdirSync(folder), []);
});

test('of two that want a disk at the same moment one gets it', async (t) => {
  const server = await stored(t);
  const { call, sr, xapi } = server;
  const vdi: string = await call('VDI.create', disk(sr));
  const vms: string[] = [await call('VM.create', VM_RECORD), await call('VM.create', VM_RECORD)];
  for (const vm of vms) await call('VBD.create', drive(vm, vdi));
  const started = await Promise.allSettled(vms.map((vm) => call('VM.start', vm, false, false)));
  assert.deepEqual(started.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  const lost = started.findIndex(({ status }) => status === 'rejected');
  assert.equal((started[lost] as PromiseRejectedResult).reason.code, 'VDI_IN_USE');
  assert.equal(await call('VM.get_power_state', vms[lost]), 'Halted');
  const [vbd] = xapi.db.row('VM', vms[lost]).refs('VBDs');
  assert.equal(await call('VBD.get_currently_attached', vbd), false);
  await call('VM.hard_shutdown', vms[1 - lost]);
  // While it is copied nobody starts with it.
  const both = await Promise.allSettled([
    call('VDI.clone', vdi),
    call('VM.start', vms[0], false, false),
    call('VDI.destroy', vdi),
  ]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected'],
  );
  await call('VM.start', vms[0], false, false);
});
