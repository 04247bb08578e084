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
} from '../../lib/ring_calls.ts';
import { ABI_64, readSegments, SEGMENT_SIZE, writeAnswer } from '../protocol/blkif.ts';
import { Device, reads, writes, type Carrier } from './device.ts';
import { EOPNOTSUPP, ERROR, OKAY, Ring, type Answer, type Pending, type RingDescription } from './ring.ts';

/** Requests taken of a ring at a time; so many entries has a ring of two pages. */
const TAKE = 64;
/** Of a ring whose device has a limit: what is taken has to be begun, whatever the limit says. */
const TAKE_LIMITED = 4;
const PAGE = 4096;
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

/** Answers to be put in one batch with what is taken: rings of so many. */
const MOST_PARTS = 32;

/** Some of a ring's answers. */
interface Part extends Answers {
  of: Ring;
}

/** A request that has been read, and the answer that says so. */
interface Read {
  pending: Pending;
  answer: Answer;
}

const copyOf = ({ ring, segments, heap }: Pending, toGuest: boolean): Copy => ({
  ...{ domid: ring.description.domid, parts: segments, heap, toGuest },
});

export interface EngineEvents {
  /** The ring is given up: its front end broke the protocol. */
  broken(ring: RingDescription, why: string): void;
  report(text: string): void;
}

export class Engine implements Carrier {
  readonly #box: Box;
  readonly #calls: RingCalls;
  readonly #heap: Heap;
  readonly #events: EngineEvents;
  readonly rings = new Map<number, Ring>();
  /** Devices for which something was taken that is not begun. Those are looked at first that were last. */
  readonly #waiting = new Set<Device>();
  #turn = LATELY;
  /** While something waits nothing is taken for that device: that has to be made good. */
  #left = false;
  /** Devices that wait for what their limits allow. */
  readonly #later = new Map<Device, NodeJS.Timeout>();
  /** Carried out, to be answered. */
  #ended: { pending: Pending; status: number }[] = [];
  readonly #answering = new Set<Ring>();
  #due = false;

  constructor(box: Box, events: EngineEvents) {
    this.#box = box;
    this.#calls = new RingCalls(box);
    this.#heap = new Heap(ARGUMENTS, box.heap.length);
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
    this.#accept(this.#journal(ring));
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

  /** Gives answers that are ready, takes what is new in all rings, and begins it as far as there is room. */
  work(): void {
    this.#work([]);
  }

  /** The same, with bytes that have been read for requests which are answered now. */
  #work(read: readonly Read[]): void {
    let { answers, copies } = this.#answers(read);
    this.#left = false;
    const rings = [...this.rings.values()].filter((ring) => this.#open(ring));
    const n = RingCalls.ringsAtOnce(ABI_64.entry, TAKE);
    // Pending ports are cleared even if no ring is served just now.
    for (let i = 0; i === 0 || i < rings.length; i += n) {
      const more = this.#takeFrom(rings.slice(i, i + n), answers, copies);
      this.#left ||= more;
      answers = copies = [];
    }
    this.#begin();
  }

  /**
   * Whether something is to be taken of the ring now. Of a device whose image is away requests stay where they are: in the heap they would be in the way of
   * others. A device that has used up what its limit allows is looked at again when more may be.
   */
  #open({ device, stopped }: Ring): boolean {
    if (stopped || device.away) return false;
    if (this.#waiting.has(device)) {
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

  #takeFrom(rings: readonly Ring[], answers: readonly Part[], read: readonly Read[]): boolean {
    const places = rings.map((ring) => ring.description.at);
    const most = (i: number): number => (rings[i]!.device.limiter ? TAKE_LIMITED : TAKE);
    const copies = read.map(({ pending }) => copyOf(pending, true));
    const { taken, failed } = this.#calls.take(places, TAKE, answers, most, copies);
    if (failed.length > 0) {
      for (const i of failed) read[i]!.answer.status = ERROR;
      return this.#takeFrom(rings, answers, []);
    }
    for (const { of, slots } of answers) of.settled(slots.length);
    const fresh: Pending[] = [];
    let more = false;
    taken.forEach((result, i) => {
      const ring = rings[i]!;
      for (const one of result.requests) fresh.push(ring.read(this.#calls.view, one));
      if (result.status !== 0) this.#break(ring, result.status);
      else if (result.more) more = true;
    });
    // Their front ends have not been asked to tell of more.
    if (fresh.length > 0) this.#soon();
    this.#accept(fresh);
    return more;
  }

  #break(ring: Ring, status: number): void {
    ring.stopped = true;
    ring.device.giveUp(ring);
    const why =
      status === -ERRNO.EBADMSG ? 'its ring has more requests than entries' : `its ring cannot be read (${status})`;
    this.#events.broken(ring.description, why);
  }

  // ---- what a request needs before it can be carried out

  #accept(fresh: readonly Pending[]): void {
    for (const pending of fresh) {
      const { request, ring } = pending;
      if (request.op === 'read' || request.op === 'write' || request.op === 'barrier') {
        pending.segments = request.segments;
        for (const { length } of request.segments) pending.length += length;
      }
      ring.device.waiting.push(pending);
      this.#waiting.add(ring.device);
    }
  }

  #discard(pending: Pending, sector: number, sectors: number): void {
    const { device } = pending.ring;
    const refusal = device.options.discard ? device.refusal(sector, sectors * 512, true) : EOPNOTSUPP;
    if (refusal === undefined) device.submit([pending]);
    else this.done(pending, refusal);
  }

