// A service worker's way to the hypervisor: a box of shared memory that is no machine memory. Who has the box posts a batch of calls and
// sleeps; the gate's thread (gate.ts) carries them out and wakes it. A batch copies what its calls need between the box's heap and the window,
// the service's mailbox data, whose addresses in the service's space begin at WINDOW.
import type { Mailbox } from './mailbox.ts';

/** core/hypervisor/service.ts; `unless` is the gate's own: the batch goes on only if so many (`len`) 16-bit words of the window are 0, from `nr` on,
 * `args[0]` bytes apart. Its result is 0, or 1 if the calls behind it were left out. */
export const OP = { hypercall: 1, read: 2, write: 3, events: 4, unless: 5 } as const;
/** core/hypervisor/guest_access.ts (MAILBOX_GPA), core/shared/host.ts (MAILBOX_DATA). */
export const WINDOW = 2 ** 42;
export const WINDOW_SIZE = 0x40000;

/** The box: words, calls (each a ServiceCall of the core), ranges to be copied, heap. */
export const BOX = { state: 0, calls: 1, ranges: 2, words: 64 } as const;
export const CALL = { size: 64, max: 64, op: 0, len: 4, nr: 8, args: 16, result: 56 } as const;
/** `out`: whether it goes out of the window. */
export const RANGE = { size: 16, max: 512, heap: 0, window: 4, len: 8, out: 12 } as const;
export const CALLS_AT = BOX.words;
export const RANGES_AT = CALLS_AT + CALL.max * CALL.size;
export const HEAP_AT = RANGES_AT + RANGE.max * RANGE.size;

/** The state word: IDLE, or the number of the box's end that has posted, which is no other end's. */
export const IDLE = 0;

/** What the gate and all boxes share: a word that wakes the gate, one for each service's events. */
export const BELLS = 1 + 16;
export const GATE_BELL = 0;
export const bellOf = (slot: number): number => 1 + slot;

/** The gate answers within microseconds; only one that is gone takes so long. */
const GONE_MS = 30_000;
const PAGE = 4096;

export interface BoxData {
  memory: WebAssembly.Memory;
  /** This end's number. */
  id: number;
  bells: SharedArrayBuffer;
  domid: number;
  slot: number;
  /** Bytes of RAM that the service has, from address 0. */
  ram: number;
}

/** A memory of WebAssembly's, since the gate copies with its instructions (gate_copy.ts). */
export function newBox(heap: number): WebAssembly.Memory {
  const pages = Math.ceil((HEAP_AT + heap) / 0x10000);
  return new WebAssembly.Memory({ shared: true, initial: pages, maximum: pages });
}

/** The end that posts. */
export class Box implements Mailbox {
  readonly domid: number;
  readonly ram: { gpa: number; size: number };
  /** Bytes for what calls take and give: the caller's to divide. */
  readonly heap: Uint8Array;
  readonly heapView: DataView;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #bells: Int32Array;
  readonly #bell: number;
  readonly #id: number;
  #calls = 0;
  #ranges = 0;

  constructor({ memory: { buffer }, id, bells, domid, slot, ram }: BoxData) {
    this.domid = domid;
    this.ram = { gpa: 0, size: ram };
    this.#id = id;
    this.#words = new Int32Array(buffer, 0, BOX.words / 4);
    this.#view = new DataView(buffer, 0, HEAP_AT);
    this.heap = new Uint8Array(buffer, HEAP_AT);
    this.heapView = new DataView(buffer, HEAP_AT);
    this.#bells = new Int32Array(bells);
    this.#bell = bellOf(slot);
  }

  // ---- batches

