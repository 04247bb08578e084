import { test } from 'node:test';
import assert from 'node:assert/strict';
import { LocalClient } from './client.ts';
import { restoreStore, saveStore } from './migration.ts';
import { EVENT_TIMEOUT_MS, Store } from './store.ts';
import { encodeMessage, XS } from './wire.ts';
import { walk } from './tree.ts';
import { RawClient } from '../testing.ts';

const OK = 'OK\0';

function world(options: ConstructorParameters<typeof Store>[0] = {}) {
  const store = new Store(options);
  const dom0 = new RawClient(store, 0);
  dom0.write('/g', '');
  dom0.chmod('/g', ['n1']);
  return { store, dom0, other: new RawClient(store, 0), guest: new RawClient(store, 1) };
}

const dump = (store: Store): string => JSON.stringify([...walk(store.tree, '/')]);

test('a transaction keeps to what it has seen, and sees its own changes; others see them at its end', () => {
  const { dom0, other } = world();
  dom0.write('/a', '1');
  const tx = dom0.begin();
  assert.equal(dom0.write('/a', '2', tx), OK);
  assert.equal(dom0.write('/new/deep', 'x', tx), OK);
  assert.equal(dom0.read('/a', tx), '2');
  assert.equal(other.read('/a'), '1');
  assert.equal(other.read('/new'), 'ENOENT');
  assert.equal(dom0.read('/elsewhere', tx), 'ENOENT');
  other.write('/elsewhere', 'y');
  assert.equal(dom0.read('/elsewhere', tx), 'ENOENT');
  other.write('/a', '1');
  assert.equal(dom0.read('/a', tx), '2');
  assert.equal(dom0.end(tx), 'EAGAIN', 'it has read what is no longer so, and both made a child of the root');
  const again = dom0.begin();
  dom0.write('/a', '2', again);
  dom0.rm('/elsewhere', again);
  assert.equal(dom0.end(again), OK);
  assert.equal(other.read('/a'), '2');
  assert.equal(other.read('/elsewhere'), 'ENOENT');
  assert.equal(dom0.read('/a', again), 'ENOENT', 'its id is spent');
  const dropped = dom0.begin();
  dom0.write('/a', '3', dropped);
  assert.equal(dom0.end(dropped, false), OK);
  assert.equal(other.read('/a'), '2');
});

const CONFLICTS: [string, (c: RawClient, tx: number) => unknown, (c: RawClient) => unknown, boolean][] = [
  ['read, written', (c, tx) => c.read('/d/x', tx), (c) => c.write('/d/x', '2'), true],
  ['read, removed', (c, tx) => c.read('/d/x', tx), (c) => c.rm('/d/x'), true],
  ['read, permissions changed', (c, tx) => c.read('/d/x', tx), (c) => c.chmod('/d/x', ['r0']), true],
  ['missed, created', (c, tx) => c.read('/d/new', tx), (c) => c.write('/d/new', '2'), true],
  ['listed, child created', (c, tx) => c.ls('/d', tx), (c) => c.write('/d/new', '2'), true],
  ['listed, child removed', (c, tx) => c.ls('/d', tx), (c) => c.rm('/d/x'), true],
  ['listed, child written', (c, tx) => c.ls('/d', tx), (c) => c.write('/d/x', '2'), false],
  ['read, sibling written', (c, tx) => c.read('/d/x', tx), (c) => c.write('/d/y', '2'), false],
  ['written, sibling written', (c, tx) => c.write('/d/x', '3', tx), (c) => c.write('/d/y', '2'), false],
  ['written, same written', (c, tx) => c.write('/d/x', '3', tx), (c) => c.write('/d/x', '2'), true],
  ['written, child created', (c, tx) => c.write('/d/x', '3', tx), (c) => c.write('/d/x/c', '2'), true],
  ['created, other created beside', (c, tx) => c.write('/d/n', '3', tx), (c) => c.write('/d/m', '2'), true],
  ['created, elsewhere created', (c, tx) => c.write('/d/n', '3', tx), (c) => c.write('/e/m', '2'), false],
  ['removed, below written', (c, tx) => c.rm('/d', tx), (c) => c.write('/d/x', '2'), true],
  ['removed, beside written', (c, tx) => c.rm('/d/x', tx), (c) => c.write('/d/y', '2'), false],
  [
    'removed and made anew, below written',
    (c, tx) => [c.rm('/d', tx), c.mkdir('/d', tx)],
    (c) => c.write('/d/y', '2'),
    true,
  ],
  [
    'removed and made anew, elsewhere',
    (c, tx) => [c.rm('/d', tx), c.mkdir('/d/z', tx)],
    (c) => c.write('/e/y', '2'),
    false,
  ],
];

