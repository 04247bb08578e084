// Random operations against a naive model: a Map of nodes, transactions as whole copies.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { restoreStore, saveStore } from './migration.ts';
import { Store } from './store.ts';
import { formatPerm } from './perms.ts';
import { walk } from './tree.ts';
import { encodeMessage, XS } from './wire.ts';
import { random, RawClient } from '../testing.ts';

interface ModelNode {
  value: string;
  perms: string[];
}
type Model = Map<string, ModelNode>;

const up = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';
const emptyModel = (): Model => new Map([['/', { value: '', perms: ['n0'] }]]);
const below = (model: Model, path: string) => [...model.keys()].filter((each) => each.startsWith(`${path}/`));

function may(node: ModelNode, domid: number, letter: 'r' | 'w'): boolean {
  const [owner, ...others] = node.perms as [string, ...string[]];
  if (domid === 0 || owner === owner[0] + String(domid)) return true;
  const entry = others.find((each) => each.slice(1) === String(domid)) ?? owner;
  return entry[0] === letter || entry[0] === 'b';
}

/** '' if `domid` may use the node that way; else the error it gets. */
function refusal(model: Model, path: string, domid: number, letter: 'r' | 'w'): string {
  const node = model.get(path);
  if (node) return may(node, domid, letter) ? '' : 'EACCES';
  let above = up(path);
  while (!model.has(above)) above = up(above);
  return may(model.get(above)!, domid, letter) ? 'ENOENT' : 'EACCES';
}

function create(model: Model, path: string, value: string, domid: number): void {
  if (!model.has(up(path))) create(model, up(path), '', domid);
  const [owner, ...others] = model.get(up(path))!.perms as [string, ...string[]];
  model.set(path, { value, perms: [domid === 0 ? owner : owner[0] + String(domid), ...others] });
}

interface Operation {
  kind: 'read' | 'write' | 'mkdir' | 'rm' | 'ls' | 'getPerms' | 'chmod';
  path: string;
  value: string;
  perms: string[];
}

/** What the store ought to answer; changes the model accordingly. Lists are compared as sets, the model keeps no order. */
function expected(model: Model, domid: number, { kind, path, value, perms }: Operation): string {
  const writes = kind === 'write' || kind === 'mkdir' || kind === 'rm' || kind === 'chmod';
  const refused = refusal(model, path, domid, writes ? 'w' : 'r');
  const node = model.get(path);
  if (kind === 'rm') {
    if (refused === 'ENOENT') return model.has(up(path)) ? 'OK' : 'ENOENT';
    if (refused) return refused;
    if (path === '/') return 'EINVAL';
    for (const each of [path, ...below(model, path)]) model.delete(each);
    return 'OK';
  }
  if (refused === 'ENOENT' && (kind === 'write' || kind === 'mkdir')) {
    create(model, path, kind === 'write' ? value : '', domid);
    return 'OK';
  }
  if (refused) return refused;
  if (kind === 'read') return node!.value;
  if (kind === 'getPerms') return node!.perms.join().replaceAll('!', '');
  if (kind === 'ls') {
    const names = [...model.keys()].filter((each) => each !== '/' && up(each) === path);
    return names
      .map((each) => each.slice(each.lastIndexOf('/') + 1))
      .sort()
      .join();
  }
  if (kind === 'chmod') {
    const owner = node!.perms[0]!.slice(1);
    if (domid !== 0 && owner !== String(domid)) return 'EACCES';
    if (domid !== 0 && perms[0]!.slice(1) !== owner) return 'EPERM';
    model.set(path, { value: node!.value, perms });
  } else if (kind === 'write') {
    model.set(path, { value, perms: node!.perms });
  }
  return 'OK';
}

function perform(client: RawClient, { kind, path, value, perms }: Operation, tx: number): string {
  const list = (answer: string) => (answer.endsWith('\0') ? answer.slice(0, -1).split('\0') : answer ? [answer] : []);
  if (kind === 'ls') return list(client.ls(path, tx)).sort().join();
  if (kind === 'getPerms') return list(client.getPerms(path, tx)).join();
  if (kind === 'read') return client.read(path, tx);
  const answer =
    kind === 'write'
      ? client.write(path, value, tx)
      : kind === 'chmod'
        ? client.chmod(path, perms, tx)
        : client[kind](path, tx);
  return answer.replace(/\0$/, '');
}

