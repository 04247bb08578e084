/**
 * A request's body as it comes. A client that does not know how much it will send claims a length that nobody has and cuts the
 * connection when it is done, so the end of a connection is an end of the body, and what had come before must not be lost with it:
 * the bytes wait here, not in the request, which drops its own when it is cut; and the socket is held, not the request.
 */
import type { IncomingMessage } from 'node:http';

/** So much waits for a slow reader before the sender is held up. */
const HIGH = 1 << 20;
/** Whoever sends nothing for so long is left. */
export const STALLED_MS = 60_000;
/** What no disk has: a length that only says that there is one (npm's xen-api claims 2^50). */
const CLAIMED = 2 ** 46;

export class Upload {
  readonly #request: IncomingMessage;
  readonly #stalled: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #ended = false;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The connection ended in the middle of what was announced. */
  cut = false;
  received = 0;

  constructor(request: IncomingMessage, stalled = STALLED_MS) {
    this.#request = request;
    this.#stalled = stalled;
    const end = (cut: boolean) => {
      if (this.#ended) return;
      this.#ended = true;
      this.cut = cut;
      clearTimeout(this.#timer);
      this.#wake?.();
    };
    request.on('end', () => end(false));
    request.on('error', () => end(true));
    request.on('close', () => end(!request.complete));
  }

  /** Bytes that will come, if that is known. */
  get length(): number | undefined {
    const text = this.#request.headers['content-length'];
    const length = text === undefined ? undefined : Number(text);
    return length === undefined || length >= CLAIMED ? undefined : length;
  }

  /** The client claims a length that is none: it waits for an answer's head before it ends. */
  get endless(): boolean {
    return this.#request.headers['content-length'] !== undefined && this.length === undefined;
  }

  #begun = false;
  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const { socket } = this.#request;
    this.#request.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.received += chunk.length;
      if (this.#length >= HIGH) socket.pause();
      this.#watch();
      this.#wake?.();
    });
    this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    if (!this.#ended) this.#timer = setTimeout(() => this.#request.destroy(), this.#stalled).unref();
  }

  /** The next bytes; undefined after the last. */
  async next(): Promise<Buffer | undefined> {
    this.#begin();
    while (this.#chunks.length === 0 && !this.#ended) {
      this.#request.socket.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const chunk = this.#chunks.shift();
    if (chunk) this.#length -= chunk.length;
    return chunk;
  }

  /** Whether nothing comes at all; waits until that is known. */
  async empty(): Promise<boolean> {
    const first = await this.next();
    if (!first) return true;
    this.#chunks.unshift(first);
    this.#length += first.length;
    return false;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (let chunk = await this.next(); chunk; chunk = await this.next()) yield chunk;
  }

  /** Nobody reads what still comes: a little of it is taken so that the client sees its answer, then the connection ends. */
  async drain(limit = HIGH): Promise<void> {
    const from = this.received;
    while (this.received - from < limit && (await this.next()));
    if (!this.#ended) this.#request.destroy();
  }
}
