// The block protocol as a front end has it: both layouts, all requests, rings of all sizes, and what is wrong in them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ABI_32, ABI_64, OP, STATUS, type Abi } from '../../services/block/protocol/blkif.ts';
import { BlockBed } from './bed.ts';
import { FrontRing, PAGE, type FrontDisk, type FrontDomain } from './front.ts';

const SIZE = 4 << 20;
let b: BlockBed;
let domain: FrontDomain;
let next = 51712;
before(() => {
  b = new BlockBed();
  domain = b.domain(5);
});
after(() => b.close());

const whole = (gref: number) => ({ gref, first: 0, last: 7 });
const fill = (frame: number, byte: number): void => domain.port.write(frame * PAGE, new Uint8Array(PAGE).fill(byte));
const word = (bytes: Uint8Array, at = 0): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

async function one(ring: FrontRing, entry: Uint8Array): Promise<number> {
  ring.put(entry);
  ring.publish();
  const [answer] = await ring.drain();
  return answer!.status;
}

async function disk(name: string, more: object = {}): Promise<FrontDisk> {
  const front = await b.attach(domain, b.image(name, SIZE), { number: next++, ...more });
  await front.connect();
  return front;
}

const kinds: [string, Abi, number | undefined, number][] = [
  ['64-bit', ABI_64, undefined, 1],
  ['32-bit', ABI_32, undefined, 1],
  ['four pages', ABI_64, 2, 1],
  ['32-bit, two queues of two pages', ABI_32, 1, 2],
];
for (const [name, abi, order, queues] of kinds) {
  test(`reads and writes: ${name}`, async () => {
    const front = await disk(name, { abi, queues, ...(order !== undefined && { order }) });
    assert.equal(front.read('sectors'), String(SIZE / 512));
    for (const ring of front.rings) {
      const frame = domain.pages(2);
      const refs = [domain.grant(frame), domain.grant(frame + 1)];
      // Parts of pages, in one request: sectors 100 to 105 and 106 to 109.
      const parts = [{ gref: refs[0]!, first: 2, last: 7 }, { gref: refs[1]!, first: 0, last: 3 }]; // prettier-ignore
      assert.equal(await one(ring, ring.request(OP.READ, 1, 100, parts)), STATUS.OKAY);
      for (let i = 0; i < 6; i++) assert.equal(word(domain.port.read(frame * PAGE + (2 + i) * 512, 4)), 100 + i);
      for (let i = 0; i < 4; i++) assert.equal(word(domain.port.read((frame + 1) * PAGE + i * 512, 4)), 106 + i);
      fill(frame, 0xa5);
      assert.equal(await one(ring, ring.request(OP.WRITE, 2, 200, [{ gref: refs[0]!, first: 1, last: 1 }])), 0);
      assert.equal(await one(ring, ring.request(OP.FLUSH, 3, 0)), STATUS.OKAY);
      const now = b.contents(name);
      assert.ok(now.subarray(200 * 512, 201 * 512).every((byte) => byte === 0xa5));
      assert.deepEqual([word(now, 199 * 512), word(now, 201 * 512)], [199, 201]);
      // More than the ring holds, one after the other: each is answered once, with its own id.
      const ids = new Set<number>();
      for (let id = 10; id < 10 + 3 * ring.entries; ) {
        while (ring.room > 0 && id < 10 + 3 * ring.entries)
          ring.put(ring.request(id % 3 ? OP.READ : OP.WRITE, id++, 4096 + (id % 500) * 8, [whole(refs[0]!)]));
        ring.publish();
        for (const answer of await ring.drain()) {
          assert.equal(answer.status, 0);
          assert.ok(!ids.has(answer.id));
          ids.add(answer.id);
        }
      }
      assert.equal(ids.size, 3 * ring.entries);
    }
  });
}

