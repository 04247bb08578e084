// A qcow2 image's tables and refcounts as a whole. Whoever changes much of them at once (snapshots, repair, a larger L1 table) writes them
// anew at the end of the file, and one write within the header's sector puts them in force: there is no moment at which refcounts, the
// entries' COPIED flags and the list of snapshots do not fit together.
import type { BlockFile } from '../file.ts';
import { ImageError } from '../image.ts';
import { copiedAt, entryAt, maxRefcount, offsetAt, putRefcount, refcountAt } from './entries.ts';
import { corrupt, FIELD, INCOMPATIBLE, places, type Header } from './header.ts';
import { Counts, References } from './references.ts';
import { readSnapshots, snapshotTable, type SnapshotRow } from './snapshots.ts';
import { readL1 } from './tables.ts';

/** What the image is to be; what is not said stays as it is. */
export interface Wanted {
  size: number;
  rows?: readonly SnapshotRow[];
  /** the one of `rows` that is taken now: it gets the disk's L1 table */
  taken?: SnapshotRow;
  /** the disk becomes this snapshot */
  reverted?: SnapshotRow;
  l1Size?: number;
}

const strict = (what: string): never => {
  throw corrupt(what);
};

const perBlock = (header: Header): number => (2 ** header.clusterBits * 8) / 2 ** header.refcountOrder;

/** Bit 0 of bytes 0 to 7 of an L2 entry is COPIED. */
const setCopied = (table: Buffer, index: number, copied: boolean): void => {
  table[index * 8] = (table[index * 8]! & 0x7f) | (copied ? 0x80 : 0);
};

/** Gives the L2 table the flags that the counts demand; false: it has them. */
function fixFlags(table: Buffer, counts: Counts, header: Header): boolean {
  let changed = false;
  for (let i = 0; i < table.length / 8; i++) {
    const { kind, offset } = entryAt(table, i, header.clusterBits);
    const copied = kind !== 'compressed' && offset !== 0 && counts.get(offset / 2 ** header.clusterBits) === 1;
    if (copied === copiedAt(table, i)) continue;
    setCopied(table, i, copied);
    changed = true;
  }
  return changed;
}

export async function layOut(
  file: BlockFile,
  header: Header,
  rows: readonly SnapshotRow[],
  wanted: Wanted,
): Promise<void> {
  const cluster = 2 ** header.clusterBits;
  const now = wanted.rows ?? rows;
  const from = wanted.reverted ?? { l1Offset: header.l1Offset, l1Size: header.l1Size };
  const active = (await readL1(file, from.l1Offset, from.l1Size, cluster)).offsets;
  const needed = Math.ceil(wanted.size / (cluster * (cluster / 8)));
  while (active.length < Math.max(wanted.l1Size ?? 0, needed)) active.push(0);
  const references = new References(file, header, strict);
  const { counts } = references;
  counts.add(0);
  await references.snapshots(now.filter((row) => row !== wanted.taken));
  if (wanted.taken) await references.l1(active.slice(0, wanted.taken.l1Size), false);
  await references.l1(active, true);

  const next = new Appender(file, cluster, Math.max(Math.ceil(file.size / cluster), counts.end));
  if (wanted.taken) {
    wanted.taken.l1Offset = await next.add(l1Bytes(active.slice(0, wanted.taken.l1Size), undefined, cluster));
  }
  // The disk's own L2 tables whose flags change; counts of data do not, of tables they do.
  const old = [...active];
  for (const [i, offset] of active.entries()) {
    if (offset === 0) continue;
    const table = await references.read(offset);
    if (!fixFlags(table, counts, header)) continue;
    active[i] = await next.add(table);
    counts.add(old[i]! / cluster, 1, -1);
    counts.add(active[i]! / cluster);
  }
  const l1Offset = active.length > 0 ? await next.add(l1Bytes(active, counts, cluster)) : 0;
  const table = snapshotTable(now);
  const snapshotsOffset = now.length > 0 ? await next.add(table) : 0;
  references.table(l1Offset, active.length * 8);
  references.table(snapshotsOffset, table.length);
  if (wanted.taken) references.table(wanted.taken.l1Offset, wanted.taken.l1Size * 8);
  const refs = await writeRefcounts(header, counts, next);
  await file.sync();
  const put = {
    ...{ size: wanted.size, l1Size: active.length, l1Offset },
    ...{ snapshotCount: now.length, snapshotsOffset: now.length > 0 ? snapshotsOffset : 0, ...refs },
  };
  await file.write(FIELD.size, [places(put)]);
  await file.sync();
  Object.assign(header, put);
}

