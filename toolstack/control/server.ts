// The host's end of the control socket: calls by name, each with a stream of its own if it wants one.
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { BadFrame, DATA_PART, decodeJson, encodeFrame, encodeJson, FRAME, FrameReader, type Frame } from './frames.ts';
import { ERROR, Refused } from './refused.ts';

/** Counted up when a call's form changes; xl and the host compare it. */
export const PROTOCOL = 1;

/** A call that is being answered. */
export interface Call {
  event(value: unknown): void;
  /** False: the reader is behind; `onDrain` tells when it is not any more. */
  data(bytes: Uint8Array): boolean;
  onDrain(callback: () => void): void;
  /** False from the callback: no more input until `resume`. */
  onData(callback: (bytes: Uint8Array) => boolean): void;
  resume(): void;
  /** The caller wants no more, or is gone. */
  onEnd(callback: () => void): void;
  readonly ended: boolean;
}

export type Methods = Readonly<Record<string, (params: Record<string, unknown>, call: Call) => unknown>>;

/** Calls at once on a connection: `xl shutdown -a` makes one for each guest. */
const MAX_CALLS = 4096;

class ServedCall implements Call {
  readonly #connection: Connection;
  readonly id: number;
  ended = false;
  onDrains: (() => void)[] = [];
  #onData: ((bytes: Uint8Array) => boolean) | undefined;
  readonly #onEnd: (() => void)[] = [];
  #early: Uint8Array[] = [];

  constructor(connection: Connection, id: number) {
    this.#connection = connection;
    this.id = id;
  }

  event(value: unknown): void {
    if (!this.ended) this.#connection.send(encodeJson(FRAME.event, this.id, value));
  }

  data(bytes: Uint8Array): boolean {
    if (this.ended) return true;
    let room = true;
    for (let at = 0; at < bytes.length; at += DATA_PART)
      room = this.#connection.send(encodeFrame(FRAME.data, this.id, bytes.subarray(at, at + DATA_PART)));
    return room;
  }

  onDrain(callback: () => void): void {
    this.onDrains.push(callback);
  }

  onData(callback: (bytes: Uint8Array) => boolean): void {
    this.#onData = callback;
    this.#connection.resume();
    for (const bytes of this.#early.splice(0)) this.receive(bytes);
  }

  resume(): void {
    this.#connection.resume();
  }

  onEnd(callback: () => void): void {
    if (this.ended) callback();
    else this.#onEnd.push(callback);
  }

  receive(bytes: Uint8Array): void {
    if (!this.#onData) this.#early.push(bytes.slice());
    if (this.#onData?.(bytes.slice()) !== true) this.#connection.pause();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.#connection.resume();
    for (const callback of this.#onEnd.splice(0)) callback();
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #methods: Methods;
  readonly #reader = new FrameReader();
  readonly #calls = new Map<number, ServedCall>();
  readonly #fault: (error: Error) => void;

  constructor(socket: Socket, methods: Methods, fault: (error: Error) => void) {
    this.#socket = socket;
    this.#methods = methods;
    this.#fault = fault;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('drain', () => {
      for (const call of this.#calls.values()) for (const callback of call.onDrains) callback();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      for (const call of this.#calls.values()) call.end();
      this.#calls.clear();
    });
    this.send(encodeJson(FRAME.event, 0, { protocol: PROTOCOL }));
  }

  send(bytes: Uint8Array): boolean {
    return this.#socket.destroyed || !this.#socket.writable || this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #receive(bytes: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(bytes)) this.#frame(frame);
    } catch (error) {
      if (!(error instanceof BadFrame)) this.#fault(error as Error);
      this.#socket.destroy();
    }
  }

  #frame(frame: Frame): void {
    const known = this.#calls.get(frame.call);
    if (frame.kind === FRAME.data) known?.receive(frame.body);
    else if (frame.kind === FRAME.end) known?.end();
    else if (frame.kind !== FRAME.request || known || this.#calls.size >= MAX_CALLS)
      throw new BadFrame(`kind ${frame.kind} out of place`);
    else void this.#serve(frame);
  }

  async #serve(frame: Frame): Promise<void> {
    const request = decodeJson(frame) as { method?: unknown; params?: unknown } | null;
    const call = new ServedCall(this, frame.call);
    this.#calls.set(frame.call, call);
    try {
      const method = String(request?.method);
      if (!Object.hasOwn(this.#methods, method))
        throw new Refused(`the host has no ${method}: it is of another version than this command.`, ERROR.NI);
      const params = request?.params;
      const given = params !== null && typeof params === 'object' ? (params as Record<string, unknown>) : {};
      const result = await this.#methods[method]!(given, call);
      this.send(encodeJson(FRAME.response, frame.call, result));
    } catch (error) {
      if (!(error instanceof Refused)) this.#fault(error as Error);
      const { message, code } =
        error instanceof Refused ? error : { message: `the host failed: ${String(error)}`, code: ERROR.FAIL };
      this.send(encodeJson(FRAME.error, frame.call, { code, message }));
    } finally {
      this.#calls.delete(frame.call);
      call.end();
    }
  }
}

export class ControlServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #path: string;

  /** `fault` hears of errors that are the host's own. */
  constructor(path: string, methods: Methods, fault: (error: Error) => void) {
    this.#path = path;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      new Connection(socket, methods, fault);
    });
  }

  /** Whoever calls holds the state's lock: a socket that lies there is a dead host's. */
  async listen(): Promise<void> {
    rmSync(this.#path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      // The folder is the owner's alone, so nobody else comes between these two.
      this.#server.listen(this.#path, resolve);
    });
    chmodSync(this.#path, 0o600);
  }

  /** No new connections; those there are get what was sent to them, and end. */
  async close(): Promise<void> {
    rmSync(this.#path, { force: true });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroySoon();
    await closed;
  }
}
