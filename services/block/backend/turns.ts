// Which requests are begun when: devices share what is begun in a turn, and each device's requests keep their order. Runs in the service's worker.
import type { Heap } from '../../lib/heap.ts';
import type { Device } from './device.ts';
import type { Pending } from './ring.ts';

/**
 * What devices begin in one turn of the loop, in bytes; each request counts for so many more. Those that had something to do lately share the turn (a deficit
 * round robin), so that one with giant requests, or with many that cannot be, does not keep the others waiting.
 */
const TURN_ALONE = 512 << 10;
const TURN_SHARED = 1 << 20;
const LEAST_SHARE = 32 << 10;
const REQUEST_COST = 4096;
const LATELY = 16;
/** Half of what waits is begun in a turn, or so much: what is answered first gives the front end something to do while the rest is worked on. */
const LEAST_BEGUN = 8;

export class Turns {
  readonly #heap: Heap;
  /** Of the heap, by one device: others find room too, however slow its image is. */
  readonly #mostHeld: number;
  /** Devices for which something was taken that is not begun. Another one is the first each time. */
  readonly #waiting = new Set<Device>();
  /** Those that had something to do lately. */
  readonly #lately = new Set<Device>();
  #turn = LATELY;

  constructor(heap: Heap, mostHeld: number) {
    this.#heap = heap;
    this.#mostHeld = mostHeld;
  }

  get devices(): ReadonlySet<Device> {
    return this.#waiting;
  }

  add(pending: Pending): void {
    const { device } = pending.ring;
    device.waiting.push(pending);
    this.#waiting.add(device);
    this.#lately.add(device);
  }

  /**
   * Takes what is to be begun now from what waits, with room in the heap; some of the `rest` may be begun next time. Who finds no room waits for others
   * to end, and who is `unknown` yet (of an indirect request the segments) for a round.
   */
  next(): { begun: readonly Pending[]; unknown: boolean; rest: boolean } {
    this.#turn++;
    for (const device of this.#waiting) device.turn = this.#turn;
    const [first] = this.#waiting;
    if (first) {
      this.#waiting.delete(first);
      this.#waiting.add(first);
    }
    const share = this.#share();
    const begun: Pending[] = [];
    let [full, unknown] = [false, false];
    while (begun.length === 0 && !full && !unknown && this.#waiting.size > 0) {
      for (const device of [...this.#waiting]) {
        const stops = this.#nextOf(device, share, begun);
        full ||= stops === 'full';
        unknown ||= stops === 'unknown';
      }
    }
    return { begun, unknown, rest: begun.length > 0 && this.#waiting.size > 0 };
  }

  #share(): number {
    for (const device of this.#lately) if (this.#turn - device.turn >= LATELY) this.#lately.delete(device);
    return this.#lately.size <= 1 ? TURN_ALONE : Math.max(LEAST_SHARE, TURN_SHARED / this.#lately.size);
  }

  /** As much as the device's share allows, and what keeps it from more. */
  #nextOf(device: Device, share: number, begun: Pending[]): 'full' | 'unknown' | undefined {
    const { waiting } = device;
    device.credit += share;
    const most = Math.max(LEAST_BEGUN, waiting.length >> 1);
    let stops: 'full' | 'unknown' | undefined;
    let count = 0;
    for (; count < waiting.length && count < most && !stops; count++) {
      const pending = waiting[count]!;
      if (!pending.segments && pending.refused === undefined) stops = 'unknown';
      else if (REQUEST_COST + pending.length > device.credit) break;
      else if (!this.#room(pending)) stops = 'full';
      else {
        device.credit -= REQUEST_COST + pending.length;
        begun.push(pending);
        continue;
      }
      break;
    }
    waiting.splice(0, count);
    this.#waiting.delete(device);
    if (waiting.length > 0) this.#waiting.add(device);
    else device.credit = 0;
    if (stops || count === most) device.credit = Math.min(device.credit, share);
    return stops;
  }

  #room(pending: Pending): boolean {
    if (pending.length === 0 || pending.refused !== undefined) return true;
    const { device } = pending.ring;
    if (device.held > 0 && device.held + pending.length > this.#mostHeld) return false;
    const at = this.#heap.take(pending.length);
    if (at < 0) return false;
    device.held += pending.length;
    pending.heap = at;
    return true;
  }
}
