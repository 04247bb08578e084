// Front ends' control rings in the back end's rounds: of each one request at a time, since what it sets up is to be kept before it is answered. So a
// worker that ends in between leaves one that is carried out twice, which is as once; and who asks without end has one a round.
import { keptAt, type GrantedPart, type RingAt, type TakeResult } from '../../lib/ring_calls.ts';
import { CONTROL, Hashing, readControl, writeControl, type ControlAnswer, type ControlRequest } from '../protocol/control.ts'; // prettier-ignore
import type { Calls, Limits } from './calls.ts';
import type { Vif } from './vif.ts';

/** Bytes that one request may want. */
const MOST_WANTED = 512;
/** Rings that have a request carried out in one round. */
const AT_ONCE = 4;
/** What they need of the heap. */
export const CONTROL_HEAP = AT_ONCE * MOST_WANTED;

/** The hashing is kept with the ring. */
export const CONTROL_SHAPE = { entries: CONTROL.entries, entrySize: CONTROL.entry, answerSize: CONTROL.answer, kept: Hashing.SIZE } as const; // prettier-ignore

export class Control {
  readonly vif: Vif;
  readonly ring: RingAt;
  readonly hashing: Hashing;
  /** Taken, and still to be carried out. */
  readonly waiting: ControlRequest[] = [];
  answer: ControlAnswer | undefined;

  constructor(vif: Vif, ring: RingAt, hashing: Hashing) {
    this.vif = vif;
    this.ring = ring;
    this.hashing = hashing;
  }

  get idle(): boolean {
    return this.waiting.length === 0 && !this.answer;
  }

  /** Still a front end's that is served. */
  get live(): boolean {
    return !this.vif.broken && this.vif.control === this;
  }
}

interface Ordered {
  control: Control;
  request: ControlRequest;
  wanted: GrantedPart | undefined;
  at: number;
  failed: boolean;
}

/** Of one round. */
export interface ControlRound {
  ordered: Ordered[];
  told: Control[];
  looked: Control[];
}

export class ControlRings {
  readonly #calls: Calls;
  readonly #limits: Limits;
  readonly #heap: Uint8Array;
  readonly #at: number;
  readonly #broken: (vif: Vif, why: string) => void;
  /** With something to carry out or to answer, the next one first. */
  readonly #busy = new Set<Control>();
  /** To be looked at. */
  readonly #due = new Set<Control>();

  /** CONTROL_HEAP bytes of the heap from `at` on are its own. */
  constructor(calls: Calls, limits: Limits, heap: Uint8Array, at: number, broken: (vif: Vif, why: string) => void) {
    this.#calls = calls;
    this.#limits = limits;
    this.#heap = heap;
    this.#at = at;
    this.#broken = broken;
  }

  connect(vif: Vif, ring: RingAt, journal: { view: DataView; taken: TakeResult['requests'] }): void {
    const hashing = new Hashing();
    hashing.bytes.set(this.#calls.load(keptAt(ring), Hashing.SIZE));
    const control = new Control(vif, ring, hashing);
    vif.control = control;
    this.#take(control, journal.view, journal.taken);
  }

  #take(control: Control, view: DataView, taken: TakeResult['requests']): void {
    for (const { slot, at } of taken) control.waiting.push(readControl(view, at, slot));
    if (taken.length > 0) this.#busy.add(control);
  }

  /** There may be something new in it. */
  due(control: Control | undefined): void {
    if (control) this.#due.add(control);
  }

  /** There is more to do at once. */
  get more(): boolean {
    return this.#busy.size > 0 || this.#due.size > 0;
  }

  /** Chooses what a round does, and adds what requests want to its copies. */
  begin(onFailure: (() => void)[]): ControlRound {
    const round: ControlRound = { ordered: [], told: [], looked: [] };
    const { puts, takes } = this.#limits;
    const most = Math.min(AT_ONCE, puts >> 2);
    for (const control of [...this.#busy]) {
      if (!control.live) this.#busy.delete(control);
      else if (control.answer && round.told.length < most) round.told.push(control);
      else if (!control.answer && round.ordered.length < most && !this.#order(control, round, onFailure)) break;
    }
    for (const control of [...this.#due]) {
      if (round.looked.length === takes >> 2) break;
      if (control.live && !control.idle) continue;
      this.#due.delete(control);
      if (control.live) round.looked.push(control);
    }
    return round;
  }

  /** False if there is no room for what it wants. */
  #order(control: Control, { ordered }: ControlRound, onFailure: (() => void)[]): boolean {
    const request = control.waiting[0]!;
    const wanted = control.hashing.wants(request);
    const each: Ordered = { control, request, wanted, at: this.#at + ordered.length * MOST_WANTED, failed: false };
    if (wanted) {
      const copy = this.#calls.copy(control.vif.connection!.domid, [wanted], each.at, wanted.length, false);
      if (copy === undefined) return false;
      onFailure[copy] = () => (each.failed = true);
    }
    control.waiting.shift();
    ordered.push(each);
    return true;
  }

  /** Adds answers, and rings to look at, to a batch. */
  add({ told, looked }: ControlRound): void {
    const calls = this.#calls;
    for (const { ring, answer } of told) calls.put(ring, [answer!.slot], (_, at) => writeControl(calls.view, at, answer!)); // prettier-ignore
    for (const { ring } of looked) calls.take(ring, false);
  }

  /** What came of them, and the requests that are ordered carried out. */
  end({ ordered, told, looked }: ControlRound, put: readonly number[], taken: readonly TakeResult[]): void {
    told.forEach((control, i) => {
      control.answer = undefined;
      // Behind the others, if there is more of it.
      this.#busy.delete(control);
      if (control.waiting.length > 0) this.#busy.add(control);
      if (put[i] !== 0) this.#broken(control.vif, `its control ring cannot be written (${put[i]})`);
    });
    looked.forEach((control, i) => {
      const { requests, more, status } = taken[i]!;
      this.#take(control, this.#calls.view, requests);
      if (status !== 0) this.#broken(control.vif, `its control ring cannot be read (${status})`);
      else if (more) this.#due.add(control);
    });
    // Last, since it makes calls of its own, with which the batch's results are gone.
    for (const { control, request, wanted, at, failed } of ordered) {
      const content = wanted && !failed ? this.#heap.slice(at, at + wanted.length) : undefined;
      const before = control.hashing.bytes.slice();
      control.answer = control.hashing.carryOut(request, content, control.vif.queues.length);
      if (Buffer.compare(before, control.hashing.bytes) !== 0) this.#calls.save(keptAt(control.ring), control.hashing.bytes); // prettier-ignore
    }
  }
}
