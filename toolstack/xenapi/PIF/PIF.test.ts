import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { bed, VM_RECORD, type Bed } from '../testing.ts';

const NULL = 'OpaqueRef:NULL';
const failed = (code: string) => ({ code });
const network = (name_label: string) => ({ name_label, name_description: '', MTU: 1500, other_config: {}, bridge: '', managed: true, tags: [] }); // prettier-ignore

/** A host with two interfaces beside its own, if it has one. */
async function interfaces(t: TestContext): Promise<Bed & { pifs: string[]; net: (name: string) => Promise<string> }> {
  const server = await bed(t);
  await server.call('PIF.scan', server.xapi.hostRef);
  const pifs = [...server.xapi.db.table('PIF').values()].filter((row) => row.text('device').startsWith('sim'));
  return { ...server, pifs: pifs.map(({ ref }) => ref), net: (name) => server.call('network.create', network(name)) };
}

test('interfaces are found, introduced, forgotten, plugged and given addresses', async (t) => {
  const { call, xapi, pifs } = await interfaces(t);
  assert.equal(pifs.length, 2);
  const [pif] = pifs;
  assert.deepEqual([await call('PIF.get_device', pif), await call('PIF.get_physical', pif)], ['sim1', true]);
  await call('PIF.scan', xapi.hostRef);
  assert.equal([...xapi.db.table('PIF').values()].filter((row) => row.text('device') === 'sim1').length, 1);
  await call('PIF.plug', pif);
  assert.equal(await call('PIF.get_currently_attached', pif), true);
  await call('PIF.set_disallow_unplug', pif, true);
  await assert.rejects(call('PIF.unplug', pif), failed('PIF_DOES_NOT_ALLOW_UNPLUG'));
  await call('PIF.set_disallow_unplug', pif, false);
  await call('PIF.unplug', pif);
  assert.equal(await call('PIF.get_currently_attached', pif), false);
  await assert.rejects(call('PIF.reconfigure_ip', pif, 'Static', 'x', '255.0.0.0', '', ''), failed('INVALID_IP_ADDRESS_SPECIFIED')); // prettier-ignore
  await call('PIF.reconfigure_ip', pif, 'Static', '10.0.0.5', '255.0.0.0', '10.0.0.1', '1.1.1.1');
  assert.deepEqual([await call('PIF.get_IP', pif), await call('PIF.get_ip_configuration_mode', pif)], ['10.0.0.5', 'Static']); // prettier-ignore
  await assert.rejects(
    call('PIF.set_primary_address_type', pif, 'IPv6'),
    failed('PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE'),
  );
  await call('PIF.reconfigure_ipv6', pif, 'Static', 'fd00::5/64', '', '');
  await call('PIF.set_primary_address_type', pif, 'IPv6');
  assert.deepEqual([await call('PIF.get_IPv6', pif), await call('PIF.get_primary_address_type', pif)], [['fd00::5/64'], 'IPv6']); // prettier-ignore
  await call('PIF.forget', pif);
  await assert.rejects(call('PIF.get_uuid', pif), failed('HANDLE_INVALID'));
  await assert.rejects(
    call('PIF.introduce', xapi.hostRef, '02:99:00:00:00:01', '', true),
    failed('MAC_DOES_NOT_EXIST'),
  );
  const again: string = await call('PIF.introduce', xapi.hostRef, '02:00:00:00:00:01', '', true);
  assert.equal(await call('PIF.get_device', again), 'sim1');
  const own = [...xapi.db.table('PIF').values()].find((row) => row.flag('management'));
  if (own) await assert.rejects(call('PIF.unplug', own.ref), failed('PIF_IS_MANAGEMENT_INTERFACE'));
});

test('a network upon a tag: its guests are in that VLAN of the bridge below', async (t) => {
  const { call, net, pifs, simulator, xapi } = await interfaces(t);
  const [pif] = pifs;
  const tagged = await net('tagged');
  const [untagged]: string[] = await call('pool.create_VLAN_from_PIF', pif, tagged, 42);
  const [vlan]: string[] = await call('PIF.get_VLAN_slave_of', pif);
  assert.deepEqual([await call('VLAN.get_tag', vlan), await call('VLAN.get_untagged_PIF', vlan)], [42, untagged]);
  await assert.rejects(call('VLAN.create', pif, 42, await net('x')), failed('PIF_VLAN_EXISTS'));
  await assert.rejects(call('VLAN.create', pif, 43, tagged), failed('NETWORK_ALREADY_CONNECTED'));
  await assert.rejects(call('VLAN.create', pif, 4095, await net('y')), failed('VLAN_TAG_INVALID'));
  await assert.rejects(call('VLAN.create', untagged, 1, await net('z')), failed('PIF_IS_VLAN'));
  const vm: string = await call('VM.create', VM_RECORD);
  const vif: string = await call('VIF.create', {
    ...{ device: '0', network: tagged, VM: vm, MAC: '', MTU: 1500, other_config: {}, qos_algorithm_type: '' },
    qos_algorithm_params: {},
  });
  let seen: unknown;
  const { start } = simulator;
  simulator.start = (machine, paused) => {
    seen = machine.nics.map(({ bridge, vlan: tag }) => [bridge, tag]);
    return start.call(simulator, machine, paused);
  };
  await call('VM.start', vm, false, false);
  assert.deepEqual(seen, [[await call('network.get_bridge', await call('PIF.get_network', pif)), 42]]);
  await assert.rejects(call('VLAN.destroy', vlan), failed('NETWORK_CONTAINS_VIF'));
  await call('VIF.unplug', vif);
  await call('VLAN.destroy', vlan);
  assert.deepEqual(await call('PIF.get_VLAN_slave_of', pif), []);
  assert.deepEqual(await call('network.get_PIFs', tagged), []);
  await assert.rejects(call('PIF.destroy', pif), failed('PIF_IS_PHYSICAL'));
  assert.equal(xapi.db.table('VLAN').size, 0);
});

