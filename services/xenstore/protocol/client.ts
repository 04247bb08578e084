// The store as a service or the toolstack in the same process uses it: typed calls through the same messages as everybody's.
import type { Connection } from './connection.ts';
import type { Store } from './store.ts';
import { decodeHeader, encodeMessage, HEADER_SIZE, packStrings, toText, unpackStrings, XS } from './wire.ts';
import type { XsErrorCode } from './wire.ts';
import { XsError } from './wire.ts';

export type WatchHandler = (path: string) => void;

export class LocalClient {
  connection: Connection;
  #store: Store;
  readonly #handlers = new Map<string, WatchHandler>();
  #events: [path: string, token: string][] = [];
  #answer: { type: number; payload: string } | undefined;
  #token = 0;
  #scheduled = false;

  constructor(store: Store, domid = 0) {
    this.#store = store;
    this.connection = store.connect(domid);
    this.connection.onReady = () => this.#schedule();
  }

  /** Goes on with a store made of the former one's records. */
  attach(store: Store): void {
    const { serial } = this.connection;
    this.#store = store;
    this.connection = [...store.connections].find((each) => each.serial === serial) ?? store.connect(0);
    this.connection.onReady = () => this.#schedule();
    this.#schedule();
  }

  close(): void {
    this.#store.disconnect(this.connection);
  }

  read(path: string, tx = 0): string {
    return this.call(XS.READ, packStrings(path), tx);
  }

  /** The value, or undefined where there is none. */
  find(path: string, tx = 0): string | undefined {
    try {
      return this.read(path, tx);
    } catch (error) {
      if (error instanceof XsError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  write(path: string, value: string, tx = 0): void {
    this.call(XS.WRITE, `${path}\0${value}`, tx);
  }

  mkdir(path: string, tx = 0): void {
    this.call(XS.MKDIR, packStrings(path), tx);
  }

  remove(path: string, tx = 0): void {
    this.call(XS.RM, packStrings(path), tx);
  }

  list(path: string, tx = 0): string[] {
    try {
      return unpackStrings(this.call(XS.DIRECTORY, packStrings(path), tx));
    } catch (error) {
      if (error instanceof XsError && error.code === 'E2BIG') return this.#listInParts(path, tx);
      throw error;
    }
  }

  /** Nobody else runs between the calls, so all parts are of one generation. */
  #listInParts(path: string, tx: number): string[] {
    const names: string[] = [];
    for (let offset = 0; ; ) {
      const part = unpackStrings(this.call(XS.DIRECTORY_PART, packStrings(path, String(offset)), tx)).slice(1);
      const last = part.at(-1) === '';
      for (const name of last ? part.slice(0, -1) : part) {
        names.push(name);
        offset += name.length + 1;
      }
      if (last) return names;
    }
  }

  perms(path: string, tx = 0): string[] {
    return unpackStrings(this.call(XS.GET_PERMS, packStrings(path), tx));
  }

  setPerms(path: string, perms: readonly string[], tx = 0): void {
    this.call(XS.SET_PERMS, packStrings(path, ...perms), tx);
  }

  /** Calls `handler` soon, and after each change; the result ends the watch. */
  watch(path: string, handler: WatchHandler): () => void {
    const token = `local-${++this.#token}`;
    this.#handlers.set(token, handler);
    this.call(XS.WATCH, packStrings(path, token));
    return () => {
      if (this.#handlers.delete(token)) this.call(XS.UNWATCH, packStrings(path, token));
    };
  }

  /** Runs `body` in a transaction, again and again while others interfere. */
  transaction<T>(body: (tx: number) => T, attempts = 100): T {
    for (let attempt = 1; ; attempt++) {
      const tx = Number(unpackStrings(this.call(XS.TRANSACTION_START, '\0'))[0]);
      let commit = false;
      try {
        const result = body(tx);
        commit = true;
        this.call(XS.TRANSACTION_END, packStrings('T'), tx);
        return result;
      } catch (error) {
        if (!commit) this.call(XS.TRANSACTION_END, packStrings('F'), tx);
        const again = commit && error instanceof XsError && error.code === 'EAGAIN' && attempt < attempts;
        if (!again) throw error;
      }
    }
  }

  /** One request and its answer; an ERROR becomes an XsError. */
  call(type: number, payload: string, tx = 0): string {
    this.#drain();
    this.#answer = undefined;
    const request = encodeMessage(type, 0, tx, payload);
    if (this.connection.receive(request) < request.length) throw new XsError('EIO', 'connection lost');
    this.#drain();
    const answer = this.#answer as { type: number; payload: string } | undefined;
    if (!answer) throw new XsError('EIO', 'no answer');
    if (answer.type === XS.ERROR) throw new XsError(unpackStrings(answer.payload)[0] as XsErrorCode);
    return answer.payload;
  }

  #drain(): void {
    for (let bytes = this.connection.output(); bytes; bytes = this.connection.output()) {
      const { type } = decodeHeader(bytes);
      const payload = toText(bytes, HEADER_SIZE);
      this.connection.sent(bytes.length);
      if (type === XS.WATCH_EVENT) this.#events.push(unpackStrings(payload) as [string, string]);
      else this.#answer = { type, payload };
    }
    if (this.#events.length > 0) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#drain();
      const events = this.#events;
      this.#events = [];
      for (const [path, token] of events) this.#handlers.get(token)?.(path);
    });
  }
}
