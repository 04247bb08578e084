// What a service worker does with front ends, in batches of calls: take what is new in rings, copy granted bytes, put answers.
// docs/design/services.md; the structures are spec/abi/structs/service.ts.
import type { SubOps } from '../../spec/abi/op.ts';
import { SERVICE, SERVICE_OP_NR } from '../../spec/abi/service.ts';
import { service } from '../../spec/abi/structs/service.ts';
import { OP, WINDOW, type Box } from '../../platform/box.ts';

/** Not by the table of all hypercalls: a service's worker is to load little. */
const operation = (nr: number, { ops }: SubOps, name: string): { nr: number; cmd: number } => {
  return { nr, cmd: ops.find((op) => op.name === name)!.nr };
};
const TAKE = operation(SERVICE_OP_NR, SERVICE, 'SERVICEOP_ring_take');
const PUT = operation(SERVICE_OP_NR, SERVICE, 'SERVICEOP_ring_put');
const COPY = operation(SERVICE_OP_NR, SERVICE, 'SERVICEOP_copy');
export const OPERATIONS = { take: TAKE, put: PUT, copy: COPY } as const;

/** The heap's beginning stands for the window's: structures and lists. What is copied lies behind it. */
export const ARGUMENTS = 0x10000;
const PAGE = 4096;

const align8 = (n: number): number => (n + 7) & ~7;
export const SLOT_SIZE = service.service_slot.size;
export const JOURNAL_HEAD = service.service_journal.size;
/** Bytes of a journal, or of a list, for each entry. */
export const strideOf = (entrySize: number): number => SLOT_SIZE + align8(entrySize);
export const journalSize = (entries: number, entrySize: number): number => JOURNAL_HEAD + entries * strideOf(entrySize);

/** Where what its worker keeps with a ring is (RingShape.kept): behind the journal. */
export const keptAt = ({ journal, entries, entrySize }: RingAt): number => journal + journalSize(entries, entrySize);

/** A ring as its journal knows it. */
export interface RingAt {
  /** The journal's address in the service's memory. */
  journal: number;
  entries: number;
  entrySize: number;
  answerSize: number;
}

export interface Taken {
  slot: number;
  /** Where the entry's bytes are in `view`; until the next call of whatever kind. */
  at: number;
  sequence: number;
}

export interface TakeResult {
  requests: Taken[];
  more: boolean;
  /** The front end runs: more may be about to come. */
  busy: boolean;
  /** 0, or a negative errno: the ring is to be given up. */
  status: number;
}

/** Parts of a front end's granted pages. */
export interface GrantedPart {
  gref: number;
  offset: number;
  length: number;
}

/** Bytes between such parts and a stretch of the heap, in which they lie one behind the other. */
export interface Copy {
  domid: number;
  parts: readonly GrantedPart[];
  heap: number;
  toGuest: boolean;
}

const take = service.service_ring_take;
const put = service.service_ring_put;
const copyStruct = service.service_copy;
const part = service.service_part;

/** Answers for a ring: `write` writes the i-th one's bytes at an offset of `view`. */
export interface Answers {
  ring: RingAt;
  slots: readonly number[];
  write: (i: number, at: number) => void;
}

/** What else a batch that takes does. */
export interface TakeWith {
  answers?: readonly Answers[];
  most?: (i: number) => number;
  copies?: readonly Copy[];
  fetches?: readonly Copy[];
}

/** service_ring_take.quiet. */
const QUIET_IF_TAKEN = 2;
/** Of the arguments: events and what is taken lie before them, what is put from the one on, copies and their parts from the other. */
const PUTS_AT = 0x6000;
const COPIES_AT = 0xa000;

/** What a service_ring_take at `at` says, and its list of slots at `list`. */
export function takeResult(view: DataView, at: number, list: number, stride: number): TakeResult {
  const { offsets } = take;
  const flag = (offset: number): boolean => view.getUint32(at + offset, true) !== 0;
  const requests: Taken[] = [];
  for (let n = view.getUint32(at + offsets.taken, true), slot = list; n > 0; n--, slot += stride)
    requests.push({ slot: view.getUint32(slot, true), sequence: view.getUint32(slot + 4, true), at: slot + SLOT_SIZE });
  const status = view.getInt32(at + offsets.status, true);
  return { requests, more: flag(offsets.more), busy: flag(offsets.busy), status };
}

