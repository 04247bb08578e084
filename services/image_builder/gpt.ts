/** Partition tables of new disks: GPT (UEFI specification, 5.3) with the protective MBR before it. */
import { randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';

const SECTOR = 512;
const ENTRY = 128;
const ENTRIES = 128;
const TABLE_SECTORS = (ENTRIES * ENTRY) / SECTOR;
/** A header and its entries. */
const COPY_SECTORS = 1 + TABLE_SECTORS;
const ALIGNMENT = 1 << 20;

/** What a partition is for (its type), by the name that systemd's "Discoverable Partitions" and the UEFI specification know. */
export const PARTITION_TYPES = {
  'linux-root-x86-64': '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  'bios-boot': '21686148-6449-6e6f-744e-656564454649',
  'efi-system': 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
} as const;

export interface NewPartition {
  type: keyof typeof PARTITION_TYPES;
  /** counted from 1 */
  number: number;
  /** bytes, on whole MiB; the last one may leave it out and takes what there is */
  size?: number;
  name: string;
}

export interface Placed extends NewPartition {
  from: number;
  size: number;
}

/** Where the partitions of a disk go, one after the other on whole MiB. */
export function layOut(disk: number, wanted: readonly NewPartition[]): Placed[] {
  let at = ALIGNMENT;
  // The second copy of the table is at the disk's end.
  const end = Math.floor((disk - (COPY_SECTORS + 1) * SECTOR) / ALIGNMENT) * ALIGNMENT;
  return wanted.map((partition) => {
    const from = at;
    const size = partition.size ?? end - from;
    at += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    if (size <= 0 || at > end) throw new RangeError(`a disk of ${disk} bytes has no room for ${partition.name}`);
    return { ...partition, from, size };
  });
}

/** What is to be written where. */
export function partitionTable(disk: number, partitions: readonly Placed[]): { at: number; bytes: Uint8Array }[] {
  const table = Buffer.alloc(ENTRIES * ENTRY);
  for (const { type, number, from, size, name } of partitions) {
    const at = (number - 1) * ENTRY;
    guid(PARTITION_TYPES[type]).copy(table, at);
    guid(randomUUID()).copy(table, at + 16);
    table.writeBigUInt64LE(BigInt(from / SECTOR), at + 32);
    table.writeBigUInt64LE(BigInt((from + size) / SECTOR - 1), at + 40);
    table.write(name.slice(0, 36), at + 56, 'utf16le');
  }
  const sectors = disk / SECTOR;
  const id = guid(randomUUID());
  const header = (own: number, other: number, entries: number): Buffer => gptHeader({ own, other, entries, sectors, id, table }); // prettier-ignore
  return [
    { at: 0, bytes: protectiveMbr(sectors) },
    { at: SECTOR, bytes: header(1, sectors - 1, 2) },
    { at: 2 * SECTOR, bytes: table },
    { at: (sectors - COPY_SECTORS) * SECTOR, bytes: table },
    { at: (sectors - 1) * SECTOR, bytes: header(sectors - 1, 1, sectors - COPY_SECTORS) },
  ];
}

interface Header {
  own: number;
  other: number;
  entries: number;
  sectors: number;
  id: Buffer;
  table: Buffer;
}

function gptHeader({ own, other, entries, sectors, id, table }: Header): Buffer {
  const header = Buffer.alloc(SECTOR);
  header.write('EFI PART', 0, 'latin1');
  header.writeUInt32LE(0x10000, 8);
  header.writeUInt32LE(92, 12);
  const lba = (value: number, at: number): void => void header.writeBigUInt64LE(BigInt(value), at);
  lba(own, 24);
  lba(other, 32);
  lba(1 + COPY_SECTORS, 40);
  lba(sectors - COPY_SECTORS - 1, 48);
  id.copy(header, 56);
  lba(entries, 72);
  header.writeUInt32LE(ENTRIES, 80);
  header.writeUInt32LE(ENTRY, 84);
  header.writeUInt32LE(crc32(table), 88);
  header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
  return header;
}

function protectiveMbr(sectors: number): Buffer {
  const mbr = Buffer.alloc(SECTOR);
  mbr.writeUInt32LE(0x0002_0000, 446); // first CHS address: cylinder 0, head 0, sector 2
  mbr[450] = 0xee;
  mbr.fill(0xff, 451, 454);
  mbr.writeUInt32LE(1, 454);
  mbr.writeUInt32LE(Math.min(sectors - 1, 0xffff_ffff), 458);
  mbr.writeUInt16LE(0xaa55, 510);
  return mbr;
}

/** The first three fields have their bytes in reverse. */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
