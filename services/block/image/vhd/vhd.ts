// A VHD image: fixed, dynamic, or differencing from another one. A new block goes where the footer is, behind which a new footer is written
// first; then its bitmap and data, then its entry in the block table: the end of this process at any moment leaves a whole image
// and at most a block that nobody knows. A sector's bit is set when its data is there, so nothing is ever copied from the parent.
import type { BlockFile } from '../file.ts';
import { check_request, fill_zero, ImageError, SECTOR, slice, total, type DiskImage, type Extent } from '../image.ts';
import { check_size, closed, write_zeros } from '../raw.ts';
import { Cache, Gate, Mutex, Syncer } from '../sync.ts';
import {
  corrupt,
  DYNAMIC_HEADER,
  FOOTER,
  locatorPath,
  MAX_SIZE,
  parseDynamic,
  parseFooter,
  putSize,
  putTable,
  TYPE,
  UNUSED,
  type DynamicHeader,
  type Footer,
} from './format.ts';

const CACHED_BITMAPS = 4096;
/** Blocks beyond the file that are believed: the machine may have ended before the file had grown. */
const BELIEVED = 2 ** 34;
const MOST_EXTENTS = 4096;

export interface Parent {
  uuid: string;
  /** where it may be, the best guess first */
  paths: string[];
}

export interface VhdOptions {
  readonly: boolean;
  backing?: DiskImage | undefined;
}

/** Sectors in a row within one block. */
interface Piece {
  block: number;
  /** sector within the block */
  first: number;
  length: number;
  /** `none`: no data here, the parent has it or it is zeros */
  kind: 'data' | 'none';
}

async function readFooter(file: BlockFile): Promise<{ footer: Footer; atEnd: boolean }> {
  const read = async (at: number): Promise<Footer | undefined> => {
    if (at < 0) return undefined;
    const bytes = Buffer.alloc(FOOTER);
    await file.read(at, [bytes]);
    return parseFooter(bytes);
  };
  const end = await read(file.size - FOOTER);
  const copy = await read(0);
  const footer = copy && copy.type !== TYPE.fixed ? copy : end;
  if (!footer) throw new ImageError('unsupported', 'it is no VHD image; give its real format.');
  return { footer, atEnd: end !== undefined };
}

async function readDynamic(file: BlockFile, footer: Footer): Promise<DynamicHeader | undefined> {
  if (footer.type === TYPE.fixed) return undefined;
  if (footer.type !== TYPE.dynamic && footer.type !== TYPE.differencing)
    throw new ImageError(
      'unsupported',
      `it is a VHD of type ${footer.type}; fixed, dynamic and differencing are supported.`,
    );
  if (footer.dataOffset + DYNAMIC_HEADER > file.size) throw corrupt('its dynamic header lies outside of the file');
  const bytes = Buffer.alloc(DYNAMIC_HEADER);
  await file.read(footer.dataOffset, [bytes]);
  return parseDynamic(bytes, file.size);
}

export class VhdImage implements DiskImage {
  readonly format = 'vhd';
  readonly sector_size = SECTOR;
  readonly cluster_size: number;
  readonly path: string;
  readonly readonly: boolean;
  readonly backing: DiskImage | undefined;
  readonly kind: 'fixed' | 'dynamic' | 'differencing';
  readonly uuid: string;
  /** seconds since 2000 */
  readonly timestamp: number;
  size: number;
  #footer: Buffer;
  readonly #file: BlockFile;
  readonly #header: DynamicHeader | undefined;
  readonly #dataOffset: number;
  readonly #bitmapBytes: number;
  readonly #gate = new Gate();
  readonly #syncer: Syncer;
  readonly #bitmaps: Cache<Buffer>;
  readonly #marking = new Map<number, Mutex>();
  /** one block after the other gets its place */
  readonly #growing = new Mutex();
  #table = new Uint32Array(0);
  /** where the next block may be: behind all others, where the footer is */
  #end = 0;
  #closed = false;

