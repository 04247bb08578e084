// What the tests of this folder share: a client that speaks raw messages, and a seeded source of numbers.
import type { Connection } from './protocol/connection.ts';
import type { Store } from './protocol/store.ts';
import { decodeHeader, encodeMessage, HEADER_SIZE, toText, XS } from './protocol/wire.ts';

export interface Answer {
  type: number;
  reqId: number;
  txId: number;
  payload: string;
}

/** Messages in `bytes`, which holds whole ones. */
export function parseMessages(bytes: Uint8Array): Answer[] {
  const messages: Answer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { type, reqId, txId, length } = decodeHeader(bytes.subarray(at));
    messages.push({ type, reqId, txId, payload: toText(bytes.subarray(at + HEADER_SIZE, at + HEADER_SIZE + length)) });
    at += HEADER_SIZE + length;
  }
  return messages;
}

export class RawClient {
  connection: Connection;
  events: string[] = [];
  #reqId = 0;

  constructor(store: Store, domid: number, privileged?: boolean) {
    this.connection = store.connect(domid, privileged);
  }

  /** Goes on after the store was restarted. */
  attach(store: Store): void {
    this.connection = [...store.connections].find((each) => each.serial === this.connection.serial)!;
  }

  /** Sends strings joined by NULs as they are, and returns the answer's payload, or the error's name. */
  ask(type: number, payload = '', tx = 0): string {
    const reqId = ++this.#reqId;
    this.connection.receive(encodeMessage(type, reqId, tx, payload));
    const answer = this.drain().find((each) => each.reqId === reqId);
    if (!answer) throw new Error('no answer');
    if (answer.txId !== tx) throw new Error('answer to another transaction');
    if (answer.type !== XS.ERROR && answer.type !== type) throw new Error(`answer of type ${answer.type}`);
    return answer.type === XS.ERROR ? answer.payload.slice(0, -1) : answer.payload;
  }

  drain(): Answer[] {
    const parts: Uint8Array[] = [];
    for (let bytes = this.connection.output(); bytes; bytes = this.connection.output()) {
      parts.push(bytes);
      this.connection.sent(bytes.length);
    }
    const messages = parseMessages(Buffer.concat(parts));
    for (const each of messages) if (each.type === XS.WATCH_EVENT) this.events.push(each.payload);
    return messages.filter((each) => each.type !== XS.WATCH_EVENT);
  }

  /** The events since the last call, as `path token`. */
  takeEvents(): string[] {
    this.drain();
    const events = this.events.map((each) => each.slice(0, -1).replace('\0', ' '));
    this.events = [];
    return events;
  }

  read = (path: string, tx = 0) => this.ask(XS.READ, `${path}\0`, tx);
  write = (path: string, value: string, tx = 0) => this.ask(XS.WRITE, `${path}\0${value}`, tx);
  mkdir = (path: string, tx = 0) => this.ask(XS.MKDIR, `${path}\0`, tx);
  rm = (path: string, tx = 0) => this.ask(XS.RM, `${path}\0`, tx);
  ls = (path: string, tx = 0) => this.ask(XS.DIRECTORY, `${path}\0`, tx);
  getPerms = (path: string, tx = 0) => this.ask(XS.GET_PERMS, `${path}\0`, tx);
  chmod = (path: string, perms: string[], tx = 0) => this.ask(XS.SET_PERMS, `${[path, ...perms].join('\0')}\0`, tx);
  watch = (path: string, token: string) => this.ask(XS.WATCH, `${path}\0${token}\0`);
  unwatch = (path: string, token: string) => this.ask(XS.UNWATCH, `${path}\0${token}\0`);
  begin = () => parseInt(this.ask(XS.TRANSACTION_START, '\0'), 10);
  end = (tx: number, commit = true) => this.ask(XS.TRANSACTION_END, commit ? 'T\0' : 'F\0', tx);
}

/** Numbers below `n`, the same for the same seed (xorshift32). */
export function random(seed: number): (n: number) => number {
  let state = seed | 0 || 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}