for (const [name, inside, outside, conflict] of CONFLICTS) {
  test(`conflict: ${name}: ${conflict}`, () => {
    const { store, dom0, other } = world();
    for (const path of ['/d/x', '/d/y', '/e/y']) dom0.write(path, '1');
    const tx = dom0.begin();
    inside(dom0, tx);
    outside(other);
    const before = dump(store);
    assert.equal(dom0.end(tx), conflict ? 'EAGAIN' : OK);
    if (conflict) assert.equal(dump(store), before, 'nothing of it stays');
    assert.deepEqual(store.check(), []);
  });
}

test('independent changes merge', () => {
  const { store, dom0, other } = world();
  for (const path of ['/d/x', '/d/y', '/e/y', '/f']) dom0.write(path, '1');
  const tx = dom0.begin();
  dom0.write('/d/x', '2', tx);
  dom0.rm('/e/y', tx);
  dom0.write('/e/z/deep', '3', tx);
  other.write('/d/y', '4');
  other.write('/f', '5');
  other.write('/d/y/below', '6');
  assert.equal(dom0.end(tx), OK);
  const values = ['/d/x', '/d/y', '/d/y/below', '/e/y', '/e/z/deep', '/f'].map((path) => other.read(path));
  assert.deepEqual(values, ['2', '4', '6', 'ENOENT', '3', '5']);
  assert.deepEqual(store.check(), []);
});

test('events wait for the end, in order of first access, once a node', () => {
  const { dom0, other } = world();
  dom0.write('/d/x', '1');
  other.watch('/d', 'd');
  other.watch('/d/x', 'x');
  other.watch('/d/x/below', 'b');
  dom0.write('/d/x/below', '1');
  other.takeEvents();
  const tx = dom0.begin();
  dom0.write('/d/y', '1', tx);
  dom0.write('/d/y', '2', tx);
  dom0.rm('/d/x', tx);
  assert.deepEqual(other.takeEvents(), []);
  assert.equal(dom0.end(tx), OK);
  assert.deepEqual(other.takeEvents().sort(), ['/d/x d', '/d/x x', '/d/x/below b', '/d/y d']);
  const dropped = dom0.begin();
  dom0.write('/d/y', '3', dropped);
  dom0.end(dropped, false);
  assert.deepEqual(other.takeEvents(), []);
});

test('transaction ids', () => {
  const { dom0, other } = world();
  assert.equal(dom0.read('/', 99), 'ENOENT');
  assert.equal(dom0.end(0), 'ENOENT');
  const tx = dom0.begin();
  assert.equal(dom0.ask(XS.TRANSACTION_START, '\0', tx), 'EBUSY');
  assert.equal(other.read('/', tx), 'ENOENT', 'ids are each client own');
  assert.equal(dom0.ask(XS.WATCH, '/\0t\0', 12345), OK, 'watches know no transactions');
  assert.equal(dom0.end(tx), OK);
});

test('quotas of a guest', () => {
  const quotas = { nodes: 6, watches: 3, transactions: 2, 'transaction-nodes': 4, permissions: 3, memory: 4000 };
  const { store, dom0, guest } = world({ quotas });
  for (let i = 1; i < 6; i++) assert.equal(guest.write(`/g/${i}`, ''), OK);
  assert.equal(guest.write('/g/6', ''), 'ENOSPC');
  assert.equal(guest.rm('/g/1'), OK);
  assert.equal(guest.write('/g/6/7', ''), 'ENOSPC', 'both or neither');
  assert.equal(guest.read('/g/6'), 'ENOENT');
  assert.equal(dom0.write('/g/by-dom0', ''), OK, 'dom0 passes, the guest pays');
  assert.equal(guest.chmod('/g/2', ['n1', 'r2', 'r3', 'r4']), 'ENOSPC');
  assert.equal(guest.chmod('/g/2', ['n1', 'r2', 'r3']), OK);
  for (const token of ['1', '2', '3']) assert.equal(guest.watch('/g', token), OK);
  assert.equal(guest.watch('/g', '4'), 'E2BIG');
  const first = guest.begin();
  guest.begin();
  assert.equal(guest.ask(XS.TRANSACTION_START, '\0'), 'ENOSPC');
  for (const path of ['/g', '/g/2', '/g/3', '/g/4']) guest.ls(path, first);
  assert.equal(guest.ls('/g/5', first), 'ENOSPC');
  assert.equal(guest.ls('/g/2', first), '');
  assert.equal(guest.end(first), OK);
  assert.deepEqual(store.check(), []);
});

