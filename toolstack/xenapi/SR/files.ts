/** Names of disks' images in an SR's folder, and what is behind them. */
import { open as openFile, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { image_info, type ImageInfo } from '../../../services/block/image/info.ts';
import type { DiskDescription } from '../xenops/xenops.ts';

export type Format = DiskDescription['format'];
export const EXTENSIONS: Record<Format, string> = { qcow2: 'qcow2', vhd: 'vhd', raw: 'raw' };

/** Half an image, which is renamed when it is whole. */
export const HALF = '.new';

/** Of an SR with disks; a disc's is raw, whatever its name. */
export function formatOf(location: string): Format {
  const extension = /\.(qcow2|vhd|raw)$/.exec(location)?.[1];
  return (extension as Format | undefined) ?? 'raw';
}

/** The image's name as a VDI's, if it is one. */
export const uuidOf = (name: string): string | undefined => /^([0-9a-f-]{36})\.(qcow2|vhd|raw)$/.exec(name)?.[1];

export interface Found extends ImageInfo {
  name: string;
  inode: number;
  /** Name in the same folder; undefined: there is nothing behind it. */
  behind: string | undefined;
  /** What is behind it is no file of this folder. */
  stray: boolean;
}

/** What a file is; undefined if it is no image. */
export async function look(folder: string, name: string, format: Format): Promise<Found | undefined> {
  const path = join(folder, name);
  try {
    const [info, { ino: inode }] = [await image_info(path, { format, lock: false }), await stat(path)];
    const { backing } = info;
    const behind = backing === undefined ? undefined : basename(backing);
    const here =
      backing === undefined || dirname(backing.replace(/^file:/, '')) === '.' || backing === join(folder, behind!);
    return { ...info, name, inode, behind: here ? behind : undefined, stray: !here };
  } catch {
    return undefined;
  }
}

/** Names of plain files. */
export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((each) => each.isFile()).map(({ name }) => name);
}

/** Renamed is renamed for ever after this. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await openFile(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
