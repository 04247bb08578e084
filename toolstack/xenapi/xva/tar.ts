/** Tar archives (POSIX.1-1988 ustar), as far as XVA needs them: plain files with short names, in order. */
import type { ByteReader } from '../http/bytes.ts';

export const RECORD = 512;
export const padded = (length: number): number => Math.ceil(length / RECORD) * RECORD;
/** An archive ends with two records of zeros. */
export const END = Buffer.alloc(2 * RECORD);

export class BadTar extends Error {}

function checksum(header: Buffer): number {
  let sum = 0;
  for (let i = 0; i < RECORD; i++) sum += i >= 148 && i < 156 ? 32 : header[i];
  return sum;
}

/** A file's header. */
export function tarHeader(name: string, size: number, time = 0): Buffer {
  const header = Buffer.alloc(RECORD);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  if (Buffer.byteLength(name) > 100) throw new Error(`${name} is too long a name`);
  header.write(name, 0);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(time, 136, 12);
  header.write('0', 156);
  header.write('ustar\0' + '00', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

const padding = Buffer.alloc(RECORD);
/** What follows a file's bytes. */
export const tarPadding = (length: number): Buffer => padding.subarray(0, padded(length) - length);

export interface Entry {
  name: string;
  size: number;
}

const text = (header: Buffer, at: number, length: number): string =>
  header.toString('utf8', at, at + length).replace(/\0.*$/s, '');

function number(header: Buffer, at: number, length: number): number {
  // GNU's way to write what does not fit into octal digits.
  if (header[at] & 0x80) {
    const value = header.readUIntBE(at + length - 6, 6);
    if (header.subarray(at + 1, at + length - 6).some((byte) => byte !== 0)) throw new BadTar('a size is too large');
    return value;
  }
  const digits = text(header, at, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new BadTar('a header has a number that is none');
  return parseInt(digits || '0', 8);
}

/** Extended headers are short. */
const MAX_EXTENSION = 64 * 1024;

/** Plain files of an archive; each has to be read or passed over before the next is asked for. */
export class TarReader {
  readonly #bytes: ByteReader;
  #left = 0;
  #pad = 0;

  constructor(bytes: ByteReader) {
    this.#bytes = bytes;
  }

  async next(): Promise<Entry | undefined> {
    await this.#bytes.skip(this.#left + this.#pad);
    let long: string | undefined;
    for (;;) {
      const header = await this.#bytes.take(RECORD);
      this.#left = this.#pad = 0;
      if (header.every((byte) => byte === 0)) return undefined;
      if (number(header, 148, 8) !== checksum(header)) throw new BadTar('a header’s checksum is wrong');
      const size = number(header, 124, 12);
      const type = header.toString('latin1', 156, 157);
      const prefix = text(header, 257, 5) === 'ustar' ? text(header, 345, 155) : '';
      const name = long ?? (prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`);
      if (type === '0' || type === '\0') {
        this.#left = size;
        this.#pad = padded(size) - size;
        return { name, size };
      }
      if (size > MAX_EXTENSION) throw new BadTar(`an entry of type ${type} is too long`);
      const data = await this.#bytes.take(padded(size));
      if (type === 'L') long = text(data, 0, size);
      else if (type === 'x') long = /^\d+ path=(.*)$/m.exec(data.toString('utf8', 0, size))?.[1] ?? long;
    }
  }

  /** The next bytes of the file. */
  async read(length: number): Promise<Buffer> {
    if (length > this.#left) throw new BadTar('a file is shorter than it should be');
    this.#left -= length;
    return this.#bytes.take(length);
  }
}
