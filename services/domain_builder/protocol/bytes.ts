/** Bounded reading of untrusted bytes, and small builders of little-endian records. */

/** The image, or what accompanies it, cannot be started: one sentence that says what, where and what to do. */
export class BadImage extends Error {
  override name = 'BadImage';
}

const fail = (text: string): never => {
  throw new BadImage(text);
};

/** A window on untrusted bytes: every access is checked and names the thing that was too short. */
export class Window {
  readonly bytes: Uint8Array;
  readonly what: string;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, what: string) {
    this.bytes = bytes;
    this.what = what;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  #need(at: number, size: number): number {
    if (at >= 0 && size >= 0 && at + size <= this.length) return at;
    return fail(
      `${this.what} is truncated: ${size} bytes at offset ${at} are needed, the data ends at ${this.length}; fetch the file again.`,
    );
  }

  u8 = (at: number): number => this.#view.getUint8(this.#need(at, 1));
  u16 = (at: number): number => this.#view.getUint16(this.#need(at, 2), true);
  u32 = (at: number): number => this.#view.getUint32(this.#need(at, 4), true);

  big = (at: number): bigint => this.#view.getBigUint64(this.#need(at, 8), true);

  /** A 64-bit number that must be exact in JavaScript: no address or size of an image is near 2^53. */
  u64(at: number): number {
    const value = Number(this.#view.getBigUint64(this.#need(at, 8), true));
    return Number.isSafeInteger(value) ? value : fail(`${this.what} holds an impossible 64-bit value at offset ${at}.`);
  }

  slice(at: number, size: number): Uint8Array {
    const from = this.#need(at, size);
    return this.bytes.subarray(from, from + size);
  }
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const numbers =
  (size: number) =>
  (...values: (number | bigint)[]): Uint8Array => {
    const out = new Uint8Array(values.length * size);
    values.forEach((value, index) => {
      let rest = BigInt(value);
      for (let i = 0; i < size; i++, rest >>= 8n) out[index * size + i] = Number(rest & 0xffn);
    });
    return out;
  };

export const u8 = numbers(1);
export const u16 = numbers(2);
export const u32 = numbers(4);
export const u64 = numbers(8);
export const zeros = (size: number): Uint8Array => new Uint8Array(size);

/** Latin-1 text, padded with `fill` (or cut) to `size` bytes when a size is given. */
export function text(value: string, size = value.length, fill = 0): Uint8Array {
  const out = new Uint8Array(size).fill(fill);
  out.set(Buffer.from(value, 'latin1').subarray(0, size));
  return out;
}

/** What memory is given, mapped and counted by. */
export const PAGE = 4096;
export const alignUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
