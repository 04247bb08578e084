// A network's plan: its addresses, and what its guests may reach through its gateway.
import { getServers } from 'node:dns';
import { host, inside, parseSubnet, special, type Subnet } from './addresses.ts';

export interface NatOptions {
  /** IPv4 network, at least a /30 and at most a /8. */
  subnet4: string;
  /** IPv6 network, a /64. */
  subnet6: string;
  /** Guests reach the host's loopback at the gateway's address. */
  hostLoopback: boolean;
  /** Guests reach other machines through the host. */
  outside: boolean;
  /** Name servers, as dns.getServers() lists them: those of the host unless given. */
  dns?: string[];
  /** Connections of a guest, and its UDP ports, at a time. */
  connections?: number;
  ports?: number;
}

export const DEFAULTS: NatOptions = { subnet4: '10.0.2.0/24', subnet6: 'fd00:10:0:2::/64', hostLoopback: false, outside: true }; // prettier-ignore

export const GATEWAY = 2;
export const DNS = 3;
/** The first address that is given out: 10.0.2.15, as people know it. */
export const FIRST_LEASE = 15;
/** Guests see the gateway at this address whatever network it is. */
export const GATEWAY_MAC = 0x525400000002;

export interface Plan {
  options: NatOptions;
  subnet4: Subnet;
  subnet6: Subnet;
  gateway4: Uint8Array;
  gateway6: Uint8Array;
  /** fe80::2, in router advertisements */
  gatewayLocal: Uint8Array;
  dns4: Uint8Array;
  dns6: Uint8Array;
}

/** The plan of these options, or a sentence that says why there is none. */
export function plan(options: NatOptions): Plan | string {
  const subnet4 = parseSubnet(options.subnet4);
  const subnet6 = parseSubnet(options.subnet6);
  if (!subnet4 || subnet4.address.length !== 4 || subnet4.bits < 8 || subnet4.bits > 28)
    return `${options.subnet4} is no IPv4 network from /8 to /28, such as 10.0.2.0/24`;
  if (!subnet6 || subnet6.address.length !== 16 || subnet6.bits !== 64)
    return `${options.subnet6} is no IPv6 network with a /64 prefix, such as fd00:10:0:2::/64`;
  if (special(host(subnet4, 1)) || special(host(subnet6, 1)))
    return `${options.subnet4} and ${options.subnet6} cannot be a network of guests: one of them has a meaning of its own`;
  const [gateway4, gateway6] = [host(subnet4, GATEWAY), host(subnet6, GATEWAY)];
  const gatewayLocal = host({ address: Uint8Array.of(0xfe, 0x80, ...new Uint8Array(14)), bits: 64 }, GATEWAY);
  return { options, subnet4, subnet6, gateway4, gateway6, gatewayLocal, dns4: host(subnet4, DNS), dns6: host(subnet6, DNS) }; // prettier-ignore
}

export interface Server {
  address: string;
  port: number;
}

/** The name server that answers for the network; undefined if the host has none. */
export function nameServer({ options }: Plan): Server | undefined {
  const [first] = options.dns ?? getServers();
  if (first === undefined) return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(first);
  return match ? { address: (match[1] ?? match[2])!, port: Number(match[3]) } : { address: first, port: 53 };
}

export type Way = { to: Server; as: 'host' | 'dns' | 'outside' } | undefined;

/** Where what a guest sends to an address and port really goes; undefined if nowhere. */
export function way(p: Plan, address: Uint8Array, text: string, port: number): Way {
  const is = (other: Uint8Array) => Buffer.compare(address, other) === 0;
  if (is(p.dns4) || is(p.dns6)) {
    const server = port === 53 ? nameServer(p) : undefined;
    return server && { to: server, as: 'dns' };
  }
  if (is(p.gateway4) || is(p.gateway6))
    return p.options.hostLoopback ? { to: { address: is(p.gateway4) ? '127.0.0.1' : '::1', port }, as: 'host' } : undefined; // prettier-ignore
  if (!p.options.outside || special(address) || inside(p.subnet4, address) || inside(p.subnet6, address)) return undefined; // prettier-ignore
  return { to: { address: text, port }, as: 'outside' };
}