test('size and memory quotas; a transaction counts too', () => {
  const { store, dom0, guest } = world({ quotas: { memory: 4000, nodes: 8 } });
  const room = 2048 - 24 - 8 - 1;
  assert.equal(guest.write('/g/big', 'x'.repeat(room + 1)), 'ENOSPC');
  assert.equal(guest.write('/g/big', 'x'.repeat(room)), OK);
  assert.equal(guest.write('/g/big2', 'x'.repeat(room)), 'ENOMEM');
  assert.equal(dom0.write('/long', 'x'.repeat(4000)), OK);
  const tx = guest.begin();
  assert.equal(guest.write('/g/t', 'x'.repeat(1500), tx), OK);
  assert.equal(guest.write('/g/u', 'x'.repeat(1500), tx), 'ENOMEM');
  guest.write('/g/v', 'x'.repeat(500));
  assert.equal(guest.end(tx), 'EAGAIN');
  const nodes = guest.begin();
  for (const name of ['a', 'b', 'c', 'd', 'e']) assert.equal(guest.write(`/g/${name}`, '', nodes), OK);
  assert.equal(guest.write('/g/f', '', nodes), 'ENOSPC');
  assert.equal(guest.end(nodes), OK);
  assert.equal(guest.write('/g/f', ''), 'ENOSPC');
  assert.deepEqual(store.check(), []);
});

test('what open transactions hold on to counts against the memory quota, until they end', () => {
  const { store, guest } = world({ quotas: { memory: 10_000 } });
  for (const name of ['a', 'b', 'c']) guest.write(`/g/${name}`, 'x'.repeat(1500));
  const first = guest.begin();
  for (const name of ['a', 'b', 'c']) assert.equal(guest.read(`/g/${name}`, first).length, 1500);
  const second = guest.begin();
  assert.equal(guest.read('/g/a', second), 'ENOMEM');
  assert.equal(guest.write('/g/d', 'x'.repeat(1500)), 'ENOMEM');
  store.quotas.memory = 5000;
  const copy = restoreStore(saveStore(store));
  assert.equal(copy.domains.peek(1)!.transactionMemory, store.domains.peek(1)!.transactionMemory);
  store.quotas.memory = 10_000;
  assert.equal(guest.end(first), OK);
  assert.equal(guest.read('/g/a', second).length, 1500);
  guest.ask(XS.RESET_WATCHES, '\0');
  assert.equal(store.domains.peek(1)!.transactionMemory, 0);
  assert.equal(guest.write('/g/d', 'x'.repeat(1500)), OK);
});

test('special events do not merge', () => {
  const { dom0 } = world();
  dom0.watch('@introduceDomain', 't');
  dom0.takeEvents();
  for (const domid of [4, 5]) dom0.connection.receive(encodeMessage(XS.INTRODUCE, 1, 0, `${domid}\x001\x001\0`));
  assert.deepEqual(dom0.takeEvents(), ['@introduceDomain t', '@introduceDomain t']);
});

test('a guest that does not read is no longer read', () => {
  const { store, guest } = world({ quotas: { outstanding: 3 } });
  const connection = guest.connection;
  const message = new Uint8Array([...[XS.READ, 1, 0, 3].flatMap((word) => [word, 0, 0, 0]), 47, 103, 0]);
  for (let i = 0; i < 3; i++) assert.equal(connection.receive(message), message.length);
  assert.equal(connection.accepting, false);
  assert.equal(connection.receive(message), 0);
  let ready = 0;
  connection.onReady = () => ready++;
  connection.sent(connection.output()!.length);
  assert.equal(ready, 1);
  assert.equal(connection.receive(message), message.length);
  assert.equal(store.connections.has(connection), true);
});

test('a guest pays for the events it causes to others', () => {
  const { dom0, store, guest } = world({ quotas: { outstanding: 5 } });
  dom0.chmod('/g', ['b1']);
  const sleeper = new RawClient(store, 2);
  sleeper.watch('/g', 't');
  sleeper.takeEvents();
  for (let i = 0; i < 5; i++) guest.write(`/g/${i}`, '');
  assert.equal(guest.connection.accepting, false);
  assert.equal(sleeper.takeEvents().length, 5);
  assert.equal(guest.connection.accepting, true);
  guest.write('/g/x', '');
  store.disconnect(sleeper.connection);
  assert.equal(guest.connection.outstanding, 0, 'what a closed client never reads is forgiven');
});

test('a guest that leaves events unread holds up who caused them for a while only', () => {
  let now = 0;
  const { dom0, store, guest } = world({ quotas: { outstanding: 5 }, now: () => now });
  dom0.chmod('/g', ['b1']);
  const sleeper = new RawClient(store, 2);
  sleeper.watch('/g', 't');
  sleeper.takeEvents();
  for (let i = 0; i < 5; i++) guest.write(`/g/${i}`, '');
  assert.equal(guest.connection.accepting, false);
  sleeper.connection.sent(3); // one of them is under way
  now = EVENT_TIMEOUT_MS + 1;
  let ready = 0;
  guest.connection.onReady = () => ready++;
  store.expireEvents();
  assert.ok(guest.connection.accepting && ready > 0);
  assert.equal(guest.connection.outstanding, 0);
  assert.equal(sleeper.connection.output()!.length, 16 + 7 - 3);
  sleeper.connection.sent(20);
  assert.equal(sleeper.connection.output(), undefined);
  assert.equal(guest.connection.outstanding, 0);
});

