// The xenstore wire format (public header io/xs_wire.h): a 16-byte header of little-endian u32s, then NUL-separated strings.

export const XS = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
  GET_FEATURE: 23,
  SET_FEATURE: 24,
  GET_QUOTA: 25,
  SET_QUOTA: 26,
  INVALID: 0xffff,
} as const;

export const HEADER_SIZE = 16;
export const PAYLOAD_MAX = 4096;

/** The errors the wire can carry, by name; anything else would not be understood by a client. */
export type XsErrorCode =
  | 'EINVAL'
  | 'EACCES'
  | 'EEXIST'
  | 'EISDIR'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'EIO'
  | 'ENOTEMPTY'
  | 'ENOSYS'
  | 'EROFS'
  | 'EBUSY'
  | 'EAGAIN'
  | 'EISCONN'
  | 'E2BIG'
  | 'EPERM';

export class XsError extends Error {
  readonly code: XsErrorCode;
  constructor(code: XsErrorCode, detail = '') {
    // An answer, not a fault, and often the expected one: where it comes from is not worth the time to find out.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(detail ? `${code}: ${detail}` : code);
    Error.stackTraceLimit = limit;
    this.code = code;
  }
}

export interface Header {
  type: number;
  reqId: number;
  txId: number;
  length: number;
}

/** The header at `at`. By hand: it is done for each message, and a DataView costs more than the message. */
export function decodeHeader(bytes: Uint8Array, at = 0): Header {
  return { type: word(bytes, at), reqId: word(bytes, at + 4), txId: word(bytes, at + 8), length: word(bytes, at + 12) };
}

export const payloadLength = (bytes: Uint8Array, at = 0): number => word(bytes, at + 12);

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Writes a message into `bytes`, which has room for it, and returns where it ends. */
export function putMessage(
  bytes: Buffer,
  at: number,
  type: number,
  reqId: number,
  txId: number,
  payload: string,
): number {
  putWord(bytes, at, type);
  putWord(bytes, at + 4, reqId);
  putWord(bytes, at + 8, txId);
  putWord(bytes, at + 12, payload.length);
  bytes.write(payload, at + HEADER_SIZE, 'latin1');
  return at + HEADER_SIZE + payload.length;
}

export function encodeMessage(type: number, reqId: number, txId: number, payload: string): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_SIZE + payload.length);
  putMessage(bytes, 0, type, reqId, txId, payload);
  return bytes;
}

// Strings are bytes to the store; latin1 keeps them one to one.
export const toText = (bytes: Uint8Array, start = 0, end = bytes.length): string =>
  (bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)).toString(
    'latin1',
    start,
    end,
  );
export const toBytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Each string with its terminating NUL. */
export const packStrings = (...strings: string[]): string =>
  strings.length === 1 ? `${strings[0]}\0` : strings.map((text) => text + '\0').join('');

/** Splits a payload that consists of NUL-terminated strings only; EINVAL if the last one is not terminated. */
export function unpackStrings(payload: Uint8Array | string): string[] {
  const text = typeof payload === 'string' ? payload : toText(payload);
  if (text.length === 0) return [];
  if (!text.endsWith('\0')) throw new XsError('EINVAL', 'unterminated string');
  return text.slice(0, -1).split('\0');
}

/** The payload as exactly one string. */
export function oneString(payload: Uint8Array): string {
  const last = payload.length - 1;
  if (payload.indexOf(0) !== last || last < 0) throw new XsError('EINVAL', 'one argument expected');
  return toText(payload, 0, last);
}

/** A leading string and what follows its NUL, each apart: neither keeps the other's bytes alive. */
export function stringAndRest(payload: Uint8Array): [string, string] {
  const end = payload.indexOf(0);
  if (end < 0) throw new XsError('EINVAL', 'unterminated string');
  return [toText(payload, 0, end), toText(payload, end + 1)];
}

/** A decimal argument within 0..max. */
export function numberArgument(text: string | undefined, max: number): number {
  const value = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value <= max)) throw new XsError('EINVAL', 'number expected');
  return value;
}
