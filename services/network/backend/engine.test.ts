import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipFrame, udpFrame } from '../protocol/build.ts';
import { CHECKSUM, FULL_OFFLOAD, GSO, NO_OFFLOAD, parseIp, plain, type Frame } from '../protocol/frame.ts';
import { holds } from '../protocol/checksum.ts';
import { readBuffer, TxAssembler, writeRxAnswer, writeTxAnswer } from '../protocol/netif.ts';
import { ends, largeFrame, MAC, random } from '../testing.ts';
import { Engine } from './engine.ts';
import { Bed, data, Guest, LIMITS, PAGE, request } from './fake_guest.ts';

test('requests and answers, byte by byte', () => {
  const hex = (text: string) => new DataView(Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex')).buffer);
  const assembler = new TxAssembler();
  // gref 0x04030201, offset 0x0100, flags csum_blank | data_validated | more_data | extra_info, id 0x0a09, size 1000.
  assert.equal(assembler.add(hex('01020304 0001 0f00 090a e803'), 0, 5), undefined);
  // extra information: GSO, no more; size 1448, TCPv6.
  assert.equal(assembler.add(hex('01 00 a805 02 00 0000 00000000'), 0, 6), undefined);
  // gref 7, offset 0, id 0x0b, size 400.
  const packet = assembler.add(hex('07000000 0000 0000 0b00 9001'), 0, 9);
  assert.deepEqual(packet, {
    slots: [{ slot: 5, id: 0x0a09 }, { slot: 6, id: undefined }, { slot: 9, id: 0x0b }],
    parts: [{ gref: 0x04030201, offset: 0x100, length: 600 }, { gref: 7, offset: 0, length: 400 }],
    ...{ size: 1000, checksum: CHECKSUM.blank, gso: GSO.tcpv6, segment: 1448, groups: [], bad: false },
  }); // prettier-ignore
  const out = new DataView(new ArrayBuffer(32));
  writeTxAnswer(out, 0, { slot: 1, id: 0x0102, packet: { bad: true, groups: [] } });
  writeTxAnswer(out, 4, { slot: 1, id: undefined, packet: { bad: false, groups: [] } });
  writeRxAnswer(out, 8, { slot: 1, id: 0x0304, flags: 3, status: 0x0506 });
  writeRxAnswer(out, 16, {
    slot: 1,
    id: 9,
    flags: 0,
    status: 0,
    extra: { more: false, gso: GSO.tcpv4, segment: 1448 },
  });
  assert.equal(Buffer.from(out.buffer).toString('hex'), '0201ffff' + '00000100' + '0403000003000605' + '0100a80501000000' + '0'.repeat(16)); // prettier-ignore
  assert.deepEqual(readBuffer(hex('0102 0000 03040506'), 0, 3), { slot: 3, id: 0x0201, gref: 0x06050403 });
});

test('frames go from guest to guest as they are', () => {
  const bed = new Bed();
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2)];
  b.offer(60);
  const small = udpFrame(ends(MAC.a, MAC.b), 1, 2, data(100));
  const large = largeFrame(ends(MAC.a, MAC.b), data(60_000), 1448);
  a.send(small);
  a.send(large);
  a.send({ ...small, checksum: CHECKSUM.unchecked }, 60);
  bed.rings.calls = 0;
  bed.engine.work();
  assert(bed.rings.calls <= 6, `${bed.rings.calls} calls for three frames`);
  const got = b.received();
  assert.equal(got.length, 3);
  for (const [i, sent] of [small, large, { ...small, checksum: CHECKSUM.unchecked }].entries()) {
    assert(Buffer.from(got[i]!.bytes).equals(sent.bytes));
    const { bytes: _, ...facts } = got[i]!;
    const { bytes: __, ...expected } = sent as Frame;
    assert.deepEqual(facts, expected);
  }
  assert.deepEqual(
    a.answered(),
    [0, 0, 1, ...Array<number>(14).fill(0), 0, 0, 0],
    'extra information is answered with NULL',
  );
});

test('a guest without scatter-gather and offloads is given frames of the wire', () => {
  const bed = new Bed();
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2, { scatter: false, offload: NO_OFFLOAD })];
  b.offer(20);
  a.send(largeFrame(ends(MAC.a, MAC.b), data(10_000), 1000));
  bed.engine.work();
  const got = b.received();
  assert.equal(got.length, 10);
  for (const { bytes, checksum, gso } of got) {
    assert(checksum === CHECKSUM.validated && gso === GSO.none && holds(bytes, parseIp(bytes)!));
  }
});

