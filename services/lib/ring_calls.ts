// What a service worker does with front ends, in batches of calls: take what is new in rings, copy granted bytes, put answers.
// docs/design/services.md; the structures are spec/abi/structs/service.ts and gnttab_copy.
import { DOMID_SELF, GNTCOPY_dest_gref, GNTCOPY_source_gref, GNTST_okay } from '../../spec/abi/constants.ts';
import { GRANT_TABLE, GRANT_TABLE_OP_NR } from '../../spec/abi/grant_table.ts';
import type { SubOps } from '../../spec/abi/op.ts';
import { SERVICE, SERVICE_OP_NR } from '../../spec/abi/service.ts';
import { grantTable } from '../../spec/abi/structs/grant_table.ts';
import { service } from '../../spec/abi/structs/service.ts';
import { CALL, OP, RANGE, WINDOW, WINDOW_SIZE, type Box } from '../../platform/box.ts';

/** Not by the table of all hypercalls: a service's worker is to load little. */
const operation = (nr: number, { ops }: SubOps, name: string): { nr: number; cmd: number } => {
  return { nr, cmd: ops.find((op) => op.name === name)!.nr };
};
const TAKE = operation(SERVICE_OP_NR, SERVICE, 'SERVICEOP_ring_take');
const PUT = operation(SERVICE_OP_NR, SERVICE, 'SERVICEOP_ring_put');
const COPY = operation(GRANT_TABLE_OP_NR, GRANT_TABLE, 'GNTTABOP_copy');
export const OPERATIONS = { take: TAKE, put: PUT, copy: COPY } as const;

/** The heap's beginning stands for the window's: structures and lists. Behind it, the window takes the bytes of copies. */
export const ARGUMENTS = 0x10000;
const PAYLOAD = WINDOW_SIZE - ARGUMENTS;
const PAGE = 4096;

const align8 = (n: number): number => (n + 7) & ~7;
export const SLOT_SIZE = service.service_slot.size;
export const JOURNAL_HEAD = service.service_journal.size;
/** Bytes of a journal, or of a list, for each entry. */
export const strideOf = (entrySize: number): number => SLOT_SIZE + align8(entrySize);
export const journalSize = (entries: number, entrySize: number): number => JOURNAL_HEAD + entries * strideOf(entrySize);

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
  /** 0, or a negative errno: the ring is to be given up. */
  status: number;
}

/** Bytes between a front end's granted page and the heap. */
export interface Copy {
  domid: number;
  gref: number;
  offset: number;
  length: number;
  heap: number;
  toGuest: boolean;
}

const take = service.service_ring_take;
const put = service.service_ring_put;
const copyStruct = grantTable.gnttab_copy;
const end = grantTable.gnttab_copy_ptr;

/** Answers for a ring: `write` writes the i-th one's bytes at an offset of `view`. */
export interface Answers {
  ring: RingAt;
  slots: readonly number[];
  write: (i: number, at: number) => void;
}

