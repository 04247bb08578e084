// A folder of the host's, and nothing outside of it, by descriptors. Each file that a guest has got to is held by a descriptor of its own (O_PATH), opened in its
// folder's with O_NOFOLLOW, one name at a time: /proc/self/fd/N/NAME is openat(N, NAME), and /proc/self/fd/N that file again. So no link is ever followed,
// no path is looked up twice, and a folder that is moved meanwhile changes nothing of that.
import { close, constants, existsSync, fstat, open as openDescriptor, type BigIntStats } from 'node:fs';
import { open, readlink, type FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { Errno } from '../protocol/codec.ts';

// Bare numbers: what counts is how often a node is used, not what the garbage collector knows.
const descriptor = promisify(openDescriptor) as (path: string | Buffer, flags: number) => Promise<number>;
const closed = promisify(close);
const statOf = promisify(fstat) as (fd: number, options: { bigint: true }) => Promise<BigIntStats>;

/** Linux, on every processor that Node.js runs on. */
const O_PATH = 0o10000000;
/** Opening waits for nobody: not for the other end of a pipe. */
const CAREFUL = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Whether this machine can confine: it has descriptors as files. */
export const canShare = (): boolean => process.platform === 'linux' && existsSync('/proc/self/fd');

/** Files that one share may hold at a time. */
const MAX_NODES = 8192;

export type Kind = 'folder' | 'file' | 'link' | 'other';

const kindOf = (stats: BigIntStats): Kind =>
  stats.isDirectory() ? 'folder' : stats.isFile() ? 'file' : stats.isSymbolicLink() ? 'link' : 'other';

/** A file that a guest has got to. */
export class Node {
  readonly folder: Folder;
  readonly parent: Node | undefined;
  /** Under which name. */
  readonly name: Buffer;
  readonly fd: number;
  readonly kind: Kind;
  /** As it was when the guest got to it. */
  readonly stats: BigIntStats;
  /** Device and number: the file, whatever it is called. */
  readonly identity: string;
  /** Of a link. It never changes. */
  readonly target: Buffer;
  #users = 1;

  constructor(folder: Folder, parent: Node | undefined, name: Buffer, fd: number, stats: BigIntStats, target: Buffer) {
    // prettier-ignore
    this.folder = folder;
    this.parent = parent?.use();
    this.name = name;
    this.fd = fd;
    this.kind = kindOf(stats);
    this.stats = stats;
    this.identity = `${stats.dev}:${stats.ino}`;
    this.target = target;
  }

  use(): this {
    this.#users++;
    return this;
  }

  async release(): Promise<void> {
    if (--this.#users > 0) return;
    this.folder.count--;
    await closed(this.fd);
    await this.parent?.release();
  }

  /** The file itself, to open, or to change in place. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** An entry of this folder. The name has been checked: it is one. */
  entry(name: Buffer): Buffer {
    if (this.kind !== 'folder') throw new Errno('ENOTDIR');
    return Buffer.concat([Buffer.from(`${this.path}/`), name]);
  }

  stat(): Promise<BigIntStats> {
    return statOf(this.fd, { bigint: true });
  }

  /** One step: itself, up, or an entry. Above the share's folder there is nothing. */
  async step(name: Buffer): Promise<Node> {
    if (this.kind !== 'folder') throw new Errno('ENOTDIR');
    const text = name.toString('latin1');
    if (text === '.') return this.use();
    if (text === '..') return (this.parent ?? this).use();
    const path = this.entry(name);
    return this.folder.take(await descriptor(path, O_PATH | CAREFUL), this, name);
  }

  /** Opens a regular file or a folder to work with its contents. Others belong to the host: pipes, devices, sockets. */
  openContents(flags: number): Promise<FileHandle> {
    if (this.kind === 'link') throw new Errno('ELOOP');
    if (this.kind === 'other') throw new Errno('ENXIO');
    // Its own descriptor is what is followed here.
    return open(this.path, flags | constants.O_NONBLOCK);
  }
}

export class Folder {
  readonly root: Node;
  /** Nodes there are. */
  count = 0;

  private constructor(fd: number, stats: BigIntStats) {
    this.count = 1;
    this.root = new Node(this, undefined, Buffer.alloc(0), fd, stats, Buffer.alloc(0));
  }

  /** Rejects with the system's error if there is no such folder. */
  static async open(path: string): Promise<Folder> {
    const fd = await descriptor(path, O_PATH | constants.O_DIRECTORY);
    return new Folder(fd, await statOf(fd, { bigint: true }));
  }

  /** A node for a descriptor that was opened in `parent`; it is closed if there can be none. */
  async take(fd: number, parent: Node, name: Buffer): Promise<Node> {
    try {
      if (this.count >= MAX_NODES) throw new Errno('ENFILE');
      this.count++;
      try {
        const stats = await statOf(fd, { bigint: true });
        const target = stats.isSymbolicLink() ? await readlink(parent.entry(name), 'buffer') : Buffer.alloc(0);
        return new Node(this, parent, name, fd, stats, target);
      } catch (error) {
        this.count--;
        throw error;
      }
    } catch (error) {
      await closed(fd);
      throw error;
    }
  }

  /** For a file that has just been made and is open. */
  async again(opened: FileHandle, parent: Node, name: Buffer): Promise<Node> {
    return this.take(await descriptor(`/proc/self/fd/${opened.fd}`, O_PATH), parent, name);
  }

  close(): Promise<void> {
    return (this.#closed ??= this.root.release());
  }
  #closed: Promise<void> | undefined;
}
