// A qcow2 image as a whole: who waits for whom, what happens when it is opened, flushed and closed, its size and its snapshots. The disk's
// contents are clusters.ts.
import type { BlockFile } from '../file.ts';
import {
  check_request,
  ImageError,
  SECTOR,
  total,
  type DiskImage,
  type Extent,
  type Snapshot,
  type Snapshots,
} from '../image.ts';
import { notesIn, type Journal, type Note } from '../journal.ts';
import { check_size, closed } from '../raw.ts';
import { Gate, Syncer } from '../sync.ts';
import { Clusters } from './clusters.ts';
import { corrupt, FIELD, HEADER_BYTES, INCOMPATIBLE, parseHeader, places, tokenOf, type Header } from './header.ts';
import { layOut, repairRefcounts, type Wanted } from './layout.ts';
import { Refcounts } from './refcounts.ts';
import { findSnapshot, newSnapshot, readSnapshots, type SnapshotRow } from './snapshots.ts';
import { readL1, Tables } from './tables.ts';
import { checkWhole } from './whole.ts';

/** Freed runs that are kept until somebody flushes. */
const MOST_FREED = 1024;

export interface Qcow2Options {
  readonly: boolean;
  backing?: DiskImage | undefined;
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
  #refcounts!: Refcounts;
  #clusters!: Clusters;
  #rows: SnapshotRow[] = [];
  #marking: Promise<void> | undefined;
  /** where entries are noted that wait for a flush; version 2 has no bit that says so */
  #journal: Journal | undefined;
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
  }

  /** The image takes the file and what is behind it, and closes both. */
  static async open(file: BlockFile, options: Qcow2Options): Promise<Qcow2Image> {
    const header = await Qcow2Image.header(file);
    const image = new Qcow2Image(file, header, options);
    if (header.incompatible & INCOMPATIBLE.corrupt && !options.readonly)
      throw new ImageError('corrupt', 'it is marked as damaged; `qemu-img check -r all` may mend it.');
    try {
      await checkWhole(file, header);
      if (!options.readonly) await image.#putInOrder();
      await image.#load();
      return image;
    } catch (error) {
      image.#journal?.leave();
      throw error;
    }
  }

  static async header(file: BlockFile): Promise<Header> {
    const bytes = Buffer.alloc(Math.min(HEADER_BYTES, file.size));
    await file.read(0, [bytes]);
    return parseHeader(bytes, file.size);
  }

  /** After an end without `close`: what the journal has is put in, refcounts are set right. */
  async #putInOrder(): Promise<void> {
    const { header } = this;
    this.#journal = header.version === 2 ? undefined : this.#file.journal();
    const token = tokenOf(header);
    if (this.#journal && token !== 0 && header.incompatible & INCOMPATIBLE.dirty)
      await replay(this.#file, header, notesIn(this.#journal.read(), token));
    this.#journal?.clear();
    if (header.incompatible & INCOMPATIBLE.dirty) await repairRefcounts(this.#file, header);
    if (header.autoclear !== 0n) await this.#writeFlags(header.incompatible, 0);
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
    const tables = new Tables(this.#file, header, l1, this.#refcounts, { sync, ordered });
    this.#clusters = new Clusters({
      ...{
        file: this.#file,
        header,
        backing: this.backing,
        refcounts: this.#refcounts,
        tables,
        journal: this.#journal,
      },
      sync,
      markChange: () => this.#markChange(),
      // The next flush says what became of it.
      onMany: () => void this.#gate.exclusive(() => this.#clusters.drain()).catch(() => undefined),
    });
  }

  /** The bit stands on the disk before refcounts are changed; an image of somebody's dirty bit has been put in order when it was opened. */
  #markDirty(): Promise<void> {
    this.#marking ??= (async () => {
      const token = this.#journal ? 1 + (crypto.getRandomValues(new Uint32Array(1))[0]! % (2 ** 32 - 1)) : 0;
      await this.#writeFlags(this.header.incompatible | INCOMPATIBLE.dirty, token);
      await this.#syncer.sync();
    })().catch((error: unknown) => {
      this.#marking = undefined;
      throw error;
    });
    return this.#marking;
  }

  /** Features of others that a change to the image puts out of date (bitmaps) lose their bits with it. */
  async #writeFlags(incompatible: number, token: number): Promise<void> {
    const bytes = Buffer.alloc(FIELD.refcountOrder - FIELD.incompatible);
    bytes.writeUInt32BE(incompatible, 4);
    bytes.writeUInt32BE(this.header.compatible, FIELD.compatible - FIELD.incompatible + 4);
    bytes.writeUInt32BE(token, FIELD.autoclear - FIELD.incompatible);
    await this.#file.write(FIELD.incompatible, [bytes]);
    this.header.incompatible = incompatible;
    this.header.autoclear = BigInt(token) << 32n;
  }

  // ---- requests

  read(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#shared(offset, total(buffers), false, (length) => this.#clusters.read(offset, length, buffers));
  }

  async write(offset: number, buffers: readonly Uint8Array[], options?: { fua?: boolean }): Promise<void> {
    await this.#shared(offset, total(buffers), true, (length) => this.#clusters.write(offset, length, buffers));
    if (options?.fua) await this.flush();
  }

  async flush(): Promise<void> {
    this.#alive();
    if (this.readonly) return;
    if (this.#refcounts.freed === 0 && this.#clusters.waiting === 0) await this.#syncer.sync();
    else await this.#gate.exclusive(() => this.#release());
  }

  /** Nothing on the disk refers to what was freed after the flush, and nobody is reading it: the requests have ended. */
  async #release(): Promise<void> {
    await this.#clusters.drain();
    await this.#syncer.sync();
    this.#clusters.forget();
    await this.#refcounts.release();
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#alone(offset, length, async () => {
      const size = this.cluster_size;
      const first = Math.ceil(offset / size);
      // The last cluster of the disk may be shorter.
      const end = offset + length === this.size ? Math.ceil(this.size / size) : Math.floor((offset + length) / size);
      if (this.backing && this.header.version === 2) return;
      await this.#clusters.clear(first, end, { unmap: true, everywhere: false });
    });
  }

  write_zeroes(offset: number, length: number, options?: { unmap?: boolean }): Promise<void> {
    return this.#alone(offset, length, () => this.#clusters.writeZeroes(offset, length, options?.unmap !== false));
  }

  async map(offset: number, length: number): Promise<Extent[]> {
    const extents: Extent[] = [];
    await this.#shared(offset, length, false, async () => {
      for (let at = offset; at < offset + length; ) {
        const piece = await this.#clusters.piece(at, offset + length - at);
        const kind = piece.kind === 'none' ? (this.#clusters.behind(at) > 0 ? 'backing' : 'zero') : piece.kind;
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
        this.#journal?.leave(); // not when all went well: it has been removed
        await this.#file.close();
        await this.backing?.close();
      }
    });
  }

  /** All on the disk, nothing reserved, the dirty bit off. */
  async #settle(): Promise<void> {
    await this.#release();
    await this.#refcounts.close();
    this.#journal?.remove();
    this.#journal = undefined;
    if (!(this.header.incompatible & INCOMPATIBLE.dirty)) return;
    await this.#syncer.sync();
    await this.#writeFlags(this.header.incompatible & ~INCOMPATIBLE.dirty, 0);
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
    await this.#clusters.writeZeroes(size, this.size - size, true);
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
      if (rest > 0) await this.#clusters.writeZeroes(before, rest, true);
      // What lies behind there did not belong to the disk.
      const end = Math.min(size, before + this.#clusters.behind(before));
      if (end > before) await this.#clusters.writeZeroes(before, end - before, true);
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
    await this.#load();
  }
}

/** Puts noted entries into their tables, if the image has such. */
async function replay(file: BlockFile, header: Header, notes: Iterable<Note>): Promise<void> {
  const cluster = 2 ** header.clusterBits;
  const tables = new Set((await readL1(file, header.l1Offset, header.l1Size, cluster)).offsets);
  for (const { at, bytes } of notes) {
    const table = at - (at % cluster);
    if (table !== 0 && tables.has(table) && at + bytes.length <= table + cluster) await file.write(at, [bytes]);
  }
  await file.sync();
}

/** Extents of one answer. */
const MOST_EXTENTS = 4096;
