// A qcow2 image. A write that needs a place gets a reserved one, goes there with what the cluster held before around it, and then the L2
// entry is written: each step into the file before the next one, so that the end of this process finds a whole image. Against the
// machine's end there is a flush before an entry that takes the place of data; refcounts may then be wrong, and the dirty bit says so.
import type { BlockFile } from '../file.ts';
import {
  check_request,
  fill_zero,
  ImageError,
  SECTOR,
  slice,
  total,
  type DiskImage,
  type Extent,
  type Snapshot,
  type Snapshots,
} from '../image.ts';
import { check_size, closed, ZEROS } from '../raw.ts';
import { Cache, Gate, Syncer, type Cached } from '../sync.ts';
import { decompress } from './compressed.ts';
import { copiedAt, entryAt, kindAt, offsetAt, putEntry, type Kind } from './entries.ts';
import { corrupt, FIELD, HEADER_BYTES, INCOMPATIBLE, parseHeader, places, type Header } from './header.ts';
import { layOut, repairRefcounts, type Wanted } from './layout.ts';
import { Refcounts } from './refcounts.ts';
import { findSnapshot, newSnapshot, readSnapshots, type SnapshotRow } from './snapshots.ts';
import { readL1, Tables } from './tables.ts';

/** Decompressed clusters that are kept. */
const CACHED_CLUSTERS = 16;
/** Freed runs that are kept until somebody flushes. */
const MOST_FREED = 1024;

export interface Qcow2Options {
  readonly: boolean;
  backing?: DiskImage | undefined;
}

/** A stretch of the disk that is one thing in the file. */
interface Piece {
  kind: Kind;
  /** bytes, from the position that was asked for */
  length: number;
  /** in the file, of that position; of compressed data: of the cluster */
  place: number;
}

export class Qcow2Image implements DiskImage, Snapshots {
  readonly format = 'qcow2';
  readonly sector_size = SECTOR;
  readonly path: string;
  readonly readonly: boolean;
  readonly backing: DiskImage | undefined;
  readonly cluster_size: number;
  size = 0;
  header: Header;
  readonly #file: BlockFile;
  readonly #gate = new Gate();
  readonly #syncer: Syncer;
  /** clusters of the disk to which a place is being given */
  readonly #pending = new Map<number, Promise<void>>();
  readonly #decompressed: Cache<Buffer>;
  #refcounts!: Refcounts;
  #tables!: Tables;
  #rows: SnapshotRow[] = [];
  #marking: Promise<void> | undefined;
  #closed = false;
  /** why nothing more can be done with it, until it is opened again */
  #broken: unknown;

  private constructor(file: BlockFile, header: Header, options: Qcow2Options) {
    this.#file = file;
    this.header = header;
    this.path = file.path;
    this.readonly = options.readonly;
    this.backing = options.backing;
    this.cluster_size = 2 ** header.clusterBits;
    this.#syncer = new Syncer(() => file.sync());
    this.#decompressed = new Cache(CACHED_CLUSTERS, (index) => this.#decompress(index));
  }

  /** The image takes the file and what is behind it, and closes both. */
  static async open(file: BlockFile, options: Qcow2Options): Promise<Qcow2Image> {
    const header = await Qcow2Image.header(file);
    const image = new Qcow2Image(file, header, options);
    if (header.incompatible & INCOMPATIBLE.corrupt && !options.readonly)
      throw new ImageError('corrupt', 'it is marked as damaged; `qemu-img check -r all` may mend it.');
    if (header.incompatible & INCOMPATIBLE.dirty && !options.readonly) await repairRefcounts(file, header);
    await image.#load();
    if (!options.readonly && header.autoclear) await image.#writeFlags(header.incompatible);
    return image;
  }

  static async header(file: BlockFile): Promise<Header> {
    const bytes = Buffer.alloc(Math.min(HEADER_BYTES, file.size));
    await file.read(0, [bytes]);
    return parseHeader(bytes, file.size);
  }

