// XenAPI on a real host: VMs are domains, which guests end and `xl` sees.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { Bed, until } from '../host/bed.ts';
import { run } from './bed.ts';

const bed = new Bed();
const paths = xenapiPaths(bed.state);
let url = '';
let session = '';
let ca = '';

before(async () => {
  mkdirSync(paths.boot, { recursive: true, mode: 0o700 });
  copyFileSync(bed.kernel, join(paths.boot, 'unikernel'));
  await login(await bed.up('--xenapi', '0'));
});
after(() => bed.close());

async function login(said: string): Promise<void> {
  url = /XenAPI is at (https:\S+?);/.exec(said)![1];
  ca = readFileSync(join(paths.folder, 'server.pem'), 'utf8');
  const password = readFileSync(paths.password, 'utf8').trim();
  session = await ask('session.login_with_password', 'root', password);
}

async function ask(method: string, ...params: unknown[]): Promise<never> {
  const { request } = await import('node:https');
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const text = await new Promise<string>((resolve, reject) => {
    const sent = request(`${url}/jsonrpc`, { method: 'POST', ca, servername: 'localhost' }, (response) => {
      let answer = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => (answer += piece));
      response.on('end', () => resolve(answer));
    });
    sent.on('error', reject);
    sent.end(body);
  });
  const { result, error } = JSON.parse(text) as { result: never; error?: { message: string; data: string[] } };
  if (error)
    throw Object.assign(new Error([error.message, ...error.data].join(' ')), {
      code: error.message,
      params: error.data,
    });
  return result;
}
const call = (method: string, ...params: unknown[]): Promise<never> => ask(method, session, ...params);

const MIB = 2 ** 20;
const GUEST = {
  ...{ ...VM_RECORD, PV_kernel: 'unikernel', domain_type: 'pvh', actions_after_crash: 'destroy' },
  ...{ memory_static_max: 16 * MIB, memory_dynamic_max: 16 * MIB, memory_dynamic_min: 16 * MIB },
};
const state = (vm: string): Promise<string> => call('VM.get_power_state', vm);

test('a VM is a domain, from its start to its end', async () => {
  const vm: string = await call('VM.create', { ...GUEST, name_label: 'one' });
  await call('VM.start', vm, true, false);
  const domid: number = await call('VM.get_domid', vm);
  const uuid: string = await call('VM.get_uuid', vm);
  assert.match(await bed.ok('list', 'one'), new RegExp(`one +${domid} +16 +1 +--p---`));
  assert.match(await bed.ok('vm-list'), new RegExp(`${uuid} +${domid} +one`));
  await call('VM.unpause', vm);
  await until(async () => /one +\d+ +16 +1 +[-rb]{2}-/.test(await bed.ok('list', 'one')), 'it runs');
  await call('VM.hard_reboot', vm);
  assert.notEqual(await call('VM.get_domid', vm), domid);
  await call('VM.hard_shutdown', vm);
  assert.equal(await state(vm), 'Halted');
  assert.doesNotMatch(await bed.ok('list'), /one/);
  await call('VM.destroy', vm);
});

test('a guest that powers off, and one that `xl` destroys, are halted', async () => {
  const one: string = await call('VM.create', { ...GUEST, name_label: 'off', PV_args: 'poweroff' });
  await call('VM.start', one, false, false);
  await until(async () => (await state(one)) === 'Halted', 'it is halted');
  const two: string = await call('VM.create', { ...GUEST, name_label: 'two' });
  await call('VM.start', two, true, false);
  await bed.ok('destroy', 'two');
  await until(async () => (await state(two)) === 'Halted', 'it is halted');
  for (const vm of [one, two]) await call('VM.destroy', vm);
});

test('two VMs of one name are two domains', async () => {
  const vms: string[] = [await call('VM.create', GUEST), await call('VM.create', GUEST)];
  for (const vm of vms) await call('VM.start', vm, true, false);
  const uuid: string = await call('VM.get_uuid', vms[1]);
  assert.match(await bed.ok('list'), new RegExp(uuid));
  for (const vm of vms) await call('VM.hard_shutdown', vm);
  for (const vm of vms) await call('VM.destroy', vm);
});

test('what cannot start says why, and nothing of the host can be read', async () => {
  const refused = async (values: object, code: string) => {
    const vm: string = await call('VM.create', { ...GUEST, ...values });
    await assert.rejects(call('VM.start', vm, false, false), { code });
    assert.equal(await state(vm), 'Halted');
    await call('VM.destroy', vm);
  };
  for (const PV_kernel of [
    '/etc/passwd',
    '../root.password',
    `${paths.folder}/root.password`,
    'a/../../users.json',
    '',
    '.',
  ])
    await refused({ PV_kernel }, 'INVALID_VALUE');
  await refused({ PV_kernel: 'none' }, 'INTERNAL_ERROR');
  await refused({ domain_type: 'hvm' }, 'VM_HVM_REQUIRED');
  const much = 2 ** 32;
  await refused({ memory_static_max: much, memory_dynamic_max: much }, 'HOST_NOT_ENOUGH_FREE_MEMORY');
});

