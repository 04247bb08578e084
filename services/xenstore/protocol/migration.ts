// The whole state as Xen's migration stream, and a store made of one: for a restart of the service that no guest notices.
// The stream has no place for three things; DOMAIN_DATA carries two as values under names that only we know, as it allows
// ("introduced", the port, and "shutdown"). The third, that a transaction has lost already, is said by a contradiction: a
// transaction that has read the root as missing.
import type { Connection } from './connection.ts';
import type { Quota } from './domains.ts';
import { QUOTA_NAMES } from './domains.ts';
import type { Perms } from './perms.ts';
import { formatPerm, parsePerm } from './perms.ts';
import { canonicalise, domainPath, isSpecial, isValidPath, nameOf, parentOf } from './path.ts';
import type { RecordReader } from './records.ts';
import { readRecords, RECORD, RecordWriter } from './records.ts';
import type { StoreOptions } from './store.ts';
import { Store } from './store.ts';
import type { Access, Transaction } from './transaction.ts';
import type { Node } from './tree.ts';
import { makeNode, removeChild, walk } from './tree.ts';
import { HEADER_SIZE, PAYLOAD_MAX, payloadLength, XsError } from './wire.ts';

const NO_FD = 0xffffffff;
const CONNECTION = { RING: 0, SOCKET: 1 } as const;
const DOMID_INVALID = 0x7ff4;
const ANY_DEPTH = 0xffff;
const STALE = 1;
const ACCESS = { READ: 1, WRITTEN: 2 } as const;
/** A name without its quota's meaning, in GLOBAL_QUOTA_DATA. */
const SOFT_MEMORY = 'memory-soft';

// --- writing ---

export function saveStore(store: Store): Buffer {
  const out = new RecordWriter();
  out.u32(NO_FD, NO_FD).end(RECORD.GLOBAL_DATA);
  const quotas = [...QUOTA_NAMES.map((name) => store.quotas[name]), store.softMemory];
  out.u16(quotas.length, 0).u32(...quotas);
  out.text([...QUOTA_NAMES, SOFT_MEMORY].map((name) => `${name}\0`).join('')).end(RECORD.GLOBAL_QUOTA_DATA);
  for (const connection of store.connections) saveConnection(out, store, connection);
  saveWatches(out, store);
  const domains = [...store.domains.all()].sort((a, b) => a.domid - b.domid);
  for (const { domid, features, quotas: own, introduced, shutdown } of domains) {
    const values: [string, number][] = Object.entries(own);
    if (introduced !== undefined) values.push(['introduced', introduced]);
    if (shutdown) values.push(['shutdown', 1]);
    out.u16(domid, values.length).u32(features, ...values.map(([, value]) => value));
    out.text(values.map(([name]) => `${name}\0`).join('')).end(RECORD.DOMAIN_DATA);
  }
  for (const [path, node] of walk(store.tree, '/')) saveNode(out, store, path, node);
  for (const [path, perms] of store.special) saveNode(out, store, path, makeNode('', perms, Infinity));
  for (const connection of store.connections) {
    for (const transaction of connection.transactions.values()) saveTransaction(out, store, connection, transaction);
  }
  return out.finish();
}

function saveConnection(out: RecordWriter, store: Store, connection: Connection): void {
  const { serial, domid, privileged, target } = connection;
  if (privileged) out.u32(serial).u16(CONNECTION.SOCKET, 0).u32(NO_FD, 0);
  else {
    const port = store.domains.peek(domid)?.introduced ?? 0;
    out
      .u32(serial)
      .u16(CONNECTION.RING, 0)
      .u16(domid, target ?? DOMID_INVALID)
      .u32(port);
  }
  const input = connection.partial();
  const pending = [...connection.pending()];
  const begun = pending[0]?.whole === false ? pending[0].bytes.length : 0;
  const output = Buffer.concat(pending.map(({ bytes }) => bytes));
  out.u16(input.length, begun).u32(output.length).bytes(input).bytes(output).end(RECORD.CONNECTION_DATA);
}

/** In order of registration, which is the order of delivery. */
function saveWatches(out: RecordWriter, store: Store): void {
  const watches = [...store.connections].flatMap(({ watches }) => [...watches.values()]);
  for (const { connection, path, prefix, token, depth } of watches.sort((a, b) => a.serial - b.serial)) {
    const given = path.slice(prefix.length);
    out.u32(connection.serial).u16(given.length + 1, token.length + 1);
    out.u16(Math.min(depth ?? ANY_DEPTH, ANY_DEPTH), 0).text(`${given}\0${token}\0`);
    out.end(RECORD.WATCH_DATA_EXTENDED);
  }
}

