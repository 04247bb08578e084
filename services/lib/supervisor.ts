// Keeps a service's worker alive: orders are answered or, if the worker ends meanwhile, given to the next one, once that has been told what
// its predecessor knew.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import type { ServiceDomain } from '../../platform/service_domain.ts';

/** What a worker answered that an order cannot be carried out. */
export class OrderError extends Error {
  readonly kind: string;
  constructor({ message, kind }: { message: string; kind: string }) {
    super(message);
    this.kind = kind;
  }
}

interface Waiting<O, R> {
  order: O;
  resolve: (result: R) => void;
  reject: (error: Error) => void;
}

export interface SupervisedBy<O, R> {
  /** Tells a new worker what the last one knew. */
  restore(call: (order: O) => Promise<R>): Promise<void>;
  /** Whatever a worker says that is no answer. */
  heard(message: object): void;
  log(text: string): void;
}

/** A worker that ends again so soon after its start is started again after a pause, which grows. */
const SOON_MS = 2000;
const FIRST_PAUSE_MS = 100;
/** After a start the next worker is got ready. */
const STANDBY_MS = 100;
const LONGEST_PAUSE_MS = 5000;

export class Supervisor<O extends object, R> {
  readonly name: string;
  readonly domain: ServiceDomain;
  /** Workers started after the first. */
  restarts = 0;
  /** Milliseconds for which nobody served, the last time. */
  gap = 0;
  started = 0;
  readonly #file: URL;
  readonly #heap: number;
  readonly #by: SupervisedBy<O, R>;
  #worker!: Worker;
  /** The next one, whose code is loaded already. */
  #standby: Worker | undefined;
  #next = 1;
  #waiting = new Map<number, Waiting<O, R>>();
  #ready: Promise<void> = Promise.resolve();
  #restoring = false;
  #down = 0;
  /** When `restart` ended the worker: its last moments are no service any more. */
  #asked = 0;
  #pause = 0;
  #stopping: (() => void) | undefined;

  constructor(name: string, domain: ServiceDomain, file: URL, heap: number, by: SupervisedBy<O, R>) {
    this.name = name;
    this.domain = domain;
    this.#file = file;
    this.#heap = heap;
    this.#by = by;
    this.#start();
    this.#prepareNext();
  }

  /** Not at once: who has just begun to serve has better things to do with the processor. */
  #prepareNext(): void {
    setTimeout(() => {
      if (this.#stopping || this.#standby) return;
      const next = this.domain.prepare(this.#file);
      this.#standby = next;
      const gone = (): void => {
        if (this.#standby === next) this.#standby = undefined;
      };
      next.on('error', gone);
      next.on('exit', gone);
    }, STANDBY_MS).unref();
  }

  #start(): void {
    this.started = performance.now();
    this.#worker = this.#standby ?? this.domain.prepare(this.#file);
    this.#standby = undefined;
    this.domain.start(this.#worker, this.#heap, (error) => this.#ended(error));
    this.#worker.on('message', (message: object) => this.#heard(message));
  }

  /** Has an order carried out; whatever becomes of workers meanwhile. */
  call(order: O): Promise<R> {
    return new Promise((resolve, reject) => {
      const call = this.#next++;
      this.#waiting.set(call, { order, resolve, reject });
      if (!this.#restoring) this.#worker.postMessage({ ...order, call });
    });
  }

  /** Ends the worker at once, in the middle of whatever it does; resolves when the next one serves. */
  async restart(): Promise<void> {
    const { restarts } = this;
    this.#asked = performance.now();
    void this.#worker.terminate();
    while (this.restarts === restarts || this.#restoring) await sleep(1);
    await this.#ready;
  }

  /** For good; however often it is asked for. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }
  #stopped: Promise<void> | undefined;

  async #stop(): Promise<void> {
    const ended = new Promise<void>((resolve) => (this.#stopping = resolve));
    const standby = this.#standby;
    this.#standby = undefined;
    void this.#worker.terminate();
    await Promise.all([ended, standby?.terminate()]);
    for (const { reject } of this.#waiting.values()) reject(new Error(`the ${this.name} service has ended`));
    this.#waiting.clear();
  }

  get alive(): boolean {
    return !this.#restoring;
  }

  #heard(message: object): void {
    const answer = message as { call?: number; result?: R; error?: { message: string; kind: string } };
    if (answer.call === undefined) return this.#by.heard(message);
    const waiting = this.#waiting.get(answer.call);
    if (!waiting) return;
    this.#waiting.delete(answer.call);
    if (answer.error) waiting.reject(new OrderError(answer.error));
    else waiting.resolve(answer.result as R);
  }

  #ended(error: Error | undefined): void {
    if (this.#stopping) return this.#stopping();
    if (!this.#restoring && this.#asked === 0) this.#down = performance.now();
    if (this.#asked > 0) [this.#down, this.#asked] = [this.#asked, 0];
    this.#restoring = true;
    this.#by.log(`the ${this.name} service has ended${error ? `: ${error.message}` : ''}; it is started again`);
    this.#pause =
      performance.now() - this.started < SOON_MS && error
        ? Math.min(LONGEST_PAUSE_MS, this.#pause * 2 || FIRST_PAUSE_MS)
        : 0;
    this.#ready = this.#again();
  }

  async #again(): Promise<void> {
    const due = this.#waiting;
    this.#waiting = new Map();
    if (this.#pause > 0) await sleep(this.#pause);
    if (this.#stopping) return this.#stopping();
    this.#start();
    const worker = this.#worker;
    await this.#by.restore((order) => {
      return new Promise((resolve, reject) => {
        const call = this.#next++;
        this.#waiting.set(call, { order, resolve, reject });
        worker.postMessage({ ...order, call });
      });
    });
    if (worker !== this.#worker) return;
    this.#restoring = false;
    this.restarts++;
    this.gap = performance.now() - this.#down;
    this.#prepareNext();
    // What was asked for meanwhile has a number of its own already, and waits in the same table.
    for (const [call, waiting] of due) this.#waiting.set(call, waiting);
    for (const [call, { order }] of this.#waiting) worker.postMessage({ ...order, call });
  }
}
