// For tests: a file in memory that notes every change, so that it can be had as a kill or a power cut would have left it; and what
// may then be in each sector.
import { fill_zero, ImageError, SECTOR, slice, total } from '../../services/block/image/image.ts';
import type { BlockFile } from '../../services/block/image/file.ts';
import type { Journal } from '../../services/block/image/journal.ts';

export type Change =
  | { kind: 'write'; at: number; bytes: Buffer }
  | { kind: 'truncate'; size: number }
  | { kind: 'punch'; at: number; length: number }
  | { kind: 'sync' }
  /** in memory that a kill leaves and the power takes */
  | { kind: 'note'; bytes: Buffer }
  | { kind: 'forget' };

export type Random = (below: number) => number;

export class MemoryFile implements BlockFile {
  readonly path = 'memory';
  size = 0;
  readonly log: Change[] = [];
  #bytes: Buffer = Buffer.alloc(1 << 16);
  #notes: Buffer[] = [];
  readonly #random: Random | undefined;
  /** writes that go beyond it fail as on a full disk */
  limit = Infinity;
  /** called before each change; may throw */
  onChange: (change: Change) => void = () => undefined;

  /** `random`: what is asked for at the same time happens in any order. */
  constructor(contents?: Buffer, random?: Random) {
    this.#random = random;
    if (contents) this.#apply({ kind: 'write', at: 0, bytes: contents });
  }

  get contents(): Buffer {
    return this.#bytes.subarray(0, this.size);
  }

  async read(at: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#turn();
    for (const buffer of buffers) {
      const there = this.#bytes.subarray(Math.min(at, this.size), Math.min(at + buffer.length, this.size));
      buffer.set(there);
      fill_zero([buffer.subarray(there.length)]);
      at += buffer.length;
    }
  }

  async write(at: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#turn();
    const bytes = Buffer.concat(buffers);
    if (at + bytes.length > this.limit) {
      const fits = Math.max(0, this.limit - at);
      if (fits > 0) this.#change({ kind: 'write', at, bytes: bytes.subarray(0, fits) });
      throw new ImageError('no_space', 'the disk is full.');
    }
    this.#change({ kind: 'write', at, bytes });
    await this.#turn();
  }

  async sync(): Promise<void> {
    await this.#turn();
    this.#change({ kind: 'sync' });
    await this.#turn();
  }

  async truncate(size: number): Promise<void> {
    this.#change({ kind: 'truncate', size });
  }

  async punch(at: number, length: number): Promise<boolean> {
    this.#change({ kind: 'punch', at, length });
    return true;
  }

  async close(): Promise<void> {}

  journal(): Journal {
    return {
      append: (bytes) => this.#change({ kind: 'note', bytes }),
      read: () => Buffer.concat(this.#notes),
      clear: () => this.#change({ kind: 'forget' }),
      remove: () => this.#change({ kind: 'forget' }),
      leave: () => undefined,
    };
  }

  async #turn(): Promise<void> {
    for (let n = this.#random?.(4) ?? 0; n > 0; n--) await undefined;
  }

  #change(change: Change): void {
    this.onChange(change);
    this.log.push(change);
    this.#apply(change);
  }

