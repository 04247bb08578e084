/** What pygrub does for Xen: finds a boot loader's configuration on a guest's disk or in a folder, and reads what an entry of it starts. */
import { BootError, BoundedDisk, fail, type Disk } from './disk.ts';
import { ExtFileSystem, isExt } from './ext.ts';
import { extlinuxMenu } from './extlinux.ts';
import { grub2Menu } from './grub2.ts';
import { legacyMenu } from './grub_legacy.ts';
import { IsoFileSystem, isIso } from './iso9660.ts';
import { choose, printable, titles, type Choice, type Entry, type ReadMenu } from './menu.ts';
import { partitions } from './partitions.ts';
import { Tree, type FileSystem } from './tree.ts';

export interface BootOptions {
  /** An entry's number, title or id. */
  readonly entry?: string | undefined;
  /** Paths on the disk, instead of what a configuration says. */
  readonly kernel?: string | undefined;
  readonly ramdisk?: string | undefined;
  /** Behind the configuration's own arguments. */
  readonly args?: string | undefined;
  /** Where the file system begins, in bytes. */
  readonly offset?: number | undefined;
}

export interface Booted {
  readonly title: string;
  readonly kernelPath: string;
  readonly kernel: Uint8Array;
  readonly ramdiskPath: string | undefined;
  readonly ramdisk: Uint8Array | undefined;
  readonly args: string;
}

/** Bytes that one search may read: a few kernels' worth. */
const BUDGET = 2 ** 31;
const MAX_CONFIG = 4 << 20;
const MAX_KERNEL = 256 << 20;
const MAX_RAMDISK = 1 << 30;

const CONFIGURATIONS: readonly [paths: readonly string[], ReadMenu][] = [
  [['/boot/grub/grub.cfg', '/grub/grub.cfg', '/boot/grub2/grub.cfg', '/grub2/grub.cfg'], grub2Menu],
  [
    [
      ...['/boot/extlinux/extlinux.conf', '/extlinux/extlinux.conf', '/boot/extlinux.conf', '/extlinux.conf'],
      ...[
        '/boot/isolinux/isolinux.cfg',
        '/isolinux/isolinux.cfg',
        '/boot/syslinux/syslinux.cfg',
        '/syslinux/syslinux.cfg',
      ],
    ],
    extlinuxMenu,
  ],
  [['/boot/grub/menu.lst', '/boot/grub/grub.conf', '/grub/menu.lst', '/grub/grub.conf'], legacyMenu],
];

/** Formats of disks that are no bytes of the disk themselves. */
const PACKED: readonly [magic: string, name: string][] = [
  ['QFI\xfb', 'qcow2'],
  ['conectix', 'VHD'],
  ['KDMV', 'VMDK'],
  ['vhdxfile', 'VHDX'],
];

function fileSystemOf(disk: BoundedDisk): FileSystem<any> | undefined {
  if (isExt(disk)) return new ExtFileSystem(disk);
  return isIso(disk) ? new IsoFileSystem(disk) : undefined;
}

/** All file systems of a disk that can be read, those of active partitions first. */
export function treesOf(raw: Disk, offset?: number): Tree[] {
  const disk = new BoundedDisk(raw, { bytes: BUDGET });
  const head = Buffer.from(disk.read(0, Math.min(8, disk.size))).toString('latin1');
  const packed = PACKED.find(([magic]) => head.startsWith(magic));
  if (packed)
    fail(
      `it is a ${packed[1]} image: say so in front of the device's name (disk=["FILE,${packed[1].toLowerCase()},xvda,w"])`,
    );
  const parts = offset === undefined ? partitions(disk) : [{ from: offset, size: disk.size - offset }];
  const trees: Tree[] = [];
  let damage: BootError | undefined;
  for (const { from, size } of parts) {
    try {
      const fs = fileSystemOf(disk.part(from, size));
      if (fs) trees.push(new Tree(fs));
    } catch (error) {
      if (!(error instanceof BootError)) throw error;
      damage ??= error;
    }
  }
  if (trees.length > 0) return trees;
  throw damage ?? new BootError('it holds no file system that can be read: ext2, ext3, ext4 and ISO 9660 can');
}

export function boot(trees: readonly Tree[], options: BootOptions = {}): Booted {
  const { tree, title, choice } = options.kernel === undefined ? fromMenu(trees, options.entry) : named(trees, options);
  const from = (path: string, largest: number): Uint8Array => {
    for (const place of [tree, ...trees]) {
      const bytes = place.read(path, largest);
      if (bytes) return bytes;
    }
    return fail(`the entry '${printable(title)}' names ${printable(path)}, and there is no such file`);
  };
  const kernel = from(choice.kernel, MAX_KERNEL);
  const ramdisks = choice.initrds.map((path) => from(path, MAX_RAMDISK));
  return {
    title: printable(title),
    kernelPath: printable(choice.kernel),
    kernel,
    ramdiskPath: choice.initrds.length > 0 ? choice.initrds.map(printable).join(' ') : undefined,
    ramdisk: ramdisks.length > 0 ? behindEachOther(ramdisks) : undefined,
    args: [choice.args, options.args ?? ''].filter(Boolean).join(' '),
  };
}

interface Found {
  tree: Tree;
  title: string;
  choice: Choice;
}

function named(trees: readonly Tree[], { kernel = '', ramdisk }: BootOptions): Found {
  const tree = trees.find((t) => t.has(kernel, 'file')) ?? fail(`it has no file ${printable(kernel)}`);
  return { tree, title: kernel, choice: { kernel, initrds: ramdisk === undefined ? [] : [ramdisk], args: '' } };
}

function fromMenu(trees: readonly Tree[], wanted: string | undefined): Found {
  const { tree, path, entries, standard } = findMenu(trees);
  try {
    const entry = choose({ entries, standard }, wanted);
    const choice = entry.choose();
    if (!choice) return fail(`the entry '${printable(entry.title)}' loads no kernel; there are ${titles(entries)}`);
    return { tree, title: entry.title, choice };
  } catch (error) {
    throw inFile(path, error);
  }
}

/** An error tells which file it is about. */
const inFile = (path: string, error: unknown): unknown =>
  error instanceof BootError ? new BootError(`${path}: ${error.message}`) : error;

function findMenu(trees: readonly Tree[]): { tree: Tree; path: string; entries: readonly Entry[]; standard: string } {
  for (const [paths, read] of CONFIGURATIONS)
    for (const tree of trees)
      for (const path of paths) {
        try {
          const bytes = tree.read(path, MAX_CONFIG);
          if (bytes) return { tree, path, ...read(Buffer.from(bytes).toString(), tree, path) };
        } catch (error) {
          throw inFile(path, error);
        }
      }
  return fail('it has no configuration of GRUB (grub.cfg, menu.lst) or extlinux (extlinux.conf, isolinux.cfg)');
}

/** The entries of a disk's menu, for who wants to choose. */
export const menuOf = (trees: readonly Tree[]): string[] =>
  findMenu(trees).entries.map(({ title }) => printable(title));

/** Archives that are unpacked one after the other begin at multiples of four bytes. */
function behindEachOther(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + ((length + 3) & ~3), 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += (part.length + 3) & ~3;
  }
  return out;
}