test('indirect requests, barriers, discard', async () => {
  const front = await disk('more');
  const [ring] = front.rings as [FrontRing];
  const frame = domain.pages(65);
  const list = new DataView(new ArrayBuffer(PAGE));
  for (let i = 0; i < 64; i++) {
    fill(frame + i, i + 1);
    FrontRing.segment(list, 8 * i, whole(domain.grant(frame + i)));
  }
  domain.port.write((frame + 64) * PAGE, new Uint8Array(list.buffer));
  const listRef = domain.grant(frame + 64, true);
  assert.equal(await one(ring, ring.indirect(OP.WRITE, 1, 64, 64, [listRef])), STATUS.OKAY);
  const now = b.contents('more');
  for (let i = 0; i < 64; i++) assert.equal(now[64 * 512 + i * PAGE + 77], i + 1);
  for (let i = 0; i < 64; i++) fill(frame + i, 0);
  assert.equal(await one(ring, ring.indirect(OP.READ, 2, 64, 63, [listRef])), STATUS.OKAY);
  assert.equal(domain.port.read((frame + 62) * PAGE, 1)[0], 63);
  assert.equal(domain.port.read((frame + 63) * PAGE, 1)[0], 0);
  // A barrier is done after what came before it, and before what comes behind it.
  const [a, c] = [domain.pages(1), domain.pages(1)];
  const [ra, rc] = [domain.grant(a), domain.grant(c)];
  fill(a, 0x11);
  fill(c, 0x22);
  ring.put(ring.request(OP.WRITE, 3, 800, [whole(ra)]));
  ring.put(ring.request(OP.BARRIER, 4, 800, [whole(rc)]));
  ring.put(ring.request(OP.READ, 5, 800, [whole(ra)]));
  ring.put(ring.request(OP.BARRIER, 6, 0));
  ring.publish();
  assert.deepEqual((await ring.drain()).map(({ id, status }) => [id, status]), [[3, 0], [4, 0], [5, 0], [6, 0]]); // prettier-ignore
  assert.equal(domain.port.read(a * PAGE, 1)[0], 0x22);
  assert.equal(await one(ring, ring.discard(7, 800, 8)), STATUS.OKAY);
  assert.equal(await one(ring, ring.request(OP.READ, 8, 800, [whole(ra)])), STATUS.OKAY);
  assert.equal(domain.port.read(a * PAGE, 1)[0], 0);
});

test('what is wrong is answered with an error, and nothing else happens', async () => {
  const front = await disk('wrong');
  const [ring] = front.rings as [FrontRing];
  const frame = domain.pages(2);
  const [ref, readonly] = [domain.grant(frame), domain.grant(frame + 1, true)];
  const end = SIZE / 512;
  const before = b.contents('wrong');
  const list = domain.pages(1);
  const listRef = domain.grant(list);
  const bad = new DataView(new ArrayBuffer(PAGE));
  FrontRing.segment(bad, 0, { gref: ref, first: 5, last: 4 });
  domain.port.write(list * PAGE, new Uint8Array(bad.buffer));
  const many = Array.from({ length: 12 }, () => whole(ref));
  const cases: [string, Uint8Array, number][] = [
    ['behind the end', ring.request(OP.READ, 1, end, [whole(ref)]), STATUS.ERROR],
    ['across the end', ring.request(OP.WRITE, 2, end - 7, [whole(ref)]), STATUS.ERROR],
    ['a sector beyond all', ring.request(OP.READ, 3, 2 ** 52, [whole(ref)]), STATUS.ERROR],
    ['no segment', ring.request(OP.READ, 4, 0), STATUS.ERROR],
    ['twelve segments', ring.request(OP.READ, 5, 0, many), STATUS.ERROR],
    ['a segment that ends before it begins', ring.request(OP.WRITE, 6, 0, [{ gref: ref, first: 3, last: 2 }]), -1],
    ['a segment beyond its page', ring.request(OP.WRITE, 7, 0, [{ gref: ref, first: 0, last: 8 }]), STATUS.ERROR],
    ['no such grant', ring.request(OP.WRITE, 8, 0, [whole(2000)]), STATUS.ERROR],
    ['a grant beyond the table', ring.request(OP.READ, 9, 0, [whole(0xffffffff)]), STATUS.ERROR],
    ['reading into a read-only grant', ring.request(OP.READ, 10, 0, [whole(readonly)]), STATUS.ERROR],
    ['an unknown request', ring.request(77, 11, 0, [whole(ref)]), STATUS.EOPNOTSUPP],
    ['a discard behind the end', ring.discard(12, end - 1, 2), STATUS.ERROR],
    ['an endless discard', ring.discard(13, 0, 2 ** 60), STATUS.ERROR],
    ['no indirect segment', ring.indirect(OP.READ, 14, 0, 0, [listRef]), STATUS.ERROR],
    ['too many indirect segments', ring.indirect(OP.READ, 15, 0, 65, [listRef]), STATUS.ERROR],
    ['an indirect flush', ring.indirect(OP.FLUSH, 16, 0, 1, [listRef]), STATUS.ERROR],
    ['an indirect segment that cannot be', ring.indirect(OP.WRITE, 17, 0, 1, [listRef]), STATUS.ERROR],
    ['no such indirect page', ring.indirect(OP.WRITE, 18, 0, 1, [1999]), STATUS.ERROR],
  ];
  for (const [what, entry, status] of cases) assert.equal(await one(ring, entry), status, what);
  domain.revoke(ref);
  assert.equal(await one(ring, ring.request(OP.WRITE, 19, 0, [whole(ref)])), STATUS.ERROR, 'a revoked grant');
  assert.deepEqual(b.contents('wrong'), before);
  assert.equal(b.host.disks.service!.supervisor.restarts, 0);
});

