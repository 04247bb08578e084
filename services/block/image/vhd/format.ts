// The structures of a VHD image (Microsoft's "Virtual Hard Disk Image Format Specification", 1.0): read with bounds, and written.
import { ImageError, SECTOR } from '../image.ts';

export const FOOTER = 512;
export const DYNAMIC_HEADER = 1024;
export const UNUSED = 0xffffffff;
export const BLOCK = 2 << 20;
/** 2,040 GiB: sector numbers have 32 bits and the last ones are not used. */
export const MAX_SIZE = 0xff000000 * SECTOR;

export const TYPE = { fixed: 2, dynamic: 3, differencing: 4 } as const;

const EPOCH = Date.UTC(2000, 0, 1) / 1000;
const MAX_BLOCK = 64 << 20;
const MAX_ENTRIES = 4 << 20;
const MAX_LOCATOR = 4096;

export const corrupt = (what: string): ImageError => new ImageError('corrupt', `the VHD image is damaged: ${what}.`);

export interface Footer {
  type: number;
  size: number;
  uuid: string;
  timestamp: number;
  /** place of the dynamic header */
  dataOffset: number;
  /** as it stands there: whoever changes one keeps the rest */
  bytes: Buffer;
}

/** One's complement of the sum of the bytes, without the checksum's own. */
export function checksum(bytes: Buffer, field: number): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) if (i < field || i >= field + 4) sum += bytes[i]!;
  return ~sum >>> 0;
}

const u64 = (bytes: Buffer, at: number, what: string): number => {
  const value = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw corrupt(`${what} is ${value}`);
  return value;
};

const uuidOf = (bytes: Buffer): string => bytes.toString('hex');

export const isFooter = (bytes: Buffer): boolean =>
  bytes.length >= FOOTER && bytes.toString('latin1', 0, 8) === 'conectix';

/** Undefined: that is no footer, or its checksum is wrong. */
export function parseFooter(bytes: Buffer): Footer | undefined {
  if (!isFooter(bytes) || bytes.readUInt32BE(64) !== checksum(bytes.subarray(0, FOOTER), 64)) return undefined;
  const type = bytes.readUInt32BE(60);
  const size = u64(bytes, 48, 'its size');
  if (size > MAX_SIZE) throw corrupt(`its size is ${size}`);
  return {
    ...{ type, size: size - (size % SECTOR), uuid: uuidOf(bytes.subarray(68, 84)), timestamp: bytes.readUInt32BE(24) },
    dataOffset: type === TYPE.fixed ? 0 : u64(bytes, 16, "the dynamic header's place"),
    bytes: Buffer.from(bytes.subarray(0, FOOTER)),
  };
}

/** Cylinders, heads and sectors, by the specification's appendix. */
export function geometry(size: number): { cylinders: number; heads: number; sectors: number } {
  const total = Math.min(Math.floor(size / SECTOR), 65535 * 16 * 255);
  if (total >= 65535 * 16 * 63) return { cylinders: Math.floor(total / 255 / 16), heads: 16, sectors: 255 };
  let sectors = 17;
  let tracks = Math.floor(total / sectors);
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
  if (tracks >= heads * 1024 || heads > 16) {
    [sectors, heads] = [31, 16];
    tracks = Math.floor(total / sectors);
  }
  if (tracks >= heads * 1024) {
    [sectors, heads] = [63, 16];
    tracks = Math.floor(total / sectors);
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectors };
}

export function putSize(footer: Buffer, size: number): Buffer {
  const bytes = Buffer.from(footer);
  bytes.writeBigUInt64BE(BigInt(size), 48);
  const { cylinders, heads, sectors } = geometry(size);
  bytes.writeUInt16BE(cylinders, 56);
  bytes.set([heads, sectors], 58);
  bytes.writeUInt32BE(checksum(bytes, 64), 64);
  return bytes;
}

export function makeFooter(type: number, size: number, uuid = crypto.randomUUID().replaceAll('-', '')): Buffer {
  const bytes = Buffer.alloc(FOOTER);
  bytes.write('conectix', 'latin1');
  bytes.writeUInt32BE(2, 8); // features: the bit that is always set
  bytes.writeUInt32BE(0x10000, 12);
  bytes.writeBigUInt64BE(type === TYPE.fixed ? 2n ** 64n - 1n : BigInt(FOOTER), 16);
  bytes.writeUInt32BE(Math.floor(Date.now() / 1000) - EPOCH, 24);
  // Others take the size from the geometry, which is coarser, unless they know a creator that means the size. This is Xen's.
  bytes.write('tap\0', 28, 'latin1');
  bytes.writeUInt32BE(0x10003, 32);
  bytes.writeBigUInt64BE(BigInt(size), 40);
  bytes.writeUInt32BE(type, 60);
  Buffer.from(uuid, 'hex').copy(bytes, 68);
  return putSize(bytes, size);
}

