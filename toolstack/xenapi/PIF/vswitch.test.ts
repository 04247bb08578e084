import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed } from '../testing.ts';

const NULL = 'OpaqueRef:NULL';
const failed = (code: string) => ({ code });
const NETWORK = { name_label: 'inner', name_description: '', MTU: 1500, other_config: {} };

test('a network inside another: its interface comes and goes with the tunnel', async (t) => {
  const { call, xapi } = await bed(t);
  const { db, hostRef } = xapi;
  await call('PIF.scan', hostRef);
  const pifs = [...db.table('PIF').values()];
  const [transport, other] = ['sim1', 'sim2'].map((device) => pifs.find((pif) => pif.text('device') === device)!);
  const network: string = await call('network.create', NETWORK);
  await assert.rejects(call('tunnel.create', transport.ref, network), failed('TRANSPORT_PIF_NOT_CONFIGURED'));
  assert.equal(db.table('tunnel').size, 0, 'nothing is left of it');
  await call('PIF.reconfigure_ip', transport.ref, 'DHCP', '', '', '', '');
  const tunnel: string = await call('tunnel.create', transport.ref, network, 'vxlan');
  const access = db.row('PIF', await call('tunnel.get_access_PIF', tunnel));
  assert.deepEqual([access.text('device'), access.text('network'), access.flag('physical'), access.flag('currently_attached')], ['tunnel0', network, false, true]); // prettier-ignore
  assert.deepEqual(await call('PIF.get_tunnel_transport_PIF_of', transport.ref), [tunnel]);
  assert.equal(await call('tunnel.get_protocol', tunnel), 'vxlan');
  await assert.rejects(call('PIF.forget', transport.ref), failed('PIF_TUNNEL_STILL_EXISTS'));
  await assert.rejects(call('tunnel.create', access.ref, network), failed('IS_TUNNEL_ACCESS_PIF'));
  await assert.rejects(call('tunnel.create', transport.ref, network), failed('NETWORK_ALREADY_CONNECTED'));
  await call('PIF.unplug', access.ref);
  await call('PIF.reconfigure_ip', transport.ref, 'None', '', '', '', '');
  await assert.rejects(call('PIF.plug', access.ref), failed('TRANSPORT_PIF_NOT_CONFIGURED'));
  const bonded: string = await call('network.create', NETWORK);
  const bond: string = await call('Bond.create', bonded, [transport.ref, other.ref], '', 'active-backup', {});
  await assert.rejects(call('tunnel.create', other.ref, network), failed('CANNOT_ADD_TUNNEL_TO_BOND_SLAVE'));
  await call('Bond.destroy', bond);
  await call('tunnel.destroy', tunnel);
  assert.deepEqual([db.table('tunnel').size, db.find('PIF', access.ref), await call('network.get_PIFs', network)], [0, undefined, []]); // prettier-ignore
});

test('controllers of the switch, and groups of receivers', async (t) => {
  const { call, xapi } = await bed(t);
  const { db, pool } = xapi;
  await assert.rejects(call('SDN_controller.introduce', 'ssl', 'x', 0), failed('INVALID_IP_ADDRESS_SPECIFIED'));
  const made: string = await call('SDN_controller.introduce', 'ssl', '192.0.2.1', 0);
  assert.equal(await call('SDN_controller.get_port', made), 6632);
  await assert.rejects(call('SDN_controller.introduce', 'pssl', '', 0), failed('OPERATION_NOT_ALLOWED'));
  await call('SDN_controller.forget', made);
  assert.equal(db.table('SDN_controller').size, 0);
  await call('pool.set_vswitch_controller', '192.0.2.2');
  assert.equal([...db.table('SDN_controller').values()][0].text('address'), '192.0.2.2');
  assert.equal(pool.text('vswitch_controller'), '192.0.2.2');
  await call('pool.set_vswitch_controller', '');
  assert.deepEqual([db.table('SDN_controller').size, pool.text('vswitch_controller')], [0, '']);
  await call('PIF.scan', xapi.hostRef);
  await call('pool.set_igmp_snooping_enabled', pool.ref, true);
  assert.equal(pool.flag('igmp_snooping_enabled'), true);
  for (const pif of db.table('PIF').values()) assert.equal(pif.text('igmp_snooping_status'), 'enabled');
});

test('a host that has bridges says so', async (t) => {
  const { call, xapi, simulator } = await bed(t);
  Object.assign(simulator, { backend: 'bridge' });
  const network: string = await call('network.create', NETWORK);
  const refused = failed('OPENVSWITCH_NOT_ACTIVE');
  await call('PIF.scan', xapi.hostRef);
  const pif = [...xapi.db.table('PIF').keys()][0];
  await assert.rejects(call('tunnel.create', pif, network), refused);
  await assert.rejects(call('SDN_controller.introduce', 'ssl', '192.0.2.1', 0), refused);
  await assert.rejects(call('pool.set_vswitch_controller', ''), refused);
  await assert.rejects(call('pool.set_igmp_snooping_enabled', xapi.pool.ref, true), refused);
  await assert.rejects(call('tunnel.destroy', NULL), failed('HANDLE_INVALID'));
});
