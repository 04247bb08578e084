// A file or block device of the host that holds an image: positions, lists of buffers, promises.
import {
  close,
  constants,
  fdatasync,
  fstatSync,
  ftruncate,
  openSync,
  readFileSync,
  readv,
  readvSync,
  writev,
  writevSync,
  type Stats,
} from 'node:fs';
import { createRequire } from 'node:module';
import { fill_zero, ImageError, slice, total, type ImageErrorKind } from './image.ts';
import { MemoryJournal, type Journal } from './journal.ts';
import { Promptness } from './prompt.ts';

/** What the formats need of it. Tests have one in memory that notes what was written. */
export interface BlockFile {
  readonly path: string;
  /** bytes up to its end, as far as finished writes go */
  readonly size: number;
  /** Beyond the end there are zeros. */
  read(at: number, buffers: readonly Uint8Array[]): Promise<void>;
  write(at: number, buffers: readonly Uint8Array[]): Promise<void>;
  /** Answers when what was written before is on the disk. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Makes the range read as zeros and gives its space back; false where that cannot be done, and nothing has changed. */
  punch(at: number, length: number): Promise<boolean>;
  close(): Promise<void>;
  /** Its journal, if this system has memory for such. */
  journal(): Journal | undefined;
}

/** The part of fs-native-extensions that is used: what Node's own `fs` does not have. */
export interface Native {
  tryLock(fd: number, offset: number, length: number, options?: { shared?: boolean }): boolean;
  tryDowngradeLock(fd: number, offset: number, length: number): boolean;
  unlock(fd: number, offset: number, length: number): void;
  trim(fd: number, offset: number, length: number): Promise<void>;
}

/** Undefined on systems for which there is no build of it. */
export const native: Native | undefined = (() => {
  try {
    return createRequire(import.meta.url)('fs-native-extensions') as Native;
  } catch {
    return undefined;
  }
})();

const KINDS: Readonly<Record<string, [ImageErrorKind, string]>> = {
  ENOENT: ['missing', 'there is no such file'],
  ENOTDIR: ['missing', 'a part of the path is no folder'],
  ELOOP: ['missing', 'its links go in a circle'],
  ENAMETOOLONG: ['missing', 'the path is too long'],
  EACCES: ['permission', 'you may not open it so'],
  EPERM: ['permission', 'you may not open it so'],
  EROFS: ['permission', 'its file system is read-only'],
  EISDIR: ['unsupported', 'it is a folder'],
  ENXIO: ['unsupported', 'it is neither a file nor a block device'],
  EEXIST: ['exists', 'the file exists already'],
  ENOSPC: ['no_space', 'the disk is full'],
  EDQUOT: ['no_space', 'the quota is used up'],
  EFBIG: ['no_space', 'the file system holds no larger file'],
};

/** The system's error, as one of ours. */
export function image_error(error: unknown, path: string, doing: string): ImageError {
  if (error instanceof ImageError) {
    error.path ??= path;
    return error;
  }
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const [kind, why] = KINDS[code] ?? ['io', `${doing} fails with ${code}`];
  return new ImageError(kind, `${why}.`, { path, cause: error });
}

/** Linux takes 1,024 buffers in one call (UIO_MAXIOV), and 2 GiB less a page; Node's own limit is the same. */
const MOST_BUFFERS = 1024;
const MOST_BYTES = 1 << 30;

/** A block device's size is in sysfs, in sectors of 512 bytes whatever the device's own are. */
function deviceSize(stat: Stats): number {
  const minor = (stat.rdev & 0xff) | (Math.floor(stat.rdev / 0x100000) * 0x100);
  const major = (stat.rdev >>> 8) & 0xfff;
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'latin1')) * 512;
}

export class HostFile implements BlockFile {
  readonly path: string;
  readonly fd: number;
  readonly stat: Stats;
  readonly isDevice: boolean;
  size: number;
  #canPunch = native !== undefined;
  readonly #prompt: Promptness | undefined;

