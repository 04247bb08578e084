// The gate: the thread that carries out service workers' calls. They have no machine memory; it has, and copies between their boxes and their
// mailboxes. A worker may end at any moment, also in the middle of a call: the call is finished all the same, under the host's lock.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { BOX, CALL, CALLS_AT, GATE_BELL, HEAP_AT, IDLE, OP, RANGE, RANGES_AT, WINDOW_SIZE } from './box.ts';
import { clockSince, instantiate, type Core } from './core.ts';
import { copier, type Copier } from './gate_copy.ts';

export interface GateData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  clockBase: bigint;
  bells: SharedArrayBuffer;
}

/** Boxes come and go in the order of these: once one is gone, nothing of what it had posted is carried out any more. */
export type GateMessage =
  | { add: number; memory: WebAssembly.Memory; domid: number }
  | { remove: number; done: SharedArrayBuffer };

const MAILBOX_CALL = 64;

/** One end of a box, at the mailbox of its service. */
class Served {
  readonly #core: Core;
  readonly #id: number;
  readonly #domid: number;
  readonly #words: Int32Array;
  readonly #box: Uint8Array;
  readonly #view: DataView;
  readonly #mailbox: Uint8Array;
  /** The window's address in machine memory. */
  readonly #window: number;
  readonly #data: Uint8Array;
  readonly #copier: Copier;

  constructor(core: Core, machine: WebAssembly.Memory, id: number, box: WebAssembly.Memory, domid: number) {
    this.#core = core;
    this.#id = id;
    this.#domid = domid;
    this.#words = new Int32Array(box.buffer, 0, BOX.words / 4);
    this.#box = new Uint8Array(box.buffer);
    this.#view = new DataView(box.buffer, 0, HEAP_AT);
    const at = core.service_mailbox(domid) >>> 0;
    if (at === 0) throw new Error(`domain ${domid} is no service`);
    this.#mailbox = new Uint8Array(machine.buffer, at, MAILBOX_CALL);
    this.#window = at + core.service_mailbox_data();
    this.#data = new Uint8Array(machine.buffer, this.#window, WINDOW_SIZE);
    this.#copier = copier(machine, box);
  }

  /** True if there was something to do. What another end of the box has left there is not its own. */
  serve(): boolean {
    const w = this.#words;
    if (Atomics.load(w, BOX.state) !== this.#id) return false;
    const calls = Math.min(Atomics.load(w, BOX.calls) >>> 0, CALL.max);
    const ranges = Math.min(Atomics.load(w, BOX.ranges) >>> 0, RANGE.max);
    for (let range = 0; range < ranges; range++) this.#copy(range, false);
    let over = false;
    for (let call = 0; !over && call < calls; call++) {
      const at = CALLS_AT + CALL.size * call;
      if (this.#view.getUint32(at + CALL.op, true) === OP.unless) over = !this.#goesOn(at);
      else this.#call(at);
    }
    for (let range = 0; range < ranges; range++) this.#copy(range, true);
    Atomics.store(w, BOX.state, IDLE);
    Atomics.notify(w, BOX.state);
    return true;
  }

  #call(at: number): void {
    this.#mailbox.set(this.#box.subarray(at, at + CALL.size));
    const rc = this.#core.service_call(this.#domid);
    if (rc !== 0) this.#view.setBigInt64(at + CALL.result, BigInt(rc), true);
    else this.#box.set(this.#mailbox.subarray(CALL.result, CALL.size), at + CALL.result);
  }

  #goesOn(at: number): boolean {
    const v = this.#view;
    const [count, from, stride] = [v.getUint32(at + CALL.len, true), v.getUint32(at + CALL.nr, true), v.getUint32(at + CALL.args, true)]; // prettier-ignore
    let holds = stride > 0 && from + stride * count <= WINDOW_SIZE;
    for (let i = 0; holds && i < count; i++) holds = this.#data[from + stride * i]! === 0 && this.#data[from + stride * i + 1]! === 0; // prettier-ignore
    v.setBigUint64(at + CALL.result, holds ? 0n : 1n, true);
    return holds;
  }

  /** For the core, in the middle of a call of this service's: between its heap and machine memory. */
  heapCopy(ptr: number, at: number, length: number, out: number): number {
    const heap = HEAP_AT + (at >>> 0);
    if (heap + (length >>> 0) > this.#box.length) return 0;
    if (out) this.#copier.to(ptr, heap, length);
    else this.#copier.from(heap, ptr, length);
    return 1;
  }

  #copy(range: number, out: boolean): void {
    const v = this.#view;
    const at = RANGES_AT + RANGE.size * range;
    if (v.getUint32(at + RANGE.out, true) !== (out ? 1 : 0)) return;
    const window = v.getUint32(at + RANGE.window, true);
    const heap = HEAP_AT + v.getUint32(at + RANGE.heap, true);
    const len = v.getUint32(at + RANGE.len, true);
    if (window + len > WINDOW_SIZE || heap + len > this.#box.length) return;
    if (out) this.#copier.from(heap, this.#window + window, len);
    else this.#copier.to(this.#window + window, heap, len);
  }
}

function main({ module, memory, clockBase, bells: shared }: GateData): void {
  const bells = new Int32Array(shared);
  let serving: Served | undefined;
  const heapCopy = (ptr: number, heap: number, length: number, out: number): number =>
    serving?.heapCopy(ptr, heap, length, out) ?? 0;
  const core = instantiate(module, memory, clockSince(clockBase), { bells, heapCopy });
  const boxes = new Map<number, Served>();
  for (;;) {
    const seen = Atomics.load(bells, GATE_BELL);
    for (let m = receiveMessageOnPort(parentPort!); m; m = receiveMessageOnPort(parentPort!)) {
      const message = m.message as GateMessage;
      if ('add' in message)
        boxes.set(message.add, new Served(core, memory, message.add, message.memory, message.domid)); // prettier-ignore
      else {
        boxes.delete(message.remove);
        const done = new Int32Array(message.done);
        Atomics.store(done, 0, 1);
        Atomics.notify(done, 0);
      }
    }
    let busy = false;
    for (const box of boxes.values()) {
      serving = box;
      busy = box.serve() || busy;
    }
    if (!busy) Atomics.wait(bells, GATE_BELL, seen);
  }
}

if (parentPort) main(workerData as GateData);
