// A port's lock, as XenAPI has it for VIFs: what a locked port may send is what its owner was given: its MAC address and
// the listed IP addresses, in ARP and neighbour discovery too.
import { ETHER, macAt, parseIp, PROTOCOL, u16, type Packet } from '../protocol/frame.ts';

export interface Lock {
  mac: number;
  /** IPv4 and IPv6 addresses as bytes in lower-case hexadecimal. */
  addresses: ReadonlySet<string>;
}

export const hex = (b: Uint8Array, at: number, length: number): string =>
  Buffer.from(b.buffer, b.byteOffset + at, length).toString('hex');

/** The link-local address that a host makes of its MAC address (RFC 4291, appendix A). */
export function linkLocal(mac: number): string {
  const text = mac.toString(16).padStart(12, '0');
  const first = (parseInt(text.slice(0, 2), 16) ^ 2).toString(16).padStart(2, '0');
  return `fe80000000000000${first}${text.slice(2, 6)}fffe${text.slice(6)}`;
}

const ANY4 = '00000000';
const ANY6 = '0'.repeat(32);
const ARP_SIZE = 28;

/** Whether a locked port may send this untagged frame. */
export function permitted(b: Uint8Array, lock: Lock): boolean {
  if (macAt(b, 6) !== lock.mac) return false;
  const type = u16(b, ETHER.type);
  if (type === ETHER.arp) return arpPermitted(b, lock);
  const packet = parseIp(b);
  if (!packet) return false;
  return packet.version === 4 ? v4Permitted(b, packet, lock) : v6Permitted(b, packet, lock);
}

function arpPermitted(b: Uint8Array, lock: Lock): boolean {
  if (b.length < ETHER.size + ARP_SIZE || macAt(b, ETHER.size + 8) !== lock.mac) return false;
  const sender = hex(b, ETHER.size + 14, 4);
  // A probe (RFC 5227) asks for an address before it is used: only for one that may be.
  return lock.addresses.has(sender === ANY4 ? hex(b, ETHER.size + 24, 4) : sender);
}

function v4Permitted(b: Uint8Array, { ip, protocol, payload, end, fragment }: Packet, lock: Lock): boolean {
  const source = hex(b, ip + 12, 4);
  if (lock.addresses.has(source)) return true;
  if (source !== ANY4 || protocol !== PROTOCOL.udp || fragment !== 'none' || payload + 8 > end) return false;
  return u16(b, payload) === 68 && u16(b, payload + 2) === 67; // DHCP, from a client without an address
}

const ND = { solicitation: 135, advertisement: 136 };
/** What is said before there is an address: router solicitations, multicast listener reports. */
const EARLY = new Set([131, 132, 133, 143]);
/** What nobody but a router says: advertisements and redirects. */
const ROUTERS = new Set([134, 137]);

function v6Permitted(b: Uint8Array, { ip, protocol, payload, end }: Packet, lock: Lock): boolean {
  const source = hex(b, ip + 8, 16);
  const own = (address: string) => lock.addresses.has(address) || address === linkLocal(lock.mac);
  if (protocol !== PROTOCOL.icmp6 || payload >= end) return own(source);
  const type = b[payload]!;
  if (ROUTERS.has(type)) return false;
  if (type !== ND.solicitation && type !== ND.advertisement) return own(source) || (source === ANY6 && EARLY.has(type));
  if (payload + 24 > end) return false;
  const target = hex(b, payload + 8, 16);
  if (type === ND.advertisement) return own(source) && own(target) && linkOptionsHold(b, payload + 24, end, lock.mac);
  // From no address: duplicate address detection, of the address that will be used.
  return source === ANY6 ? own(target) : own(source) && linkOptionsHold(b, payload + 24, end, lock.mac);
}

/** Whether each link-layer address among neighbour discovery's options is the port's own. */
function linkOptionsHold(b: Uint8Array, from: number, end: number, mac: number): boolean {
  let at = from;
  while (at + 8 <= end) {
    const length = 8 * b[at + 1]!;
    if (length === 0 || at + length > end) return false;
    if (b[at]! <= 2 && macAt(b, at + 2) !== mac) return false;
    at += length;
  }
  return at === end;
}
