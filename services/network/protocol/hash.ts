// Hashes of packets, by which a front end has what it is sent spread over its queues (public/io/netif.h: hash types and algorithms).
import * as abi from '../../../spec/abi/constants.ts';
import { parseIp, PROTOCOL, u32 } from './frame.ts';

/** The longest input, IPv6's two addresses and two ports, takes a key of so many bytes: 36 and the 32 bits that are looked at. */
export const KEY_SIZE = 40;

/** Of what a packet's hash is made: the number of a type's bit among the flags. */
export interface Hash {
  type: number;
  value: number;
}

const VERSION4 = { all: abi._XEN_NETIF_CTRL_HASH_TYPE_IPV4, tcp: abi._XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP, at: 12, addresses: 8 } as const; // prettier-ignore
const VERSION6 = { all: abi._XEN_NETIF_CTRL_HASH_TYPE_IPV6, tcp: abi._XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP, at: 8, addresses: 32 } as const; // prettier-ignore
export const ALL_TYPES = [VERSION4, VERSION6].reduce((flags, { all, tcp }) => flags | (1 << all) | (1 << tcp), 0);
const PORTS = 4;

/** For each bit of the input that is set, the 32 bits of the key that begin where it stands; beyond its end a key is zeros. */
export function toeplitz(key: Uint8Array, input: Uint8Array, length: number = input.length): number {
  let window = u32(key, 0);
  let hash = 0;
  for (let i = 0; i < length; i++) {
    const byte = input[i]!;
    const next = key[i + 4] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      if ((byte >> bit) & 1) hash ^= window;
      window = (window << 1) | ((next >> bit) & 1);
    }
  }
  return hash >>> 0;
}

const input = new Uint8Array(VERSION6.addresses + PORTS);

/** A frame's hash of the largest type that is asked for; undefined if none of them fits it. A fragment's ports are not looked at: the others have none. */
export function hashOf(b: Uint8Array, flags: number, key: Uint8Array): Hash | undefined {
  const packet = parseIp(b);
  if (!packet) return undefined;
  const { version, ip, payload, end, protocol, fragment } = packet;
  const { all, tcp, at, addresses } = version === 4 ? VERSION4 : VERSION6;
  const ports = (flags >> tcp) & 1 && protocol === PROTOCOL.tcp && fragment === 'none' && payload + PORTS <= end;
  if (!ports && !((flags >> all) & 1)) return undefined;
  input.set(b.subarray(ip + at, ip + at + addresses));
  if (!ports) return { type: all, value: toeplitz(key, input, addresses) };
  input.set(b.subarray(payload, payload + PORTS), addresses);
  return { type: tcp, value: toeplitz(key, input, addresses + PORTS) };
}
