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
const LONGEST_PAUSE_MS = 5000;
/**
 * A worker in reserve has loaded its code (11 MB, 25 ms of a processor): it serves at once. There are two, so that the next end may come while another is
 * being loaded; and where workers have ended lately, one more.
 */
const RESERVE = 2;
const RESERVE_IN_TROUBLE = 3;
const TROUBLE_MS = 60_000;

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
  /** The next ones, the first of them next, whose code is loaded already. */
  readonly #reserve: Worker[] = [];
  /** The last of the reserve, or the one that serves already, while its code is being loaded. */
  #loading: Worker | undefined;
  /** When a worker ended last. */
  #trouble = -Infinity;
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
  }

  #load(): Worker {
    const worker = this.domain.prepare(this.#file);
    this.#loading = worker;
    const over = (): void => {
      if (this.#loading === worker) this.#loading = undefined;
      const place = this.#reserve.indexOf(worker);
      if (place >= 0) this.#reserve.splice(place, 1);
    };
    worker.on('error', over);
    worker.on('exit', over);
    return worker;
  }

  /** Loads what is missing of the reserve, one at a time, and after who has to serve. */
  #fill(): void {
    const wanted = performance.now() - this.#trouble < TROUBLE_MS ? RESERVE_IN_TROUBLE : RESERVE;
    if (this.#stopping || this.#loading || this.#reserve.length >= wanted) return;
    const next = this.#load();
    this.#reserve.push(next);
    next.once('message', () => this.#loaded(next));
  }

  #loaded(worker: Worker): void {
    if (this.#loading !== worker) return;
    this.#loading = undefined;
    if (!this.#restoring) this.#fill();
  }

  #start(): void {
    this.started = performance.now();
    const worker = this.#reserve.shift() ?? this.#load();
    this.#worker = worker;
    this.domain.start(worker, this.#heap, (error, gone) => this.#ended(error, gone));
    worker.on('message', (message: object) => {
      if ('loaded' in message) this.#loaded(worker);
      else this.#heard(message);
    });
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
    void this.#worker.terminate();
    await Promise.all([ended, ...this.#reserve.splice(0).map((each) => each.terminate())]);
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

  #ended(error: Error | undefined, gone: Promise<void>): void {
    if (this.#stopping) return void gone.then(this.#stopping);
    this.#trouble = performance.now();
    if (!this.#restoring && this.#asked === 0) this.#down = this.#trouble;
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
    this.#fill();
    // What was asked for meanwhile has a number of its own already, and waits in the same table.
    for (const [call, waiting] of due) this.#waiting.set(call, waiting);
    for (const [call, { order }] of this.#waiting) worker.postMessage({ ...order, call });
  }
}
