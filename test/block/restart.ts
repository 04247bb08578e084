// The block service ended again and again under load: every answered write is on the disk, each request is answered once, no front end hears an
// error, and its state in the store never changes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { OP } from '../../services/block/protocol/blkif.ts';
import { random } from '../random.ts';
import { BlockBed } from './bed.ts';
import { PAGE, type FrontRing } from './front.ts';

const SIZE = 1 << 20;
const BLOCKS = SIZE / PAGE;

interface Load {
  requests: number;
  flushes: number;
}

/** Random reads and writes of 4 KiB, many at once, never two of one block; what is read must be what was written last. */
class Writer {
  readonly #ring: FrontRing;
  readonly #next: (below: number) => number;
  readonly #frames: number[];
  readonly #refs: number[];
  readonly expected = new Uint32Array(BLOCKS);
  readonly #busy = new Set<number>();
  readonly #open = new Map<number, { block: number; slot: number; stamp: number }>();
  readonly #free: number[] = [];
  #id = 1;
  readonly load: Load = { requests: 0, flushes: 0 };

  constructor(ring: FrontRing, seed: number) {
    this.#ring = ring;
    this.#next = random(seed);
    const { domain } = ring;
    const first = domain.pages(ring.entries);
    this.#frames = Array.from({ length: ring.entries }, (_, i) => first + i);
    this.#refs = this.#frames.map((frame) => domain.grant(frame));
    this.#free = this.#frames.map((_, i) => i);
    for (let block = 0; block < BLOCKS; block++) this.expected[block] = block * 8;
  }

  get idle(): boolean {
    return this.#open.size === 0;
  }

  issue(): void {
    let put = 0;
    while (this.#free.length > 0 && this.#ring.room > 0) {
      const id = this.#id++;
      if (this.#next(40) === 0) {
        this.#open.set(id, { block: -1, slot: -1, stamp: 0 });
        this.#ring.put(this.#ring.request(OP.FLUSH, id, 0));
        put++;
        continue;
      }
      const block = this.#next(BLOCKS);
      if (this.#busy.has(block)) break;
      const slot = this.#free.pop()!;
      const write = this.#next(3) > 0;
      const stamp = write ? id : 0;
      const bytes = new Uint8Array(PAGE);
      new Uint32Array(bytes.buffer).fill(stamp);
      this.#ring.domain.port.write(this.#frames[slot]! * PAGE, bytes);
      this.#busy.add(block);
      this.#open.set(id, { block, slot, stamp });
      const part = { gref: this.#refs[slot]!, first: 0, last: 7 };
      this.#ring.put(this.#ring.request(write ? OP.WRITE : OP.READ, id, block * 8, [part]));
      put++;
    }
    if (put > 0) this.#ring.publish();
  }

  settle(): void {
    for (const { id, status } of this.#ring.take()) {
      const open = this.#open.get(id);
      assert.ok(open, `request ${id} is answered twice, or was never made`);
      assert.equal(status, 0, `request ${id} fails`);
      this.#open.delete(id);
      this.load.requests++;
      if (open.block < 0) {
        this.load.flushes++;
        continue;
      }
      if (open.stamp) this.expected[open.block] = open.stamp;
      else {
        const bytes = this.#ring.domain.port.read(this.#frames[open.slot]! * PAGE, 4);
        assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true), this.expected[open.block]);
      }
      this.#busy.delete(open.block);
      this.#free.push(open.slot);
    }
  }
}

/** Uses the processor while its starter lives. */
const SPIN = `const { ppid } = process;
(function spin() {
  for (const end = Date.now() + 50; Date.now() < end; );
  if (process.ppid === ppid) setImmediate(spin);
})();`;

export interface Killing {
  kills: number;
  seed: number;
  /** Milliseconds from one end to the next, at least: these in turn. */
  pauses: readonly number[];
  /** Processes that use whatever processor they get meanwhile. */
  busy: number;
}

/** Gives how long nobody served, each time, and the longest time for which the front end had no answer. */
export async function killed({
  kills,
  seed,
  pauses,
  busy,
}: Killing): Promise<{ gaps: number[]; longest: number; load: Load }> {
  // prettier-ignore
  const b = new BlockBed();
  const others = Array.from({ length: busy }, () => spawn(process.execPath, ['-e', SPIN], { stdio: 'ignore' }));
  try {
    const domain = b.domain(5);
    const front = await b.attach(domain, b.image('disk', SIZE), { number: 51712, order: 1 });
    await front.connect();
    const states: string[] = [];
    domain.store.watch(`${front.back}/state`, () => states.push(front.read('state')!));
    const [ring] = front.rings as [FrontRing];
    const writer = new Writer(ring, seed);
    const { supervisor } = b.host.disks.service!;
    const next = random(seed);
    const gaps: number[] = [];
    let killing = true;
    const killer = (async (): Promise<void> => {
      for (let i = 0; i < kills; i++) {
        await sleep(pauses[i % pauses.length]! + next(25));
        await supervisor.restart();
        gaps.push(supervisor.gap);
      }
      killing = false;
    })();
    const late = Date.now() + 10_000 + 2000 * kills;
    let [answered, longest] = [performance.now(), 0];
    while (killing || !writer.idle) {
      if (killing) writer.issue();
      const { requests } = writer.load;
      writer.settle();
      if (writer.load.requests > requests) {
        longest = Math.max(longest, performance.now() - answered);
        answered = performance.now();
      }
      await sleep(0);
      assert.ok(Date.now() < late, 'requests are lost');
    }
    await killer;
    const disk = b.contents('disk');
    const v = new DataView(disk.buffer, disk.byteOffset);
    for (let block = 0; block < BLOCKS; block++)
      assert.equal(v.getUint32(block * PAGE, true), writer.expected[block], `block ${block}`);
    assert.equal(supervisor.restarts, kills);
    assert.ok(states.every((state) => state === '4'), String(states)); // prettier-ignore
    return { gaps: gaps.sort((x, y) => x - y), longest, load: writer.load };
  } finally {
    for (const each of others) each.kill();
    await b.close();
  }
}
