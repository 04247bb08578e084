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

export function decodeHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  const word = (index: number) => view.getUint32(index * 4, true);
  return { type: word(0), reqId: word(1), txId: word(2), length: word(3) };
}

export function encodeMessage(type: number, reqId: number, txId: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + payload.length);
  const view = new DataView(bytes.buffer);
  [type, reqId, txId, payload.length].forEach((value, index) => view.setUint32(index * 4, value, true));
  bytes.set(payload, HEADER_SIZE);
  return bytes;
}

// Strings are bytes to the store; latin1 keeps them one to one.
export const toText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
export const toBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

/** Each string with its terminating NUL. */
export const packStrings = (...strings: string[]): Uint8Array => toBytes(strings.map((text) => text + '\0').join(''));

/** Splits a payload that consists of NUL-terminated strings only; EINVAL if the last one is not terminated. */
export function unpackStrings(payload: Uint8Array): string[] {
  if (payload.length === 0) return [];
  if (payload[payload.length - 1] !== 0) throw new XsError('EINVAL', 'unterminated string');
  return toText(payload.subarray(0, -1)).split('\0');
}

/** The payload as exactly one string. */
export function oneString(payload: Uint8Array): string {
  const strings = unpackStrings(payload);
  if (strings.length !== 1) throw new XsError('EINVAL', 'one argument expected');
  return strings[0]!;
}

/** A leading string and the raw bytes after its NUL. */
export function stringAndRest(payload: Uint8Array): [string, Uint8Array] {
  const end = payload.indexOf(0);
  if (end < 0) throw new XsError('EINVAL', 'unterminated string');
  return [toText(payload.subarray(0, end)), payload.subarray(end + 1)];
}

/** A decimal argument within 0..max. */
export function numberArgument(text: string | undefined, max: number): number {
  const value = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value <= max)) throw new XsError('EINVAL', 'number expected');
  return value;
}
