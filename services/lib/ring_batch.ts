// One round of a back end's work in one batch of calls: bytes between front ends' granted pages and the heap, then answers into their rings, then
// what is new there. The answers go only if every copy was done; the caller hears which ones were not, and sends other answers.
import { service } from '../../spec/abi/structs/service.ts';
import { OP, WINDOW, type Box } from '../../platform/box.ts';
import { ARGUMENTS, OPERATIONS, SLOT_SIZE, strideOf, takeResult, type GrantedPart, type RingAt, type TakeResult } from './ring_calls.ts'; // prettier-ignore

const PAGE = 4096;
const take = service.service_ring_take;
const put = service.service_ring_put;
const copy = service.service_copy;
const piece = service.service_part;

/** Places in the window, and in the heap's beginning, which stands for it. */
const EVENTS_AT = 0;
const EVENTS_SIZE = PAGE;
const TAKES_AT = EVENTS_AT + EVENTS_SIZE;
const PUTS_AT = 0x6000;
const COPIES_AT = 0xb000;
const PIECES_AT = 0xd000;

/** What one batch takes. */
export const MOST = {
  takes: 12,
  entries: 64,
  puts: 48,
  answers: 1024,
  copies: Math.floor((PIECES_AT - COPIES_AT) / copy.size),
  pieces: Math.floor((ARGUMENTS - PIECES_AT) / piece.size),
  bytes: 192 << 10,
} as const;

export interface Done {
  /** The copies that could not be done, by their numbers; if there are any nothing was put or taken. */
  failed: number[];
  /** For each ring that was answered: 0, or a negative errno. */
  put: number[];
  /** For each ring that was looked at. */
  taken: TakeResult[];
}

export class RingBatch {
  readonly view: DataView;
  readonly #box: Box;
  #copies = 0;
  #pieces = 0;
  #bytes = 0;
  #puts: { at: number }[] = [];
  #list = PUTS_AT + MOST.puts * put.size;
  #takes: RingAt[] = [];

  constructor(box: Box) {
    this.#box = box;
    this.view = box.heapView;
  }

