// What a disk can be told: larger sectors, limits, a larger size, and what becomes of writes when the disk below is full.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { OrderError } from '../../services/lib/supervisor.ts';
import { OP, STATUS } from '../../services/block/protocol/blkif.ts';
import { BlockBed } from './bed.ts';
import { PAGE, type FrontDisk, type FrontDomain, type FrontRing } from './front.ts';

const SIZE = 4 << 20;
let b: BlockBed;
let domain: FrontDomain;
let next = 51712;
before(() => {
  b = new BlockBed();
  domain = b.domain(5);
});
after(() => b.close());

async function disk(
  name: string,
  more: object,
): Promise<{ front: FrontDisk; ring: FrontRing; frame: number; gref: number }> {
  // prettier-ignore
  const front = await b.attach(domain, b.image(name, SIZE), { number: next++, ...more });
  await front.connect();
  const frame = domain.pages(1);
  return { front, ring: front.rings[0]!, frame, gref: domain.grant(frame) };
}

async function status(ring: FrontRing, entry: Uint8Array): Promise<number> {
  ring.put(entry);
  ring.publish();
  return (await ring.drain())[0]!.status;
}

test('sectors of 4096 bytes: told, kept to, and none in an image that has no whole number of them', async () => {
  const { front, ring, frame, gref } = await disk('large', { sectorSize: 4096 });
  assert.deepEqual(
    ['sectors', 'sector-size', 'physical-sector-size'].map((name) => front.read(name)),
    [String(SIZE / 512), '4096', '4096'],
  );
  const part = (first: number, last: number) => [{ gref, first, last }];
  assert.equal(await status(ring, ring.request(OP.READ, 1, 8, part(0, 7))), STATUS.OKAY);
  assert.equal(new DataView(domain.port.read(frame * PAGE, 4).slice().buffer).getUint32(0, true), 8);
  assert.equal(await status(ring, ring.request(OP.WRITE, 2, 8, part(0, 6))), STATUS.ERROR);
  assert.equal(await status(ring, ring.request(OP.WRITE, 3, 9, part(0, 7))), STATUS.ERROR);
  assert.equal(await status(ring, ring.discard(4, 8, 7)), STATUS.ERROR);
  assert.equal(await status(ring, ring.discard(5, 8, 8)), STATUS.OKAY);
  writeFileSync(join(b.folder, 'odd'), new Uint8Array(4096 + 512));
  const odd = b.attach(domain, join(b.folder, 'odd'), { number: next++, sectorSize: 4096 });
  await assert.rejects(odd, (e) => e instanceof OrderError && /4608 bytes is no multiple of its sectors of 4096/.test(e.message)); // prettier-ignore
});

test('limits of requests and of bytes, also for who asks for much at once, and beside a disk without', async () => {
  const limited = await disk('limited', { limits: { iops: 200, bps: 0 } });
  const free = await disk('free', {});
  const slow = await disk('slow', { limits: { iops: 0, bps: 1 << 20 } });
  const seconds = async ({ ring, gref }: { ring: FrontRing; gref: number }, count: number): Promise<number> => {
    const begun = performance.now();
    for (let done = 0; done < count; ) {
      const n = Math.min(ring.entries, count - done);
      for (let i = 0; i < n; i++) ring.put(ring.request(OP.READ, done + i, 0, [{ gref, first: 0, last: 7 }]));
      ring.publish();
      done += (await ring.drain()).length;
    }
    return (performance.now() - begun) / 1000;
  };
  const [a, c, f] = await Promise.all([seconds(limited, 160), seconds(slow, 200), seconds(free, 160)]);
  // A tenth of a second's worth is free at the beginning.
  assert.ok(a > 0.65 && c > 0.65, `${a} s and ${c} s`);
  assert.ok(f < a, `${f} s without a limit`);
});

test('a disk grows, whoever serves it afterwards', async () => {
  const { front, ring, gref } = await disk('grows', {});
  const { disks } = b.host;
  const number = next - 1;
  assert.equal(await status(ring, ring.request(OP.READ, 1, SIZE / 512, [{ gref, first: 0, last: 7 }])), STATUS.ERROR);
  await disks.resize(5, number, 2 * SIZE);
  await disks.service!.supervisor.restart();
  assert.equal(disks.size(5, number), 2 * SIZE);
  assert.equal(front.read('sectors'), String((2 * SIZE) / 512));
  assert.equal(await status(ring, ring.request(OP.READ, 2, SIZE / 512, [{ gref, first: 0, last: 7 }])), STATUS.OKAY);
  assert.equal(statSync(join(b.folder, 'grows')).size, 2 * SIZE);
});

/** A file system of a megabyte of one's own, for which no root is needed. */
test('a full disk: an error, or waiting until there is room, as the guest was told', () => {
  const script = join(import.meta.dirname, 'full.ts');
  const { status, stderr, stdout } = spawnSync('unshare', ['-Urm', process.execPath, script], { encoding: 'utf8', timeout: 60_000 }); // prettier-ignore
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'errors, waits, goes on, gives up\n');
});
