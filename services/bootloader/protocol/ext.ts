/** ext2, ext3 and ext4, read as they lie there (Linux Documentation/filesystems/ext4): what a journal has not written back yet is not seen. */
import { fail, latin1, viewOf, type Disk } from './disk.ts';
import type { FileSystem, Kind } from './tree.ts';

const SUPERBLOCK = 1024;
const MAGIC = 0xef53;
const ROOT = 2;
const INCOMPAT = {
  metaBg: 0x10,
  bits64: 0x80,
  /** FILETYPE, RECOVER, META_BG, EXTENTS, 64BIT, MMP, FLEX_BG, EA_INODE, CSUM_SEED, LARGEDIR, INLINE_DATA, ENCRYPT, CASEFOLD */
  known: 0x3e7d6,
} as const;
const COMPAT_SPARSE_SUPER2 = 0x200;
const RO_SPARSE_SUPER = 1;
const EXTENTS_FL = 0x80000;
const INLINE_DATA_FL = 0x10000000;
const ENCRYPT_FL = 0x800;
const EXTENT_MAGIC = 0xf30a;
const MAX_DEPTH = 5;
const MAX_RUNS = 1 << 18;
const MAX_FOLDER = 16 << 20;
const DIRECT = 12;
const INLINE = 60;
/** Lengths above this mean: there, but never written. */
const UNWRITTEN = 0x8000;
const XATTR_MAGIC = 0xea020000;
const XATTR_SYSTEM = 7;

interface Inode {
  readonly number: number;
  readonly kind: Kind;
  readonly size: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

/** Blocks of a file that lie one after the other; `at` 0: a hole. */
interface Run {
  from: number;
  count: number;
  at: number;
}

const KINDS: Readonly<Record<number, Kind>> = { 0x4000: 'folder', 0x8000: 'file', 0xa000: 'link' };

export function isExt(disk: Disk): boolean {
  return disk.size >= 2 * SUPERBLOCK && viewOf(disk.read(SUPERBLOCK, 1024)).getUint16(0x38, true) === MAGIC;
}

export class ExtFileSystem implements FileSystem<number> {
  readonly root = ROOT;
  readonly #disk: Disk;
  readonly #super: DataView;
  readonly #block: number;
  readonly #perGroup: number;
  readonly #inodeSize: number;
  readonly #inodes: number;
  readonly #descSize: number;
  readonly #incompat: number;
  readonly #cache = new Map<number, Inode>();
  readonly #folders = new Map<number, ReadonlyMap<string, number>>();

