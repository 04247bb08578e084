import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Row } from '../database/row.ts';
import { bed, diskRecord, driveRecord, VM_RECORD, type Bed } from '../testing.ts';

const MIB = 2 ** 20;
const NULL = 'OpaqueRef:NULL';
const failed = (code: string) => ({ code });

async function made({ call, xapi }: Bed, rest: object = {}): Promise<Row> {
  return xapi.db.row('VM', await call('VM.create', { ...VM_RECORD, ...rest }));
}

const memory = (vm: Row): number[] =>
  ['static_min', 'dynamic_min', 'dynamic_max', 'static_max'].map((name) => vm.number(`memory_${name}`) / MIB);

test('bounds of memory, one by one and together', async (t) => {
  const server = await bed(t);
  const { call, simulator } = server;
  const vm = await made(server);
  assert.deepEqual(memory(vm), [0, 256, 256, 256]);
  await call('VM.set_memory_dynamic_min', vm.ref, 64 * MIB);
  await call('VM.set_memory_static_min', vm.ref, 32 * MIB);
  assert.deepEqual(memory(vm), [32, 64, 256, 256]);
  await call('VM.set_memory_static_range', vm.ref, 16 * MIB, 512 * MIB);
  assert.deepEqual(memory(vm), [16, 64, 256, 512]);
  await assert.rejects(call('VM.set_memory_dynamic_min', vm.ref, 1024 * MIB), failed('MEMORY_CONSTRAINT_VIOLATION'));
  await call('VM.start', vm.ref, false, false);
  await assert.rejects(call('VM.set_memory', vm.ref, 128 * MIB), failed('VM_BAD_POWER_STATE'));
  await call('VM.set_memory_target_live', vm.ref, 128 * MIB);
  assert.deepEqual([simulator.memoryOf(vm.uuid), vm.number('memory_target')], [128 * MIB, 128 * MIB]);
  await call('VM.hard_shutdown', vm.ref);
  await call('VM.set_memory', vm.ref, 128 * MIB);
  assert.deepEqual(memory(vm), [0, 128, 128, 128]);
  const overhead: number = await call('VM.compute_memory_overhead', vm.ref);
  await call('VM.set_VCPUs_max', vm.ref, 4);
  await call('VM.set_VCPUs_at_startup', vm.ref, 3);
  assert.deepEqual([vm.number('VCPUs_max'), vm.number('VCPUs_at_startup')], [4, 3]);
  const more: number = await call('VM.compute_memory_overhead', vm.ref);
  assert.ok(more > overhead && overhead > 0, 'each vCPU takes some');
  assert.equal(await call('VM.maximise_memory', vm.ref, 1024 * MIB, true), 1024 * MIB - more);
});

test('where and how much vCPUs run, at once and at the next start', async (t) => {
  const server = await bed(t, { cpus: 4 });
  const { call, simulator } = server;
  const vm = await made(server, { VCPUs_params: { weight: '512', note: 'mine' } });
  const add = (key: string, value: string) => call('VM.add_to_VCPUs_params_live', vm.ref, key, value);
  await assert.rejects(add('weight', '100'), failed('VM_BAD_POWER_STATE'));
  await call('VM.start', vm.ref, false, false);
  assert.deepEqual(simulator.scheduleOf(vm.uuid), { weight: 512 });
  await add('mask', '0,2');
  await add('cap', '50');
  assert.deepEqual(simulator.scheduleOf(vm.uuid), { weight: 512, mask: [0, 2], cap: 50 });
  assert.deepEqual({ ...vm.map('VCPUs_params') }, { weight: '512', note: 'mine', mask: '0,2', cap: '50' });
  for (const [key, value] of [['mask', '4'], ['mask', 'x'], ['weight', '0'], ['cap', '-1'], ['other', '1']]) await assert.rejects(add(key, value), failed('INVALID_VALUE'), key); // prettier-ignore
  await call('VM.hard_reboot', vm.ref);
  assert.deepEqual(simulator.scheduleOf(vm.uuid), { weight: 512, mask: [0, 2], cap: 50 });
});

