import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ByteRing, MemoryRingPage, PAGE_SIZE } from '../lib/ring_page.ts';
import { connectStore } from './backend/client.ts';
import { XENSTORE_RING as R, XenstoreRing } from './backend/ring.ts';
import { listen } from './backend/socket.ts';
import { LocalClient } from './protocol/client.ts';
import { RING_ERROR } from './protocol/connection.ts';
import { Store } from './protocol/store.ts';
import { encodeMessage, XS } from './protocol/wire.ts';
import { restartStore } from './restart.ts';
import { parseMessages } from './testing.ts';

/** Domain 3 on its ring, domain 0 in this process, and a way to restart the store under both. */
function world() {
  const page = new MemoryRingPage(new Uint8Array(new SharedArrayBuffer(PAGE_SIZE)));
  const state = { store: new Store() };
  const dom0 = new LocalClient(state.store);
  dom0.write('/local/domain/3/data', '');
  dom0.setPerms('/local/domain/3', ['n0', 'r3']);
  dom0.setPerms('/local/domain/3/data', ['n3']);
  state.store.introduce(3, 1, 7);
  const ring = new XenstoreRing({ store: state.store, page, connection: state.store.connect(3) });
  const requests = new ByteRing(page, { data: R.REQ, size: R.SIZE, cons: R.REQ_CONS, prod: R.REQ_PROD });
  const responses = new ByteRing(page, { data: R.RSP, size: R.SIZE, cons: R.RSP_CONS, prod: R.RSP_PROD });
  const ask = (type: number, payload: string, tx = 0) => {
    requests.put(encodeMessage(type, 1, tx, payload));
    return answers();
  };
  const answers = () => {
    ring.pump();
    return parseMessages(responses.take(R.SIZE)!).map(({ payload }) => payload.replaceAll('\0', ' ').trim());
  };
  const restart = () => (state.store = restartStore(state.store, [ring, dom0]));
  return { state, page, dom0, ring, requests, responses, ask, answers, restart };
}

test('a guest notices nothing: half a request, half an answer, watches, a transaction, events in the queue', () => {
  const { dom0, requests, responses, ring, ask, answers, restart, state } = world();
  assert.deepEqual(ask(XS.WATCH, 'data\0token\0'), ['OK', 'data token']);
  const tx = Number(ask(XS.TRANSACTION_START, '\0')[0]);
  ask(XS.WRITE, 'data/new/deep\x001', tx);
  ask(XS.READ, 'data\0', tx);
  const lost = Number(ask(XS.TRANSACTION_START, '\0')[0]);
  ask(XS.READ, 'data/other\0', lost);
  dom0.write('/local/domain/3/data/other', 'x');
  const write = encodeMessage(XS.WRITE, 9, 0, 'data/half\0value');
  requests.put(write.subarray(0, 25));
  ring.pump();
  restart();
  assert.equal(dom0.read('/local/domain/3/data/other'), 'x');
  requests.put(write.subarray(25));
  assert.deepEqual(answers(), ['data/other token', 'data/half token', 'OK']);
  assert.equal(dom0.read('/local/domain/3/data/half'), 'value');
  assert.deepEqual(ask(XS.TRANSACTION_END, 'T\0', tx), ['EAGAIN'], 'a child of data has come meanwhile');
  assert.deepEqual(ask(XS.TRANSACTION_END, 'T\0', lost), ['EAGAIN']);

  const again = Number(ask(XS.TRANSACTION_START, '\0')[0]);
  ask(XS.WRITE, 'data/new/deep\x001', again);
  ask(XS.RM, 'data/half\0', again);
  restart();
  assert.deepEqual(ask(XS.READ, 'data/new/deep\0', again), ['1']);
  assert.deepEqual(ask(XS.DIRECTORY, 'data\0', again), ['other new']);
  assert.deepEqual(ask(XS.READ, 'data/new/deep\0'), ['ENOENT']);
  const heard = ask(XS.TRANSACTION_END, 'T\0', again);
  for (const each of ['OK', 'data/new/deep token', 'data/half token']) assert.ok(heard.includes(each), each);
  assert.equal(dom0.read('/local/domain/3/data/new/deep'), '1');
  assert.equal(dom0.find('/local/domain/3/data/half'), undefined);

  // An answer of which the ring has taken a part.
  dom0.write('/local/domain/3/data/big', 'b'.repeat(1500));
  answers();
  requests.put(encodeMessage(XS.READ, 5, 0, 'data/big\0'));
  ring.pump();
  restart();
  let got = Buffer.alloc(0);
  for (let i = 0; i < 4; i++) {
    got = Buffer.concat([got, responses.take(R.SIZE)!]);
    ring.pump();
  }
  assert.deepEqual(parseMessages(got), [{ type: XS.READ, reqId: 5, txId: 0, payload: 'b'.repeat(1500) }]);
  assert.deepEqual(state.store.check(), []);
  assert.equal(state.store.domains.peek(3)!.introduced, 7);
  assert.deepEqual(ask(XS.IS_DOMAIN_INTRODUCED, '3\0'), ['T']);
});

