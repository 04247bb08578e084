// Reads a tar archive as dpkg-deb writes it: ustar headers with GNU long names.

const BLOCK = 512;
const MAX_CONTENT = 1 << 28;

export interface TarEntry {
  path: string;
  /** '0' file, '2' symbolic link, '5' directory, … as in the header */
  type: string;
  mode: number;
  content: Uint8Array;
}

/** Cuts a stream into pieces of the lengths asked for. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** The next `length` bytes, or nothing when `keep` is false; undefined at the end of the stream. */
  async take(length: number, keep: boolean): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const { value, done } = await this.#chunks.next();
        if (done) {
          if (missing === length) return undefined;
          throw new Error('the archive is cut off');
        }
        this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      }
      const part = this.#rest.subarray(0, missing);
      if (keep) parts.push(part);
      missing -= part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return Buffer.concat(parts);
  }
}

const field = (header: Buffer, at: number, length: number): string => {
  const bytes = header.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? length : end);
};

function octal(header: Buffer, at: number, length: number): number {
  const digits = field(header, at, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new Error('the archive has a header that is no tar header');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function checkSum(header: Buffer): void {
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += at >= 148 && at < 156 ? 0x20 : header[at];
  if (sum !== octal(header, 148, 8)) throw new Error('the archive has a header with a wrong checksum');
}

/** Yields the entries `want` asks for, with their content; the path is without a leading `./`. */
export async function* untar(
  stream: AsyncIterable<Uint8Array>,
  want: (path: string) => boolean,
): AsyncGenerator<TarEntry> {
  const reader = new Reader(stream);
  let longName: string | undefined;
  for (;;) {
    const header = await reader.take(BLOCK, true);
    if (!header || header[0] === 0) return;
    checkSum(header);
    const type = String.fromCharCode(header[156] || 0x30);
    const size = octal(header, 124, 12);
    const prefix = field(header, 345, header.toString('latin1', 257, 263) === 'ustar\0' ? 155 : 0);
    const path = (longName ?? (prefix ? `${prefix}/` : '') + field(header, 0, 100)).replace(/^\.\//, '');
    const isName = type === 'L';
    const wanted = isName || want(path);
    if (wanted && size > MAX_CONTENT) throw new Error(`the archive's ${path} is too large`);
    const padded = Math.ceil(size / BLOCK) * BLOCK;
    const content = await reader.take(padded, wanted);
    if (padded > 0 && !content) throw new Error('the archive is cut off');
    longName = isName ? content!.toString('utf8', 0, size).replace(/\0.*$/, '') : undefined;
    if (wanted && !isName) {
      yield { path, type, mode: octal(header, 100, 8), content: content!.subarray(0, size) };
    }
  }
}