/** Of the arguments: events and what is taken lie before it, what is put from it on. */
const PUTS_AT = 0x8000;

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
    return answers.reduce(size, 0) <= ARGUMENTS - PUTS_AT;
  }

  /** Puts `answers`, then takes up to `max` requests of each ring (`most`: of the i-th one fewer), and the pending ports. Bounded by fitTogether and ringsAtOnce. */
  take(
    rings: readonly RingAt[],
    max: number,
    answers: readonly Answers[] = [],
    most?: (i: number) => number,
  ): { ports: number[]; taken: TakeResult[] } {
    const { box, view } = this;
    let at = PUTS_AT;
    for (const each of answers) at = this.#put(at, each);
    if (at > ARGUMENTS) throw new RangeError('too many answers at once');
    if (at > PUTS_AT) box.copy(PUTS_AT, PUTS_AT, at - PUTS_AT, false);
    const { offsets } = take;
    const lists: number[] = [];
    let list = PAGE + rings.length * take.size;
    rings.forEach((ring, i) => {
      const at = PAGE + i * take.size;
      this.#u64(at + offsets.journal, ring.journal);
      this.#u64(at + offsets.list, WINDOW + list);
      view.setUint32(at + offsets.max, most ? Math.min(max, most(i)) : max, true);
      view.setUint32(at + offsets.quiet, 0, true);
      lists.push(list);
      list += max * strideOf(ring.entrySize);
    });
    if (list > PUTS_AT) throw new RangeError('too many rings at once');
    const events = box.add(OP.events, PAGE, 0);
    box.copy(0, 0, list, true);
    if (rings.length > 0) {
      box.copy(PAGE, PAGE, rings.length * take.size, false);
      box.add(OP.hypercall, 0, TAKE.nr, TAKE.cmd, WINDOW + PAGE, rings.length);
    }
    box.go();
    const ports = Array.from({ length: box.result(events) }, (_, i) => view.getUint32(4 * i, true));
    const taken = rings.map((ring, i): TakeResult => {
      const at = PAGE + i * take.size;
      const count = view.getUint32(at + offsets.taken, true);
      const stride = strideOf(ring.entrySize);
      const requests: Taken[] = [];
      for (let n = 0, slot = lists[i]!; n < count; n++, slot += stride)
        requests.push({
          slot: view.getUint32(slot, true),
          sequence: view.getUint32(slot + 4, true),
          at: slot + SLOT_SIZE,
        });
      const status = view.getInt32(at + offsets.status, true);
      return { requests, more: view.getUint32(at + offsets.more, true) !== 0, status };
    });
    return { ports, taken };
  }

  /** Answers that fit one `put`. */
  static answersAtOnce(answerSize: number): number {
    return Math.min(512, Math.floor((ARGUMENTS - PUTS_AT - align8(put.size)) / strideOf(answerSize)));
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

  /** Carries out copies; calls `failed` with the index of each that cannot be. */
  copy(copies: readonly Copy[], failed: (i: number) => void): void {
    const { box, view } = this;
    const { size, offsets } = copyStruct;
    for (let next = 0; next < copies.length; ) {
      const owners: number[] = [];
      do {
        if (owners.length > 0) box.step();
        next = this.#copies(copies, next, owners);
      } while (next < copies.length && this.#roomFor(owners.length));
      box.go();
      let last = -1;
      for (let s = 0; s < owners.length; s++) {
        if (view.getInt16(s * size + offsets.status, true) === GNTST_okay || owners[s] === last) continue;
        last = owners[s]!;
        failed(last);
      }
    }
  }

  /** Whether a batch with so many structures takes more copies; two structures and ranges are what one may need. */
  #roomFor(structs: number): boolean {
    const { box } = this;
    return (structs + 2) * copyStruct.size <= ARGUMENTS && box.calls < CALL.max && box.ranges + 5 <= RANGE.max;
  }

  /** As many from the `first` on as the window takes, as a step of the batch; gives the next one's index. Their structures lie behind those of `owners`. */
  #copies(copies: readonly Copy[], first: number, owners: number[]): number {
    const { box } = this;
    const { size } = copyStruct;
    const from = owners.length;
    let [window, i] = [ARGUMENTS, first];
    for (; i < copies.length; i++) {
      const c = copies[i]!;
      const before = i > first ? copies[i - 1] : undefined;
      // What lies together in the heap stays together: one range for all of it.
      const follows = before && before.heap + before.length === c.heap && before.toGuest === c.toGuest;
      if (!follows) window = align8(window);
      // A part of a page of the window at a time: one struct, or two.
      const room = window + c.length <= ARGUMENTS + PAYLOAD && (owners.length + 2) * size <= ARGUMENTS;
      if (!room || box.ranges + 4 > RANGE.max) break;
      this.#range(c, window, follows === true);
      for (let done = 0; done < c.length; ) {
        const n = Math.min(c.length - done, PAGE - ((window + done) % PAGE));
        this.#struct(owners.length, c, done, n, window + done);
        owners.push(i);
        done += n;
      }
      window += c.length;
    }
    this.#flushRange();
    const [at, length] = [from * size, (owners.length - from) * size];
    box.copy(at, 0, length, false);
    box.add(OP.hypercall, 0, COPY.nr, COPY.cmd, WINDOW, owners.length - from);
    box.copy(at, 0, length, true);
    return i;
  }

  #open: { heap: number; window: number; length: number; out: boolean } | undefined;

  #range(c: Copy, window: number, follows: boolean): void {
    if (follows && this.#open) {
      this.#open.length += c.length;
      return;
    }
    this.#flushRange();
    this.#open = { heap: c.heap, window, length: c.length, out: !c.toGuest };
  }

  #flushRange(): void {
    const r = this.#open;
    if (r) this.box.copy(r.heap, r.window, r.length, r.out);
    this.#open = undefined;
  }

  #struct(index: number, c: Copy, done: number, length: number, window: number): void {
    const at = index * copyStruct.size;
    const { view } = this;
    const { offsets } = copyStruct;
    const guest = at + (c.toGuest ? offsets.dest : offsets.source);
    const own = at + (c.toGuest ? offsets.source : offsets.dest);
    this.#u64(guest + end.offsets.u, c.gref);
    view.setUint16(guest + end.offsets.domid, c.domid, true);
    view.setUint16(guest + end.offsets.offset, c.offset + done, true);
    this.#u64(own + end.offsets.u, Math.floor((WINDOW + window) / PAGE));
    view.setUint16(own + end.offsets.domid, DOMID_SELF, true);
    view.setUint16(own + end.offsets.offset, window % PAGE, true);
    view.setUint16(at + offsets.len, length, true);
    view.setUint16(at + offsets.flags, c.toGuest ? GNTCOPY_dest_gref : GNTCOPY_source_gref, true);
    view.setInt16(at + offsets.status, -1, true);
  }
}
