// What tests of the network share: addresses, frames, random numbers that repeat.
import { blank } from './protocol/checksum.ts';
import { tcpFrame, type Ends } from './protocol/build.ts';
import { CHECKSUM, GSO, parseIp, put16, type Frame } from './protocol/frame.ts';

export const ip = (text: string): Uint8Array => {
  if (text.includes('.')) return Uint8Array.from(text.split('.').map(Number));
  const [head = '', tail = ''] = text.split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16)));
  const [first, last] = [words(head), words(tail)];
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 255]));
};

export const MAC = { a: 0x00163e000001, b: 0x00163e000002, c: 0x00163e000003 };

export const ends = (from: number, to: number, v6 = false): Ends => ({
  fromMac: from,
  toMac: to,
  from: ip(v6 ? `fd00::${from % 256}` : `10.0.0.${from % 256}`),
  to: ip(v6 ? `fd00::${to % 256}` : `10.0.0.${to % 256}`),
});

/** Repeatable random numbers from 0 to 1. */
export function random(seed: number): () => number {
  let state = seed * 7919 + 104729;
  return () => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff;
}

/** A large TCP frame, its checksum blank as a guest leaves it. */
export function largeFrame(e: Ends, data: Uint8Array, segment: number, flags = 0x18): Frame {
  const { bytes } = tcpFrame(
    e,
    { fromPort: 1, toPort: 2, sequence: 0xfffffff0, acknowledgement: 7, flags, window: 99 },
    data,
  );
  blank(bytes, parseIp(bytes)!);
  return { bytes, checksum: CHECKSUM.blank, gso: e.from.length === 4 ? GSO.tcpv4 : GSO.tcpv6, segment };
}

/** A frame with a VLAN's tag. */
export function withTag({ bytes, ...rest }: Frame, vlan: number): Frame {
  const out = new Uint8Array(bytes.length + 4);
  out.set(bytes.subarray(0, 12));
  put16(out, 12, 0x8100);
  put16(out, 14, vlan);
  out.set(bytes.subarray(12), 16);
  return { ...rest, bytes: out };
}
