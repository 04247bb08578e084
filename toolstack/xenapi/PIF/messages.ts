/** Interfaces of the host, tags upon them, and several of them as one. */
import { isIP } from 'node:net';
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import { addPif, assertUnused, dropPif } from './records.ts';
import { assertTransport, vswitch } from './vswitch.ts';

const MAX_TAG = 4094;

function onThisHost(xapi: Xapi, ref: string): void {
  if (ref !== xapi.hostRef) throw new Failure('HOST_OFFLINE', ref);
}

// ---- VLANs

function createVlan(xapi: Xapi, tagged: Row, tag: number, network: Row): Row {
  const { db } = xapi;
  if (tag < 0 || tag > MAX_TAG) throw new Failure('VLAN_TAG_INVALID', String(tag));
  if (tagged.number('VLAN') >= 0) throw new Failure('PIF_IS_VLAN', tagged.ref);
  if (tagged.text('bond_slave_of') !== NULL_REF) throw new Failure('CANNOT_ADD_VLAN_TO_BOND_SLAVE', tagged.ref);
  const same = tagged.refs('VLAN_slave_of').find((ref) => db.row('VLAN', ref).number('tag') === tag);
  if (same) throw new Failure('PIF_VLAN_EXISTS', db.row('VLAN', same).text('untagged_PIF'));
  const other = network.refs('PIFs')[0];
  if (other) throw new Failure('NETWORK_ALREADY_CONNECTED', xapi.hostRef, other);
  return db.change(() => {
    const [MAC, MTU, device] = [tagged.text('MAC'), tagged.number('MTU'), tagged.text('device')];
    const pif = addPif(xapi, { device, network: network.ref, MAC, MTU, VLAN: tag, physical: false, currently_attached: true }); // prettier-ignore
    const vlan = db.create('VLAN', { tagged_PIF: tagged.ref, untagged_PIF: pif.ref, tag });
    db.set(pif, { VLAN_master_of: vlan.ref });
    return vlan;
  });
}

function destroyVlan(xapi: Xapi, vlan: Row): void {
  const pif = xapi.db.row('PIF', vlan.text('untagged_PIF'));
  assertUnused(xapi, pif);
  xapi.db.change(() => {
    dropPif(xapi, pif);
    xapi.db.destroy(vlan);
  });
}

function byDevice(xapi: Xapi, device: string): Row {
  const found = xapi.host
    .refs('PIFs')
    .map((ref) => xapi.db.row('PIF', ref))
    .find((pif) => pif.text('device') === device && pif.number('VLAN') < 0);
  if (!found)
    throw new Failure('COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS', device, '');
  return found;
}

const untagged = (vlan: Row): string => vlan.text('untagged_PIF');

const vlans: Handlers = {
  'VLAN.create': (args, { xapi }) =>
    createVlan(xapi, args.row('tagged_PIF'), args.number('tag'), args.row('network')).ref,
  'VLAN.destroy': (args, { xapi }) => destroyVlan(xapi, args.row('self')),
  'PIF.create_VLAN': (args, { xapi }) => {
    onThisHost(xapi, args.text('host'));
    return untagged(createVlan(xapi, byDevice(xapi, args.text('device')), args.number('VLAN'), args.row('network')));
  },
  'PIF.destroy': (args, { xapi }) => {
    const pif = args.row('self');
    if (pif.text('VLAN_master_of') === NULL_REF) throw new Failure('PIF_IS_PHYSICAL', pif.ref);
    destroyVlan(xapi, xapi.db.row('VLAN', pif.text('VLAN_master_of')));
  },
  'pool.create_VLAN': (args, { xapi }) => [
    untagged(createVlan(xapi, byDevice(xapi, args.text('device')), args.number('VLAN'), args.row('network'))),
  ],
  'pool.create_VLAN_from_PIF': (args, { xapi }) => [
    untagged(createVlan(xapi, args.row('pif'), args.number('VLAN'), args.row('network'))),
  ],
};

// ---- bonds

