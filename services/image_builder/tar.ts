// Tar archives as dpkg-deb writes them, ustar headers with GNU long names: read, and written.

const BLOCK = 512;
const MAX_CONTENT = 1 << 28;

export interface TarEntry {
  path: string;
  /** '0' file, '2' symbolic link, '5' directory, … as in the header */
  type: string;
  mode: number;
  content: Uint8Array;
  uid: number;
  gid: number;
  /** seconds since 1970 */
  mtime: number;
  /** of links: what they lead to */
  target: string;
  /** of device nodes */
  device: [major: number, minor: number];
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
  let longTarget: string | undefined;
  for (;;) {
    const header = await reader.take(BLOCK, true);
    if (!header) return;
    if (header[0] === 0) {
      // What writes the archive ends only when all of it has been read, the zeros behind its end too.
      while (await reader.take(BLOCK, false));
      return;
    }
    checkSum(header);
    const type = String.fromCharCode(header[156] || 0x30);
    const size = octal(header, 124, 12);
    const prefix = field(header, 345, header.toString('latin1', 257, 263) === 'ustar\0' ? 155 : 0);
    const path = (longName ?? (prefix ? `${prefix}/` : '') + field(header, 0, 100)).replace(/^\.\//, '');
    const isName = type === 'L' || type === 'K';
    const wanted = isName || want(path);
    if (wanted && size > MAX_CONTENT) throw new Error(`the archive's ${path} is too large`);
    const padded = Math.ceil(size / BLOCK) * BLOCK;
    const content = await reader.take(padded, wanted);
    if (padded > 0 && !content) throw new Error('the archive is cut off');
    if (isName) {
      const name = content!.toString('utf8', 0, size).replace(/\0.*$/, '');
      if (type === 'L') longName = name;
      else longTarget = name;
      continue;
    }
    if (wanted) {
      yield {
        ...{ path, type, mode: octal(header, 100, 8), content: content!.subarray(0, size) },
        ...{ uid: octal(header, 108, 8), gid: octal(header, 116, 8), mtime: octal(header, 136, 12) },
        target: longTarget ?? field(header, 157, 100),
        device: [octal(header, 329, 8), octal(header, 337, 8)],
      };
    }
    longName = longTarget = undefined;
  }
}

const NAME_FIELD = 100;

/** An entry with its headers and its padding. */
export function tarRecord(entry: TarEntry): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const long = (text: string, type: string): void => {
    const content = Buffer.from(`${text}\0`);
    if (content.length > NAME_FIELD) parts.push(tarHeader('././@LongLink', type, content.length), padded(content));
  };
  long(entry.target, 'K');
  long(entry.path, 'L');
  parts.push(tarHeader(entry.path, entry.type, entry.content.length, entry), padded(entry.content));
  return parts;
}

/** What ends an archive. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK);

function padded(content: Uint8Array): Uint8Array {
  const rest = -content.length & (BLOCK - 1);
  return rest === 0 ? content : Buffer.concat([content, Buffer.alloc(rest)]);
}

function tarHeader(path: string, type: string, size: number, entry?: TarEntry): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octals = (value: number, at: number, length: number): void =>
    void header.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1');
  Buffer.from(path).copy(header, 0, 0, NAME_FIELD);
  octals(entry?.mode ?? 0o644, 100, 8);
  octals(entry?.uid ?? 0, 108, 8);
  octals(entry?.gid ?? 0, 116, 8);
  octals(size, 124, 12);
  octals(entry?.mtime ?? 0, 136, 12);
  header.write('        ', 148, 'latin1');
  header.write(type, 156, 'latin1');
  if (entry) Buffer.from(entry.target).copy(header, 157, 0, NAME_FIELD);
  header.write('ustar  \0', 257, 'latin1'); // GNU's form
  octals(entry?.device[0] ?? 0, 329, 8);
  octals(entry?.device[1] ?? 0, 337, 8);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
