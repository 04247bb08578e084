// The nodes, by path. A node that a transaction looks at is held: a change then goes to a fresh copy, so the transaction goes
// on seeing what it saw; all other changes are made in place.
import type { Perms } from './perms.ts';
import { childOf, nameOf, parentOf } from './path.ts';

export interface Node {
  /** Bytes, each a character of the same number. */
  value: string;
  perms: Perms;
  /** Unique number of the last change of value, permissions or child list. */
  generation: number;
  /** Names in order of creation, which is the order DIRECTORY answers in. */
  children: Set<string>;
  /** Bytes of the child list on the wire: names with their NULs. */
  childBytes: number;
  /** Somebody relies on this very object: it does not change any more. */
  held: boolean;
}

const NO_CHILDREN: Set<string> = new Set();

export const makeNode = (value: string, perms: Perms, generation: number): Node => {
  return { value, perms, generation, children: NO_CHILDREN, childBytes: 0, held: false };
};

/** A copy that can change without the other noticing. */
export const copyNode = (node: Node): Node => ({
  ...node,
  children: node.children === NO_CHILDREN ? NO_CHILDREN : new Set(node.children),
  held: false,
});

export function addChild(node: Node, name: string): void {
  if (node.children === NO_CHILDREN) node.children = new Set();
  node.children.add(name);
  node.childBytes += name.length + 1;
}

export function removeChild(node: Node, name: string): void {
  if (!node.children.delete(name)) return;
  node.childBytes -= name.length + 1;
  if (node.children.size === 0) node.children = NO_CHILDREN;
}

/** What a request works on: the store's own nodes, or a transaction's view of them. */
export interface View {
  get(path: string): Node | undefined;
  /** The node at `path`, which exists, made safe to change. */
  own(path: string): Node;
  /** Adds a node below a parent that exists and has no child of that name. */
  add(path: string, node: Node): void;
  /** Removes that node alone: whoever asks sees to its children and its parent's list. */
  drop(path: string): void;
}

export class Tree implements View {
  readonly #nodes = new Map<string, Node>();

  constructor(perms: Perms) {
    this.#nodes.set('/', makeNode('', perms, 0));
  }

  get size(): number {
    return this.#nodes.size;
  }

  get(path: string): Node | undefined {
    return this.#nodes.get(path);
  }

  own(path: string): Node {
    let node = this.#nodes.get(path)!;
    if (node.held) this.#nodes.set(path, (node = copyNode(node)));
    return node;
  }

  add(path: string, node: Node): void {
    addChild(this.own(parentOf(path)), nameOf(path));
    this.#nodes.set(path, node);
  }

  drop(path: string): void {
    this.#nodes.delete(path);
  }

  /** Takes a node over as it is, its child list included; undefined: there is none any more. */
  put(path: string, node: Node | undefined): void {
    if (node) this.#nodes.set(path, node);
    else this.#nodes.delete(path);
  }
}

/** Every node from `path` down, parents first. Iterative: depth is the guest's choice. */
export function* walk(view: Pick<View, 'get'>, path: string): Generator<[string, Node]> {
  const stack = [path];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const node = view.get(top);
    if (!node) continue; // a transaction may miss what others have removed since
    yield [top, node];
    const first = stack.length;
    for (const name of node.children) stack.push(childOf(top, name));
    // Siblings come in order of creation.
    for (let i = first, j = stack.length - 1; i < j; i++, j--) [stack[i], stack[j]] = [stack[j]!, stack[i]!];
  }
}