test('a read-only disk; one without discard; a CD', async () => {
  const image = (name: string) => ({ path: b.image(name, SIZE), format: 'raw', readonly: true }) as const;
  const front = await b.attach(domain, '', { number: next++, image: image('ro'), cdrom: true, discard: false });
  await front.connect();
  assert.deepEqual(
    ['info', 'mode', 'device-type', 'feature-discard', 'removable'].map((name) => front.read(name)),
    ['7', 'r', 'cdrom', '0', '1'],
  );
  const [ring] = front.rings as [FrontRing];
  const ref = domain.grant(domain.pages(1));
  assert.equal(await one(ring, ring.request(OP.WRITE, 1, 0, [whole(ref)])), STATUS.ERROR);
  assert.equal(await one(ring, ring.request(OP.READ, 2, 0, [whole(ref)])), STATUS.OKAY);
  assert.equal(await one(ring, ring.discard(3, 0, 1)), STATUS.EOPNOTSUPP);
});

test('closing and beginning again; a ring that is none; nodes that cannot be', async () => {
  const front = await disk('again');
  const [ring] = front.rings as [FrontRing];
  const ref = domain.grant(domain.pages(1));
  for (let round = 0; round < 3; round++) {
    assert.equal(await one(ring, ring.request(OP.READ, round, 8, [whole(ref)])), STATUS.OKAY);
    await front.close();
    await front.reconnect();
  }
  await front.close();
  const cases: [Record<string, string>, RegExp][] = [
    [{ 'ring-ref': '1999' }, /grant 1999 cannot be mapped/],
    [{ 'ring-ref': 'x' }, /ring-ref cannot be 'x'/],
    [{ 'event-channel': '999' }, /event channel: EVTCHNOP_bind_interdomain/],
    [{ protocol: 'pdp11-abi' }, /protocol 'pdp11-abi' is not known/],
    [{ 'ring-page-order': '9' }, /ring-page-order cannot be '9'/],
    [{ 'multi-queue-num-queues': '0' }, /multi-queue-num-queues is 0/],
    [{ 'multi-queue-num-queues': '3' }, /queue-0\/ring-ref is missing/],
  ];
  for (const [nodes, why] of cases) {
    front.state = 1;
    await front.backState(2);
    front.writeNodes();
    for (const [name, value] of Object.entries(nodes)) front.domain.store.write(`${front.path}/${name}`, value);
    front.state = 3;
    await front.backState(5);
    assert.match(front.error ?? '', why);
    for (const name of ['ring-page-order', 'multi-queue-num-queues'])
      if (name in nodes) front.domain.store.remove(`${front.path}/${name}`);
    await front.close();
  }
  await front.reconnect();
  assert.equal(await one(ring, ring.request(OP.READ, 9, 8, [whole(ref)])), STATUS.OKAY);
});

test('an index that cannot be: that front end is told and served no more, the others are', async () => {
  const [bad, good] = [await disk('bad'), await disk('good')];
  bad.domain.setU32(bad.rings[0]!.at, 1000);
  bad.rings[0]!.notify();
  await bad.backState(5);
  assert.match(bad.error ?? '', /more requests than entries/);
  const ref = domain.grant(domain.pages(1));
  assert.equal(await one(good.rings[0]!, good.rings[0]!.request(OP.READ, 1, 8, [whole(ref)])), STATUS.OKAY);
  await bad.close();
  await bad.reconnect();
  assert.equal(await one(bad.rings[0]!, bad.rings[0]!.request(OP.READ, 1, 8, [whole(ref)])), STATUS.OKAY);
});

test('taking a disk away: asked for, refused by a front end in use, by force; a new size is told', async () => {
  const front = await disk('gone');
  const number = next - 1;
  const { disks } = b.host;
  await disks.resize(5, number, SIZE + 4096);
  assert.deepEqual([front.read('sectors'), front.read('state')], [String(SIZE / 512 + 8), '4']);
  assert.equal(await disks.detach(5, number, { ms: 100, force: false }), false);
  assert.equal(front.read('state'), '5');
  const taken = disks.detach(5, number, { ms: 5000, force: false });
  front.state = 6;
  assert.equal(await taken, true);
  assert.equal(front.read('state'), undefined);
  const second = await disk('gone');
  assert.equal(await disks.detach(5, next - 1, { ms: 0, force: true }), true);
  assert.equal(second.read('state'), undefined);
  assert.equal(disks.find(5, next - 1), undefined);
});
