import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { Row } from '../database/row.ts';
import { bed, VM_RECORD, type Bed } from '../testing.ts';
import { reconcileAll } from '../host/inventory.ts';

const MIB = 2 ** 20;

async function made({ call, xapi }: Bed, values = {}): Promise<Row> {
  return xapi.db.row('VM', await call('VM.create', { ...VM_RECORD, ...values }));
}
const refused = (code: string, ...params: string[]) => (params.length > 0 ? { code, params } : { code });

test('from birth to death', async (t) => {
  const server = await bed(t);
  const { call, simulator, xapi } = server;
  const vm = await made(server);
  assert.equal(vm.text('power_state'), 'Halted');
  const free = simulator.freeMemory();
  await call('VM.start', vm.ref, true, false);
  assert.deepEqual([vm.text('power_state'), vm.text('resident_on'), vm.number('domid')], ['Paused', xapi.hostRef, 1]);
  assert.ok(simulator.freeMemory() <= free - 256 * MIB);
  assert.ok(xapi.host.refs('resident_VMs').includes(vm.ref));
  await call('VM.unpause', vm.ref);
  assert.equal(vm.text('power_state'), 'Running');
  await call('VM.pause', vm.ref);
  await call('VM.unpause', vm.ref);
  await call('VM.clean_reboot', vm.ref);
  assert.deepEqual([vm.text('power_state'), vm.number('domid')], ['Running', 2]);
  await call('VM.hard_reboot', vm.ref);
  assert.equal(vm.number('domid'), 3);
  await call('VM.clean_shutdown', vm.ref);
  assert.deepEqual(
    [vm.text('power_state'), vm.text('resident_on'), vm.number('domid')],
    ['Halted', 'OpaqueRef:NULL', -1],
  );
  assert.equal(simulator.freeMemory(), free);
  assert.deepEqual(vm.map('current_operations'), {});
  const metrics = vm.text('metrics');
  await call('VM.destroy', vm.ref);
  await assert.rejects(call('VM.get_record', vm.ref), refused('HANDLE_INVALID', 'VM', vm.ref));
  assert.equal(xapi.db.find('VM_metrics', metrics), undefined);
});

test('power states that an operation needs', async (t) => {
  const server = await bed(t);
  const { call } = server;
  const vm = await made(server);
  const bad = (expected: string, actual: string) => refused('VM_BAD_POWER_STATE', vm.ref, expected, actual);
  for (const [method, expected] of Object.entries({
    ...{
      pause: 'running',
      unpause: 'paused',
      clean_shutdown: 'running',
      clean_reboot: 'running',
      hard_reboot: 'paused, running',
    },
    ...{ hard_shutdown: 'paused, suspended, running', shutdown: 'paused, suspended, running' },
  }))
    await assert.rejects(call(`VM.${method}`, vm.ref), bad(expected, 'halted'), method);
  await call('VM.start', vm.ref, false, false);
  await assert.rejects(call('VM.start', vm.ref, false, false), bad('halted', 'running'));
  await assert.rejects(call('VM.destroy', vm.ref), bad('halted, suspended', 'running'));
  await assert.rejects(call('VM.clone', vm.ref, 'x'), bad('halted', 'running'));
  await assert.rejects(call('VM.set_VCPUs_max', vm.ref, 2), bad('halted', 'running'));
});

test('allowed_operations says what would be allowed', async (t) => {
  const server = await bed(t);
  const { call } = server;
  const vm = await made(server);
  const allowed = () => new Set(vm.refs('allowed_operations'));
  assert.ok(allowed().has('start') && allowed().has('destroy') && !allowed().has('pause'));
  await call('VM.add_to_blocked_operations', vm.ref, 'start', 'MINE');
  assert.ok(!allowed().has('start'));
  await assert.rejects(call('VM.start', vm.ref, false, false), refused('OPERATION_BLOCKED', vm.ref, 'MINE'));
  await assert.rejects(call('VM.add_to_blocked_operations', vm.ref, 'start', 'x'), refused('MAP_DUPLICATE_KEY'));
  await call('VM.remove_from_blocked_operations', vm.ref, 'start');
  await call('VM.start', vm.ref, false, false);
  assert.ok(
    allowed().has('clean_shutdown') && allowed().has('pause') && !allowed().has('start') && !allowed().has('destroy'),
  );
  for (const operation of vm.refs('allowed_operations')) await call('VM.assert_operation_valid', vm.ref, operation);
  // Nothing is saved or moved yet.
  for (const operation of ['suspend', 'checkpoint', 'pool_migrate', 'migrate_send']) {
    assert.ok(!allowed().has(operation));
    await assert.rejects(call('VM.assert_operation_valid', vm.ref, operation), refused('VM_LACKS_FEATURE', vm.ref));
  }
});

