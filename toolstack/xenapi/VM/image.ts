/** A new disk begins with an image of the host. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { image_info } from '../../../services/block/image/info.ts';
import { FORMATS, ImageError, type DiskImage, type Format } from '../../../services/block/image/image.ts';
import { open_image } from '../../../services/block/image/open.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Task } from '../task/tasks.ts';
import type { Xapi } from '../xapi.ts';

const CHUNK = 2 ** 20;

const wrong = (name: string, why: string): Failure => new Failure('VALUE_NOT_SUPPORTED', 'image', name, why);

const formatOf = (name: string): Format =>
  FORMATS.find((format) => name.endsWith(`.${format}`)) ?? (name.endsWith('.vhd') ? 'vhd' : 'raw');

/** The file of that name in the folder of images. */
export function imageFile(folder: string | undefined, name: string): string {
  if (!/^[\w+-][\w.+-]{0,127}$/.test(name)) throw wrong(name, 'it is no name of an image');
  if (folder === undefined) throw wrong(name, 'this host has no images');
  const path = join(folder, name);
  if (!existsSync(path)) throw wrong(name, `there is no image of that name in ${folder}`);
  return path;
}

/** Bytes of the disk that an image is of. */
export async function imageSize(path: string): Promise<number> {
  try {
    return (await image_info(path, { format: formatOf(path), lock: false })).size;
  } catch (error) {
    if (error instanceof ImageError) throw wrong(path, error.message);
    throw error;
  }
}

/** Copies what an image has; what reads as zeros is not written. */
async function copy(from: DiskImage, to: DiskImage, task: Task): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  for (let at = 0; at < from.size; ) {
    for (const { offset, length, kind } of await from.map(at, from.size - at)) {
      at = offset + length;
      if (kind === 'zero') continue;
      for (let done = 0; done < length; done += CHUNK) {
        task.checkCancelled();
        const part = buffer.subarray(0, Math.min(CHUNK, length - done));
        await from.read(offset + done, [part]);
        await to.write(offset + done, [part]);
        task.progress((offset + done) / from.size);
      }
    }
  }
  await to.flush();
}

/** Fills a disk that nobody uses. */
export async function fill({ storage }: Xapi, vdi: Row, path: string, task: Task): Promise<void> {
  const { path: own, format } = storage.image(vdi);
  try {
    const from = await open_image(path, { format: formatOf(path), readonly: true, backing: 'none' });
    try {
      const to = await open_image(own, { format });
      try {
        await copy(from, to, task);
      } finally {
        await to.close();
      }
    } finally {
      await from.close();
    }
  } catch (error) {
    if (error instanceof ImageError) throw new Failure('SR_BACKEND_FAILURE_40', '', error.message);
    throw error;
  }
}
