import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { LocalClient } from '../protocol/client.ts';
import { Store } from '../protocol/store.ts';
import { encodeMessage, packStrings, XS } from '../protocol/wire.ts';
import { parseMessages, random } from '../testing.ts';
import { connectStore } from './client.ts';
import { isAlive } from '../../lib/unix_socket.ts';
import { listen } from './socket.ts';

/** A store on a socket for the length of a test. */
async function served(
  body: (store: Store, path: string, listener: Awaited<ReturnType<typeof listen>>) => Promise<void>,
) {
  const folder = mkdtempSync(join(tmpdir(), 'xenstore-'));
  const path = join(folder, 'socket');
  const store = new Store();
  const listener = await listen(store, path);
  try {
    await body(store, path, listener);
  } finally {
    await listener.close();
    rmSync(folder, { recursive: true });
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}

/** Reads until `done` of what has come. */
async function collect(socket: Socket, done: (bytes: Buffer) => boolean): Promise<Buffer> {
  let all = Buffer.alloc(0);
  while (!done(all)) {
    const chunk = socket.read() as Buffer | null;
    if (chunk) all = Buffer.concat([all, chunk]);
    else await once(socket, 'readable');
  }
  return all;
}

test('only its owner may open the socket; its file goes with it; a second one on the same path is refused', () =>
  served(async (store, path, listener) => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(await isAlive(path), true);
    await assert.rejects(listen(store, path), { code: 'EADDRINUSE' });
    assert.equal(await isAlive(path), true, 'the first one goes on');
    await listener.close();
    assert.equal(await isAlive(path), false);
    writeFileSync(path, '');
    assert.equal(await isAlive(path), false);
    await assert.rejects(listen(store, path), { code: 'EADDRINUSE' });
    await assert.rejects(listen(store, `${path}${'x'.repeat(100)}`), { code: 'ENAMETOOLONG' });
    await assert.rejects(listen(store, `${path}.d/socket`), { code: 'ENOENT' });
    assert.deepEqual(readdirSync(dirname(path)), ['socket'], 'nothing is left over');
  }));

test('a client is domain 0; what it set goes when it goes', () =>
  served(async (store, path, listener) => {
    const socket = await open(path);
    const write = encodeMessage(XS.WRITE, 1, 0, '/a\0x');
    socket.write(write.subarray(0, 10));
    await new Promise((resolve) => setTimeout(resolve, 10));
    socket.write(Buffer.concat([write.subarray(10), encodeMessage(XS.WATCH, 2, 0, packStrings('/a', 't'))]));
    const answers = parseMessages(await collect(socket, (bytes) => bytes.length >= 19 + 19 + 21));
    assert.deepEqual(
      answers.map(({ type, payload }) => [type, payload]),
      [
        [XS.WRITE, 'OK\0'],
        [XS.WATCH, 'OK\0'],
        [XS.WATCH_EVENT, '/a\0t\0'],
      ],
    );
    assert.equal(listener.clients, 1);
    socket.destroy();
    while (listener.clients > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(store.connections.size, 0);
    assert.deepEqual([...store.watches.at('/a')], []);
  }));

test('a client that breaks the protocol is closed, the others go on', () =>
  served(async (store, path) => {
    const good = await open(path);
    const bad = await open(path);
    const header = encodeMessage(XS.READ, 1, 0, '');
    header.writeUInt32LE(4097, 12);
    bad.write(header);
    bad.resume();
    await once(bad, 'close');
    good.write(encodeMessage(XS.READ, 1, 0, packStrings('/')));
    assert.equal(parseMessages(await collect(good, (bytes) => bytes.length >= 16)).length, 1);
    assert.equal(store.connections.size, 1);
    good.destroy();
  }));

test('a client that asks and does not read stops being read: what waits for it is bounded', () =>
  served(async (store, path) => {
    const local = new LocalClient(store);
    local.write('/big', 'x'.repeat(4000));
    const socket = await open(path);
    const request = encodeMessage(XS.READ, 1, 0, packStrings('/big'));
    const COUNT = 20_000;
    socket.write(Buffer.concat(Array.from({ length: COUNT }, () => request)));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.ok(socket.writableLength > 0, 'the requests themselves do not fit into the socket');
    const connection = [...store.connections].find((each) => each !== local.connection)!;
    const waiting = [...connection.pending()].reduce((sum, { bytes }) => sum + bytes.length, 0);
    assert.ok(waiting < 128 * 1024, `${waiting} bytes`);
    let got = 0;
    socket.on('data', (bytes: Buffer) => (got += bytes.length));
    while (got < COUNT * 4016) await once(socket, 'data');
    assert.equal(got, COUNT * 4016, 'nothing is lost');
    socket.destroy();
  }));

test('transactions of 16 clients at once lose nothing', () =>
  served(async (store, path) => {
    const [CLIENTS, ROUNDS] = [16, 10];
    new LocalClient(store).write('/count', '0');
    let attempts = 0;
    const count = async (client: Awaited<ReturnType<typeof connectStore>>, own: string): Promise<void> => {
      for (let i = 0; i < ROUNDS; i++) {
        await client.transaction(async (tx) => {
          attempts++;
          const [common, mine] = [await client.read('/count', tx), await client.read(own, tx).catch(() => '0')];
          await client.write('/count', String(Number(common) + 1), tx);
          await client.write(own, String(Number(mine) + 1), tx);
        });
      }
    };
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connectStore(path)));
    await Promise.all(clients.map((client, i) => count(client, `/own/${i}`)));
    const client = new LocalClient(store);
    assert.equal(client.read('/count'), String(CLIENTS * ROUNDS));
    for (let i = 0; i < CLIENTS; i++) assert.equal(client.read(`/own/${i}`), String(ROUNDS));
    assert.ok(attempts > CLIENTS * ROUNDS, 'some of them met');
    for (const each of clients) each.close();
  }));

test('fuzz: whatever comes over the socket in whatever pieces, others are served and nothing stays behind', () =>
  served(async (store, path, listener) => {
    const next = random(0xbad5eed);
    const good = await connectStore(path);
    for (let round = 0; round < 150; round++) {
      const socket = await open(path);
      socket.on('error', () => {}); // it may be closed while we write
      if (next(2) === 0) socket.resume();
      for (let i = next(20); i >= 0; i--) {
        const payload = Array.from({ length: next(60) }, () => '/\0ab@.n3r0T%1 \xff'[next(16)]).join('');
        const bytes = encodeMessage(next(28), i, next(4), payload);
        if (next(6) === 0) bytes[next(16)] = next(256);
        const cut = next(bytes.length);
        socket.write(bytes.subarray(0, cut));
        if (next(3) === 0) await new Promise(setImmediate);
        socket.write(bytes.subarray(cut));
      }
      if (next(2) === 0) socket.end();
      else socket.destroy();
      socket.resume();
      if (round % 10 === 0) assert.equal((await good.perms('/')).length > 0, true);
    }
    for (const end = Date.now() + 10_000; listener.clients > 1; assert.ok(Date.now() < end, 'all are gone')) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(store.connections.size, 1);
    assert.deepEqual(store.check(), []);
    good.close();
  }));
