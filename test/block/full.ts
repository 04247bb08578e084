// Run by options.test.ts in a mount namespace of its own: disks on a file system that is full.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OP, STATUS } from '../../services/block/protocol/blkif.ts';
import { BlockBed } from './bed.ts';
import { PAGE, type FrontDisk } from './front.ts';

const SIZE = 4 << 20;
const ROUNDS = 16;

const folder = mkdtempSync(join(tmpdir(), 'xenolith-full-'));
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
const filler = join(folder, 'filler');
writeFileSync(filler, new Uint8Array(900 << 10));
const b = new BlockBed();
const domain = b.domain(5);
const frame = domain.pages(1);
const gref = domain.grant(frame);
domain.port.write(frame * PAGE, new Uint8Array(PAGE).fill(0x5a));

async function disk(name: string, number: number, whenFull: 'error' | 'wait'): Promise<FrontDisk> {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, SIZE);
  const front = await b.attach(domain, path, { number, whenFull });
  await front.connect();
  return front;
}

/** More than there is room for. */
function write({ rings: [ring] }: FrontDisk): void {
  for (let i = 0; i < ROUNDS; i++) {
    const parts = Array.from({ length: 8 }, () => ({ gref, first: 0, last: 7 }));
    ring!.put(ring!.request(OP.WRITE, i, i * 64, parts));
  }
  ring!.publish();
}

try {
  const said: string[] = [];
  const told = await disk('told', 51712, 'error');
  write(told);
  const statuses = (await told.rings[0]!.drain()).map(({ status }) => status);
  assert.ok(statuses.includes(STATUS.ERROR) && statuses.every((s) => s === STATUS.OKAY || s === STATUS.ERROR));
  assert.ok(
    b.log.some((line) => /told: the disk is full/.test(line)),
    b.log.join('\n'),
  );
  said.push('errors');

  const waits = await disk('waits', 51728, 'wait');
  const [ring] = waits.rings;
  write(waits);
  await sleep(1000);
  const early = ring!.take();
  assert.ok(early.length < ROUNDS && early.every(({ status }) => status === STATUS.OKAY));
  // What needs no room goes on, and so does another worker: the requests are in its journal.
  await b.host.disks.service!.supervisor.restart();
  ring!.put(ring!.request(OP.READ, 99, SIZE / 512 - 8, [{ gref, first: 0, last: 7 }]));
  ring!.publish();
  for (const end = Date.now() + 5000; !early.some(({ id }) => id === 99); await sleep(1)) {
    early.push(...ring!.take());
    assert.ok(Date.now() < end, 'a read waits for room');
  }
  assert.ok(early.length < ROUNDS + 1);
  // They do not keep anybody from the image for whom all is to be done.
  await b.host.disks.whileHeld([{ domid: 5, number: 51728 }], () => sleep(300));
  assert.equal(ring!.take().length, 0);
  said.push('waits');

  domain.port.write(frame * PAGE, new Uint8Array(PAGE).fill(0x5a));
  rmSync(filler);
  early.push(...(await ring!.drain()));
  assert.equal(early.length, ROUNDS + 1);
  assert.ok(early.every(({ status }) => status === STATUS.OKAY));
  assert.ok(readFileSync(join(folder, 'waits')).subarray(0, ROUNDS * 64 * 512).every((byte) => byte === 0x5a)); // prettier-ignore
  assert.ok(b.log.some((line) => /waits: the disk is full; the guest's writes wait/.test(line)));
  assert.ok(b.log.some((line) => /waits: no write waits for room any more/.test(line)));
  said.push('goes on');

  // A guest that waits can be ended, and its disk taken away.
  const gone = await disk('gone', 51744, 'wait');
  write(gone);
  write(told);
  await told.rings[0]!.drain();
  await sleep(500);
  assert.ok(gone.rings[0]!.take().length < ROUNDS, 'there is still room');
  assert.ok(await b.host.disks.detach(5, 51744, { ms: 0, force: true }));
  said.push('gives up');
  console.log(said.join(', '));
} finally {
  await b.close();
  execFileSync('umount', [folder]);
  rmSync(folder, { recursive: true });
}
