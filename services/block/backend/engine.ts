// The block service's data path: requests from rings through the heap to images and back. One of it in the service's worker; no I/O of its own
// but the box's calls, so tests run it on a box of their own.
import type { Box } from '../../../platform/box.ts';
import { ERRNO } from '../../../spec/abi/errno.ts';
import { Heap } from '../../lib/heap.ts';
import {
  ARGUMENTS,
  JOURNAL_HEAD,
  RingCalls,
  SLOT_SIZE,
  strideOf,
  type Answers,
  type Copy,
  type Taken,
  type TakeResult,
} from '../../lib/ring_calls.ts';
import { ABI_64, MAX_INDIRECT_SEGMENTS, readSegments, SEGMENT_SIZE, writeAnswer } from '../protocol/blkif.ts';
import { Device, reads, writes, type Carrier } from './device.ts';
import { Pause } from './pause.ts';
import { EOPNOTSUPP, ERROR, OKAY, Ring, setSegments, type Pending, type RingDescription } from './ring.ts';
import { Turns } from './turns.ts';

const PAGE = 4096;
/** Requests taken of a ring at a time; so many entries has a ring of two pages. */
const TAKE = 64;
/** Of a ring whose device has a limit: what is taken has to be begun, whatever the limit says. */
const TAKE_LIMITED = 4;
/** Of a device for which more than this waits nothing is taken; of one with a limit, if anything does. */
const ENOUGH = 8;
/** Answers to be put in one batch with what is taken: rings of so many. */
const MOST_PARTS = 32;
/** With fewer requests in hand a round is put off for so long, in milliseconds, if more are likely to come meanwhile; this took too long if it took so long. */
const WORTH_A_ROUND = 8;
const PUT_OFF_MS = 0.05;
const LATE_MS = 3;
/** Requests whose segments are read in one batch, of one device and of all. */
const LEARNT_OF_ONE = 16;
const LEARNT_AT_ONCE = 32;
/** Where in the heap, and bytes for each. */
const LEARNT_AT = ARGUMENTS;
const LEARNT_SIZE = MAX_INDIRECT_SEGMENTS * SEGMENT_SIZE;

/** Rounds in one turn of the loop: a request's stages. */
const STAGES = 4;

/** Some of a ring's answers. */
interface Part extends Answers {
  of: Ring;
}

/** Bytes that go between a guest and the heap, and what it means if they cannot. */
interface Move {
  copy: Copy;
  fails: () => void;
}

/** A request whose segments are read, and to where. */
interface Learnt {
  pending: Pending;
  at: number;
}

const copyOf = ({ ring, segments, heap }: Pending, toGuest: boolean): Copy => ({
  ...{ domid: ring.description.domid, parts: segments!, heap, toGuest },
});

export interface EngineEvents {
  /** The ring is given up: its front end broke the protocol. */
  broken(ring: RingDescription, why: string): void;
  report(text: string): void;
}

/**
 * Works in rounds, each with one batch of calls: the answers and read bytes of requests that are over, the bytes of those that were begun, the segments of those
 * that will be, and what is new in the rings. So a request takes up to four rounds, and with many under way each round has some at every stage.
 */
export class Engine implements Carrier {
  readonly #box: Box;
  readonly #calls: RingCalls;
  readonly #heap: Heap;
  readonly #events: EngineEvents;
  readonly #turns: Turns;
  readonly rings = new Map<number, Ring>();
  /** Some ring was not looked at: that has to be made good. */
  #left = false;
  /** Devices that wait for what their limits allow. */
  readonly #later = new Map<Device, NodeJS.Timeout>();
  /** Begun, in their order; some of them write, and their bytes come with the next round. */
  #begun: readonly Pending[] = [];
  /** Carried out, to be answered. */
  #ended: { pending: Pending; status: number }[] = [];
  readonly #answering = new Set<Ring>();
  /** The last round had something in hand, and more came from front ends that run. */
  #flows = false;
  readonly #pause = new Pause(PUT_OFF_MS, LATE_MS);
  #due = false;

  constructor(box: Box, events: EngineEvents) {
    this.#box = box;
    this.#calls = new RingCalls(box);
    this.#heap = new Heap(LEARNT_AT + LEARNT_AT_ONCE * LEARNT_SIZE, box.heap.length);
    this.#turns = new Turns(this.#heap, box.heap.length / 2);
    this.#events = events;
  }