  /** Adds a call to the batch; its number there. */
  add(op: number, len: number, nr: number, ...args: (number | bigint)[]): number {
    if (this.#calls === CALL.max) throw new RangeError('too many calls in a batch');
    const at = CALLS_AT + CALL.size * this.#calls;
    const v = this.#view;
    v.setUint32(at + CALL.op, op, true);
    v.setUint32(at + CALL.len, len, true);
    v.setUint32(at + CALL.nr, nr, true);
    for (let i = 0; i < 5; i++) {
      const arg = args[i] ?? 0;
      const place = at + CALL.args + 8 * i;
      if (typeof arg === 'number' && arg >= 0) {
        v.setUint32(place, arg, true);
        v.setUint32(place + 4, Math.floor(arg / 2 ** 32), true);
      } else v.setBigUint64(place, BigInt.asUintN(64, BigInt(arg)), true);
    }
    return this.#calls++;
  }

  /** Before the batch's calls, bytes of the heap are copied into the window; or after them back (`out`). */
  copy(heap: number, window: number, len: number, out: boolean): void {
    if (this.#ranges === RANGE.max) throw new RangeError('too many ranges in a batch');
    const at = RANGES_AT + RANGE.size * this.#ranges++;
    const v = this.#view;
    v.setUint32(at + RANGE.heap, heap, true);
    v.setUint32(at + RANGE.window, window, true);
    v.setUint32(at + RANGE.len, len, true);
    v.setUint32(at + RANGE.out, out ? 1 : 0, true);
  }

  /** Has the batch carried out, and begins a new one. */
  go(): void {
    const w = this.#words;
    Atomics.store(w, BOX.calls, this.#calls);
    Atomics.store(w, BOX.ranges, this.#ranges);
    this.#calls = this.#ranges = 0;
    Atomics.store(w, BOX.state, this.#id);
    Atomics.add(this.#bells, GATE_BELL, 1);
    Atomics.notify(this.#bells, GATE_BELL);
    while (Atomics.load(w, BOX.state) === this.#id)
      if (Atomics.wait(w, BOX.state, this.#id, GONE_MS) === 'timed-out') throw new Error('the gate does not answer');
  }

  /** What a call of the last batch gave. */
  result(call: number): number {
    const at = CALLS_AT + CALL.size * call + CALL.result;
    return this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }

  // ---- events

  get bell(): number {
    return Atomics.load(this.#bells, this.#bell);
  }

  /** Wakes whoever waits for this service's events. */
  ring(): void {
    Atomics.add(this.#bells, this.#bell, 1);
    Atomics.notify(this.#bells, this.#bell);
  }

  /** Resolves when the bell no longer shows `seen`. */
  async rung(seen: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#bells, this.#bell, seen);
    if (wait.async) await wait.value;
  }

  /** Calls `work` now and whenever the bell has rung. */
  async listen(work: () => void): Promise<never> {
    for (;;) {
      const seen = this.bell;
      work();
      await this.rung(seen);
    }
  }

  // ---- one call at a time, as other services have it

  hypercall(nr: number, ...args: (number | bigint)[]): bigint {
    this.add(OP.hypercall, 0, nr, ...args);
    this.go();
    return this.#view.getBigInt64(CALLS_AT + CALL.result, true);
  }

  read(gpa: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.#move(gpa, length, (at, n, done) => {
      this.add(OP.read, n, 0, at);
      this.copy(0, 0, n, true);
      this.go();
      out.set(this.heap.subarray(0, n), done);
    });
    return out;
  }

  write(gpa: number, bytes: Uint8Array): void {
    this.#move(gpa, bytes.length, (at, n, done) => {
      this.heap.set(bytes.subarray(done, done + n));
      this.copy(0, 0, n, false);
      this.add(OP.write, n, 0, at);
      this.go();
    });
  }

  #move(gpa: number, length: number, part: (at: number, n: number, done: number) => void): void {
    const room = Math.min(WINDOW_SIZE, this.heap.length);
    for (let done = 0, n = 0; done < length; done += n) {
      n = Math.min(room, length - done);
      part(gpa + done, n, done);
      if (this.result(0) !== 0) throw new RangeError(`nothing is mapped at ${gpa + done}`);
    }
  }

  /** Ports with events since the last call. */
  takeEvents(): number[] {
    this.add(OP.events, PAGE, 0);
    this.copy(0, 0, PAGE, true);
    this.go();
    return Array.from({ length: this.result(0) }, (_, i) => this.heapView.getUint32(4 * i, true));
  }
}