test('one thing at a time', async (t) => {
  const server = await bed(t, { obeysAfter: undefined });
  const { call, xapi } = server;
  const vm = await made(server);
  await call('VM.start', vm.ref, false, false);
  const shutdown = call('VM.clean_shutdown', vm.ref);
  await sleep(5);
  assert.deepEqual(Object.values(vm.map('current_operations')), ['clean_shutdown']);
  await assert.rejects(call('VM.pause', vm.ref), refused('OTHER_OPERATION_IN_PROGRESS', 'VM.clean_shutdown', vm.ref));
  await call('VM.hard_shutdown', vm.ref);
  await shutdown;
  assert.deepEqual([vm.text('power_state'), vm.map('current_operations')], ['Halted', {}]);
  assert.ok(vm.refs('allowed_operations').includes('start'));
  assert.equal(xapi.db.row('VM', vm.ref), vm);
});

test('templates and snapshots', async (t) => {
  const server = await bed(t);
  const { call, xapi } = server;
  const template = await made(server, { is_a_template: true });
  await assert.rejects(call('VM.start', template.ref, false, false), refused('VM_IS_TEMPLATE', template.ref, 'start'));
  const vm = xapi.db.row('VM', await call('VM.clone', template.ref, 'from it'));
  assert.equal(vm.flag('is_a_template'), true);
  await assert.rejects(call('VM.revert', vm.ref), refused('VM_IS_TEMPLATE', vm.ref, 'revert'));
  await call('VM.provision', vm.ref);
  assert.equal(vm.flag('is_a_template'), false);
  await assert.rejects(call('VM.provision', vm.ref), refused('ONLY_PROVISION_TEMPLATE'));
  await call('VM.start', vm.ref, false, false);
  const snapshot = xapi.db.row('VM', await call('VM.snapshot', vm.ref, 's'));
  assert.deepEqual(
    [snapshot.text('snapshot_of'), vm.refs('snapshots'), vm.text('parent')],
    [vm.ref, [snapshot.ref], snapshot.ref],
  );
  await assert.rejects(call('VM.start', snapshot.ref, false, false), refused('VM_IS_SNAPSHOT', snapshot.ref, 'start'));
  await call('VM.destroy', snapshot.ref);
  assert.deepEqual([vm.refs('snapshots'), vm.text('parent')], [[], 'OpaqueRef:NULL']);
  const [dom0] = [...xapi.db.table('VM').values()].filter((row) => row.flag('is_control_domain'));
  await assert.rejects(call('VM.hard_shutdown', dom0.ref), refused('OPERATION_NOT_ALLOWED'));
});

