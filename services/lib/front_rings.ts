// Rings of front ends, as the control side sets them up in a service domain: pages mapped, port bound, journal made. They are the domain's, so
// they stay when its worker ends.
import { ERRNO } from '../../spec/abi/errno.ts';
import { XenError, type Hypercalls } from './hypercalls.ts';
import { JOURNAL_HEAD, journalSize, type RingAt } from './ring_calls.ts';
import { make } from '../../spec/abi/layout.ts';
import { service } from '../../spec/abi/structs/service.ts';

const PAGE = 4096;
/** Frames of the service's space: for each ring so many, for its pages and for its journal. */
const RINGS_AT = 0x10000;
const JOURNALS_AT = 0x20000;
const FRAMES = 64;
const PLACES = (JOURNALS_AT - RINGS_AT) / FRAMES;
/** As a ring begins: its words before the entries. */
const RSP_PROD = 8;

export interface RingShape {
  entries: number;
  entrySize: number;
  answerSize: number;
  /** Bytes behind the journal that are the worker's own, for what has to outlive it; zeros at first. */
  kept?: number;
}

export interface FrontRing {
  readonly domid: number;
  readonly port: number;
  readonly at: RingAt;
  readonly place: number;
  readonly handles: readonly number[];
  /** Its port is another ring's. */
  readonly shares: boolean;
}

export class FrontRings {
  /** Calls as the service's domain, and as domain 0, which gives it memory. */
  readonly #calls: Hypercalls;
  readonly #dom0: Hypercalls;
  readonly #ownPages: number;
  readonly #free: number[] = [];
  #next = 0;
  /** Pages that each place's journal has; they are kept for the next ring there. */
  readonly #journals: number[] = [];

  constructor(calls: Hypercalls, dom0: Hypercalls, ownPages: number) {
    this.#calls = calls;
    this.#dom0 = dom0;
    this.#ownPages = ownPages;
  }

  /** `remote` is the front end's port, or a ring that this one shares its port with, which outlives it. Throws GrantError or XenError; then nothing is left of it. */
  open(domid: number, grefs: readonly number[], remote: number | FrontRing, shape: RingShape): FrontRing {
    if (this.#free.length === 0 && this.#next === PLACES)
      throw new XenError('the service has no room for another ring', ERRNO.ENOSPC);
    const place = this.#free.pop() ?? this.#next++;
    const frame = RINGS_AT + FRAMES * place;
    const handles: number[] = [];
    let port = 0;
    try {
      grefs.forEach((gref, i) => handles.push(this.#calls.mapGrant(domid, gref, frame + i)));
      if (typeof remote === 'number') port = this.#calls.bindInterdomain(domid, remote);
      const bound = typeof remote === 'number' ? port : remote.port;
      const at = this.#journal(place, frame, bound, shape);
      return { domid, port: bound, at, place, handles, shares: typeof remote !== 'number' };
    } catch (error) {
      this.#undo(place, handles, port);
      throw error;
    }
  }

  close({ place, handles, port, shares }: FrontRing): void {
    this.#undo(place, handles, shares ? 0 : port);
  }

  #undo(place: number, handles: readonly number[], port: number): void {
    // Nothing of the guest's can make these fail.
    if (port !== 0) this.#calls.closePort(port);
    for (const handle of handles) this.#calls.unmapGrant(handle);
    this.#free.push(place);
  }

  #journal(place: number, ring: number, port: number, shape: RingShape): RingAt {
    const size = journalSize(shape.entries, shape.entrySize) + (shape.kept ?? 0);
    const first = JOURNALS_AT + FRAMES * place;
    this.#grow(place, first, Math.ceil(size / PAGE));
    const journal = first * PAGE;
    // A front end that was connected before goes on where it was; whether that can be is seen when requests are taken.
    const word = this.#calls.mailbox.read(ring * PAGE + RSP_PROD, 4);
    const start = new DataView(word.buffer, word.byteOffset).getUint32(0, true);
    const head = make(service.service_journal);
    const { view: v } = head;
    v.ring = BigInt(ring) * BigInt(PAGE);
    v.entries = shape.entries;
    v.entry_size = shape.entrySize;
    v.answer_size = shape.answerSize;
    v.port = port;
    v.req_cons = start;
    v.rsp_prod = start;
    const bytes = new Uint8Array(size);
    bytes.set(head.bytes.subarray(0, JOURNAL_HEAD));
    this.#calls.mailbox.write(journal, bytes);
    return { journal, ...shape };
  }

  #grow(place: number, first: number, pages: number): void {
    const had = this.#journals[place] ?? 0;
    if (pages <= had) return;
    this.#journals[place] = pages;
    const all = this.#journals.reduce((sum, n) => sum + (n ?? 0), this.#ownPages);
    this.#dom0.maxMemory(this.#calls.domid, all * PAGE);
    this.#dom0.populate(this.#calls.domid, first + had, pages - had);
  }
}