  constructor(disk: Disk) {
    this.#disk = disk;
    const s = (this.#super = viewOf(disk.read(SUPERBLOCK, 1024)));
    const log = s.getUint32(0x18, true);
    if (s.getUint16(0x38, true) !== MAGIC || log > 6) fail('the ext file system is damaged: its superblock is none.');
    this.#block = 1024 << log;
    const old = s.getUint32(0x4c, true) === 0;
    this.#inodeSize = old ? 128 : s.getUint16(0x58, true);
    this.#incompat = old ? 0 : s.getUint32(0x60, true);
    this.#perGroup = s.getUint32(0x28, true);
    this.#inodes = s.getUint32(0, true);
    this.#descSize = this.#incompat & INCOMPAT.bits64 ? s.getUint16(0xfe, true) : 32;
    const odd = this.#incompat & ~INCOMPAT.known;
    if (odd !== 0)
      fail(`the ext file system has features that are not known here (incompat 0x${(odd >>> 0).toString(16)}).`);
    if (
      this.#inodeSize < 128 ||
      this.#inodeSize > this.#block ||
      this.#perGroup === 0 ||
      this.#descSize < 32 ||
      this.#descSize > this.#block
    )
      fail('the ext file system is damaged: sizes in its superblock cannot be.');
  }

  kind = (number: number): Kind => this.#inode(number).kind;
  size = (number: number): number => this.#inode(number).size;
  child = (folder: number, name: string): number | undefined =>
    this.#entries(folder).get(Buffer.from(name).toString('latin1'));
  names = (folder: number): string[] =>
    [...this.#entries(folder).keys()].map((name) => Buffer.from(name, 'latin1').toString());
  read = (number: number): Uint8Array => this.#contents(this.#inode(number));

  target(number: number): string {
    const inode = this.#inode(number);
    // Short ones lie where others name their blocks.
    const short = inode.size < INLINE && (inode.flags & (EXTENTS_FL | INLINE_DATA_FL)) === 0;
    if (inode.size > 4096) fail('the ext file system is damaged: a symbolic link is longer than a path.');
    return Buffer.from(short ? inode.bytes.subarray(0x28, 0x28 + inode.size) : this.#contents(inode)).toString();
  }

  // ---- inodes

  #readBlock(block: number, count = 1): Uint8Array {
    return this.#disk.read(block * this.#block, count * this.#block);
  }

  #inode(number: number): Inode {
    const known = this.#cache.get(number);
    if (known) return known;
    if (number < 1 || number > this.#inodes) fail(`the ext file system is damaged: there is no inode ${number}.`);
    const group = Math.floor((number - 1) / this.#perGroup);
    const desc = this.#descriptor(group);
    const high = this.#descSize >= 64 ? desc.getUint32(0x28, true) : 0;
    const table = high * 2 ** 32 + desc.getUint32(8, true);
    const bytes = this.#disk.read(
      table * this.#block + ((number - 1) % this.#perGroup) * this.#inodeSize,
      this.#inodeSize,
    );
    const view = viewOf(bytes);
    const kind = KINDS[view.getUint16(0, true) & 0xf000] ?? 'other';
    const flags = view.getUint32(0x20, true);
    const size = view.getUint32(4, true) + (kind === 'file' ? view.getUint32(0x6c, true) * 2 ** 32 : 0);
    if (flags & ENCRYPT_FL && kind !== 'other')
      fail('a file on the way to the kernel is encrypted; it cannot be read.');
    const inode = { number, kind, size, flags, bytes };
    this.#cache.set(number, inode);
    return inode;
  }

  #descriptor(group: number): DataView {
    const perBlock = Math.floor(this.#block / this.#descSize);
    const nth = Math.floor(group / perBlock);
    const first = this.#super.getUint32(0x14, true);
    const meta = this.#incompat & INCOMPAT.metaBg && nth >= this.#super.getUint32(0x104, true);
    const leader = nth * perBlock;
    const block = meta
      ? first + leader * this.#super.getUint32(0x20, true) + (this.#hasSuper(leader) ? 1 : 0)
      : first + 1 + nth;
    return viewOf(this.#disk.read(block * this.#block + (group % perBlock) * this.#descSize, this.#descSize));
  }

  #hasSuper(group: number): boolean {
    const s = this.#super;
    if (group === 0) return true;
    if (s.getUint32(0x5c, true) & COMPAT_SPARSE_SUPER2)
      return group === s.getUint32(0x24c, true) || group === s.getUint32(0x250, true);
    if (!(s.getUint32(0x64, true) & RO_SPARSE_SUPER) || group === 1) return true;
    return [3, 5, 7].some((base) => {
      let power = base;
      while (power < group) power *= base;
      return power === group;
    });
  }

  // ---- contents

  #contents(inode: Inode): Uint8Array {
    const { size } = inode;
    if (size > this.#disk.size) fail('the ext file system is damaged: a file is larger than the disk.');
    if (inode.flags & INLINE_DATA_FL) return this.#inlined(inode);
    const out = new Uint8Array(size);
    for (const { from, count, at } of this.#runs(inode)) {
      const to = from * this.#block;
      if (at === 0 || to >= size) continue;
      const bytes = Math.min(count * this.#block, size - to);
      out.set(this.#disk.read(at * this.#block, bytes), to);
    }
    return out;
  }

  #runs(inode: Inode): Run[] {
    const blocks = Math.ceil(inode.size / this.#block);
    const runs: Run[] = [];
    const add = (from: number, count: number, at: number): void => {
      const last = runs.at(-1);
      if (last && at > 0 && last.at > 0 && last.from + last.count === from && last.at + last.count === at)
        last.count += count;
      else if (at > 0) runs.push({ from, count, at });
      if (runs.length > MAX_RUNS) fail('the ext file system is damaged: a file has too many pieces.');
    };
    const map = inode.bytes.subarray(0x28, 0x28 + INLINE);
    if (inode.flags & EXTENTS_FL) this.#extents(map, undefined, blocks, add);
    else this.#blockMap(map, blocks, add);
    return runs;
  }

  #extents(
    node: Uint8Array,
    depth: number | undefined,
    blocks: number,
    add: (from: number, count: number, at: number) => void,
  ): void {
    const view = viewOf(node);
    const count = view.getUint16(2, true);
    const own = view.getUint16(6, true);
    if (
      view.getUint16(0, true) !== EXTENT_MAGIC ||
      12 + 12 * count > node.length ||
      own > MAX_DEPTH ||
      (depth !== undefined && own !== depth)
    )
      fail("the ext file system is damaged: a file's tree of extents is none.");
    for (let at = 12; at < 12 + 12 * count; at += 12) {
      const from = view.getUint32(at, true);
      if (own > 0) {
        const block = view.getUint16(at + 8, true) * 2 ** 32 + view.getUint32(at + 4, true);
        if (from < blocks) this.#extents(this.#readBlock(block), own - 1, blocks, add);
        continue;
      }
      const length = view.getUint16(at + 4, true);
      const start = view.getUint16(at + 6, true) * 2 ** 32 + view.getUint32(at + 8, true);
      if (length <= UNWRITTEN && from < blocks) add(from, Math.min(length, blocks - from), start);
    }
  }

  /** Twelve blocks, then trees of one, two and three levels. */
  #blockMap(map: Uint8Array, blocks: number, add: (from: number, count: number, at: number) => void): void {
    const view = viewOf(map);
    const fan = this.#block / 4;
    let next = 0;
    const walk = (block: number, level: number): void => {
      if (next >= blocks) return;
      if (level === 0) return add(next++, 1, block);
      if (block === 0) {
        next += fan ** level;
        return;
      }
      const table = viewOf(this.#readBlock(block));
      for (let i = 0; i < fan && next < blocks; i++) walk(table.getUint32(4 * i, true), level - 1);
    };
    for (let i = 0; i < DIRECT; i++) walk(view.getUint32(4 * i, true), 0);
    for (let level = 1; level <= 3; level++) walk(view.getUint32(4 * (DIRECT + level - 1), true), level);
  }

  /** Contents in the inode itself: where others name their blocks, the rest in the attribute system.data. */
  #inlined({ size, bytes }: Inode): Uint8Array {
    const out = new Uint8Array(size);
    out.set(bytes.subarray(0x28, 0x28 + Math.min(size, INLINE)));
    if (size <= INLINE) return out;
    const view = viewOf(bytes);
    const first = 128 + view.getUint16(128, true) + 4;
    const damaged = (): never => fail("the ext file system is damaged: a file's contents in its inode are incomplete.");
    if (bytes.length <= 132 || first + 4 > bytes.length || view.getUint32(first - 4, true) !== XATTR_MAGIC) damaged();
    for (let at = first; at + 16 <= bytes.length && view.getUint32(at, true) !== 0; ) {
      const nameLength = view.getUint8(at);
      const from = first + view.getUint16(at + 2, true);
      const length = view.getUint32(at + 8, true);
      if (view.getUint8(at + 1) === XATTR_SYSTEM && latin1(bytes.subarray(at + 16, at + 16 + nameLength)) === 'data') {
        if (INLINE + length < size || from + length > bytes.length) damaged();
        out.set(bytes.subarray(from, from + size - INLINE), INLINE);
        return out;
      }
      at += 16 + ((nameLength + 3) & ~3);
    }
    return damaged();
  }

  // ---- folders

  #entries(number: number): ReadonlyMap<string, number> {
    const known = this.#folders.get(number);
    if (known) return known;
    const inode = this.#inode(number);
    const entries = new Map<string, number>();
    if (inode.size > MAX_FOLDER) fail('the ext file system is damaged: a folder is too large.');
    const bytes = this.#contents(inode);
    if (inode.flags & INLINE_DATA_FL) {
      // The parent's number, then entries, and those of the attribute by themselves.
      readEntries(bytes.subarray(4, Math.min(bytes.length, INLINE)), entries);
      readEntries(bytes.subarray(INLINE), entries);
    } else
      for (let at = 0; at < bytes.length; at += this.#block) readEntries(bytes.subarray(at, at + this.#block), entries);
    this.#folders.set(number, entries);
    return entries;
  }
}

/** Index blocks of large folders look like one unused entry each. */
function readEntries(block: Uint8Array, entries: Map<string, number>): void {
  const view = viewOf(block);
  for (let at = 0; at + 8 <= block.length; ) {
    const inode = view.getUint32(at, true);
    const raw = view.getUint16(at + 4, true);
    const length = raw === 0xffff || raw === 0 ? 0x10000 : raw;
    const nameLength = view.getUint8(at + 6);
    if (length < 8 || (at + length > block.length && length !== 0x10000)) return;
    if (inode !== 0 && at + 8 + nameLength <= block.length) {
      const name = latin1(block.subarray(at + 8, at + 8 + nameLength));
      if (name !== '.' && name !== '..') entries.set(name, inode);
    }
    at += length;
  }
}
