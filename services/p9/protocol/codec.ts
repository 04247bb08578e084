// 9P2000.L messages (the protocol of Linux' 9p file system): what a client asks, read from bytes that are all its own, and answers. Pure.

// prettier-ignore
export const P9 = {
  LERROR: 7, STATFS: 8, LOPEN: 12, LCREATE: 14, SYMLINK: 16, MKNOD: 18, RENAME: 20, READLINK: 22, GETATTR: 24,
  SETATTR: 26, XATTRWALK: 30, XATTRCREATE: 32, READDIR: 40, FSYNC: 50, LOCK: 52, GETLOCK: 54, LINK: 70,
  MKDIR: 72, RENAMEAT: 74, UNLINKAT: 76, VERSION: 100, AUTH: 102, ATTACH: 104, FLUSH: 108, WALK: 110,
  READ: 116, WRITE: 118, CLUNK: 120, REMOVE: 122,
} as const;

/** size[4] type[1] tag[2] */
export const HEAD = 7;
/** What an answer to a read has before its bytes. */
export const READ_HEAD = HEAD + 4;
export const NO_FID = 0xffffffff;
const MAX_WALK = 16;
const NAME_MAX = 255;
const STRING_MAX = 4096;

/** Bytes that are no message: who sends them is served no more. */
export class P9Error extends Error {}

/** An answer that is an error of the system, by its name. */
export class Errno extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

type Kind = 'u8' | 'u16' | 'u32' | 'u64' | 'text' | 'name' | 'names' | 'data';
type Value<K extends Kind> = K extends 'u64'
  ? bigint
  : K extends 'names'
    ? Buffer[]
    : K extends 'text' | 'name' | 'data'
      ? Buffer
      : number;

/** A request's fields in their order. `name`: of one entry of a folder. */
const REQUESTS = {
  [P9.VERSION]: { msize: 'u32', version: 'text' },
  [P9.AUTH]: { afid: 'u32', uname: 'text', aname: 'text', uid: 'u32' },
  [P9.ATTACH]: { fid: 'u32', afid: 'u32', uname: 'text', aname: 'text', uid: 'u32' },
  [P9.FLUSH]: { oldtag: 'u16' },
  [P9.WALK]: { fid: 'u32', newfid: 'u32', names: 'names' },
  [P9.STATFS]: { fid: 'u32' },
  [P9.LOPEN]: { fid: 'u32', flags: 'u32' },
  [P9.LCREATE]: { fid: 'u32', name: 'name', flags: 'u32', mode: 'u32', gid: 'u32' },
  [P9.SYMLINK]: { fid: 'u32', name: 'name', target: 'text', gid: 'u32' },
  [P9.MKNOD]: { fid: 'u32', name: 'name', mode: 'u32', major: 'u32', minor: 'u32', gid: 'u32' },
  [P9.RENAME]: { fid: 'u32', dfid: 'u32', name: 'name' },
  [P9.READLINK]: { fid: 'u32' },
  [P9.GETATTR]: { fid: 'u32', mask: 'u64' },
  [P9.SETATTR]: {
    ...({ fid: 'u32', valid: 'u32', mode: 'u32', uid: 'u32', gid: 'u32', size: 'u64' } as const),
    ...({ atime: 'u64', atimeNs: 'u64', mtime: 'u64', mtimeNs: 'u64' } as const),
  },
  [P9.XATTRWALK]: { fid: 'u32', newfid: 'u32', name: 'text' },
  [P9.XATTRCREATE]: { fid: 'u32', name: 'text', size: 'u64', flags: 'u32' },
  [P9.READDIR]: { fid: 'u32', offset: 'u64', count: 'u32' },
  [P9.FSYNC]: { fid: 'u32', datasync: 'u32' },
  [P9.LOCK]: { fid: 'u32', type: 'u8', flags: 'u32', start: 'u64', length: 'u64', process: 'u32', client: 'text' },
  [P9.GETLOCK]: { fid: 'u32', type: 'u8', start: 'u64', length: 'u64', process: 'u32', client: 'text' },
  [P9.LINK]: { dfid: 'u32', fid: 'u32', name: 'name' },
  [P9.MKDIR]: { fid: 'u32', name: 'name', mode: 'u32', gid: 'u32' },
  [P9.RENAMEAT]: { fid: 'u32', name: 'name', newfid: 'u32', newname: 'name' },
  [P9.UNLINKAT]: { fid: 'u32', name: 'name', flags: 'u32' },
  [P9.READ]: { fid: 'u32', offset: 'u64', count: 'u32' },
  [P9.WRITE]: { fid: 'u32', offset: 'u64', data: 'data' },
  [P9.CLUNK]: { fid: 'u32' },
  [P9.REMOVE]: { fid: 'u32' },
} as const satisfies Record<number, Readonly<Record<string, Kind>>>;

