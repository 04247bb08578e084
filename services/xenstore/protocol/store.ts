// The store: nodes, permissions, watches, transactions, domains. No I/O; time and the existence of domains are asked for.
import type { Node, View } from './tree.ts';
import { makeNode, removeChild, Tree, walk } from './tree.ts';
import { Transaction } from './transaction.ts';
import type { Perms } from './perms.ts';
import { accessFor, ownedBy, OWNER, ownerOf, READ, WRITE } from './perms.ts';
import type { Domain, Quota, Quotas, Sized, Usage } from './domains.ts';
import { DEFAULT_QUOTAS, DEFAULT_SOFT_MEMORY, Delta, Domains, memoryOf, nodeCost, nodeSize } from './domains.ts';
import type { Watch } from './watches.ts';
import { WatchIndex } from './watches.ts';
import type { ConnectionLimits, OnMessage, Request } from './connection.ts';
import { Connection } from './connection.ts';
import { canonicalise, domainPath, isSpecial, nameOf, parentOf, REL_PATH_MAX } from './path.ts';
import type { Administration } from './control.ts';
import { dispatch } from './messages.ts';
import { XsError } from './wire.ts';

export interface StoreOptions {
  quotas?: Partial<Quotas>;
  /** Does the hypervisor know this domain? Nodes can be given only to domains that exist. */
  domainExists?: (domid: number) => boolean;
  /** Milliseconds, for the expiry of unread events only. */
  now?: () => number;
  /** INTRODUCE: whoever owns rings maps the page and binds the port; throws an XsError to refuse. */
  onIntroduce?: (domid: number, gfn: number, port: number) => void;
  /** RELEASE: the ring of that domain is no longer served. */
  onRelease?: (domid: number) => void;
  /** CONTROL print, and warnings. */
  onPrint?: (text: string) => void;
}

const DOMID_FIRST_RESERVED = 0x7ff0;
const PRIVILEGED_LIMITS: ConnectionLimits = { outstanding: Infinity, queue: 64 * 1024 * 1024 };
/** An event that an unprivileged client has not read for that long is dropped. */
export const EVENT_TIMEOUT_MS = 20_000;

const watchCost = ({ path, token }: Pick<Watch, 'path' | 'token'>): number => path.length + token.length;

export type LogMessage = (connection: Connection, ...message: Parameters<OnMessage>) => void;

export type SpecialEvent = '@introduceDomain' | '@releaseDomain';

/** On whose behalf, and in which transaction, an operation runs. */
export interface Context {
  readonly connection: Connection;
  readonly transaction?: Transaction | undefined;
}

export class Store {
  readonly options: StoreOptions;
  readonly quotas: Quotas;
  /** Set by who owns the log and the process: what CONTROL can have done there. */
  administration: Administration = {};
  softMemory = DEFAULT_SOFT_MEMORY;
  /** What is restored was admitted before: quotas that have shrunk since do not count. */
  restoring = false;
  readonly domains: Domains;
  readonly watches = new WatchIndex();
  readonly connections = new Set<Connection>();
  readonly special = new Map<string, Perms>();
  readonly tree = new Tree(ownedBy(0));
  generation = 0;
  readonly #scratch = new Delta();
  readonly #now: () => number;
  #serial = 0;
  #onLog: LogMessage | undefined;

  constructor(options: StoreOptions = {}) {
    this.options = options;
    this.#now = options.now ?? (() => performance.now());
    this.quotas = { ...DEFAULT_QUOTAS, ...options.quotas };
    this.domains = new Domains(this.quotas, options.domainExists ?? ((domid) => domid < DOMID_FIRST_RESERVED));
    for (const name of ['@introduceDomain', '@releaseDomain']) this.special.set(name, ownedBy(0));
    this.account('/', undefined, this.tree.get('/'));
  }

  // --- connections and domains ---

