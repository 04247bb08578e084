// The network block device's protocol, as the server sees it (doc/proto.md of the NBD project): numbers, and messages to and from bytes.

export const MAGIC = {
  server: Buffer.from('NBDMAGICIHAVEOPT', 'latin1'),
  option: Buffer.from('IHAVEOPT', 'latin1'),
  optionReply: 0x3e889045565a9n,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

export const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 2 ** 31 + 1,
  policy: 2 ** 31 + 2,
  invalid: 2 ** 31 + 3,
  tlsRequired: 2 ** 31 + 5,
  unknown: 2 ** 31 + 6,
  tooBig: 2 ** 31 + 9,
} as const;

export const INFO = { export: 0, blockSize: 3 } as const;

export const EXPORT_FLAG = {
  hasFlags: 1,
  readOnly: 2,
  flush: 4,
  fua: 8,
  trim: 32,
  writeZeroes: 64,
  dontFragment: 128,
  multipleConnections: 256,
} as const;

export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6, blockStatus: 7 } as const;
export const COMMAND_FLAG = { fua: 1, noHole: 2, dontFragment: 4, oneExtent: 8 } as const;

export const CHUNK = { none: 0, data: 1, blockStatus: 5, error: 2 ** 15 + 1 } as const;
export const STATE = { hole: 1, zero: 2 } as const;
export const ERROR = { EPERM: 1, EIO: 5, EINVAL: 22, ENOSPC: 28, EOVERFLOW: 75, ENOTSUP: 95, ESHUTDOWN: 108 } as const;

export const ALLOCATION = { name: 'base:allocation', id: 1 } as const;

/** Bytes of an option and of a request's data; the protocol asks for the latter to be taken at least. */
export const MAX_OPTION = 65536;
export const MAX_DATA = 32 << 20;
const MAX_NAME = 4096;
const MAX_QUERIES = 256;

export const REQUEST_BYTES = 28;
export const OPTION_BYTES = 16;

/** Whoever does not keep to the protocol is cut off: nobody knows where the next message begins. */
export class ProtocolError extends Error {}

export interface OptionHead {
  option: number;
  length: number;
}

export function parseOption(bytes: Buffer): OptionHead {
  if (!bytes.subarray(0, 8).equals(MAGIC.option)) throw new ProtocolError('that is no option');
  return { option: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
}

export function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(MAGIC.optionReply);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

export interface Request {
  flags: number;
  command: number;
  cookie: bigint;
  offset: bigint;
  length: number;
}

export function parseRequest(bytes: Buffer): Request {
  if (bytes.readUInt32BE(0) !== MAGIC.request) throw new ProtocolError('that is no request');
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: bytes.readBigUInt64BE(16),
    length: bytes.readUInt32BE(24),
  };
}

export function simpleReply(cookie: bigint, error: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(MAGIC.simpleReply);
  bytes.writeUInt32BE(error, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}

/** The head of the last chunk of a structured reply; its contents begin with `data`, and `more` bytes follow by themselves. */
export function chunk(cookie: bigint, type: number, data: Buffer = Buffer.alloc(0), more = 0): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt32BE(MAGIC.structuredReply);
  head.writeUInt16BE(1, 4); // the last one
  head.writeUInt16BE(type, 6);
  head.writeBigUInt64BE(cookie, 8);
  head.writeUInt32BE(data.length + more, 16);
  return Buffer.concat([head, data]);
}

export function errorChunk(cookie: bigint, error: number, message: string): Buffer {
  const text = Buffer.from(message).subarray(0, MAX_NAME);
  const data = Buffer.alloc(6 + text.length);
  data.writeUInt32BE(error);
  data.writeUInt16BE(text.length, 4);
  text.copy(data, 6);
  return chunk(cookie, CHUNK.error, data);
}

export const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};

export function statusChunk(cookie: bigint, extents: readonly { length: number; state: number }[]): Buffer {
  const data = Buffer.alloc(4 + extents.length * 8);
  data.writeUInt32BE(ALLOCATION.id);
  extents.forEach(({ length, state }, i) => {
    data.writeUInt32BE(length, 4 + i * 8);
    data.writeUInt32BE(state, 8 + i * 8);
  });
  return chunk(cookie, CHUNK.blockStatus, data);
}

export function exportInfo(size: number, flags: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(INFO.export);
  bytes.writeBigUInt64BE(BigInt(size), 2);
  bytes.writeUInt16BE(flags, 10);
  return bytes;
}

export function blockSizeInfo(least: number, best: number): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeUInt16BE(INFO.blockSize);
  bytes.writeUInt32BE(least, 2);
  bytes.writeUInt32BE(best, 6);
  bytes.writeUInt32BE(MAX_DATA, 10);
  return bytes;
}

/** A 32-bit length and a text, again and again; undefined: that is not what it says. */
class Texts {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  number(bytes: 2 | 4): number | undefined {
    if (this.#at + bytes > this.#bytes.length) return undefined;
    this.#at += bytes;
    return this.#bytes.readUIntBE(this.#at - bytes, bytes);
  }

  text(): string | undefined {
    const length = this.number(4);
    if (length === undefined || length > MAX_NAME || this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }
}

/** The export that INFO or GO asks for; undefined: malformed. */
export function parseGo(data: Buffer): string | undefined {
  const texts = new Texts(data);
  const name = texts.text();
  const count = texts.number(2);
  if (name === undefined || count === undefined) return undefined;
  for (let i = 0; i < count; i++) if (texts.number(2) === undefined) return undefined;
  return texts.ended ? name : undefined;
}

export function parseMetaContext(data: Buffer): { name: string; queries: string[] } | undefined {
  const texts = new Texts(data);
  const name = texts.text();
  const count = texts.number(4);
  if (name === undefined || count === undefined || count > MAX_QUERIES) return undefined;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const query = texts.text();
    if (query === undefined) return undefined;
    queries.push(query);
  }
  return texts.ended ? { name, queries } : undefined;
}

export function contextReply(option: number): Buffer {
  const id = Buffer.alloc(4);
  // LIST is told no id.
  id.writeUInt32BE(option === OPTION.setMetaContext ? ALLOCATION.id : 0);
  return optionReply(option, REPLY.metaContext, Buffer.concat([id, Buffer.from(ALLOCATION.name)]));
}

export function serverReply(name: string): Buffer {
  const bytes = Buffer.from(name);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return optionReply(OPTION.list, REPLY.server, Buffer.concat([length, bytes]));
}
