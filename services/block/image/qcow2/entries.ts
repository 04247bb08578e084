// Entries of qcow2's L1 and L2 tables, and of its refcount blocks.

export const COPIED = 2 ** 31; // bit 63, in the upper half
const COMPRESSED = 2 ** 30; // bit 62
const OFFSET_HIGH = 0x00ffffff; // bits 9 to 55
const OFFSET_LOW = 0xfffffe00;

/** What an L2 entry says of a cluster. `zero` may have a place all the same, which is kept for later. */
export type Kind = 'data' | 'zero' | 'none' | 'compressed';

export interface Entry {
  kind: Kind;
  /** in the file; 0: none */
  offset: number;
  /** of this cluster's place nobody else knows: it can be written where it is */
  copied: boolean;
  /** bytes in the file of a compressed cluster, at most */
  length: number;
}

export const kindAt = (table: Buffer, index: number): Kind => {
  const high = table.readUInt32BE(index * 8);
  if (high & COMPRESSED) return 'compressed';
  const low = table.readUInt32BE(index * 8 + 4);
  if (low & 1) return 'zero';
  return (high & OFFSET_HIGH) !== 0 || (low & OFFSET_LOW) !== 0 ? 'data' : 'none';
};

export const copiedAt = (table: Buffer, index: number): boolean => table[index * 8]! >= 0x80;

/** Place of an L2 table, or of a cluster that is not compressed; may be off the clusters in a damaged image. */
export const offsetAt = (table: Buffer, index: number): number =>
  (table.readUInt32BE(index * 8) & OFFSET_HIGH) * 2 ** 32 + ((table.readUInt32BE(index * 8 + 4) & OFFSET_LOW) >>> 0);

/** Place and length of compressed data: the length counts the sectors after the first one, and its bits lie above the place's. */
export function compressedAt(table: Buffer, index: number, clusterBits: number): { offset: number; length: number } {
  const placeBits = 62 - (clusterBits - 8);
  const high = table.readUInt32BE(index * 8) & 0x3fffffff;
  const low = table.readUInt32BE(index * 8 + 4);
  const split = 2 ** (placeBits - 32);
  const offset = (high % split) * 2 ** 32 + low;
  const sectors = Math.floor(high / split) + 1;
  return { offset, length: sectors * 512 - (offset % 512) };
}

export function entryAt(table: Buffer, index: number, clusterBits: number): Entry {
  const kind = kindAt(table, index);
  if (kind === 'compressed') return { kind, copied: false, ...compressedAt(table, index, clusterBits) };
  return { kind, offset: offsetAt(table, index), copied: copiedAt(table, index), length: 2 ** clusterBits };
}

export function putEntry(
  table: Buffer,
  index: number,
  offset: number,
  flags: { copied: boolean; zero?: boolean },
): void {
  table.writeUInt32BE(Math.floor(offset / 2 ** 32) + (flags.copied ? COPIED : 0), index * 8);
  table.writeUInt32BE((offset >>> 0) + (flags.zero ? 1 : 0), index * 8 + 4);
}

/** A refcount of 2^order bits; those of less than a byte begin at the lowest bit. */
export function refcountAt(block: Buffer, index: number, order: number): number {
  switch (order) {
    case 3:
      return block[index]!;
    case 4:
      return block.readUInt16BE(index * 2);
    case 5:
      return block.readUInt32BE(index * 4);
    case 6: // one above 2^53 is damaged anyway, and as large as any
      return block.readUInt32BE(index * 8) * 2 ** 32 + block.readUInt32BE(index * 8 + 4);
    default: {
      const bits = 1 << order;
      const bit = index * bits;
      return (block[bit >> 3]! >> (bit & 7)) & ((1 << bits) - 1);
    }
  }
}

export function putRefcount(block: Buffer, index: number, order: number, value: number): void {
  switch (order) {
    case 3:
      block[index] = value;
      break;
    case 4:
      block.writeUInt16BE(value, index * 2);
      break;
    case 5:
      block.writeUInt32BE(value, index * 4);
      break;
    case 6:
      block.writeBigUInt64BE(BigInt(value), index * 8);
      break;
    default: {
      const bits = 1 << order;
      const bit = index * bits;
      const mask = ((1 << bits) - 1) << (bit & 7);
      block[bit >> 3] = (block[bit >> 3]! & ~mask) | (value << (bit & 7));
    }
  }
}

export const maxRefcount = (order: number): number => Math.min(2 ** (2 ** order) - 1, Number.MAX_SAFE_INTEGER);
/** The bytes of a block that hold these refcounts. */
export const refcountBytes = (index: number, count: number, order: number): { start: number; end: number } => {
  const bits = 2 ** order;
  return { start: Math.floor((index * bits) / 8), end: Math.ceil(((index + count) * bits) / 8) };
};
