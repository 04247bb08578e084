// Ethernet frames as they pass between ports, with what netif's front ends and back ends tell each other about them.

/** What a frame's TCP or UDP checksum is: in the frame and unchecked, in the frame and known to be right, or blank: only
 * the pseudo header's sum is there, and whoever puts the frame on a wire fills it in (XEN_NETTXF_csum_blank). */
export const CHECKSUM = { unchecked: 0, validated: 1, blank: 2 } as const;
export type Checksum = (typeof CHECKSUM)[keyof typeof CHECKSUM];

/** XEN_NETIF_GSO_TYPE_* */
export const GSO = { none: 0, tcpv4: 1, tcpv6: 2 } as const;
export type Gso = (typeof GSO)[keyof typeof GSO];

/** Where a frame's bytes are used again once nobody holds them. */
export interface Kept {
  readonly at: number;
  readonly bytes: Uint8Array;
  hold(): void;
  release(): void;
}

export interface Frame {
  /** The frame without its check sequence. Whoever has been given a frame does not change its bytes: others have it too. */
  readonly bytes: Uint8Array;
  readonly checksum: Checksum;
  /** Whether the frame stands for many, of `segment` bytes of TCP data each. */
  readonly gso: Gso;
  readonly segment: number;
  /** The bytes' place, if they last only as long as the call that gives the frame: who needs them longer holds it. */
  readonly kept?: Kept | undefined;
}

/** What the other side of a port does itself. */
export interface Offload {
  /** fills blank checksums in, of IPv4 and of IPv6 */
  checksumV4: boolean;
  checksumV6: boolean;
  gsoV4: boolean;
  gsoV6: boolean;
}

export const NO_OFFLOAD: Offload = { checksumV4: false, checksumV6: false, gsoV4: false, gsoV6: false };
export const FULL_OFFLOAD: Offload = { checksumV4: true, checksumV6: true, gsoV4: true, gsoV6: true };

export const plain = (bytes: Uint8Array): Frame => ({ bytes, checksum: CHECKSUM.unchecked, gso: GSO.none, segment: 0 });

export const ETHER = { size: 14, type: 12, ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
export const PROTOCOL = { icmp: 1, igmp: 2, tcp: 6, udp: 17, icmp6: 58 } as const;

/** A MAC address as a number, of the bytes at `at`. */
export const macAt = (b: Uint8Array, at: number): number =>
  (b[at]! * 256 + b[at + 1]!) * 2 ** 32 +
  (((b[at + 2]! << 24) | (b[at + 3]! << 16) | (b[at + 4]! << 8) | b[at + 5]!) >>> 0);

export const MAC_BROADCAST = 0xffff_ffff_ffff;
/** Multicast, broadcast included. */
export const isGroup = (mac: number): boolean => Math.floor(mac / 2 ** 40) % 2 === 1;

export function macBytes(mac: number): Uint8Array {
  const bytes = new Uint8Array(6);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(mac / 2 ** 32));
  view.setUint32(2, mac % 2 ** 32);
  return bytes;
}

export const macText = (mac: number): string =>
  [...macBytes(mac)].map((b) => b.toString(16).padStart(2, '0')).join(':');

/** `aa:bb:cc:dd:ee:ff`, or undefined. */
export function parseMac(text: string): number | undefined {
  if (!/^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i.test(text)) return undefined;
  return text.split(':').reduce((mac, part) => mac * 256 + parseInt(part, 16), 0);
}

export const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
export const u32 = (b: Uint8Array, at: number): number => ((b[at]! << 24) | (b[at + 1]! << 16) | u16(b, at + 2)) >>> 0;
export function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >> 8;
  b[at + 1] = value;
}
export function put32(b: Uint8Array, at: number, value: number): void {
  put16(b, at, value >>> 16);
  put16(b, at + 2, value);
}

/** Where the parts of an IP packet lie in its frame. Everything has been checked against the frame's length. */
export interface Packet {
  version: 4 | 6;
  /** Where the IP header begins, and the packet ends: a frame may be padded. */
  ip: number;
  end: number;
  /** Of the payload, after IPv6's extension headers. */
  protocol: number;
  payload: number;
  /** A part of a larger packet: the first one has its protocol's header, others not even that. */
  fragment: 'none' | 'first' | 'later';
}

/** IPv6 extension headers that are looked behind, at most so many. */
const EXTENSIONS = new Set([0, 43, 60]);
const MOST_EXTENSIONS = 8;
const FRAGMENT = 44;

/** The IP packet in an untagged frame; undefined if there is none, or none that is whole. `at` is where it begins. */
export function parseIp(b: Uint8Array, at: number = ETHER.size): Packet | undefined {
  const type = at === 0 ? (b[0]! >> 4 === 4 ? ETHER.ipv4 : ETHER.ipv6) : u16(b, at - 2);
  if (type === ETHER.ipv4) return parseV4(b, at);
  return type === ETHER.ipv6 ? parseV6(b, at) : undefined;
}

function parseV4(b: Uint8Array, ip: number): Packet | undefined {
  if (b.length < ip + 20 || b[ip]! >> 4 !== 4) return undefined;
  const payload = ip + (b[ip]! & 15) * 4;
  const end = ip + u16(b, ip + 2);
  if (payload < ip + 20 || payload > end || end > b.length) return undefined;
  const more = u16(b, ip + 6) & 0x3fff;
  const fragment = more === 0 ? 'none' : (more & 0x1fff) === 0 ? 'first' : 'later';
  return { version: 4, ip, end, protocol: b[ip + 9]!, payload, fragment };
}

function parseV6(b: Uint8Array, ip: number): Packet | undefined {
  if (b.length < ip + 40 || b[ip]! >> 4 !== 6) return undefined;
  const end = ip + 40 + u16(b, ip + 4);
  if (end > b.length) return undefined;
  let protocol = b[ip + 6]!;
  let payload = ip + 40;
  let fragment: Packet['fragment'] = 'none';
  for (let i = 0; EXTENSIONS.has(protocol) || protocol === FRAGMENT; i++) {
    if (i === MOST_EXTENSIONS || payload + 8 > end) return undefined;
    const next = b[payload]!;
    if (protocol === FRAGMENT) {
      const offset = u16(b, payload + 2);
      if ((offset & 0xfff9) !== 0) fragment = offset >> 3 === 0 ? 'first' : 'later';
      payload += 8;
    } else {
      payload += 8 + 8 * b[payload + 1]!;
    }
    protocol = next;
    if (payload > end) return undefined;
    if (fragment === 'later') break;
  }
  return { version: 6, ip, end, protocol, payload, fragment };
}