  private constructor(file: BlockFile, footer: Footer, header: DynamicHeader | undefined, options: VhdOptions) {
    this.#file = file;
    this.path = file.path;
    this.readonly = options.readonly;
    this.backing = options.backing;
    this.size = footer.size;
    this.uuid = footer.uuid;
    this.timestamp = footer.timestamp;
    this.#footer = footer.bytes;
    this.#header = header;
    this.#dataOffset = footer.dataOffset;
    this.kind = !header ? 'fixed' : footer.type === TYPE.dynamic ? 'dynamic' : 'differencing';
    this.cluster_size = header?.blockSize ?? 4096;
    this.#bitmapBytes = Math.ceil(this.cluster_size / SECTOR / 8 / SECTOR) * SECTOR;
    this.#syncer = new Syncer(() => file.sync());
    this.#bitmaps = new Cache(CACHED_BITMAPS, (block) => this.#readBitmap(block));
  }

  /** The image takes the file and what is behind it, and closes both. */
  static async open(file: BlockFile, options: VhdOptions): Promise<VhdImage> {
    const { footer, atEnd } = await readFooter(file);
    const header = await readDynamic(file, footer);
    const image = new VhdImage(file, footer, header, options);
    if (!header && image.size > file.size - FOOTER) throw corrupt('it is shorter than its footer says');
    if (header) await image.#loadTable(header, atEnd);
    return image;
  }

  /** The image from which a differencing one differs. */
  static async parent(file: BlockFile): Promise<Parent | undefined> {
    const { footer } = await readFooter(file);
    const header = await readDynamic(file, footer);
    if (footer.type !== TYPE.differencing || !header) return undefined;
    const paths: string[] = [];
    for (const { code, offset, length } of header.locators) {
      const data = Buffer.alloc(length);
      await file.read(offset, [data]);
      const path = locatorPath(code, data);
      if (path) paths.push(path);
    }
    if (header.parentName) paths.push(header.parentName.replaceAll('\\', '/'));
    return { uuid: header.parentUuid, paths: [...new Set(paths)].filter((path) => !path.includes('\0')) };
  }

  /** What its tables say of themselves. */
  static async check(file: BlockFile) {
    const errors: string[] = [];
    const { footer, atEnd } = await readFooter(file);
    const image = await VhdImage.open(file, { readonly: true });
    const places = [...image.#table].filter((sector) => sector !== UNUSED).sort((a, b) => a - b);
    const length = (image.#bitmapBytes + image.cluster_size) / SECTOR;
    if (!atEnd && footer.type !== TYPE.fixed) errors.push('the footer at its end is missing');
    let leaks = 0;
    places.forEach((sector, i) => {
      if (i > 0 && sector < places[i - 1]! + length)
        errors.push(`two blocks lie upon each other at ${sector * SECTOR}`);
      if (i > 0) leaks += Math.floor((sector - places[i - 1]! - length) / length);
      if ((sector + length) * SECTOR > file.size)
        errors.push(`the block at ${sector * SECTOR} lies outside of the file`);
    });
    const end = ((places.at(-1) ?? 0) + length) * SECTOR;
    if (places.length > 0) leaks += Math.floor((file.size - FOOTER - end) / (length * SECTOR));
    const clusters = Math.ceil(image.size / image.cluster_size);
    return {
      ...{ errors: errors.slice(0, 20), error_count: errors.length, leaks: Math.max(0, leaks), dirty: false },
      ...{ clusters, allocated: image.#header ? places.length : clusters, compressed: 0 },
    };
  }

  async #loadTable(header: DynamicHeader, atEnd: boolean): Promise<void> {
    const { entries, blockSize, tableOffset } = header;
    if (this.size > entries * blockSize)
      throw corrupt(`its block table of ${entries} entries is too small for its size`);
    const bytes = Buffer.alloc(entries * 4);
    await this.#file.read(tableOffset, [bytes]);
    this.#table = Uint32Array.from({ length: entries }, (_, i) => bytes.readUInt32BE(i * 4));
    const tables = [
      { start: 0, end: FOOTER },
      { start: this.#dataOffset, end: this.#dataOffset + DYNAMIC_HEADER },
      { start: tableOffset, end: tableOffset + entries * 4 },
    ];
    this.#end = Math.ceil(this.#file.size / SECTOR) * SECTOR - (atEnd ? FOOTER : 0);
    for (const sector of this.#table) {
      if (sector === UNUSED) continue;
      const start = sector * SECTOR;
      const end = start + this.#bitmapBytes + blockSize;
      if (end > this.#file.size + BELIEVED || tables.some((each) => start < each.end && each.start < end))
        throw corrupt(`a block at ${start} lies outside of the file or on its tables`);
      this.#end = Math.max(this.#end, end);
    }
    if (this.readonly || (atEnd && this.#end === this.#file.size - FOOTER)) return;
    // The footer was lost with the power.
    await this.#file.write(this.#end, [this.#footer]);
    await this.#file.sync();
  }

  read(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#shared(offset, total(buffers), false, async (length) => {
      if (!this.#header) return this.#file.read(offset, buffers);
      await this.#each(offset, length, (piece, at) =>
        this.#readPiece(piece, offset + at, piece.length === length ? buffers : slice(buffers, at, piece.length)),
      );
    });
  }

  write(offset: number, buffers: readonly Uint8Array[], options?: { fua?: boolean }): Promise<void> {
    return this.#shared(offset, total(buffers), true, async (length) => {
      if (!this.#header) await this.#file.write(offset, buffers);
      else
        await this.#blocks(offset, length, (block, within, at, part) =>
          this.#writeBlock(block, within, part, part === length ? buffers : slice(buffers, at, part)),
        );
      if (options?.fua) await this.#syncer.sync();
    });
  }

  async flush(): Promise<void> {
    if (this.#closed) throw closed(this.path);
    if (!this.readonly) await this.#syncer.sync();
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#shared(offset, length, true, async () => {
      if (!this.#header) return void (await this.#file.punch(offset, length));
      await this.#each(offset, length, async ({ block, first, length: part, kind }) => {
        if (kind === 'data') await this.#file.punch(this.#place(block) + first * SECTOR, part);
      });
    });
  }

