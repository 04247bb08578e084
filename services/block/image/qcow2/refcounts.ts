// Which clusters of a qcow2 file are in use, and how often. Clusters are handed out from reserved runs: a run's refcounts are written
// once, before anything refers to it, so that a kill leaves at most a run that nobody uses. What is freed goes back only after the next
// flush, when nothing on the disk refers to it any more and no request that began before is under way.
import type { BlockFile } from '../file.ts';
import { Cache, Mutex } from '../sync.ts';
import { maxRefcount, offsetAt, putRefcount, refcountAt, refcountBytes } from './entries.ts';
import { corrupt, FIELD, type Header } from './header.ts';

/** Clusters in a row; `fresh`: beyond all that was ever written, so that they read as zeros. */
export interface Run {
  cluster: number;
  count: number;
  fresh: boolean;
}

const CACHED_BLOCKS = 64;
/** Bytes that are reserved at once, and clusters at most. */
const RESERVE_BYTES = 8 << 20;
const RESERVE_CLUSTERS = 2048;

export class Refcounts {
  readonly #file: BlockFile;
  readonly #header: Header;
  readonly #cluster: number;
  readonly #order: number;
  readonly #perBlock: number;
  /** places of the refcount blocks */
  #table: number[] = [];
  readonly #blocks: Cache<Buffer>;
  readonly #mutex = new Mutex();
  /** Set before the first change, and between changes whose order matters to what is on the disk. */
  readonly #ordered: () => Promise<void>;
  #reserved: Run[] = [];
  #refilling: Promise<void> | undefined;
  #freed: Run[] = [];
  /** the first cluster that may be free */
  #cursor = 0;
  /** the first cluster that was never written */
  #end: number;
  /** clusters of tables: no data is written there, whatever an entry says */
  readonly metadata: Set<number>;

  constructor(file: BlockFile, header: Header, metadata: Set<number>, ordered: () => Promise<void>) {
    this.#file = file;
    this.#header = header;
    this.#cluster = 2 ** header.clusterBits;
    this.#order = header.refcountOrder;
    this.#perBlock = (this.#cluster * 8) / 2 ** this.#order;
    this.#end = Math.ceil(file.size / this.#cluster);
    this.#ordered = ordered;
    this.metadata = metadata;
    this.#blocks = new Cache(CACHED_BLOCKS, (index) => this.#readBlock(index));
  }