  report(text: string): void {
    this.#events.report(text);
  }

  /** Takes a ring up: first what its journal says is due. */
  add(description: RingDescription, device: Device): void {
    // An order that is given again, since nobody knows whether the last worker had carried it out.
    if (this.rings.has(description.id)) return;
    const ring = new Ring(description, device);
    this.rings.set(description.id, ring);
    for (const pending of this.#journal(ring)) this.#turns.add(pending);
    // Not before the order to do so has been answered: calls of the system may take their time.
    this.#soon();
  }

  /** What was taken and not answered by who was here before, in the order in which it was taken. */
  #journal(ring: Ring): Pending[] {
    const { journal, entries, entrySize } = ring.description.at;
    const stride = strideOf(entrySize);
    const bytes = this.#box.read(journal + JOURNAL_HEAD, entries * stride);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const found: Taken[] = [];
    for (let slot = 0; slot < entries; slot++) {
      const sequence = view.getUint32(slot * stride + 4, true);
      if (sequence !== 0) found.push({ slot, sequence, at: slot * stride + SLOT_SIZE });
    }
    found.sort((a, b) => (a.sequence - b.sequence) | 0);
    return found.map((taken) => ring.read(view, taken));
  }

  /** Takes no more of the ring; resolves when all of it is answered. */
  async stop(id: number): Promise<void> {
    const ring = this.rings.get(id);
    if (!ring) return;
    ring.stopped = true;
    ring.device.giveUp(ring);
    if (ring.inFlight > 0) await new Promise<void>((resolve) => (ring.onIdle = resolve));
    this.rings.delete(id);
  }

