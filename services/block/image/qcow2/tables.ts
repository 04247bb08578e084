// The L1 and L2 tables of a qcow2 image: where each cluster of the disk is in the file.
import type { BlockFile } from '../file.ts';
import { Cache, Mutex, type Cached } from '../sync.ts';
import { copiedAt, offsetAt } from './entries.ts';
import { corrupt, type Header } from './header.ts';
import type { Refcounts } from './refcounts.ts';

/** 16 MiB of L2 tables, which are those of 128 GiB with clusters of 64 KiB. */
const CACHE_BYTES = 16 << 20;

/** The L1 table in memory. */
export interface L1 {
  /** places of the L2 tables; 0: none */
  offsets: number[];
  /** of this L2 table no snapshot knows */
  copied: boolean[];
}

export async function readL1(file: BlockFile, offset: number, entries: number, cluster: number): Promise<L1> {
  const bytes = Buffer.alloc(entries * 8);
  if (entries > 0) await file.read(offset, [bytes]);
  const l1: L1 = { offsets: [], copied: [] };
  for (let i = 0; i < entries; i++) {
    const at = offsetAt(bytes, i);
    if (at % cluster !== 0) throw corrupt(`an L2 table at ${at} lies off the clusters`);
    l1.offsets.push(at);
    l1.copied.push(copiedAt(bytes, i));
  }
  return l1;
}

export class Tables {
  readonly #file: BlockFile;
  readonly #header: Header;
  readonly #refcounts: Refcounts;
  readonly #sync: () => Promise<void>;
  readonly #ordered: () => Promise<void>;
  readonly #cluster: number;
  readonly #l2s: Cache<Buffer>;
  readonly #making = new Map<number, Mutex>();
  readonly l1: L1;

  constructor(
    file: BlockFile,
    header: Header,
    l1: L1,
    refcounts: Refcounts,
    order: { sync: () => Promise<void>; ordered: () => Promise<void> },
  ) {
    this.#file = file;
    this.#header = header;
    this.#refcounts = refcounts;
    this.#sync = order.sync;
    this.#ordered = order.ordered;
    this.#cluster = 2 ** header.clusterBits;
    this.l1 = l1;
    this.#l2s = new Cache(Math.max(8, Math.floor(CACHE_BYTES / this.#cluster)), (offset) => this.#readL2(offset));
    for (let i = 0; i < Math.ceil((header.l1Size * 8) / this.#cluster); i++)
      refcounts.metadata.add(header.l1Offset / this.#cluster + i);
    for (const offset of l1.offsets) if (offset !== 0) refcounts.metadata.add(offset / this.#cluster);
  }

  /** The L2 table if it is at hand; undefined: `read` has to wait for it; null: there is none. */
  peek(index: number): Buffer | undefined | null {
    const offset = this.l1.offsets[index];
    return offset ? this.#l2s.peek(offset)?.value : null;
  }

  async read(index: number): Promise<Buffer | null> {
    const offset = this.l1.offsets[index];
    return offset ? (await this.#l2s.get(offset)).value : null;
  }

  /** The L2 table, there and this image's own, to be changed by `write`. Its `pins` are to be counted down. */
  async own(index: number): Promise<Cached<Buffer>> {
    if (this.#isOwn(index)) return this.#l2s.pin(this.l1.offsets[index]!);
    let mutex = this.#making.get(index);
    if (!mutex) this.#making.set(index, (mutex = new Mutex()));
    return mutex.run(async () => {
      if (!this.#isOwn(index)) await this.#make(index);
      this.#making.delete(index);
      return this.#l2s.pin(this.l1.offsets[index]!);
    });
  }

  /** Puts entries into a table of `own`, the file's first. */
  async write(index: number, table: Cached<Buffer>, first: number, entries: Buffer): Promise<void> {
    await this.#file.write(this.l1.offsets[index]! + first * 8, [entries]);
    entries.copy(table.value, first * 8);
  }

  #isOwn(index: number): boolean {
    return this.l1.offsets[index] !== 0 && this.l1.copied[index]!;
  }

  /** A new table, or a copy of one that a snapshot has too. */
  async #make(index: number): Promise<void> {
    const old = this.l1.offsets[index]!;
    const contents = old ? Buffer.from((await this.#l2s.get(old)).value) : Buffer.alloc(this.#cluster);
    const { cluster, fresh } = await this.#refcounts.take(1);
    const offset = cluster * this.#cluster;
    this.#refcounts.metadata.add(cluster);
    await this.#file.write(offset, [contents]);
    // A copy has places of data that was flushed, and a place that was used before has anything.
    await (old || !fresh ? this.#sync() : this.#ordered());
    const entry = Buffer.alloc(8);
    entry.writeBigUInt64BE(BigInt(offset) | (1n << 63n));
    await this.#file.write(this.#header.l1Offset + index * 8, [entry]);
    this.l1.offsets[index] = offset;
    this.l1.copied[index] = true;
    this.#l2s.put(offset, contents);
    if (old) this.#refcounts.free(old / this.#cluster, 1);
  }

  async #readL2(offset: number): Promise<Buffer> {
    // One beyond the file is one of zeros that was not written when the power went.
    const table = Buffer.alloc(this.#cluster);
    await this.#file.read(offset, [table]);
    return table;
  }
}
