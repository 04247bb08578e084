// The store as a program on a stream sees it: requests out, answers and events in, matched by request id. No I/O: whoever owns
// the stream passes bytes both ways.
import type { XsErrorCode } from './wire.ts';
import { decodeHeader, encodeMessage, HEADER_SIZE, packStrings, PAYLOAD_MAX, toText, unpackStrings } from './wire.ts';
import { XS, XsError } from './wire.ts';

interface Waiting {
  resolve: (payload: string) => void;
  reject: (error: Error) => void;
}

export class AsyncClient {
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  #settle = (): void => {};
  /** Called with each watch event. */
  onEvent: ((path: string, token: string) => void) | undefined;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #close: () => void;
  readonly #waiting = new Map<number, Waiting>();
  #input = Buffer.alloc(0);
  #reqId = 0;
  #failed: Error | undefined;

  constructor(send: (bytes: Uint8Array) => void, close: () => void) {
    this.#send = send;
    this.#close = close;
    this.closed = new Promise((resolve) => (this.#settle = resolve));
  }

  /** Ends the connection; what is still unanswered fails. */
  close(): void {
    this.#close();
    this.fail(new XsError('EIO', 'closed'));
  }

  /** Bytes have come. */
  receive(bytes: Uint8Array): void {
    this.#input = this.#input.length > 0 ? Buffer.concat([this.#input, bytes]) : Buffer.from(bytes);
    for (;;) {
      if (this.#input.length < HEADER_SIZE) return;
      const { type, reqId, length } = decodeHeader(this.#input);
      if (length > PAYLOAD_MAX) return this.fail(new XsError('EIO', 'this is not xenstore'));
      if (this.#input.length < HEADER_SIZE + length) return;
      const payload = toText(this.#input, HEADER_SIZE, HEADER_SIZE + length);
      this.#input = this.#input.subarray(HEADER_SIZE + length);
      this.#message(type, reqId, payload);
    }
  }

  #message(type: number, reqId: number, payload: string): void {
    if (type === XS.WATCH_EVENT) {
      const [path = '', token = ''] = unpackStrings(payload);
      return this.onEvent?.(path, token);
    }
    const waiting = this.#waiting.get(reqId);
    this.#waiting.delete(reqId);
    if (type === XS.ERROR) waiting?.reject(new XsError(payload.replace(/\0.*/s, '') as XsErrorCode));
    else waiting?.resolve(payload);
  }

  /** The stream has ended. */
  fail(error: Error): void {
    this.#failed ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#settle();
  }

  /** One request and its answer; an ERROR becomes an XsError. */
  call(type: number, payload: string, tx = 0): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#failed) return reject(this.#failed);
      // libxenstore does not send what the other side would have to cut the connection for.
      if (payload.length > PAYLOAD_MAX) return reject(new XsError('E2BIG', 'request too long'));
      this.#reqId = (this.#reqId + 1) >>> 0;
      this.#waiting.set(this.#reqId, { resolve, reject });
      this.#send(encodeMessage(type, this.#reqId, tx, payload));
    });
  }

  read = (path: string, tx = 0): Promise<string> => this.call(XS.READ, packStrings(path), tx);

  async write(path: string, value: string, tx = 0): Promise<void> {
    await this.call(XS.WRITE, `${path}\0${value}`, tx);
  }

  async mkdir(path: string, tx = 0): Promise<void> {
    await this.call(XS.MKDIR, packStrings(path), tx);
  }

  async remove(path: string, tx = 0): Promise<void> {
    await this.call(XS.RM, packStrings(path), tx);
  }

  async list(path: string, tx = 0): Promise<string[]> {
    try {
      return unpackStrings(await this.call(XS.DIRECTORY, packStrings(path), tx));
    } catch (error) {
      if (error instanceof XsError && error.code === 'E2BIG') return this.#listInParts(path, tx);
      throw error;
    }
  }

  /** From the beginning again whenever the list has changed between two parts. */
  async #listInParts(path: string, tx: number): Promise<string[]> {
    let [names, generation]: [string, string | undefined] = ['', undefined];
    for (;;) {
      const part = await this.call(XS.DIRECTORY_PART, packStrings(path, String(names.length)), tx);
      const cut = part.indexOf('\0');
      if (generation !== undefined && part.slice(0, cut) !== generation) {
        [names, generation] = ['', undefined];
        continue;
      }
      generation = part.slice(0, cut);
      const more = part.slice(cut + 1);
      if (more === '\0') return unpackStrings(names);
      if (more.endsWith('\0\0')) return unpackStrings(names + more.slice(0, -1));
      names += more;
    }
  }

  async perms(path: string, tx = 0): Promise<string[]> {
    return unpackStrings(await this.call(XS.GET_PERMS, packStrings(path), tx));
  }

  async setPerms(path: string, perms: readonly string[], tx = 0): Promise<void> {
    await this.call(XS.SET_PERMS, packStrings(path, ...perms), tx);
  }

  async watch(path: string, token: string): Promise<void> {
    await this.call(XS.WATCH, packStrings(path, token));
  }

  async unwatch(path: string, token: string): Promise<void> {
    await this.call(XS.UNWATCH, packStrings(path, token));
  }

  async control(...words: string[]): Promise<string> {
    return (await this.call(XS.CONTROL, packStrings(...words))).replace(/\0$/, '');
  }

  /** Runs `body` in a transaction, again and again while others interfere. */
  async transaction<T>(body: (tx: number) => Promise<T>): Promise<T> {
    for (;;) {
      const tx = Number(unpackStrings(await this.call(XS.TRANSACTION_START, '\0'))[0]);
      let result: T;
      try {
        result = await body(tx);
      } catch (error) {
        await this.call(XS.TRANSACTION_END, packStrings('F'), tx).catch(() => {}); // the first error is the one to tell
        throw error;
      }
      try {
        await this.call(XS.TRANSACTION_END, packStrings('T'), tx);
        return result;
      } catch (error) {
        if (!(error instanceof XsError && error.code === 'EAGAIN')) throw error;
      }
    }
  }
}
