/** LZ4's legacy frame, as Linux uses it (lz4_Frame_format.md "Legacy frame", lz4_Block_format.md). */
import { BadImage, Window } from './bytes.ts';

const MAGIC = 0x184c2102;

export function lz4Legacy(packed: Uint8Array, size: number): Uint8Array {
  const input = new Window(packed, 'the lz4 payload');
  const out = new Uint8Array(size);
  let end = 0;
  for (let at = 4; at + 4 <= packed.length; ) {
    const length = input.u32(at);
    at += 4;
    if (length === MAGIC) continue; // a concatenated frame
    end = block(input.slice(at, length), out, end);
    at += length;
  }
  return end === size ? out : out.subarray(0, end);
}

const corrupt = (): never => {
  throw new BadImage('the lz4 payload of the bzImage is corrupt; fetch the file again.');
};

/** A place in a block. */
interface Cursor {
  at: number;
}

/** A length whose first four bits are `nibble`. */
function extended(src: Uint8Array, cursor: Cursor, nibble: number): number {
  let length = nibble;
  if (nibble !== 15) return length;
  for (;;) {
    const byte = src[cursor.at++] ?? corrupt();
    length += byte;
    if (byte !== 255) return length;
  }
}

/** One block: sequences of literals and of matches into this block's own output. Returns the new end of `out`. */
function block(src: Uint8Array, out: Uint8Array, start: number): number {
  const cursor: Cursor = { at: 0 };
  let to = start;
  while (cursor.at < src.length) {
    const token = src[cursor.at++]!;
    const literals = extended(src, cursor, token >> 4);
    if (cursor.at + literals > src.length || to + literals > out.length) corrupt();
    out.set(src.subarray(cursor.at, cursor.at + literals), to);
    cursor.at += literals;
    to += literals;
    if (cursor.at >= src.length) break; // the last sequence has no match
    if (cursor.at + 2 > src.length) corrupt();
    const distance = src[cursor.at]! | (src[cursor.at + 1]! << 8);
    cursor.at += 2;
    const length = extended(src, cursor, token & 15) + 4;
    if (distance === 0 || to - distance < start || to + length > out.length) corrupt();
    if (distance >= length) out.copyWithin(to, to - distance, to - distance + length);
    else for (let i = 0; i < length; i++) out[to + i] = out[to + i - distance]!;
    to += length;
  }
  return to;
}
