// A service domain whose code is a worker thread, from the side that starts it. The domain outlives the worker: its mappings, ports and memory
// stay, and a new worker goes on with them.
import { Worker } from 'node:worker_threads';
import { Box, newBox, GATE_BELL, WINDOW_SIZE, type BoxData } from './box.ts';
import type { GateMessage } from './gate.ts';

/** The gate's thread, as it is told of boxes. */
export class Gate {
  readonly #worker: Worker;
  readonly bells: SharedArrayBuffer;
  readonly #words: Int32Array;
  #next = 1;

  constructor(worker: Worker, bells: SharedArrayBuffer) {
    this.#worker = worker;
    this.bells = bells;
    this.#words = new Int32Array(bells);
  }

  add(memory: SharedArrayBuffer, domid: number): number {
    this.#tell({ add: this.#next, memory, domid });
    return this.#next++;
  }

  /** Resolves when nothing of the box is served any more. */
  async remove(box: number): Promise<void> {
    const done = new SharedArrayBuffer(4);
    this.#tell({ remove: box, done });
    const wait = Atomics.waitAsync(new Int32Array(done), 0, 0);
    if (wait.async) await wait.value;
  }

  #tell(message: GateMessage): void {
    this.#worker.postMessage(message);
    Atomics.add(this.#words, GATE_BELL, 1);
    Atomics.notify(this.#words, GATE_BELL);
  }
}

/** What a service worker is started with, beside what its starter adds. */
export interface ServiceData<T> {
  box: BoxData;
  own: T;
}

export class ServiceDomain {
  readonly domid: number;
  /** Calls as this domain for who set it up; the worker has a box of its own. */
  readonly mailbox: Box;
  readonly #gate: Gate;
  readonly #slot: number;
  readonly #pages: number;

  constructor(gate: Gate, domid: number, slot: number, pages: number) {
    this.domid = domid;
    this.#gate = gate;
    this.#slot = slot;
    this.#pages = pages;
    const { box } = this.#box(WINDOW_SIZE);
    this.mailbox = new Box(box);
  }

  #box(heap: number): { box: BoxData; id: number } {
    const memory = newBox(heap);
    const id = this.#gate.add(memory, this.domid);
    return {
      box: { memory, bells: this.#gate.bells, domid: this.domid, slot: this.#slot, ram: this.#pages * 4096 },
      id,
    };
  }

  /** Starts a worker with a box of `heap` bytes. `ended` is called once nothing of it can have an effect any more. */
  start<T>(file: URL, heap: number, own: T, ended: (error: Error | undefined) => void): Worker {
    const { box, id } = this.#box(heap);
    const data: ServiceData<T> = { box, own };
    const worker = new Worker(file, { workerData: data });
    let failure: Error | undefined;
    worker.on('error', (error) => (failure = error as Error));
    worker.on('exit', () => void this.#gate.remove(id).then(() => ended(failure)));
    return worker;
  }
}
