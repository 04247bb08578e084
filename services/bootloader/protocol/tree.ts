/** Files by their paths, whatever holds them. */
import { fail } from './disk.ts';

export type Kind = 'file' | 'folder' | 'link' | 'other';

/** A file system as far as a boot loader needs one. `N` is its way to name a file. */
export interface FileSystem<N = unknown> {
  readonly root: N;
  kind(node: N): Kind;
  size(node: N): number;
  child(folder: N, name: string): N | undefined;
  names(folder: N): string[];
  target(link: N): string;
  /** The whole contents. */
  read(file: N): Uint8Array;
}

const MAX_LINKS = 40;
const MAX_PATH = 4096;

/** A file system's files, by absolute paths. Links stay inside: `..` of the root is the root. */
export class Tree {
  readonly #fs: FileSystem;

  constructor(fs: FileSystem<any>) {
    this.#fs = fs;
  }

  /** The contents; undefined if there is no such file. */
  read(path: string, largest: number): Uint8Array | undefined {
    const node = this.#find(path);
    if (node === undefined || this.#fs.kind(node) !== 'file') return undefined;
    const size = this.#fs.size(node);
    if (size > largest) fail(`${path} has ${size} bytes; at most ${largest} are read.`);
    return this.#fs.read(node);
  }

  has(path: string, kind?: Kind): boolean {
    const node = this.#find(path);
    return node !== undefined && (kind === undefined || this.#fs.kind(node) === kind);
  }

  /** The size of a file, undefined if there is none. */
  size(path: string): number | undefined {
    const node = this.#find(path);
    return node === undefined || this.#fs.kind(node) !== 'file' ? undefined : this.#fs.size(node);
  }

  list(path: string): string[] {
    const node = this.#find(path);
    return node === undefined || this.#fs.kind(node) !== 'folder' ? [] : this.#fs.names(node);
  }

  #find(path: string): unknown {
    const way: unknown[] = [this.#fs.root];
    let rest = path.split('/').reverse();
    for (let links = 0; rest.length > 0; ) {
      const name = rest.pop()!;
      const here = way.at(-1);
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (way.length > 1) way.pop();
        continue;
      }
      const node = this.#fs.kind(here) === 'folder' ? this.#fs.child(here, name) : undefined;
      if (node === undefined) return undefined;
      if (this.#fs.kind(node) !== 'link') {
        way.push(node);
        continue;
      }
      const target = this.#fs.target(node);
      if (++links > MAX_LINKS || target.length > MAX_PATH) return undefined;
      if (target.startsWith('/')) way.length = 1;
      rest = [...rest, ...target.split('/').reverse()];
    }
    return way.at(-1);
  }
}