export class RingCalls {
  readonly box: Box;
  readonly view: DataView;

  constructor(box: Box) {
    this.box = box;
    this.view = box.heapView;
  }

  #u64(at: number, value: number): void {
    this.view.setUint32(at, value, true);
    this.view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  /** Rings that one `take` can serve with `max` requests each. */
  static ringsAtOnce(entrySize: number, max: number): number {
    return Math.max(1, Math.floor((PUTS_AT - PAGE) / (take.size + max * strideOf(entrySize))));
  }

  /** Whether they fit into one `take`. */
  static fitTogether(answers: readonly Answers[]): boolean {
    const size = (sum: number, { ring, slots }: Answers): number =>
      sum + align8(put.size) + slots.length * strideOf(ring.answerSize);
    return answers.reduce(size, 0) <= COPIES_AT - PUTS_AT;
  }

  /** Whether they fit into one batch. */
  static copiesFit(copies: readonly Copy[]): boolean {
    let size = copies.length * copyStruct.size;
    for (const { parts } of copies) size += parts.length * part.size;
    return size <= ARGUMENTS - COPIES_AT;
  }

  /**
   * In one batch: `copies`, then `answers` are put, up to `max` requests of each ring (`most`: of the i-th one fewer) and the pending ports are taken, and `fetches` carried out.
   * If one of the copies fails nothing behind them is done: `failed` has their indices. A fetch that fails is in `unfetched` and stops nothing. Bounded by copiesFit (both),
   * fitTogether and ringsAtOnce. Of a ring of which something was taken no event is asked for: the caller looks again.
   */
  take(
    rings: readonly RingAt[],
    max: number,
    { answers = [], most, copies = [], fetches = [] }: TakeWith = {},
  ): { ports: number[]; taken: TakeResult[]; failed: number[]; unfetched: number[] } {
    const { box, view } = this;
    const first = copies.length > 0 ? this.#addCopies(copies, COPIES_AT) : undefined;
    const stop = first && this.#unless(copies.length);
    let at = PUTS_AT;
    for (const each of answers) at = this.#put(at, each);
    if (at > COPIES_AT) throw new RangeError('too many answers at once');
    if (at > PUTS_AT) box.copy(PUTS_AT, PUTS_AT, at - PUTS_AT, false);
    const { lists, end } = this.#lists(rings, max, most);
    const events = box.add(OP.events, PAGE, 0);
    box.copy(0, 0, end, true);
    if (rings.length > 0) {
      box.copy(PAGE, PAGE, rings.length * take.size, false);
      box.add(OP.hypercall, 0, TAKE.nr, TAKE.cmd, WINDOW + PAGE, rings.length);
    }
    const fetchesAt = first ?? COPIES_AT;
    if (fetches.length > 0) this.#addCopies(fetches, fetchesAt);
    box.go();
    if (stop !== undefined && box.result(stop) !== 0)
      return { ports: [], taken: [], failed: this.#statuses(COPIES_AT, copies.length), unfetched: [] };
    const ports = Array.from({ length: box.result(events) }, (_, i) => view.getUint32(4 * i, true));
    const taken = rings.map((ring, i) => takeResult(view, PAGE + i * take.size, lists[i]!, strideOf(ring.entrySize)));
    return { ports, taken, failed: [], unfetched: this.#statuses(fetchesAt, fetches.length) };
  }

  /** Writes a take's structures; where each ring's list begins, and where the last one ends. */
  #lists(rings: readonly RingAt[], max: number, most?: (i: number) => number): { lists: number[]; end: number } {
    const { view } = this;
    const { offsets } = take;
    const lists: number[] = [];
    let end = PAGE + rings.length * take.size;
    rings.forEach((ring, i) => {
      const at = PAGE + i * take.size;
      this.#u64(at + offsets.journal, ring.journal);
      this.#u64(at + offsets.list, WINDOW + end);
      view.setUint32(at + offsets.max, most ? Math.min(max, most(i)) : max, true);
      view.setUint32(at + offsets.quiet, QUIET_IF_TAKEN, true);
      // Nothing was taken, should the batch end before.
      view.setUint32(at + offsets.taken, 0, true);
      lists.push(end);
      end += max * strideOf(ring.entrySize);
    });
    if (end > PUTS_AT) throw new RangeError('too many rings at once');
    return { lists, end };
  }

  /** Answers that fit one `put`. */
  static answersAtOnce(answerSize: number): number {
    return Math.min(512, Math.floor((COPIES_AT - PUTS_AT - align8(put.size)) / strideOf(answerSize)));
  }

  /** Puts answers into a ring. A negative errno if the ring is to be given up. */
  put(ring: RingAt, slots: readonly number[], write: (i: number, at: number) => void): number {
    const { box, view } = this;
    const end = this.#put(PUTS_AT, { ring, slots, write });
    box.copy(PUTS_AT, PUTS_AT, end - PUTS_AT, false);
    box.copy(PUTS_AT, PUTS_AT, put.size, true);
    box.go();
    return view.getInt32(PUTS_AT + put.offsets.status, true);
  }

  /** Writes a put's structure and list at `at`, and adds the call; gives where they end. */
  #put(at: number, { ring, slots, write }: Answers): number {
    const { box, view } = this;
    const stride = strideOf(ring.answerSize);
    let list = at + align8(put.size);
    this.#u64(at + put.offsets.journal, ring.journal);
    this.#u64(at + put.offsets.list, WINDOW + list);
    view.setUint32(at + put.offsets.count, slots.length, true);
    slots.forEach((slot, i) => {
      view.setUint32(list, slot, true);
      write(i, list + SLOT_SIZE);
      list += stride;
    });
    box.add(OP.hypercall, 0, PUT.nr, PUT.cmd, WINDOW + at, 1);
    return list;
  }