/** What moves from one interface to another that stands for it. */
const ADDRESS = [
  ...['ip_configuration_mode', 'IP', 'netmask', 'gateway', 'DNS', 'ipv6_configuration_mode', 'IPv6', 'ipv6_gateway'],
  ...['primary_address_type', 'management'],
];
const NO_ADDRESS = {
  ...{ ip_configuration_mode: 'None', IP: '', netmask: '', gateway: '', DNS: '', management: false },
  ...{ ipv6_configuration_mode: 'None', IPv6: [], ipv6_gateway: '' },
};

function move({ db }: Xapi, from: Row, to: Row): void {
  db.set(to, Object.fromEntries(ADDRESS.map((field) => [field, from.fields[field] as Value])));
  db.set(from, NO_ADDRESS);
  for (const ref of from.refs('VLAN_slave_of')) {
    const vlan = db.row('VLAN', ref);
    db.set(vlan, { tagged_PIF: to.ref });
    db.set(db.row('PIF', untagged(vlan)), { device: to.text('device'), MAC: to.text('MAC') });
  }
}

function createBond(xapi: Xapi, args: Arguments): Row {
  const { db } = xapi;
  const members = [...new Set(args.list('members'))].map((ref) => db.row('PIF', ref));
  const network = args.row('network');
  if (members.length < 2) throw new Failure('PIF_BOND_NEEDS_MORE_MEMBERS');
  for (const pif of members) {
    if (pif.text('bond_slave_of') !== NULL_REF) throw new Failure('PIF_ALREADY_BONDED', pif.ref);
    if (!pif.flag('physical')) throw new Failure('PIF_NOT_PHYSICAL', pif.ref);
  }
  const connected = network.refs('PIFs')[0];
  if (connected) throw new Failure('NETWORK_ALREADY_CONNECTED', xapi.hostRef, connected);
  const primary = members.find((pif) => pif.flag('management')) ?? members[0];
  const MAC = args.text('MAC') || primary.text('MAC');
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(MAC)) throw new Failure('MAC_INVALID', MAC);
  let number = 0;
  const used = new Set([...db.table('PIF').values()].map((pif) => pif.text('device')));
  while (used.has(`bond${number}`)) number++;
  return db.change(() => {
    const master = addPif(xapi, { device: `bond${number}`, network: network.ref, MAC, physical: false, currently_attached: true }); // prettier-ignore
    const bond = db.create('Bond', {
      ...{
        master: master.ref,
        primary_slave: primary.ref,
        mode: args.text('mode'),
        properties: args.map('properties'),
      },
      ...{ links_up: members.length, auto_update_mac: args.text('MAC') === '' },
    });
    for (const pif of [primary, ...members.filter((each) => each !== primary)]) {
      if (pif === primary) move(xapi, pif, master);
      else for (const ref of pif.refs('VLAN_slave_of')) db.set(db.row('VLAN', ref), { tagged_PIF: master.ref });
      db.set(pif, { bond_slave_of: bond.ref, currently_attached: false, ...NO_ADDRESS });
    }
    return bond;
  });
}

function destroyBond(xapi: Xapi, bond: Row): void {
  const { db } = xapi;
  const master = db.row('PIF', bond.text('master'));
  assertUnused(xapi, master);
  db.change(() => {
    for (const ref of bond.refs('slaves')) db.set(db.row('PIF', ref), { bond_slave_of: NULL_REF, currently_attached: true }); // prettier-ignore
    move(xapi, master, db.row('PIF', bond.text('primary_slave')));
    db.destroy(bond);
    dropPif(xapi, master);
  });
}

const bonds: Handlers = {
  'Bond.create': (args, { xapi }) => createBond(xapi, args).ref,
  'Bond.destroy': (args, { xapi }) => destroyBond(xapi, args.row('self')),
  'Bond.set_mode': (args, { xapi }) => xapi.db.set(args.row('self'), { mode: args.text('value') }),
  'Bond.set_property': (args, { xapi }) => {
    const bond = args.row('self');
    const name = args.text('name');
    if (!['hashing_algorithm', 'lacp-time', 'lacp-aggregation-key', 'lacp-fallback-ab'].includes(name))
      throw new Failure('INVALID_VALUE', 'properties', name);
    xapi.db.set(bond, { properties: { ...bond.map('properties'), [name]: args.text('value') } });
  },
};

