import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed, VM_RECORD } from '../testing.ts';
import type { MachineDescription } from '../xenops/xenops.ts';

const failed = (code: string) => ({ code });
const NETWORK = { name_label: 'n', name_description: '', MTU: 1500, other_config: {} };

test('interfaces are plugged, moved, locked and gone, in machines that run', async (t) => {
  const { call, xapi, simulator } = await bed(t);
  const { db } = xapi;
  const [network, other]: string[] = [await call('network.create', NETWORK), await call('network.create', NETWORK)];
  const vm: string = await call('VM.create', VM_RECORD);
  const { uuid } = db.row('VM', vm);
  const record = { device: 'autodetect', network, VM: vm, MAC: '', MTU: 1500, other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {} }; // prettier-ignore
  const vif: string = await call('VIF.create', record);
  await assert.rejects(call('VIF.plug', vif), failed('VM_BAD_POWER_STATE'));
  const started: MachineDescription[] = [];
  const start = simulator.start.bind(simulator);
  simulator.start = (machine, paused) => {
    started.push(machine);
    return start(machine, paused);
  };
  const plugged: { bridge: string; addresses: string[] }[] = [];
  const plug = simulator.plugNic.bind(simulator);
  simulator.plugNic = (machine, nic) => {
    plugged.push(nic);
    return plug(machine, nic);
  };
  const last = () => plugged.at(-1)!;
  await call('VM.start', vm, false, false);
  assert.deepEqual(started[0].nics.map(({ bridge }) => bridge), [db.row('network', network).text('bridge')]); // prettier-ignore
  await assert.rejects(call('VIF.plug', vif), failed('DEVICE_ALREADY_ATTACHED'));
  await assert.rejects(call('VIF.destroy', vif), failed('OPERATION_NOT_ALLOWED'));
  await call('VIF.move', vif, other);
  assert.deepEqual([last().bridge, await call('VIF.get_network', vif)], [db.row('network', other).text('bridge'), other]); // prettier-ignore

  await call('VIF.set_ipv4_allowed', vif, ['192.0.2.1']);
  await call('VIF.add_ipv4_allowed', vif, '192.0.2.2');
  await call('VIF.set_ipv6_allowed', vif, ['2001:db8::1']);
  await call('VIF.add_ipv6_allowed', vif, '2001:db8::2');
  assert.deepEqual(last().addresses, [], 'nothing is locked yet');
  await call('VIF.set_locking_mode', vif, 'locked');
  assert.deepEqual(last().addresses, ['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2']);
  await call('VIF.remove_ipv4_allowed', vif, '192.0.2.1');
  await call('VIF.remove_ipv6_allowed', vif, '2001:db8::1');
  assert.deepEqual(last().addresses, ['192.0.2.2', '2001:db8::2']);
  for (const family of [4, 6]) await assert.rejects(call(`VIF.set_ipv${family}_allowed`, vif, ['x']), failed('INVALID_IP_ADDRESS_SPECIFIED')); // prettier-ignore
  await call('VIF.set_locking_mode', vif, 'unlocked');
  assert.deepEqual(last().addresses, []);

  await call('VIF.unplug', vif);
  assert.deepEqual(simulator.devices(uuid).nics, []);
  await call('VIF.plug', vif);
  assert.deepEqual([simulator.devices(uuid).nics, await call('VIF.get_currently_attached', vif)], [[0], true]);
  await call('VIF.unplug_force', vif);
  await call('VIF.destroy', vif);
  assert.deepEqual([db.find('VIF', vif), await call('VM.get_VIFs', vm)], [undefined, []]);
});

test("a network's own locking holds for who plugs in later", async (t) => {
  const { call, xapi } = await bed(t);
  const network: string = await call('network.create', NETWORK);
  const vm: string = await call('VM.create', VM_RECORD);
  const record = { device: '0', network, VM: vm, MAC: '', MTU: 1500, other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {} }; // prettier-ignore
  const vif: string = await call('VIF.create', record);
  await call('network.set_default_locking_mode', network, 'disabled');
  assert.equal(await call('network.get_default_locking_mode', network), 'disabled');
  await assert.rejects(call('VM.start', vm, false, false), failed('HOST_CANNOT_ATTACH_NETWORK'));
  await call('network.set_default_locking_mode', network, 'unlocked');
  await call('VM.start', vm, false, false);
  await assert.rejects(call('network.set_default_locking_mode', network, 'disabled'), {
    ...{ code: 'VIF_IN_USE', params: [network, vif] },
  });
  assert.equal(xapi.db.row('VM', vm).text('power_state'), 'Running');
});
