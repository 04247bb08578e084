// Front ends for tests of the back end: rings, grants and a journal in memory, worked on by the calls that a service domain makes.
import assert from 'node:assert/strict';
import type { Done } from '../../lib/ring_batch.ts';
import type { GrantedPart, RingAt, TakeResult } from '../../lib/ring_calls.ts';
import { TX, RX } from '../protocol/netif.ts';
import type { Calls } from './calls.ts';

const LIST_AT = 4096;
const ANSWERS_AT = 0x8000;
const ENTRIES = 64;

class Ring {
  readonly at: RingAt;
  readonly requests: Uint8Array[] = [];
  readonly answers: Uint8Array[] = [];
  /** Taken and not answered: slot to sequence and bytes. */
  readonly journal = new Map<number, { sequence: number; bytes: Uint8Array }>();
  sequence = 0;
  broken = 0;

  constructor(number: number, shape: { entries: number; entry: number; answer: number }) {
    this.at = { journal: number, entries: shape.entries, entrySize: shape.entry, answerSize: shape.answer };
  }
}

export class FakeRings implements Calls {
  readonly heap = new Uint8Array(1 << 20);
  readonly view = new DataView(this.heap.buffer);
  readonly #rings = new Map<number, Ring>();
  readonly #pages = new Map<string, Uint8Array>();
  #gref = 8;
  #next = 1;
  calls = 0;

  ring(shape: { entries: number; entry: number; answer: number }): Ring {
    const ring = new Ring(this.#next++, shape);
    this.#rings.set(ring.at.journal, ring);
    return ring;
  }

  pair(): { tx: Ring; rx: Ring } {
    return { tx: this.ring(TX), rx: this.ring(RX) };
  }

  grant(domid: number, page: Uint8Array): number {
    this.#pages.set(`${domid} ${this.#gref}`, page);
    return this.#gref++;
  }

  journal = ({ journal }: RingAt): { view: DataView; taken: TakeResult['requests'] } => {
    const entries = [...this.#rings.get(journal)!.journal].sort(([, a], [, b]) => a.sequence - b.sequence);
    const bytes = new Uint8Array(entries.length * 16);
    const taken = entries.map(([slot, { sequence, bytes: entry }], i) => {
      bytes.set(entry, 16 * i);
      return { slot, sequence, at: 16 * i };
    });
    return { view: new DataView(bytes.buffer), taken };
  };

  #copies: { run: () => boolean }[] = [];
  #puts: (() => number)[] = [];
  #takes: { ring: RingAt; quiet: boolean }[] = [];
  /** Rings that were last looked at without asking to be told. */
  readonly quiet = new Set<number>();

  copy(
    domid: number,
    parts: readonly GrantedPart[],
    heap: number,
    length: number,
    toGuest: boolean,
  ): number | undefined {
    if (this.#copies.length === 60) return undefined;
    assert.equal(length, parts.reduce((sum, part) => sum + part.length, 0)); // prettier-ignore
    const run = (): boolean => {
      let at = heap;
      for (const { gref, offset, length } of parts) {
        const page = this.#pages.get(`${domid} ${gref}`);
        if (!page || offset + length > 4096 || length === 0) return false;
        if (toGuest) page.set(this.heap.subarray(at, at + length), offset);
        else this.heap.set(page.subarray(offset, offset + length), at);
        at += length;
      }
      return true;
    };
    return this.#copies.push({ run }) - 1;
  }

  put({ journal }: RingAt, slots: readonly number[], write: (i: number, at: number) => void): void {
    const ring = this.#rings.get(journal)!;
    const bytes = slots.map((slot, i) => {
      write(i, ANSWERS_AT);
      return { slot, answer: this.heap.slice(ANSWERS_AT, ANSWERS_AT + ring.at.answerSize) };
    });
    this.#puts.push(() => {
      for (const { slot, answer } of bytes) {
        if (!ring.journal.delete(slot)) throw new Error(`slot ${slot} is answered twice`);
        ring.answers.push(answer);
      }
      return ring.broken;
    });
  }

  /** The service's own memory, as far as something has been written there. */
  readonly #kept = new Map<number, Uint8Array>();

  load(at: number, length: number): Uint8Array {
    return this.#kept.get(at)?.slice() ?? new Uint8Array(length);
  }

  save(at: number, bytes: Uint8Array): void {
    this.#kept.set(at, bytes.slice());
  }

  take(ring: RingAt, quiet: boolean): void {
    this.#takes.push({ ring, quiet });
  }

  go(): Done {
    this.calls++;
    const [copies, puts, takes] = [this.#copies, this.#puts, this.#takes];
    this.#copies = [];
    this.#puts = [];
    this.#takes = [];
    const failed = copies.flatMap(({ run }, i) => (run() ? [] : [i]));
    if (failed.length > 0) return { failed, put: [], taken: [] };
    const put = puts.map((run) => run());
    let at = LIST_AT;
    const taken = takes.map(({ ring: { journal, entries }, quiet }): TakeResult => {
      const ring = this.#rings.get(journal)!;
      const requests: TakeResult['requests'] = [];
      const room = () => requests.length < ENTRIES && ring.journal.size < entries;
      while (room() && ring.requests.length > 0 && ring.broken === 0) {
        const bytes = ring.requests.shift()!;
        const slot = Array.from({ length: entries }, (_, i) => i).find((i) => !ring.journal.has(i))!;
        const sequence = ++ring.sequence;
        ring.journal.set(slot, { sequence, bytes });
        this.heap.set(bytes, at);
        requests.push({ slot, sequence, at });
        at += 16;
      }
      if (quiet) this.quiet.add(journal);
      else this.quiet.delete(journal);
      return { requests, more: ring.requests.length > 0, busy: false, status: ring.broken };
    });
    return { failed: [], put, taken };
  }
}

export type FakeRing = Ring;