// ---- interfaces

/** Interfaces that the machine has, and records of them. */
function scan(xapi: Xapi): void {
  const known = new Set(xapi.host.refs('PIFs').map((ref) => xapi.db.row('PIF', ref).text('device')));
  for (const { device, mac } of xapi.xenops.interfaces()) if (!known.has(device)) introduce(xapi, device, mac, true);
}

function introduce(xapi: Xapi, device: string, MAC: string, managed: boolean): Row {
  const { db } = xapi;
  return db.change(() => {
    const used = new Set([...db.table('network').values()].map((row) => row.text('bridge')));
    let number = 0;
    while (used.has(`xenbr${number}`)) number++;
    const name_label = `Pool-wide network associated with ${device}`;
    const network = db.create('network', { name_label, bridge: `xenbr${number}` });
    return addPif(xapi, { device, MAC, managed, network: network.ref, physical: true, currently_attached: false });
  });
}

function assertPhysical(pif: Row): void {
  if (!pif.flag('physical')) throw new Failure('PIF_NOT_PHYSICAL', pif.ref);
}

/** The addresses of a real machine's interfaces are its owner's to choose. */
function assertConfigurable({ xenops }: Xapi, pif: Row): void {
  if (pif.text('bond_slave_of') !== NULL_REF) throw new Failure('PIF_ALREADY_BONDED', pif.ref);
  if (!xenops.configures || !pif.flag('managed')) throw new Failure('PIF_UNMANAGED', pif.ref);
}

function checkIp(text: string, name: string, family: number, empty: boolean): void {
  if (text === '' && empty) return;
  if (isIP(text.split('/')[0]) !== family) throw new Failure('INVALID_IP_ADDRESS_SPECIFIED', name);
}

