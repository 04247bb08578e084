/** A stream's bytes in the pieces that are asked for; compressed streams are recognised by how they begin. */
import { Readable, type Transform } from 'node:stream';
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress } from 'node:zlib';

/** The stream has ended in the middle of what was to come. */
export class Truncated extends Error {}

export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunks: Buffer[] = [];
  #length = 0;
  #ended = false;
  /** Bytes that were taken or passed over. */
  at = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Has that many bytes here, if there are; returns whether. */
  async #fill(length: number): Promise<boolean> {
    while (this.#length < length && !this.#ended) {
      const { value, done } = await this.#source.next();
      if (done) this.#ended = true;
      else {
        this.#chunks.push(value);
        this.#length += value.length;
      }
    }
    return this.#length >= length;
  }

  #cut(length: number): Buffer {
    this.at += length;
    this.#length -= length;
    const parts: Buffer[] = [];
    while (length > 0) {
      const first = this.#chunks[0];
      if (first.length <= length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(length);
      parts.push(first.subarray(0, length));
      length -= parts.at(-1)!.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  /** What comes next, without taking it; less at the end. */
  async peek(length: number): Promise<Buffer> {
    await this.#fill(length);
    return Buffer.concat(this.#chunks).subarray(0, length);
  }

  /** So many bytes; throws Truncated. */
  async take(length: number): Promise<Buffer> {
    if (!(await this.#fill(length))) throw new Truncated('the stream ends too early');
    return this.#cut(length);
  }

  /** At most so many bytes; undefined at the end. */
  async some(most: number): Promise<Buffer | undefined> {
    if (!(await this.#fill(1))) return undefined;
    return this.#cut(Math.min(most, this.#chunks[0].length));
  }

  async skip(length: number): Promise<void> {
    while (length > 0) {
      const bytes = await this.some(length);
      if (!bytes) throw new Truncated('the stream ends too early');
      length -= bytes.length;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (let bytes = await this.some(1 << 16); bytes; bytes = await this.some(1 << 16)) yield bytes;
  }
}

export type Compression = 'none' | 'gzip' | 'zstd';

const COMPRESS: Record<Exclude<Compression, 'none'>, () => Transform> = {
  gzip: () => createGzip({ level: 1 }),
  zstd: () => createZstdCompress(),
};

async function* through(source: AsyncIterable<Buffer>, transform: Transform): AsyncGenerator<Buffer> {
  const from = Readable.from(source, { objectMode: false });
  from.on('error', (error) => transform.destroy(error));
  from.pipe(transform);
  try {
    yield* transform;
  } finally {
    from.destroy();
    transform.destroy();
  }
}

export const compress = (source: AsyncIterable<Buffer>, how: Compression): AsyncIterable<Buffer> =>
  how === 'none' ? source : through(source, COMPRESS[how]());

/** The contents, whatever way they are compressed. */
export async function decompress(source: AsyncIterable<Buffer>): Promise<ByteReader> {
  const reader = new ByteReader(source);
  const head = await reader.peek(4);
  if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) return new ByteReader(through(reader, createGunzip()));
  if (head.length === 4 && head.readUInt32LE(0) === 0xfd2fb528)
    return new ByteReader(through(reader, createZstdDecompress()));
  return reader;
}