  write_zeroes(offset: number, length: number, options?: { unmap?: boolean }): Promise<void> {
    const unmap = options?.unmap !== false;
    return this.#shared(offset, length, true, async () => {
      if (!this.#header) return this.#zero(offset, length, unmap);
      await this.#blocks(offset, length, async (block, within, _at, part) => {
        if (this.#table[block] === UNUSED && this.#behind(block * this.cluster_size) === 0) return;
        await this.#writeBlock(block, within, part, undefined, unmap);
      });
    });
  }

  async map(offset: number, length: number): Promise<Extent[]> {
    const extents: Extent[] = [];
    await this.#shared(offset, length, false, async () => {
      if (!this.#header) return void extents.push({ offset, length, kind: 'data' });
      for (let at = offset; at < offset + length && extents.length < MOST_EXTENTS; ) {
        const piece = await this.#piece(at, offset + length - at);
        const kind = piece.kind === 'data' ? 'data' : this.#behind(at) > 0 ? 'backing' : 'zero';
        const last = extents.at(-1);
        if (last?.kind === kind) last.length += piece.length;
        else extents.push({ offset: at, length: piece.length, kind });
        at += piece.length;
      }
    });
    return extents;
  }

  resize(size: number): Promise<void> {
    return this.#gate.exclusive(async () => {
      if (this.#closed) throw closed(this.path);
      check_size(this, size);
      if (size > MAX_SIZE) throw new ImageError('range', `a VHD image has at most ${MAX_SIZE} bytes.`);
      if (!this.#header) return this.#resizeFixed(size);
      if (size < this.size) throw new ImageError('unsupported', 'a dynamic VHD image cannot become smaller.');
      const needed = Math.ceil(size / this.cluster_size);
      if (needed > this.#header.entries) await this.#growTable(this.#header, needed);
      // What was behind this image beyond its end does not turn up.
      const before = this.size;
      const footer = putSize(this.#footer, size);
      this.size = size;
      try {
        const end = Math.min(size, before + this.#behind(before));
        if (end > before)
          await this.#blocks(before, end - before, (block, within, _at, part) =>
            this.#writeBlock(block, within, part, undefined, true),
          );
        await this.#syncer.sync();
      } catch (error) {
        this.size = before;
        throw error;
      }
      await this.#file.write(this.#end, [footer]);
      await this.#file.write(0, [footer]);
      await this.#syncer.sync();
      this.#footer = footer;
    });
  }

  async #resizeFixed(size: number): Promise<void> {
    const before = this.size;
    const footer = putSize(this.#footer, size);
    await this.#file.write(size, [footer]);
    if (size < before) await this.#file.truncate(size + FOOTER);
    else if (size > before) {
      await this.#file.sync();
      await this.#file.write(before, [Buffer.alloc(Math.min(FOOTER, size - before))]);
    }
    await this.#syncer.sync();
    this.#footer = footer;
    this.size = size;
  }

  /** A larger block table at the end; the dynamic header, within whose first sector all of it is, then says where. */
  async #growTable(header: DynamicHeader, entries: number): Promise<void> {
    const bytes = Buffer.alloc(Math.ceil((entries * 4) / SECTOR) * SECTOR, 0xff);
    this.#table.forEach((sector, i) => bytes.writeUInt32BE(sector, i * 4));
    const place = this.#end;
    await this.#file.write(place + bytes.length, [this.#footer]);
    await this.#file.write(place, [bytes]);
    await this.#file.sync();
    this.#end = place + bytes.length;
    header.bytes = putTable(header.bytes, place, entries);
    await this.#file.write(this.#dataOffset, [header.bytes.subarray(0, SECTOR)]);
    await this.#file.sync();
    header.tableOffset = place;
    header.entries = entries;
    const table = new Uint32Array(entries).fill(UNUSED);
    table.set(this.#table);
    this.#table = table;
  }

  close(): Promise<void> {
    return this.#gate.exclusive(async () => {
      if (this.#closed) return;
      this.#closed = true;
      try {
        if (!this.readonly) await this.#syncer.sync();
      } finally {
        await this.#file.close();
        await this.backing?.close();
      }
    });
  }

  #shared(offset: number, length: number, writes: boolean, work: (length: number) => Promise<void>): Promise<void> {
    return this.#gate.shared(async () => {
      if (this.#closed) throw closed(this.path);
      check_request(this, offset, length, writes);
      if (length > 0) await work(length);
    });
  }

  // ---- blocks

  #behind(at: number): number {
    return this.backing ? Math.max(0, this.backing.size - at) : 0;
  }

  /** Where a block's data begins. */
  #place(block: number): number {
    return this.#table[block]! * SECTOR + this.#bitmapBytes;
  }

  async #readBitmap(block: number): Promise<Buffer> {
    const bitmap = Buffer.alloc(this.#bitmapBytes);
    await this.#file.read(this.#table[block]! * SECTOR, [bitmap]);
    return bitmap;
  }

  async #piece(at: number, most: number): Promise<Piece> {
    const block = Math.floor(at / this.cluster_size);
    const within = at % this.cluster_size;
    const length = Math.min(most, this.cluster_size - within);
    const first = within / SECTOR;
    if (this.#table[block] === UNUSED) return { block, first, length, kind: 'none' };
    const { value: bitmap } = this.#bitmaps.peek(block) ?? (await this.#bitmaps.get(block));
    const data = hasBit(bitmap, first);
    const end = first + length / SECTOR;
    const same = runOfBits(bitmap, first, end, data);
    return { block, first, length: (same - first) * SECTOR, kind: data ? 'data' : 'none' };
  }

  /** Pieces of a range, one after the other found and all at once worked on. */
  async #each(offset: number, length: number, work: (piece: Piece, at: number) => Promise<void>): Promise<void> {
    const parts: Promise<void>[] = [];
    try {
      for (let done = 0; done < length; ) {
        const piece = await this.#piece(offset + done, length - done);
        parts.push(work(piece, done));
        done += piece.length;
      }
    } finally {
      await all(parts);
    }
  }

  /** Blocks of a range: the sector within the block, the position within the range, and the length. */
  async #blocks(
    offset: number,
    length: number,
    work: (block: number, within: number, at: number, length: number) => Promise<void>,
  ): Promise<void> {
    const parts: Promise<void>[] = [];
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const part = Math.min(length - done, this.cluster_size - (at % this.cluster_size));
      parts.push(work(Math.floor(at / this.cluster_size), (at % this.cluster_size) / SECTOR, done, part));
      done += part;
    }
    await all(parts);
  }

  async #readPiece(piece: Piece, at: number, buffers: readonly Uint8Array[]): Promise<void> {
    if (piece.kind === 'data') return this.#file.read(this.#place(piece.block) + piece.first * SECTOR, buffers);
    const there = Math.min(piece.length, this.#behind(at));
    if (there < piece.length) fill_zero(slice(buffers, there, piece.length - there));
    if (there > 0) await this.backing!.read(at, there === piece.length ? buffers : slice(buffers, 0, there));
  }

  /** `buffers` undefined: zeros. */
  async #writeBlock(
    block: number,
    first: number,
    length: number,
    buffers: readonly Uint8Array[] | undefined,
    unmap = true,
  ): Promise<void> {
    if (this.#table[block] === UNUSED) {
      const made = await this.#growing.run(() => this.#addBlock(block, first, length, buffers));
      if (made) return;
    }
    const place = this.#place(block) + first * SECTOR;
    if (buffers) await this.#file.write(place, buffers);
    else await this.#zero(place, length, unmap);
    await this.#mark(block, first, first + length / SECTOR);
  }

  async #zero(at: number, length: number, unmap: boolean): Promise<void> {
    if (unmap && (await this.#file.punch(at, length))) return;
    await write_zeros(this.#file, at, length);
  }

  /** Gives the block its place with the first data in it; false: somebody else has given it one. */
  async #addBlock(
    block: number,
    first: number,
    length: number,
    buffers: readonly Uint8Array[] | undefined,
  ): Promise<boolean> {
    if (this.#table[block] !== UNUSED) return false;
    // Data on whole pages.
    const place = Math.ceil((this.#end + this.#bitmapBytes) / 4096) * 4096 - this.#bitmapBytes;
    const data = place + this.#bitmapBytes;
    const end = data + this.cluster_size;
    const bitmap = Buffer.alloc(this.#bitmapBytes);
    if (this.kind === 'dynamic')
      bitmap.fill(0xff); // what is not written is zeros, in the new block too
    else putBits(bitmap, first, first + length / SECTOR);
    await this.#file.write(end, [this.#footer]);
    // From here on the place is not tried again: it does not read as zeros any more.
    this.#end = end;
    await this.#file.write(place, [bitmap]);
    if (buffers) await this.#file.write(data + first * SECTOR, buffers);
    if (this.#behind(block * this.cluster_size) > 0) await this.#syncer.sync();
    const entry = Buffer.alloc(4);
    entry.writeUInt32BE(place / SECTOR);
    await this.#file.write(this.#header!.tableOffset + block * 4, [entry]);
    this.#bitmaps.put(block, bitmap);
    this.#table[block] = place / SECTOR;
    return true;
  }

  /** The sectors' data is there. */
  async #mark(block: number, first: number, end: number): Promise<void> {
    const { value } = this.#bitmaps.peek(block) ?? (await this.#bitmaps.get(block));
    if (hasBit(value, first) && runOfBits(value, first, end, true) === end) return;
    // The parent's sectors must not vanish behind bits whose data was not written when the power went.
    if (this.#behind(block * this.cluster_size) > 0) await this.#syncer.sync();
    let mutex = this.#marking.get(block);
    if (!mutex) this.#marking.set(block, (mutex = new Mutex()));
    await mutex.run(async () => {
      const entry = await this.#bitmaps.pin(block);
      try {
        const bitmap = Buffer.from(entry.value);
        putBits(bitmap, first, end);
        const [from, to] = [Math.floor(first / 8 / SECTOR) * SECTOR, Math.ceil(end / 8 / SECTOR) * SECTOR];
        await this.#file.write(this.#table[block]! * SECTOR + from, [bitmap.subarray(from, to)]);
        bitmap.copy(entry.value);
        if (bitmap.every((byte) => byte === 0xff)) this.#marking.delete(block);
      } finally {
        entry.pins--;
      }
    });
  }
}

const hasBit = (bitmap: Buffer, sector: number): boolean => (bitmap[sector >> 3]! & (0x80 >> (sector & 7))) !== 0;

/** Up to where the sectors from `first` on have this bit. */
function runOfBits(bitmap: Buffer, first: number, end: number, set: boolean): number {
  const whole = set ? 0xff : 0;
  let at = first;
  while (at < end) {
    if ((at & 7) === 0 && bitmap[at >> 3] === whole) at += 8;
    else if (hasBit(bitmap, at) === set) at++;
    else break;
  }
  return Math.min(at, end);
}

function putBits(bitmap: Buffer, first: number, end: number): void {
  for (let at = first; at < end; at++) bitmap[at >> 3]! |= 0x80 >> (at & 7);
}

async function all(parts: Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(parts)) if (result.status === 'rejected') throw result.reason;
}
