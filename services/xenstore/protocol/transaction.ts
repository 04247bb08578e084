// A transaction notes each node at its first look and keeps its changes to itself; at its end every noted node must still be of
// the generation that it had, else the caller is told EAGAIN and starts anew. Others' changes elsewhere do not disturb it.
import { Delta, nodeCost } from './domains.ts';
import { nameOf, parentOf } from './path.ts';
import type { Node, Tree, View } from './tree.ts';
import { addChild, copyNode } from './tree.ts';

/** The generation of a node that does not exist. */
export const ABSENT = -1;

export interface Access {
  readonly generation: number;
  /** The node as the transaction first saw it: who could read it may hear of its end. */
  readonly before: Node | undefined;
  /** As the transaction sees it now. */
  node: Node | undefined;
  modified: boolean;
  /** The watch event due at commit; exact: watches on this very path only. */
  fire?: { exact: boolean };
}

export class Transaction implements View {
  readonly id: number;
  readonly accessed = new Map<string, Access>();
  readonly delta = new Delta();
  /** It had lost before a restart. */
  lost = false;
  /** Bytes of what it has looked at, which stays as it was as long as the transaction. */
  memory = 0;
  readonly #main: Tree;
  readonly #admit: (transaction: Transaction, bytes: number) => void;

  /** `admit` refuses, by an error, a look at one more node of so many bytes. */
  constructor(id: number, main: Tree, admit: (transaction: Transaction, bytes: number) => void) {
    this.id = id;
    this.#main = main;
    this.#admit = admit;
  }

  access(path: string): Access {
    let access = this.accessed.get(path);
    if (access) return access;
    const node = this.#main.get(path);
    const bytes = node ? nodeCost(path, node) : path.length;
    this.#admit(this, bytes);
    this.memory += bytes;
    if (node) node.held = true;
    access = { generation: node?.generation ?? ABSENT, before: node, node, modified: false };
    this.accessed.set(path, access);
    return access;
  }

  get(path: string): Node | undefined {
    return this.access(path).node;
  }

  own(path: string): Node {
    const access = this.access(path);
    if (access.node!.held) access.node = copyNode(access.node!);
    access.modified = true;
    return access.node!;
  }

  add(path: string, node: Node): void {
    const access = this.access(path);
    access.node = node;
    access.modified = true;
    addChild(this.own(parentOf(path)), nameOf(path));
  }

  drop(path: string): void {
    const access = this.access(path);
    access.node = undefined;
    access.modified = true;
  }

  get conflicts(): boolean {
    if (this.lost) return true;
    for (const [path, access] of this.accessed) {
      if ((this.#main.get(path)?.generation ?? ABSENT) !== access.generation) return true;
    }
    return false;
  }

  commit(): void {
    for (const [path, { node, modified }] of this.accessed) if (modified) this.#main.put(path, node);
  }
}
