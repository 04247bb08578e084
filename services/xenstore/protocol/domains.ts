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
export type Quota = keyof Quotas;
/** Bytes in the store from which on a domain is worth a warning. */
export const DEFAULT_SOFT_MEMORY = 2097152;
export const QUOTA_HELP: Record<Quota, string> = {
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
export const QUOTA_NAMES = Object.keys(QUOTA_HELP) as Quota[];

/** Bits of the ring page's feature word (io/xs_wire.h). */
export const SERVER_FEATURE = { RECONNECTION: 1, ERROR: 2, WATCH_DEPTH: 4 } as const;
export const FEATURES = SERVER_FEATURE.RECONNECTION | SERVER_FEATURE.ERROR | SERVER_FEATURE.WATCH_DEPTH;

export interface Usage {
  nodes: number;
  memory: number;
}

export interface Domain extends Usage {
  readonly domid: number;
  /** Nodes written before this generation named an earlier domain of the same id. */
  generation: number;
  /** The event channel port it was introduced with. */
  introduced?: number | undefined;
  shutdown: boolean;
  /** What its ring page says that the store can do. */
  features: number;
  /** Quotas of its own, where they differ from everybody's. */
  readonly quotas: Partial<Quotas>;
  /** It is above the soft limit and that has been said. */
  warned: boolean;
  /** Bytes of paths and tokens that its watches hold; they count against the memory quota. */
  watchMemory: number;
  /** Bytes that its open transactions hold on to, likewise. */
  transactionMemory: number;
  target?: number | undefined;
}

/** All that counts against the memory quota. */
export const memoryOf = ({ memory, watchMemory, transactionMemory }: Domain): number =>
  memory + watchMemory + transactionMemory;

// The daemon's stored record: a header of 24 bytes, 8 a permission, then value and child names; the path is the key.
export type Sized = Pick<Node, 'value' | 'perms' | 'childBytes'>;
export const nodeSize = (node: Sized): number => 24 + 8 * node.perms.length + node.value.length + node.childBytes;
export const nodeCost = (path: string, node: Sized): number => nodeSize(node) + path.length;

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
        features: FEATURES,
        quotas: {},
        warned: false,
        watchMemory: 0,
        transactionMemory: 0,
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

  /** The record of a domain that was known before a restart, and to which all permissions that are not stale were given. */
  restore(domid: number): Domain {
    const domain = this.find(domid, 0);
    if (!domain) throw new XsError('EINVAL', `record of domain ${domid}, which does not exist`);
    domain.generation = 0;
    return domain;
  }

  /** A quota as it holds for a domain; one of 0 is none. */
  limit(domid: number, name: Quota): number {
    const value = this.#known.get(domid)?.quotas[name] ?? this.quotas[name];
    return value === 0 ? Infinity : value;
  }

  /** Refuses growth of an unprivileged domain's share beyond its quotas. */
  check(held: Domain, pending: Usage, extra: Usage): void {
    const nodes = held.nodes + pending.nodes + extra.nodes;
    const memory = memoryOf(held) + pending.memory + extra.memory;
    if (extra.nodes > 0 && nodes > this.limit(held.domid, 'nodes')) throw new XsError('ENOSPC', 'node quota');
    if (extra.memory > 0 && memory > this.limit(held.domid, 'memory')) throw new XsError('ENOMEM', 'memory quota');
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
  change(path: string, before: Sized | undefined, after: Sized | undefined): void {
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
