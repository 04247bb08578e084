// The node tree. Trees share structure: a fork costs nothing, and a write copies only the frozen nodes on its path.
// A tree may change in place the nodes that carry its own `edit` token; forking gives both sides new tokens.
import type { Perms } from './perms.ts';
import { componentsOf, nameOf, parentOf } from './path.ts';

export interface Node {
  readonly edit: object;
  value: Uint8Array;
  perms: Perms;
  /** Unique number of the last change of value, permissions or child list. */
  generation: number;
  /** In order of creation, which is the order DIRECTORY answers in. */
  children: Map<string, Node>;
  /** Bytes of the child list on the wire: names with their NULs. */
  childBytes: number;
}

const NO_CHILDREN = new Map<string, Node>();

export class Tree {
  root: Node;
  #edit: object = {};

  constructor(root?: Node) {
    this.root = root ?? this.#make(new Uint8Array(0), [], 0);
  }

  fork(): Tree {
    this.#edit = {};
    return new Tree(this.root);
  }

  get(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const name of componentsOf(path)) {
      node = node.children.get(name);
      if (!node) return undefined;
    }
    return node;
  }

  /** The node at `path`, which exists, made safe to change. */
  own(path: string): Node {
    let node = (this.root = this.#thaw(this.root));
    for (const name of componentsOf(path)) {
      const child = this.#thaw(node.children.get(name)!);
      node.children.set(name, child);
      node = child;
    }
    return node;
  }

  /** Adds a node below a parent that exists and has no child of that name. */
  add(path: string, value: Uint8Array, perms: Perms, generation: number): Node {
    const parent = this.own(parentOf(path));
    const name = nameOf(path);
    const node = this.#make(value, perms, generation);
    if (parent.children === NO_CHILDREN) parent.children = new Map();
    parent.children.set(name, node);
    parent.childBytes += name.length + 1;
    return node;
  }

  remove(path: string): void {
    const parent = this.own(parentOf(path));
    if (parent.children.delete(nameOf(path))) parent.childBytes -= nameOf(path).length + 1;
  }

  /**
   * Brings in what `over` changed since both were forked at `base`. `changed(path)` says whether `over` changed that very node;
   * the caller has made sure that no such node changed here meanwhile, so the two sets of changes cannot meet.
   */
  merge(base: Node, over: Node, changed: (path: string) => boolean): void {
    this.root = this.#mergeNode(this.root, base, over, '', changed);
  }

  #mergeNode(mine: Node, base: Node, over: Node, path: string, changed: (path: string) => boolean): Node {
    if (over === base || over === mine) return mine;
    if (mine === base) return over;
    const from = changed(path || '/') ? over : mine;
    const children = new Map<string, Node>();
    for (const [name, child] of from.children) {
      const [m, b, o] = [mine.children.get(name), base.children.get(name), over.children.get(name)];
      children.set(name, m && b && o ? this.#mergeNode(m, b, o, `${path}/${name}`, changed) : child);
    }
    return { ...from, edit: this.#edit, children: children.size ? children : NO_CHILDREN };
  }

  #make(value: Uint8Array, perms: Perms, generation: number): Node {
    return { edit: this.#edit, value, perms, generation, children: NO_CHILDREN, childBytes: 0 };
  }

  #thaw(node: Node): Node {
    if (node.edit === this.#edit) return node;
    const children = node.children.size ? new Map(node.children) : NO_CHILDREN;
    return { ...node, edit: this.#edit, children };
  }
}

/** Every node from `node` down, parents first. Iterative: depth is the guest's choice. */
export function* walk(node: Node, path: string): Generator<[string, Node]> {
  const stack: [string, Node][] = [[path, node]];
  for (let top = stack.pop(); top; top = stack.pop()) {
    yield top;
    const prefix = top[0] === '/' ? '' : top[0];
    for (const [name, child] of [...top[1].children].reverse()) stack.push([`${prefix}/${name}`, child]);
  }
}