test('what a machine is, and what follows what', async (t) => {
  const server = await bed(t);
  const { call, xapi } = server;
  const vm = await made(server);
  await call('VM.set_actions_after_crash', vm.ref, 'preserve');
  assert.equal(vm.text('actions_after_crash'), 'preserve');
  await call('VM.set_domain_type', vm.ref, 'hvm');
  assert.deepEqual([vm.text('domain_type'), vm.text('HVM_boot_policy')], ['hvm', 'BIOS order']);
  await call('VM.set_HVM_boot_policy', vm.ref, '');
  assert.deepEqual([vm.text('domain_type'), vm.text('HVM_boot_policy')], ['pv', '']);
  for (const method of ['VM.set_start_delay', 'VM.set_shutdown_delay', 'VM.set_order']) {
    await call(method, vm.ref, 7);
    assert.equal(vm.number(method.replace('VM.set_', '')), 7);
    await assert.rejects(call(method, vm.ref, -1), failed('VALUE_NOT_SUPPORTED'));
  }
  const group: string = await call('VM_group.create', { name_label: 'g', name_description: '', placement: 'normal' });
  await call('VM.set_groups', vm.ref, [group]);
  assert.deepEqual([vm.refs('groups'), await call('VM_group.get_VMs', group)], [[group], [vm.ref]]);
  xapi.db.set(xapi.host, { bios_strings: { 'bios-vendor': 'me' } });
  await call('VM.copy_bios_strings', vm.ref, xapi.hostRef);
  assert.deepEqual({ ...vm.map('bios_strings') }, { 'bios-vendor': 'me' });
  await assert.rejects(call('VM.set_bios_strings', vm.ref, {}), failed('VM_BIOS_STRINGS_ALREADY_SET'));
  const other = await made(server);
  await call('VM.set_bios_strings', other.ref, { 'bios-version': '1' });
  assert.deepEqual({ ...other.map('bios_strings') }, { 'bios-version': '1' });
  await call('VM.set_is_a_template', other.ref, true);
  assert.deepEqual([other.flag('is_a_template'), other.refs('allowed_operations').includes('start')], [true, false]);
  await call('VM.set_is_a_template', other.ref, false);
  assert.ok(other.refs('allowed_operations').includes('start'));
  await call('VM.set_blocked_operations', vm.ref, { start: 'no' });
  await call('VM.add_to_blocked_operations', vm.ref, 'clone', 'no');
  await assert.rejects(call('VM.clone', vm.ref, 'x'), failed('OPERATION_BLOCKED'));
  await call('VM.remove_from_blocked_operations', vm.ref, 'start');
  assert.deepEqual({ ...vm.map('blocked_operations') }, { clone: 'no' });
  // Whoever has set the record by other means asks for what may be done anew.
  xapi.db.set(vm, { allowed_operations: [] });
  await call('VM.update_allowed_operations', vm.ref);
  assert.ok(vm.refs('allowed_operations').includes('start'));
});

test('guests are asked, triggered and stopped', async (t) => {
  const server = await bed(t);
  const { call, xapi, simulator } = server;
  const vm = await made(server);
  await assert.rejects(call('VM.send_sysrq', vm.ref, 'h'), failed('VM_BAD_POWER_STATE'));
  await call('VM.start', vm.ref, false, false);
  await call('VM.send_sysrq', vm.ref, 'h');
  await call('VM.send_trigger', vm.ref, 'nmi');
  await call('host.send_debug_keys', xapi.hostRef, 'q');
  assert.match(simulator.dmesg(false), /sysrq h for domain 1\n.*nmi for domain 1\n.*keys q\n/);
  await call('host.dmesg_clear', xapi.hostRef);
  assert.equal(await call('host.dmesg', xapi.hostRef), '');
  assert.equal(await call('VM.get_cooperative', vm.ref), true);
  assert.deepEqual(await call('VM.query_services', vm.ref), {});
  assert.equal(await call('VM.get_secureboot_readiness', vm.ref), 'not_supported');
  // The record of the start, not what has been changed since.
  await call('VM.set_PV_args', vm.ref, 'changed');
  const record: { PV_args: string } = await call('VM.get_boot_record', vm.ref);
  assert.equal(record.PV_args, VM_RECORD.PV_args);
  const operations = { 'OpaqueRef:lost': 'clean_shutdown' };
  xapi.db.set(vm, { current_operations: operations });
  await call('VM.power_state_reset', vm.ref);
  assert.deepEqual([vm.text('power_state'), vm.map('current_operations')], ['Halted', {}]);
  await call('VM.start', vm.ref, false, false);
  await call('VM.shutdown', vm.ref);
  assert.equal(vm.text('power_state'), 'Halted');
});