  /** Begins what waits, each device's in its order. Who finds no room in the heap waits for others to end. */
  #begin(): void {
    this.#turn++;
    for (const device of this.#waiting) device.turn = this.#turn;
    const share = this.#share();
    const ready: Pending[] = [];
    for (let full = false; ready.length === 0 && !full && this.#waiting.size > 0; ) {
      for (const device of [...this.#waiting]) full = !this.#beginOf(device, share, ready) || full;
    }
    if (ready.length > 0) this.#fetch(ready);
    // What is over goes on by itself; else what was left waits for this turn alone.
    if (ready.length > 0 ? this.#waiting.size > 0 || this.#left : this.#waiting.size === 0 && this.#left) this.#soon();
  }

  #share(): number {
    const lately = new Set<Device>();
    for (const { device } of this.rings.values()) if (this.#turn - device.turn < LATELY) lately.add(device);
    return lately.size <= 1 ? TURN_ALONE : Math.max(LEAST_SHARE, TURN_SHARED / lately.size);
  }

  /** As much as the device's share allows; false if there was no room in the heap. */
  #beginOf(device: Device, share: number, ready: Pending[]): boolean {
    const { waiting } = device;
    device.credit += share;
    let [count, room] = [0, true];
    const most = Math.max(LEAST_BEGUN, waiting.length >> 1);
    for (; count < waiting.length && count < most; count++) {
      const cost = REQUEST_COST + this.#need(waiting[count]!);
      if (cost > device.credit) break;
      room = this.#room(waiting[count]!);
      if (!room) break;
      device.credit -= cost;
      ready.push(waiting[count]!);
    }
    waiting.splice(0, count);
    this.#waiting.delete(device);
    if (waiting.length > 0) this.#waiting.add(device);
    else device.credit = 0;
    if (!room || count === most) device.credit = Math.min(device.credit, share);
    return room;
  }

  /** Bytes of the heap. Of an indirect request the segments are not known yet: as if each were a page. */
  #need({ request, length }: Pending): number {
    return request.op === 'indirect' ? PAGE * (request.count + request.grefs.length) : length;
  }

  #room(pending: Pending): boolean {
    const need = this.#need(pending);
    if (need === 0) return true;
    const { device } = pending.ring;
    if (device.held > 0 && device.held + need > this.#mostHeld) return false;
    const at = this.#heap.take(need);
    if (at < 0) return false;
    device.held += need;
    pending.heap = at;
    pending.length = need;
    return true;
  }

  /** Of the heap, by one device: others find room too, however slow its image is. */
  get #mostHeld(): number {
    return this.#box.heap.length / 2;
  }

