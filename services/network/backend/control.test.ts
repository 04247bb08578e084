import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../../spec/abi/constants.ts';
import { udpFrame } from '../protocol/build.ts';
import { CONTROL } from '../protocol/control.ts';
import { GSO } from '../protocol/frame.ts';
import { ALL_TYPES, hashOf } from '../protocol/hash.ts';
import { ends, largeFrame, MAC, random } from '../testing.ts';
import { Engine } from './engine.ts';
import { Bed, data, Guest, LIMITS, PAGE } from './fake_guest.ts';
import type { FakeRing } from './fake_rings.ts';

const QUEUES = 4;
const [OKAY, INVALID] = [abi.XEN_NETIF_CTRL_STATUS_SUCCESS, abi.XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER];
const { XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS: SET_FLAGS, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY: SET_KEY } = abi;
const { XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM: SET_ALGORITHM, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING: SET_MAPPING } = abi; // prettier-ignore
const { XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE: SET_SIZE } = abi;
const KEY = data(40, 3);

/** A guest with a control ring. */
class Asker {
  readonly ring: FakeRing;
  readonly guest: Guest;
  readonly #bed: Bed;
  #id = 0;

  constructor(bed: Bed, domid: number, queues = QUEUES) {
    this.#bed = bed;
    this.ring = bed.rings.ring(CONTROL);
    this.guest = new Guest(bed, domid, { control: this.ring.at }, queues);
  }

  page(bytes: Uint8Array): number {
    const page = new Uint8Array(PAGE);
    page.set(bytes);
    return this.#bed.rings.grant(this.guest.domid, page);
  }

  words(...list: number[]): number {
    return this.page(new Uint8Array(Uint32Array.from(list).buffer));
  }

  ask(type: number, ...numbers: number[]): void {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, this.#id++, true);
    view.setUint16(2, type, true);
    numbers.forEach((value, i) => view.setUint32(4 + 4 * i, value, true));
    this.ring.requests.push(bytes);
  }

  /** Types and statuses of what has been answered, in the order in which it was asked for. */
  answered(): [type: number, status: number][] {
    const views = this.ring.answers.splice(0).map(({ buffer }) => new DataView(buffer));
    views.forEach((view, i) => i > 0 && assert.equal(view.getUint16(0, true), views[i - 1]!.getUint16(0, true) + 1));
    return views.map((view) => [view.getUint16(2, true), view.getUint32(4, true)]);
  }

