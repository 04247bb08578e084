// One client of the store: a domain's ring or a tool's socket. Bytes in, messages out, both bounded.
import type { Transaction } from './transaction.ts';
import type { Watch } from './watches.ts';
import { decodeHeader, encodeMessage, HEADER_SIZE, packStrings, PAYLOAD_MAX, XS } from './wire.ts';

/** Values of the `error` word in a guest's ring page. */
export const RING_ERROR = { NONE: 0, COMM: 1, RING_INDEX: 2, PROTOCOL: 3 } as const;

export interface Request {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: Uint8Array;
}

interface Message {
  readonly bytes: Uint8Array;
  sent: number;
  /** Identity of a watch event: an equal one that waits already says it all. */
  readonly event?: string | undefined;
  /** Who caused it; its unread consequences stop a client from causing more. */
  readonly origin?: Connection | undefined;
  readonly since: number;
}

export interface ConnectionLimits {
  /** Unread consequences at which no further request is taken. */
  outstanding: number;
  /** Bytes waiting to be read at which the client is given up. */
  queue: number;
}

const QUEUE_HIGH = 64 * 1024; // no further requests from a client that leaves that much unread

export class Connection {
  readonly serial: number;
  readonly domid: number;
  readonly privileged: boolean;
  target: number | undefined;
  readonly watches = new Map<string, Watch>();
  readonly transactions = new Map<number, Transaction>();
  nextTransaction = 1;
  /** A code of RING_ERROR; anything but NONE: the client is ignored until it reconnects. */
  error = 0;
  closed = false;
  /** Unread messages this client caused, its own answers and others' events. */
  outstanding = 0;
  /** Called when there is something new to send, or requests are taken again. It must only schedule: the store may be mid-change. */
  onReady: (() => void) | undefined;
  /** Called with each whole message, for traces. */
  onMessage: ((direction: 'in' | 'out', type: number, payload: Uint8Array) => void) | undefined;

  readonly #limits: () => ConnectionLimits;
  readonly #handle: (connection: Connection, request: Request) => void;
  readonly #now: () => number;
  #header = new Uint8Array(HEADER_SIZE);
  #body: Uint8Array | undefined;
  #filled = 0;
  #queue: Message[] = [];
  #head = 0;
  #queued = 0;
  readonly #events = new Map<string, Message>();

  constructor(options: {
    serial: number;
    domid: number;
    privileged: boolean;
    limits: () => ConnectionLimits;
    handle: (connection: Connection, request: Request) => void;
    now: () => number;
  }) {
    this.serial = options.serial;
    this.domid = options.domid;
    this.privileged = options.privileged;
    this.#limits = options.limits;
    this.#handle = options.handle;
    this.#now = options.now;
  }

  get usable(): boolean {
    return !this.closed && this.error === 0;
  }

  /** Whether requests are taken now; otherwise leave them in the ring or the socket until onReady. */
  get accepting(): boolean {
    return this.usable && this.outstanding < this.#limits().outstanding && this.#queued < QUEUE_HIGH;
  }

  /** Bytes missing of the header or body under way; 0 while not accepting. */
  get wanted(): number {
    return this.accepting ? (this.#body ?? this.#header).length - this.#filled : 0;
  }

  /** Takes bytes off the front of `bytes` and returns how many; fewer than given only while not accepting. */
  receive(bytes: Uint8Array): number {
    return this.#take(bytes, () => this.accepting);
  }

  #take(bytes: Uint8Array, more: () => boolean): number {
    let taken = 0;
    while (taken < bytes.length && more()) {
      const into = this.#body ?? this.#header;
      const part = bytes.subarray(taken, taken + into.length - this.#filled);
      into.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === into.length) this.#advance();
    }
    return taken;
  }

