import { isIP } from 'node:net';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Xapi } from '../xapi.ts';
import type { NicDescription } from '../xenops/xenops.ts';

/** Kilobytes a second, as `ratelimit` of XenAPI counts. */
const KBPS = 1024;

/** What passes, after the network's own word. */
function lockingMode({ db, hostRef }: Xapi, vif: Row): string {
  const mode = vif.text('locking_mode');
  const network = db.row('network', vif.text('network'));
  const found = mode === 'network_default' ? network.text('default_locking_mode') : mode;
  // Nothing below can keep an interface silent.
  if (found === 'disabled') throw new Failure('HOST_CANNOT_ATTACH_NETWORK', hostRef, network.ref);
  return found;
}

/** A network upon a VLAN is that tag on the bridge of the interface below it. */
function tagOf({ db }: Xapi, network: Row): { bridge: string; vlan: number } | undefined {
  for (const ref of network.refs('PIFs')) {
    const vlan = db.find('VLAN', db.row('PIF', ref).text('VLAN_master_of'));
    const below = vlan && db.find('network', db.row('PIF', vlan.text('tagged_PIF')).text('network'));
    if (vlan && below) return { bridge: below.text('bridge'), vlan: vlan.number('tag') };
  }
  return undefined;
}

export function describeNic(xapi: Xapi, vif: Row): NicDescription {
  const network = xapi.db.row('network', vif.text('network'));
  const locked = lockingMode(xapi, vif) === 'locked';
  const addresses = locked ? [...vif.refs('ipv4_allowed'), ...vif.refs('ipv6_allowed')] : [];
  if (locked && addresses.length === 0) throw new Failure('HOST_CANNOT_ATTACH_NETWORK', xapi.hostRef, network.ref);
  const limited = vif.text('qos_algorithm_type') === 'ratelimit';
  const kbps = limited ? Number(vif.map('qos_algorithm_params').kbps) : 0;
  const tag = tagOf(xapi, network);
  return {
    ...(tag && { vlan: tag.vlan }),
    ...{ device: Number(vif.text('device')), mac: vif.text('MAC'), mtu: vif.number('MTU') || 1500 },
    ...{
      bridge: tag?.bridge ?? network.text('bridge'),
      addresses,
      rate: Number.isFinite(kbps) && kbps > 0 ? Math.floor(kbps * KBPS) : 0,
    },
  };
}

export function checkAddress(text: string, family: 4 | 6): void {
  if (isIP(text) !== family) throw new Failure('INVALID_IP_ADDRESS_SPECIFIED', `ipv${family}_allowed`);
}
