// The console back end: carries bytes between a guest's console ring and whoever reads and types, with limits both ways.
import type { ByteRing, RingPage } from '../../lib/ring_page.ts';
import { CONSOLE_RING, consoleRings } from '../protocol/ring.ts';

/** Where output goes. `write` answers false when it wants no more until the owner calls `resume()`; it keeps what it got. */
export interface ConsoleSink {
  write(bytes: Uint8Array): boolean | void;
}

export interface ConsoleOptions {
  page: RingPage;
  sink?: ConsoleSink;
  /** Asks for a later pump(): there is input, or output is wanted again. */
  schedule?: () => void;
  /** Bytes of output kept for whoever comes later. */
  scrollback?: number;
  /** Bytes of input kept for a guest that does not read. */
  inputLimit?: number;
}

const DEFAULT_SCROLLBACK = 1048576;
const DEFAULT_INPUT_LIMIT = 64 * 1024;
/** Bytes one pump takes from a guest that keeps producing, before others get their turn. */
const PUMP_LIMIT = 64 * 1024;

/** The last `limit` bytes written, in a circular buffer that grows up to that size. */
export class Scrollback {
  readonly #limit: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #start = 0;
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(bytes: Uint8Array): void {
    const tail = bytes.subarray(Math.max(0, bytes.length - this.#limit));
    if (tail.length === 0) return;
    this.#reserve(this.#length + tail.length);
    const size = this.#buffer.length;
    const end = (this.#start + this.#length) % size;
    const first = Math.min(tail.length, size - end);
    this.#buffer.set(tail.subarray(0, first), end);
    this.#buffer.set(tail.subarray(first), 0);
    const excess = Math.max(0, this.#length + tail.length - size);
    this.#start = (this.#start + excess) % size;
    this.#length += tail.length - excess;
  }

  bytes(): Uint8Array {
    const end = this.#start + this.#length;
    const wrapped = Math.max(0, end - this.#buffer.length);
    const parts = [this.#buffer.subarray(this.#start, end), this.#buffer.subarray(0, wrapped)];
    return new Uint8Array(Buffer.concat(parts));
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length || this.#buffer.length === this.#limit) return;
    const grown = new Uint8Array(Math.min(this.#limit, Math.max(length, 2 * this.#buffer.length, 1024)));
    grown.set(this.bytes());
    [this.#buffer, this.#start] = [grown, 0];
  }
}

export class ConsoleBackend {
  readonly #page: RingPage;
  readonly #input: ByteRing;
  readonly #output: ByteRing;
  readonly #sink: ConsoleSink | undefined;
  readonly #schedule: (() => void) | undefined;
  readonly #scrollback: Scrollback;
  readonly #inputLimit: number;
  #typed: Uint8Array = new Uint8Array(0);
  #paused = false;
  #more = false;
  /** Times the guest's indexes were impossible; that direction stands still until they make sense again. */
  badIndexes = 0;
  /** Bytes of output seen. */
  written = 0;

  constructor(options: ConsoleOptions) {
    this.#page = options.page;
    const rings = consoleRings(options.page);
    [this.#input, this.#output] = [rings.input, rings.output];
    this.#sink = options.sink;
    this.#schedule = options.schedule;
    this.#scrollback = new Scrollback(options.scrollback ?? DEFAULT_SCROLLBACK);
    this.#inputLimit = options.inputLimit ?? DEFAULT_INPUT_LIMIT;
    this.#page.storeU32(CONSOLE_RING.CONNECTION, 0);
  }

  /** Whether the last pump stopped with output left that no event of the guest will announce again. */
  get again(): boolean {
    return this.#more;
  }

  scrollback(): Uint8Array {
    return this.#scrollback.bytes();
  }

  /** Room for typed bytes now. */
  get inputSpace(): number {
    return this.#inputLimit - this.#typed.length;
  }

  /** Queues what somebody typed and returns how much of it there was room for. */
  onInput(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.inputSpace);
    if (part.length === 0) return 0;
    this.#typed = new Uint8Array(Buffer.concat([this.#typed, part]));
    this.#schedule?.();
    return part.length;
  }

  /** The sink wants output again. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#schedule?.();
  }

  /** Moves what can be moved in both directions; true if the guest is to be notified. */
  pump(): boolean {
    const typed = this.#pumpInput();
    const shown = this.#pumpOutput();
    return typed || shown;
  }

  #pumpInput(): boolean {
    if (this.#typed.length === 0) return false;
    const put = this.#input.put(this.#typed);
    if (put === undefined) this.badIndexes++;
    if (!put) return false;
    this.#typed = this.#typed.slice(put);
    return true;
  }

  #pumpOutput(): boolean {
    let taken = 0;
    while (!this.#paused && taken < PUMP_LIMIT) {
      const bytes = this.#output.take(CONSOLE_RING.OUT_SIZE);
      if (!bytes) this.badIndexes++;
      if (!bytes || bytes.length === 0) break;
      taken += bytes.length;
      this.written += bytes.length;
      this.#scrollback.push(bytes);
      if (this.#sink?.write(bytes) === false) this.#paused = true;
    }
    this.#more = taken >= PUMP_LIMIT && !this.#paused;
    return taken > 0;
  }
}
