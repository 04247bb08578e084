// A new VHD image.
import { isAbsolute } from 'node:path';
import type { BlockFile } from '../file.ts';
import { ImageError, SECTOR } from '../image.ts';
import { BLOCK, DYNAMIC_HEADER, FOOTER, makeDynamic, makeFooter, MAX_SIZE, TYPE, type Locator } from './format.ts';

export interface VhdCreation {
  size: number;
  /** all of the disk's space is the file's (sparse, where the file system can) */
  fixed?: boolean;
  /** bytes, a power of two; others expect 2 MiB */
  block_size?: number;
  /** the image from which this one differs: a VHD too */
  parent?: { path: string; uuid: string; timestamp: number };
  /** 32 hexadecimal digits, by which images that differ from it know it; a new one if nothing is said */
  uuid?: string;
}

/** Writes an empty image to an empty file. */
export async function createVhd(
  file: BlockFile,
  { size, fixed, parent, uuid, block_size = BLOCK }: VhdCreation,
): Promise<void> {
  if (size > MAX_SIZE) throw new ImageError('range', `a VHD image has at most ${MAX_SIZE} bytes.`);
  if (fixed && parent) throw new ImageError('range', 'a fixed VHD image has nothing behind it.');
  if (fixed) {
    await file.write(size, [makeFooter(TYPE.fixed, size, uuid)]);
    return file.sync();
  }
  const footer = makeFooter(parent ? TYPE.differencing : TYPE.dynamic, size, uuid);
  let next = FOOTER + DYNAMIC_HEADER;
  const locators: (Locator & { space: number })[] = [];
  for (const { code, data } of parent ? locatorsOf(parent.path) : []) {
    const space = Math.ceil(data.length / SECTOR) * SECTOR;
    await file.write(next, [data]);
    locators.push({ code, offset: next, length: data.length, space });
    next += space;
  }
  const entries = Math.ceil(size / block_size);
  const table = Buffer.alloc(Math.ceil((entries * 4) / SECTOR) * SECTOR, 0xff);
  const tableOffset = next;
  const name = parent?.path.replace(/^.*\//, '') ?? '';
  const header = makeDynamic({ tableOffset, entries, block_size, parent: parent && { ...parent, name, locators } });
  await file.write(tableOffset, [table, footer]);
  await file.write(FOOTER, [header]);
  await file.sync();
  // The copy of the footer last: before it the file is no image.
  await file.write(0, [footer]);
  await file.sync();
}

/** The parent's place as Xen's tools and as Windows write it. */
function locatorsOf(path: string): { code: string; data: Buffer }[] {
  const relative = isAbsolute(path) ? path : `./${path.replace(/^\.\//, '')}`;
  const url = { code: 'MacX', data: Buffer.from(`file:${encodeURI(isAbsolute(path) ? `//${path}` : relative)}`) };
  if (isAbsolute(path)) return [url];
  return [url, { code: 'W2ru', data: Buffer.from(relative.replaceAll('/', '\\'), 'utf16le') }];
}
