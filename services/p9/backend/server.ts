// A 9P2000.L server over one folder: a guest's file ids, and what it asks of them carried out.
import { constants as os } from 'node:os';
import { constants, type BigIntStats } from 'node:fs';
import { chmod, chown, link, lstat, mkdir, open, rename, rmdir, statfs, symlink, unlink, utimes, type FileHandle } from 'node:fs/promises'; // prettier-ignore
import { checkStep, Errno, NO_FID, P9, P9Error, READ_HEAD, readRequest, tagOf, Writer, type Qid, type Request, type RequestOf } from '../protocol/codec.ts'; // prettier-ignore
import { Entries } from './entries.ts';
import type { Folder, Node } from './folder.ts';
import { LOCK, WHOLE, type Lock, type Locks } from './locks.ts';

const VERSION = '9P2000.L';
const MIN_MSIZE = 4096;
/** File ids that a guest may have at a time. */
const MAX_FIDS = 4096;
const MAX_LENGTH = BigInt(Number.MAX_SAFE_INTEGER);

/** Flags of opening as they are in the protocol (Linux' on x86), and as this machine has them. */
const ACCESS = 3;
const FLAGS: readonly [theirs: number, ours: number][] = [
  [0o1000, constants.O_TRUNC],
  [0o2000, constants.O_APPEND],
  [0o10000, constants.O_DSYNC],
  [0o200000, constants.O_DIRECTORY],
  [0o4010000, constants.O_SYNC],
];
const O_EXCL = 0o200;
const REMOVE_FOLDER = 0x200;
const FILE = 0o100000;
const TYPE = 0o170000;
/** Who runs a file becomes its owner: no guest makes such files. */
const SET_ID = 0o6000;
const PERMISSIONS = 0o1777;
const SET = { MODE: 1, UID: 2, GID: 4, SIZE: 8, ATIME: 0x10, MTIME: 0x20, ATIME_SET: 0x80, MTIME_SET: 0x100 };
const BASIC = 0x7ffn;
const LOCKED = { SUCCESS: 0, BLOCKED: 1, ERROR: 2 };

interface Fid {
  node: Node;
  /** By whom it was attached. */
  uid: number;
  /** Once opened. */
  file?: FileHandle;
  entries?: Entries;
}

export interface ShareOptions {
  folder: Folder;
  readonly: boolean;
  /** Bytes of a message at most. */
  msize: number;
  /** Of all shares of the host. */
  locks: Locks;
}

export class P9Server {
  readonly #options: ShareOptions;
  readonly #fids = new Map<number, Fid>();
  readonly #pending = new Map<number, Promise<Buffer>>();
  /** 0: it has not said its version yet. */
  msize = 0;

  constructor(options: ShareOptions) {
    this.#options = options;
  }

  /** Messages are no longer than this, whatever the guest would have. */
  limit(bytes: number): void {
    this.#options.msize = Math.min(this.#options.msize, bytes);
  }

  /** A message's answer. Rejects with P9Error if it is none: then nothing more is to be served. */
  async answer(message: Buffer): Promise<Buffer> {
    const tag = tagOf(message);
    if (this.#pending.has(tag)) throw new P9Error(`two requests have the tag ${tag}`);
    const answer = this.#answer(message, tag);
    this.#pending.set(tag, answer);
    try {
      return await answer;
    } finally {
      this.#pending.delete(tag);
    }
  }

  async #answer(message: Buffer, tag: number): Promise<Buffer> {
    try {
      const request = readRequest(message);
      if (this.msize === 0 && request.type !== P9.VERSION) throw new Errno('EPROTO');
      const answer = (await this.#carryOut(request)).message(request.type + 1, tag);
      // A link's target, in a ring that is too small for it.
      if (answer.length > Math.max(this.msize, MIN_MSIZE)) throw new Errno('EMSGSIZE');
      return answer;
    } catch (error) {
      if (error instanceof P9Error) throw error;
      return new Writer().u32(errnoOf(error)).message(P9.LERROR, tag);
    }
  }

  /** For good: what is still under way gets no ids any more. */
  end(): Promise<void> {
    this.#ended = true;
    return this.close();
  }
  #ended = false;

  /** Lets everything go. */
  async close(): Promise<void> {
    const fids = [...this.#fids.values()];
    this.#fids.clear();
    await Promise.all(fids.map((fid) => this.#drop(fid)));
  }

  async #drop(fid: Fid): Promise<void> {
    const { node, file } = fid;
    this.#options.locks.drop(node.identity, fid);
    await file?.close().catch(() => {});
    await node.release();
  }

  // ---- file ids

  #fid(number: number): Fid {
    const fid = this.#fids.get(number);
    if (!fid) throw new Errno('EBADF');
    return fid;
  }

  /** Enters it; the node is let go if it cannot be. */
  async #enter(number: number, fid: Fid): Promise<void> {
    const full = this.#fids.size >= MAX_FIDS;
    if (!full && !this.#ended && number !== NO_FID && !this.#fids.has(number)) {
      this.#fids.set(number, fid);
      return;
    }
    await fid.node.release();
    throw new Errno(full ? 'EMFILE' : 'EINVAL');
  }

  /** The file stays while something is done with it, whatever becomes of its id meanwhile. */
  async #with<T>(number: number, then: (node: Node, fid: Fid) => Promise<T>): Promise<T> {
    const fid = this.#fid(number);
    const node = fid.node.use();
    try {
      return await then(node, fid);
    } finally {
      await node.release();
    }
  }

