import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed, VM_RECORD } from '../testing.ts';

const failed = (code: string) => ({ code });

test('a guest is asked to take an address, if its agent can be', async (t) => {
  const { call, xapi, simulator } = await bed(t);
  const { db } = xapi;
  const vm: string = await call('VM.create', VM_RECORD);
  const network: string = await call('network.create', { name_label: 'n', name_description: '', MTU: 1500, other_config: {} }); // prettier-ignore
  const record = { device: '0', network, VM: vm, MAC: '', MTU: 1500, other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {} }; // prettier-ignore
  const vif: string = await call('VIF.create', record);
  const { uuid } = db.row('VM', vm);
  const four = (...rest: string[]) => call('VIF.configure_ipv4', vif, ...rest);
  await call('VM.start', vm, false, false);
  await assert.rejects(four('Static', '192.0.2.7/24', '192.0.2.1'), failed('VM_LACKS_FEATURE_STATIC_IP_SETTING'));
  xapi.xenops.onGuest(uuid, new Map([['attr/PVAddons/MajorVersion', '8'], ['control/feature-static-ip-setting', '1']])); // prettier-ignore
  for (const bad of ['192.0.2.7', '192.0.2.7/33', '::1/64', 'x/8', '1.2.3.4/8/8']) await assert.rejects(four('Static', bad, ''), failed('INVALID_CIDR_ADDRESS_SPECIFIED'), bad); // prettier-ignore
  await assert.rejects(four('Static', '192.0.2.7/24', 'x'), failed('INVALID_IP_ADDRESS_SPECIFIED'));
  await four('Static', '192.0.2.7/24', '192.0.2.1');
  await call('VIF.configure_ipv6', vif, 'Static', '2001:db8::7/64', '');
  const mac = db.row('VIF', vif).text('MAC');
  const both = { mac, ipv4: { address: '192.0.2.7/24', gateway: '192.0.2.1' }, ipv6: { address: '2001:db8::7/64', gateway: '' } }; // prettier-ignore
  assert.deepEqual(simulator.addressOf(uuid, 0), both);
  assert.deepEqual([await call('VIF.get_ipv4_configuration_mode', vif), await call('VIF.get_ipv4_addresses', vif)], ['Static', ['192.0.2.7/24']]); // prettier-ignore
  // It is asked again when it starts again.
  await call('VM.hard_reboot', vm);
  assert.deepEqual(simulator.addressOf(uuid, 0), both);
  xapi.xenops.onGuest(uuid, new Map([['attr/PVAddons/MajorVersion', '8'], ['control/feature-static-ip-setting', '1']])); // prettier-ignore
  await four('None', '', '');
  assert.deepEqual(simulator.addressOf(uuid, 0), { mac, ipv6: both.ipv6 });
  assert.deepEqual(await call('VIF.get_ipv4_addresses', vif), []);
});
