// Front ends for tests of the back end, as its guests have them, and what they are connected to.
import assert from 'node:assert/strict';
import { CHECKSUM, FULL_OFFLOAD, type Frame } from '../protocol/frame.ts';
import type { Hash } from '../protocol/hash.ts';
import type { Outgoing } from '../protocol/netif.ts';
import type { Rate } from '../switch/rate.ts';
import { Switch } from '../switch/switch.ts';
import { random } from '../testing.ts';
import { Engine } from './engine.ts';
import { FakeRings, type FakeRing } from './fake_rings.ts';
import { Vif, type Connection } from './vif.ts';

export const LIMITS = { takes: 8, puts: 8, answers: 200, bytes: 200_000 };
export const PAGE = 4096;

export class Guest {
  readonly domid: number;
  readonly vif: Vif;
  readonly queues: { tx: FakeRing; rx: FakeRing }[];
  readonly #bed: Bed;
  readonly #pages: { page: Uint8Array; id: number }[] = [];
  #id = 0;

  constructor(
    bed: Bed,
    domid: number,
    options: Partial<Connection> = {},
    queues = 1,
    rate?: Rate & { now: () => number },
  ) {
    this.#bed = bed;
    this.domid = domid;
    const port = bed.net.attach({
      name: `vif${domid}.0`,
      deliver: (frames) => {
        this.vif.deliver(frames);
        bed.engine.schedule();
      },
    });
    this.vif = new Vif(domid, port, rate, rate?.now);
    this.queues = Array.from({ length: queues }, () => bed.rings.pair());
    this.connect(options);
  }

  connect(options: Partial<Connection> = {}): void {
    const queues = this.queues.map(({ tx, rx }) => ({ tx: tx.at, rx: rx.at }));
    const connection = {
      domid: this.domid,
      queues,
      offload: FULL_OFFLOAD,
      scatter: true,
      multicast: false,
      ...options,
    };
    this.#bed.engine.connect(this.vif, connection, this.#bed.rings.journal);
  }

  /** A frame as a front end lays it out: parts of at most `part` bytes. */
  send(frame: Frame, part = PAGE, queue = 0, spoil: (request: Uint8Array, i: number) => void = () => {}): void {
    const { tx } = this.queues[queue]!;
    const { bytes, gso, segment, checksum } = frame;
    const requests: Uint8Array[] = [];
    for (let from = 0; from < bytes.length; from += part) {
      const page = new Uint8Array(PAGE);
      const piece = bytes.subarray(from, from + part);
      page.set(piece, from === 0 ? PAGE - piece.length : 0);
      const more = from + part < bytes.length ? 4 : 0;
      const first = from === 0;
      const flags =
        more |
        (first ? (checksum === CHECKSUM.blank ? 3 : checksum === CHECKSUM.validated ? 2 : 0) | (gso ? 8 : 0) : 0);
      const offset = first ? PAGE - piece.length : 0;
      requests.push(
        request(
          this.#bed.rings.grant(this.domid, page),
          offset,
          flags,
          this.#id++ & 0xffff,
          first ? bytes.length : piece.length,
        ),
      );
      if (first && gso) requests.push(Uint8Array.of(1, 0, segment & 255, segment >> 8, gso, 0, 0, 0, 0, 0, 0, 0));
    }
    requests.forEach(spoil);
    tx.requests.push(...requests);
  }

  /** Sets so many buffers aside. */
  offer(count: number, queue = 0): void {
    for (let i = 0; i < count; i++) {
      const page = new Uint8Array(PAGE);
      const id = this.#pages.length;
      this.#pages.push({ page, id });
      const entry = new Uint8Array(8);
      const view = new DataView(entry.buffer);
      view.setUint16(0, id, true);
      view.setUint32(4, this.#bed.rings.grant(this.domid, page), true);
      this.queues[queue]!.rx.requests.push(entry);
    }
  }

  /** The frames that its receive ring's answers are. */
  received(queue = 0): Outgoing[] {
    const frames: Outgoing[] = [];
    const answers = this.queues[queue]!.rx.answers.splice(0);
    while (answers.length > 0) {
      const parts: Uint8Array[] = [];
      let [more, flags, gso, segment] = [true, 0, 0, 0];
      let hash: Hash | undefined;
      for (let first = true; more; first = false) {
        const answer = answers.shift()!;
        const view = new DataView(answer.buffer);
        const [id, offset, said, status] = [
          view.getUint16(0, true),
          view.getUint16(2, true),
          view.getUint16(4, true),
          view.getInt16(6, true),
        ];
        assert(status > 0 && offset + status <= PAGE, `status ${status}`);
        parts.push(this.#pages[id]!.page.slice(offset, offset + status));
        if (first) flags = said;
        more = (said & 4) !== 0;
        for (let follows = (said & 8) !== 0; follows; ) {
          const info = answers.shift()!;
          follows = info[1] === 1;
          if (info[0] === 1) [segment, gso] = [info[2]! | (info[3]! << 8), info[4]!];
          else {
            assert.deepEqual([info[0], info[3]], [4, 1], 'a hash by Toeplitz');
            hash = { type: info[2]!, value: new DataView(info.buffer).getUint32(4, true) };
          }
        }
      }
      const checksum = flags & 2 ? CHECKSUM.blank : flags & 1 ? CHECKSUM.validated : CHECKSUM.unchecked;
      frames.push({ bytes: new Uint8Array(Buffer.concat(parts)), checksum, gso: gso as Frame['gso'], segment, ...(hash && { hash }) }); // prettier-ignore
    }
    return frames;
  }

  /** Statuses of its transmit ring's answers. */
  answered(queue = 0): number[] {
    return this.queues[queue]!.tx.answers.splice(0).map((answer) => new DataView(answer.buffer).getInt16(2, true));
  }
}

export function request(gref: number, offset: number, flags: number, id: number, size: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, gref, true);
  [offset, flags, id, size].forEach((value, i) => view.setUint16(4 + 2 * i, value, true));
  return bytes;
}

export class Bed {
  readonly net = new Switch();
  readonly rings = new FakeRings();
  readonly broken: string[] = [];
  readonly engine = new Engine(
    this.rings,
    LIMITS,
    { bytes: this.rings.heap, from: 0x10000 },
    {
      broken: (_, why) => this.broken.push(why),
    },
  );
}

export const data = (length: number, seed = 1): Uint8Array => {
  const next = random(seed);
  return Uint8Array.from({ length }, () => next() * 256);
};
