/** The .xz container (xz-file-format.txt 1.1.0): one stream of blocks, LZMA2 with an optional x86 branch filter. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BadImage, Window, alignUp } from './bytes.ts';
import { Lzma2 } from './lzma2.ts';

const FILTER_X86 = 4;
const FILTER_LZMA2 = 0x21;
const HEADER_SIZE = 12;

const corrupt = (what: string): never => {
  throw new BadImage(`the xz payload of the bzImage is corrupt (${what}); fetch the file again.`);
};

/** Integrity checks by their id (section 2.1.1.2): size in bytes, and the value as the file stores it. */
const CHECKS = new Map<number, { size: number; sum(data: Uint8Array): string }>([
  [0, { size: 0, sum: () => '' }],
  [1, { size: 4, sum: (data) => littleEndian(crc32(data), 4) }],
  [4, { size: 8, sum: (data) => crc64(data) }],
  [10, { size: 32, sum: (data) => createHash('sha256').update(data).digest('hex') }],
]);

const littleEndian = (value: number, size: number): string => {
  const out = Buffer.alloc(size);
  out.writeUInt32LE(value >>> 0);
  return out.toString('hex');
};

export function xz(packed: Uint8Array, size: number): Uint8Array {
  const file = new Window(packed, 'the xz payload');
  const out = new Uint8Array(size);
  const check = CHECKS.get(file.u8(7)) ?? corrupt(`check ${file.u8(7)} is unknown`);
  if (file.u32(8) !== crc32(file.slice(6, 2))) corrupt('stream header');
  let at = HEADER_SIZE;
  let to = 0;
  while (file.u8(at) !== 0) {
    const headerSize = (file.u8(at) + 1) * 4;
    const x86 = blockFilters(file.slice(at, headerSize));
    const lzma = new Lzma2(packed, at + headerSize, out, to);
    const end = lzma.run();
    const block = out.subarray(to, end);
    if (x86) branchFilter(block);
    at = alignUp(lzma.at - HEADER_SIZE, 4) + HEADER_SIZE;
    if (check.sum(block) !== Buffer.from(file.slice(at, check.size)).toString('hex')) corrupt('checksum of a block');
    at += check.size;
    to = end;
  }
  return to === size ? out : out.subarray(0, to);
}

/** Reads a block header; true if the x86 filter comes before LZMA2. */
function blockFilters(bytes: Uint8Array): boolean {
  const header = new Window(bytes, 'an xz block header');
  if (header.u32(bytes.length - 4) !== crc32(bytes.subarray(0, -4))) corrupt('block header');
  let at = 2;
  const vli = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = header.u8(at++);
      value += (byte & 0x7f) * shift;
      if (byte < 128 || shift > 2 ** 42) return value;
    }
  };
  const flags = header.u8(1);
  if (flags & 0x40) vli(); // compressed size
  if (flags & 0x80) vli(); // uncompressed size
  const filters = Array.from({ length: (flags & 3) + 1 }, () => {
    const id = vli();
    const properties = vli();
    at += properties;
    if (id === FILTER_X86 && properties !== 0) corrupt('x86 filter with a start offset');
    return id;
  });
  const chain = filters.join();
  if (chain === `${FILTER_LZMA2}`) return false;
  if (chain === `${FILTER_X86},${FILTER_LZMA2}`) return true;
  throw new BadImage(
    `the xz payload of the bzImage uses the filter chain ${chain}; only LZMA2 with or without the x86 filter is supported.`,
  );
}

/** By mask: may this opcode have been converted, and the distance of the byte that decides it. */
const MASK_CONVERTS = [true, true, true, false, true, false, false, false];
const MASK_BYTE = [0, 1, 2, 2, 3, 3, 3, 3];

/**
 * Undoes the x86 branch filter: the encoder made the displacements of CALL (E8) and JMP (E9) absolute. `mask` remembers
 * which of the three bytes before look like opcodes too: those make the encoder skip, so the decoder must as well.
 */
function branchFilter(data: Uint8Array): void {
  const isSign = (byte: number): boolean => byte === 0 || byte === 0xff;
  let mask = 0;
  let previous = -1;
  for (let at = 0; at + 5 <= data.length; at++) {
    if ((data[at]! & 0xfe) !== 0xe8) continue;
    const distance = at - previous;
    previous = at;
    mask = distance > 3 ? 0 : (mask << (distance - 1)) & 7;
    const skipped = mask !== 0 && (!MASK_CONVERTS[mask] || isSign(data[at + 4 - MASK_BYTE[mask]!]!));
    if (skipped || !isSign(data[at + 4]!)) {
      mask = (mask << 1) | 1;
      continue;
    }
    let value = data[at + 1]! | (data[at + 2]! << 8) | (data[at + 3]! << 16) | (data[at + 4]! << 24);
    for (;;) {
      value = (value - (at + 5)) | 0;
      const shift = 24 - MASK_BYTE[mask]! * 8;
      if (mask === 0 || !isSign((value >>> shift) & 0xff)) break;
      value ^= 2 ** (shift + 8) - 1;
    }
    const top = (value >>> 24) & 1 ? 0xff : 0;
    data.set([value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, top], at + 1);
    mask = 0;
    at += 4;
    previous = at;
  }
}

/** CRC-64 of ECMA-182, reflected, in two 32-bit halves; as stored: little-endian. */
function crc64(data: Uint8Array): string {
  const low = new Int32Array(256);
  const high = new Int32Array(256);
  for (let i = 0; i < 256; i++) {
    let lo = i;
    let hi = 0;
    for (let bit = 0; bit < 8; bit++) {
      const carry = lo & 1;
      lo = (lo >>> 1) | (hi << 31);
      hi >>>= 1;
      if (carry) ((lo ^= 0xd7870f42), (hi ^= 0xc96c5795));
    }
    low[i] = lo;
    high[i] = hi;
  }
  let lo = -1;
  let hi = -1;
  for (let i = 0; i < data.length; i++) {
    const index = (lo ^ data[i]!) & 0xff;
    lo = ((lo >>> 8) | (hi << 24)) ^ low[index]!;
    hi = (hi >>> 8) ^ high[index]!;
  }
  return littleEndian(~lo, 4) + littleEndian(~hi, 4);
}