test('equal events merge, unread ones expire, and a queue has an end', () => {
  let now = 0;
  const { dom0, store, guest } = world({ quotas: { memory: 3000 }, now: () => now });
  guest.watch('/g', 't');
  guest.takeEvents();
  for (let i = 0; i < 1000; i++) dom0.write('/g/k', String(i));
  assert.deepEqual(guest.takeEvents(), ['/g/k t']);
  for (let i = 0; i < 20; i++) dom0.write('/g/k', '');
  now = EVENT_TIMEOUT_MS;
  store.expireEvents();
  assert.deepEqual(guest.takeEvents(), ['/g/k t']);
  dom0.write('/g/k', '');
  now += EVENT_TIMEOUT_MS + 1;
  dom0.write('/g/j', '');
  store.expireEvents();
  assert.deepEqual(guest.takeEvents(), ['/g/j t'], 'what nobody reads is dropped');
  dom0.write('/g/k', '');
  assert.deepEqual(guest.takeEvents(), ['/g/k t'], 'and may come again');
  store.reconnect(guest.connection);
  assert.equal(guest.watch('/g', 't'), OK);
  for (let i = 0; i < 1000 && guest.connection.error === 0; i++) dom0.write(`/g/${i}`, '');
  assert.equal(guest.connection.error, 1, 'events of different paths fill the queue');
});

test('records: a store survives being written down', () => {
  const { store, dom0, guest } = world();
  dom0.write('/d/x', 'a\0\xff');
  dom0.chmod('/d/x', ['n0', 'r1', 'b2']);
  dom0.ask(XS.INTRODUCE, '1\x005\x007\0');
  store.domainDestroyed(2);
  dom0.write('/d/x', 'b');
  guest.watch('/g', 'tok');
  guest.takeEvents();
  const tx = guest.begin();
  guest.write('/g/lost', '1', tx);
  dom0.write('/g/k', '1');
  guest.connection.receive(new Uint8Array([XS.READ, 0, 0, 0, 9]));
  const stream = saveStore(store);
  const copy = restoreStore(stream);
  assert.deepEqual(saveStore(copy), stream);
  assert.deepEqual(copy.check(), []);
  const there = [...copy.connections].find((each) => each.domid === 1)!;
  const rest = [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 47, 103, 0];
  there.receive(new Uint8Array([...rest]));
  assert.equal(there.partial().length, 0, 'the half request was completed');
  const texts: string[] = [];
  for (let bytes = there.output(); bytes; bytes = there.output()) {
    texts.push(Buffer.from(bytes.subarray(16)).toString('latin1'));
    there.sent(bytes.length);
  }
  assert.equal(texts[0], '/g/k\0tok\0');
  const client = new LocalClient(copy);
  assert.equal(client.read('/d/x'), 'b');
  for (const length of [0, 15, 40, 400, stream.length - 8]) {
    assert.throws(() => restoreStore(stream.subarray(0, length)), { code: 'EINVAL' }, `${length}`);
  }
});

test('the local client: typed calls, transactions that retry, watches', async () => {
  const store = new Store();
  const client = new LocalClient(store);
  const other = new LocalClient(store);
  const seen: string[] = [];
  const stop = client.watch('/a', (path) => seen.push(path));
  let runs = 0;
  const result = client.transaction((tx) => {
    client.find('/a/n', tx);
    if (runs++ === 0) other.write('/a/n', '5');
    client.write('/a/n', String(Number(client.find('/a/n', tx) ?? 0) + 1), tx);
    return 'done';
  });
  assert.deepEqual([result, runs, client.read('/a/n')], ['done', 2, '6']);
  assert.throws(() => client.read('/none'), { code: 'ENOENT' });
  assert.throws(() => client.transaction(() => client.read('/none')), { code: 'ENOENT' });
  assert.equal(client.connection.transactions.size, 0);
  client.setPerms('/a', ['r0', 'b4']);
  assert.deepEqual([client.perms('/a'), client.list('/a')], [['r0', 'b4'], ['n']]);
  await new Promise(setImmediate);
  assert.deepEqual(seen, ['/a', '/a/n', '/a/n', '/a']);
  stop();
  client.remove('/a');
  await new Promise(setImmediate);
  assert.equal(seen.length, 4);
  const many = Array.from({ length: 900 }, (_, i) => `entry-${i}`);
  for (const name of many) client.mkdir(`/m/${name}`);
  assert.deepEqual(client.list('/m'), many, 'longer than one answer holds');
  assert.equal(client.read('/m'), '');
  client.close();
  other.close();
  assert.equal(store.connections.size, 0);
});