test('disks and networks of a VM are those of its domain', async () => {
  const [pool]: string[] = await call('pool.get_all');
  const SR: string = await call('pool.get_default_SR', pool);
  const rest = { type: 'user', sharable: false, read_only: false, other_config: {} };
  const vdi: string = await call('VDI.create', {
    name_label: 'd',
    name_description: '',
    SR,
    virtual_size: 4 * MIB,
    ...rest,
  });
  const vm: string = await call('VM.create', { ...GUEST, name_label: 'devices' });
  const qos = { qos_algorithm_type: '', qos_algorithm_params: {} };
  const drive = { VM: vm, bootable: false, other_config: {}, ...qos };
  const vbd: string = await call('VBD.create', {
    ...drive,
    VDI: vdi,
    userdevice: '1',
    mode: 'RW',
    type: 'Disk',
    empty: false,
  });
  await call('VBD.create', { ...drive, VDI: 'OpaqueRef:NULL', userdevice: '3', mode: 'RO', type: 'CD', empty: true });
  const network: string = await call('network.create', {
    name_label: 'private',
    name_description: '',
    other_config: {},
    tags: [],
  });
  const vif: string = await call('VIF.create', {
    VM: vm,
    network,
    device: '0',
    MAC: '02:00:00:00:00:01',
    MTU: 1500,
    other_config: {},
    ...qos,
  });
  await call('VM.start', vm, true, false);
  const uuid: string = await call('VDI.get_uuid', vdi);
  assert.match(await bed.ok('network-list', 'devices'), /02:00:00:00:00:01/);
  assert.match(await bed.ok('block-list', 'devices'), /51728/);
  assert.match(await bed.ok('list', '-l', 'devices'), new RegExp(`${uuid}\\.qcow2`));
  assert.deepEqual([await call('VBD.get_currently_attached', vbd), await call('VBD.get_device', vbd)], [true, 'xvdb']);
  // A guest that stands still lets go of nothing.
  await call('VBD.unplug_force', vbd);
  assert.doesNotMatch(await bed.ok('block-list', 'devices'), /51728/);
  await call('VDI.resize', vdi, 8 * MIB);
  await call('VBD.plug', vbd);
  // Frozen while it runs: the block service has the disk's new image then, with the old one behind it.
  const frozen: string = await call('VM.snapshot', vm, 'frozen');
  assert.equal(await call('VM.get_power_state', vm), 'Paused');
  const [copy]: string[] = await Promise.all(
    ((await call('VM.get_VBDs', frozen)) as string[]).map((each) => call('VBD.get_VDI', each) as Promise<string>),
  ).then((all) => all.filter((each) => each !== 'OpaqueRef:NULL'));
  assert.equal(await call('VDI.get_snapshot_of', copy), vdi);
  const config = (ref: string): Promise<Record<string, string>> => call('VDI.get_sm_config', ref);
  assert.ok((await config(vdi))['vhd-parent']);
  assert.equal((await config(copy))['vhd-parent'], (await config(vdi))['vhd-parent']);
  await call('VBD.unplug_force', vbd);
  await call('VBD.plug', vbd);
  await call('VDI.destroy', copy);
  await call('VM.destroy', frozen);
  await call('VIF.unplug_force', vif);
  assert.doesNotMatch(await bed.ok('network-list', 'devices'), /02:00:00:00:00:01/);
  await call('VM.hard_shutdown', vm);
  await call('VDI.destroy', vdi);
  await call('VM.destroy', vm);
});

test("what a guest's agent writes into xenstore is in its metrics", async () => {
  const vm: string = await call('VM.create', {
    ...GUEST,
    name_label: 'agent',
    xenstore_data: { 'vm-data/greeting': 'hello', 'other/x': 'no' },
  });
  await call('VM.start', vm, true, false);
  const path = `/local/domain/${(await call('VM.get_domid', vm)) as number}`;
  const env = { XENSTORED_RUNDIR: join(bed.state, 'xenstored') };
  const store = async (...args: string[]) =>
    (await run(process.execPath, [join(ROOT, 'cli/xenstore.ts'), ...args], '', env)).out;
  assert.equal(await store('read', `${path}/vm-data/greeting`), 'hello\n');
  await store('write', `${path}/attr/vif/0/ipv4/0`, '10.0.2.15', `${path}/data/os_name`, 'a guest');
  await until(async () => (await call('VM.get_guest_metrics', vm)) !== 'OpaqueRef:NULL', 'there are metrics');
  const metrics: string = await call('VM.get_guest_metrics', vm);
  assert.equal(((await call('VM_guest_metrics.get_networks', metrics)) as Record<string, string>)['0/ip'], '10.0.2.15');
  await call('VM.hard_shutdown', vm);
  await call('VM.destroy', vm);
});