  #apply(change: Change): void {
    switch (change.kind) {
      case 'write': {
        const end = change.at + change.bytes.length;
        if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], end * 2);
        change.bytes.copy(this.#bytes, change.at);
        this.size = Math.max(this.size, end);
        break;
      }
      case 'truncate':
        if (change.size > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], change.size * 2);
        this.#bytes.fill(0, Math.min(change.size, this.size));
        this.size = change.size;
        break;
      case 'punch':
        this.#bytes.fill(0, change.at, Math.min(change.at + change.length, this.size));
        break;
      case 'note':
        this.#notes.push(change.bytes);
        break;
      case 'forget':
        this.#notes = [];
        break;
      case 'sync':
        break;
    }
  }

  /** As it is when this process ends after `count` changes; the last one may have got to any page of the system's cache. */
  static killed(start: Buffer, log: readonly Change[], count: number, random: Random): MemoryFile {
    const file = new MemoryFile(start);
    for (const change of log.slice(0, count)) file.#apply(change);
    const next = log[count];
    if (next?.kind === 'write' && random(2) === 0) file.#apply(torn(next, 4096, random));
    if (next?.kind === 'note') file.#notes.push(next.bytes.subarray(0, random(next.bytes.length)));
    return file;
  }

  /** As it is when the power goes after `count` changes: of those after the last flush any may have reached the disk, in parts. */
  static cut(start: Buffer, log: readonly Change[], count: number, random: Random): MemoryFile {
    const file = new MemoryFile(start);
    const flushed = log.slice(0, count).findLastIndex(({ kind }) => kind === 'sync');
    log.slice(0, count).forEach((change, i) => {
      if (i > flushed && random(2) === 0) return;
      file.#apply(i > flushed && change.kind === 'write' && random(8) === 0 ? torn(change, SECTOR, random) : change);
    });
    file.#notes = [];
    return file;
  }
}

/** The beginning of a write, up to some border of blocks. */
function torn(change: Change & { kind: 'write' }, block: number, random: Random): Change {
  const borders = Math.floor((change.at + change.bytes.length) / block) - Math.floor(change.at / block);
  const end = borders === 0 ? 0 : (Math.floor(change.at / block) + random(borders + 1)) * block - change.at;
  return { ...change, bytes: change.bytes.subarray(0, Math.max(0, end)) };
}

interface Entry {
  /** positions in the log: when it was begun and answered */
  began: number;
  answered: number;
  value: number;
  /** the sector may also have kept what it had */
  maybe: boolean;
  fua: boolean;
}

/** What each sector of a disk may hold, told in stamps: a sector is full of its stamp. */
export class Model {
  readonly #sectors: Entry[][] = [];
  readonly #base: (sector: number) => number;
  readonly #flushes: { began: number; answered: number }[] = [];
  readonly sizes: { began: number; answered: number; sectors: number }[] = [];

  constructor(sectors: number, base: (sector: number) => number = () => 0) {
    this.#base = base;
    this.sizes.push({ began: -1, answered: -1, sectors });
  }

  put(first: number, count: number, entry: Entry): void {
    for (let i = first; i < first + count; i++) (this.#sectors[i] ??= []).push(entry);
  }

  flushed(began: number, answered: number): void {
    this.#flushes.push({ began, answered });
  }

  /** The stamps that the sector may have after so many changes. */
  allowed(sector: number, count: number, how: 'kill' | 'cut'): Set<number> {
    let values = new Set([this.#base(sector)]);
    for (const entry of this.#sectors[sector] ?? []) {
      if (entry.began > count) break;
      const safe =
        how === 'kill' ||
        entry.fua ||
        this.#flushes.some(({ began, answered }) => began >= entry.answered && answered <= count);
      if (entry.answered <= count && safe && !entry.maybe) values = new Set([entry.value]);
      else values.add(entry.value);
    }
    return values;
  }

  /** What a sector has when all is answered; of a discarded one what was found there is taken from then on. */
  settle(sector: number, found: number): boolean {
    if (!this.allowed(sector, Infinity, 'kill').has(found)) return false;
    const entries = this.#sectors[sector];
    if (entries?.at(-1)?.maybe) entries.push({ ...entries.at(-1)!, value: found, maybe: false });
    return true;
  }
}

export function stamp(value: number): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  for (let i = 0; i < SECTOR; i += 4) bytes.writeUInt32LE(value, i);
  return bytes;
}

/** The stamp of a sector; -1: it is of several. */
export function stampOf(bytes: Buffer): number {
  const value = bytes.readUInt32LE(0);
  return bytes.compare(stamp(value)) === 0 ? value : -1;
}

/** A list of buffers of odd lengths that together are the bytes. */
export function scatter(bytes: Buffer, random: Random): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, 1 + random(2 * SECTOR));
    parts.push(...(slice([bytes], at, length) as Buffer[]));
    at += length;
  }
  if (total(parts) !== bytes.length) throw new Error('scattered wrongly');
  return parts;
}