  #qid({ dev, ino, mtimeMs, size, mode }: BigIntStats): Qid {
    const type = (Number(mode) & TYPE) === 0o040000 ? 0x80 : (Number(mode) & TYPE) === 0o120000 ? 2 : 0;
    // Of a file system that is mounted in the folder: another number than any of the folder's own is likely to have.
    const other = dev === this.#options.folder.root.stats.dev ? 0n : dev * 0x9e3779b97f4a7c15n;
    return { type, version: Number((mtimeMs ^ (size << 8n)) & 0xffffffffn), path: BigInt.asUintN(64, ino ^ other) };
  }

  #writable(): void {
    if (this.#options.readonly) throw new Errno('EROFS');
  }

  // ---- requests

  #carryOut(r: Request): Promise<Writer> {
    switch (r.type) {
      case P9.VERSION:
        return this.#version(r);
      case P9.ATTACH:
        return this.#attach(r);
      case P9.FLUSH:
        return this.#flush(r);
      case P9.WALK:
        return this.#walk(r);
      case P9.CLUNK:
        return this.#clunk(r.fid);
      case P9.REMOVE:
        return this.#clunk(r.fid).then(() => Promise.reject(new Errno('EOPNOTSUPP')));
      case P9.STATFS:
        return this.#statfs(r);
      case P9.GETATTR:
        return this.#with(r.fid, (node) => this.#getattr(node));
      case P9.SETATTR:
        return this.#with(r.fid, (node) => this.#setattr(node, r));
      case P9.LOPEN:
        return this.#lopen(r);
      case P9.LCREATE:
        return this.#lcreate(r);
      case P9.READ:
        return this.#read(r);
      case P9.WRITE:
        return this.#write(r);
      case P9.READDIR:
        return this.#readdir(r);
      case P9.FSYNC:
        return this.#fsync(r);
      case P9.READLINK:
        return this.#with(r.fid, async ({ kind, target }) => {
          if (kind !== 'link') throw new Errno('EINVAL');
          return new Writer().text(target);
        });
      case P9.MKDIR:
        // The kernel hands a folder's group id on by itself.
        return this.#make(r.fid, r.name, (path) => mkdir(path, r.mode & PERMISSIONS), r.gid, r.mode & PERMISSIONS);
      case P9.SYMLINK:
        return this.#make(r.fid, r.name, (path) => symlink(r.target, path), r.gid);
      case P9.MKNOD:
        return this.#mknod(r);
      case P9.LINK:
        return this.#link(r);
      case P9.RENAMEAT:
        return this.#renameat(r);
      case P9.UNLINKAT:
        return this.#unlinkat(r);
      case P9.LOCK:
        return this.#lock(r);
      case P9.GETLOCK:
        return this.#getlock(r);
      default:
        // No authentication, no extended attributes; Linux renames by folder and name.
        return Promise.reject(new Errno('EOPNOTSUPP'));
    }
  }

  async #version({ msize, version }: RequestOf<typeof P9.VERSION>): Promise<Writer> {
    if (msize < MIN_MSIZE) throw new Errno('EMSGSIZE');
    await this.close();
    const known = version.toString('latin1') === VERSION;
    this.msize = known ? Math.min(msize, this.#options.msize) : 0;
    return new Writer().u32(Math.min(msize, this.#options.msize)).text(Buffer.from(known ? VERSION : 'unknown'));
  }

  async #attach({ fid, afid, aname, uid }: RequestOf<typeof P9.ATTACH>): Promise<Writer> {
    if (afid !== NO_FID) throw new Errno('EINVAL');
    if (!['', '/'].includes(aname.toString('latin1'))) throw new Errno('ENOENT');
    const node = this.#options.folder.root.use();
    await this.#enter(fid, { node, uid });
    return new Writer().qid(this.#qid(node.stats));
  }

  /** Nothing is taken back: what is under way is answered first. */
  async #flush({ oldtag, tag }: RequestOf<typeof P9.FLUSH>): Promise<Writer> {
    if (oldtag !== tag) await this.#pending.get(oldtag)?.catch(() => {});
    return new Writer();
  }

  async #walk({ fid, newfid, names }: RequestOf<typeof P9.WALK>): Promise<Writer> {
    const from = this.#fid(fid);
    if (from.file) throw new Errno('EINVAL');
    const qids: Qid[] = [];
    let at = from.node.use();
    try {
      for (const name of names) {
        checkStep(name);
        const next = await at.step(name);
        await at.release();
        at = next;
        qids.push(this.#qid(at.stats));
      }
    } catch (error) {
      await at.release();
      if (qids.length === 0) throw error;
      return walked(qids);
    }
    if (fid === newfid && this.#fids.get(fid) === from) {
      this.#fids.delete(fid);
      await this.#drop(from);
    }
    await this.#enter(newfid, { node: at, uid: from.uid });
    return walked(qids);
  }

  async #clunk(number: number): Promise<Writer> {
    const fid = this.#fid(number);
    this.#fids.delete(number);
    await this.#drop(fid);
    return new Writer();
  }

  #statfs({ fid }: RequestOf<typeof P9.STATFS>): Promise<Writer> {
    return this.#with(fid, async (node) => {
      const s = await statfs(node.path, { bigint: true });
      const w = new Writer().u32(Number(s.type)).u32(Number(s.bsize));
      return w.u64(s.blocks, s.bfree, s.bavail, s.files, s.ffree, 0n).u32(255);
    });
  }

  async #getattr(node: Node): Promise<Writer> {
    const s = await node.stat();
    const second = 1_000_000_000n;
    const w = new Writer().u64(BASIC).qid(this.#qid(s));
    w.u32(Number(s.mode)).u32(Number(s.uid)).u32(Number(s.gid));
    w.u64(s.nlink, s.rdev, s.size, s.blksize, s.blocks);
    for (const ns of [s.atimeNs, s.mtimeNs, s.ctimeNs]) w.u64(ns / second, ns % second);
    return w.u64(0n, 0n, 0n, 0n);
  }

  async #setattr(node: Node, r: RequestOf<typeof P9.SETATTR>): Promise<Writer> {
    this.#writable();
    const has = (bit: number): boolean => (r.valid & bit) !== 0;
    if (has(SET.SIZE)) await truncate(node, r.size);
    if (has(SET.UID) || has(SET.GID)) await own(node.path, has(SET.UID) ? r.uid : -1, has(SET.GID) ? r.gid : -1);
    if (has(SET.MODE)) {
      if (node.kind === 'link') throw new Errno('EOPNOTSUPP');
      if (r.mode & SET_ID && node.kind !== 'folder') throw new Errno('EPERM');
      await chmod(node.path, r.mode & PERMISSIONS);
    }
    if (has(SET.ATIME) || has(SET.MTIME)) {
      const now = await node.stat();
      const time = (change: number, set: number, seconds: bigint, ns: bigint, old: bigint): number => {
        if (!has(change)) return Number(old) / 1e9;
        return has(set) ? Number(seconds) + Number(ns) / 1e9 : Date.now() / 1000;
      };
      const atime = time(SET.ATIME, SET.ATIME_SET, r.atime, r.atimeNs, now.atimeNs);
      await utimes(node.path, atime, time(SET.MTIME, SET.MTIME_SET, r.mtime, r.mtimeNs, now.mtimeNs));
    }
    return new Writer();
  }

  // ---- contents

  #flags(theirs: number): number {
    const access = theirs & ACCESS;
    if (access === ACCESS) throw new Errno('EINVAL');
    const ours = FLAGS.reduce((sum, [bit, mine]) => ((theirs & bit) === bit ? sum | mine : sum), access);
    if (access !== 0 || ours & constants.O_TRUNC) this.#writable();
    return ours;
  }

  #lopen({ fid: number, flags }: RequestOf<typeof P9.LOPEN>): Promise<Writer> {
    return this.#with(number, async (node, fid) => {
      if (fid.file) throw new Errno('EINVAL');
      const file = await node.openContents(this.#flags(flags));
      return this.#opened(number, fid, node, file);
    });
  }

  async #opened(number: number, fid: Fid, node: Node, file: FileHandle): Promise<Writer> {
    // Two may have opened it at once, or it is gone: then this one is too many.
    if (fid.file || this.#fids.get(number) !== fid) {
      await file.close();
      throw new Errno('EBADF');
    }
    fid.file = file;
    if (node.kind === 'folder') fid.entries = new Entries(node);
    return new Writer().qid(this.#qid(node.stats)).u32(0);
  }

  #lcreate({ fid: number, name, flags, mode, gid }: RequestOf<typeof P9.LCREATE>): Promise<Writer> {
    this.#writable();
    return this.#with(number, async (folder, fid) => {
      if (fid.file) throw new Errno('EINVAL');
      if (mode & SET_ID) throw new Errno('EPERM');
      const wanted = this.#flags(flags);
      const { file, node } = await this.#created(folder, name, wanted, mode & PERMISSIONS, fid.uid, gid, (flags & O_EXCL) !== 0); // prettier-ignore
      if (fid.file || this.#fids.get(number) !== fid) {
        await Promise.all([file.close(), node.release()]);
        throw new Errno('EBADF');
      }
      // The id is the new file's from now on.
      const before = fid.node;
      fid.node = node;
      const answer = await this.#opened(number, fid, node, file);
      await before.release();
      return answer;
    });
  }

  /** Made, or if it may be there already, opened. */
  async #created(
    folder: Node,
    name: Buffer,
    flags: number,
    mode: number,
    uid: number,
    gid: number,
    exclusive: boolean,
  ): Promise<{ file: FileHandle; node: Node }> {
    // prettier-ignore
    let file: FileHandle;
    try {
      file = await open(folder.entry(name), flags | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode);
    } catch (error) {
      if (exclusive || (error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const node = await folder.step(name);
      try {
        return { file: await node.openContents(flags), node };
      } catch (failure) {
        await node.release();
        throw failure;
      }
    }
    try {
      // Its mode is what the guest says, whatever the host's mask is.
      await file.chmod(mode);
      await give(`/proc/self/fd/${file.fd}`, uid, gid);
      return { file, node: await folder.folder.again(file, folder, name) };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  #open(number: number, kind: 'file' | 'folder'): Fid & { file: FileHandle } {
    const fid = this.#fid(number);
    if (!fid.file) throw new Errno('EBADF');
    if (fid.node.kind !== kind) throw new Errno(kind === 'file' ? 'EISDIR' : 'ENOTDIR');
    return fid as Fid & { file: FileHandle };
  }

  async #read({ fid, offset, count }: RequestOf<typeof P9.READ>): Promise<Writer> {
    const { file } = this.#open(fid, 'file');
    if (offset > MAX_LENGTH) return new Writer().u32(0);
    const buffer = Buffer.alloc(Math.min(count, this.msize - READ_HEAD));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, Number(offset));
    return new Writer().u32(bytesRead).bytes(buffer.subarray(0, bytesRead));
  }

  async #write({ fid, offset, data }: RequestOf<typeof P9.WRITE>): Promise<Writer> {
    this.#writable();
    const { file } = this.#open(fid, 'file');
    if (offset + BigInt(data.length) > MAX_LENGTH) throw new Errno('EFBIG');
    const { bytesWritten } = await file.write(data, 0, data.length, Number(offset));
    return new Writer().u32(bytesWritten);
  }

  async #readdir({ fid: number, offset, count }: RequestOf<typeof P9.READDIR>): Promise<Writer> {
    const { entries } = this.#open(number, 'folder');
    const room = Math.min(count, this.msize - READ_HEAD);
    const body = await this.#with(number, () => entries!.read(offset, room, (stats) => this.#qid(stats)));
    return new Writer().u32(body.length).bytes(body);
  }

  #fsync({ fid: number, datasync }: RequestOf<typeof P9.FSYNC>): Promise<Writer> {
    return this.#with(number, async (_, { file }) => {
      if (!file) throw new Errno('EBADF');
      await (datasync ? file.datasync() : file.sync());
      return new Writer();
    });
  }

  // ---- folders

  /** Something new in a folder: its qid. */
  #make(
    fid: number,
    name: Buffer,
    make: (path: Buffer) => Promise<unknown>,
    gid: number,
    mode?: number,
  ): Promise<Writer> {
    // prettier-ignore
    this.#writable();
    return this.#with(fid, async (folder, { uid }) => {
      await make(folder.entry(name));
      const node = await folder.step(name);
      try {
        if (mode !== undefined && node.kind === 'folder') await chmod(node.path, mode);
        await give(node.path, uid, gid);
        return new Writer().qid(this.#qid(node.stats));
      } finally {
        await node.release();
      }
    });
  }

  async #mknod({ fid, name, mode, gid }: RequestOf<typeof P9.MKNOD>): Promise<Writer> {
    const type = mode & TYPE;
    if ((type !== 0 && type !== FILE) || mode & SET_ID) throw new Errno('EPERM');
    this.#writable();
    return this.#with(fid, async (folder, { uid }) => {
      const { file, node } = await this.#created(folder, name, constants.O_WRONLY, mode & PERMISSIONS, uid, gid, true);
      await file.close();
      try {
        return new Writer().qid(this.#qid(node.stats));
      } finally {
        await node.release();
      }
    });
  }

  #link({ dfid, fid, name }: RequestOf<typeof P9.LINK>): Promise<Writer> {
    this.#writable();
    return this.#with(dfid, (folder) =>
      this.#with(fid, async (node) => {
        if (node.kind === 'folder' || !node.parent) throw new Errno('EPERM');
        const path = folder.entry(name);
        await link(node.parent.entry(node.name), path);
        // Another file may have got its name meanwhile: that is not what was asked for.
        const { dev, ino } = await lstat(path, { bigint: true });
        if (`${dev}:${ino}` === node.identity) return new Writer();
        await unlink(path);
        throw new Errno('ESTALE');
      }),
    );
  }

  #renameat({ fid, name, newfid, newname }: RequestOf<typeof P9.RENAMEAT>): Promise<Writer> {
    this.#writable();
    return this.#with(fid, (from) =>
      this.#with(newfid, async (to) => {
        await rename(from.entry(name), to.entry(newname));
        return new Writer();
      }),
    );
  }

  #unlinkat({ fid, name, flags }: RequestOf<typeof P9.UNLINKAT>): Promise<Writer> {
    this.#writable();
    return this.#with(fid, async (folder) => {
      await (flags & REMOVE_FOLDER ? rmdir : unlink)(folder.entry(name));
      return new Writer();
    });
  }

  // ---- locks

  #wanted(r: RequestOf<typeof P9.LOCK> | RequestOf<typeof P9.GETLOCK>, by: object): Lock {
    const { type, start, length, process, client } = r;
    if (type > LOCK.UNLOCK || start >= WHOLE || length >= WHOLE) throw new Errno('EINVAL');
    const end = length === 0n ? WHOLE : start + length;
    return { type, start, end, owner: `${this.#number} ${client.toString('latin1')} ${process}`, process, by };
  }
  readonly #number = ++servers;

  async #lock(r: RequestOf<typeof P9.LOCK>): Promise<Writer> {
    const fid = this.#open(r.fid, 'file');
    const done = this.#options.locks.set(fid.node.identity, this.#wanted(r, fid));
    const status = done === undefined ? LOCKED.ERROR : done ? LOCKED.SUCCESS : LOCKED.BLOCKED;
    return new Writer().u8(status);
  }

  async #getlock(r: RequestOf<typeof P9.GETLOCK>): Promise<Writer> {
    const fid = this.#open(r.fid, 'file');
    const held = this.#options.locks.conflict(fid.node.identity, this.#wanted(r, fid));
    if (!held) return new Writer().u8(LOCK.UNLOCK).u64(r.start, r.length).u32(r.process).text(r.client);
    const length = held.end === WHOLE ? 0n : held.end - held.start;
    return new Writer().u8(held.type).u64(held.start, length).u32(held.process).text(r.client);
  }
}

let servers = 0;

const walked = (qids: readonly Qid[]): Writer => qids.reduce((w, qid) => w.qid(qid), new Writer().u16(qids.length));

async function truncate(node: Node, size: bigint): Promise<void> {
  if (size > MAX_LENGTH) throw new Errno('EFBIG');
  if (node.kind !== 'file') throw new Errno(node.kind === 'folder' ? 'EISDIR' : 'EINVAL');
  const file = await node.openContents(constants.O_WRONLY);
  try {
    await file.truncate(Number(size));
  } finally {
    await file.close();
  }
}

/** The security model `none`: owners are the guest's if the host may give files away, else they stay the host's. */
async function own(path: string, uid: number, gid: number): Promise<void> {
  try {
    await chown(path, uid, gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}

async function give(path: string, uid: number, gid: number): Promise<void> {
  if (process.getuid?.() === 0) await own(path, uid, gid);
}

/** As the protocol has it, which is Linux'. */
function errnoOf(error: unknown): number {
  const { code = 'EIO' } = error as NodeJS.ErrnoException;
  const names: Readonly<Record<string, number>> = os.errno;
  return names[code] ?? names.EIO!;
}
