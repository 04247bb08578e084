// A disk's image is taken from under its guest and given back: what storage repositories do for snapshots.
import assert from 'node:assert/strict';
import { linkSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create_image, open_image } from '../../services/block/image/open.ts';
import { OP, STATUS } from '../../services/block/protocol/blkif.ts';
import { BlockBed } from './bed.ts';
import { PAGE, type FrontRing } from './front.ts';

let b: BlockBed;
before(() => void (b = new BlockBed()));
after(() => b.close());

const SIZE = 4 << 20;

test('requests wait while a disk is held, and go on with what is then under its name', async () => {
  const domain = b.domain(5);
  const path = join(b.folder, 'disk.qcow2');
  await create_image(path, { format: 'qcow2', size: SIZE });
  const number = 51712;
  const front = await b.attach(domain, path, { number, image: { path, format: 'qcow2', readonly: false } });
  await front.connect();
  const [ring] = front.rings as [FrontRing];
  const frame = domain.pages(1);
  const whole = { gref: domain.grant(frame), first: 0, last: 7 };
  const write = (id: number, byte: number): void => {
    domain.port.write(frame * PAGE, new Uint8Array(PAGE).fill(byte));
    ring.put(ring.request(OP.WRITE, id, id * 8, [whole]));
    ring.publish();
  };
  const answered = async (id: number): Promise<void> => {
    const [answer] = await ring.drain();
    assert.deepEqual([answer!.id, answer!.status], [id, STATUS.OKAY]);
  };
  write(1, 0x11);
  await answered(1);
  await b.host.disks.whileHeld([{ domid: 5, number }], async () => {
    write(2, 0x22);
    // Nobody has it open: it can be had for writing.
    await (await open_image(path, { format: 'qcow2' })).close();
    linkSync(path, join(b.folder, 'base.qcow2'));
    const backing = { path: 'base.qcow2', format: 'qcow2' } as const;
    await create_image(`${path}.new`, { format: 'qcow2', backing });
    renameSync(`${path}.new`, path);
    // The worker's end in the middle changes nothing.
    await b.host.disks.service!.supervisor.restart();
  });
  await answered(2);
  write(3, 0x33);
  await answered(3);
  await assert.rejects(
    b.host.disks.whileHeld([{ domid: 5, number }], () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  write(4, 0x44);
  await answered(4);
  const bytes = async (name: string): Promise<number[]> => {
    const image = await open_image(join(b.folder, name), { format: 'qcow2', readonly: true, lock: false });
    const found = await Promise.all(
      [1, 2, 3, 4].map(async (id) => {
        const one = Buffer.alloc(512);
        await image.read(id * PAGE, [one]);
        return one[511]!;
      }),
    );
    await image.close();
    return found;
  };
  await b.host.disks.detach(5, number, { ms: 0, force: true });
  assert.deepEqual(await bytes('base.qcow2'), [0x11, 0, 0, 0]);
  assert.deepEqual(await bytes('disk.qcow2'), [0x11, 0x22, 0x33, 0x44]);
  assert.deepEqual(b.log, ['the block service has ended; it is started again']);
});

test('an image that does not come back: its disk fails, and can be taken away', async () => {
  const domain = b.domain(6);
  const path = b.image('lost', SIZE);
  const number = 51712;
  const front = await b.attach(domain, path, { number });
  await front.connect();
  const [ring] = front.rings as [FrontRing];
  const part = { gref: domain.grant(domain.pages(1)), first: 0, last: 7 };
  await b.host.disks.whileHeld([{ domid: 6, number }], async () => {
    ring.put(ring.request(OP.READ, 1, 0, [part]));
    ring.publish();
    await b.host.disks.service!.supervisor.restart();
    ring.put(ring.request(OP.READ, 2, 8, [part]));
    ring.publish();
    renameSync(path, `${path}.away`);
  });
  assert.match(b.log.at(-2)!, /lost cannot be opened again/);
  assert.ok(await b.host.disks.detach(6, number, { ms: 0, force: true }));
});

test('a guest that ends while its disk is held, and a size that is to change', async () => {
  const domain = b.domain(7);
  const path = b.image('ends', SIZE);
  const number = 51712;
  const front = await b.attach(domain, path, { number });
  await front.connect();
  await b.host.disks.whileHeld([{ domid: 7, number }], async () => {
    await assert.rejects(b.host.disks.resize(7, number, 2 * SIZE), /not open just now: try again/);
    b.host.disks.forget(7);
    await Promise.resolve();
  });
  // Its end is waited for, and nobody has it open.
  const [again] = await b.host.disks.open([
    {
      ...{ vdev: 'xvda', number, cdrom: false, discard: true, sectorSize: 512 },
      image: { path, format: 'raw', readonly: false },
    },
  ]);
  await b.host.disks.release([again!]);
});
