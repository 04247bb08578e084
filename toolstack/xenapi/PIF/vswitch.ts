/** What only hosts with a virtual switch have: tunnels, controllers of switches, groups of receivers. Others answer OPENVSWITCH_NOT_ACTIVE. */
import { isIP } from 'node:net';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import { macFor } from '../VM/create.ts';
import type { Xapi } from '../xapi.ts';
import { addPif, assertUnused, dropPif } from './records.ts';

function assertSwitch({ xenops }: Xapi): void {
  if (xenops.backend !== 'openvswitch') throw new Failure('OPENVSWITCH_NOT_ACTIVE');
}

// ---- tunnels

/** A packet that is wrapped needs an address of the interface that carries it. */
export function assertTransport({ db }: Xapi, pif: Row): void {
  for (const ref of pif.refs('tunnel_access_PIF_of')) {
    const transport = db.row('PIF', db.row('tunnel', ref).text('transport_PIF'));
    if (transport.text('ip_configuration_mode') === 'None')
      throw new Failure('TRANSPORT_PIF_NOT_CONFIGURED', transport.ref);
  }
}

function createTunnel(xapi: Xapi, transport: Row, network: Row, protocol: string): Row {
  const { db } = xapi;
  assertSwitch(xapi);
  if (!transport.flag('managed')) throw new Failure('PIF_UNMANAGED', transport.ref);
  if (transport.text('bond_slave_of') !== NULL_REF) throw new Failure('CANNOT_ADD_TUNNEL_TO_BOND_SLAVE', transport.ref);
  if (transport.refs('tunnel_access_PIF_of').length > 0) throw new Failure('IS_TUNNEL_ACCESS_PIF', transport.ref);
  const other = network.refs('PIFs')[0];
  if (other) throw new Failure('NETWORK_ALREADY_CONNECTED', xapi.hostRef, other);
  const used = new Set([...db.table('PIF').values()].map((pif) => pif.text('device')));
  let number = 0;
  while (used.has(`tunnel${number}`)) number++;
  return db.change(() => {
    const device = `tunnel${number}`;
    const MAC = macFor(network, device);
    const pif = addPif(xapi, { device, network: network.ref, MAC, physical: false, currently_attached: true });
    const made = db.create('tunnel', { access_PIF: pif.ref, transport_PIF: transport.ref, protocol, status: { active: 'true' } }); // prettier-ignore
    assertTransport(xapi, pif);
    return made;
  });
}

function destroyTunnel(xapi: Xapi, tunnel: Row): void {
  const pif = xapi.db.row('PIF', tunnel.text('access_PIF'));
  assertUnused(xapi, pif);
  xapi.db.change(() => {
    xapi.db.destroy(tunnel);
    dropPif(xapi, pif);
  });
}

// ---- controllers

function introduce(xapi: Xapi, protocol: string, address: string, port: number): Row {
  const { db } = xapi;
  assertSwitch(xapi);
  if (db.table('SDN_controller').size > 0) throw new Failure('OPERATION_NOT_ALLOWED', 'there is a controller already');
  // By `pssl` the switch waits for its controller, so there is no address.
  const waits = protocol === 'pssl';
  if (waits ? address !== '' : isIP(address) === 0) throw new Failure('INVALID_IP_ADDRESS_SPECIFIED', 'address');
  if (port < 0 || port > 65535 || (waits && port !== 0)) throw new Failure('VALUE_NOT_SUPPORTED', 'port', String(port), 'no TCP port'); // prettier-ignore
  return db.create('SDN_controller', { protocol, address, port: waits || port !== 0 ? port : 6632 });
}

export const vswitch: Handlers = {
  'tunnel.create': (args, { xapi }) =>
    createTunnel(xapi, args.row('transport_PIF'), args.row('network'), args.text('protocol')).ref,
  'tunnel.destroy': (args, { xapi }) => destroyTunnel(xapi, args.row('self')),
  'SDN_controller.introduce': (args, { xapi }) =>
    introduce(xapi, args.text('protocol'), args.text('address'), args.number('port')).ref,
  'SDN_controller.forget': (args, { xapi }) => xapi.db.destroy(args.row('self')),
  // The same in older clients' words; an empty address is none.
  'pool.set_vswitch_controller': (args, { xapi }) => {
    const address = args.text('address');
    assertSwitch(xapi);
    xapi.db.change(() => {
      for (const row of [...xapi.db.table('SDN_controller').values()]) xapi.db.destroy(row);
      if (address !== '') introduce(xapi, 'ssl', address, 0);
      xapi.db.set(xapi.pool, { vswitch_controller: address });
    });
  },
  'pool.set_igmp_snooping_enabled': (args, { xapi }) => {
    const value = args.flag('value');
    assertSwitch(xapi);
    xapi.db.change(() => {
      xapi.db.set(args.row('self'), { igmp_snooping_enabled: value });
      for (const pif of xapi.db.table('PIF').values()) xapi.db.set(pif, { igmp_snooping_status: value ? 'enabled' : 'disabled' }); // prettier-ignore
    });
  },
};