  /** `create`: the file is made, and must not be there. `here`: who calls has a thread of his own, and may be kept waiting for what is mostly there at once. */
  constructor(path: string, options: { readonly: boolean; create?: boolean; here?: boolean }) {
    this.path = path;
    if (options.here) this.#prompt = new Promptness();
    // O_NONBLOCK: a pipe without a writer must not hold up everybody. Files and block devices do not know it.
    const access = options.readonly ? constants.O_RDONLY : constants.O_RDWR;
    const create = options.create ? constants.O_CREAT | constants.O_EXCL : 0;
    try {
      this.fd = openSync(path, access | create | constants.O_NONBLOCK, 0o666);
    } catch (error) {
      throw image_error(error, path, 'opening');
    }
    try {
      this.stat = fstatSync(this.fd);
      this.isDevice = this.stat.isBlockDevice();
      if (this.stat.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
      if (!this.isDevice && !this.stat.isFile()) throw Object.assign(new Error(), { code: 'ENXIO' });
      this.size = this.isDevice ? deviceSize(this.stat) : this.stat.size;
    } catch (error) {
      close(this.fd);
      throw image_error(error, path, 'opening');
    }
  }

  async read(at: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = total(buffers);
    for (let done = 0; done < length; ) {
      const rest = part(buffers, done, length);
      const n = this.#prompt?.here
        ? this.#here('reading', rest, () => readvSync(this.fd, rest, at + done))
        : await this.#call('reading', (cb) => readv(this.fd, rest, at + done, cb));
      if (n === 0) return fill_zero(slice(buffers, done, length - done)); // the end of the file
      done += n;
    }
  }

  async write(at: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = total(buffers);
    for (let done = 0; done < length; ) {
      const rest = part(buffers, done, length);
      // Less than asked for was written: the next attempt says why.
      done += this.#prompt?.here
        ? this.#here('writing', rest, () => writevSync(this.fd, rest, at + done))
        : await this.#call('writing', (cb) => writev(this.fd, rest, at + done, cb));
    }
    if (at + length > this.size) this.size = at + length;
  }

  async sync(): Promise<void> {
    await this.#call('flushing', (cb) => fdatasync(this.fd, (error) => cb(error, 0)));
  }

  async truncate(size: number): Promise<void> {
    await this.#call('resizing', (cb) => ftruncate(this.fd, size, (error) => cb(error, 0)));
    this.size = size;
  }

  async punch(at: number, length: number): Promise<boolean> {
    if (!this.#canPunch) return false;
    try {
      await native!.trim(this.fd, at, length);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EIO' || code === 'ENOSPC') throw image_error(error, this.path, 'giving space back');
      this.#canPunch = false; // a file system without holes (EOPNOTSUPP), or a device that does not discard
      return false;
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => close(this.fd, () => resolve()));
  }

  journal(): Journal | undefined {
    return MemoryJournal.of(this.stat);
  }

  #here(doing: string, buffers: readonly Uint8Array[], call: () => number): number {
    const begun = performance.now();
    try {
      return call();
    } catch (error) {
      throw image_error(error, this.path, doing);
    } finally {
      this.#prompt!.took(performance.now() - begun, total(buffers));
    }
  }

  #call(doing: string, start: (done: (error: Error | null, n: number) => void) => void): Promise<number> {
    return new Promise((resolve, reject) => {
      start((error, n) => (error ? reject(image_error(error, this.path, doing)) : resolve(n)));
    });
  }
}

/** What goes into one call: mostly everything, and then nothing is made anew. */
function part(buffers: readonly Uint8Array[], done: number, length: number): Uint8Array[] {
  if (done === 0 && buffers.length <= MOST_BUFFERS && length <= MOST_BYTES) return buffers as Uint8Array[];
  return slice(buffers, done, Math.min(length - done, MOST_BYTES)).slice(0, MOST_BUFFERS);
}
