// Xenstore's migration stream (docs/designs/xenstore-migration, version 2), byte for byte: a header, then records of type,
// length and a body padded to 8 bytes. What each body means is in migration.ts; here only its layout.
import { toBytes, toText, XsError } from './wire.ts';

export const RECORD = {
  END: 0,
  GLOBAL_DATA: 1,
  CONNECTION_DATA: 2,
  WATCH_DATA: 3,
  TRANSACTION_DATA: 4,
  NODE_DATA: 5,
  GLOBAL_QUOTA_DATA: 6,
  DOMAIN_DATA: 7,
  WATCH_DATA_EXTENDED: 8,
} as const;

const IDENT = 'xenstore';
const VERSION = 2;
const HEADER_SIZE = 16;
const BIG_ENDIAN = 1;

export class RecordWriter {
  readonly #parts: Buffer[] = [];
  #body: Buffer[] = [];

  constructor() {
    const rest = Buffer.alloc(8);
    rest.writeUInt32BE(VERSION, 0);
    this.#parts.push(toBytes(IDENT), rest);
  }

  u16(...values: number[]): this {
    for (const value of values) this.#body.push(Buffer.of(value & 255, (value >> 8) & 255));
    return this;
  }

  u32(...values: number[]): this {
    for (const value of values) this.u16(value & 0xffff, value >>> 16);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.#body.push(Buffer.from(bytes));
    return this;
  }

  text(text: string): this {
    return this.bytes(toBytes(text));
  }

  /** Everything since the last record was ended is the body of one of that type. */
  end(type: number): void {
    const body = Buffer.concat(this.#body);
    this.#body = [];
    this.u32(type, body.length);
    this.#parts.push(...this.#body, body, Buffer.alloc(-body.length & 7));
    this.#body = [];
  }

  finish(): Buffer {
    this.end(RECORD.END);
    return Buffer.concat(this.#parts);
  }
}

/** Reads numbers and texts off a record's body; what is not there is EINVAL. */
export class RecordReader {
  readonly type: number;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(type: number, bytes: Buffer) {
    this.type = type;
    this.#bytes = bytes;
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new XsError('EINVAL', `record of type ${this.type} is too short`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    return this.take(2).readUInt16LE();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  text(length: number): string {
    return toText(this.take(length));
  }

  /** A text of `length` bytes with its NUL. */
  string(length: number): string {
    const text = this.text(length);
    if (text.indexOf('\0') !== length - 1) throw new XsError('EINVAL', `bad text in a record of type ${this.type}`);
    return text.slice(0, -1);
  }

  /** `count` texts, each with its NUL. */
  strings(count: number): string[] {
    return Array.from({ length: count }, () => {
      const end = this.#bytes.indexOf(0, this.#at);
      return this.string(end < 0 ? Infinity : end - this.#at + 1);
    });
  }
}

/** The records of a stream, END left out; throws EINVAL for what is none. */
export function* readRecords(stream: Uint8Array): Generator<RecordReader> {
  const bytes = Buffer.from(stream.buffer, stream.byteOffset, stream.length);
  const known = bytes.length >= HEADER_SIZE && toText(bytes, 0, 8) === IDENT;
  if (!known || bytes.readUInt32BE(8) > VERSION || bytes.readUInt32BE(12) & BIG_ENDIAN) {
    throw new XsError('EINVAL', 'not a xenstore stream of a known kind');
  }
  for (let at = HEADER_SIZE; at + 8 <= bytes.length; ) {
    const [type, length] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    if (type === RECORD.END) return;
    at += 8;
    if (at + length > bytes.length) break;
    yield new RecordReader(type, bytes.subarray(at, at + length));
    at += length + (-length & 7);
  }
  throw new XsError('EINVAL', 'the stream ends in a record');
}
