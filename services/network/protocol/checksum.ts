// The internet checksum (RFC 1071), as IPv4, TCP, UDP and ICMP use it.
import { put16, u16, PROTOCOL, type Packet } from './frame.ts';

/** Adds bytes to a sum of 16-bit words in network order. */
export function add(b: Uint8Array, from: number, to: number, sum = 0): number {
  let at = from;
  let high = 0;
  let low = 0;
  // 8 bytes a turn; a packet is too short for either half to leave 32 bits.
  for (const end = from + ((to - from) & ~7); at < end; at += 8) {
    high += b[at]! + b[at + 2]! + b[at + 4]! + b[at + 6]!;
    low += b[at + 1]! + b[at + 3]! + b[at + 5]! + b[at + 7]!;
  }
  for (; at + 1 < to; at += 2) {
    high += b[at]!;
    low += b[at + 1]!;
  }
  if (at < to) high += b[at]!;
  return sum + high * 256 + low;
}

/** A sum as 16 bits, not yet inverted. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** The pseudo header's sum for a payload of `length` bytes. */
export function pseudo(b: Uint8Array, { version, ip, protocol }: Packet, length: number): number {
  const sum = version === 4 ? add(b, ip + 12, ip + 20) : add(b, ip + 8, ip + 40);
  return sum + protocol + (length & 0xffff) + (length >>> 16);
}

/** Where the checksum lies in the header of a protocol that has one, else undefined. */
export function checksumAt(packet: Packet): number | undefined {
  const { protocol, payload, end, version } = packet;
  const offset =
    protocol === PROTOCOL.tcp ? 16
    : protocol === PROTOCOL.udp ? 6
    : protocol === PROTOCOL.icmp6 && version === 6 ? 2
    : undefined; // prettier-ignore
  return offset === undefined || payload + offset + 2 > end ? undefined : payload + offset;
}

/** Fills the checksum in, whatever was there. */
export function fill(b: Uint8Array, packet: Packet): void {
  const at = checksumAt(packet);
  if (at === undefined) return;
  put16(b, at, 0);
  const sum = fold(add(b, packet.payload, packet.end, pseudo(b, packet, packet.end - packet.payload))) ^ 0xffff;
  put16(b, at, sum === 0 && packet.protocol === PROTOCOL.udp ? 0xffff : sum);
}

/** Leaves the checksum to the receiver: the pseudo header's sum stands in its place. */
export function blank(b: Uint8Array, packet: Packet): void {
  const at = checksumAt(packet);
  if (at !== undefined) put16(b, at, fold(pseudo(b, packet, packet.end - packet.payload)));
}

/** Whether the checksum is right. UDP over IPv4 may do without. */
export function holds(b: Uint8Array, packet: Packet): boolean {
  const at = checksumAt(packet);
  if (at === undefined) return false;
  if (packet.protocol === PROTOCOL.udp && packet.version === 4 && u16(b, at) === 0) return true;
  return fold(add(b, packet.payload, packet.end, pseudo(b, packet, packet.end - packet.payload))) === 0xffff;
}

export function fillV4Header(b: Uint8Array, ip: number): void {
  put16(b, ip + 10, 0);
  put16(b, ip + 10, fold(add(b, ip, ip + (b[ip]! & 15) * 4)) ^ 0xffff);
}

export const v4HeaderHolds = (b: Uint8Array, ip: number): boolean =>
  fold(add(b, ip, ip + (b[ip]! & 15) * 4)) === 0xffff;
