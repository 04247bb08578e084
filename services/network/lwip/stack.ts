// A TCP stack in WebAssembly: lwIP behind glue.c. IP packets go in and come out; connections have numbers. An instance has
// its own bounded memory, so one guest's connections can neither reach nor starve another's.
import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Connection numbers are below it. */
export const CONNECTIONS = 4096;
/** Most bytes of one write. */
const STAGE = 131072;
/** Bytes of all connections together that the peers have not acknowledged: half of the memory that an instance may have. */
const MOST_OUT = 32 << 20;
const TICK_MS = 100;
const SLOW_MS = 2 * TICK_MS;

export interface StackEvents {
  /** A packet leaves, its checksums blank; `segment` is 0, or the size of the segments that it stands for. The bytes are
   * the instance's: they are gone with the call. */
  output(packet: Uint8Array, segment: number): void;
  opened(id: number): void;
  /** Bytes have come, which are gone with the call; none is the end of what comes. */
  received(id: number, bytes: Uint8Array | undefined): void;
  /** The peer has acknowledged so many bytes. */
  sent(id: number, length: number): void;
  /** The connection is over: 0 after an orderly end, else an error of lwIP's (a reset, no memory, no answer). */
  gone(id: number, error: number): void;
}

export interface StackOptions {
  mtu?: number;
  /** Whether packets may leave that stand for several segments. */
  largeV4?: boolean;
  largeV6?: boolean;
}

interface Exports {
  memory: WebAssembly.Memory;
  start(mtu: number, large: number): number;
  stage(): number;
  set_large(large: number): void;
  room(length: number): number;
  input(at: number, id: number): void;
  flush(): void;
  connect(id: number, version: number, from: number, to: number): number;
  writable(id: number): number;
  write(id: number, length: number): number;
  push(id: number): void;
  consumed(id: number, length: number): void;
  finish(id: number): void;
  abort(id: number): void;
  tick(missed: number): number;
}

let compiled: WebAssembly.Module | undefined;
const lwip = (): WebAssembly.Module =>
  (compiled ??= new WebAssembly.Module(readFileSync(join(import.meta.dirname, 'lwip.wasm'))));

const largeBits = (options: StackOptions): number => (options.largeV4 ? 1 : 0) | (options.largeV6 ? 2 : 0);

export class Stack {
  readonly #lwip: Exports;
  readonly #stage: number;
  readonly #random = new Uint32Array(16);
  #randomLeft = 0;
  #memory: Uint8Array;
  #timer: NodeJS.Timeout | undefined;
  #ticked = 0;
  /** Bytes of each connection that are out, and of all. */
  readonly #out: number[] = [];
  #allOut = 0;
  /** Connections with new bytes, which go when this turn of the loop is over: together. */
  readonly #dirty = new Set<number>();
  #closed = false;