  #u64(at: number, value: number): void {
    this.view.setUint32(at, value, true);
    this.view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  /** Adds the copying of what lies together in the heap; undefined if this batch has no more room, else its number. */
  copy(
    domid: number,
    parts: readonly GrantedPart[],
    heap: number,
    length: number,
    toGuest: boolean,
  ): number | undefined {
    const room = this.#copies < MOST.copies && this.#pieces + parts.length <= MOST.pieces;
    if (!room || this.#bytes + length > MOST.bytes) return undefined;
    const { view } = this;
    const { offsets } = copy;
    const at = COPIES_AT + this.#copies * copy.size;
    const list = PIECES_AT + this.#pieces * piece.size;
    let count = 0;
    for (const part of parts) {
      if (part.length === 0) continue;
      view.setUint32(list + count * piece.size, part.gref, true);
      view.setUint32(list + count * piece.size + piece.offsets.offset, part.offset | (part.length << 16), true);
      count++;
    }
    this.#u64(at + offsets.list, WINDOW + list);
    view.setUint32(at + offsets.heap, heap, true);
    view.setUint32(at + offsets.count, count, true);
    view.setUint16(at + offsets.domid, domid, true);
    view.setUint16(at + offsets.out, toGuest ? 1 : 0, true);
    view.setInt32(at + offsets.status, -1, true);
    this.#pieces += count;
    this.#bytes += length;
    return this.#copies++;
  }

  /** Adds answers to a ring, in all at most MOST.answers to MOST.puts rings: `write` writes the i-th one's bytes at an offset of `view`. */
  put(ring: RingAt, slots: readonly number[], write: (i: number, at: number) => void): void {
    const { view } = this;
    const at = PUTS_AT + this.#puts.length * put.size;
    this.#u64(at + put.offsets.journal, ring.journal);
    this.#u64(at + put.offsets.list, WINDOW + this.#list);
    view.setUint32(at + put.offsets.count, slots.length, true);
    const stride = strideOf(ring.answerSize);
    for (let i = 0; i < slots.length; i++) {
      view.setUint32(this.#list, slots[i]!, true);
      write(i, this.#list + SLOT_SIZE);
      this.#list += stride;
    }
    if (this.#list > COPIES_AT || this.#puts.length === MOST.puts) throw new RangeError('too many answers at once');
    this.#puts.push({ at });
  }

  /** Looks at a ring, at most MOST.takes of them; `quiet`: the front end need not tell of what comes next. */
  take(ring: RingAt, quiet: boolean): void {
    if (this.#takes.length === MOST.takes) throw new RangeError('too many rings at once');
    const at = TAKES_AT + this.#takes.length * take.size;
    this.#u64(at + take.offsets.journal, ring.journal);
    this.view.setUint32(at + take.offsets.max, MOST.entries, true);
    this.view.setUint32(at + take.offsets.quiet, quiet ? 1 : 0, true);
    this.#takes.push(ring);
  }

  /** Bytes of the service's own memory, up to a page, apart from the batch: what the last one has given is not valid any more. */
  load(at: number, length: number): Uint8Array {
    return this.#box.read(at, length);
  }

  save(at: number, bytes: Uint8Array): void {
    this.#box.write(at, bytes);
  }

  /** Has it all done; what `taken` names is there until the next batch is. */
  go(): Done {
    const [box, view] = [this.#box, this.view];
    const [copies, pieces, puts, takes, lists] = [this.#copies, this.#pieces, this.#puts, this.#takes, this.#list];
    this.#reset();
    box.add(OP.events, EVENTS_SIZE, 0);
    let stop = -1;
    if (copies > 0) {
      box.copy(COPIES_AT, COPIES_AT, copies * copy.size, false);
      box.copy(PIECES_AT, PIECES_AT, pieces * piece.size, false);
      box.add(OP.hypercall, 0, OPERATIONS.copy.nr, OPERATIONS.copy.cmd, WINDOW + COPIES_AT, copies);
      stop = box.add(OP.unless, copies, COPIES_AT + copy.offsets.status, copy.size);
    }
    if (puts.length > 0) {
      box.copy(PUTS_AT, PUTS_AT, lists - PUTS_AT, false);
      box.add(OP.hypercall, 0, OPERATIONS.put.nr, OPERATIONS.put.cmd, WINDOW + PUTS_AT, puts.length);
      box.copy(PUTS_AT, PUTS_AT, puts.length * put.size, true);
    }
    const taken = this.#addTakes(takes);
    box.go();
    if (stop >= 0 && box.result(stop) !== 0) return { failed: this.#failed(copies), put: [], taken: [] };
    const statuses = puts.map(({ at }) => view.getInt32(at + put.offsets.status, true));
    return {
      failed: [],
      put: statuses,
      taken: taken.map((list, i) =>
        takeResult(this.view, TAKES_AT + i * take.size, list, strideOf(takes[i]!.entrySize)),
      ),
    };
  }

  #reset(): void {
    this.#copies = this.#pieces = this.#bytes = 0;
    this.#puts = [];
    this.#list = PUTS_AT + MOST.puts * put.size;
    this.#takes = [];
  }

  /** Where each one's list begins. */
  #addTakes(takes: readonly RingAt[]): number[] {
    if (takes.length === 0) return [];
    const { view } = this;
    let list = TAKES_AT + takes.length * take.size;
    const lists = takes.map(({ entrySize }, i) => {
      const at = list;
      this.#u64(TAKES_AT + i * take.size + take.offsets.list, WINDOW + at);
      // Nothing was taken, should the batch end before.
      view.setUint32(TAKES_AT + i * take.size + take.offsets.taken, 0, true);
      list += MOST.entries * strideOf(entrySize);
      return at;
    });
    if (list > PUTS_AT) throw new RangeError('entries of this size do not fit');
    this.#box.copy(TAKES_AT, TAKES_AT, takes.length * take.size, false);
    this.#box.add(OP.hypercall, 0, OPERATIONS.take.nr, OPERATIONS.take.cmd, WINDOW + TAKES_AT, takes.length);
    this.#box.copy(TAKES_AT, TAKES_AT, list - TAKES_AT, true);
    return lists;
  }

  #failed(copies: number): number[] {
    const { view } = this;
    this.#box.copy(COPIES_AT, COPIES_AT, copies * copy.size, true);
    this.#box.go();
    const statusOf = (i: number): number => view.getInt32(COPIES_AT + i * copy.size + copy.offsets.status, true);
    return Array.from({ length: copies }, (_, i) => i).filter((i) => statusOf(i) !== 0);
  }
}
