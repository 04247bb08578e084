// What a boot loader reads from on this machine: an image file, or a folder.
import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { DiskImage } from '../../block/image/image.ts';
import { BootError, type Disk } from '../protocol/disk.ts';
import { boot, treesOf, type Booted, type BootOptions } from '../protocol/boot.ts';
import { Tree, type FileSystem, type Kind } from '../protocol/tree.ts';

class FileDisk implements Disk {
  readonly #fd: number;
  readonly size: number;

  constructor(fd: number) {
    this.#fd = fd;
    this.size = fstatSync(fd).size;
  }

  read(at: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const n = readSync(this.#fd, out, done, length - done, at + done);
      if (n === 0) throw new BootError(`the disk ends at ${at + done}; it had ${this.size} bytes.`);
      done += n;
    }
    return out;
  }
}

/** A folder as a file system: links lead nowhere outside of it, since the walker follows them by itself. */
class FolderFileSystem implements FileSystem<string> {
  readonly root: string;
  constructor(root: string) {
    this.root = root;
  }

  kind(path: string): Kind {
    // The folder itself may be named by a link.
    const stat = path === this.root ? statSync(path) : lstatSync(path);
    if (stat.isSymbolicLink()) return 'link';
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other';
  }
  size = (path: string): number => lstatSync(path).size;
  child(folder: string, name: string): string | undefined {
    const path = join(folder, name);
    return !name.includes('\0') && lstatSync(path, { throwIfNoEntry: false }) ? path : undefined;
  }
  names = (folder: string): string[] => readdirSync(folder);
  target = (path: string): string => readlinkSync(path);
  read = (path: string): Uint8Array => readFileSync(path);
}

/** Kernel, initrd and arguments from an image file or a folder. Throws BootError, or the system's errors for a file that cannot be read. */
export function bootFrom(path: string, options: BootOptions = {}): Booted {
  if (statSync(path).isDirectory()) return boot([new Tree(new FolderFileSystem(path))], options);
  const fd = openSync(path, 'r');
  try {
    return boot(treesOf(new FileDisk(fd), options.offset), options);
  } finally {
    closeSync(fd);
  }
}

/** What of an image is not here yet. */
class Missing extends Error {
  readonly chunks: readonly number[];
  constructor(chunks: readonly number[]) {
    super('a part of the image has to be read first');
    this.chunks = chunks;
  }
}

const CHUNK = 256 * 1024;
/** Of an image's bytes at a time: a kernel and its initrd, and what leads to them. */
const MAX_CHUNKS = 2 ** 30 / CHUNK;

/** The parts of an image that have been read. */
class FetchedDisk implements Disk {
  readonly #image: DiskImage;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(image: DiskImage) {
    this.#image = image;
  }

  get size(): number {
    return this.#image.size;
  }

  read(at: number, length: number): Uint8Array {
    const [first, last] = [Math.floor(at / CHUNK), Math.floor((at + Math.max(length, 1) - 1) / CHUNK)];
    const wanted = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const absent = wanted.filter((i) => !this.#chunks.has(i));
    if (absent.length > 0) throw new Missing(absent);
    const out = new Uint8Array(length);
    for (const i of wanted) {
      const from = Math.max(at, i * CHUNK);
      const part = this.#chunks.get(i)!.subarray(from - i * CHUNK, at + length - i * CHUNK);
      out.set(part, from - at);
    }
    return out;
  }

  async fetch(chunks: readonly number[]): Promise<void> {
    if (this.#chunks.size + chunks.length > MAX_CHUNKS)
      throw new BootError('the disk is damaged: too much of it would have to be read.');
    const buffers = chunks.map((i) => new Uint8Array(Math.min(CHUNK, this.size - i * CHUNK)));
    await Promise.all(buffers.map((buffer, i) => this.#image.read(chunks[i]! * CHUNK, [buffer])));
    chunks.forEach((chunk, i) => this.#chunks.set(chunk, buffers[i]!));
  }
}

/** The same from an image of any format. The reader is no asynchronous one: it begins anew with each part that it turns out to need, most of which are a file's. */
export async function bootFromImage(image: DiskImage, options: BootOptions = {}): Promise<Booted> {
  const disk = new FetchedDisk(image);
  for (;;) {
    try {
      return boot(treesOf(disk, options.offset), options);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      await disk.fetch(error.chunks);
    }
  }
}