  constructor(events: StackEvents, options: StackOptions = {}) {
    const at = (pointer: number, length: number) => this.#bytes().subarray(pointer >>> 0, (pointer >>> 0) + length);
    const host = {
      random: () => this.#word(),
      timer: () => this.#arm(),
      output: (pointer: number, length: number, segment: number) => events.output(at(pointer, length), segment),
      opened: (id: number) => events.opened(id),
      received: (id: number, pointer: number, length: number) =>
        events.received(id, length === 0 ? undefined : at(pointer, length)),
      sent: (id: number, length: number) => {
        this.#acknowledged(id, length);
        events.sent(id, length);
      },
      gone: (id: number, error: number) => {
        this.#acknowledged(id, this.#out[id] ?? 0);
        events.gone(id, error);
      },
    };
    this.#lwip = new WebAssembly.Instance(lwip(), { host }).exports as unknown as Exports;
    this.#memory = new Uint8Array(this.#lwip.memory.buffer);
    if (this.#lwip.start(options.mtu ?? 1500, largeBits(options)) !== 0)
      throw new Error('the TCP stack does not start');
    this.#stage = this.#lwip.stage() >>> 0;
  }

  #bytes(): Uint8Array {
    if (this.#memory.buffer !== this.#lwip.memory.buffer) this.#memory = new Uint8Array(this.#lwip.memory.buffer);
    return this.#memory;
  }

  #word(): number {
    if (this.#randomLeft === 0) this.#randomLeft = randomFillSync(this.#random).length;
    return this.#random[--this.#randomLeft]!;
  }

  /** The clock goes while a connection waits for something, and stands still otherwise. */
  #arm(): void {
    if (this.#timer || this.#closed) return;
    const stood = this.#ticked === 0 ? 0 : Math.floor((performance.now() - this.#ticked) / SLOW_MS);
    const tick = (missed: number) => {
      this.#ticked = performance.now();
      const goesOn = this.#lwip.tick(missed) !== 0;
      this.#timer = goesOn ? setTimeout(tick, TICK_MS, 0) : undefined;
    };
    this.#timer = setTimeout(tick, TICK_MS, stood);
  }

  set large(options: StackOptions) {
    this.#lwip.set_large(largeBits(options));
  }

  /** A TCP packet comes in whose lengths and checksum have been checked; `tcp` is where its TCP header begins. If it is
   * a SYN for which there is no connection it opens the one with the number `id`. */
  input(packet: Uint8Array, tcp: number, id = CONNECTIONS): void {
    const room = this.#lwip.room(packet.length) >>> 0;
    if (room === 0) return; // no memory: it is lost, and TCP sends it again
    this.#bytes().set(packet, room);
    this.#lwip.input(tcp, id);
    this.#arm();
  }

  /** Acknowledges what has come: after each batch of packets. */
  flush(): void {
    this.#lwip.flush();
  }

  /** Opens a connection; addresses of 4 or 16 bytes. Gives lwIP's error, 0 if a SYN is on its way. */
  connect(id: number, from: Uint8Array, fromPort: number, to: Uint8Array, toPort: number): number {
    this.#bytes().set(from, this.#stage);
    this.#bytes().set(to, this.#stage + 16);
    this.#arm();
    return this.#lwip.connect(id, from.length === 4 ? 4 : 6, fromPort, toPort);
  }

  #acknowledged(id: number, length: number): void {
    this.#out[id] = (this.#out[id] ?? 0) - length;
    this.#allOut -= length;
  }

  /** Bytes of a connection that its peer has not acknowledged. */
  unacknowledged(id: number): number {
    return this.#out[id] ?? 0;
  }

  /** How many bytes fit. More do after `sent`: of this connection, or of another if it has none out. */
  writable(id: number): number {
    return Math.max(0, Math.min(this.#lwip.writable(id) >>> 0, MOST_OUT - this.#allOut));
  }

  /** Sends what fits; gives how many bytes that is. */
  write(id: number, bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length) {
      const fits = Math.min(this.writable(id), bytes.length - done, STAGE);
      if (fits === 0) break;
      this.#bytes().set(bytes.subarray(done, done + fits), this.#stage);
      const taken = this.#lwip.write(id, fits);
      if (taken <= 0) break;
      done += taken;
      this.#out[id] = (this.#out[id] ?? 0) + taken;
      this.#allOut += taken;
    }
    if (done > 0) this.#push(id);
    return done;
  }

  #push(id: number): void {
    if (this.#dirty.size === 0) setImmediate(() => this.#pushAll());
    this.#dirty.add(id);
  }

  #pushAll(): void {
    const ids = [...this.#dirty];
    this.#dirty.clear();
    if (this.#closed) return;
    for (const id of ids) this.#lwip.push(id);
    this.#arm();
  }

  /** So many bytes of `received` have gone on. */
  consumed(id: number, length: number): void {
    this.#lwip.consumed(id, length);
  }

  /** Nothing more will be written. */
  finish(id: number): void {
    this.#lwip.finish(id);
    this.#arm();
  }

  /** Resets the connection; no event follows. */
  abort(id: number): void {
    this.#acknowledged(id, this.#out[id] ?? 0);
    this.#lwip.abort(id);
  }

  /** Bytes that the instance has. */
  get memory(): number {
    return this.#lwip.memory.buffer.byteLength;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#closed = true;
  }
}
