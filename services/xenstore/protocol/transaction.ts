// A transaction works on a fork of the tree and notes each node it touched; at its end every such node must still be of the
// generation it had in the fork, else the caller is told EAGAIN and starts anew.
import { Delta } from './domains.ts';
import type { Node, Tree } from './tree.ts';
import { XsError } from './wire.ts';

/** The generation of a node that does not exist. */
export const ABSENT = -1;

export interface Access {
  readonly generation: number;
  /** A copy of the node as the transaction first saw it: who could read it may hear of its end. */
  readonly before: Node | undefined;
  modified: boolean;
  /** The watch event due at commit; exact: watches on this very path only. */
  fire?: { exact: boolean };
}

export class Transaction {
  readonly id: number;
  readonly base: Node;
  readonly tree: Tree;
  readonly accessed = new Map<string, Access>();
  readonly delta = new Delta();
  readonly #limit: number;
  /** Restored from records without its fork: it can only end in EAGAIN. */
  readonly lost: boolean;

  constructor(id: number, main: Tree, limit: number, lost = false) {
    this.id = id;
    this.tree = main.fork();
    this.base = this.tree.root;
    this.#limit = limit;
    this.lost = lost;
  }

  lookup(path: string): Node | undefined {
    const node = this.tree.get(path);
    if (!this.accessed.has(path)) {
      if (this.accessed.size >= this.#limit) throw new XsError('ENOSPC', 'transaction too large');
      this.accessed.set(path, { generation: node?.generation ?? ABSENT, before: node && { ...node }, modified: false });
    }
    return node;
  }

  conflicts(main: Tree): boolean {
    if (this.lost) return true;
    if (main.root === this.base) return false;
    for (const [path, access] of this.accessed) {
      if ((main.get(path)?.generation ?? ABSENT) !== access.generation) return true;
    }
    return false;
  }

  commit(main: Tree): void {
    main.merge(this.base, this.tree.root, (path) => this.accessed.get(path)?.modified ?? false);
  }
}
