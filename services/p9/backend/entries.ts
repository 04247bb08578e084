// A folder's entries as a guest lists them: read at the beginning of a listing, so that places in it stay what they were.
import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { Errno, Writer, type Qid } from '../protocol/codec.ts';
import type { Node } from './folder.ts';

/** Entries of one folder that a listing has. */
const MAX_ENTRIES = 100_000;
/** Dirent's types as the system has them. */
const TYPE = { FOLDER: 4, FILE: 8, LINK: 10, UNKNOWN: 0 };
/** qid[13] offset[8] type[1] name[2+] */
const ENTRY = 24;

interface Entry {
  name: Buffer;
  type: number;
}

const typeOf = (entry: Dirent<Buffer>): number =>
  entry.isDirectory() ? TYPE.FOLDER : entry.isFile() ? TYPE.FILE : entry.isSymbolicLink() ? TYPE.LINK : TYPE.UNKNOWN;

export class Entries {
  readonly #node: Node;
  #list: Promise<Entry[]> | undefined;

  constructor(node: Node) {
    this.#node = node;
  }

  async #load(): Promise<Entry[]> {
    const list: Entry[] = ['.', '..'].map((name) => ({ name: Buffer.from(name), type: TYPE.FOLDER }));
    const encoding = 'buffer' as BufferEncoding; // what opendir takes and its types leave out
    for await (const entry of await opendir(this.#node.path, { encoding })) {
      const { name } = entry as unknown as Dirent<Buffer>;
      if (list.length >= MAX_ENTRIES) throw new Errno('ENOMEM');
      list.push({ name, type: typeOf(entry as unknown as Dirent<Buffer>) });
    }
    return list;
  }

  /** What fits into `room` bytes, from a place on; from 0 on the folder is read anew. */
  async read(offset: bigint, room: number, qid: (stats: BigIntStats) => Qid): Promise<Buffer> {
    if (offset === 0n || !this.#list) this.#list = this.#load();
    const list = await this.#list;
    const out = new Writer();
    let left = room;
    for (let i = Number(offset < BigInt(list.length) ? offset : BigInt(list.length)); i < list.length; i++) {
      const { name, type } = list[i]!;
      if (ENTRY + name.length > left) {
        // Not one: the client's place is too small.
        if (left === room) throw new Errno('EINVAL');
        break;
      }
      const stats = await this.#stat(name);
      if (!stats) continue;
      left -= ENTRY + name.length;
      out
        .qid(qid(stats))
        .u64(BigInt(i + 1))
        .u8(type)
        .text(name);
    }
    return out.body();
  }

  /** Undefined: it is gone. The way up shows what is known of it: above the share's folder there is nothing. */
  async #stat(name: Buffer): Promise<BigIntStats | undefined> {
    const text = name.toString('latin1');
    if (text === '.') return this.#node.stat();
    if (text === '..') return (this.#node.parent ?? this.#node).stat();
    try {
      return await lstat(this.#node.entry(name), { bigint: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}
