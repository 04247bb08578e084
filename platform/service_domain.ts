// A service domain whose code is a worker thread, from the side that starts it. The domain outlives the worker: its mappings, ports and memory
// stay, and a new worker goes on with them.
import { fileURLToPath } from 'node:url';
import { Worker, type MessagePort } from 'node:worker_threads';
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

  add(memory: WebAssembly.Memory, domid: number): number {
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

/** The first message to a worker: it begins to serve. Until then it has loaded its code and waits. */
export interface Begin {
  begin: BoxData;
}

/** A worker's own first message. */
export interface Loaded {
  loaded: true;
}

/** In the worker: calls `main` once it is to serve. */
export function whenBegun(port: MessagePort, main: (box: BoxData) => void): void {
  port.once('message', ({ begin }: Begin) => main(begin));
  port.postMessage({ loaded: true } satisfies Loaded);
}

const LOADER = new URL('./worker_loader.cjs', import.meta.url);
/** Bundles, and what V8 has compiled of them. */
const BUNDLES = fileURLToPath(new URL('../build/cache/workers', import.meta.url));
/** Far more than a service needs; V8 sets aside less for a heap that is bounded. */
const HEAP_MB = 256;

export class ServiceDomain {
  readonly domid: number;
  /** Calls as this domain for who set it up; the worker has a box of its own. */
  readonly mailbox: Box;
  readonly #gate: Gate;
  readonly #slot: number;
  readonly #pages: number;
  /** Of boxes of workers that have ended, once the gate has nothing to do with them any more. */
  readonly #free: WebAssembly.Memory[] = [];

  constructor(gate: Gate, domid: number, slot: number, pages: number) {
    this.domid = domid;
    this.#gate = gate;
    this.#slot = slot;
    this.#pages = pages;
    this.mailbox = new Box(this.#box(newBox(WINDOW_SIZE)));
  }

  /** A new end of a box. */
  #box(memory: WebAssembly.Memory): BoxData {
    const id = this.#gate.add(memory, this.domid);
    return { memory, id, bells: this.#gate.bells, domid: this.domid, slot: this.#slot, ram: this.#pages * 4096 };
  }

  /** A worker that loads its code and waits: who starts it serves at once. */
  prepare(file: URL): Worker {
    const name = `domain-${this.domid}`;
    return new Worker(LOADER, {
      workerData: { file: file.href, name, folder: BUNDLES },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
  }

  /**
   * Has a worker serve, with a box of `heap` bytes, the same for all of this domain's. `ended` is called when its thread has ended; what it had posted last may be carried out until
   * `gone` resolves, but not once a box that is made after `ended` is served: the gate hears of both in this order.
   */
  start(worker: Worker, heap: number, ended: (error: Error | undefined, gone: Promise<void>) => void): void {
    const memory = this.#free.pop() ?? newBox(heap);
    const box = this.#box(memory);
    let failure: Error | undefined;
    worker.on('error', (error) => (failure = error as Error));
    worker.on('exit', () => {
      const gone = this.#gate.remove(box.id).then(() => void this.#free.push(memory));
      ended(failure, gone);
    });
    worker.postMessage({ begin: box } satisfies Begin);
  }
}