test('a guest without buffers gets its frames when it has some, and no more than are kept', async () => {
  const bed = new Bed();
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2)];
  for (let i = 0; i < 5; i++) a.send(udpFrame(ends(MAC.a, MAC.b), 1, i, data(5000, i)));
  bed.engine.work();
  assert.equal(b.received().length, 0);
  b.offer(3); // one frame takes two
  bed.engine.work();
  assert.equal(b.received().length, 1);
  b.offer(30);
  bed.engine.work();
  assert.equal(b.received().length, 4);
  const frame = largeFrame(ends(MAC.a, MAC.b), data(60_000), 1448);
  for (let i = 0; i < 700; i++) a.vif.port.send([frame]);
  await new Promise((resolve) => setImmediate(resolve));
  assert(b.vif.statistics.dropped > 100 && b.vif.queues[0]!.bytes <= 32 << 20);
});

test('what cannot be sent is answered with an error, and nobody is hurt', () => {
  const bed = new Bed();
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2)];
  b.offer(100);
  const frame = udpFrame(ends(MAC.a, MAC.b), 1, 2, data(3000));
  const set = (n: number, at: number, value: number) => (bytes: Uint8Array, i: number) => {
    if (i === n) new DataView(bytes.buffer).setUint16(at, value, true);
  };
  a.send(frame, 2000, 0, set(1, 0, 0x7777)); // no such grant
  a.send(frame, 2000, 0, set(0, 4, 4000)); // over the page's end
  a.send(frame, 2000, 0, set(1, 10, 9000)); // more than the whole
  a.send(plain(new Uint8Array(10))); // no frame
  a.send(ipFrame(ends(MAC.a, MAC.b), 99, data(1000)), 55); // 19 slots
  a.send({ ...largeFrame(ends(MAC.a, MAC.b), data(100), 50), segment: 0 });
  a.send(frame, 2000);
  bed.engine.work();
  assert.equal(b.received().length, 1);
  const answered = a.answered();
  assert.deepEqual(answered, [-1, -1, -1, -1, -1, -1, -1, ...Array<number>(19).fill(-1), -1, 1, 0, 0]);
  assert.equal(bed.broken.length, 0);
  a.send(ipFrame(ends(MAC.a, MAC.b), 99, data(1000)), 40); // 26 slots
  bed.engine.work();
  assert.match(bed.broken[0]!, /20 slots/);
  a.send(frame);
  bed.engine.work();
  assert.equal(b.received().length, 0, 'it is served no more');
});

test('groups by extra information', () => {
  const bed = new Bed();
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2, { multicast: true })];
  b.offer(100);
  const group = (type: number, last = 5) => {
    b.queues[0]!.tx.requests.push(request(0, 0, 8, 7, 0), Uint8Array.of(type, 0, 1, 0, 0x5e, 0, 0, last, 0, 0, 0, 0));
    bed.engine.work();
  };
  const say = () => {
    a.send(udpFrame({ ...ends(MAC.a, MAC.b), toMac: 0x01005e000005 }, 1, 2, data(9)));
    bed.engine.work();
    return b.received().length;
  };
  assert.equal(say(), 0);
  group(2);
  assert.deepEqual(b.answered(), [0, 1]);
  assert.equal(say(), 1);
  group(3);
  assert.equal(say(), 0);
  b.vif.setMulticast(false);
  assert.equal(say(), 1, 'it does not want to choose any more');
  b.vif.setMulticast(true);
  assert.equal(say(), 0);

  b.answered();
  for (let i = 0; i < 64; i++) group(2, i);
  group(2, 7);
  assert.deepEqual(b.answered(), Array.from({ length: 65 }, () => [0, 1]).flat()); // prettier-ignore
  group(2, 64);
  assert.deepEqual(b.answered(), [-1, 1], 'no room');
  assert.equal(say(), 1);
  const { connection } = b.vif;
  bed.engine.disconnect(b.vif);
  new Engine(bed.rings, LIMITS, { bytes: bed.rings.heap, from: 0x10000 }, { broken: (_, why) => assert.fail(why) }).connect(b.vif, connection!, bed.rings.journal); // prettier-ignore
  bed.net.forward(a.vif.port, [5, 64].map((last) => udpFrame({ ...ends(MAC.a, MAC.b), toMac: 0x01005e000000 + last }, 1, 2, data(9)))); // prettier-ignore
  assert.deepEqual(b.vif.queues[0]!.waiting.map(({ bytes }) => bytes[5]), [5], 'another worker knows them'); // prettier-ignore
});

