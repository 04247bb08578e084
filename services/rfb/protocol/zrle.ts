// The ZRLE encoding (RFC 6143, 7.7.6), before it goes through zlib: tiles of 64 by 64, each as what is smallest of one colour, a palette, runs, and all pixels.
import type { Rect } from './messages.ts';
import type { PixelWriter } from './pixels.ts';

export const TILE = 64;
const MAX_PALETTE = 16;
const KIND = { RAW: 0, SOLID: 1, RUNS: 128 } as const;

/** `source` is the rectangle's pixels, row by row. */
export function zrle(
  source: Uint8Array,
  { width, height }: Pick<Rect, 'width' | 'height'>,
  writer: PixelWriter,
): Buffer {
  const tiles = Math.ceil(width / TILE) * Math.ceil(height / TILE);
  const out = Buffer.alloc(width * height * writer.compact + tiles);
  const values = new Uint32Array(TILE * TILE);
  let at = 0;
  for (let y = 0; y < height; y += TILE)
    for (let x = 0; x < width; x += TILE) {
      const [w, h] = [Math.min(TILE, width - x), Math.min(TILE, height - y)];
      let n = 0;
      for (let row = y; row < y + h; row++)
        for (let from = 4 * (row * width + x), end = from + 4 * w; from < end; from += 4)
          values[n++] = writer.value(source, from);
      at = encodeTile(out, at, values.subarray(0, n), w, writer);
    }
  return out.subarray(0, at);
}

function encodeTile(out: Buffer, start: number, values: Uint32Array, width: number, writer: PixelWriter): number {
  const palette = new Map<number, number>();
  let runs = 0;
  let runBytes = 0;
  for (let i = 0; i < values.length; ) {
    const value = values[i]!;
    const first = i;
    while (i < values.length && values[i] === value) i++;
    runs++;
    runBytes += Math.floor((i - first - 1) / 255) + 1;
    if (palette.size <= MAX_PALETTE && !palette.has(value)) palette.set(value, palette.size);
  }
  const compact = writer.compact;
  if (palette.size === 1) {
    out[start] = KIND.SOLID;
    return writer.putCompact(out, start + 1, values[0]!);
  }
  const bits = palette.size <= 2 ? 1 : palette.size <= 4 ? 2 : 4;
  const rowBytes = Math.ceil((width * bits) / 8);
  const packed = palette.size > MAX_PALETTE ? Infinity : palette.size * compact + rowBytes * (values.length / width);
  const asRuns = runs * compact + runBytes;
  const raw = values.length * compact;
  if (packed <= asRuns && packed < raw) return encodePacked(out, start, values, width, palette, bits, writer);
  return asRuns < raw ? encodeRuns(out, start, values, writer) : encodeRaw(out, start, values, writer);
}

function encodeRaw(out: Buffer, start: number, values: Uint32Array, writer: PixelWriter): number {
  out[start] = KIND.RAW;
  let at = start + 1;
  for (const value of values) at = writer.putCompact(out, at, value);
  return at;
}

function encodeRuns(out: Buffer, start: number, values: Uint32Array, writer: PixelWriter): number {
  out[start] = KIND.RUNS;
  let at = start + 1;
  for (let i = 0; i < values.length; ) {
    const first = i;
    while (i < values.length && values[i] === values[first]) i++;
    at = writer.putCompact(out, at, values[first]!);
    let rest = i - first - 1;
    for (; rest >= 255; rest -= 255) out[at++] = 255;
    out[at++] = rest;
  }
  return at;
}

/** Rows begin at bytes, the first pixel in the highest bits. */
function encodePacked(
  out: Buffer,
  start: number,
  values: Uint32Array,
  width: number,
  palette: ReadonlyMap<number, number>,
  bits: number,
  writer: PixelWriter,
): number {
  out[start] = palette.size;
  let at = start + 1;
  for (const value of palette.keys()) at = writer.putCompact(out, at, value);
  for (let row = 0; row < values.length; row += width) {
    let [byte, filled] = [0, 0];
    for (let i = row; i < row + width; i++) {
      byte = (byte << bits) | palette.get(values[i]!)!;
      filled += bits;
      if (filled < 8) continue;
      out[at++] = byte;
      [byte, filled] = [0, 0];
    }
    if (filled > 0) out[at++] = byte << (8 - filled);
  }
  return at;
}