const TABLE: ReadonlyMap<number, Readonly<Record<string, Kind>>> = new Map(
  Object.entries(REQUESTS).map(([type, fields]) => [Number(type), fields]),
);

type Requests = typeof REQUESTS;
export type RequestOf<T extends keyof Requests> = {
  type: T;
  tag: number;
} & { [F in keyof Requests[T]]: Requests[T][F] extends Kind ? Value<Requests[T][F]> : never };
export type Request = { [T in keyof Requests]: RequestOf<T> }[keyof Requests];

class Reader {
  readonly #bytes: Buffer;
  #at = HEAD;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new P9Error('a message is shorter than what is in it');
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  read(kind: Kind): number | bigint | Buffer | Buffer[] {
    switch (kind) {
      case 'u8':
        return this.#take(1)[0]!;
      case 'u16':
        return this.#take(2).readUInt16LE();
      case 'u32':
        return this.#take(4).readUInt32LE();
      case 'u64':
        return this.#take(8).readBigUInt64LE();
      case 'data':
        return this.#take(this.#take(4).readUInt32LE());
      case 'text':
      case 'name':
        return this.#take(this.#take(2).readUInt16LE());
      case 'names': {
        const count = this.#take(2).readUInt16LE();
        if (count > MAX_WALK) throw new P9Error(`a walk of ${count} steps is too long`);
        return Array.from({ length: count }, () => this.read('text') as Buffer);
      }
    }
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new P9Error('a message is longer than what is in it');
  }
}

export const tagOf = (message: Buffer): number => message.readUInt16LE(5);

/** A message's request; throws P9Error for what is no message, Errno for one that cannot be carried out as it is. */
export function readRequest(message: Buffer): Request {
  const type = message[4]!;
  const fields = TABLE.get(type);
  if (!fields) throw new Errno('EOPNOTSUPP');
  const reader = new Reader(message);
  const out: Record<string, unknown> = { type, tag: tagOf(message) };
  for (const [name, kind] of Object.entries(fields)) out[name] = reader.read(kind);
  reader.end();
  for (const [name, kind] of Object.entries(fields)) {
    if (kind === 'name') checkName(out[name] as Buffer);
    if (kind === 'text' && (out[name] as Buffer).length > STRING_MAX) throw new Errno('ENAMETOOLONG');
  }
  return out as unknown as Request;
}

const DOTS = [Buffer.from('.'), Buffer.from('..')];

/** Names are one entry of one folder: whatever would lead elsewhere is none. */
export function checkName(name: Buffer): void {
  if (name.length === 0 || DOTS.some((dots) => dots.equals(name))) throw new Errno('EINVAL');
  checkStep(name);
}

/** A step of a walk may be a dot, or two. */
export function checkStep(name: Buffer): void {
  if (name.length === 0 || name.includes(0x2f) || name.includes(0)) throw new Errno('ENOENT');
  if (name.length > NAME_MAX) throw new Errno('ENAMETOOLONG');
}

// ---- answers

export interface Qid {
  /** QTDIR 0x80, QTSYMLINK 2, QTFILE 0. */
  type: number;
  version: number;
  path: bigint;
}

/** Puts an answer's bytes together. */
export class Writer {
  readonly #parts: Buffer[] = [];

  u8(value: number): this {
    this.#parts.push(Buffer.of(value));
    return this;
  }
  u16(value: number): this {
    const b = Buffer.alloc(2);
    b.writeUInt16LE(value);
    return this.bytes(b);
  }
  u32(value: number): this {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(value >>> 0);
    return this.bytes(b);
  }
  u64(...values: bigint[]): this {
    const b = Buffer.alloc(8 * values.length);
    values.forEach((value, i) => b.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * i));
    return this.bytes(b);
  }
  text(value: Buffer): this {
    return this.u16(value.length).bytes(value);
  }
  qid({ type, version, path }: Qid): this {
    return this.u8(type).u32(version).u64(path);
  }
  bytes(value: Buffer): this {
    this.#parts.push(value);
    return this;
  }

  /** The body, with the head of an answer to a request of that type before it. */
  message(type: number, tag: number): Buffer {
    const head = Buffer.alloc(HEAD);
    const body = Buffer.concat(this.#parts);
    head.writeUInt32LE(HEAD + body.length);
    head[4] = type;
    head.writeUInt16LE(tag, 5);
    return Buffer.concat([head, body]);
  }

  body(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
