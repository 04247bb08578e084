/** Partitions of a disk: MBR with extended ones, and GPT (UEFI specification, 5.3). */
import { latin1, viewOf, type BoundedDisk } from './disk.ts';

export interface Partition {
  /** As Linux counts them; 0 is the disk as a whole. */
  readonly number: number;
  readonly from: number;
  readonly size: number;
  /** A loader is to look here first. */
  readonly active: boolean;
}

const SECTOR = 512;
const SIGNATURE = 0xaa55;
const TABLE = 446;
const ENTRY = 16;
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
const PROTECTIVE = 0xee;
const MAX_LOGICAL = 64;
const MAX_GPT = 256;

interface MbrEntry {
  active: boolean;
  type: number;
  lba: number;
  sectors: number;
}

function mbrTable(disk: BoundedDisk, lba: number): MbrEntry[] {
  if ((lba + 1) * SECTOR > disk.size) return [];
  const sector = viewOf(disk.read(lba * SECTOR, SECTOR));
  if (sector.getUint16(SECTOR - 2, true) !== SIGNATURE) return [];
  return Array.from({ length: 4 }, (_, i) => {
    const at = TABLE + i * ENTRY;
    return {
      active: sector.getUint8(at) === 0x80,
      type: sector.getUint8(at + 4),
      lba: sector.getUint32(at + 8, true),
      sectors: sector.getUint32(at + 12, true),
    };
  });
}

/** All that may hold a file system, the active ones first. */
export function partitions(disk: BoundedDisk): Partition[] {
  const whole = { number: 0, from: 0, size: disk.size, active: false };
  const table = mbrTable(disk, 0);
  const found = table.some(({ type }) => type === PROTECTIVE) ? gpt(disk) : mbr(disk, table);
  return [whole, ...found.filter(({ active }) => active), ...found.filter(({ active }) => !active)];
}

const partition = (number: number, lba: number, sectors: number, active: boolean): Partition => ({
  ...{ number, active, from: lba * SECTOR, size: sectors * SECTOR },
});

function mbr(disk: BoundedDisk, table: MbrEntry[]): Partition[] {
  const found: Partition[] = [];
  table.forEach(({ active, type, lba, sectors }, i) => {
    if (EXTENDED.has(type)) found.push(...logical(disk, lba));
    else if (type !== 0 && sectors > 0) found.push(partition(i + 1, lba, sectors, active));
  });
  return found;
}

/** A chain of tables: each has a partition, relative to itself, and the next table, relative to the first. */
function logical(disk: BoundedDisk, first: number): Partition[] {
  const found: Partition[] = [];
  const seen = new Set<number>();
  for (let at = first; found.length < MAX_LOGICAL && !seen.has(at); ) {
    seen.add(at);
    const [own, next] = mbrTable(disk, at);
    if (!own || !next) break;
    if (own.type !== 0 && own.sectors > 0)
      found.push(partition(5 + found.length, at + own.lba, own.sectors, own.active));
    if (!EXTENDED.has(next.type)) break;
    at = first + next.lba;
  }
  return found;
}

function gpt(disk: BoundedDisk): Partition[] {
  if (disk.size < 2 * SECTOR) return [];
  const bytes = disk.read(SECTOR, SECTOR);
  if (latin1(bytes.subarray(0, 8)) !== 'EFI PART') return [];
  const header = viewOf(bytes);
  const at = Number(header.getBigUint64(72, true)) * SECTOR;
  const count = Math.min(header.getUint32(80, true), MAX_GPT);
  const size = header.getUint32(84, true);
  if (size < 128 || size > 4096 || at + count * size > disk.size) return [];
  const entries = viewOf(disk.read(at, count * size));
  const found: Partition[] = [];
  for (let i = 0; i < count; i++) {
    const entry = i * size;
    if (entries.getBigUint64(entry, true) === 0n && entries.getBigUint64(entry + 8, true) === 0n) continue;
    const first = Number(entries.getBigUint64(entry + 32, true));
    const last = Number(entries.getBigUint64(entry + 40, true));
    // Bit 2: a BIOS boots from it.
    const active = (entries.getUint32(entry + 48, true) & 4) !== 0;
    if (last >= first) found.push(partition(i + 1, first, last - first + 1, active));
  }
  return found;
}
