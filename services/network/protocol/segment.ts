// What a port's other side does not do itself is done here: large TCP segments cut, blank checksums filled in.
import { blank, fill, fillV4Header } from './checksum.ts';
import { CHECKSUM, ETHER, GSO, parseIp, PROTOCOL, put16, put32, u16, u32, type Frame, type Offload, type Packet } from './frame.ts'; // prettier-ignore

const TCP = { sequence: 4, offset: 12, flags: 13, header: 20 } as const;
const FIN_AND_PSH = 0x09;
const CWR = 0x80;
/** Frames that one large frame may become. */
const MOST = 128;

/** The packet of a frame that says it is a large TCP one, if that is true. */
function tcpOf(frame: Frame): { packet: Packet; data: number } | undefined {
  const packet = parseIp(frame.bytes);
  const version = frame.gso === GSO.tcpv4 ? 4 : 6;
  if (!packet || packet.version !== version || packet.protocol !== PROTOCOL.tcp || packet.fragment !== 'none') return undefined; // prettier-ignore
  if (packet.payload + TCP.header > packet.end) return undefined;
  const data = packet.payload + (frame.bytes[packet.payload + TCP.offset]! >> 4) * 4;
  return data < packet.payload + TCP.header || data > packet.end ? undefined : { packet, data };
}

/** Whether a frame's metadata fit it: checked once, where the frame comes in from a guest. */
export function sound(frame: Frame): boolean {
  if (frame.gso === GSO.none) return true;
  const found = tcpOf(frame);
  if (!found || frame.segment === 0) return false;
  return Math.ceil((found.packet.end - found.data) / frame.segment) <= MOST;
}

/** The frames that a large one stands for, their checksums blank. */
export function segments(frame: Frame): Frame[] {
  const found = tcpOf(frame);
  if (!found) return [];
  const { packet, data } = found;
  const { bytes, segment } = frame;
  const sequence = u32(bytes, packet.payload + TCP.sequence);
  const out: Frame[] = [];
  for (let from = data; from < packet.end && out.length < MOST; from += segment) {
    const to = Math.min(from + segment, packet.end);
    const part = new Uint8Array(data + to - from);
    part.set(bytes.subarray(0, data));
    part.set(bytes.subarray(from, to), data);
    put32(part, packet.payload + TCP.sequence, (sequence + from - data) >>> 0);
    let clear = from > data ? CWR : 0;
    if (to < packet.end) clear |= FIN_AND_PSH;
    part[packet.payload + TCP.flags]! &= ~clear;
    if (packet.version === 4) {
      put16(part, packet.ip + 2, part.length - packet.ip);
      put16(part, packet.ip + 4, (u16(bytes, packet.ip + 4) + out.length) & 0xffff);
      fillV4Header(part, packet.ip);
    } else {
      put16(part, packet.ip + 4, part.length - packet.ip - 40);
    }
    blank(part, { ...packet, end: part.length });
    out.push({ bytes: part, checksum: CHECKSUM.blank, gso: GSO.none, segment: 0 });
  }
  return out;
}

/** The frame with its checksum in place. */
export function filled(frame: Frame): Frame {
  if (frame.checksum !== CHECKSUM.blank) return frame;
  const bytes = frame.bytes.slice();
  const packet = parseIp(bytes);
  if (packet) fill(bytes, packet);
  return { ...frame, bytes, checksum: CHECKSUM.validated, kept: undefined };
}

const isV6 = (frame: Frame): boolean => u16(frame.bytes, ETHER.type) === ETHER.ipv6;

/** The frame as a port takes it whose other side does so much itself. */
export function adapt(frame: Frame, offload: Offload): Frame[] {
  const cut = (frame.gso === GSO.tcpv4 && !offload.gsoV4) || (frame.gso === GSO.tcpv6 && !offload.gsoV6);
  const blankTaken = isV6(frame) ? offload.checksumV6 : offload.checksumV4;
  if (!cut && (frame.checksum !== CHECKSUM.blank || blankTaken)) return [frame];
  const parts = cut ? segments(frame) : [frame];
  return blankTaken ? parts : parts.map(filled);
}