function saveNode(
  out: RecordWriter,
  store: Store,
  path: string,
  node: Node | undefined,
  by = { serial: 0, id: 0 },
  access = 0,
): void {
  const perms = node ? store.domains.settle(node.perms, node.generation) : [];
  const value = node?.value ?? '';
  out.u32(by.serial, by.id).u16(path.length + 1, value.length, access, perms.length);
  for (const perm of perms) out.text(formatPerm(perm)[0]! + (perm.stale ? '\x01' : '\0')).u16(perm.domid);
  out.text(`${path}\0${value}`).end(RECORD.NODE_DATA);
}

/** A node whose child list alone has changed counts as read: its children tell the rest. */
function accessOf({ before, node, modified, fire }: Access): number {
  if (!node) return modified ? 0 : ACCESS.READ;
  return ACCESS.READ | (fire || !before ? ACCESS.WRITTEN : 0);
}

const depthOf = (path: string): number => (path === '/' ? 0 : path.split('/').length);

function saveTransaction(out: RecordWriter, store: Store, { serial }: Connection, transaction: Transaction): void {
  const by = { serial, id: transaction.id };
  out.u32(serial, transaction.id).end(RECORD.TRANSACTION_DATA);
  if (transaction.conflicts) return saveNode(out, store, '/', undefined, by, ACCESS.READ);
  const accessed = [...transaction.accessed].sort(([a], [b]) => depthOf(a) - depthOf(b)); // parents first
  for (const [path, access] of accessed) saveNode(out, store, path, access.node, by, accessOf(access));
}

// --- reading ---

/** A store in the saved state. Its connections keep their numbers, by which their owners find them again. */
export function restoreStore(stream: Uint8Array, options: StoreOptions = {}): Store {
  const store = new Store(options);
  const restorer = new Restorer(store);
  store.restoring = true;
  for (const record of readRecords(stream)) restorer.record(record);
  store.restoring = false;
  restorer.finish();
  return store;
}

class Restorer {
  readonly #store: Store;
  readonly #connections = new Map<number, Connection>();
  /** Bytes are given to a connection last: a request among them needs everything else. */
  readonly #data: (() => void)[] = [];
  readonly #transactions = new Set<Transaction>();

  constructor(store: Store) {
    this.#store = store;
  }

  record(record: RecordReader): void {
    switch (record.type) {
      case RECORD.GLOBAL_DATA:
        return;
      case RECORD.GLOBAL_QUOTA_DATA:
        return this.#quotas(record);
      case RECORD.CONNECTION_DATA:
        return this.#connection(record);
      case RECORD.WATCH_DATA:
        return this.#watch(record, false);
      case RECORD.WATCH_DATA_EXTENDED:
        return this.#watch(record, true);
      case RECORD.DOMAIN_DATA:
        return this.#domain(record);
      case RECORD.NODE_DATA:
        return this.#node(record);
      case RECORD.TRANSACTION_DATA: {
        const connection = this.#known(record.u32());
        this.#transactions.add(this.#store.openTransaction(connection, record.u32()));
        return;
      }
      default:
        throw new XsError('EINVAL', `record of unknown type ${record.type}`);
    }
  }

  finish(): void {
    for (const transaction of this.#transactions) {
      for (const [path, { before, node, modified }] of transaction.accessed) {
        if (modified) transaction.delta.change(path, before, node);
      }
    }
    for (const give of this.#data) give();
  }

  #known(serial: number): Connection {
    const connection = this.#connections.get(serial);
    if (!connection) throw new XsError('EINVAL', `record of unknown connection ${serial}`);
    return connection;
  }

  #quotas(record: RecordReader): void {
    const count = record.u16() + record.u16();
    const values = Array.from({ length: count }, () => record.u32());
    record.strings(count).forEach((name, index) => {
      if (name === SOFT_MEMORY) this.#store.softMemory = values[index]!;
      if (Object.hasOwn(this.#store.quotas, name)) this.#store.quotas[name as Quota] = values[index]!;
    });
  }

  #connection(record: RecordReader): void {
    const [serial, type] = [record.u32(), record.u16()];
    record.take(2);
    const [domid, target] = [record.u16(), record.u16()];
    record.take(4);
    const [inputLength, begun, outputLength] = [record.u16(), record.u16(), record.u32()];
    if (serial === 0 || this.#connections.has(serial) || type > CONNECTION.SOCKET || begun > outputLength) {
      throw new XsError('EINVAL', `bad connection record ${serial}`);
    }
    const ring = type === CONNECTION.RING;
    const connection = this.#store.connect(ring ? domid : 0, !ring, serial);
    this.#connections.set(serial, connection);
    if (ring && target !== DOMID_INVALID) {
      connection.target = target;
      this.#store.domains.peek(domid)!.target = target;
    }
    const [input, output] = [record.take(inputLength), record.take(outputLength)];
    this.#data.push(() => giveBack(connection, output, begun, input));
  }

