// Pixels of screens (4 bytes: blue, green, red, unused) in a client's format. Pure.
import { MAPPED, type PixelFormat } from './messages.ts';

export class PixelWriter {
  readonly format: PixelFormat;
  /** Bytes of a pixel, and of ZRLE's CPIXEL. */
  readonly size: number;
  readonly compact: number;
  /** The low or the high bytes of a pixel are the compact one's. */
  readonly #high: boolean;
  readonly #red = new Uint32Array(256);
  readonly #green = new Uint32Array(256);
  readonly #blue = new Uint32Array(256);

  constructor(wanted: PixelFormat) {
    const format = wanted.trueColour ? wanted : MAPPED;
    this.format = format;
    this.size = format.bitsPerPixel / 8;
    [this.#red, this.#green, this.#blue].forEach((table, c) => {
      const [max, shift] = [format.max[c]!, format.shift[c]!];
      for (let i = 0; i < 256; i++) table[i] = Math.round((i * max) / 255) * 2 ** shift;
    });
    const used = (this.#red[255]! | this.#green[255]! | this.#blue[255]!) >>> 0;
    const small = format.bitsPerPixel === 32 && format.depth <= 24;
    const low = used <= 0xffffff;
    this.#high = small && !low && (used & 0xff) === 0;
    this.compact = small && (low || this.#high) ? 3 : this.size;
  }

  /** A pixel's value, as the client reads it. */
  value(source: Uint8Array, at: number): number {
    return (this.#red[source[at + 2]!]! | this.#green[source[at + 1]!]! | this.#blue[source[at]!]!) >>> 0;
  }

  put(out: Uint8Array, at: number, value: number): number {
    return this.#put(out, at, value, this.size);
  }

  putCompact(out: Uint8Array, at: number, value: number): number {
    return this.#put(out, at, this.#high ? value >>> 8 : value, this.compact);
  }

  #put(out: Uint8Array, at: number, value: number, bytes: number): number {
    for (let i = 0; i < bytes; i++) out[at + i] = value >>> (8 * (this.format.bigEndian ? bytes - 1 - i : i));
    return at + bytes;
  }

  /** All of a rectangle's pixels: the raw encoding. */
  raw(source: Uint8Array): Buffer {
    const out = Buffer.alloc((source.length / 4) * this.size);
    let to = 0;
    for (let at = 0; at < source.length; at += 4) to = this.put(out, to, this.value(source, at));
    return out;
  }
}
