// Opens and creates disk images of every format. The format is what the caller says it is: what a guest wrote to its disk may look like
// another one, with a path of the host's in it.
import { existsSync, realpathSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { image_error, HostFile } from './file.ts';
import { FORMATS, ImageError, type DiskImage, type Format } from './image.ts';
import { open_locked } from './lock.ts';
import { createQcow2, type Qcow2Creation } from './qcow2/create.ts';
import { isQcow2 } from './qcow2/header.ts';
import { Qcow2Image } from './qcow2/qcow2.ts';
import { check_size, RawImage } from './raw.ts';
import { createVhd } from './vhd/create.ts';
import { isFooter } from './vhd/format.ts';
import { VhdImage, type Parent } from './vhd/vhd.ts';

export interface OpenOptions {
  /** raw when nothing is said, as in xl.cfg */
  format?: Format;
  readonly?: boolean;
  /** false: whoever has it open goes on writing meanwhile, for a look at an image in use; with `readonly` only */
  lock?: boolean;
  /**
   * `none`: an image that names another one is refused, as images from elsewhere have to be (the default is to follow);
   * `within`: what is behind it has to be a file in that folder, not a link out of it
   */
  backing?: 'follow' | 'none' | { within: string };
  /** What the system has in its page cache is read and written on the caller's thread, which waits for it (prompt.ts). */
  here?: boolean;
}

/** Images behind each other. */
const MOST_BEHIND = 64;

/** Opens an image with all that is behind it; throws ImageError. */
export function open_image(path: string, options: OpenOptions = {}): Promise<DiskImage> {
  return openChain(path, { readonly: false, lock: true, backing: 'follow', here: false, ...options }, []);
}

type Full = Required<Omit<OpenOptions, 'format'>> & Pick<OpenOptions, 'format'>;

async function openChain(path: string, options: Full, above: readonly string[]): Promise<DiskImage> {
  if (!options.lock && !options.readonly)
    throw new ImageError('range', 'it is opened for writing only with a lock.', { path });
  const file = await open_locked(path, options);
  try {
    const id = `${file.stat.dev}:${file.stat.ino}`;
    if (above.includes(id))
      throw new ImageError('corrupt', 'it is behind itself: the chain of images is a circle.', { path });
    if (above.length === MOST_BEHIND)
      throw new ImageError('unsupported', `more than ${MOST_BEHIND} images lie behind each other.`, { path });
    return await openAs(options.format ?? 'raw', file, options, [...above, id]);
  } catch (error) {
    await file.close();
    throw image_error(error, path, 'opening');
  }
}

async function openAs(format: Format, file: HostFile, options: Full, above: readonly string[]): Promise<DiskImage> {
  const { readonly } = options;
  switch (format) {
    case 'raw':
      return new RawImage(file, { readonly, isDevice: file.isDevice });
    case 'qcow2': {
      const { backing: name, backingFormat } = await Qcow2Image.header(file);
      const behind = name === undefined ? undefined : await openBehind(file.path, name, backingFormat, options, above);
      try {
        return await Qcow2Image.open(file, { readonly, backing: behind });
      } catch (error) {
        await behind?.close();
        throw error;
      }
    }
    case 'vhd': {
      const parent = await VhdImage.parent(file);
      const behind = parent && (await openParent(file.path, parent, options, above));
      try {
        return await VhdImage.open(file, { readonly, backing: behind });
      } catch (error) {
        await behind?.close();
        throw error;
      }
    }
    default:
      throw new ImageError('unsupported', `there is no format ${String(format)}: it is one of ${FORMATS.join(', ')}.`);
  }
}

/** Where a name in an image leads: from the folder that the image itself is in, links followed. */
export const resolveBehind = (path: string, name: string): string =>
  isAbsolute(name) ? name : join(dirname(realpathSync(path)), name);

/** QEMU's names for what is not a file begin so. */
const PROTOCOL = /^[a-z][a-z0-9+.-]*:/i;

async function openBehind(
  path: string,
  name: string,
  format: string | undefined,
  options: Full,
  above: readonly string[],
): Promise<DiskImage> {
  if (options.backing === 'none') throw refusal(name);
  if (PROTOCOL.test(name) && !name.startsWith('file:'))
    throw new ImageError('unsupported', `what is behind it, ${name}, is no file, which is not supported.`);
  const behind = resolveBehind(path, name.replace(/^file:/, ''));
  assertWithin(behind, options);
  return openChain(behind, { ...options, format: await behindFormat(behind, format), readonly: true }, above);
}

async function openParent(
  path: string,
  { uuid, paths }: Parent,
  options: Full,
  above: readonly string[],
): Promise<DiskImage> {
  if (options.backing === 'none') throw refusal(paths[0] ?? 'unnamed');
  const found = paths.map((name) => resolveBehind(path, name)).find((name) => existsSync(name));
  if (found === undefined) {
    const why = `the image from which it differs is not there (${paths.join(', ') || 'it is not named'}).`;
    throw new ImageError('missing', why);
  }
  assertWithin(found, options);
  const behind = await openChain(found, { ...options, format: 'vhd', readonly: true }, above);
  if (behind instanceof VhdImage && behind.uuid === uuid) return behind;
  await behind.close();
  throw new ImageError(
    'corrupt',
    `${found} is not the image from which it differs: their identifiers are not the same.`,
  );
}

/** What a name leads to is told by nothing but the file system: links count as what they are links to. */
function assertWithin(behind: string, { backing }: Full): void {
  if (typeof backing === 'string') return;
  let real: string;
  try {
    real = realpathSync(behind);
  } catch (error) {
    throw image_error(error, behind, 'opening');
  }
  if (dirname(real) !== realpathSync(backing.within)) throw refusal(behind);
}

const refusal = (name: string): ImageError =>
  new ImageError(
    'unsupported',
    `it needs another image, ${name}, which is not allowed here; convert it to one image first.`,
  );

const FORMAT_NAMES: Readonly<Record<string, Format>> = {
  raw: 'raw',
  file: 'raw',
  host_device: 'raw',
  qcow2: 'qcow2',
  vpc: 'vhd',
};

/** Where no format was noted it is raw; unless it looks like something else, for then nobody knows. */
async function behindFormat(path: string, name: string | undefined): Promise<Format> {
  if (name !== undefined) {
    const known = FORMAT_NAMES[name];
    if (known) return known;
    throw new ImageError('unsupported', `what is behind it, ${path}, is of format ${name}, which is not supported.`);
  }
  const found = await probe_format(path);
  if (found === 'raw') return 'raw';
  const mend = `\`qemu-img rebase -u -F ${found}\` notes it`;
  throw new ImageError(
    'unsupported',
    `the format of what is behind it, ${path}, is not noted and may be ${found}; ${mend}.`,
  );
}

/** What a file looks like. For display, and for a person to be asked: never to choose how a guest's disk is opened. */
export async function probe_format(path: string): Promise<Format> {
  const file = new HostFile(path, { readonly: true });
  try {
    const bytes = Buffer.alloc(512);
    await file.read(0, [bytes]);
    if (isQcow2(bytes)) return 'qcow2';
    if (isFooter(bytes)) return 'vhd';
    await file.read(Math.max(0, file.size - bytes.length), [bytes]);
    return isFooter(bytes) ? 'vhd' : 'raw';
  } finally {
    await file.close();
  }
}

interface Behind {
  /** as it is to stand in the image: relative names count from its folder */
  path: string;
  format: Format;
  /** false: it may be in use meanwhile */
  lock?: boolean;
}

/** `size`: when nothing is said, that of what is behind. */
export type CreateOptions =
  | { format: 'raw'; size: number }
  | ({ format: 'qcow2'; size?: number; backing?: Behind } & Omit<Qcow2Creation, 'backing' | 'size'>)
  | { format: 'vhd'; size?: number; backing?: Behind; fixed?: boolean; uuid?: string };

/** Makes a new image; the file must not be there. When it fails there is none. */
export async function create_image(path: string, options: CreateOptions): Promise<void> {
  const file = new HostFile(path, { readonly: false, create: true });
  try {
    await writeImage(file, path, options);
    await file.close();
  } catch (error) {
    await file.close();
    await unlink(path).catch(() => undefined);
    throw image_error(error, path, 'creating');
  }
}

async function writeImage(file: HostFile, path: string, options: CreateOptions): Promise<void> {
  if (options.size !== undefined) check_size({ readonly: false, path }, options.size);
  if (options.format === 'raw') return file.truncate(options.size);
  const { backing } = options;
  if (options.format === 'vhd' && backing && backing.format !== 'vhd')
    throw new ImageError('unsupported', 'a VHD image differs from another VHD image only; qcow2 takes any.');
  // It must be there and be what it is said to be.
  const behind =
    backing &&
    (await open_image(resolveBehind(path, backing.path), {
      ...{ format: backing.format, readonly: true, lock: backing.lock ?? true },
    }));
  try {
    const size = options.size ?? behind?.size;
    if (size === undefined) throw new ImageError('range', 'its size is missing.');
    if (options.format === 'qcow2') {
      const noted = backing && { path: backing.path, format: backing.format === 'vhd' ? 'vpc' : backing.format };
      await createQcow2(file, { ...options, size, backing: noted });
    } else {
      const { fixed, uuid } = options;
      const parent =
        behind instanceof VhdImage
          ? { path: backing!.path, uuid: behind.uuid, timestamp: behind.timestamp }
          : undefined;
      await createVhd(file, { size, ...(fixed && { fixed }), ...(parent && { parent }), ...(uuid && { uuid }) });
    }
  } finally {
    await behind?.close();
  }
}