  /** A new client. Domain 0 and tools are privileged. */
  connect(domid: number, privileged = domid === 0, serial = this.#serial + 1): Connection {
    this.#serial = Math.max(this.#serial, serial);
    const connection: Connection = new Connection({
      serial,
      domid,
      privileged,
      limits: privileged ? PRIVILEGED_LIMITS : this.#limits(domid),
      handle: (from, request: Request) => dispatch(this, from, request),
      now: this.#now,
    });
    if (!privileged) connection.target = this.#domainOf(connection).target;
    this.connections.add(connection);
    this.#log(connection);
    return connection;
  }

  /** Called with every message of every connection, while CONTROL has the log on. */
  set onLog(onLog: LogMessage | undefined) {
    this.#onLog = onLog;
    for (const connection of this.connections) this.#log(connection);
  }

  get onLog(): LogMessage | undefined {
    return this.#onLog;
  }

  #log(connection: Connection): void {
    const onLog = this.#onLog;
    connection.onLog = onLog && ((...message) => onLog(connection, ...message));
  }

  #limits(domid: number): ConnectionLimits {
    const { domains } = this;
    return {
      get outstanding() {
        return domains.limit(domid, 'outstanding');
      },
      get queue() {
        return Math.min(domains.limit(domid, 'memory'), PRIVILEGED_LIMITS.queue);
      },
    };
  }

  #domainOf(connection: Connection): Domain {
    const domain = this.domains.find(connection.domid, this.generation + 1);
    if (!domain) throw new XsError('ENOENT', 'no such domain');
    return domain;
  }

  disconnect(connection: Connection): void {
    this.resetWatches(connection);
    connection.close();
    this.connections.delete(connection);
  }

  /** The client starts over on the same ring: watches, transactions and what was in flight are gone. */
  reconnect(connection: Connection): void {
    this.resetWatches(connection);
    connection.restart();
  }

  resetWatches(connection: Connection): void {
    for (const watch of connection.watches.values()) this.#dropWatch(connection, watch);
    connection.watches.clear();
    for (const transaction of connection.transactions.values()) this.#dropTransaction(connection, transaction);
  }

  introduce(domid: number, gfn: number, port: number): void {
    const domain = this.domains.find(domid, this.generation + 1);
    if (!domain) throw new XsError('ENOENT', 'no such domain');
    this.options.onIntroduce?.(domid, gfn, port);
    const known = domain.introduced !== undefined;
    domain.introduced = port;
    if (!known) this.fireSpecial('@introduceDomain', domid);
  }

  release(domid: number): void {
    this.#introduced(domid);
    this.options.onRelease?.(domid);
    this.domainDestroyed(domid);
  }

  setTarget(domid: number, target: number): void {
    const domain = this.#introduced(domid);
    this.#introduced(target);
    domain.target = target;
    for (const each of this.connections) if (each.domid === domid && !each.privileged) each.target = target;
  }

  resume(domid: number): void {
    this.#introduced(domid).shutdown = false;
  }

  #introduced(domid: number) {
    const domain = this.domains.peek(domid);
    if (domain?.introduced === undefined) throw new XsError('ENOENT', 'domain not introduced');
    return domain;
  }

  /** The hypervisor says that a domain has shut down; told once until it resumes. */
  domainShutdown(domid: number): void {
    const domain = this.domains.peek(domid);
    if (domain?.introduced === undefined || domain.shutdown) return;
    domain.shutdown = true;
    this.fireSpecial('@releaseDomain', domid);
  }

  /** A domain is no more: its connections end, what it owned goes with everything below, its id means nobody. */
  domainDestroyed(domid: number): void {
    const domain = this.domains.peek(domid);
    if (!domain || domid === 0) return;
    for (const each of [...this.connections]) if (each.domid === domid && !each.privileged) this.disconnect(each);
    this.#removeOwned(domain);
    this.domains.forget(domid);
    for (const [name, perms] of this.special) {
      const left = perms.filter((perm) => perm.domid !== domid);
      this.special.set(name, ownerOf(perms) === domid ? ownedBy(0) : left);
    }
    for (const each of this.domains.all()) if (each.target === domid) each.target = undefined;
    for (const each of this.connections) if (each.target === domid) each.target = undefined;
    if (domain.introduced !== undefined) this.fireSpecial('@releaseDomain', domid);
  }

  #removeOwned(domain: Domain): void {
    if (domain.nodes <= 0) return;
    const owned = (node: Node) => ownerOf(node.perms) === domain.domid;
    const paths: string[] = [];
    for (const [path, node] of walk(this.tree, '/')) {
      if (owned(node)) paths.push(path);
      if (paths.length === domain.nodes) break;
    }
    // A node whose parent went before it is gone already; the root changes hands instead.
    for (const path of paths) if (path !== '/' && this.tree.get(path)) this.#removeTree(undefined, path);
    const root = this.tree.get('/')!;
    if (!owned(root)) return;
    this.account('/', root, { ...root, perms: ownedBy(0) });
    this.#touch(undefined, '/').perms = ownedBy(0);
  }

  // --- node operations ---

  path(context: Context, path: string): string {
    const { domid, privileged } = context.connection;
    return canonicalise(path, domainPath(domid), privileged ? undefined : this.domains.limit(domid, 'path-max'));
  }

  read(context: Context, path: string): string {
    return this.node(context, path, READ).value;
  }

  /** The node, or the error that its caller may know: where even the parents are closed, "not found" reads EACCES. */
  node(context: Context, path: string, needed: number): Node {
    const node = this.lookup(context, path);
    if (node && (this.#access(context.connection, node) & needed) === needed) return node;
    let above = path;
    let parent: Node | undefined;
    do {
      above = parentOf(above);
      parent = this.lookup(context, above);
    } while (!parent);
    const known = this.#access(context.connection, parent) & needed;
    throw new XsError(!node && known ? 'ENOENT' : 'EACCES', path);
  }

  lookup(context: Context, path: string): Node | undefined {
    return this.#view(context).get(path);
  }

  /** Creates or overwrites; returns without change if the node exists and `value` is undefined (MKDIR). */
  write(context: Context, path: string, value: string | undefined): void {
    const node = this.#writable(context, path);
    if (!node) this.#create(context, path, value ?? '');
    else if (value !== undefined) this.#change(context, path, node, value, node.perms);
    else return;
    this.#fire(context, path, false);
  }

  #writable(context: Context, path: string): Node | undefined {
    try {
      return this.node(context, path, WRITE);
    } catch (error) {
      if (error instanceof XsError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Makes a node and its missing parents. Each inherits its parent's permissions; a guest owns what it makes. */
  #create(context: Context, path: string, value: string): void {
    const { connection } = context;
    const missing = [path];
    let top = parentOf(path);
    for (; !this.lookup(context, top); top = parentOf(top)) missing.unshift(top);
    const parent = this.lookup(context, top)!;
    let perms = this.domains.settle(parent.perms, parent.generation);
    if (!connection.privileged) perms = [{ ...perms[0]!, domid: connection.domid }, ...perms.slice(1)];

    const delta = this.#delta();
    const grown = { ...parent, childBytes: parent.childBytes + nameOf(missing[0]!).length + 1 };
    this.#checkSize(context, grown);
    delta.change(top, parent, grown);
    missing.forEach((each, index) => {
      const next = missing[index + 1];
      const size = { value: next ? '' : value, perms, childBytes: next ? nameOf(next).length + 1 : 0 };
      this.#checkSize(context, size);
      delta.change(each, undefined, size);
    });
    this.#apply(context, delta);
    const view = this.#view(context);
    this.#touch(context, top);
    for (const each of missing) view.add(each, makeNode(each === path ? value : '', perms, ++this.generation));
  }

  #change(context: Context, path: string, before: Node, value: string, perms: Perms): void {
    const after = { value, perms, childBytes: before.childBytes };
    this.#checkSize(context, after);
    const delta = this.#delta();
    delta.change(path, before, after);
    this.#apply(context, delta);
    const given = perms === before.perms ? undefined : perms;
    const node = this.#touch(context, path);
    node.value = value;
    if (given) node.perms = given;
  }

  remove(context: Context, path: string): void {
    const node = this.#writable(context, path);
    if (path === '/') throw new XsError('EINVAL', 'the root stays');
    // A transaction may hold on to a node that others have removed together with its parent.
    if (!this.lookup(context, parentOf(path))) throw new XsError('ENOENT', path);
    if (node) this.#removeTree(context, path);
  }

  /** `context` undefined: the store itself clears up, and nobody is told. */
  #removeTree(context: Context | undefined, path: string): void {
    const view = this.#view(context);
    const doomed = [...walk(view, path)];
    const parentPath = parentOf(path);
    const parent = view.get(parentPath)!;
    const delta = this.#delta();
    for (const [each, node] of doomed) delta.change(each, node, undefined);
    delta.change(parentPath, parent, { ...parent, childBytes: parent.childBytes - nameOf(path).length - 1 });
    this.#apply(context, delta);
    removeChild(this.#touch(context, parentPath), nameOf(path));
    // Children are told before their parent, and only to those who watch that very node.
    for (const [each, node] of doomed.reverse()) {
      view.drop(each);
      if (context) this.#fire(context, each, each !== path, node);
    }
  }

  perms(context: Context, path: string): Perms {
    const special = this.special.get(path);
    if (!special) return this.node(context, this.path(context, path), READ).perms;
    if (!(this.#specialAccess(context.connection, special) & READ)) throw new XsError('EACCES', path);
    return special;
  }

  setPerms(context: Context, path: string, perms: Perms): void {
    const { connection } = context;
    if (perms.length === 0) throw new XsError('EINVAL', 'no permissions');
    if (!connection.privileged && perms.length > this.#limit(connection, 'permissions'))
      throw new XsError('ENOSPC', 'permissions');
    const special = this.special.get(path);
    if (special) {
      if (!(this.#specialAccess(connection, special) & OWNER)) throw new XsError('EACCES', path);
      this.special.set(path, this.#name(perms));
      return;
    }
    const absolute = this.path(context, path);
    const node = this.node(context, absolute, WRITE | OWNER);
    if (!connection.privileged && ownerOf(perms) !== ownerOf(node.perms)) throw new XsError('EPERM', 'owner');
    const before = { ...node };
    this.#change(context, absolute, node, node.value, this.#name(perms));
    this.#fire(context, absolute, false, before);
  }

  /** Ties permissions to the domains that exist now; the owner has to be one of them. */
  #name(perms: Perms): Perms {
    const known = perms.map((perm) => this.domains.find(perm.domid, this.generation + 1) !== undefined);
    if (!known[0]) throw new XsError('ENOENT', 'no such domain');
    return perms.map((perm, index) => (known[index] ? perm : { ...perm, stale: true }));
  }

  // --- transactions ---

  begin(connection: Connection): Transaction {
    if (!connection.privileged && connection.transactions.size >= this.#limit(connection, 'transactions')) {
      throw new XsError('ENOSPC', 'transaction quota');
    }
    let id = connection.nextTransaction;
    while (id === 0 || connection.transactions.has(id)) id = (id + 1) >>> 0;
    connection.nextTransaction = (id + 1) >>> 0;
    return this.openTransaction(connection, id);
  }

  openTransaction(connection: Connection, id: number): Transaction {
    const transaction = new Transaction(id, this.tree, (by, bytes) => this.#admit(connection, by, bytes));
    connection.transactions.set(id, transaction);
    return transaction;
  }

  #admit(connection: Connection, transaction: Transaction, bytes: number): void {
    if (connection.privileged) return;
    const domain = this.#domainOf(connection);
    if (!this.restoring) {
      if (transaction.accessed.size >= this.#limit(connection, 'transaction-nodes')) {
        throw new XsError('ENOSPC', 'transaction too large');
      }
      this.domains.check(domain, transaction.delta.usage(domain.domid), { nodes: 0, memory: bytes });
    }
    domain.transactionMemory += bytes;
  }

  #dropTransaction(connection: Connection, transaction: Transaction): void {
    connection.transactions.delete(transaction.id);
    const domain = connection.privileged ? undefined : this.domains.peek(connection.domid);
    if (domain) domain.transactionMemory -= transaction.memory;
  }

  end(connection: Connection, transaction: Transaction, commit: boolean): void {
    this.#dropTransaction(connection, transaction);
    if (!commit) return;
    const alive = ([domid, usage]: [number, Usage]) =>
      usage.nodes <= 0 || this.domains.find(domid, this.generation + 1);
    if (transaction.conflicts || ![...transaction.delta.byDomain].every(alive)) {
      throw new XsError('EAGAIN', 'conflict');
    }
    this.#apply({ connection }, transaction.delta);
    transaction.commit();
    for (const [path, access] of transaction.accessed) {
      if (access.fire) this.#fireNow(connection, path, access.fire.exact, access.before);
    }
  }

  // --- watches ---

  watch(connection: Connection, path: string, token: string, depth?: number): () => void {
    const special = path.startsWith('@');
    if (special && (!isSpecial(path) || path.length > REL_PATH_MAX)) throw new XsError('EINVAL', 'bad event');
    const absolute = special ? path : this.path({ connection }, path);
    const key = `${absolute}\0${token}`;
    if (connection.watches.has(key)) throw new XsError('EEXIST', 'watch exists');
    if (!connection.privileged) {
      if (connection.watches.size >= this.#limit(connection, 'watches')) throw new XsError('E2BIG', 'watch quota');
      const memory = watchCost({ path: absolute, token });
      this.domains.check(this.#domainOf(connection), Delta.NONE, { nodes: 0, memory });
    }
    const prefix = special || path.startsWith('/') ? '' : `${domainPath(connection.domid)}/`;
    this.restoreWatch({ connection, path: absolute, token, depth, prefix });
    // A watch fires once when set, whatever its setter may read: a client need not ask for a first value separately.
    return () => connection.event(path, token, connection);
  }

  /** Registers a watch as it is: checked already, and without its first event. */
  restoreWatch(fields: Omit<Watch, 'serial'>): void {
    const { connection, path, token } = fields;
    connection.watches.set(`${path}\0${token}`, this.watches.add(fields));
    if (!connection.privileged) this.#domainOf(connection).watchMemory += watchCost(fields);
  }

  unwatch(connection: Connection, path: string, token: string): void {
    const absolute = path.startsWith('@') ? path : this.path({ connection }, path);
    const watch = connection.watches.get(`${absolute}\0${token}`);
    if (!watch) throw new XsError('ENOENT', 'no such watch');
    connection.watches.delete(`${absolute}\0${token}`);
    this.#dropWatch(connection, watch);
  }

  #dropWatch(connection: Connection, watch: Watch): void {
    this.watches.remove(watch);
    const domain = connection.privileged ? undefined : this.domains.peek(connection.domid);
    if (domain) domain.watchMemory -= watchCost(watch);
  }

  fireSpecial(name: SpecialEvent, domid: number): void {
    const perms = this.special.get(name)!;
    const fire = (path: string) => {
      for (const watch of this.watches.at(path)) {
        if (!(this.#specialAccess(watch.connection, perms) & READ)) continue;
        watch.connection.event(watch.depth ? `${name}/${domid}` : path, watch.token, undefined);
      }
    };
    fire(name);
    fire(`${name}/${domid}`);
  }

  /** Drops events that unprivileged clients have left unread for too long. Whoever owns a ring calls it while some wait. */
  expireEvents(now = this.#now()): void {
    for (const connection of this.connections)
      if (!connection.privileged) connection.dropEvents(now - EVENT_TIMEOUT_MS);
  }

  // --- accounts ---

  /** Recounts what is stored and compares it with the accounts: the consistency check behind CONTROL check. */
  check(): string[] {
    const found = new Map<number, Usage>();
    for (const [path, node] of walk(this.tree, '/')) {
      const usage = found.get(ownerOf(node.perms)) ?? Delta.NONE;
      found.set(ownerOf(node.perms), { nodes: usage.nodes + 1, memory: usage.memory + nodeCost(path, node) });
    }
    const wrong: string[] = [];
    for (const domain of this.domains.all()) {
      const { nodes, memory } = found.get(domain.domid) ?? Delta.NONE;
      found.delete(domain.domid);
      if (nodes === domain.nodes && memory === domain.memory) continue;
      wrong.push(`domain ${domain.domid}: ${domain.nodes}/${domain.memory}, found ${nodes}/${memory}`);
    }
    for (const domid of found.keys()) wrong.push(`domain ${domid} is unknown and owns nodes`);
    return wrong;
  }

  /** Books one node's change for good. */
  account(path: string, before: Sized | undefined, after: Sized | undefined): void {
    const delta = new Delta();
    delta.change(path, before, after);
    this.#apply(undefined, delta);
  }

  /** Books a change of what domains own: into the transaction, or for good. Refuses what an unprivileged caller has no room for. */
  #apply(context: Context | undefined, delta: Delta): void {
    const { transaction, connection } = context ?? {};
    if (connection && !connection.privileged) {
      for (const [domid, extra] of delta.byDomain) {
        const held = this.domains.peek(domid);
        if (domid === 0 || !held) continue;
        this.domains.check(held, transaction?.delta.usage(domid) ?? Delta.NONE, extra);
      }
    }
    if (transaction) return transaction.delta.addAll(delta);
    for (const [domid, usage] of delta.byDomain) {
      const domain = this.domains.find(domid, this.generation + 1);
      if (!domain) continue;
      domain.nodes += usage.nodes;
      domain.memory += usage.memory;
      const above = domid !== 0 && this.softMemory > 0 && memoryOf(domain) > this.softMemory;
      if (above && !domain.warned)
        this.options.onPrint?.(`domain ${domid} takes ${memoryOf(domain)} bytes in the store`);
      domain.warned = above;
    }
  }

  #limit(connection: Connection, name: Quota): number {
    return this.domains.limit(connection.domid, name);
  }

  #checkSize(context: Context, node: Sized): void {
    if (!context.connection.privileged && nodeSize(node) >= this.#limit(context.connection, 'node-size')) {
      throw new XsError('ENOSPC', 'node too large');
    }
  }

  // --- inner parts ---

  #view(context: Context | undefined): View {
    return context?.transaction ?? this.tree;
  }

  /** For one operation's bookkeeping. */
  #delta(): Delta {
    this.#scratch.byDomain.clear();
    return this.#scratch;
  }

  /** The node about to be changed, in its new generation. */
  #touch(context: Context | undefined, path: string): Node {
    const node = this.#view(context).own(path);
    node.perms = this.domains.settle(node.perms, node.generation);
    node.generation = ++this.generation;
    return node;
  }

  #access(connection: Connection, node: Node): number {
    if (connection.privileged) return READ | WRITE | OWNER;
    return accessFor(connection, node.perms, (perm) => this.domains.isLive(perm, node.generation));
  }

  #specialAccess(connection: Connection, perms: Perms): number {
    return accessFor(connection, perms, (perm) => this.domains.peek(perm.domid) !== undefined);
  }

  #fire(context: Context, path: string, exact: boolean, before?: Node): void {
    const { transaction, connection } = context;
    if (transaction) transaction.accessed.get(path)!.fire = { exact };
    else this.#fireNow(connection, path, exact, before);
  }

  /** An event goes to those who can read the node, could read it before its permissions changed or it went, or can read its parent. */
  #fireNow(origin: Connection, path: string, exact: boolean, before: Node | undefined): void {
    if (this.watches.empty) return;
    const concerned = this.watches.concerned(path, exact);
    if (concerned.length === 0) return;
    const visible = [before, this.tree.get(path), this.tree.get(parentOf(path))];
    for (const { connection, token, prefix } of concerned) {
      if (!visible.some((node) => node && this.#access(connection, node) & READ)) continue;
      const shown = prefix && path.startsWith(prefix) ? path.slice(prefix.length) : path;
      connection.event(shown, token, origin.privileged ? undefined : origin);
    }
  }
}
