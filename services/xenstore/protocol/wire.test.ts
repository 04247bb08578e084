import { test } from 'node:test';
import assert from 'node:assert/strict';
import { parseMessages, random, RawClient } from '../testing.ts';
import { RING_ERROR } from './connection.ts';
import { canonicalise, isSpecial, isValidPath } from './path.ts';
import { formatPerm, parsePerm } from './perms.ts';
import { Store } from './store.ts';
import { decodeHeader, encodeMessage, numberArgument, oneString, packStrings, toBytes, toText } from './wire.ts';
import { stringAndRest, unpackStrings, XS } from './wire.ts';

test('a message is four little-endian words and its payload', () => {
  const bytes = encodeMessage(XS.WRITE, 0x01020304, 0xfffffffe, '/a\0v');
  assert.deepEqual([...bytes], [11, 0, 0, 0, 4, 3, 2, 1, 254, 255, 255, 255, 4, 0, 0, 0, 47, 97, 0, 118]);
  assert.deepEqual(decodeHeader(bytes), { type: 11, reqId: 0x01020304, txId: 0xfffffffe, length: 4 });
});

test('strings, numbers, permissions', () => {
  assert.deepEqual(unpackStrings(packStrings('a', '', 'b\xff')), ['a', '', 'b\xff']);
  assert.deepEqual(unpackStrings(''), []);
  assert.equal(oneString(toBytes('\0')), '');
  assert.deepEqual(
    stringAndRest(toBytes('a\0b\0')).map((each) => (typeof each === 'string' ? each : toText(each))),
    ['a', 'b\0'],
  );
  for (const bad of ['a', 'a\0b']) assert.throws(() => unpackStrings(toBytes(bad)), { code: 'EINVAL' });
  for (const bad of ['', '-1', '1e3', ' 1', '11', '99999999999', '0x1']) {
    assert.throws(() => numberArgument(bad, 10), { code: 'EINVAL' }, bad);
  }
  for (const text of ['n0', 'r5', 'w32752', 'b65535']) assert.equal(formatPerm(parsePerm(text)), text);
  for (const bad of ['', 'n', '0', 'x0', 'n65536', 'n-1', 'nr0', 'n0 ', 'N0']) {
    assert.throws(() => parsePerm(bad), { code: 'EINVAL' }, bad);
  }
});

test('paths', () => {
  for (const good of ['/', '/a', '/a/b-c_d@e', '/A9']) assert.ok(isValidPath(good), good);
  for (const bad of ['', 'a', '//', '/a/', '/a//b', '/a b', '/a.b', '/a:b', '/\0']) assert.ok(!isValidPath(bad), bad);
  assert.equal(canonicalise('x/y', '/local/domain/3'), '/local/domain/3/x/y');
  assert.equal(canonicalise('/x', '/local/domain/3'), '/x');
  for (const good of ['@releaseDomain', '@introduceDomain', '@releaseDomain/0', '@releaseDomain/123']) {
    assert.ok(isSpecial(good), good);
  }
  for (const bad of ['@', '@x', '@releaseDomain/', '@releaseDomain/01', '@releaseDomain/1/2', 'releaseDomain']) {
    assert.ok(!isSpecial(bad), bad);
  }
});

test('messages may come in any pieces', () => {
  const next = random(5);
  const store = new Store();
  const whole = new RawClient(store, 0).connection;
  const pieces = new RawClient(store, 0).connection;
  const stream = Buffer.concat(
    Array.from({ length: 200 }, (_, i) => encodeMessage(next(24), i, 0, `/a/${i % 7}\0`.repeat(next(3)))),
  );
  assert.equal(whole.receive(stream), stream.length);
  for (let at = 0; at < stream.length; ) at += pieces.receive(stream.subarray(at, at + 1 + next(40)));
  const collect = (connection: typeof whole) => {
    let text = '';
    for (let bytes = connection.output(); bytes; bytes = connection.output()) {
      const count = 1 + next(bytes.length);
      text += toText(bytes.subarray(0, count));
      connection.sent(count);
    }
    return parseMessages(toBytes(text)).map(({ type, reqId }) => [type === XS.ERROR, reqId]);
  };
  const answers = collect(whole);
  assert.equal(answers.filter(([, reqId]) => reqId !== 0).length >= 199, true);
  assert.equal(collect(pieces).length, answers.length);
});

test('fuzz: any bytes are answered, refused or end the connection', () => {
  const next = random(0xf00d);
  const store = new Store();
  let ended = 0;
  for (let round = 0; round < 300; round++) {
    const client = new RawClient(store, 1 + next(3), next(4) === 0);
    for (let i = 0; i < 60 && client.connection.error === 0; i++) {
      const alphabet =
        next(2) === 0 ? '/\0abnrwb0123@' : Array.from({ length: 256 }, (_, c) => String.fromCharCode(c)).join('');
      const payload = Array.from({ length: next(50) }, () => alphabet[next(alphabet.length)]!).join('');
      const bytes = encodeMessage(next(29), i, next(3), payload);
      if (next(8) === 0) bytes[next(bytes.length)] = next(256);
      assert.equal(client.connection.receive(bytes) === bytes.length || client.connection.error !== 0, true);
      client.drain();
      assert.ok(client.connection.partial().length < 16 + 4096);
    }
    if (client.connection.error !== 0) {
      assert.equal(client.connection.error, RING_ERROR.PROTOCOL);
      ended++;
    }
    store.disconnect(client.connection);
    if (round % 50 === 0) for (const domid of [1, 2, 3]) store.domainDestroyed(domid);
    assert.deepEqual(store.check(), []);
  }
  assert.ok(ended > 10);
});