export interface Locator {
  code: string;
  offset: number;
  length: number;
}

export interface DynamicHeader {
  tableOffset: number;
  entries: number;
  blockSize: number;
  parentUuid: string;
  parentName: string;
  locators: Locator[];
  bytes: Buffer;
}

export function parseDynamic(bytes: Buffer, fileSize: number): DynamicHeader {
  if (bytes.toString('latin1', 0, 8) !== 'cxsparse' || bytes.readUInt32BE(36) !== checksum(bytes, 36))
    throw corrupt('its dynamic header is none');
  const header: DynamicHeader = {
    tableOffset: u64(bytes, 16, "the block table's place"),
    entries: bytes.readUInt32BE(28),
    blockSize: bytes.readUInt32BE(32),
    parentUuid: uuidOf(bytes.subarray(40, 56)),
    parentName: utf16be(bytes.subarray(64, 576)).replace(/\0.*$/s, ''),
    locators: [],
    bytes: Buffer.from(bytes),
  };
  const { entries, blockSize, tableOffset } = header;
  if (blockSize < 4096 || blockSize > MAX_BLOCK || Math.log2(blockSize) % 1 !== 0)
    throw corrupt(`its blocks have ${blockSize} bytes`);
  if (entries > MAX_ENTRIES || tableOffset % SECTOR !== 0 || tableOffset + entries * 4 > fileSize)
    throw corrupt(`its block table (${entries} entries at ${tableOffset}) lies outside of the file`);
  for (let i = 0; i < 8; i++) {
    const at = 576 + i * 24;
    const code = bytes.toString('latin1', at, at + 4);
    const length = bytes.readUInt32BE(at + 8);
    if (code === '\0\0\0\0') continue;
    const offset = u64(bytes, at + 16, "a parent locator's place");
    if (length <= MAX_LOCATOR && offset + length <= fileSize) header.locators.push({ code, offset, length });
  }
  return header;
}

export interface NewDynamic {
  block_size: number;
  tableOffset: number;
  entries: number;
  parent?:
    | { uuid: string; timestamp: number; name: string; locators: readonly (Locator & { space: number })[] }
    | undefined;
}

export function makeDynamic({ tableOffset, entries, block_size, parent }: NewDynamic): Buffer {
  const bytes = Buffer.alloc(DYNAMIC_HEADER);
  bytes.write('cxsparse', 'latin1');
  bytes.writeBigUInt64BE(2n ** 64n - 1n, 8);
  bytes.writeUInt32BE(0x10000, 24);
  bytes.writeUInt32BE(block_size, 32);
  if (parent) {
    Buffer.from(parent.uuid, 'hex').copy(bytes, 40);
    bytes.writeUInt32BE(parent.timestamp, 56);
    Buffer.from(parent.name, 'utf16le').subarray(0, 510).swap16().copy(bytes, 64);
    parent.locators.forEach(({ code, offset, length, space }, i) => {
      const at = 576 + i * 24;
      bytes.write(code, at, 'latin1');
      bytes.writeUInt32BE(space, at + 4);
      bytes.writeUInt32BE(length, at + 8);
      bytes.writeBigUInt64BE(BigInt(offset), at + 16);
    });
  }
  return putTable(bytes, tableOffset, entries);
}

/** The header with another block table. */
export function putTable(header: Buffer, tableOffset: number, entries: number): Buffer {
  const bytes = Buffer.from(header);
  bytes.writeBigUInt64BE(BigInt(tableOffset), 16);
  bytes.writeUInt32BE(entries, 28);
  bytes.writeUInt32BE(checksum(bytes, 36), 36);
  return bytes;
}

export const utf16be = (bytes: Buffer): string => Buffer.from(bytes).swap16().toString('utf16le');

/** The path that a parent locator gives; undefined: it is of a kind that means nothing here. */
export function locatorPath(code: string, data: Buffer): string | undefined {
  const windows = (): string =>
    data
      .subarray(0, data.length & ~1)
      .toString('utf16le')
      .replaceAll('\\', '/');
  if (code === 'MacX') {
    const url = data.toString('utf8').replace(/\0+$/, '');
    return url.startsWith('file:') ? decoded(url.slice(5)).replace(/^\/\/(?:localhost)?(?=\/)/, '') : undefined;
  }
  if (code === 'W2ru') return windows();
  if (code === 'W2ku') return /^[a-z]:/i.test(windows()) ? undefined : windows();
  return undefined;
}

const decoded = (text: string): string => {
  try {
    return decodeURI(text);
  } catch {
    return text;
  }
};