  /** Something may be new in the rings. */
  work(): void {
    if (!this.#due) this.#round();
  }

  /** What the system answers in one turn of the loop is answered together. */
  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => {
      this.#due = false;
      this.#round();
    });
  }

  // ---- a round

  /** Another one comes at once if all that there is to do needs one: until something has been given to an image. */
  #round(): void {
    let more = true;
    for (let stage = 0; more && stage < STAGES; stage++) more = this.#once();
    if (more) this.#soon();
  }

  #once(): boolean {
    const inHand = this.#inHand;
    // Its calls wake two threads, whatever they carry. Who waits for one request at a time is not kept waiting: while it is in hand nothing comes.
    if (this.#flows && inHand < WORTH_A_ROUND) this.#pause.take();
    this.#flows = false;
    const ended = this.#ended;
    const begun = this.#begun;
    this.#ended = [];
    this.#begun = [];
    const learnt = this.#learn();
    const came = this.#exchange(this.#answer(ended), [...fetched(begun), ...this.#segments(learnt)]);
    this.#flows = came && inHand > 0;
    for (const { pending } of ended) this.#giveBack(pending);
    for (const one of learnt) this.#read(one);
    this.#submit(begun);
    return this.#begin(begun.length === 0);
  }

  get #inHand(): number {
    let count = this.#ended.length + this.#begun.length;
    for (const { waiting } of this.#turns.devices) count += waiting.length;
    return count;
  }

  /** Answers for what is over, and the bytes that belong to them. */
  #answer(ended: readonly { pending: Pending; status: number }[]): Move[] {
    const moves: Move[] = [];
    for (const { pending, status } of ended) {
      const answer = pending.ring.answer(pending, status);
      this.#answering.add(pending.ring);
      if (status === OKAY && reads(pending))
        moves.push({ copy: copyOf(pending, true), fails: () => (answer.status = ERROR) });
    }
    return moves;
  }

  #giveBack(pending: Pending): void {
    if (pending.heap < 0) return;
    this.#heap.give(pending.heap, pending.length);
    pending.ring.device.held -= pending.length;
  }

  /** Indirect requests that will be begun soon and whose segments are not known. */
  #learn(): Learnt[] {
    const found: Learnt[] = [];
    for (const { waiting } of this.#turns.devices) {
      for (let i = 0; i < Math.min(waiting.length, LEARNT_OF_ONE) && found.length < LEARNT_AT_ONCE; i++) {
        const pending = waiting[i]!;
        if (pending.request.op !== 'indirect' || pending.segments || pending.refused !== undefined) continue;
        found.push({ pending, at: LEARNT_AT + found.length * LEARNT_SIZE });
      }
    }
    return found;
  }

  #segments(learnt: readonly Learnt[]): Move[] {
    return learnt.map(({ pending, at }) => {
      const { request, ring } = pending;
      const [bytes, grefs] = request.op === 'indirect' ? [request.count * SEGMENT_SIZE, request.grefs] : [0, []];
      const parts = grefs.map((gref, i) => ({ gref, offset: 0, length: Math.min(PAGE, bytes - i * PAGE) }));
      return {
        copy: { domid: ring.description.domid, parts, heap: at, toGuest: false },
        fails: () => (pending.refused = ERROR),
      };
    });
  }

  #read({ pending, at }: Learnt): void {
    if (pending.refused !== undefined || pending.request.op !== 'indirect') return;
    const segments = readSegments(this.#calls.view, at, pending.request.count);
    if (segments) setSegments(pending, segments);
    else pending.refused = ERROR;
  }

  /**
   * One batch: bytes that go with answers (`given`), the answers, what is new in the rings, bytes that are fetched. What is more than fits into one is done before. True if
   * something came, and from none but busy front ends.
   */
  #exchange(given: readonly Move[], fetched: readonly Move[]): boolean {
    const parts = this.#parts();
    let answers: readonly Part[] = [];
    const fit = parts.length <= MOST_PARTS && RingCalls.fitTogether(parts);
    if (!fit || !RingCalls.copiesFit([...given, ...fetched].map(copyIn))) {
      const moves = [...given, ...fetched];
      for (const i of this.#calls.copy(moves.map(copyIn))) moves[i]!.fails();
      given = fetched = [];
    }
    if (fit) answers = parts;
    else this.#put(parts);
    this.#left = false;
    const rings = [...this.rings.values()].filter((ring) => this.#open(ring));
    const n = RingCalls.ringsAtOnce(ABI_64.entry, TAKE);
    // Pending ports are cleared even if no ring is served just now.
    const came: TakeResult[] = [];
    for (let i = 0; i === 0 || i < rings.length; i += n) {
      came.push(...this.#takeFrom(rings.slice(i, i + n), answers, given, fetched));
      answers = given = fetched = [];
    }
    return came.length > 0 && came.every(({ busy }) => busy);
  }

  #put(parts: readonly Part[]): void {
    for (const { ring, slots, write, of } of parts) {
      this.#calls.put(ring, slots, write);
      of.settled(slots.length);
    }
  }

  #parts(): Part[] {
    const parts: Part[] = [];
    for (const ring of this.#answering) {
      const most = RingCalls.answersAtOnce(ring.description.at.answerSize);
      while (ring.answers.length > 0) parts.push(this.#part(ring, ring.answers.splice(0, most)));
    }
    this.#answering.clear();
    return parts;
  }

  #part(ring: Ring, answers: typeof ring.answers): Part {
    const { at, abi } = ring.description;
    return {
      of: ring,
      ring: at,
      slots: answers.map(({ slot }) => slot),
      write: (i, place) => {
        const { id, code, status } = answers[i]!;
        writeAnswer(this.#calls.view, place, abi, id, code, status);
      },
    };
  }

  /**
   * Whether something is to be taken of the ring now. Of a device whose image is away requests stay where they are: in the heap they would be in the way of
   * others. A device that has used up what its limit allows is looked at again when more may be.
   */
  #open({ device, stopped }: Ring): boolean {
    if (stopped || device.away) return false;
    if (device.waiting.length > (device.limiter ? 0 : ENOUGH)) {
      this.#left = true;
      return false;
    }
    const seconds = device.limiter?.wait ?? 0;
    if (seconds === 0) return true;
    if (!this.#later.has(device)) {
      const again = setTimeout(() => {
        this.#later.delete(device);
        this.#soon();
      }, seconds * 1000);
      this.#later.set(device, again);
    }
    return false;
  }

  /** Gives the results of rings in which something was. */
  #takeFrom(
    rings: readonly Ring[],
    answers: readonly Part[],
    given: readonly Move[],
    fetched: readonly Move[],
  ): TakeResult[] {
    const places = rings.map((ring) => ring.description.at);
    const most = (i: number): number => (rings[i]!.device.limiter ? TAKE_LIMITED : TAKE);
    const more = { answers, most, copies: given.map(copyIn), fetches: fetched.map(copyIn) };
    const { taken, failed, unfetched } = this.#calls.take(places, TAKE, more);
    if (failed.length > 0) {
      for (const i of failed) given[i]!.fails();
      return this.#takeFrom(rings, answers, [], fetched);
    }
    for (const i of unfetched) fetched[i]!.fails();
    for (const { of, slots } of answers) of.settled(slots.length);
    taken.forEach((result, i) => {
      const ring = rings[i]!;
      for (const one of result.requests) this.#turns.add(ring.read(this.#calls.view, one));
      if (result.status !== 0) this.#break(ring, result.status);
      else if (result.more) this.#left = true;
    });
    const came = taken.filter(({ requests }) => requests.length > 0);
    // Their front ends have not been asked to tell of more.
    if (came.length > 0) this.#soon();
    return came;
  }

  #break(ring: Ring, status: number): void {
    ring.stopped = true;
    ring.device.giveUp(ring);
    const why =
      status === -ERRNO.EBADMSG ? 'its ring has more requests than entries' : `its ring cannot be read (${status})`;
    this.#events.broken(ring.description, why);
  }

  // ---- what is carried out

  /**
   * Begins what may be begun. A device's requests go on in the next round if bytes of some are to be fetched first, so that they stay in their order. True if that round
   * is to come at once: nothing is under way (`idle`), and something waits for it.
   */
  #begin(idle: boolean): boolean {
    const { begun, unknown, rest } = this.#turns.next();
    const good: Pending[] = [];
    for (const pending of begun) {
      const { request, ring, length } = pending;
      ring.device.limiter?.begun(length);
      pending.refused ??= 'sector' in request && request.op !== 'discard' ? ring.device.refusal(request.sector, length, writes(pending)) : undefined; // prettier-ignore
      if (pending.refused === undefined) good.push(pending);
      else this.done(pending, pending.refused);
    }
    const fetch = new Set(good.filter(hasBytes).map(({ ring }) => ring.device));
    this.#begun = good.filter(({ ring }) => fetch.has(ring.device));
    this.#submit(good.filter(({ ring }) => !fetch.has(ring.device)));
    const waits = unknown || this.#begun.length > 0;
    if (idle && waits && this.#begun.length === begun.length) return true;
    const looksAgain = this.#left && (begun.length > 0 || this.#turns.devices.size === 0);
    if (waits || rest || looksAgain) this.#soon();
    return false;
  }

  /** Gives requests to their devices, those of one device that follow each other at once. */
  #submit(list: readonly Pending[]): void {
    let run: Pending[] = [];
    const give = (): void => {
      if (run.length > 0) run[0]!.ring.device.submit(run);
      run = [];
    };
    for (const pending of list) {
      const { request, ring, refused } = pending;
      if (refused !== undefined) {
        this.done(pending, refused);
        continue;
      }
      if (request.op === 'discard' || run[0]?.ring.device !== ring.device) give();
      if (request.op === 'discard') this.#discard(pending, request.sector, request.sectors);
      else run.push(pending);
    }
    give();
  }

  #discard(pending: Pending, sector: number, sectors: number): void {
    const { device } = pending.ring;
    const refusal = device.options.discard ? device.refusal(sector, sectors * 512, true) : EOPNOTSUPP;
    if (refusal === undefined) device.submit([pending]);
    else this.done(pending, refusal);
  }

  bytes(pending: Pending): Uint8Array {
    return this.#box.heap.subarray(pending.heap, pending.heap + pending.length);
  }

  done(pending: Pending, status: number): void {
    this.#ended.push({ pending, status });
    this.#soon();
  }
}

const copyIn = ({ copy }: Move): Copy => copy;

/** Does the request bring bytes that are to be fetched? */
const hasBytes = (pending: Pending): boolean => writes(pending) && pending.length > 0;

/** The bytes of requests that write. */
const fetched = (begun: readonly Pending[]): Move[] =>
  begun.filter(hasBytes).map((pending) => ({ copy: copyOf(pending, false), fails: () => (pending.refused = ERROR) }));
