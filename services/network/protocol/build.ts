// Frames made here: by the gateway, and by tests.
import { add, fill, fillV4Header, fold } from './checksum.ts';
import { CHECKSUM, ETHER, GSO, macBytes, parseIp, PROTOCOL, put16, put32, type Checksum, type Frame } from './frame.ts';

/** IP addresses are bytes: 4 or 16 of them. */
export interface Ends {
  fromMac: number;
  toMac: number;
  from: Uint8Array;
  to: Uint8Array;
}

const V4 = 20;
const V6 = 40;
const HOPS = 64;

const built = (bytes: Uint8Array, checksum: Checksum): Frame => ({ bytes, checksum, gso: GSO.none, segment: 0 });

function ether(size: number, toMac: number, fromMac: number, type: number): Uint8Array {
  const bytes = new Uint8Array(ETHER.size + size);
  header(bytes, toMac, fromMac, type);
  return bytes;
}

function header(bytes: Uint8Array, toMac: number, fromMac: number, type: number): void {
  bytes.set(macBytes(toMac), 0);
  bytes.set(macBytes(fromMac), 6);
  put16(bytes, ETHER.type, type);
}

function writeIp(bytes: Uint8Array, { from, to }: Ends, protocol: number, hops: number): void {
  const at = ETHER.size;
  const v4 = from.length === 4;
  if (v4) {
    bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, hops, protocol], at); // not to be fragmented
    put16(bytes, at + 2, bytes.length - at);
    bytes.set(from, at + 12);
    bytes.set(to, at + 16);
    fillV4Header(bytes, at);
  } else {
    bytes.set([0x60, 0, 0, 0, 0, 0, protocol, hops], at);
    put16(bytes, at + 4, bytes.length - at - V6);
    bytes.set(from, at + 8);
    bytes.set(to, at + 24);
  }
}

/** An IP packet of any protocol; the payload's checksum is filled in where the protocol has one we know. */
export function ipFrame(ends: Ends, protocol: number, payload: Uint8Array, hops = HOPS): Frame {
  const header = ends.from.length === 4 ? V4 : V6;
  const bytes = ether(header + payload.length, ends.toMac, ends.fromMac, header === V4 ? ETHER.ipv4 : ETHER.ipv6);
  writeIp(bytes, ends, protocol, hops);
  bytes.set(payload, ETHER.size + header);
  const packet = parseIp(bytes);
  if (packet) fill(bytes, packet);
  return built(bytes, CHECKSUM.validated);
}

/** An IP packet from elsewhere in an Ethernet frame: `packet` begins with its IP header. */
export function framed(
  packet: Uint8Array,
  toMac: number,
  fromMac: number,
  bytes: Uint8Array = new Uint8Array(ETHER.size + packet.length),
): Uint8Array {
  header(bytes, toMac, fromMac, packet[0]! >> 4 === 4 ? ETHER.ipv4 : ETHER.ipv6);
  bytes.set(packet, ETHER.size);
  return bytes;
}

export function udpFrame(ends: Ends, fromPort: number, toPort: number, data: Uint8Array, hops = HOPS): Frame {
  const payload = new Uint8Array(8 + data.length);
  put16(payload, 0, fromPort);
  put16(payload, 2, toPort);
  put16(payload, 4, payload.length);
  payload.set(data, 8);
  return ipFrame(ends, PROTOCOL.udp, payload, hops);
}

/** Type, code, the four bytes after the checksum, and what follows. */
export function icmpFrame(ends: Ends, type: number, code: number, rest: number, data: Uint8Array, hops = HOPS): Frame {
  const payload = new Uint8Array(8 + data.length);
  payload[0] = type;
  payload[1] = code;
  put32(payload, 4, rest);
  payload.set(data, 8);
  if (ends.from.length === 16) return ipFrame(ends, PROTOCOL.icmp6, payload, hops);
  put16(payload, 2, fold(add(payload, 0, payload.length)) ^ 0xffff);
  return ipFrame(ends, PROTOCOL.icmp, payload, hops);
}

export interface TcpHeader {
  fromPort: number;
  toPort: number;
  sequence: number;
  acknowledgement: number;
  flags: number;
  window: number;
}

export function tcpFrame(ends: Ends, header: TcpHeader, data: Uint8Array): Frame {
  const payload = new Uint8Array(20 + data.length);
  put16(payload, 0, header.fromPort);
  put16(payload, 2, header.toPort);
  put32(payload, 4, header.sequence);
  put32(payload, 8, header.acknowledgement);
  payload[12] = 0x50;
  payload[13] = header.flags;
  put16(payload, 14, header.window);
  payload.set(data, 20);
  return ipFrame(ends, PROTOCOL.tcp, payload);
}

export const ARP_OP = { request: 1, reply: 2 } as const;

export function arpFrame(operation: number, ends: Ends, targetMac: number): Frame {
  const bytes = ether(28, ends.toMac, ends.fromMac, ETHER.arp);
  bytes.set([0, 1, 8, 0, 6, 4, 0, operation], ETHER.size);
  bytes.set(macBytes(ends.fromMac), ETHER.size + 8);
  bytes.set(ends.from, ETHER.size + 14);
  bytes.set(macBytes(targetMac), ETHER.size + 18);
  bytes.set(ends.to, ETHER.size + 24);
  return built(bytes, CHECKSUM.unchecked);
}

/** Cuts a frame of IPv4 or IPv6 whose packet is larger than the MTU, into fragments. `id` tells packets apart. */
export function fragments({ bytes }: Frame, mtu: number, id: number): Frame[] {
  const packet = parseIp(bytes);
  if (!packet || packet.end - packet.ip <= mtu) return [built(bytes, CHECKSUM.validated)];
  const { version, ip, payload, end, protocol } = packet;
  const own = version === 4 ? payload - ip : V6 + 8;
  const part = (mtu - own) & ~7;
  const out: Frame[] = [];
  for (let from = payload; from < end; from += part) {
    const to = Math.min(end, from + part);
    const more = to < end ? 1 : 0;
    const one = new Uint8Array(ETHER.size + own + to - from);
    one.set(bytes.subarray(0, version === 4 ? payload : ip + V6));
    one.set(bytes.subarray(from, to), ip + own);
    const offset = (from - payload) >> 3;
    if (version === 4) {
      put16(one, ip + 2, one.length - ip);
      put16(one, ip + 4, id & 0xffff);
      put16(one, ip + 6, (more << 13) | offset);
      fillV4Header(one, ip);
    } else {
      put16(one, ip + 4, one.length - ip - V6);
      one[ip + 6] = 44;
      one.set([protocol, 0], ip + V6);
      put16(one, ip + V6 + 2, (offset << 3) | more);
      put32(one, ip + V6 + 4, id >>> 0);
    }
    out.push(built(one, CHECKSUM.validated));
  }
  return out;
}
