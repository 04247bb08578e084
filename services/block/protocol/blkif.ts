// The block protocol's requests and answers (public/io/blkif.h), in the layouts that front ends have: 64-bit code aligns 64-bit members to
// eight bytes, 32-bit x86 code to four. What is read here is a copy that the front end cannot change any more; everything in it is its word only.

export const OP = { READ: 0, WRITE: 1, BARRIER: 2, FLUSH: 3, DISCARD: 5, INDIRECT: 6 } as const;
export const STATUS = { OKAY: 0, ERROR: -1, EOPNOTSUPP: -2 } as const;
export const INFO = { CDROM: 1, REMOVABLE: 2, READONLY: 4 } as const;

/** The unit of sector numbers and of parts of pages, whatever the device's own sectors are. */
export const SECTOR = 512;
const SECTORS_PER_PAGE = 8;
export const MAX_SEGMENTS = 11;
/** What we offer (feature-max-indirect-segments): 256 KiB a request at most. */
export const MAX_INDIRECT_SEGMENTS = 64;
export const MAX_RING_ORDER = 4;
export const MAX_QUEUES = 4;
export const SEGMENT_SIZE = 8;

export interface Abi {
  name: string;
  /** Bytes of an entry of the ring, and of an answer in it. */
  entry: number;
  answer: number;
  /** Offsets. */
  id: number;
  sector: number;
  segments: number;
  discardSectors: number;
  indirectGrefs: number;
}

export const ABI_64: Abi = {
  name: 'x86_64-abi',
  ...{ entry: 112, answer: 16, id: 8, sector: 16, segments: 24, discardSectors: 24, indirectGrefs: 28 },
};
export const ABI_32: Abi = {
  name: 'x86_32-abi',
  ...{ entry: 108, answer: 12, id: 4, sector: 12, segments: 20, discardSectors: 20, indirectGrefs: 24 },
};

/** The front end's `protocol` node. Who writes none has the layout of the back end's own kind of processor. */
export function abiOf(protocol: string | undefined): Abi | undefined {
  if (protocol === undefined || protocol === ABI_64.name || protocol === 'arm-abi') return ABI_64;
  return protocol === ABI_32.name ? ABI_32 : undefined;
}

/** Entries of a ring of so many pages (__RING_SIZE of io/ring.h). */
export function ringEntries(abi: Abi, pages: number): number {
  return 2 ** Math.floor(Math.log2((pages * 4096 - 64) / abi.entry));
}

/** A part of a page that the front end has granted. */
export interface Segment {
  gref: number;
  /** Bytes from the page's start. */
  offset: number;
  length: number;
}

export type Request =
  | { op: 'read' | 'write' | 'barrier'; id: bigint; code: number; sector: number; segments: Segment[] }
  | { op: 'flush'; id: bigint; code: number }
  | { op: 'discard'; id: bigint; code: number; sector: number; sectors: number }
  | { op: 'indirect'; id: bigint; code: number; write: boolean; sector: number; count: number; grefs: number[] }
  | { op: 'unknown'; id: bigint; code: number }
  /** Its numbers cannot be. */
  | { op: 'bad'; id: bigint; code: number };

export function readSegment(v: DataView, at: number): Segment | undefined {
  const first = v.getUint8(at + 4);
  const last = v.getUint8(at + 5);
  if (first > last || last >= SECTORS_PER_PAGE) return undefined;
  return { gref: v.getUint32(at, true), offset: first * SECTOR, length: (last - first + 1) * SECTOR };
}

/** `count` segments from `at` on; undefined if one of them cannot be. */
export function readSegments(v: DataView, at: number, count: number): Segment[] | undefined {
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const segment = readSegment(v, at + SEGMENT_SIZE * i);
    if (!segment) return undefined;
    segments.push(segment);
  }
  return segments;
}

const isSector = (sector: number): boolean => Number.isSafeInteger(sector * SECTOR);

function sectorAt(v: DataView, at: number): number {
  return v.getUint32(at, true) + 2 ** 32 * v.getUint32(at + 4, true);
}

/** The request whose entry begins at `at`. */
export function readRequest(v: DataView, at: number, abi: Abi): Request {
  const code = v.getUint8(at);
  const id = v.getBigUint64(at + abi.id, true);
  const sector = sectorAt(v, at + abi.sector);
  switch (code) {
    case OP.READ:
    case OP.WRITE:
    case OP.BARRIER: {
      const count = v.getUint8(at + 1);
      const op = code === OP.READ ? 'read' : code === OP.WRITE ? 'write' : 'barrier';
      const most = count > MAX_SEGMENTS || (count === 0 && op !== 'barrier');
      const segments = most || !isSector(sector) ? undefined : readSegments(v, at + abi.segments, count);
      return segments ? { op, id, code, sector, segments } : { op: 'bad', id, code };
    }
    case OP.FLUSH:
      return { op: 'flush', id, code };
    case OP.DISCARD: {
      const sectors = sectorAt(v, at + abi.discardSectors);
      if (!isSector(sector) || !isSector(sectors)) return { op: 'bad', id, code };
      return { op: 'discard', id, code, sector, sectors };
    }
    case OP.INDIRECT: {
      const inner = v.getUint8(at + 1);
      const count = v.getUint16(at + 2, true);
      const good = (inner === OP.READ || inner === OP.WRITE) && count > 0 && count <= MAX_INDIRECT_SEGMENTS;
      if (!good || !isSector(sector)) return { op: 'bad', id, code: inner };
      const pages = Math.ceil((count * SEGMENT_SIZE) / 4096);
      const grefs = Array.from({ length: pages }, (_, i) => v.getUint32(at + abi.indirectGrefs + 4 * i, true));
      return { op: 'indirect', id, code: inner, write: inner === OP.WRITE, sector, count, grefs };
    }
    default:
      return { op: 'unknown', id, code };
  }
}

/** An answer's bytes. */
export function writeAnswer(v: DataView, at: number, abi: Abi, id: bigint, code: number, status: number): void {
  v.setBigUint64(at, id, true);
  // What lies between and behind the members is nobody's, but must not be what was there before.
  v.setUint32(at + 8, code, true);
  if (abi.answer > 12) v.setUint32(at + 12, 0, true);
  v.setInt16(at + 10, status, true);
}
