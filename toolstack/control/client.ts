// The other end of the control socket, for commands.
import { connect as netConnect, type Socket } from 'node:net';
import { DATA_PART, decodeJson, encodeFrame, encodeJson, FRAME, FrameReader, type Frame } from './frames.ts';
import { ERROR, Refused } from './refused.ts';
import { PROTOCOL } from './server.ts';

export interface Handlers {
  event?: (value: unknown) => void;
  /** False: no more until `resume()` of the call. */
  data?: (bytes: Uint8Array) => boolean | void;
}

export interface Running<T> {
  result: Promise<T>;
  /** False: the host is behind; wait for `drained`. */
  send(bytes: Uint8Array): boolean;
  onDrain(callback: () => void): void;
  resume(): void;
  end(): void;
}

interface Pending {
  handlers: Handlers;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

export class NoHost extends Error {}

export class ControlClient {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  /** Resolves when the connection is no more. */
  readonly closed: Promise<void>;
  #greeted!: () => void;
  #failed!: (error: Error) => void;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) => socket.on('close', () => resolve()));
    socket.on('close', () => this.#lost(new Refused('the host has gone.', ERROR.FAIL)));
  }

  static async connect(path: string): Promise<ControlClient> {
    const socket = netConnect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) => reject(new NoHost((error as NodeJS.ErrnoException).code)));
    });
    const client = new ControlClient(socket);
    await new Promise<void>((resolve, reject) => {
      client.#greeted = resolve;
      client.#failed = reject;
    });
    return client;
  }

  call<T = unknown>(method: string, params: object = {}, handlers: Handlers = {}): Promise<T> {
    return this.start<T>(method, params, handlers).result;
  }

  start<T = unknown>(method: string, params: object = {}, handlers: Handlers = {}): Running<T> {
    const id = this.#next++;
    const result = new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { handlers, resolve: resolve as (value: unknown) => void, reject });
    });
    this.#socket.write(encodeJson(FRAME.request, id, { method, params }));
    return {
      result,
      send: (bytes) => {
        let room = true;
        for (let at = 0; at < bytes.length; at += DATA_PART)
          room = this.#socket.write(encodeFrame(FRAME.data, id, bytes.subarray(at, at + DATA_PART)));
        return room;
      },
      onDrain: (callback) => void this.#socket.on('drain', callback),
      resume: () => void this.#socket.resume(),
      end: () => void this.#socket.write(encodeFrame(FRAME.end, id, new Uint8Array(0))),
    };
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(bytes)) this.#frame(frame);
    } catch (error) {
      this.#lost(new Refused(`the host's answer is not understood: ${(error as Error).message}.`, ERROR.FAIL));
      this.#socket.destroy();
    }
  }

  #frame(frame: Frame): void {
    if (frame.call === 0) return this.#greeting(frame);
    const pending = this.#pending.get(frame.call);
    if (!pending) return;
    if (frame.kind === FRAME.event) pending.handlers.event?.(decodeJson(frame));
    else if (frame.kind === FRAME.data) {
      if (pending.handlers.data?.(frame.body.slice()) === false) this.#socket.pause();
    } else this.#finish(frame, pending);
  }

  #finish(frame: Frame, pending: Pending): void {
    if (frame.kind !== FRAME.response && frame.kind !== FRAME.error) return;
    this.#pending.delete(frame.call);
    const value = decodeJson(frame);
    if (frame.kind === FRAME.response) return pending.resolve(value);
    const { code, message } = value as { code: number; message: string };
    pending.reject(new Refused(message, code));
  }

  #greeting(frame: Frame): void {
    const { protocol } = decodeJson(frame) as { protocol: number };
    if (protocol === PROTOCOL) return this.#greeted();
    this.#failed(new Refused('the host runs another version: `xenolith down`, then `xenolith up` with this one.'));
  }

  #lost(error: Error): void {
    this.#failed?.(error);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