function l1Bytes(offsets: readonly number[], counts: Counts | undefined, cluster: number): Buffer {
  const bytes = Buffer.alloc(offsets.length * 8);
  offsets.forEach((offset, i) => {
    bytes.writeBigUInt64BE(BigInt(offset), i * 8);
    if (offset !== 0 && counts?.get(offset / cluster) === 1) setCopied(bytes, i, true);
  });
  return bytes;
}

/** Writes whole clusters to the end of the file. */
class Appender {
  readonly #file: BlockFile;
  readonly #cluster: number;
  next: number;

  constructor(file: BlockFile, cluster: number, next: number) {
    this.#file = file;
    this.#cluster = cluster;
    this.next = next;
  }

  async add(bytes: Buffer): Promise<number> {
    const offset = this.next * this.#cluster;
    const clusters = Math.ceil(bytes.length / this.#cluster);
    const rest = Buffer.alloc(clusters * this.#cluster - bytes.length);
    await this.#file.write(offset, rest.length > 0 ? [bytes, rest] : [bytes]);
    this.next += clusters;
    return offset;
  }
}

function blockOf(header: Header, counts: Counts, index: number): Buffer {
  const block = Buffer.alloc(2 ** header.clusterBits);
  const entries = perBlock(header);
  const most = maxRefcount(header.refcountOrder);
  for (let i = 0; i < entries; i++) {
    const count = counts.get(index * entries + i);
    if (count > most)
      throw new ImageError(
        'unsupported',
        `its refcounts of ${2 ** header.refcountOrder} bits hold no further snapshot.`,
      );
    if (count > 0) putRefcount(block, i, header.refcountOrder, count);
  }
  return block;
}

/** Refcount blocks and their table, which count themselves too. */
async function writeRefcounts(header: Header, counts: Counts, next: Appender) {
  const cluster = 2 ** header.clusterBits;
  const entries = perBlock(header);
  const first = next.next;
  let tableClusters = 0;
  let blocks: number[] = [];
  for (let total = 1; ; ) {
    const end = Math.max(counts.end, first + total);
    blocks = [];
    for (let i = 0; i * entries < end; i++) {
      const inTables = i * entries < first + total && (i + 1) * entries > first;
      if (inTables || counts.any(i * entries, (i + 1) * entries)) blocks.push(i);
    }
    // Some room: the file is going to grow.
    tableClusters = Math.max(Math.ceil(((blocks.at(-1)! + 1) * 8 * 1.5) / cluster), 1);
    if (blocks.length + tableClusters <= total) break;
    total = blocks.length + tableClusters;
  }
  counts.add(first, blocks.length + tableClusters);
  const table = Buffer.alloc(tableClusters * cluster);
  for (const i of blocks) table.writeBigUInt64BE(BigInt(await next.add(blockOf(header, counts, i))), i * 8);
  return { refTableOffset: await next.add(table), refTableClusters: tableClusters };
}

export interface Report {
  /** clusters with a refcount that is too high: they take space, that is all */
  leaks: number;
  /** what is wrong, in words; at most some */
  errors: string[];
  errorCount: number;
  dirty: boolean;
  /** clusters of the disk: all, with data, and how many of those compressed */
  clusters: number;
  allocated: number;
  compressed: number;
  /** bytes up to the end of the last cluster in use */
  end: number;
}

const MOST_ERRORS = 20;

interface Survey {
  references: References;
  rows: SnapshotRow[];
  /** places of the refcount blocks */
  blocks: number[];
  /** the refcount blocks and their table can be written where they are */
  sound: boolean;
}

/** Counts what there is, refcount structures included. */
async function survey(file: BlockFile, header: Header, complain: (what: string) => void): Promise<Survey> {
  const cluster = 2 ** header.clusterBits;
  const rows = await readSnapshots(file, header);
  const references = new References(file, header, complain);
  const { counts } = references;
  counts.add(0);
  await references.snapshots(rows);
  references.table(header.snapshotsOffset, snapshotTable(rows).length);
  references.table(header.l1Offset, header.l1Size * 8);
  await references.l1((await readL1(file, header.l1Offset, header.l1Size, cluster)).offsets, true);
  const table = Buffer.alloc(header.refTableClusters * cluster);
  await file.read(header.refTableOffset, [table]);
  references.table(header.refTableOffset, table.length);
  const blocks = Array.from({ length: table.length / 8 }, (_, i) => offsetAt(table, i));
  let sound = true;
  for (const offset of blocks) {
    if (offset === 0) continue;
    if (offset % cluster !== 0 || offset >= references.limit) {
      complain(`a refcount block at ${offset} lies outside of the file or off the clusters`);
      sound = false;
    } else counts.add(offset / cluster);
  }
  const once = (offset: number): boolean => offset === 0 || counts.get(offset / cluster) === 1;
  for (let i = 0; i < header.refTableClusters; i++) sound &&= once(header.refTableOffset + i * cluster);
  sound &&= blocks.every(once);
  // Each cluster in use must have a block.
  const entries = perBlock(header);
  for (let i = 0; sound && i * entries < counts.end; i++)
    if (!blocks[i] && counts.any(i * entries, (i + 1) * entries)) sound = false;
  return { references, rows, blocks, sound };
}

/** What is said of the image by others and by its own refcounts. Changes nothing. */
export async function checkQcow2(file: BlockFile, header: Header): Promise<Report> {
  const report: Report = {
    ...{ leaks: 0, errors: [], errorCount: 0, dirty: (header.incompatible & INCOMPATIBLE.dirty) !== 0 },
    ...{ clusters: Math.ceil(header.size / 2 ** header.clusterBits), allocated: 0, compressed: 0, end: 0 },
  };
  const complain = (what: string): void => {
    report.errorCount++;
    if (report.errors.length < MOST_ERRORS) report.errors.push(what);
  };
  const { references, blocks } = await survey(file, header, complain);
  const { counts } = references;
  const entries = perBlock(header);
  const covered = Math.max(counts.end, blocks.length * entries);
  for (let i = 0; i * entries < covered; i++) {
    const block = blocks[i] ? await references.read(blocks[i]!) : undefined;
    if (!block && !counts.any(i * entries, (i + 1) * entries)) continue;
    for (let k = 0; k < entries; k++) {
      const is = block ? refcountAt(block, k, header.refcountOrder) : 0;
      const ought = counts.get(i * entries + k);
      if (is > ought) report.leaks++;
      if (is < ought) complain(`cluster ${i * entries + k} has refcount ${is} and ${ought} users`);
    }
  }
  await checkFlags(file, header, counts, complain);
  report.allocated = references.data + references.compressed;
  report.compressed = references.compressed;
  report.end = counts.end * 2 ** header.clusterBits;
  return report;
}

async function checkFlags(
  file: BlockFile,
  header: Header,
  counts: Counts,
  complain: (what: string) => void,
): Promise<void> {
  const cluster = 2 ** header.clusterBits;
  const l1 = await readL1(file, header.l1Offset, header.l1Size, cluster);
  for (const [i, offset] of l1.offsets.entries()) {
    if (offset === 0 || offset >= file.size) continue;
    if (l1.copied[i] !== (counts.get(offset / cluster) === 1))
      complain(`the flag COPIED of the L2 table at ${offset} is wrong`);
    const table = Buffer.alloc(cluster);
    await file.read(offset, [table]);
    if (fixFlags(table, counts, header)) complain(`flags COPIED in the L2 table at ${offset} are wrong`);
  }
}

/**
 * Lets refcounts be what is counted, and takes the dirty bit away. Where the blocks are sound they are written in place, else all is laid
 * out anew. Throws for an image whose tables are damaged: nobody can know what was meant.
 */
export async function repairRefcounts(file: BlockFile, header: Header): Promise<void> {
  const cluster = 2 ** header.clusterBits;
  const { references, rows, blocks, sound } = await survey(file, header, strict);
  const { counts } = references;
  if (counts.end * cluster > file.size) await file.truncate(counts.end * cluster);
  const table = await readL1(file, header.l1Offset, header.l1Size, cluster);
  const flags = table.offsets.every(
    (offset, i) => offset === 0 || table.copied[i] === (counts.get(offset / cluster) === 1),
  );
  if (sound && flags) {
    for (const [i, offset] of blocks.entries()) {
      if (offset === 0) continue;
      const block = blockOf(header, counts, i);
      if (!block.equals(await references.read(offset))) await file.write(offset, [block]);
    }
    await file.sync();
  } else {
    await layOut(file, header, rows, { size: header.size });
  }
  if (!(header.incompatible & INCOMPATIBLE.dirty)) return;
  header.incompatible &= ~INCOMPATIBLE.dirty;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(header.incompatible);
  await file.write(FIELD.incompatible + 4, [bytes]);
  await file.sync();
}