test('several queues: the frames of a connection stay in one', () => {
  const bed = new Bed();
  const a = new Guest(bed, 1, {}, 2);
  const b = new Guest(bed, 2, {}, 4);
  for (let queue = 0; queue < 4; queue++) b.offer(100, queue);
  for (let i = 0; i < 200; i++)
    a.send(udpFrame(ends(MAC.a, MAC.b), 1000 + (i % 20), 7, Uint8Array.of(i)), PAGE, i % 20 < 10 ? 0 : 1);
  bed.engine.work();
  const counts = [0, 1, 2, 3].map((queue) => {
    const got = b.received(queue);
    const ports = Map.groupBy(got, ({ bytes }) => (bytes[34]! << 8) | bytes[35]!);
    for (const list of ports.values()) {
      assert.equal(list.length, 10);
      assert(
        list.every(({ bytes }, i) => i === 0 || bytes[42]! > list[i - 1]!.bytes[42]!),
        'in order',
      );
    }
    return got.length;
  });
  assert.equal(
    counts.reduce((sum, n) => sum + n),
    200,
  );
  assert(counts.filter((n) => n > 0).length > 1);
});

test('a rate holds in the long run', async (t) => {
  const [rate, size, count] = [2_000_000, 3000, 300];
  let now = 0;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const bed = new Bed();
  const a = new Guest(bed, 1, {}, 1, { bytesPerSecond: rate, burst: rate / 20, now: () => now });
  const b = new Guest(bed, 2);
  for (let i = 0; i < count; i++) a.send(udpFrame(ends(MAC.a, MAC.b), 1, 2, data(size)));
  bed.engine.work();
  let got = 0;
  while (got < count) {
    b.offer(40);
    bed.engine.work();
    await new Promise((resolve) => setImmediate(resolve));
    got += b.received().length;
    // What has come is what the rate allows: a burst, and what one look at the ring takes.
    assert(got * size <= rate / 20 + (rate * now) / 1000 + 64 * PAGE, `${got} frames in ${now} ms`);
    now += 1;
    t.mock.timers.tick(1);
    assert(now < 1000, `only ${got} frames in a second`);
  }
  assert(now >= ((count * size - rate / 20) / rate) * 1000 - 200, `${now} ms`); // what was owed last need not be waited for
  bed.engine.disconnect(a.vif);
});

test('a worker that ends: the next one sends what was taken, and uses the buffers that were', () => {
  const bed = new Bed();
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2)];
  b.offer(5);
  const frame = udpFrame(ends(MAC.a, MAC.b), 1, 2, data(6000));
  a.send(frame, 2500);
  // The first worker takes and does no more.
  for (const ring of [a.queues[0]!.tx.at, b.queues[0]!.rx.at]) bed.rings.take(ring, false);
  bed.rings.go();
  const next = new Engine(
    bed.rings,
    LIMITS,
    { bytes: bed.rings.heap, from: 0x10000 },
    {
      broken: (_, why) => assert.fail(why),
    },
  );
  for (const guest of [b, a]) {
    bed.engine.disconnect(guest.vif);
    const queues = guest.queues.map(({ tx, rx }) => ({ tx: tx.at, rx: rx.at }));
    next.connect(
      guest.vif,
      { domid: guest.domid, queues, offload: FULL_OFFLOAD, scatter: true, multicast: false },
      bed.rings.journal,
    );
  }
  next.work();
  const [got] = b.received();
  assert(Buffer.from(got!.bytes).equals(frame.bytes));
  assert.deepEqual(a.answered(), [0, 0, 0]);
});

test('any requests at all: each is answered once, no other guest hears more than frames', () => {
  const bed = new Bed();
  const b = new Guest(bed, 2);
  const victim = new Guest(bed, 3);
  const next = random(17);
  for (let round = 0; round < 60; round++) {
    const a = new Guest(bed, 10 + round);
    b.offer(30);
    victim.offer(3);
    let sent = 0;
    for (let i = 0; i < 20; i++) {
      const frame =
        next() < 0.5
          ? largeFrame(ends(MAC.a, MAC.b), data(Math.floor(next() * 9000), i), 1000)
          : udpFrame(ends(MAC.a, MAC.b), 1, 2, data(Math.floor(next() * 5000), i));
      a.send(frame, 1000 + Math.floor(next() * 3000), 0, (bytes) => {
        if (next() < 0.1) bytes[Math.floor(next() * 12)] = next() * 256;
      });
    }
    sent = a.queues[0]!.tx.requests.length;
    bed.engine.work();
    assert(a.answered().length <= sent);
    assert.equal(a.queues[0]!.tx.requests.length === 0 || a.vif.broken, true);
    b.received();
    victim.vif.port.send([udpFrame(ends(MAC.c, MAC.b), 1, 2, data(9))]);
    bed.engine.work();
    bed.engine.disconnect(a.vif);
    a.vif.port.detach();
  }
  assert(bed.broken.length > 0);
  victim.send(udpFrame(ends(MAC.c, MAC.b), 1, 2, data(77)));
  b.offer(5);
  bed.engine.work();
  assert(b.received().length > 0);
  assert.equal(bed.broken.length, bed.broken.filter((why) => /slots|extra/.test(why)).length);
});