  /** Segments of indirect requests, then the bytes of those that write; each in as few batches as can be. */
  #fetch(ready: readonly Pending[]): void {
    const bad = new Set<Pending>();
    const indirect = ready.filter(({ request }) => request.op === 'indirect');
    if (indirect.length > 0) this.#fetchSegments(indirect, bad);
    const good: Pending[] = [];
    for (const pending of ready) {
      const { request, ring, length } = pending;
      if (request.op === 'unknown') this.done(pending, EOPNOTSUPP);
      else if (request.op === 'bad' || bad.has(pending)) this.done(pending, ERROR);
      else if (request.op === 'discard' || !('sector' in request)) good.push(pending);
      else {
        const refusal = ring.device.refusal(request.sector, length, writes(pending));
        if (refusal === undefined) good.push(pending);
        else this.done(pending, refusal);
      }
      ring.device.limiter?.begun(length);
    }
    const failed = this.#copy(good.filter((pending) => writes(pending) && pending.length > 0), false); // prettier-ignore
    let run: Pending[] = [];
    for (const pending of good) {
      if (failed.has(pending)) {
        this.done(pending, ERROR);
        continue;
      }
      if (run.length > 0 && run[0]!.ring.device !== pending.ring.device) run = this.#submit(run);
      const { request } = pending;
      if (request.op === 'discard') {
        run = this.#submit(run);
        this.#discard(pending, request.sector, request.sectors);
      } else run.push(pending);
    }
    this.#submit(run);
  }

  /** Requests of one device; gives what the next ones go into. */
  #submit(run: Pending[]): Pending[] {
    if (run.length === 0) return run;
    run[0]!.ring.device.submit(run);
    return [];
  }

  #fetchSegments(indirect: readonly Pending[], bad: Set<Pending>): void {
    const copies = indirect.map(({ request, ring, heap }): Copy => {
      const [bytes, grefs] = request.op === 'indirect' ? [request.count * SEGMENT_SIZE, request.grefs] : [0, []];
      const parts = grefs.map((gref, i) => ({ gref, offset: 0, length: Math.min(PAGE, bytes - i * PAGE) }));
      return { domid: ring.description.domid, parts, heap, toGuest: false };
    });
    for (const i of this.#calls.copy(copies)) bad.add(indirect[i]!);
    for (const pending of indirect) {
      if (pending.request.op !== 'indirect' || bad.has(pending)) continue;
      const segments = readSegments(this.#calls.view, pending.heap, pending.request.count);
      if (!segments) bad.add(pending);
      else {
        // What was set aside for whole pages is given back as far as it is not needed.
        const length = segments.reduce((sum, segment) => sum + segment.length, 0);
        this.#heap.give(pending.heap, pending.length);
        pending.ring.device.held += length - pending.length;
        pending.heap = this.#heap.take(length);
        pending.length = length;
        pending.segments = segments;
      }
    }
  }

  /** The bytes of requests, between their segments and the heap; gives those of which some could not be copied. */
  #copy(list: readonly Pending[], toGuest: boolean): Set<Pending> {
    if (list.length === 0) return new Set();
    return new Set(this.#calls.copy(list.map((pending) => copyOf(pending, toGuest))).map((i) => list[i]!));
  }

  bytes(pending: Pending): Uint8Array {
    return this.#box.heap.subarray(pending.heap, pending.heap + pending.length);
  }

  // ---- and afterwards

  done(pending: Pending, status: number): void {
    this.#ended.push({ pending, status });
    this.#soon();
  }

  /** What the system answers in one turn of the loop is answered together. */
  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => this.#finish());
  }

  #finish(): void {
    this.#due = false;
    const ended = this.#ended;
    this.#ended = [];
    const read: Read[] = [];
    for (const { pending, status } of ended) {
      const answer = pending.ring.answer(pending, status);
      this.#answering.add(pending.ring);
      if (status === OKAY && reads(pending)) read.push({ pending, answer });
      if (pending.heap < 0) continue;
      // Nothing takes its place before the batch that copies it.
      this.#heap.give(pending.heap, pending.length);
      pending.ring.device.held -= pending.length;
    }
    this.#work(read);
  }

  /** What is to be put next, of all rings, and copied before it; what is more than fits into one batch is done at once. */
  #answers(read: readonly Read[]): { answers: readonly Part[]; copies: readonly Read[] } {
    const parts: Part[] = [];
    for (const ring of this.#answering) {
      const most = RingCalls.answersAtOnce(ring.description.at.answerSize);
      while (ring.answers.length > 0) parts.push(this.#part(ring, ring.answers.splice(0, most)));
    }
    this.#answering.clear();
    const fit = parts.length <= MOST_PARTS && RingCalls.fitTogether(parts);
    if (fit && RingCalls.copiesFit(read.map(({ pending }) => copyOf(pending, true)))) return { answers: parts, copies: read }; // prettier-ignore
    const failed = this.#copy(read.map(({ pending }) => pending), true); // prettier-ignore
    for (const { pending, answer } of read) if (failed.has(pending)) answer.status = ERROR;
    if (fit) return { answers: parts, copies: [] };
    for (const { ring, slots, write, of } of parts) {
      this.#calls.put(ring, slots, write);
      of.settled(slots.length);
    }
    return { answers: [], copies: [] };
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
}
