// What comes over a socket, in the pieces that are asked for: no bytes are copied together that are wanted as a list.
import type { Socket } from 'node:net';

/** Bytes that may wait before the sender is held up. */
const HIGH = 1 << 20;

export class Receiver {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #length = 0;
  #wanted = 0;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#heard);
    const end = (): void => this.stop();
    socket.on('end', end).on('close', end).on('error', end);
  }

  readonly #heard = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length >= HIGH && this.#length >= this.#wanted) this.#socket.pause();
    if (this.#length >= this.#wanted) this.#wake?.();
  };

  /** Somebody else reads on; what has come already is not his. */
  detach(): void {
    this.#socket.off('data', this.#heard);
    this.#socket.pause();
    this.stop();
  }

  /** Takes no more. */
  stop(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** So many bytes as the buffers they came in; undefined: the sender has gone. */
  async take(length: number): Promise<Buffer[] | undefined> {
    this.#wanted = length;
    while (this.#length < length) {
      if (this.#ended) return undefined;
      this.#socket.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const taken: Buffer[] = [];
    this.#length -= length;
    while (length > 0) {
      const first = this.#chunks[0]!;
      if (first.length <= length) {
        taken.push(first);
        this.#chunks.shift();
        length -= first.length;
      } else {
        taken.push(first.subarray(0, length));
        this.#chunks[0] = first.subarray(length);
        length = 0;
      }
    }
    return taken;
  }

  async bytes(length: number): Promise<Buffer | undefined> {
    const taken = await this.take(length);
    if (!taken) return undefined;
    return taken.length === 1 ? taken[0] : Buffer.concat(taken);
  }
}