  #watch(record: RecordReader, extended: boolean): void {
    const connection = this.#known(record.u32());
    const [pathLength, tokenLength] = [record.u16(), record.u16()];
    const depth = extended ? record.u16() : ANY_DEPTH;
    if (extended) record.take(2);
    const [given, token] = [record.string(pathLength), record.string(tokenLength)];
    const relative = !given.startsWith('/') && !isSpecial(given);
    const path = isSpecial(given) ? given : canonicalise(given, domainPath(connection.domid));
    const prefix = relative ? `${domainPath(connection.domid)}/` : '';
    this.#store.restoreWatch({ connection, path, token, depth: depth === ANY_DEPTH ? undefined : depth, prefix });
  }

  #domain(record: RecordReader): void {
    const domid = record.u16();
    const count = record.u16();
    const features = record.u32();
    const values = Array.from({ length: count }, () => record.u32());
    const names = record.strings(count);
    const domain = this.#store.domains.restore(domid);
    domain.features = features;
    names.forEach((name, index) => {
      if (name === 'introduced') domain.introduced = values[index]!;
      if (name === 'shutdown') domain.shutdown = true;
      if (Object.hasOwn(this.#store.quotas, name)) domain.quotas[name as Quota] = values[index]!;
    });
  }

  #node(record: RecordReader): void {
    const [serial, id] = [record.u32(), record.u32()];
    const [pathLength, valueLength, access, permCount] = [record.u16(), record.u16(), record.u16(), record.u16()];
    const perms: Perms = Array.from({ length: permCount }, () => {
      const letter = String.fromCharCode(record.u8());
      const flags = record.u8();
      const perm = parsePerm(`${letter}${record.u16()}`);
      // A domain may have no record of its own.
      const stale = (flags & STALE) !== 0 || !this.#store.domains.find(perm.domid, 0);
      return stale ? { ...perm, stale } : perm;
    });
    const path = record.string(pathLength);
    const value = record.text(valueLength);
    if (!isValidPath(path) && !(isSpecial(path) && serial === 0))
      throw new XsError('EINVAL', `bad node record ${path}`);
    if (serial !== 0) {
      const transaction = this.#known(serial).transactions.get(id);
      if (!transaction) throw new XsError('EINVAL', `record of unknown transaction ${id}`);
      return this.#pending(transaction, path, perms.length > 0 ? makeNode(value, perms, 0) : undefined, access);
    }
    if (perms.length === 0 || !this.#store.domains.peek(perms[0]!.domid))
      throw new XsError('EINVAL', `node record without an owner ${path}`);
    if (isSpecial(path)) this.#store.special.set(path, perms);
    else this.#committed(path, value, perms);
  }

  #committed(path: string, value: string, perms: Perms): void {
    const { tree } = this.#store;
    if (path === '/') {
      const before = { ...tree.get('/')! };
      const root = Object.assign(tree.own('/'), { value, perms, generation: ++this.#store.generation });
      return this.#store.account('/', before, root);
    }
    const parent = tree.get(parentOf(path));
    if (!parent || tree.get(path)) throw new XsError('EINVAL', `node record out of order ${path}`);
    const before = { ...parent };
    const node = makeNode(value, perms, ++this.#store.generation);
    tree.add(path, node);
    this.#store.account(parentOf(path), before, parent);
    this.#store.account(path, undefined, node);
  }

  /** Does again what the transaction had done to that node. */
  #pending(transaction: Transaction, path: string, node: Node | undefined, access: number): void {
    const seen = transaction.access(path);
    const generation = ++this.#store.generation;
    if (!(access & ACCESS.WRITTEN) && access & ACCESS.READ) {
      if ((seen.before === undefined) !== (node === undefined)) transaction.lost = true;
      return;
    }
    const above = parentOf(path);
    if (node && seen.node) Object.assign(transaction.own(path), { value: node.value, perms: node.perms, generation });
    else if (node || seen.node) {
      const parent = transaction.get(above);
      if (node && !parent) throw new XsError('EINVAL', `node record out of order ${path}`);
      if (node) transaction.add(path, { ...node, generation });
      else transaction.drop(path);
      if (parent) transaction.own(above).generation = generation;
      if (parent && !node) removeChild(transaction.own(above), nameOf(path));
    }
    seen.fire = { exact: node === undefined && transaction.accessed.get(above)?.node === undefined };
    seen.modified = true;
  }
}

/** What was not sent yet first, so that an answer to what was only half received comes behind it. */
function giveBack(connection: Connection, output: Buffer, begun: number, input: Buffer): void {
  if (begun > 0) connection.restorePending(output.subarray(0, begun), false);
  for (let at = begun; at < output.length; ) {
    const length = output.length - at >= HEADER_SIZE ? payloadLength(output, at) : Infinity;
    const end = at + HEADER_SIZE + length;
    if (length > PAYLOAD_MAX || end > output.length) throw new XsError('EINVAL', 'bad output in a connection record');
    connection.restorePending(output.subarray(at, end), true);
    at = end;
  }
  connection.restoreInput(input);
}
