// The whole state as plain data, and back: for live update of the service, and for moving it to another process.
// A transaction is kept by its id only and ends in EAGAIN, which its client must be ready for at any time.
import type { Connection } from './connection.ts';
import type { Domain } from './domains.ts';
import type { Perms } from './perms.ts';
import { formatPerm, parsePerm } from './perms.ts';
import { isSpecial, isValidPath, parentOf } from './path.ts';
import type { StoreOptions } from './store.ts';
import { Store } from './store.ts';
import { walk } from './tree.ts';
import { XsError } from './wire.ts';

export interface StoreRecords {
  version: 1;
  generation: number;
  quotas: Record<string, number>;
  special: Record<string, string[]>;
  domains: Pick<Domain, 'domid' | 'generation' | 'introduced' | 'shutdown' | 'target'>[];
  /** Parents before children, siblings in order. `*` after a permission: its domain is gone. */
  nodes: { path: string; value: string; perms: string[]; generation: number }[];
  connections: ConnectionRecord[];
}

export interface ConnectionRecord {
  domid: number;
  privileged: boolean;
  error: number;
  nextTransaction: number;
  transactions: number[];
  watches: { path: string; token: string; depth?: number | undefined; prefix: string }[];
  /** Bytes of an incomplete request, and of messages not sent yet; base64 like the values of nodes. */
  input: string;
  output: { bytes: string; event?: string | undefined }[];
}

const pack = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const unpack = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
const packPerms = (perms: Perms): string[] => perms.map((perm) => formatPerm(perm) + (perm.stale ? '*' : ''));
const unpackPerms = (perms: string[]): Perms =>
  perms.map((text) => (text.endsWith('*') ? { ...parsePerm(text.slice(0, -1)), stale: true } : parsePerm(text)));

function connectionRecord(connection: Connection): ConnectionRecord {
  const { domid, privileged, error, nextTransaction } = connection;
  const watches = [...connection.watches.values()].map(({ path, token, depth, prefix }) => ({
    path,
    token,
    depth,
    prefix,
  }));
  const output = [...connection.pending()].map(({ bytes, event }) => ({ bytes: pack(bytes), event }));
  const transactions = [...connection.transactions.keys()];
  return {
    domid,
    privileged,
    error,
    nextTransaction,
    transactions,
    watches,
    input: pack(connection.partial()),
    output,
  };
}

export function toRecords(store: Store): StoreRecords {
  const nodes = [...walk(store.tree.root, '/')].map(([path, { value, perms, generation }]) => {
    return { path, value: pack(value), perms: packPerms(perms), generation };
  });
  const domains = [...store.domains.all()].map(({ domid, generation, introduced, shutdown, target }) => {
    return { domid, generation, introduced, shutdown, target };
  });
  return {
    version: 1,
    generation: store.generation,
    quotas: { ...store.quotas },
    special: Object.fromEntries([...store.special].map(([name, perms]) => [name, packPerms(perms)])),
    domains,
    nodes,
    connections: [...store.connections].map(connectionRecord),
  };
}

/** A store in the recorded state. Its connections are in the records' order, for their owners to attach to again. */
export function fromRecords(records: StoreRecords, options: StoreOptions = {}): Store {
  if (records.version !== 1) throw new XsError('EINVAL', 'unknown version');
  const store = new Store({ ...options, quotas: { ...records.quotas } });
  for (const domain of records.domains) {
    const usage = { nodes: domain.domid === 0 ? 1 : 0, memory: store.domains.peek(domain.domid)?.memory ?? 0 };
    store.domains.put({ ...domain, ...usage, watchMemory: 0 });
  }
  for (const [name, perms] of Object.entries(records.special)) store.special.set(name, unpackPerms(perms));
  for (const node of records.nodes) restoreNode(store, node);
  store.generation = records.generation;
  for (const record of records.connections) restoreConnection(store, record);
  return store;
}

function restoreNode(store: Store, record: StoreRecords['nodes'][number]): void {
  const { path, generation } = record;
  const perms = unpackPerms(record.perms);
  if (!isValidPath(path) || perms.length === 0) throw new XsError('EINVAL', `bad node record ${path}`);
  const { tree } = store;
  if (path === '/') {
    const before = { ...tree.root };
    Object.assign(tree.own('/'), { value: unpack(record.value), perms, generation });
    return store.account('/', before, tree.root);
  }
  const parent = tree.get(parentOf(path));
  if (!parent || tree.get(path)) throw new XsError('EINVAL', `node record out of order ${path}`);
  const before = { ...parent };
  const node = tree.add(path, unpack(record.value), perms, generation);
  store.account(parentOf(path), before, tree.get(parentOf(path)));
  store.account(path, undefined, node);
}

function restoreConnection(store: Store, record: ConnectionRecord): void {
  const connection = store.connect(record.domid, record.privileged);
  for (const { path, token, depth, prefix } of record.watches) {
    if (!isSpecial(path) && !isValidPath(path)) throw new XsError('EINVAL', `bad watch record ${path}`);
    store.restoreWatch({ connection, path, token, depth, prefix });
  }
  for (const id of record.transactions) store.openTransaction(connection, id, true);
  connection.nextTransaction = record.nextTransaction;
  for (const { bytes, event } of record.output) connection.restorePending(unpack(bytes), event);
  connection.restoreInput(unpack(record.input));
  if (record.error !== 0) connection.fail(record.error);
}
