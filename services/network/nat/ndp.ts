// Neighbour discovery and router advertisements (RFC 4861, 8106), as the gateway speaks them.
import { icmpFrame, type Ends } from '../protocol/build.ts';
import { macBytes, put16, put32, type Frame } from '../protocol/frame.ts';
import type { Plan } from './plan.ts';

export const ND = { routerSolicitation: 133, routerAdvertisement: 134, solicitation: 135, advertisement: 136 } as const;
/** Neighbour discovery counts only from the link itself. */
const HOPS = 255;
const FOREVER = 0xffffffff;
/** The router's own lifetime; it says so again well before. */
export const ROUTER_SECONDS = 9000;
/** Addresses may come from DHCP, too. */
const MANAGED_AND_OTHER = 0xc0;
const ROUTER_SOLICITED_OVERRIDE = 0xe0000000;

export function advertisement(ends: Ends, target: Uint8Array, solicited: boolean): Frame {
  const data = new Uint8Array(24);
  data.set(target);
  data.set([2, 1], 16);
  data.set(macBytes(ends.fromMac), 18);
  const flags = solicited ? ROUTER_SOLICITED_OVERRIDE : 0xa0000000;
  return icmpFrame(ends, ND.advertisement, 0, flags, data, HOPS);
}

/** Asks who has an address: to its solicited-node group. */
export function solicitation(fromMac: number, from: Uint8Array, target: Uint8Array): Frame {
  const to = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...target.subarray(13));
  const toMac = 0x3333ff000000 + ((target[13]! << 16) | (target[14]! << 8) | target[15]!);
  const data = new Uint8Array(24);
  data.set(target);
  data.set([1, 1], 16);
  data.set(macBytes(fromMac), 18);
  return icmpFrame({ fromMac, toMac, from, to }, ND.solicitation, 0, 0, data, HOPS);
}

export function routerAdvertisement(ends: Ends, plan: Plan, mtu: number): Frame {
  const data = new Uint8Array(8 + 8 + 8 + 32 + 24);
  let at = 8; // reachable and retransmission time: the host's own
  data.set([1, 1], at);
  data.set(macBytes(ends.fromMac), at + 2);
  at += 8;
  data.set([5, 1], at);
  put32(data, at + 4, mtu);
  at += 8;
  data.set([3, 4, 64, 0xc0], at); // on this link, and addresses may be made with it
  put32(data, at + 4, FOREVER);
  put32(data, at + 8, FOREVER);
  data.set(plan.subnet6.address, at + 16);
  at += 32;
  data.set([25, 3], at); // name servers
  put32(data, at + 4, FOREVER);
  data.set(plan.dns6, at + 8);
  const rest = new Uint8Array(4);
  rest.set([64, MANAGED_AND_OTHER]);
  put16(rest, 2, plan.options.outside || plan.options.hostLoopback ? ROUTER_SECONDS : 0);
  return icmpFrame(ends, ND.routerAdvertisement, 0, new DataView(rest.buffer).getUint32(0), data, HOPS);
}
