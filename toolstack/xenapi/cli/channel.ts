/** One end of a connection of the thin-CLI protocol: frames over a socket, read only when asked for. */
import type { Duplex } from 'node:stream';
import {
  decode,
  encode,
  frameLength,
  greeting,
  GREETING_LENGTH,
  MAX_FRAME,
  ProtocolError,
  readGreeting,
  type Message,
} from './protocol.ts';

/** Whoever does not read for so long is left. */
const STALLED_MS = 60_000;

/** The other side has gone. */
export class Gone extends Error {
  /** What came of what was waited for. */
  readonly rest: Buffer;
  constructor(rest: Buffer = Buffer.alloc(0)) {
    super('the connection has ended');
    this.rest = rest;
  }
}

export class Channel {
  readonly #socket: Duplex;
  /** No frame that comes is longer. */
  readonly #limit: number;
  #ended = false;
  #wake: () => void = () => {};

  /** `first`: what has been read of the socket already. */
  constructor(socket: Duplex, limit = MAX_FRAME, first?: Buffer) {
    this.#socket = socket;
    this.#limit = limit;
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    for (const event of ['end', 'close', 'error']) socket.on(event, end);
    socket.on('readable', () => {
      // An end is told only to who reads on.
      if (socket.readableLength === 0) socket.read();
      this.#wake();
    });
    if (first && first.length > 0) socket.unshift(first);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** So many bytes. `milliseconds`: how long it may take. */
  async read(length: number, milliseconds = Infinity): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = length;
    let late = false;
    const stop = (): void => {
      late = true;
      this.#wake();
    };
    const timer = milliseconds === Infinity ? undefined : setTimeout(stop, milliseconds);
    try {
      while (missing > 0) {
        // What is there, as long as it is no more than is wanted.
        const have = this.#socket.readableLength;
        const part = have > 0 ? (this.#socket.read(Math.min(have, missing)) as Buffer | null) : null;
        if (part) {
          parts.push(part);
          missing -= part.length;
          continue;
        }
        if (late) throw new ProtocolError('the other side takes too long');
        if (this.#ended) throw new Gone(Buffer.concat(parts));
        // A stream that has nothing fetches more only when it is asked.
        this.#socket.read(0);
        if (this.#socket.readableLength === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      return Buffer.concat(parts);
    } finally {
      clearTimeout(timer);
    }
  }

  async next(milliseconds = Infinity): Promise<Message> {
    const length = frameLength(await this.read(4, milliseconds), this.#limit);
    return decode(await this.read(length, milliseconds));
  }

  async greeted(milliseconds = Infinity): Promise<{ major: number; minor: number }> {
    return readGreeting(await this.read(GREETING_LENGTH, milliseconds));
  }

  greet(): Promise<void> {
    return this.write(greeting());
  }

  send(message: Message): Promise<void> {
    return this.write(encode(message));
  }

  /** Until there is room for more. */
  async write(bytes: Buffer): Promise<void> {
    if (this.#ended || this.#socket.destroyed) throw new Gone();
    if (this.#socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#socket.off('drain', end);
        this.#socket.off('close', end);
        resolve();
      };
      const timer = setTimeout(() => this.#socket.destroy(), STALLED_MS);
      this.#socket.on('drain', end);
      this.#socket.on('close', end);
    });
    if (this.#socket.destroyed) throw new Gone();
  }

  /** After everything has been sent. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      const timer = setTimeout(() => this.#socket.destroy(), STALLED_MS);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      // What the other side still says is of no interest any more, and must not keep its end from being seen.
      this.#socket.end();
      this.#socket.resume();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
