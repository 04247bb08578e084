// Captures, as tcpdump and Wireshark read them: pcapng (draft-ietf-opsawg-pcapng), little-endian, one interface for each
// port that frames come in by.

const BLOCK = { section: 0x0a0d0d0a, interface: 1, packet: 6 } as const;
const BYTE_ORDER = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
const OPTION = { end: 0, name: 2, resolution: 9, flags: 2 } as const;
const NANOSECONDS = 9;
const OUTWARDS = 2; // epb_flags: what the port's owner has sent
const padded = (n: number): number => (n + 3) & ~3;

function block(type: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, out.length, true);
  out.set(body, 8);
  view.setUint32(out.length - 4, out.length, true);
  return out;
}

function option(code: number, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + padded(data.length));
  const view = new DataView(out.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, data.length, true);
  out.set(data, 4);
  return out;
}

/** What a file begins with. */
export function sectionHeader(): Uint8Array {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setUint32(0, BYTE_ORDER, true);
  view.setUint16(4, 1, true);
  view.setBigInt64(8, -1n, true); // length unknown: it goes on until its end
  return block(BLOCK.section, body);
}

/** Says what the next interface is; they are numbered from 0. */
export function interfaceDescription(name: string, snapLength: number): Uint8Array {
  const options = [option(OPTION.name, Buffer.from(name)), option(OPTION.resolution, Uint8Array.of(NANOSECONDS)), option(OPTION.end, new Uint8Array(0))]; // prettier-ignore
  const body = new Uint8Array(8 + options.reduce((size, { length }) => size + length, 0));
  const view = new DataView(body.buffer);
  view.setUint16(0, LINKTYPE_ETHERNET, true);
  view.setUint32(4, snapLength, true);
  let at = 8;
  for (const part of options) {
    body.set(part, at);
    at += part.length;
  }
  return block(BLOCK.interface, body);
}

/** A frame that came in by an interface; `time` in nanoseconds since 1970. */
export function enhancedPacket(number: number, time: bigint, frame: Uint8Array, snapLength: number): Uint8Array {
  const kept = Math.min(frame.length, snapLength);
  const flags = option(OPTION.flags, Uint8Array.of(OUTWARDS, 0, 0, 0));
  const body = new Uint8Array(20 + padded(kept) + flags.length + 4);
  const view = new DataView(body.buffer);
  view.setUint32(0, number, true);
  view.setUint32(4, Number(time >> 32n), true);
  view.setUint32(8, Number(time & 0xffff_ffffn), true);
  view.setUint32(12, kept, true);
  view.setUint32(16, frame.length, true);
  body.set(frame.subarray(0, kept), 20);
  body.set(flags, 20 + padded(kept));
  return block(BLOCK.packet, body);
}
