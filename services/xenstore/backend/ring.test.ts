import { test } from 'node:test';
import assert from 'node:assert/strict';
import { ByteRing, MemoryRingPage, PAGE_SIZE } from '../../lib/ring_page.ts';
import { RING_ERROR } from '../protocol/connection.ts';
import { EVENT_TIMEOUT_MS, Store } from '../protocol/store.ts';
import { encodeMessage, packStrings, XS } from '../protocol/wire.ts';
import type { Answer } from '../testing.ts';
import { parseMessages, random, RawClient } from '../testing.ts';
import { XENSTORE_RING as R, XenstoreRing } from './ring.ts';

/** A guest's side of the ring, and the ring under test. */
function world(
  memory: ArrayBuffer | SharedArrayBuffer = new SharedArrayBuffer(PAGE_SIZE),
  quotas = {},
  now?: () => number,
) {
  const page = new MemoryRingPage(new Uint8Array(memory));
  const store = new Store({ quotas, ...(now && { now }) });
  const dom0 = new RawClient(store, 0);
  dom0.write('/local/domain/3', '');
  dom0.chmod('/local/domain/3', ['n3']);
  const scheduled: number[] = [];
  const connection = store.connect(3);
  const ring = new XenstoreRing({ store, page, connection, schedule: () => scheduled.push(1) });
  const requests = new ByteRing(page, { data: R.REQ, size: R.SIZE, cons: R.REQ_CONS, prod: R.REQ_PROD });
  const responses = new ByteRing(page, { data: R.RSP, size: R.SIZE, cons: R.RSP_CONS, prod: R.RSP_PROD });
  let reqId = 0;
  const message = (type: number, ...strings: string[]) => encodeMessage(type, ++reqId, 0, packStrings(...strings));
  /** Sends and receives everything, however often the ring has to turn over. */
  const exchange = (bytes: Uint8Array): Answer[] => {
    const parts: Uint8Array[] = [];
    let sent = 0;
    for (let idle = 0; idle < 2; ) {
      const put = requests.put(bytes.subarray(sent))!;
      sent += put;
      ring.pump();
      const got = responses.take(R.SIZE)!;
      parts.push(got);
      idle = put + got.length === 0 ? idle + 1 : 0;
    }
    assert.equal(sent, bytes.length);
    return parseMessages(Buffer.concat(parts));
  };
  return { page, store, dom0, connection, ring, requests, responses, message, exchange, scheduled };
}

test('requests and answers, across the edge of both rings, with any start of the indexes', () => {
  for (const start of [0, 1000, 0xfffffff0]) {
    const { page, exchange, message, dom0, ring } = world();
    for (const word of [R.REQ_CONS, R.REQ_PROD, R.RSP_CONS, R.RSP_PROD]) page.storeU32(word, start);
    const value = 'v'.repeat(1900);
    const write = encodeMessage(XS.WRITE, 77, 0, `data/long\0${value}`);
    assert.deepEqual(exchange(write), [{ type: XS.WRITE, reqId: 77, txId: 0, payload: 'OK\0' }]);
    assert.equal(dom0.read('/local/domain/3/data/long'), value);
    assert.equal(exchange(message(XS.READ, 'data/long'))[0]!.payload, value);
    assert.equal(ring.pump(), false, 'nothing moved, nobody is notified');
  }
});

test('the guest is notified when its requests are taken, and when there is an answer or event', () => {
  const { ring, requests, responses, message, dom0, scheduled } = world();
  const whole = message(XS.WATCH, '/local/domain/3', 't');
  requests.put(whole.subarray(0, 10));
  assert.equal(ring.pump(), true);
  requests.put(whole.subarray(10));
  assert.equal(ring.pump(), true);
  assert.deepEqual(
    parseMessages(responses.take(1024)!).map((each) => each.type),
    [XS.WATCH, XS.WATCH_EVENT],
  );
  scheduled.length = 0;
  dom0.write('/local/domain/3/x', '');
  assert.equal(scheduled.length, 1);
  assert.equal(ring.pump(), true);
  assert.equal(ring.pump(), false);
});

test('back pressure: a full response ring stops requests, and nothing is lost', () => {
  const { page, ring, requests, responses, message, connection, exchange } = world();
  exchange(encodeMessage(XS.WRITE, 0, 0, `k\0${'x'.repeat(500)}`));
  const one = message(XS.READ, 'k');
  const used = () => (page.loadU32(R.REQ_PROD) - page.loadU32(R.REQ_CONS)) >>> 0;
  let sent = 0;
  for (; used() + one.length <= R.SIZE; ring.pump()) {
    requests.put(one);
    assert.ok(++sent < 200, 'the request ring fills');
  }
  assert.equal(connection.outstanding, 20);
  let bytes = 0;
  for (let idle = 0; idle < 3; ring.pump()) {
    const got = responses.take(R.SIZE)!;
    bytes += got.length;
    idle = got.length === 0 ? idle + 1 : 0;
  }
  assert.equal(bytes / 516, sent);
});

