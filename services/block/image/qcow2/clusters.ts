// The contents of a qcow2 image's disk. A write that needs a place gets a reserved one, goes there with what the cluster held before around
// it, and then the L2 entry is written: each step into the file before the next one, so that the end of this process finds a whole
// image. An entry that takes the place of data waits for a flush, so that the machine's end does not find it without its data; a
// journal that a kill leaves has it meanwhile. Refcounts may then be wrong, and the dirty bit says so.
import type { BlockFile } from '../file.ts';
import { fill_zero, SECTOR, slice, total, type DiskImage } from '../image.ts';
import { packNote, type Journal } from '../journal.ts';
import { ZEROS } from '../raw.ts';
import { Cache, type Cached } from '../sync.ts';
import { decompress } from './compressed.ts';
import { copiedAt, entryAt, kindAt, offsetAt, putEntry, type Kind } from './entries.ts';
import { corrupt, tokenOf, type Header } from './header.ts';
import type { Refcounts } from './refcounts.ts';
import type { Tables } from './tables.ts';

/** Decompressed clusters that are kept. */
const CACHED_CLUSTERS = 16;

/** Entries that are in the table in memory, which is held, and not yet in the file. */
interface Deferred {
  index: number;
  table: Cached<Buffer>;
  first: number;
  old: Buffer;
}

/** So many wait before somebody flushes. */
const MOST_DEFERRED = 512;

/** A stretch of the disk that is one thing in the file. */
interface Piece {
  kind: Kind;
  /** bytes, from the position that was asked for */
  length: number;
  /** in the file, of that position; of compressed data: of the cluster */
  place: number;
}

export interface Parts {
  file: BlockFile;
  header: Header;
  backing: DiskImage | undefined;
  refcounts: Refcounts;
  tables: Tables;
  /** where entries are noted that wait for a flush; undefined: they do not wait */
  journal: Journal | undefined;
  sync: () => Promise<void>;
  markChange: () => Promise<void>;
  /** many entries wait: `drain` is wanted, alone */
  onMany: () => void;
}

/** `read`, `write` and `piece` may run side by side; the others alone. */
export class Clusters {
  readonly cluster_size: number;
  readonly header: Header;
  readonly backing: DiskImage | undefined;
  readonly #file: BlockFile;
  readonly #refcounts: Refcounts;
  readonly #tables: Tables;
  readonly #journal: Journal | undefined;
  readonly #sync: () => Promise<void>;
  readonly #markChange: () => Promise<void>;
  readonly #onMany: () => void;
  /** clusters of the disk to which a place is being given */
  readonly #pending = new Map<number, Promise<void>>();
  readonly #decompressed: Cache<Buffer>;
  #deferred: Deferred[] = [];

  constructor(parts: Parts) {
    this.#file = parts.file;
    this.header = parts.header;
    this.cluster_size = 2 ** parts.header.clusterBits;
    this.backing = parts.backing;
    this.#refcounts = parts.refcounts;
    this.#tables = parts.tables;
    this.#journal = parts.journal;
    this.#sync = parts.sync;
    this.#markChange = parts.markChange;
    this.#onMany = parts.onMany;
    this.#decompressed = new Cache(CACHED_CLUSTERS, (index) => this.#decompress(index));
  }

  /** Entries that wait for a flush. */
  get waiting(): number {
    return this.#deferred.length;
  }

  /** What was freed may become something else. */
  forget(): void {
    this.#decompressed.clear();
  }

  async writeZeroes(offset: number, length: number, unmap: boolean): Promise<void> {
    const size = this.cluster_size;
    const end = offset + length;
    const first = Math.ceil(offset / size);
    // The last cluster of the disk may be shorter.
    const last =
      end === this.header.size - (this.header.size % SECTOR) ? Math.ceil(end / size) : Math.floor(end / size);
    if (first >= last || (this.header.version === 2 && (this.backing || !unmap)))
      return this.#writeZeroData(offset, end);
    await this.#writeZeroData(offset, first * size);
    await this.clear(first, last, { unmap, everywhere: true });
    await this.#writeZeroData(last * size, end);
  }

  async #writeZeroData(start: number, end: number): Promise<void> {
    for (let at = start; at < end; at += ZEROS.length) {
      const length = Math.min(ZEROS.length, end - at);
      await this.write(at, length, [ZEROS.subarray(0, length)]);
      if (this.#deferred.length > MOST_DEFERRED) await this.drain();
    }
  }