test('quotas, features, shutdown, targets and who hears of special events stay', () => {
  const { dom0, state, restart, ring } = world();
  dom0.call(XS.SET_QUOTA, '3\0nodes\x0077\0');
  dom0.call(XS.SET_QUOTA, 'watches\x0099\0');
  dom0.call(XS.SET_FEATURE, '5\x003\0');
  dom0.setPerms('@releaseDomain', ['n0', 'r3']);
  state.store.introduce(4, 1, 8);
  dom0.call(XS.SET_TARGET, '3\x004\0');
  state.store.domainShutdown(4);
  const store = restart();
  assert.equal(dom0.call(XS.GET_QUOTA, '3\0nodes\0'), '77\0');
  assert.equal(dom0.call(XS.GET_QUOTA, 'watches\0'), '99\0');
  assert.equal(dom0.call(XS.GET_FEATURE, '5\0'), '3\0');
  assert.deepEqual(dom0.perms('@releaseDomain'), ['n0', 'r3']);
  assert.equal(store.domains.peek(4)!.shutdown, true);
  assert.equal(ring.connection.target, 4);
});

test('a ring that was given up stays so until its guest reconnects', () => {
  const { page, ring, requests, restart, ask } = world();
  requests.put(encodeMessage(XS.READ, 1, 0, 'data\0'));
  page.storeU32(R.REQ_PROD, 5000);
  ring.pump();
  assert.equal(page.loadU32(R.ERROR), RING_ERROR.RING_INDEX);
  restart();
  ring.pump();
  assert.equal(page.loadU32(R.ERROR), RING_ERROR.RING_INDEX);
  page.storeU32(R.CONNECTION, 1);
  ring.pump();
  assert.deepEqual(ask(XS.READ, 'data\0'), ['']);
});

test('sockets and clients in this process stay connected', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenstore-'));
  let store = new Store();
  const listener = await listen(store, join(folder, 'socket'));
  const local = new LocalClient(store);
  const client = await connectStore(join(folder, 'socket'));
  try {
    const [seen, heard]: [string[], string[]] = [[], []];
    client.onEvent = (path) => void seen.push(path);
    await client.watch('/a', 't');
    local.watch('/a', (path) => heard.push(path));
    const tx = Number((await client.call(XS.TRANSACTION_START, '\0')).slice(0, -1));
    await client.write('/b', '1', tx);
    store = restartStore(store, [listener, local]);
    await client.write('/a', '2');
    await client.call(XS.TRANSACTION_END, 'T\0', tx).then(
      () => assert.fail('the root has another child'),
      (error: { code: string }) => assert.equal(error.code, 'EAGAIN'),
    );
    assert.equal(local.read('/a'), '2');
    await new Promise(setImmediate);
    assert.deepEqual(
      [seen, heard],
      [
        ['/a', '/a'],
        ['/a', '/a'],
      ],
    );
    assert.equal(listener.clients, 1);
  } finally {
    client.close();
    await listener.close();
    rmSync(folder, { recursive: true });
  }
});