  /** Bytes of a request that is not complete yet. */
  partial(): Uint8Array {
    return this.#body
      ? Buffer.concat([this.#header, this.#body.subarray(0, this.#filled)])
      : this.#header.slice(0, this.#filled);
  }

  restoreInput(bytes: Uint8Array): void {
    this.#take(bytes, () => this.usable);
  }

  #advance(): void {
    const { type, reqId, txId, length } = decodeHeader(this.#header);
    if (!this.#body) {
      if (length > PAYLOAD_MAX) return this.fail(RING_ERROR.PROTOCOL);
      this.#body = new Uint8Array(length);
      this.#filled = 0;
      if (length > 0) return;
    }
    const payload = this.#body;
    this.#body = undefined;
    this.#filled = 0;
    this.onMessage?.('in', type, payload);
    this.#handle(this, { type, reqId, txId, payload });
  }

  reply(request: Request, type: number, payload: Uint8Array): void {
    const tooLong = payload.length > PAYLOAD_MAX;
    const [kind, body] = tooLong ? [XS.ERROR, packStrings('E2BIG')] : [type, payload];
    this.#enqueue(encodeMessage(kind, request.reqId, request.txId, body), undefined, this);
  }

  event(path: string, token: string, origin: Connection | undefined): void {
    const payload = packStrings(path, token);
    if (!this.usable || payload.length > PAYLOAD_MAX) return;
    const key = `${path}\0${token}`;
    if (this.#events.has(key)) return;
    this.#enqueue(encodeMessage(XS.WATCH_EVENT, 0, 0, payload), key, origin);
  }

  #enqueue(bytes: Uint8Array, event: string | undefined, origin: Connection | undefined): void {
    if (!this.usable) return;
    if (this.#queued + bytes.length > this.#limits().queue) return this.fail(RING_ERROR.COMM);
    this.onMessage?.('out', decodeHeader(bytes).type, bytes.subarray(HEADER_SIZE));
    const message = { bytes, sent: 0, event, origin, since: this.#now() };
    this.#queue.push(message);
    this.#queued += bytes.length;
    if (event !== undefined) this.#events.set(event, message);
    if (origin) origin.outstanding++;
    this.onReady?.();
  }

  /** The unsent rest of the oldest message. */
  output(): Uint8Array | undefined {
    const message = this.#queue[this.#head];
    return message && message.bytes.subarray(message.sent);
  }

  /** `count` bytes of what output() gave have been delivered. */
  sent(count: number): void {
    const message = this.#queue[this.#head];
    if (!message || count === 0) return;
    message.sent += count;
    if (message.event !== undefined) this.#events.delete(message.event);
    if (message.sent < message.bytes.length) return;
    this.#head++;
    if (this.#head > 64 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#release(message);
  }

  #release(message: Message): void {
    const stalled = [this, message.origin ?? this].filter((each) => !each.accepting);
    this.#queued -= message.bytes.length;
    if (message.origin) message.origin.outstanding--;
    for (const each of new Set(stalled)) if (each.accepting) each.onReady?.();
  }

  /** Since when the oldest event has been waiting; undefined if none does. */
  oldestEvent(): number | undefined {
    for (let i = this.#head; i < this.#queue.length; i++) {
      if (this.#queue[i]!.event !== undefined) return this.#queue[i]!.since;
    }
    return undefined;
  }

  /** What waits to be sent: whole events by their key, so that equal ones still merge, and raw bytes. */
  *pending(): Generator<{ bytes: Uint8Array; event?: string | undefined }> {
    for (let i = this.#head; i < this.#queue.length; i++) {
      const { bytes, sent, event } = this.#queue[i]!;
      yield { bytes: bytes.subarray(sent), event: sent === 0 ? event : undefined };
    }
  }

  restorePending(bytes: Uint8Array, event: string | undefined): void {
    this.#enqueue(bytes, event, event === undefined ? this : undefined);
  }

  /** Gives the client up, as after a protocol violation: nothing is read from it or sent to it until it reconnects. */
  fail(code: number): void {
    if (!this.usable) return;
    this.error = code;
    this.#drop();
    this.onReady?.();
  }

  /** Back to the state of a new connection; the store drops watches and transactions. */
  restart(): void {
    this.error = 0;
    this.#drop();
  }

  close(): void {
    this.closed = true;
    this.#drop();
  }

  #drop(): void {
    const waiting = this.#queue.slice(this.#head);
    [this.#queue, this.#head, this.#body, this.#filled] = [[], 0, undefined, 0];
    this.#events.clear();
    for (const message of waiting) this.#release(message);
  }
}
