import { test } from 'node:test';
import assert from 'node:assert/strict';
import { random, RawClient } from '../testing.ts';
import { restoreStore, saveStore } from './migration.ts';
import { readRecords, RECORD } from './records.ts';
import { Store } from './store.ts';
import { encodeMessage, XS, XsError } from './wire.ts';

/** A store with something of each kind in it. */
function busy(): Store {
  const store = new Store({ quotas: { nodes: 500 } });
  const [dom0, guest] = [new RawClient(store, 0), new RawClient(store, 1)];
  dom0.write('/g/one', 'first');
  dom0.chmod('/g', ['n1', 'r2']);
  dom0.write('/d/x', '\0\xff');
  dom0.ask(XS.INTRODUCE, '1\x005\x007\0');
  dom0.ask(XS.SET_QUOTA, '1\0nodes\x0099\0');
  guest.watch('/g', 'token');
  dom0.ask(XS.WATCH, '@releaseDomain\0t\x001\0');
  dom0.watch('relative', 'r');
  const tx = guest.begin();
  guest.write('/g/new', 'x', tx);
  guest.rm('/g/one', tx);
  guest.connection.receive(encodeMessage(XS.READ, 3, 0, '/g\0').subarray(0, 18));
  return store;
}

test('the bytes are those of the published format', () => {
  const store = new Store();
  const watcher = new RawClient(store, 0);
  watcher.ask(XS.WATCH, 'a\0t\x003\0');
  const stream = saveStore(store);
  assert.equal(stream.subarray(0, 16).toString('hex'), '78656e73746f7265' + '00000002' + '00000000');
  const hex: Record<number, string> = {};
  for (const record of readRecords(stream)) {
    const bytes: number[] = [];
    try {
      for (;;) bytes.push(record.u8());
    } catch {
      hex[record.type] ??= Buffer.from(bytes).toString('hex');
    }
  }
  assert.equal(hex[RECORD.GLOBAL_DATA], 'ffffffff' + 'ffffffff');
  // conn-id, type, pad, socket-fd, pad, lengths of input, partial output, output
  assert.equal(
    hex[RECORD.CONNECTION_DATA],
    '01000000' + '0100' + '0000' + 'ffffffff' + '00000000' + '0000' + '0000' + '00000000',
  );
  // conn-id, lengths of path and token with their NULs, depth, pad
  assert.equal(hex[RECORD.WATCH_DATA_EXTENDED], '01000000' + '0200' + '0200' + '0300' + '0000' + '61007400');
  // conn-id, tx-id, lengths of path and value, access, permissions, n 0 0, path
  assert.equal(hex[RECORD.NODE_DATA], '00000000'.repeat(2) + '0200' + '0000' + '0000' + '0100' + '6e000000' + '2f00');
  assert.equal(stream.subarray(-8).toString('hex'), '00'.repeat(8));
  assert.equal(stream.length % 8, 0);
});

test('saved and restored, a store saves to the same bytes', () => {
  const stream = saveStore(busy());
  const copy = restoreStore(stream);
  assert.deepEqual(saveStore(copy), stream);
  assert.deepEqual(copy.check(), []);
});

test('fuzz: a damaged stream is refused or makes a store that is sound', () => {
  const next = random(0xdead);
  const stream = saveStore(busy());
  let [refused, sound] = [0, 0];
  for (let round = 0; round < 3000; round++) {
    const damaged = Buffer.from(stream.subarray(0, next(8) === 0 ? next(stream.length) : stream.length));
    for (let i = next(4); i >= 0 && damaged.length > 0; i--)
      damaged[next(damaged.length)] = next(4) === 0 ? 255 : next(256);
    try {
      assert.deepEqual(restoreStore(damaged).check(), []);
      sound++;
    } catch (error) {
      if (!(error instanceof XsError)) throw error;
      refused++;
    }
  }
  assert.ok(refused > 500 && sound > 300, `${refused} refused, ${sound} sound`);
});