  /** Carries out copies; gives the indices of those that cannot be. */
  copy(copies: readonly Copy[]): number[] {
    const failed: number[] = [];
    for (let first = 0, next = 0; first < copies.length; first = next) {
      for (next = first + 1; next < copies.length && RingCalls.copiesFit(copies.slice(first, next + 1)); next++);
      const list = copies.slice(first, next);
      this.#addCopies(list, COPIES_AT);
      this.box.go();
      for (const i of this.#statuses(COPIES_AT, list.length)) failed.push(first + i);
    }
    return failed;
  }

  /** Adds copies to the batch, their structures and parts at `at`; gives where those end. */
  #addCopies(copies: readonly Copy[], at: number): number {
    const { box, view } = this;
    const { offsets, size } = copyStruct;
    let list = at + copies.length * size;
    copies.forEach(({ domid, parts, heap, toGuest }, i) => {
      const copy = at + i * size;
      this.#u64(copy + offsets.list, WINDOW + list);
      view.setUint32(copy + offsets.heap, heap, true);
      view.setUint32(copy + offsets.count, parts.length, true);
      view.setUint16(copy + offsets.domid, domid, true);
      view.setUint16(copy + offsets.out, toGuest ? 1 : 0, true);
      view.setInt32(copy + offsets.status, -1, true);
      for (const { gref, offset, length } of parts) {
        view.setUint32(list, gref, true);
        view.setUint32(list + part.offsets.offset, offset | (length << 16), true);
        list += part.size;
      }
    });
    if (list > ARGUMENTS) throw new RangeError('too many copies at once');
    box.copy(at, at, list - at, false);
    box.copy(at, at, copies.length * size, true);
    box.add(OP.hypercall, 0, COPY.nr, COPY.cmd, WINDOW + at, copies.length);
    return list;
  }

  /** The batch goes on only if so many copies at COPIES_AT were done; the number of the call that says so. */
  #unless(count: number): number {
    return this.box.add(OP.unless, count, COPIES_AT + copyStruct.offsets.status, copyStruct.size);
  }

  /** Which of the copies at `at` could not be done. */
  #statuses(at: number, count: number): number[] {
    const failed: number[] = [];
    for (let i = 0; i < count; i++)
      if (this.view.getInt32(at + i * copyStruct.size + copyStruct.offsets.status, true) !== 0) failed.push(i);
    return failed;
  }
}