  /** The entries that wait for the data that they lead to, into the file. No request is under way. */
  async drain(): Promise<void> {
    if (this.#deferred.length === 0) return;
    await this.#sync();
    const spans = new Map<Cached<Buffer>, { index: number; first: number; end: number }>();
    for (const { index, table, first, old } of this.#deferred) {
      const end = first + old.length / 8;
      const span = spans.get(table);
      if (!span) spans.set(table, { index, first, end });
      else [span.first, span.end] = [Math.min(span.first, first), Math.max(span.end, end)];
    }
    for (const [table, { index, first, end }] of spans)
      await this.#tables.write(index, table, first, table.value.subarray(first * 8, end * 8));
    for (const { index, table, first, old } of this.#deferred) {
      this.#freeOld(index, first, old, table.value.subarray(first * 8, first * 8 + old.length));
      table.pins--;
    }
    this.#deferred = [];
    this.#journal!.clear();
  }

  // ---- where things are

  /** How much there is behind this image from `at` on. */
  behind(at: number): number {
    return this.backing ? Math.max(0, this.backing.size - at) : 0;
  }

  /** What is at `at`, up to the end of its L2 table. */
  piece(at: number, most: number): Piece | Promise<Piece> {
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

  async read(offset: number, length: number, buffers: readonly Uint8Array[]): Promise<void> {
    let parts: Promise<void>[] | undefined;
    for (let done = 0; done < length; ) {
      const found = this.piece(offset + done, length - done);
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
    const there = Math.min(length, this.behind(at));
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

  async write(offset: number, length: number, buffers: readonly Uint8Array[]): Promise<void> {
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
        await this.#link(index, table, cluster % perTable, run, replaces, () => (linked = true));
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
      if (kind === 'none' ? this.behind((cluster + i) * this.cluster_size) > 0 : kind !== 'zero') return true;
    }
    return false;
  }

  /** What the clusters held before and after the written part, as far as it has to be written. */
  async #around(at: number, length: number, table: Buffer, fresh: boolean) {
    const size = this.cluster_size;
    const start = at - (at % size);
    const end = Math.ceil((at + length) / size) * size;
    if (start < at && at + length < end && end - start === size) {
      const [whole] = await this.#old(start, end, table, fresh); // at once
      if (!whole) return { before: [], after: [] };
      return { before: [whole.subarray(0, at - start)], after: [whole.subarray(at - start + length)] };
    }
    const sides = [this.#old(start, at, table, fresh), this.#old(at + length, end, table, fresh)] as const;
    const [before, after] = await Promise.all(sides);
    return { before, after };
  }

  async #old(start: number, end: number, table: Buffer, fresh: boolean): Promise<Uint8Array[]> {
    if (start === end) return [];
    const first = Math.floor(start / this.cluster_size) % (this.cluster_size / 8);
    const piece = this.#pieceOf(table, first, start, end - start);
    const zero = piece.kind === 'zero' || (piece.kind === 'none' && this.behind(start) === 0);
    if (zero && fresh) return [];
    if (zero) return [Buffer.alloc(end - start)];
    const bytes = Buffer.allocUnsafeSlow(end - start);
    // The disk may end within the cluster; what is behind it there is nobody's.
    const there = Math.max(0, Math.min(end, Math.ceil(this.header.size / SECTOR) * SECTOR) - start);
    bytes.fill(0, there);
    if (there > 0) await this.#readPiece({ ...piece, length: there }, start, [bytes.subarray(0, there)]);
    return [bytes];
  }

  /**
   * The entries of new places; what was there before is free. Where they take the place of data, the new data has to be on the disk before
   * them: they wait for the next flush, and the journal has them meanwhile. `certain`: from here on nobody else may have the places.
   */
  async #link(
    index: number,
    table: Cached<Buffer>,
    first: number,
    run: { cluster: number; count: number },
    replaces: boolean,
    certain: () => void,
  ): Promise<void> {
    const entries = Buffer.alloc(run.count * 8);
    for (let i = 0; i < run.count; i++) putEntry(entries, i, (run.cluster + i) * this.cluster_size, { copied: true });
    if (replaces) {
      if (this.#defer(index, table, first, entries)) return certain();
      await this.#sync();
    }
    certain(); // even if it is written by half
    await this.#replace(index, table, first, entries);
  }

  #defer(index: number, table: Cached<Buffer>, first: number, entries: Buffer): boolean {
    if (!this.#journal) return false;
    try {
      this.#journal.append(
        packNote(tokenOf(this.header), { at: this.#tables.l1.offsets[index]! + first * 8, bytes: entries }),
      );
    } catch {
      return false; // no memory
    }
    const old = Buffer.from(table.value.subarray(first * 8, first * 8 + entries.length));
    entries.copy(table.value, first * 8);
    table.pins++;
    this.#deferred.push({ index, table, first, old });
    if (this.#deferred.length === MOST_DEFERRED) this.#onMany();
    return true;
  }

  async #replace(index: number, table: Cached<Buffer>, first: number, entries: Buffer): Promise<void> {
    const old = Buffer.from(table.value.subarray(first * 8, first * 8 + entries.length));
    await this.#markChange(); // until they are released, freed places are leaks
    await this.#tables.write(index, table, first, entries);
    this.#freeOld(index, first, old, entries);
  }

  #freeOld(index: number, first: number, old: Buffer, entries: Buffer): void {
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
  async clear(first: number, end: number, how: { unmap: boolean; everywhere: boolean }): Promise<void> {
    const perTable = this.cluster_size / 8;
    await this.drain(); // the journal must not bring back what is cleared
    for (let at = first; at < end; ) {
      const index = Math.floor(at / perTable);
      const last = Math.min(end, (index + 1) * perTable);
      const behind = this.behind(at * this.cluster_size) > 0;
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
}

/** Waits for all, then fails if one has failed: nobody uses the buffers any more. */
async function all(parts: Promise<void>[]): Promise<void> {
  if (parts.length === 0) return;
  for (const result of await Promise.allSettled(parts)) if (result.status === 'rejected') throw result.reason;
}
