/**
 * How many connections there are at a time. Whoever has one and asks for nothing, or is slow with it, makes room for others when there
 * are too many; work that goes on is not cut for somebody new.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** A TLS socket has its connection's address and port; a unix socket has none, and is the connection. */
const keyOf = (socket: Socket): unknown =>
  socket.remotePort === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`;

export class Connections {
  readonly #most: number;
  readonly #all = new Map<unknown, Socket>();
  /** Those of whom nothing is known that is worth waiting for; the longest first. */
  readonly #quiet = new Set<unknown>();

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#all.size;
  }

  enter(socket: Socket): void {
    const key = keyOf(socket);
    this.#all.set(key, socket);
    this.#quiet.add(key);
    socket.once('close', () => {
      if (this.#all.get(key) !== socket) return;
      this.#all.delete(key);
      this.#quiet.delete(key);
    });
    if (this.#all.size <= this.#most) return;
    // The new one itself, if all others have work that goes on.
    const [first] = this.#quiet;
    this.#all.get(first)!.destroy();
    this.#all.delete(first);
    this.#quiet.delete(first);
  }

  /** Something goes on there that is not to be cut. */
  begin(socket: Socket): void {
    this.#quiet.delete(keyOf(socket));
  }

  #end(socket: Socket): void {
    const key = keyOf(socket);
    if (this.#all.has(key)) this.#quiet.add(key);
  }

  /** A call counts from when it is there as a whole, what else there is at once. */
  serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    if (request.method === 'POST') request.once('end', () => this.begin(socket));
    else this.begin(socket);
    response.once('finish', () => this.#end(socket));
  }
}