const dumpModel = (model: Model) =>
  [...model].map(([path, { value, perms }]) => `${path}|${value}|${perms.join().replaceAll('!', '')}`).sort();
const dumpStore = (store: Store) =>
  [...walk(store.tree, '/')].map(([path, node]) => `${path}|${node.value}|${node.perms.map(formatPerm).join()}`).sort();

function randomOperation(next: (n: number) => number): Operation {
  const names = ['a', 'b', 'c'];
  const depth = 1 + next(4);
  const path = next(40) === 0 ? '/' : Array.from({ length: depth }, () => `/${names[next(3)]}`).join('');
  const perm = () => 'nrwb'[next(4)]! + String(next(3));
  const kinds = ['read', 'read', 'write', 'write', 'write', 'mkdir', 'rm', 'ls', 'getPerms', 'chmod', 'chmod'] as const;
  const perms = Array.from({ length: 1 + next(3) }, perm);
  return { kind: kinds[next(kinds.length)]!, path, value: String(next(1000)), perms };
}

interface Open {
  tx: number;
  /** What had been changed when it began. */
  changes: number;
  log: [Operation, string][];
}

/** Clients of domains 0, 1 and 2 on one store, the same operations on a model, and now and then a crash of somebody. */
class Run {
  readonly next: (n: number) => number;
  store = new Store();
  readonly model = emptyModel();
  clients = [0, 1, 2].map((domid) => new RawClient(this.store, domid));
  readonly open: (Open | undefined)[] = [];
  /** Of the model. */
  changes = 0;
  readonly count = { commits: 0, conflicts: 0, restarts: 0, deaths: 0, disconnects: 0 };

  constructor(seed: number) {
    this.next = random(seed * 7919);
    this.clients[0]!.chmod('/', ['b0']);
    this.#expect(0, { kind: 'chmod', path: '/', value: '', perms: ['b0'] });
  }

  #expect(domid: number, operation: Operation): string {
    if (!['read', 'ls', 'getPerms'].includes(operation.kind)) this.changes++;
    return expected(this.model, domid, operation);
  }

  step(): void {
    const { next } = this;
    const domid = next(3);
    if (next(100) === 0) return this.#crash(domid);
    const current = this.open[domid];
    if (!current && next(12) === 0) {
      this.open[domid] = { tx: this.clients[domid]!.begin(), changes: this.changes, log: [] };
    } else if (current && next(8) === 0) this.#end(domid, current);
    else {
      const operation = randomOperation(next);
      const inside = current && next(4) > 0 ? current : undefined;
      const answer = perform(this.clients[domid]!, operation, inside?.tx ?? 0);
      // What a transaction is told counts only if it commits; see there.
      if (inside) inside.log.push([operation, answer]);
      else assert.equal(answer, this.#expect(domid, operation), JSON.stringify([domid, operation]));
    }
  }

  #end(domid: number, current: Open): void {
    const commit = this.next(5) > 0;
    const verdict = this.clients[domid]!.end(current.tx, commit);
    this.open[domid] = undefined;
    if (!commit) return;
    if (verdict === 'EAGAIN') {
      this.count.conflicts++;
      assert.ok(this.changes > current.changes, 'nothing has happened that it could conflict with');
      return;
    }
    assert.equal(verdict, 'OK\0');
    this.count.commits++;
    // Serialisable: done at once now, the same operations would have had the same answers.
    for (const [operation, answer] of current.log) assert.equal(this.#expect(domid, operation), answer);
  }

  #crash(domid: number): void {
    const kind = this.next(3);
    if (kind === 0) this.#restart();
    else if (kind === 1 || domid === 0) {
      // The connection goes in the middle of whatever it did.
      this.count.disconnects++;
      this.clients[domid]!.connection.receive(encodeMessage(XS.WRITE, 1, 0, '/a\0lost').subarray(0, 3 + this.next(15)));
      this.store.disconnect(this.clients[domid]!.connection);
      this.clients[domid] = new RawClient(this.store, domid);
      this.open[domid] = undefined;
    } else this.#die(domid);
  }

  /** The service starts anew from its records; clients and transactions go on, half requests included. */
  #restart(): void {
    this.count.restarts++;
    const half = encodeMessage(XS.READ, 0xffff, 0, '/\0');
    const cut = this.next(half.length);
    const [client] = this.clients;
    client!.connection.receive(half.subarray(0, cut));
    const before = dumpStore(this.store);
    this.store = restoreStore(saveStore(this.store));
    assert.deepEqual(dumpStore(this.store), before);
    for (const each of this.clients) each.attach(this.store);
    client!.connection.receive(half.subarray(cut));
    assert.deepEqual(
      client!.drain().map(({ reqId }) => reqId),
      [0xffff],
    );
  }

  #die(domid: number): void {
    this.count.deaths++;
    this.changes++;
    this.store.domainDestroyed(domid);
    for (const [path, node] of [...this.model]) {
      if (node.perms[0]!.slice(1) !== String(domid)) continue;
      if (path === '/') node.perms = ['n0'];
      else for (const each of [path, ...below(this.model, path)]) this.model.delete(each);
    }
    // What others gave to that domain is not for who gets its number next.
    for (const node of this.model.values()) {
      node.perms = node.perms.map((perm, i) => (i > 0 && perm.slice(1) === String(domid) ? `${perm}!` : perm));
    }
    this.clients[domid] = new RawClient(this.store, domid);
    this.open[domid] = undefined;
  }

  check(): void {
    assert.deepEqual(dumpStore(this.store), dumpModel(this.model));
    assert.deepEqual(this.store.check(), []);
    const stream = saveStore(this.store);
    assert.deepEqual(saveStore(restoreStore(stream)), stream);
  }
}

