// What the store knows of each domain: whether it has a connection of its own, and what it owns, against its quotas.
import { XsError } from './wire.ts';
import type { Node } from './tree.ts';
import type { Perm, Perms } from './perms.ts';
import { ownerOf } from './perms.ts';

/** Limits on unprivileged domains, with the C daemon's defaults and names. */
export const DEFAULT_QUOTAS = {
  nodes: 1000,
  watches: 128,
  transactions: 10,
  outstanding: 20,
  'transaction-nodes': 1024,
  memory: 2621440,
  'node-size': 2048,
  'path-max': 2048,
  permissions: 5,
};
export type Quotas = typeof DEFAULT_QUOTAS;
export const QUOTA_HELP: Record<keyof Quotas, string> = {
  nodes: 'nodes a domain may own',
  watches: 'watches a domain may set',
  transactions: 'transactions a domain may have open',
  outstanding: 'unread answers at which a domain is no longer read',
  'transaction-nodes': 'nodes one transaction may touch',
  memory: 'bytes a domain may take in the store',
  'node-size': 'bytes of one node',
  'path-max': 'bytes of a path',
  permissions: 'permission entries of one node',
};

export interface Usage {
  nodes: number;
  memory: number;
}

export interface Domain extends Usage {
  readonly domid: number;
  /** Nodes written before this generation named an earlier domain of the same id. */
  readonly generation: number;
  introduced?: { gfn: number; port: number } | undefined;
  shutdown: boolean;
  /** Bytes of paths and tokens that its watches hold; they count against the memory quota. */
  watchMemory: number;
  target?: number | undefined;
}

// The daemon's stored record: a header of 24 bytes, 8 a permission, then value and child names; the path is the key.
export const nodeSize = (node: Pick<Node, 'value' | 'perms' | 'childBytes'>): number =>
  24 + 8 * node.perms.length + node.value.length + node.childBytes;
export const nodeCost = (path: string, node: Node): number => nodeSize(node) + path.length;

export class Domains {
  readonly quotas: Quotas;
  readonly #exists: (domid: number) => boolean;
  readonly #known = new Map<number, Domain>();

  constructor(quotas: Quotas, exists: (domid: number) => boolean) {
    this.quotas = quotas;
    this.#exists = exists;
  }

  /** The record of a domain, made at its first mention; undefined if there is no such domain. */
  find(domid: number, generation: number): Domain | undefined {
    let domain = this.#known.get(domid);
    if (!domain && (domid === 0 || this.#exists(domid))) {
      domain = {
        domid,
        generation: domid === 0 ? 0 : generation,
        shutdown: false,
        watchMemory: 0,
        nodes: 0,
        memory: 0,
      };
      this.#known.set(domid, domain);
    }
    return domain;
  }

  peek(domid: number): Domain | undefined {
    return this.#known.get(domid);
  }

  all(): IterableIterator<Domain> {
    return this.#known.values();
  }

  put(domain: Domain): void {
    this.#known.set(domain.domid, domain);
  }

  forget(domid: number): void {
    this.#known.delete(domid);
  }

  /** Is the domain that `perm` names the one it named when its node was written, at `written`? */
  isLive(perm: Perm, written: number): boolean {
    if (perm.stale) return false;
    const domain = this.#known.get(perm.domid);
    return domain !== undefined && domain.generation <= written;
  }

  /** Permissions about to be written again under a new generation: what went stale must stay so. */
  settle(perms: Perms, written: number): Perms {
    const stale = (perm: Perm, index: number) => index > 0 && !perm.stale && !this.isLive(perm, written);
    return perms.some(stale) ? perms.map((perm, i) => (stale(perm, i) ? { ...perm, stale: true } : perm)) : perms;
  }
}

/** Changes of what domains own, gathered before anything is written so that a refusal leaves no trace. */
export class Delta {
  static readonly NONE: Usage = { nodes: 0, memory: 0 };

  readonly byDomain = new Map<number, Usage>();

  /** A node at `path` goes from `before` to `after`; either may be absent. */
  change(path: string, before: Node | undefined, after: Node | undefined): void {
    if (before) this.#add(ownerOf(before.perms), -1, -nodeCost(path, before));
    if (after) this.#add(ownerOf(after.perms), 1, nodeCost(path, after));
  }

  addAll(other: Delta): void {
    for (const [domid, usage] of other.byDomain) this.#add(domid, usage.nodes, usage.memory);
  }

  usage(domid: number): Usage {
    return this.byDomain.get(domid) ?? Delta.NONE;
  }

  #add(domid: number, nodes: number, memory: number): void {
    const usage = this.byDomain.get(domid);
    if (!usage) this.byDomain.set(domid, { nodes, memory });
    else [usage.nodes, usage.memory] = [usage.nodes + nodes, usage.memory + memory];
  }
}

/** Refuses growth of an unprivileged domain's share beyond its quotas. */
export function checkQuota(quotas: Quotas, held: Domain, pending: Usage, extra: Usage): void {
  const nodes = held.nodes + pending.nodes + extra.nodes;
  const memory = held.memory + held.watchMemory + pending.memory + extra.memory;
  if (extra.nodes > 0 && nodes > quotas.nodes) throw new XsError('ENOSPC', 'node quota');
  if (extra.memory > 0 && memory > quotas.memory) throw new XsError('ENOMEM', 'memory quota');
}