  /** Everything, as a driver sets it up. */
  setUp(...mapping: number[]): void {
    this.ask(SET_ALGORITHM, abi.XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
    this.ask(SET_FLAGS, ALL_TYPES);
    this.ask(SET_KEY, this.page(KEY), KEY.length);
    this.ask(SET_SIZE, mapping.length);
    this.ask(SET_MAPPING, this.words(...mapping), mapping.length, 0);
  }
}

/** Whole turns of the loop: the engine goes on in the next one if there is more to do. */
const turns = async (bed: Bed, count = 10): Promise<void> => {
  bed.engine.work();
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

test('a front end sets its hashes up: frames come by its table, and say their hash', async () => {
  const bed = new Bed();
  const a = new Guest(bed, 1);
  const b = new Asker(bed, 2);
  b.setUp(3, 1, 1, 0, 2);
  await turns(bed);
  assert.deepEqual(b.answered(), [SET_ALGORITHM, SET_FLAGS, SET_KEY, SET_SIZE, SET_MAPPING].map((type) => [type, OKAY])); // prettier-ignore
  for (let queue = 0; queue < QUEUES; queue++) b.guest.offer(200, queue);
  const frames = Array.from({ length: 40 }, (_, i) => {
    const e = { ...ends(MAC.a, MAC.b, i % 2 === 1), toMac: MAC.b };
    e.from[e.from.length - 1] = i;
    return i % 3 === 0 ? largeFrame(e, data(9000, i), 1448) : udpFrame(e, i, 7, data(100, i));
  });
  for (const frame of frames) a.send(frame);
  await turns(bed);
  const expected = Array.from({ length: QUEUES }, (): string[] => []);
  for (const { bytes } of frames) {
    const hash = hashOf(bytes, ALL_TYPES, KEY)!;
    expected[[3, 1, 1, 0, 2][hash.value % 5]!]!.push(`${Buffer.from(bytes).toString('hex')} ${JSON.stringify(hash)}`);
  }
  for (let queue = 0; queue < QUEUES; queue++) {
    const got = b.guest.received(queue);
    assert.deepEqual(got.map(({ bytes, hash }) => `${Buffer.from(bytes).toString('hex')} ${JSON.stringify(hash)}`), expected[queue]); // prettier-ignore
    assert(expected[queue]!.length > 0);
    for (const { bytes, gso, segment } of got) assert.equal(segment, gso === GSO.none ? 0 : 1448, `${bytes.length}`);
  }
  b.ask(SET_ALGORITHM, abi.XEN_NETIF_CTRL_HASH_ALGORITHM_NONE);
  await turns(bed);
  a.send(frames[1]!);
  await turns(bed);
  const [last] = [0, 1, 2, 3].flatMap((queue) => b.guest.received(queue));
  assert.equal(last!.hash, undefined, 'nothing is hashed any more');
});

test('a key or table that is not granted is refused, and nothing else is hurt', async () => {
  const bed = new Bed();
  const b = new Asker(bed, 2);
  const c = new Asker(bed, 3);
  c.setUp(1);
  b.setUp(0, 1, 2, 3);
  b.ask(SET_KEY, 0x7777, 40);
  b.ask(SET_MAPPING, 0xffffffff, 1, 0);
  b.ask(SET_MAPPING, b.words(QUEUES), 1, 0);
  const a = new Guest(bed, 1);
  a.send(udpFrame(ends(MAC.a, MAC.b), 1, 2, data(100)));
  await turns(bed);
  assert.deepEqual(b.answered().map(([, status]) => status), [OKAY, OKAY, OKAY, OKAY, OKAY, INVALID, INVALID, INVALID]); // prettier-ignore
  assert.deepEqual(c.answered().map(([, status]) => status), [OKAY, OKAY, OKAY, OKAY, OKAY]); // prettier-ignore
  assert.deepEqual(a.answered(), [0]);
  assert.deepEqual(bed.broken, []);
});

test('who asks without end keeps nobody waiting; an index that cannot be is its end', async () => {
  const bed = new Bed();
  const askers = Array.from({ length: 12 }, (_, i) => new Asker(bed, 10 + i, 1));
  const [a, b] = [new Guest(bed, 1), new Guest(bed, 2)];
  b.offer(50);
  for (const asker of askers) for (let i = 0; i < 1000; i++) asker.ask(i % 12, i, i % 50);
  for (let i = 0; i < 20; i++) a.send(udpFrame(ends(MAC.a, MAC.b), 1, 2, data(100)));
  await turns(bed, 1);
  assert.equal(b.received().length, 20, 'within two turns of the loop');
  const left = askers.map(({ ring }) => ring.requests.length + ring.journal.size);
  assert(
    left.every((count) => count > 980),
    `${left.join(' ')} left`,
  );
  await turns(bed, 4000);
  for (const asker of askers) assert.equal(asker.answered().length, 1000);
  const [first] = askers;
  first!.ring.broken = -74;
  await turns(bed);
  assert.deepEqual(bed.broken, ['its control ring cannot be read (-74)']);
  assert.equal(first!.guest.vif.broken, true);
});

test('a worker that ends: the next one hashes as the last one did, and carries out what was taken', async () => {
  const bed = new Bed();
  const b = new Asker(bed, 2);
  b.setUp(2, 2, 2);
  await turns(bed);
  b.answered();
  b.ask(SET_MAPPING, b.words(1), 1, 1);
  b.ask(SET_FLAGS, 1);
  bed.rings.take(b.ring.at, false);
  bed.rings.go();
  const { vif } = b.guest;
  const before = vif.control!.hashing.bytes;
  const connection = vif.connection!;
  bed.engine.disconnect(vif);
  assert.equal(vif.control, undefined);
  const next = new Engine(bed.rings, LIMITS, { bytes: bed.rings.heap, from: 0x10000 }, { broken: (_, why) => assert.fail(why) }); // prettier-ignore
  next.connect(vif, connection, bed.rings.journal);
  await turns(bed);
  assert.deepEqual(b.answered(), [[SET_MAPPING, OKAY], [SET_FLAGS, OKAY]]); // prettier-ignore
  const { hashing } = vif.control!;
  assert.notEqual(hashing.bytes, before);
  assert.deepEqual([0, 1, 2].map((value) => hashing.queueOf({ type: 0, value }, QUEUES)), [2, 1, 2]); // prettier-ignore
  const { bytes } = udpFrame(ends(MAC.a, MAC.b), 1, 2, data(9));
  assert.deepEqual(hashing.hashOf(bytes), hashOf(bytes, 1, KEY));
  next.disconnect(vif);
});

test('any requests at all: each is answered once', async () => {
  const bed = new Bed();
  const next = random(23);
  for (let round = 0; round < 30; round++) {
    const b = new Asker(bed, 10 + round);
    for (let i = 0; i < 50; i++) {
      b.ask(Math.floor(next() * 12), next() < 0.5 ? b.page(data(4096, i)) : next() * 20, next() * 200, next() * 100);
      if (next() < 0.3) b.ring.requests.at(-1)![2 + Math.floor(next() * 14)] = next() * 256;
    }
    await turns(bed, 30);
    assert.equal(b.ring.answers.length, 50);
    assert.equal(b.ring.journal.size, 0);
    bed.engine.disconnect(b.guest.vif);
  }
  assert.deepEqual(bed.broken, []);
});