  async #load(): Promise<void> {
    const { header } = this;
    this.size = header.size - (header.size % SECTOR);
    const l1 = await readL1(this.#file, header.l1Offset, header.l1Size, this.cluster_size);
    this.#rows = await readSnapshots(this.#file, header);
    const metadata = new Set([0]);
    for (const row of this.#rows) {
      for (let i = 0; i < Math.ceil((row.l1Size * 8) / this.cluster_size); i++)
        metadata.add(row.l1Offset / this.cluster_size + i);
    }
    const ordered = (): Promise<void> => (header.version === 2 ? this.#syncer.sync() : this.#markDirty());
    this.#refcounts = new Refcounts(this.#file, header, metadata, ordered);
    if (!this.readonly) await this.#refcounts.load();
    const sync = (): Promise<void> => this.#syncer.sync();
    this.#tables = new Tables(this.#file, header, l1, this.#refcounts, { sync, ordered });
  }

  /** The bit stands on the disk before refcounts are changed; an image of somebody's dirty bit has been put in order when it was opened. */
  #markDirty(): Promise<void> {
    this.#marking ??= (async () => {
      await this.#writeFlags(this.header.incompatible | INCOMPATIBLE.dirty);
      await this.#syncer.sync();
    })().catch((error: unknown) => {
      this.#marking = undefined;
      throw error;
    });
    return this.#marking;
  }

  /** Features of others that a change to the image puts out of date (bitmaps) lose their bits with it. */
  async #writeFlags(incompatible: number): Promise<void> {
    const bytes = Buffer.alloc(FIELD.refcountOrder - FIELD.incompatible);
    bytes.writeUInt32BE(incompatible, 4);
    bytes.writeUInt32BE(this.header.compatible, FIELD.compatible - FIELD.incompatible + 4);
    await this.#file.write(FIELD.incompatible, [bytes]);
    this.header.incompatible = incompatible;
    this.header.autoclear = false;
  }

  // ---- requests

  read(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#shared(offset, total(buffers), false, (length) => this.#read(offset, length, buffers));
  }

  write(offset: number, buffers: readonly Uint8Array[], options?: { fua?: boolean }): Promise<void> {
    return this.#shared(offset, total(buffers), true, async (length) => {
      await this.#write(offset, length, buffers);
      if (options?.fua) await this.#syncer.sync();
    });
  }

  async flush(): Promise<void> {
    this.#alive();
    if (this.readonly) return;
    if (this.#refcounts.freed === 0) await this.#syncer.sync();
    else await this.#gate.exclusive(() => this.#release());
  }

  /** Nothing on the disk refers to what was freed after the flush, and nobody is reading it: the requests have ended. */
  async #release(): Promise<void> {
    await this.#syncer.sync();
    this.#decompressed.clear();
    await this.#refcounts.release();
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#alone(offset, length, async () => {
      const size = this.cluster_size;
      const first = Math.ceil(offset / size);
      // The last cluster of the disk may be shorter.
      const end = offset + length === this.size ? Math.ceil(this.size / size) : Math.floor((offset + length) / size);
      if (this.backing && this.header.version === 2) return;
      await this.#clear(first, end, { unmap: true, everywhere: false });
    });
  }

  write_zeroes(offset: number, length: number, options?: { unmap?: boolean }): Promise<void> {
    return this.#alone(offset, length, () => this.#writeZeroes(offset, length, options?.unmap !== false));
  }

  async #writeZeroes(offset: number, length: number, unmap: boolean): Promise<void> {
    const size = this.cluster_size;
    const end = offset + length;
    const first = Math.ceil(offset / size);
    const last = end === this.size ? Math.ceil(end / size) : Math.floor(end / size);
    if (first >= last || (this.header.version === 2 && (this.backing || !unmap)))
      return this.#writeZeroData(offset, end);
    await this.#writeZeroData(offset, first * size);
    await this.#clear(first, last, { unmap, everywhere: true });
    await this.#writeZeroData(last * size, end);
  }

  async #writeZeroData(start: number, end: number): Promise<void> {
    for (let at = start; at < end; at += ZEROS.length) {
      const length = Math.min(ZEROS.length, end - at);
      await this.#write(at, length, [ZEROS.subarray(0, length)]);
    }
  }

  async map(offset: number, length: number): Promise<Extent[]> {
    const extents: Extent[] = [];
    await this.#shared(offset, length, false, async () => {
      for (let at = offset; at < offset + length; ) {
        const piece = await this.#piece(at, offset + length - at);
        const kind = piece.kind === 'none' ? (this.#behind(at) > 0 ? 'backing' : 'zero') : piece.kind;
        const extent: Extent = { offset: at, length: piece.length, kind: kind === 'compressed' ? 'data' : kind };
        const last = extents.at(-1);
        if (last?.kind === extent.kind) last.length += extent.length;
        else if (extents.length === MOST_EXTENTS) break;
        else extents.push(extent);
        at += piece.length;
      }
    });
    return extents;
  }

  close(): Promise<void> {
    return this.#gate.exclusive(async () => {
      if (this.#closed) return;
      this.#closed = true;
      try {
        if (!this.readonly && !this.#broken) await this.#settle();
      } finally {
        await this.#file.close();
        await this.backing?.close();
      }
    });
  }

  /** All on the disk, nothing reserved, the dirty bit off. */
  async #settle(): Promise<void> {
    await this.#release();
    await this.#refcounts.close();
    if (!(this.header.incompatible & INCOMPATIBLE.dirty)) return;
    await this.#syncer.sync();
    await this.#writeFlags(this.header.incompatible & ~INCOMPATIBLE.dirty);
    await this.#syncer.sync();
  }

  #shared(offset: number, length: number, writes: boolean, work: (length: number) => Promise<void>): Promise<void> {
    return this.#gate.shared(async () => {
      this.#check(offset, length, writes);
      if (length > 0) await work(length);
    });
  }

  #alone(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    return this.#gate.exclusive(async () => {
      this.#check(offset, length, true);
      if (length > 0) await work();
      if (this.#refcounts.freed > MOST_FREED) await this.#release();
    });
  }

  #check(offset: number, length: number, writes: boolean): void {
    this.#alive();
    check_request(this, offset, length, writes);
  }

  #alive(): void {
    if (this.#closed) throw closed(this.path);
    if (this.#broken)
      throw new ImageError('io', 'an earlier failure left its tables unknown.', { cause: this.#broken });
  }

  // ---- where things are

  /** How much there is behind this image from `at` on. */
  #behind(at: number): number {
    return this.backing ? Math.max(0, this.backing.size - at) : 0;
  }

  /** What is at `at`, up to the end of its L2 table. */
  #piece(at: number, most: number): Piece | Promise<Piece> {
    const perTable = this.cluster_size / 8;
    const cluster = Math.floor(at / this.cluster_size);
    const index = Math.floor(cluster / perTable);
    const table = this.#tables.peek(index);
    if (table !== undefined) return this.#pieceOf(table, cluster % perTable, at, most);
    return this.#tables.read(index).then((read) => this.#pieceOf(read, cluster % perTable, at, most));
  }

  #pieceOf(table: Buffer | null, first: number, at: number, most: number): Piece {
    const size = this.cluster_size;
    const within = at % size;
    const last = Math.min(size / 8, first + Math.ceil((within + most) / size));
    const span = (clusters: number): number => Math.min(most, clusters * size - within);
    if (!table) return { kind: 'none', length: span(last - first), place: 0 };
    const kind = kindAt(table, first);
    if (kind === 'compressed') return { kind, length: span(1), place: 0 };
    let end = first + 1;
    if (kind !== 'data') {
      while (end < last && kindAt(table, end) === kind) end++;
      return { kind, length: span(end - first), place: 0 };
    }
    const offset = this.#placeOf(table, first);
    while (end < last && kindAt(table, end) === 'data' && offsetAt(table, end) === offset + (end - first) * size) end++;
    return { kind, length: span(end - first), place: offset + within };
  }

  #placeOf(table: Buffer, index: number): number {
    const offset = offsetAt(table, index);
    if (offset % this.cluster_size !== 0) throw corrupt(`a cluster at ${offset} lies off the clusters`);
    return offset;
  }

  // ---- reading

  async #read(offset: number, length: number, buffers: readonly Uint8Array[]): Promise<void> {
    let parts: Promise<void>[] | undefined;
    for (let done = 0; done < length; ) {
      const found = this.#piece(offset + done, length - done);
      const piece = found instanceof Promise ? await found : found;
      const whole = piece.length === length;
      const part = whole ? buffers : slice(buffers, done, piece.length);
      const reading = this.#readPiece(piece, offset + done, part);
      if (whole) return reading;
      (parts ??= []).push(reading);
      done += piece.length;
    }
    if (parts) await all(parts);
  }

  async #readPiece(piece: Piece, at: number, buffers: readonly Uint8Array[]): Promise<void> {
    if (piece.kind === 'data') return this.#file.read(piece.place, buffers);
    if (piece.kind === 'zero') return fill_zero(buffers);
    if (piece.kind === 'none') return this.#readBehind(at, piece.length, buffers);
    const { value } = await this.#decompressed.get(Math.floor(at / this.cluster_size));
    let from = at % this.cluster_size;
    for (const buffer of buffers) {
      buffer.set(value.subarray(from, from + buffer.length));
      from += buffer.length;
    }
  }

  async #readBehind(at: number, length: number, buffers: readonly Uint8Array[]): Promise<void> {
    const there = Math.min(length, this.#behind(at));
    if (there < length) fill_zero(slice(buffers, there, length - there));
    if (there > 0) await this.backing!.read(at, there === length ? buffers : slice(buffers, 0, there));
  }

  async #decompress(cluster: number): Promise<Buffer> {
    const perTable = this.cluster_size / 8;
    const table = await this.#tables.read(Math.floor(cluster / perTable));
    const entry = entryAt(table!, cluster % perTable, this.header.clusterBits);
    if (entry.offset >= this.#file.size)
      throw corrupt(`a compressed cluster at ${entry.offset} lies outside of the file`);
    const packed = Buffer.alloc(entry.length);
    await this.#file.read(entry.offset, [packed]);
    return decompress(packed, this.cluster_size, this.header.compression);
  }

  // ---- writing

  async #write(offset: number, length: number, buffers: readonly Uint8Array[]): Promise<void> {
    const perTable = this.cluster_size / 8;
    const parts: Promise<void>[] = [];
    try {
      for (let done = 0; done < length; ) {
        const at = offset + done;
        const cluster = Math.floor(at / this.cluster_size);
        const waiting = this.#pending.get(cluster);
        if (waiting) {
          await waiting;
          continue;
        }
        const index = Math.floor(cluster / perTable);
        const peeked = this.#tables.peek(index);
        if (peeked === undefined) {
          await this.#tables.read(index);
          continue;
        }
        const inPlace = peeked ? this.#ownPiece(peeked, cluster % perTable, at, length - done, index) : undefined;
        if (inPlace) {
          const part = inPlace.length === length ? buffers : slice(buffers, done, inPlace.length);
          const writing = this.#file.write(inPlace.place, part);
          if (inPlace.length === length) return await writing;
          parts.push(writing);
          done += inPlace.length;
        } else {
          const { clusters, resolve } = this.#claim(peeked, cluster, at, length - done);
          const most = Math.min(length - done, (cluster + clusters) * this.cluster_size - at);
          try {
            done += await this.#writeNew(at, slice(buffers, done, most), cluster, clusters);
          } finally {
            for (let i = 0; i < clusters; i++) this.#pending.delete(cluster + i);
            resolve();
          }
        }
      }
    } finally {
      await all(parts);
    }
  }

  /** Clusters in a row that are written where they are: nobody else has them. */
  #ownPiece(table: Buffer, first: number, at: number, most: number, index: number): Piece | undefined {
    if (!this.#tables.l1.copied[index] || kindAt(table, first) !== 'data' || !copiedAt(table, first)) return undefined;
    const size = this.cluster_size;
    const within = at % size;
    const last = Math.min(size / 8, first + Math.ceil((within + most) / size));
    const place = this.#placeOf(table, first);
    let end = first;
    do {
      // An entry that leads into the tables would let a guest write itself other ones.
      if (this.#refcounts.metadata.has(place / size + (end - first)))
        throw corrupt(`a cluster of data at ${place + (end - first) * size} is one of its tables`);
      end++;
    } while (
      end < last &&
      kindAt(table, end) === 'data' &&
      copiedAt(table, end) &&
      offsetAt(table, end) === place + (end - first) * size
    );
    return { kind: 'data', length: Math.min(most, (end - first) * size - within), place: place + within };
  }

  /** Takes hold of the clusters in a row, within one L2 table, that are in need of a place and of which nobody else is taking care. */
  #claim(table: Buffer | null, cluster: number, at: number, most: number): { clusters: number; resolve: () => void } {
    const size = this.cluster_size;
    const perTable = size / 8;
    const first = cluster % perTable;
    const last = Math.min(perTable, first + Math.ceil(((at % size) + most) / size));
    const { promise, resolve } = Promise.withResolvers<void>();
    const owned = this.#tables.l1.copied[Math.floor(cluster / perTable)]!;
    let clusters = 0;
    do {
      this.#pending.set(cluster + clusters, promise);
      clusters++;
    } while (
      first + clusters < last &&
      !this.#pending.has(cluster + clusters) &&
      !(table && owned && kindAt(table, first + clusters) === 'data' && copiedAt(table, first + clusters))
    );
    return { clusters, resolve };
  }

  /** Writes to clusters that get a place now; answers how many bytes of it that were. */
  async #writeNew(at: number, buffers: readonly Uint8Array[], cluster: number, clusters: number): Promise<number> {
    const size = this.cluster_size;
    const perTable = size / 8;
    const index = Math.floor(cluster / perTable);
    const table = await this.#tables.own(index);
    try {
      const run = await this.#refcounts.take(clusters);
      const length = Math.min(total(buffers), (cluster + run.count) * size - at);
      let linked = false;
      try {
        const around = await this.#around(at, length, table.value, run.fresh);
        const replaces = !run.fresh || this.#hasData(table.value, cluster, run.count);
        const place = run.cluster * size + (at % size) - total(around.before);
        await this.#file.write(place, [...around.before, ...slice(buffers, 0, length), ...around.after]);
        if (replaces) await this.#syncer.sync();
        linked = true; // or half: the places are nobody else's from here on
        await this.#link(index, table, cluster % perTable, run);
      } finally {
        if (!linked) this.#refcounts.giveBack(run);
      }
      return length;
    } finally {
      table.pins--;
    }
  }

  /** Whether the clusters read as something else than zeros. */
  #hasData(table: Buffer, cluster: number, count: number): boolean {
    const first = cluster % (this.cluster_size / 8);
    for (let i = 0; i < count; i++) {
      const kind = kindAt(table, first + i);
      if (kind === 'none' ? this.#behind((cluster + i) * this.cluster_size) > 0 : kind !== 'zero') return true;
    }
    return false;
  }

  /** What the clusters held before and after the written part, as far as it has to be written. */
  async #around(at: number, length: number, table: Buffer, fresh: boolean) {
    const size = this.cluster_size;
    const start = at - (at % size);
    const end = Math.ceil((at + length) / size) * size;
    const sides = [this.#old(start, at, table, fresh), this.#old(at + length, end, table, fresh)] as const;
    const [before, after] = await Promise.all(sides);
    return { before, after };
  }

  async #old(start: number, end: number, table: Buffer, fresh: boolean): Promise<Uint8Array[]> {
    if (start === end) return [];
    const first = Math.floor(start / this.cluster_size) % (this.cluster_size / 8);
    const piece = this.#pieceOf(table, first, start, end - start);
    const zero = piece.kind === 'zero' || (piece.kind === 'none' && this.#behind(start) === 0);
    if (zero && fresh) return [];
    const bytes = Buffer.alloc(end - start);
    // The disk may end within the cluster; what is behind it there is nobody's.
    const there = Math.max(0, Math.min(end, Math.ceil(this.header.size / SECTOR) * SECTOR) - start);
    if (!zero && there > 0) await this.#readPiece({ ...piece, length: there }, start, [bytes.subarray(0, there)]);
    return [bytes];
  }

  /** The entries of new places; what was there before is free. */
  async #link(
    index: number,
    table: Cached<Buffer>,
    first: number,
    run: { cluster: number; count: number },
  ): Promise<void> {
    const entries = Buffer.alloc(run.count * 8);
    for (let i = 0; i < run.count; i++) putEntry(entries, i, (run.cluster + i) * this.cluster_size, { copied: true });
    await this.#replace(index, table, first, entries);
  }

  async #replace(index: number, table: Cached<Buffer>, first: number, entries: Buffer): Promise<void> {
    const old = Buffer.from(table.value.subarray(first * 8, first * 8 + entries.length));
    await this.#markChange(); // until they are released, freed places are leaks
    await this.#tables.write(index, table, first, entries);
    for (let i = 0; i < entries.length / 8; i++) {
      const was = entryAt(old, i, this.header.clusterBits);
      if (was.kind === 'none' || was.offset === 0 || was.offset === offsetAt(entries, i)) continue;
      const from = Math.floor(was.offset / this.cluster_size);
      const to = Math.ceil((was.offset + was.length) / this.cluster_size);
      this.#refcounts.free(from, to - from);
      if (was.kind === 'compressed') this.#decompressed.delete(index * (this.cluster_size / 8) + first + i);
    }
  }

  // ---- clusters without data

  /**
   * Lets clusters of the disk read as zeros. `unmap`: their places are given back; `everywhere`: also those that have none here but
   * something behind them.
   */
  async #clear(first: number, end: number, how: { unmap: boolean; everywhere: boolean }): Promise<void> {
    const perTable = this.cluster_size / 8;
    for (let at = first; at < end; ) {
      const index = Math.floor(at / perTable);
      const last = Math.min(end, (index + 1) * perTable);
      const behind = this.#behind(at * this.cluster_size) > 0;
      if (!this.#tables.l1.offsets[index] && !(behind && how.everywhere)) {
        at = last;
        continue;
      }
      const table = await this.#tables.own(index);
      try {
        await this.#clearPart(index, table, at % perTable, last - at, behind, how);
      } finally {
        table.pins--;
      }
      at = last;
    }
  }

  async #clearPart(
    index: number,
    table: Cached<Buffer>,
    first: number,
    count: number,
    behind: boolean,
    how: { unmap: boolean; everywhere: boolean },
  ): Promise<void> {
    const entries = Buffer.from(table.value.subarray(first * 8, (first + count) * 8));
    for (let i = 0; i < count; i++) {
      const entry = entryAt(entries, i, this.header.clusterBits);
      const reads = entry.kind === 'none' && behind;
      if (entry.kind === 'none' && !(reads && how.everywhere)) continue;
      if (entry.kind === 'zero' && (entry.offset === 0 || !how.unmap)) continue;
      const keep = !how.unmap && entry.kind === 'data' && entry.copied;
      if (keep) putEntry(entries, i, entry.offset, { copied: true, zero: true });
      else putEntry(entries, i, 0, { copied: false, zero: this.header.version > 2 && (behind || !how.unmap) });
    }
    const was = table.value.subarray(first * 8, (first + count) * 8);
    let from = 0;
    let to = count;
    const same = (i: number): boolean => entries.compare(was, i * 8, i * 8 + 8, i * 8, i * 8 + 8) === 0;
    while (from < to && same(from)) from++;
    while (from < to && same(to - 1)) to--;
    if (from < to) await this.#replace(index, table, first + from, entries.subarray(from * 8, to * 8));
  }

  // ---- the image as a whole

  resize(size: number): Promise<void> {
    return this.#gate.exclusive(async () => {
      this.#alive();
      check_size(this, size);
      if (size === this.size) return;
      if (size < this.size) return this.#shrink(size);
      await this.#grow(size);
    });
  }

  async #shrink(size: number): Promise<void> {
    if (this.#rows.length > 0)
      throw new ImageError('unsupported', 'it has snapshots, so it cannot become smaller; delete them first.');
    // What is cut off must not be there again when the disk grows.
    await this.#writeZeroes(size, this.size - size, true);
    await this.#release();
    await this.#writePlaces({ size });
    this.size = size;
  }

  async #grow(size: number): Promise<void> {
    if (this.header.version === 2 && this.#rows.length > 0)
      throw new ImageError('unsupported', 'it is of version 2 and has snapshots, which would lose their size.');
    const entries = Math.ceil(size / (this.cluster_size * (this.cluster_size / 8)));
    if (entries * 8 > 32 << 20)
      throw new ImageError('range', `${size} bytes are too many for clusters of ${this.cluster_size} bytes.`);
    const before = this.size;
    if (entries > this.header.l1Size) await this.#layOut({ size: before, l1Size: entries });
    this.header.size = this.size = size;
    try {
      const rest = Math.min(size, Math.ceil(before / this.cluster_size) * this.cluster_size) - before;
      if (rest > 0) await this.#writeZeroes(before, rest, true);
      // What lies behind there did not belong to the disk.
      const end = Math.min(size, before + this.#behind(before));
      if (end > before) await this.#writeZeroes(before, end - before, true);
    } catch (error) {
      this.header.size = this.size = before;
      throw error;
    }
    await this.#syncer.sync();
    await this.#writePlaces({ size });
  }

  async #writePlaces(changed: { size: number }): Promise<void> {
    await this.#markChange();
    await this.#file.write(FIELD.size, [places({ ...this.header, ...changed })]);
    await this.#syncer.sync();
    this.header.size = changed.size;
  }

  #markChange(): Promise<void> {
    return this.header.version === 2 ? Promise.resolve() : this.#markDirty();
  }

  get snapshots(): readonly Snapshot[] {
    return this.#rows.map(({ snapshot }) => snapshot);
  }

  create_snapshot(name: string): Promise<Snapshot> {
    return this.#change(async () => {
      const row = newSnapshot(name, this.#rows, this.size, this.header.l1Size);
      await this.#layOut({ size: this.header.size, rows: [...this.#rows, row], taken: row });
      return row.snapshot;
    });
  }

  revert_snapshot(id_or_name: string): Promise<void> {
    return this.#change(async () => {
      const row = findSnapshot(this.#rows, id_or_name);
      await this.#layOut({ size: row.snapshot.size || this.header.size, reverted: row });
    });
  }

  delete_snapshot(id_or_name: string): Promise<void> {
    return this.#change(async () => {
      const row = findSnapshot(this.#rows, id_or_name);
      await this.#layOut({ size: this.header.size, rows: this.#rows.filter((each) => each !== row) });
    });
  }

  look_at_snapshot(id_or_name: string): Promise<void> {
    return this.#gate.exclusive(async () => {
      this.#alive();
      if (!this.readonly)
        throw new ImageError('range', 'it is open for writing: what is looked at could be written to.');
      const { l1Offset, l1Size, snapshot } = findSnapshot(this.#rows, id_or_name);
      // Where nothing is noted (version 2) the disk had the size it has.
      const size = snapshot.size || this.header.size;
      if (Math.ceil(size / (this.cluster_size * (this.cluster_size / 8))) > l1Size)
        throw corrupt(`the L1 table of snapshot ${snapshot.name} is too small for it`);
      this.header = { ...this.header, l1Offset, l1Size, size };
      this.#decompressed.clear();
      await this.#load();
    });
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    return this.#gate.exclusive(async () => {
      this.#check(0, 0, true);
      return work();
    });
  }

  /** Tables and refcounts anew, beside the old ones; one write of the header puts them in force. */
  async #layOut(wanted: Wanted): Promise<void> {
    await this.#markChange();
    await this.#release();
    try {
      await layOut(this.#file, this.header, this.#rows, wanted);
    } catch (error) {
      // Whether the header was changed the file alone knows, and what was written before it lies at its end.
      this.#broken = error;
      this.header = await Qcow2Image.header(this.#file);
      await this.#load();
      this.#broken = undefined;
      throw error;
    }
    this.#decompressed.clear();
    await this.#load();
  }
}

/** Extents of one answer. */
const MOST_EXTENTS = 4096;

/** Waits for all, then fails if one has failed: nobody uses the buffers any more. */
async function all(parts: Promise<void>[]): Promise<void> {
  if (parts.length === 0) return;
  for (const result of await Promise.allSettled(parts)) if (result.status === 'rejected') throw result.reason;
}
