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