test('agents of guests are told, vCPUs are pinned, and what a host with bridges lacks is said', async () => {
  const env = { XENSTORED_RUNDIR: join(bed.state, 'xenstored') };
  const store = async (...args: string[]) =>
    (await run(process.execPath, [join(ROOT, 'cli/xenstore.ts'), ...args], '', env)).out;
  const [pool]: string[] = await call('pool.get_all');
  const features = '/guest_agent_features/Guest_agent_auto_update';
  await call('pool.add_to_guest_agent_config', pool, 'auto_update_enabled', 'false');
  assert.equal(await store('read', `${features}/parameters/enabled`), '0\n');
  assert.match(await store('ls', '-p', '/'), /guest_agent_features.*\(r0\)/);
  await call('pool.remove_from_guest_agent_config', pool, 'auto_update_enabled');
  assert.equal(await store('list', `${features}/parameters`), '');

  const vm: string = await call('VM.create', {
    ...GUEST,
    name_label: 'asked',
    VCPUs_params: { mask: '0', weight: '512' },
  });
  const record = { name_label: 'asked', name_description: '', other_config: {}, tags: [] };
  const network: string = await call('network.create', record);
  const qos = { qos_algorithm_type: '', qos_algorithm_params: {} };
  const vif: string = await call('VIF.create', { device: '0', network, VM: vm, MAC: '', MTU: 1500, other_config: {}, ...qos }); // prettier-ignore
  await call('VM.start', vm, true, false);
  const domid: number = await call('VM.get_domid', vm);
  const path = `/local/domain/${domid}`;
  await assert.rejects(call('VIF.configure_ipv4', vif, 'Static', '192.0.2.7/24', '192.0.2.1'), { code: 'VM_LACKS_FEATURE_STATIC_IP_SETTING' }); // prettier-ignore
  await store('write', `${path}/control/feature-static-ip-setting`, '1', `${path}/data/os_name`, 'a guest');
  await until(async () => (await call('VM.get_guest_metrics', vm)) !== 'OpaqueRef:NULL', 'the agent is heard');
  await call('VIF.configure_ipv4', vif, 'Static', '192.0.2.7/24', '192.0.2.1');
  const setting = `${path}/xenserver/device/vif/0/static-ip-setting`;
  const read = async (key: string) => (await store('read', `${setting}/${key}`)).trim();
  assert.deepEqual([await read('address'), await read('gateway'), await read('enabled'), await read('enabled6')], ['192.0.2.7/24', '192.0.2.1', '1', '0']); // prettier-ignore
  assert.equal(await read('mac'), await call('VIF.get_MAC', vif));

  // Its schedule has no weights, so it runs without, pinned to where it has to be.
  const [host]: string[] = await call('host.get_all');
  assert.match(await call('host.get_log', host), /runs without its VCPUs_params:weight/);
  assert.doesNotMatch(await call('host.get_log', host), /VCPUs_params:mask/);
  await call('VM.hard_shutdown', vm);
  await call('VM.destroy', vm);
  const [pif]: string[] = await call('PIF.get_all');
  if (pif !== undefined) await assert.rejects(call('tunnel.create', pif, network), { code: 'OPENVSWITCH_NOT_ACTIVE' });
  await assert.rejects(call('SDN_controller.introduce', 'ssl', '192.0.2.1', 0), { code: 'OPENVSWITCH_NOT_ACTIVE' });
  await call('network.destroy', network);
});

test("the host's records are true", async () => {
  const [host]: string[] = await call('host.get_all');
  const metrics: string = await call('host.get_metrics', host);
  const total: number = await call('host_metrics.get_memory_total', metrics);
  assert.ok(total > 150 * MIB && total < 300 * MIB, String(total));
  assert.ok(((await call('host.compute_free_memory', host)) as number) < total);
  const version: Record<string, string> = await call('host.get_software_version', host);
  assert.match(version.xen, /^4\.\d+/);
  assert.match(await call('host.dmesg', host), /Xen/);
  assert.equal(
    await call('host.get_control_domain', host),
    ((await call('host.get_resident_VMs', host)) as string[])[0],
  );
});

test('after a kill the records are there, and nothing runs', async () => {
  const vm: string = await call('VM.create', { ...GUEST, name_label: 'survivor' });
  await call('VM.start', vm, true, false);
  const uuid: string = await call('VM.get_uuid', vm);
  await bed.end('SIGKILL');
  await login(await bed.up('--xenapi', '0'));
  const again: string = await call('VM.get_by_uuid', uuid);
  assert.equal(again, vm);
  assert.equal(await state(vm), 'Halted');
  assert.equal(await call('VM.get_domid', vm), -1);
  await call('VM.start', vm, true, false);
  assert.equal(await bed.end('SIGTERM'), 0);
});
