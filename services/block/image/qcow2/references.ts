// What a qcow2 image refers to, counted: its refcounts as they ought to be.
import type { BlockFile } from '../file.ts';
import { entryAt } from './entries.ts';
import { corrupt, type Header } from './header.ts';
import type { SnapshotRow } from './snapshots.ts';
import { readL1 } from './tables.ts';

const CHUNK = 4096;
/** 512 MiB of counts: 16 TiB of clusters of 64 KiB. */
const MOST_CHUNKS = 65536;

/** Counts of clusters, with memory for those only of which something is known. */
export class Counts {
  readonly #chunks = new Map<number, Uint16Array>();
  /** the first cluster above all that are counted */
  end = 0;

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0;
  }

  add(cluster: number, count = 1, by = 1): void {
    for (let i = cluster; i < cluster + count; i++) {
      const key = Math.floor(i / CHUNK);
      let chunk = this.#chunks.get(key);
      if (!chunk) {
        if (this.#chunks.size === MOST_CHUNKS) throw corrupt('its clusters lie too far apart to be counted');
        this.#chunks.set(key, (chunk = new Uint16Array(CHUNK)));
      }
      const value = chunk[i % CHUNK]! + by;
      if (value > 65535) throw corrupt(`cluster ${i} is used more than 65,535 times`);
      chunk[i % CHUNK] = value;
    }
    this.end = Math.max(this.end, cluster + count);
  }

  /** Whether something is counted within a range. */
  any(start: number, end: number): boolean {
    for (let key = Math.floor(start / CHUNK); key * CHUNK < end; key++) {
      const chunk = this.#chunks.get(key);
      const base = key * CHUNK;
      if (chunk?.subarray(Math.max(0, start - base), end - base).some((count) => count !== 0)) return true;
    }
    return false;
  }
}

/** More than a machine has unwritten when it ends. */
const BELIEVED = 2 ** 34;

/** Something that is not as it should be; counting goes on without it. */
export type Complain = (what: string) => void;

export class References {
  readonly #file: BlockFile;
  readonly #header: Header;
  readonly #cluster: number;
  /** Places beyond the file that are believed: the machine may have ended before the file had grown. */
  readonly limit: number;
  readonly counts = new Counts();
  /** clusters of the disk that have data, and those that are compressed */
  data = 0;
  compressed = 0;
  readonly #complain: Complain;

  constructor(file: BlockFile, header: Header, complain: Complain) {
    this.#file = file;
    this.#header = header;
    this.#cluster = 2 ** header.clusterBits;
    this.limit = file.size + BELIEVED;
    this.#complain = complain;
  }

  /** A table that takes whole clusters. */
  table(offset: number, bytes: number): void {
    if (bytes > 0) this.counts.add(offset / this.#cluster, Math.ceil(bytes / this.#cluster));
  }

  /** An L1 table's L2 tables, with all that they refer to. `active`: the disk's own, not a snapshot's. */
  async l1(offsets: readonly number[], active: boolean): Promise<void> {
    for (const offset of offsets) {
      if (offset === 0) continue;
      if (offset >= this.limit) {
        this.#complain(`an L2 table at ${offset} lies outside of the file`);
        continue;
      }
      this.counts.add(offset / this.#cluster);
      this.l2(await this.read(offset), active);
    }
  }

  l2(table: Buffer, active: boolean, by = 1): void {
    const { clusterBits } = this.#header;
    for (let i = 0; i < table.length / 8; i++) {
      const { kind, offset, length } = entryAt(table, i, clusterBits);
      if (active && kind === 'data') this.data++;
      if (active && kind === 'compressed') this.compressed++;
      if (kind === 'none' || offset === 0) continue;
      if (offset + length > this.limit) this.#complain(`an entry leads to ${offset}, outside of the file`);
      else if (kind !== 'compressed' && offset % this.#cluster !== 0)
        this.#complain(`an entry leads to ${offset}, off the clusters`);
      else {
        const first = Math.floor(offset / this.#cluster);
        this.counts.add(first, Math.ceil((offset + length) / this.#cluster) - first, by);
      }
    }
  }

  async read(offset: number): Promise<Buffer> {
    const table = Buffer.alloc(this.#cluster);
    await this.#file.read(offset, [table]);
    return table;
  }

  async snapshots(rows: readonly SnapshotRow[]): Promise<void> {
    for (const { l1Offset, l1Size } of rows) {
      this.table(l1Offset, l1Size * 8);
      await this.l1((await readL1(this.#file, l1Offset, l1Size, this.#cluster)).offsets, false);
    }
  }
}
