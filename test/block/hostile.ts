// Front ends that break the protocol in every way that random numbers find: rings full of noise and near misses, indices, nodes, grants that come
// and go, while a good one does its work beside them.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ABI_32, ABI_64, OP } from '../../services/block/protocol/blkif.ts';
import { random } from '../random.ts';
import { invariants } from '../invariants.ts';
import { BlockBed } from './bed.ts';
import { FrontRing, PAGE, type FrontDisk } from './front.ts';

const SIZE = 1 << 20;
/** Only these sectors of the hostile front ends' disk may they change; the good one has a disk of its own. */
const ODD = [0, 1, 7, 8, 11, 12, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

type Pick = (below: number) => number;

const odd = (pick: Pick): number => (pick(2) ? ODD[pick(ODD.length)]! : pick(70));

/** A request that is nearly right, with some of its bytes changed. */
function entry(ring: FrontRing, pick: Pick, refs: readonly number[]): Uint8Array {
  const part = (): { gref: number; first: number; last: number } => ({
    gref: pick(6) ? refs[pick(refs.length)]! : odd(pick),
    first: pick(8) ? 0 : pick(256),
    last: pick(8) ? 7 : pick(256),
  });
  const sector = pick(5) ? pick(SIZE / 512) : odd(pick);
  const id = pick(2 ** 31);
  const made = [
    () => ring.request(OP.READ, id, sector, Array.from({ length: pick(13) }, part)),
    () => ring.request(OP.WRITE, id, sector, Array.from({ length: pick(13) }, part)),
    () => ring.request([OP.FLUSH, OP.BARRIER, 4, 7, 255][pick(5)]!, id, sector, Array.from({ length: pick(3) }, part)),
    () => ring.discard(id, sector, odd(pick)),
    () => ring.indirect(pick(2), id, sector, pick(3) ? pick(66) : odd(pick) & 0xffff, [refs[pick(refs.length)]!]),
  ][pick(5)]!();
  if (pick(4) === 0) for (let n = pick(6); n >= 0; n--) made[pick(made.length)] = pick(256);
  return made;
}

class Attacker {
  readonly front: FrontDisk;
  readonly #pick: Pick;
  readonly #frames: number[];
  readonly #refs: number[];
  closed = 0;

  constructor(front: FrontDisk, pick: Pick) {
    this.front = front;
    this.#pick = pick;
    const { domain } = front;
    const first = domain.pages(24);
    this.#frames = Array.from({ length: 24 }, (_, i) => first + i);
    this.#refs = this.#frames.map((frame, i) => domain.grant(frame, i % 8 === 0));
  }

  /** One step of malice; what it leaves is the next one's beginning. */
  async step(): Promise<void> {
    const pick = this.#pick;
    const { domain, rings } = this.front;
    const ring = rings[pick(rings.length)]!;
    if (this.front.read('state') !== '4') return this.#again();
    const kind = pick(20);
    if (kind < 13) {
      for (let n = pick(ring.entries + 4); n > 0; n--) ring.put(entry(ring, pick, this.#refs));
      ring.publish();
      ring.notify();
    } else if (kind < 15) {
      const slot = pick(this.#refs.length);
      if (pick(2)) domain.revoke(this.#refs[slot]!);
      domain.grant(this.#frames[slot]!, pick(4) === 0, this.#refs[slot]);
      domain.port.write(
        this.#frames[slot]! * PAGE + 8 * pick(500),
        Uint8Array.from({ length: 64 }, () => pick(256)),
      );
    } else if (kind < 17) {
      for (const word of [0, 4, 8, 12]) if (pick(3) === 0) domain.setU32(ring.at + word, odd(pick));
      ring.notify();
    } else if (kind === 17)
      domain.port.write(
        ring.at + 64,
        Uint8Array.from({ length: 2000 }, () => pick(256)),
      );
    else if (kind === 18) this.front.domain.store.write(`${this.front.path}/state`, String(odd(pick)));
    else await sleep(1);
    // It does not care for its answers, but makes place.
    ring.produced = domain.u32(ring.at);
  }

  async #again(): Promise<void> {
    this.closed++;
    this.front.state = 6;
    await this.front.backState(6);
    await this.front.reconnect();
  }
}

/** The good neighbour: what it writes is what it reads. */
async function neighbour(front: FrontDisk, pick: Pick, more: () => boolean): Promise<number> {
  const [ring] = front.rings as [FrontRing];
  const { domain } = front;
  const frame = domain.pages(1);
  const part = { gref: domain.grant(frame), first: 0, last: 7 };
  let rounds = 0;
  for (; more(); rounds++) {
    const sector = 8 * pick(SIZE / PAGE);
    const bytes = new Uint8Array(PAGE).fill(pick(256));
    for (const op of [OP.WRITE, OP.READ]) {
      if (op === OP.WRITE) domain.port.write(frame * PAGE, bytes);
      else domain.port.write(frame * PAGE, new Uint8Array(PAGE));
      ring.put(ring.request(op, rounds, sector, [part]));
      ring.publish();
      const [answer] = await ring.drain(10_000);
      assert.deepEqual([answer!.id, answer!.status], [rounds, 0]);
    }
    assert.deepEqual(domain.port.read(frame * PAGE, PAGE), bytes);
  }
  return rounds;
}

export async function hostile(steps: number, seed: number): Promise<{ closed: number; rounds: number }> {
  const b = new BlockBed();
  try {
    const pick = random(seed);
    const good = await b.attach(b.domain(5), b.image('good', SIZE), { number: 51712 });
    await good.connect();
    const attackers: Attacker[] = [];
    for (const [i, abi] of [ABI_64, ABI_32].entries()) {
      const domain = b.domain(6 + i);
      const front = await b.attach(domain, b.image(`bad${i}`, SIZE), { number: 51712, abi, order: i, queues: 1 + i });
      await front.connect();
      attackers.push(new Attacker(front, pick));
    }
    let left = steps;
    const working = neighbour(good, random(seed + 1), () => left > 0);
    for (; left > 0; left--) {
      await attackers[left % 2]!.step();
      if (left % 8 === 0) await sleep(0);
    }
    const rounds = await working;
    const { supervisor } = b.host.disks.service!;
    assert.equal(supervisor.restarts, 0, b.log.join('\n'));
    assert.equal(b.contents('bad0').length, SIZE);
    for (const domid of [5, 6, 7]) b.host.disks.forget(domid);
    await b.host.disks.stop();
    assert.equal(invariants(b.machine.core as never), null);
    return { closed: attackers.reduce((sum, { closed }) => sum + closed, 0), rounds };
  } finally {
    await b.close();
  }
}