test('a guest that does not obey is stopped all the same', async (t) => {
  const server = await bed(t, { obeysAfter: undefined });
  const { call, simulator } = server;
  const vm = await made(server);
  await call('VM.start', vm.ref, false, false);
  // It crashes of the question.
  simulator.ask = (uuid) => void setTimeout(() => simulator.end(uuid, 'crash'), 1);
  await call('VM.shutdown', vm.ref);
  assert.equal(vm.text('power_state'), 'Halted');
});

test('where machines can be, and what they need', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-vm-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  const { call, xapi, session } = server;
  const vm = await made(server);
  await call('VM.assert_can_boot_here', vm.ref, xapi.hostRef);
  await call('host.disable', xapi.hostRef);
  await assert.rejects(call('VM.assert_can_boot_here', vm.ref, xapi.hostRef), failed('HOST_DISABLED'));
  assert.deepEqual(await call('VM.get_possible_hosts', vm.ref), []);
  await call('host.enable', xapi.hostRef);
  assert.deepEqual(await call('VM.get_possible_hosts', vm.ref), [xapi.hostRef]);
  assert.deepEqual(((await call('VM.get_allowed_VBD_devices', vm.ref)) as string[])[0], '0');
  await call('VM.assert_agile', vm.ref);
  const sr: string = await call('pool.get_default_SR', xapi.pool.ref);
  await call('VBD.create', driveRecord(vm.ref, await call('VDI.create', diskRecord(sr, MIB))));
  assert.deepEqual(((await call('VM.get_allowed_VBD_devices', vm.ref)) as string[])[0], '1');
  await assert.rejects(call('VM.assert_agile', vm.ref), failed('HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED'));

  // Recovery: the storage has to be there.
  await call('VM.assert_can_be_recovered', vm.ref, session);
  await assert.rejects(call('VM.assert_can_be_recovered', vm.ref, NULL), failed('HANDLE_INVALID'));
  await assert.rejects(call('VM.recover', vm.ref, session, false), failed('VM_TO_IMPORT_IS_NOT_NEWER_VERSION'));
  const appliance: string = await call('VM_appliance.create', { name_label: 'a', name_description: '' });
  await call('VM.set_appliance', vm.ref, appliance);
  assert.deepEqual(await call('VM_appliance.get_SRs_required_for_recovery', appliance, session), [sr]);
  await call('VM_appliance.assert_can_be_recovered', appliance, session);
  await assert.rejects(call('VM.assert_can_be_recovered', vm.ref, session), failed('VM_IS_PART_OF_AN_APPLIANCE'));
  const [pbd]: string[] = await call('SR.get_PBDs', sr);
  await call('PBD.unplug', pbd);
  await assert.rejects(call('VM_appliance.assert_can_be_recovered', appliance, session), failed('VM_REQUIRES_SR'));
  await call('PBD.plug', pbd);
  // A snapshot is in no appliance: nothing that is done with all of it is done with its past.
  await call('VM.snapshot', vm.ref, 's', []);
  assert.deepEqual(await call('VM_appliance.get_VMs', appliance), [vm.ref]);
  await call('VM_appliance.start', appliance, false);
  assert.equal(vm.text('power_state'), 'Running');
  await call('VM_appliance.hard_shutdown', appliance);
  assert.equal(vm.text('power_state'), 'Halted');
});