const interfaces: Handlers = {
  'PIF.scan': (args, { xapi }) => {
    onThisHost(xapi, args.text('host'));
    scan(xapi);
  },
  'PIF.introduce': (args, { xapi }) => {
    onThisHost(xapi, args.text('host'));
    const mac = args.text('MAC').toLowerCase();
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) throw new Failure('MAC_INVALID', mac);
    const found = xapi.xenops.interfaces().find((each) => each.mac.toLowerCase() === mac);
    if (!found) throw new Failure('MAC_DOES_NOT_EXIST', mac);
    const known = xapi.host.refs('PIFs').map((ref) => xapi.db.row('PIF', ref));
    if (known.some((pif) => pif.flag('physical') && pif.text('MAC').toLowerCase() === mac))
      throw new Failure('DUPLICATE_MAC_SEED', mac);
    return introduce(xapi, args.text('device') || found.device, mac, args.flag('managed')).ref;
  },
  'PIF.forget': (args, { xapi }) => {
    const pif = args.row('self');
    assertPhysical(pif);
    if (pif.flag('management')) throw new Failure('PIF_IS_MANAGEMENT_INTERFACE', pif.ref);
    if (pif.text('bond_slave_of') !== NULL_REF) throw new Failure('PIF_ALREADY_BONDED', pif.ref);
    if (pif.refs('VLAN_slave_of').length > 0) throw new Failure('PIF_VLAN_STILL_EXISTS', pif.ref);
    if (pif.refs('tunnel_transport_PIF_of').length > 0) throw new Failure('PIF_TUNNEL_STILL_EXISTS', pif.ref);
    assertUnused(xapi, pif);
    dropPif(xapi, pif);
  },
  'PIF.plug': (args, { xapi }) => {
    const pif = args.row('self');
    if (pif.text('bond_slave_of') !== NULL_REF) throw new Failure('CANNOT_PLUG_BOND_SLAVE', pif.ref);
    assertTransport(xapi, pif);
    xapi.db.set(pif, { currently_attached: true });
  },
  'PIF.unplug': (args, { xapi }) => {
    const pif = args.row('self');
    if (pif.flag('management')) throw new Failure('PIF_IS_MANAGEMENT_INTERFACE', pif.ref);
    if (pif.flag('disallow_unplug')) throw new Failure('PIF_DOES_NOT_ALLOW_UNPLUG', pif.ref);
    assertUnused(xapi, pif);
    xapi.db.set(pif, { currently_attached: false });
  },
  'PIF.set_disallow_unplug': (args, { xapi }) => xapi.db.set(args.row('self'), { disallow_unplug: args.flag('value') }),
  'PIF.reconfigure_ip': (args, { xapi }) => {
    const pif = args.row('self');
    const [mode, IP, netmask] = [args.text('mode'), args.text('IP'), args.text('netmask')];
    const [gateway, DNS] = [args.text('gateway'), args.text('DNS')];
    const fixed = mode === 'Static';
    if (fixed) {
      checkIp(IP, 'IP', 4, false);
      checkIp(netmask, 'netmask', 4, false);
      checkIp(gateway, 'gateway', 4, true);
      for (const each of DNS.split(',').filter(Boolean)) if (isIP(each.trim()) === 0) throw new Failure('INVALID_IP_ADDRESS_SPECIFIED', 'DNS'); // prettier-ignore
    }
    if (mode === 'None' && pif.flag('management')) throw new Failure('PIF_IS_MANAGEMENT_INTERFACE', pif.ref);
    assertConfigurable(xapi, pif);
    const kept: Record<string, Value> = fixed ? { IP, netmask, gateway, DNS } : mode === 'None' ? { IP: '', netmask: '', gateway: '', DNS: '' } : {}; // prettier-ignore
    xapi.db.set(pif, { ip_configuration_mode: mode, ...kept });
  },
  'PIF.reconfigure_ipv6': (args, { xapi }) => {
    const pif = args.row('self');
    const [mode, IPv6, gateway] = [args.text('mode'), args.text('IPv6'), args.text('gateway')];
    if (mode === 'Static') {
      checkIp(IPv6, 'IPv6', 6, false);
      checkIp(gateway, 'gateway', 6, true);
    }
    assertConfigurable(xapi, pif);
    const fixed: Record<string, Value> = mode === 'Static' ? { IPv6: [IPv6], ipv6_gateway: gateway } : mode === 'None' ? { IPv6: [], ipv6_gateway: '' } : {}; // prettier-ignore
    xapi.db.set(pif, { ipv6_configuration_mode: mode, ...fixed });
  },
  'PIF.set_primary_address_type': (args, { xapi }) => {
    const pif = args.row('self');
    const type = args.text('primary_address_type');
    assertConfigurable(xapi, pif);
    const there = type === 'IPv4' ? pif.text('ip_configuration_mode') : pif.text('ipv6_configuration_mode');
    if (there === 'None') throw new Failure('PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE', pif.ref);
    xapi.db.set(pif, { primary_address_type: type });
  },
  'PIF.set_property': (args, { xapi }) => {
    const pif = args.row('self');
    const [name, value] = [args.text('name'), args.text('value')];
    if (name !== 'gro' || !['on', 'off'].includes(value)) throw new Failure('INVALID_VALUE', 'properties', `${name} = ${value}`); // prettier-ignore
    xapi.db.set(pif, { properties: { ...pif.map('properties'), [name]: value } });
  },
  'PIF.db_forget': (args, { xapi }) => dropPif(xapi, args.row('self')),
  'PIF.db_introduce': (args, { xapi }) => {
    onThisHost(xapi, args.text('host'));
    const values: Record<string, Value> = {};
    for (const field of ['device', 'network', 'MAC', 'MTU', 'VLAN', 'physical', 'ip_configuration_mode', 'IP', 'netmask', 'gateway', 'DNS', 'bond_slave_of', 'VLAN_master_of', 'management', 'other_config', 'disallow_unplug', 'ipv6_configuration_mode', 'IPv6', 'ipv6_gateway', 'primary_address_type', 'managed', 'properties']) // prettier-ignore
      values[field] = args.value(field);
    return xapi.db.change(() => addPif(xapi, { ...values, currently_attached: false }).ref);
  },
};

export const PIF: Handlers = { ...interfaces, ...vlans, ...bonds, ...vswitch };
