// Watches, found by path: a change looks up its own path and each parent's, so its cost does not grow with the number of domains.
import type { Connection } from './connection.ts';
import { parentOf } from './path.ts';

export interface Watch {
  /** Order of registration, which is the order of delivery. */
  readonly serial: number;
  readonly connection: Connection;
  /** Absolute path or special event. */
  readonly path: string;
  readonly token: string;
  /** Levels below `path` that count; undefined: all. */
  readonly depth: number | undefined;
  /** What is cut off a path before it is reported: the watcher named it relative to its own. */
  readonly prefix: string;
}

const depthBelow = (path: string, top: string): number => {
  if (path === top) return 0;
  let depth = 0;
  for (let i = top === '/' ? 0 : top.length; i >= 0; i = path.indexOf('/', i + 1)) depth++;
  return depth;
};

export class WatchIndex {
  readonly #byPath = new Map<string, Set<Watch>>();
  #serial = 0;

  add(fields: Omit<Watch, 'serial'>): Watch {
    const watch = { ...fields, serial: ++this.#serial };
    const set = this.#byPath.get(watch.path) ?? new Set<Watch>();
    this.#byPath.set(watch.path, set.add(watch));
    return watch;
  }

  remove(watch: Watch): void {
    const set = this.#byPath.get(watch.path);
    if (set?.delete(watch) && set.size === 0) this.#byPath.delete(watch.path);
  }

  get empty(): boolean {
    return this.#byPath.size === 0;
  }

  at(path: string): Iterable<Watch> {
    return this.#byPath.get(path) ?? [];
  }

  /** The watches that a change of `path` concerns, in order of registration. */
  concerned(path: string, exact: boolean): Watch[] {
    const found: Watch[] = [...this.at(path)];
    for (let above = path; !exact && above !== '/'; ) {
      above = parentOf(above);
      for (const watch of this.at(above)) {
        if (watch.depth === undefined || depthBelow(path, above) <= watch.depth) found.push(watch);
      }
    }
    return found.sort((a, b) => a.serial - b.serial);
  }
}