const SEEDS = 20;
const STEPS = 5_000;

test(`${SEEDS * STEPS} random operations and crashes agree with a naive store`, () => {
  const total = { commits: 0, conflicts: 0, restarts: 0, deaths: 0, disconnects: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new Run(seed);
    try {
      for (let step = 1; step <= STEPS; step++) {
        run.step();
        if (step % 100 === 0) run.check();
      }
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += run.count[name];
  }
  for (const [name, count] of Object.entries(total)) assert.ok(count > 100, `${count} ${name}`);
});

test('a transaction that nothing disturbed never conflicts', () => {
  const next = random(4242);
  const store = new Store();
  const client = new RawClient(store, 0);
  const model = emptyModel();
  for (let round = 0; round < 300; round++) {
    const tx = client.begin();
    for (let i = next(10); i >= 0; i--) {
      const operation = randomOperation(next);
      assert.equal(perform(client, operation, tx), expected(model, 0, operation));
    }
    assert.equal(client.end(tx), 'OK\0');
    assert.deepEqual(dumpStore(store), dumpModel(model));
    assert.deepEqual(store.check(), []);
  }
});

test('watchers hear of every change, compared with polling', () => {
  const next = random(31337);
  const store = new Store();
  const writer = new RawClient(store, 0);
  const watcher = new RawClient(store, 0);
  const paths = ['/', '/a', '/a/b', '/c/c/c'];
  for (const path of paths) watcher.watch(path, path);
  watcher.takeEvents();
  const state = (path: string) =>
    dumpStore(store).filter((line) => path === '/' || (/^[/|]/.test(line.slice(path.length)) && line.startsWith(path)));
  for (let step = 0; step < 3000; step++) {
    const before = paths.map((path) => state(path).join('\n'));
    const tx = next(4) === 0 ? writer.begin() : 0;
    for (let i = tx ? next(4) : 0; i >= 0; i--) perform(writer, randomOperation(next), tx);
    if (tx) writer.end(tx);
    const heard = new Set(watcher.takeEvents().map((event) => event.split(' ')[1]));
    paths.forEach((path, index) => {
      if (state(path).join('\n') !== before[index]) assert.ok(heard.has(path), `step ${step}: ${path}`);
    });
  }
});