test('a clone has devices of its own', async (t) => {
  const server = await bed(t);
  const { call, xapi } = server;
  const vm = await made(server);
  const network: string = await call('network.create', {
    name_label: 'n',
    name_description: '',
    other_config: {},
    tags: [],
  });
  const base = { network, VM: vm.ref, MTU: 1500, other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {} };
  const one: string = await call('VIF.create', { ...base, device: '0', MAC: '' });
  const two: string = await call('VIF.create', { ...base, device: 'autodetect', MAC: '02:00:00:00:00:01' });
  await assert.rejects(call('VIF.create', { ...base, device: '0', MAC: '' }), refused('DEVICE_ALREADY_EXISTS', '0'));
  await assert.rejects(call('VIF.create', { ...base, device: '3', MAC: 'zz' }), refused('MAC_INVALID', 'zz'));
  assert.deepEqual(await call('VM.get_allowed_VIF_devices', vm.ref), ['2', '3', '4', '5', '6']);
  const clone = xapi.db.row('VM', await call('VM.clone', vm.ref, 'c'));
  const macs = (row: Row) => row.refs('VIFs').map((ref) => xapi.db.row('VIF', ref).text('MAC'));
  assert.equal(macs(clone)[1], xapi.db.row('VIF', two).text('MAC'));
  assert.notEqual(macs(clone)[0], xapi.db.row('VIF', one).text('MAC'));
  assert.match(macs(clone)[0], /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
  await call('VM.start', vm.ref, false, false);
  assert.equal(xapi.db.row('VIF', one).flag('currently_attached'), true);
  await assert.rejects(call('network.destroy', network), refused('NETWORK_CONTAINS_VIF'));
  await call('VM.hard_shutdown', vm.ref);
  assert.equal(xapi.db.row('VIF', one).flag('currently_attached'), false);
});

test('what a host has no room for does not start', async (t) => {
  const server = await bed(t, { memory: 512 * MIB });
  const { call, xapi } = server;
  const [one, two] = [
    await made(server),
    await made(server, { memory_static_max: 400 * MIB, memory_dynamic_max: 400 * MIB }),
  ];
  await call('VM.start', one.ref, false, false);
  assert.deepEqual(await call('VM.get_possible_hosts', two.ref), []);
  await assert.rejects(call('VM.start', two.ref, false, false), refused('HOST_NOT_ENOUGH_FREE_MEMORY'));
  assert.deepEqual([two.text('power_state'), two.map('current_operations')], ['Halted', {}]);
  await call('VM.hard_shutdown', one.ref);
  await call('host.disable', xapi.hostRef);
  await assert.rejects(call('VM.start', one.ref, false, false), refused('HOST_DISABLED', xapi.hostRef));
  await call('host.enable', xapi.hostRef);
  await call('VM.start_on', one.ref, xapi.hostRef, false, false);
});

test('guests that stop by themselves', async (t) => {
  const server = await bed(t);
  const { call, simulator, logged, xapi } = server;
  const vm = await made(server);
  await call('VM.start', vm.ref, false, false);
  simulator.end(vm.uuid, 'poweroff');
  assert.equal(vm.text('power_state'), 'Halted');
  await call('VM.start', vm.ref, false, false);
  simulator.end(vm.uuid, 'reboot');
  await sleep(5);
  assert.deepEqual([vm.text('power_state'), vm.number('domid')], ['Running', 3]);
  simulator.end(vm.uuid, 'crash');
  await sleep(5);
  // It lived too short to be started again.
  assert.equal(vm.text('power_state'), 'Halted');
  assert.match(logged.join(), /too soon/);
  assert.ok([...xapi.db.table('message').values()].some((row) => row.text('name') === 'VM_CRASHED'));
});

test('memory and vCPUs keep their bounds', async (t) => {
  const server = await bed(t);
  const { call, simulator } = server;
  const vm = await made(server);
  const violation = refused('MEMORY_CONSTRAINT_VIOLATION');
  await assert.rejects(call('VM.set_memory_dynamic_max', vm.ref, 512 * MIB), violation);
  await assert.rejects(call('VM.set_memory_static_max', vm.ref, 1 * MIB), violation);
  await assert.rejects(call('VM.create', { ...VM_RECORD, memory_dynamic_min: 2 ** 40 }), violation);
  await call('VM.set_memory_limits', vm.ref, 0, 1024 * MIB, 128 * MIB, 512 * MIB);
  await assert.rejects(call('VM.set_VCPUs_at_startup', vm.ref, 4), refused('VALUE_NOT_SUPPORTED'));
  await call('VM.set_VCPUs_max', vm.ref, 4);
  await call('VM.set_VCPUs_at_startup', vm.ref, 2);
  await call('VM.start', vm.ref, false, false);
  assert.equal(simulator.memoryOf(vm.uuid), 512 * MIB);
  await call('VM.set_memory_dynamic_range', vm.ref, 64 * MIB, 256 * MIB);
  assert.deepEqual([simulator.memoryOf(vm.uuid), vm.number('memory_target')], [256 * MIB, 256 * MIB]);
  await assert.rejects(call('VM.set_VCPUs_number_live', vm.ref, 5), refused('VALUE_NOT_SUPPORTED'));
  await call('VM.set_VCPUs_number_live', vm.ref, 4);
});

test('missing and wrong parts of a record', async (t) => {
  const { call } = await bed(t);
  const { user_version: _, ...rest } = VM_RECORD;
  await assert.rejects(call('VM.create', rest), refused('FIELD_TYPE_ERROR', 'user_version'));
  await assert.rejects(call('VM.create', { ...VM_RECORD, VCPUs_max: 'x' }), refused('XMLRPC_UNMARSHAL_ERROR'));
  await assert.rejects(
    call('VM.create', { ...VM_RECORD, affinity: 'OpaqueRef:x' }),
    refused('HANDLE_INVALID', 'host', 'OpaqueRef:x'),
  );
  await assert.rejects(call('VM.create'), refused('MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.create', '1', '0'));
});

test('after a restart of the host nothing runs', async (t) => {
  const server = await bed(t);
  const vm = await made(server);
  await server.call('VM.start', vm.ref, false, false);
  reconcileAll(server.xapi);
  assert.deepEqual(
    [vm.text('power_state'), vm.number('domid'), vm.refs('allowed_operations').includes('start')],
    ['Halted', -1, true],
  );
  assert.equal(server.xapi.host.refs('resident_VMs').length, 1);
});

test('a host that was killed while a VM started holds none of its devices afterwards', async (t) => {
  const server = await bed(t);
  const vm = await made(server);
  const { db } = server.xapi;
  const vbd = db.create('VBD', { VM: vm.ref, type: 'CD', empty: true, currently_attached: true });
  reconcileAll(server.xapi);
  assert.deepEqual([vm.text('power_state'), vbd.flag('currently_attached')], ['Halted', false]);
});