test('impossible indexes end the connection, not the host; a reconnect starts afresh', () => {
  for (const [word, value] of [
    [R.REQ_PROD, 5000],
    [R.REQ_CONS, 0x80000000],
    [R.RSP_PROD, 5000],
    [R.RSP_CONS, 0x80000000],
  ] as const) {
    const { page, ring, requests, connection, message, exchange, dom0 } = world();
    exchange(message(XS.WATCH, '/local/domain/3', 't'));
    requests.put(message(XS.READ, '/local/domain/3'));
    page.storeU32(word, value);
    assert.equal(ring.pump(), true);
    assert.equal(connection.error, RING_ERROR.RING_INDEX, `${word}`);
    assert.equal(page.loadU32(R.ERROR), RING_ERROR.RING_INDEX);
    assert.equal(ring.pump(), false);
    dom0.write('/local/domain/3/x', '1');
    assert.equal(ring.pump(), false, 'nothing more is sent');
    page.storeU32(R.CONNECTION, 1);
    assert.equal(ring.pump(), true);
    assert.deepEqual(
      [R.CONNECTION, R.ERROR, R.REQ_PROD, R.RSP_PROD].map((each) => page.loadU32(each)),
      [0, 0, 0, 0],
    );
    assert.equal(exchange(message(XS.READ, 'x'))[0]!.payload, '1');
    dom0.write('/local/domain/3/x', '2');
    assert.equal(ring.pump(), false, 'the watch is gone');
  }
});

test('a guest that takes nothing out of its ring loses old events, and holds up nobody for ever', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  const { ring, dom0, responses, exchange, message } = world(undefined, {}, () => now);
  exchange(message(XS.WATCH, '/local/domain/3', 't'));
  dom0.write('/local/domain/3/big', '');
  responses.put(new Uint8Array(R.SIZE)); // its ring is full
  for (let i = 0; i < 50; i++) dom0.write(`/local/domain/3/${i}`, '');
  ring.pump();
  assert.ok(ring.connection.oldestEvent() !== undefined);
  now = EVENT_TIMEOUT_MS + 1;
  context.mock.timers.tick(EVENT_TIMEOUT_MS + 1);
  assert.equal(ring.connection.oldestEvent(), undefined);
});

test('a payload longer than the protocol allows is a protocol error', () => {
  const { ring, requests, page } = world();
  const header = encodeMessage(XS.READ, 1, 0, '');
  header.writeUInt32LE(4097, 12);
  requests.put(header);
  ring.pump();
  assert.equal(page.loadU32(R.ERROR), RING_ERROR.PROTOCOL);
});

test('features are announced; a ring attached again carries on', () => {
  const { page, store, connection, requests, responses, message } = world();
  assert.equal(page.loadU32(R.SERVER_FEATURES), 7);
  const whole = message(XS.READ, '/local/domain/3');
  requests.put(whole);
  const again = new XenstoreRing({ store, page, connection });
  assert.equal(again.pump(), true);
  assert.equal(parseMessages(responses.take(1024)!)[0]!.payload, '');
});

test('fuzz: random bytes and random indexes never escape, and memory stays bounded', () => {
  const next = random(0x5eed);
  const { page, store, ring, connection, dom0 } = world(new ArrayBuffer(PAGE_SIZE));
  for (let round = 0; round < 20_000; round++) {
    const action = next(10);
    if (action < 6) {
      // A header that is often nearly right, and a payload of characters that occur in requests.
      const text = Array.from({ length: next(60) }, () => '/\0ab@.n3r0T%1 \xff'[next(16)]).join('');
      const bytes = encodeMessage(next(28), round, next(4), text);
      if (next(20) === 0) bytes[next(16)] = next(256);
      const prod = page.loadU32(R.REQ_PROD);
      bytes.forEach((byte, i) => page.writeBytes((prod + i) & 1023, Uint8Array.of(byte)));
      page.storeU32(R.REQ_PROD, prod + bytes.length);
    } else if (action < 9) {
      page.storeU32(R.RSP_CONS, page.loadU32(R.RSP_PROD));
    } else if (next(4) === 0) {
      page.storeU32(R.REQ_CONS + 4 * next(4), next(0xffffffff));
    } else {
      dom0.write(`/local/domain/3/${next(50)}`, 'x');
    }
    ring.pump();
    assert.ok(connection.partial().length <= 4112);
    assert.ok(connection.outstanding <= 21);
    if (connection.error !== 0) page.storeU32(R.CONNECTION, 1);
  }
  assert.deepEqual(store.check(), []);
  assert.ok(connection.watches.size <= 128 && connection.transactions.size <= 10);
  assert.ok(dom0.takeEvents().length === 0);
});