test('interfaces become one, with what was upon them, and are apart again', async (t) => {
  const { call, net, pifs } = await interfaces(t);
  const [one, two] = pifs;
  await call('PIF.reconfigure_ip', one, 'Static', '10.0.0.5', '255.0.0.0', '', '');
  const [untagged]: string[] = await call('pool.create_VLAN_from_PIF', two, await net('tagged'), 7);
  const bonded = await net('bonded');
  await assert.rejects(call('Bond.create', bonded, [one], '', 'lacp'), failed('PIF_BOND_NEEDS_MORE_MEMBERS'));
  await assert.rejects(call('Bond.create', bonded, [one, untagged], '', 'lacp'), failed('PIF_NOT_PHYSICAL'));
  const bond: string = await call('Bond.create', bonded, [one, two], '', 'active-backup');
  const master: string = await call('Bond.get_master', bond);
  assert.deepEqual([await call('PIF.get_device', master), await call('PIF.get_IP', master)], ['bond0', '10.0.0.5']);
  assert.equal(await call('PIF.get_IP', one), '');
  assert.deepEqual(new Set(await call('Bond.get_slaves', bond) as string[]), new Set([one, two])); // prettier-ignore
  assert.equal(((await call('PIF.get_VLAN_slave_of', master)) as string[]).length, 1);
  await assert.rejects(call('Bond.create', await net('more'), [one, two], ''), failed('PIF_ALREADY_BONDED'));
  await assert.rejects(call('PIF.plug', one), failed('CANNOT_PLUG_BOND_SLAVE'));
  await call('Bond.set_mode', bond, 'lacp');
  await call('Bond.set_property', bond, 'hashing_algorithm', 'src_mac');
  assert.deepEqual([await call('Bond.get_mode', bond), await call('Bond.get_properties', bond)], ['lacp', { hashing_algorithm: 'src_mac' }]); // prettier-ignore
  await call('Bond.destroy', bond);
  assert.equal(await call('PIF.get_IP', one), '10.0.0.5');
  assert.equal(await call('PIF.get_bond_slave_of', two), NULL);
  await assert.rejects(call('PIF.get_uuid', master), failed('HANDLE_INVALID'));
});

test('records of interfaces as clients write them, and tags by the name of a device', async (t) => {
  const { call, xapi } = await bed(t);
  const { db, hostRef } = xapi;
  const NETWORK = { name_label: 'n', name_description: '', MTU: 1500, other_config: {} };
  const network: string = await call('network.create', NETWORK);
  const NULL = 'OpaqueRef:NULL';
  const none = ['None', '', '', '', '', NULL, NULL, false, {}, false, 'None', [], '', 'IPv4', true, { gro: 'on' }];
  const pif: string = await call('PIF.db_introduce', 'eth9', network, hostRef, '02:00:00:00:00:99', 1500, -1, true, ...none); // prettier-ignore
  assert.deepEqual([await call('PIF.get_device', pif), await call('network.get_PIFs', network)], ['eth9', [pif]]);
  await call('PIF.set_property', pif, 'gro', 'off');
  assert.deepEqual({ ...db.row('PIF', pif).map('properties') }, { gro: 'off' });
  await assert.rejects(call('PIF.set_property', pif, 'gro', 'maybe'), { code: 'INVALID_VALUE' });
  const [a, b]: string[] = [await call('network.create', NETWORK), await call('network.create', NETWORK)];
  const tagged: string = await call('PIF.create_VLAN', 'eth9', a, hostRef, 7);
  assert.deepEqual([await call('PIF.get_VLAN', tagged), await call('PIF.get_network', tagged)], [7, a]);
  const [other]: string[] = await call('pool.create_VLAN', 'eth9', b, 8);
  assert.deepEqual([await call('PIF.get_VLAN', other), await call('PIF.get_network', other)], [8, b]);
  await assert.rejects(call('pool.create_VLAN', 'none', b, 9), /COULD_NOT_FIND_NETWORK_INTERFACE/);
  await call('PIF.db_forget', pif);
  assert.equal(db.find('PIF', pif), undefined);
});