  async load(): Promise<void> {
    const bytes = Buffer.alloc(this.#header.refTableClusters * this.#cluster);
    await this.#file.read(this.#header.refTableOffset, [bytes]);
    this.#table = Array.from({ length: bytes.length / 8 }, (_, i) => offsetAt(bytes, i));
    for (let i = 0; i < this.#header.refTableClusters; i++)
      this.metadata.add(this.#header.refTableOffset / this.#cluster + i);
    for (const offset of this.#table) {
      if (offset % this.#cluster !== 0) throw corrupt(`a refcount block at ${offset} lies off the clusters`);
      if (offset !== 0) this.metadata.add(offset / this.#cluster);
    }
  }

  get(cluster: number): Promise<number> {
    const index = Math.floor(cluster / this.#perBlock);
    if (!this.#table[index]) return Promise.resolve(0);
    return this.#blocks.get(index).then(({ value }) => refcountAt(value, cluster % this.#perBlock, this.#order));
  }

  /** Up to so many clusters in a row, at least one. */
  async take(most: number): Promise<Run> {
    while (this.#reserved.length === 0) await this.#refill(most);
    const run = this.#reserved[0]!;
    if (run.count <= most) {
      this.#reserved.shift();
      return run;
    }
    const taken = { ...run, count: most };
    run.cluster += most;
    run.count -= most;
    return taken;
  }

  /** Gives back what was taken and is referred to by nothing; it may have been written to. */
  giveBack(run: Run): void {
    this.#reserved.push({ ...run, fresh: false });
  }

  /** These clusters have one user less, as soon as `release` is called. */
  free(cluster: number, count: number): void {
    const last = this.#freed.at(-1);
    if (last && last.cluster + last.count === cluster) last.count += count;
    else this.#freed.push({ cluster, count, fresh: false });
  }

  /** Runs that wait for `release`. */
  get freed(): number {
    return this.#freed.length;
  }

  /** To be called when nothing on the disk refers to what was freed, and no request is under way. Gives its space back. */
  async release(): Promise<void> {
    const runs = this.#freed;
    this.#freed = [];
    for (const run of runs) {
      const unused: Run[] = [];
      await this.#mutex.run(() => this.#change(run.cluster, run.count, -1, unused));
      for (const { cluster, count } of unused) {
        for (let i = 0; i < count; i++) this.metadata.delete(cluster + i);
        this.#cursor = Math.min(this.#cursor, cluster);
        await this.#file.punch(cluster * this.#cluster, count * this.#cluster);
      }
    }
  }

  /** Gives all back that is reserved and was not taken. */
  async close(): Promise<void> {
    const runs = this.#reserved;
    this.#reserved = [];
    for (const { cluster, count } of runs) await this.#mutex.run(() => this.#change(cluster, count, -1, []));
  }

  /** One refill at a time: those who come meanwhile look again at what it brought. */
  #refill(wanted: number): Promise<void> {
    this.#refilling ??= this.#mutex
      .run(() => this.#reserve(wanted))
      .finally(() => {
        this.#refilling = undefined;
      });
    return this.#refilling;
  }

  async #reserve(wanted: number): Promise<void> {
    await this.#ordered();
    const usual = Math.min(RESERVE_CLUSTERS, Math.ceil(RESERVE_BYTES / this.#cluster));
    const run = await this.#findFree(Math.max(wanted, usual));
    for (let i = 0; i < run.count; i++)
      if (this.metadata.has(run.cluster + i))
        throw corrupt(`cluster ${run.cluster + i} of its tables counts as unused`);
    await this.#change(run.cluster, run.count, 1, []);
    // Without a dirty bit nobody would mend a file that ends before the places its entries name.
    const length = (run.cluster + run.count) * this.#cluster;
    if (this.#header.version === 2 && length > this.#file.size) await this.#file.truncate(length);
    await this.#ordered();
    this.#end = Math.max(this.#end, run.cluster + run.count);
    this.#reserved.push(run);
  }

  /** The next free clusters in a row from the cursor on, within one refcount block. */
  async #findFree(most: number): Promise<Run> {
    for (let at = this.#cursor; ; ) {
      const index = Math.floor(at / this.#perBlock);
      const first = index * this.#perBlock;
      if (!this.#table[index]) {
        // Where the file has something and no refcounts, the refcounts are wrong: nothing is put there.
        if (first < this.#end) {
          at = first + this.#perBlock;
          continue;
        }
        await this.#addBlock(index);
      }
      const { value } = await this.#blocks.get(index);
      let start = at - first;
      while (start < this.#perBlock && refcountAt(value, start, this.#order) !== 0) start++;
      const cluster = first + start;
      // A run is fresh as a whole or not at all.
      const old = this.#end - cluster;
      const last = Math.min(this.#perBlock, start + (old > 0 ? Math.min(most, old) : most));
      let end = start;
      while (end < last && refcountAt(value, end, this.#order) === 0) end++;
      this.#cursor = first + end;
      if (end > start) return { cluster, count: end - start, fresh: old <= 0 };
      at = first + this.#perBlock;
    }
  }

  async #readBlock(index: number): Promise<Buffer> {
    const block = Buffer.alloc(this.#cluster);
    await this.#file.read(this.#table[index]!, [block]);
    return block;
  }

  /** Adds to refcounts in a row. The file first: what could not be written is not believed to be there. */
  async #change(cluster: number, count: number, by: 1 | -1, unused: Run[]): Promise<void> {
    for (let at = cluster; at < cluster + count; ) {
      const index = Math.floor(at / this.#perBlock);
      const first = at % this.#perBlock;
      const length = Math.min(this.#perBlock - first, cluster + count - at);
      if (!this.#table[index]) throw corrupt(`cluster ${at} is used and has no refcount`);
      const { value: block } = await this.#blocks.get(index);
      const { start, end } = refcountBytes(first, length, this.#order);
      const changed = Buffer.from(block);
      for (let i = first; i < first + length; i++) {
        const value = refcountAt(block, i, this.#order) + by;
        if (value < 0 || value > maxRefcount(this.#order))
          throw corrupt(`the refcount of cluster ${at - first + i} would become ${value}`);
        putRefcount(changed, i, this.#order, value);
        if (value > 0 || by > 0) continue;
        const last = unused.at(-1);
        const number = at - first + i;
        if (last && last.cluster + last.count === number) last.count++;
        else unused.push({ cluster: number, count: 1, fresh: false });
      }
      await this.#file.write(this.#table[index]! + start, [changed.subarray(start, end)]);
      changed.copy(block, start, start, end);
      at += length;
    }
  }

  /** A block of refcounts for clusters beyond all others: it is the first of them itself. */
  async #addBlock(index: number): Promise<void> {
    if (index >= this.#table.length) return this.#growTable(index);
    const cluster = index * this.#perBlock;
    const block = Buffer.alloc(this.#cluster);
    putRefcount(block, 0, this.#order, 1);
    await this.#file.write(cluster * this.#cluster, [block]);
    await this.#ordered();
    const entry = Buffer.alloc(8);
    entry.writeBigUInt64BE(BigInt(cluster * this.#cluster));
    await this.#file.write(this.#header.refTableOffset + index * 8, [entry]);
    this.#table[index] = cluster * this.#cluster;
    this.metadata.add(cluster);
    this.#blocks.put(index, block);
    this.#end = Math.max(this.#end, cluster + 1);
  }

  /** A larger table of refcount blocks at the beginning of what block `index` counts, with that block in front of it. */
  async #growTable(index: number): Promise<void> {
    const old = { offset: this.#header.refTableOffset, clusters: this.#header.refTableClusters };
    const clusters = Math.ceil(((index + 1) * 1.5 * 8) / this.#cluster) + 1;
    const blocks = Math.ceil((clusters + 2) / (this.#perBlock - 1));
    const start = index * this.#perBlock;
    const table = Buffer.alloc(clusters * this.#cluster);
    this.#table.forEach((offset, i) => table.writeBigUInt64BE(BigInt(offset), i * 8));
    const added: Buffer[] = [];
    for (let b = 0; b < blocks; b++) {
      const block = Buffer.alloc(this.#cluster);
      for (let i = 0; i < this.#perBlock && b * this.#perBlock + i < blocks + clusters; i++)
        putRefcount(block, i, this.#order, 1);
      added.push(block);
      table.writeBigUInt64BE(BigInt((start + b) * this.#cluster), (index + b) * 8);
    }
    await this.#file.write(start * this.#cluster, [...added, table]);
    await this.#file.sync();
    const field = Buffer.alloc(12);
    field.writeBigUInt64BE(BigInt((start + blocks) * this.#cluster));
    field.writeUInt32BE(clusters, 8);
    await this.#file.write(FIELD.refTableOffset, [field]);
    await this.#file.sync();
    this.#header.refTableOffset = (start + blocks) * this.#cluster;
    this.#header.refTableClusters = clusters;
    this.#table = Array.from({ length: table.length / 8 }, (_, i) => offsetAt(table, i));
    added.forEach((block, b) => this.#blocks.put(index + b, block));
    for (let i = 0; i < blocks + clusters; i++) this.metadata.add(start + i);
    this.#end = Math.max(this.#end, start + blocks + clusters);
    this.free(old.offset / this.#cluster, old.clusters);
  }
}
