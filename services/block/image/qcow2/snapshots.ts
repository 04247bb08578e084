// The table of a qcow2 image's internal snapshots.
import type { BlockFile } from '../file.ts';
import { ImageError, type Snapshot } from '../image.ts';
import { corrupt, type Header } from './header.ts';

export interface SnapshotRow {
  snapshot: Snapshot;
  l1Offset: number;
  l1Size: number;
  /** the row as it stands in the table, its L1 table's place apart */
  bytes: Buffer;
}

const FIXED = 40;
const EXTRA_WRITTEN = 24; // size of the machine's state, of the disk, count of instructions
const MAX_EXTRA = 1024;
const MAX_TABLE_BYTES = 64 << 20;
const MAX_L1_ENTRIES = (32 << 20) / 8;

const u64 = (bytes: Buffer, at: number): number => bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);

export async function readSnapshots(file: BlockFile, header: Header): Promise<SnapshotRow[]> {
  const rows: SnapshotRow[] = [];
  const cluster = 2 ** header.clusterBits;
  const start = header.snapshotsOffset;
  for (let at = start; rows.length < header.snapshotCount; ) {
    const fixed = Buffer.alloc(FIXED);
    await file.read(at, [fixed]);
    const extra = fixed.readUInt32BE(36);
    const idLength = fixed.readUInt16BE(12);
    const nameLength = fixed.readUInt16BE(14);
    const length = Math.ceil((FIXED + extra + idLength + nameLength) / 8) * 8;
    if (extra > MAX_EXTRA || at + length > file.size + 7 || at + length - start > MAX_TABLE_BYTES)
      throw corrupt('its snapshot table goes beyond its end');
    const bytes = Buffer.alloc(length);
    await file.read(at, [bytes]);
    const row = parseRow(bytes, { extra, idLength, nameLength });
    if (
      row.l1Size > MAX_L1_ENTRIES ||
      row.l1Offset % cluster !== 0 ||
      row.l1Offset + row.l1Size * 8 > file.size + cluster
    )
      throw corrupt(`the L1 table of snapshot ${row.snapshot.name} lies outside of the file`);
    rows.push(row);
    at += length;
  }
  return rows;
}

function parseRow(bytes: Buffer, lengths: { extra: number; idLength: number; nameLength: number }): SnapshotRow {
  const { extra, idLength, nameLength } = lengths;
  const text = FIXED + extra;
  const seconds = bytes.readUInt32BE(16);
  const snapshot: Snapshot = {
    id: bytes.toString('utf8', text, text + idLength),
    name: bytes.toString('utf8', text + idLength, text + idLength + nameLength),
    size: extra >= 16 ? u64(bytes, FIXED + 8) : 0,
    date: seconds * 1000 + Math.floor(bytes.readUInt32BE(20) / 1e6),
    state_size: extra >= 8 ? u64(bytes, FIXED) : bytes.readUInt32BE(32),
  };
  const row = { snapshot, l1Offset: u64(bytes, 0), l1Size: bytes.readUInt32BE(8), bytes };
  if (!Number.isSafeInteger(row.l1Offset) || !Number.isSafeInteger(snapshot.size))
    throw corrupt(`the places in the row of snapshot ${snapshot.name} are none`);
  return row;
}

const MAX_NAME = 255;

/** A row for the table; its L1 table has no place yet. */
export function newSnapshot(name: string, rows: readonly SnapshotRow[], size: number, l1Size: number): SnapshotRow {
  const nameBytes = Buffer.from(name);
  if (nameBytes.length === 0 || nameBytes.length > MAX_NAME)
    throw new ImageError('range', `a snapshot's name has 1 to ${MAX_NAME} bytes.`);
  if (rows.some(({ snapshot }) => snapshot.name === name))
    throw new ImageError('exists', `there is a snapshot ${name} already; give another name.`);
  const highest = Math.max(0, ...rows.map(({ snapshot }) => Number(snapshot.id)).filter(Number.isSafeInteger));
  const id = Buffer.from(String(highest + 1));
  const date = Date.now();
  const bytes = Buffer.alloc(Math.ceil((FIXED + EXTRA_WRITTEN + id.length + nameBytes.length) / 8) * 8);
  bytes.writeUInt32BE(l1Size, 8);
  bytes.writeUInt16BE(id.length, 12);
  bytes.writeUInt16BE(nameBytes.length, 14);
  bytes.writeUInt32BE(Math.floor(date / 1000), 16);
  bytes.writeUInt32BE((date % 1000) * 1e6, 20);
  bytes.writeUInt32BE(EXTRA_WRITTEN, 36);
  bytes.writeBigUInt64BE(BigInt(size), FIXED + 8);
  bytes.writeBigUInt64BE(2n ** 64n - 1n, FIXED + 16); // no count of instructions
  id.copy(bytes, FIXED + EXTRA_WRITTEN);
  nameBytes.copy(bytes, FIXED + EXTRA_WRITTEN + id.length);
  const snapshot: Snapshot = { id: id.toString(), name, size, date, state_size: 0 };
  return { snapshot, l1Offset: 0, l1Size, bytes };
}

export function findSnapshot(rows: readonly SnapshotRow[], wanted: string): SnapshotRow {
  const found =
    rows.find(({ snapshot }) => snapshot.name === wanted) ?? rows.find(({ snapshot }) => snapshot.id === wanted);
  if (found) return found;
  const names = rows.map(({ snapshot }) => snapshot.name).join(', ');
  throw new ImageError('range', `there is no snapshot ${wanted}; ${names ? `there are: ${names}` : 'it has none'}.`);
}

export function snapshotTable(rows: readonly SnapshotRow[]): Buffer {
  return Buffer.concat(
    rows.map(({ bytes, l1Offset }) => {
      const row = Buffer.from(bytes);
      row.writeBigUInt64BE(BigInt(l1Offset));
      return row;
    }),
  );
}
