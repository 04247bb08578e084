// One client of the store: a domain's ring or a tool's socket. Bytes in, messages out, both bounded.
import type { Transaction } from './transaction.ts';
import type { Watch } from './watches.ts';
import {
  decodeHeader,
  encodeMessage,
  HEADER_SIZE,
  packStrings,
  PAYLOAD_MAX,
  payloadLength,
  putMessage,
} from './wire.ts';
import { toText, XS } from './wire.ts';

/** Values of the `error` word in a guest's ring page. */
export const RING_ERROR = { NONE: 0, COMM: 1, RING_INDEX: 2, PROTOCOL: 3 } as const;

export interface Request {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: Uint8Array;
}

interface Message {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: string;
  /** Bytes on the wire, and how many of them have been sent. */
  readonly size: number;
  sent: number;
  /** As sent; made when a part of it is. */
  bytes?: Buffer;
  /** Identity of a watch event: an equal one that waits already says it all. */
  readonly event?: string | undefined;
  /** Who caused it; its unread consequences stop a client from causing more. */
  origin?: Connection | undefined;
  readonly since: number;
}

export interface ConnectionLimits {
  /** Unread consequences at which no further request is taken. */
  readonly outstanding: number;
  /** Bytes waiting to be read at which the client is given up. */
  readonly queue: number;
}

const QUEUE_HIGH = 64 * 1024; // no further requests from a client that leaves that much unread

export type OnMessage = (direction: 'in' | 'out', type: number, payload: string) => void;

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
  onMessage: OnMessage | undefined;
  /** The same, for the service's own log. */
  onLog: OnMessage | undefined;

  readonly #limits: ConnectionLimits;
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
    limits: ConnectionLimits;
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
    return this.usable && this.outstanding < this.#limits.outstanding && this.#queued < QUEUE_HIGH;
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
      const whole = this.#whole(bytes, taken);
      if (whole > 0) {
        taken += whole;
        continue;
      }
      const into = this.#body ?? this.#header;
      const part = bytes.subarray(taken, taken + into.length - this.#filled);
      into.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === into.length) this.#advance();
    }
    return taken;
  }

  /** Handles the request at `at` if all of it is there, without a copy; returns its length. */
  #whole(bytes: Uint8Array, at: number): number {
    const body = at + HEADER_SIZE;
    if (this.#body || this.#filled > 0 || body > bytes.length) return 0;
    const length = payloadLength(bytes, at);
    if (length > PAYLOAD_MAX || body + length > bytes.length) return 0;
    const { type, reqId, txId } = decodeHeader(bytes, at);
    this.#request(type, reqId, txId, bytes.subarray(body, body + length));
    return HEADER_SIZE + length;
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
    this.#request(type, reqId, txId, payload);
  }

  #request(type: number, reqId: number, txId: number, payload: Uint8Array): void {
    this.onMessage?.('in', type, toText(payload));
    this.onLog?.('in', type, toText(payload));
    this.#handle(this, { type, reqId, txId, payload });
  }

  reply({ reqId, txId }: Request, type: number, payload: string): void {
    if (payload.length <= PAYLOAD_MAX) this.#enqueue(type, reqId, txId, payload, undefined, this);
    else this.#enqueue(XS.ERROR, reqId, txId, packStrings('E2BIG'), undefined, this);
  }

  event(path: string, token: string, origin: Connection | undefined): void {
    const payload = packStrings(path, token);
    if (!this.usable || payload.length > PAYLOAD_MAX) return;
    const key = `${path}\0${token}`;
    // Of special events each counts: there may be one a domain.
    if (this.#events.has(key) && !path.startsWith('@')) return;
    this.#enqueue(XS.WATCH_EVENT, 0, 0, payload, key, origin);
  }

  #enqueue(
    type: number,
    reqId: number,
    txId: number,
    payload: string,
    event: string | undefined,
    origin: Connection | undefined,
  ): void {
    if (!this.usable) return;
    const size = HEADER_SIZE + payload.length;
    if (this.#queued + size > this.#limits.queue) return this.fail(RING_ERROR.COMM);
    this.onMessage?.('out', type, payload);
    this.onLog?.('out', type, payload);
    const message = { type, reqId, txId, payload, size, sent: 0, event, origin, since: this.#now() };
    this.#queue.push(message);
    this.#queued += size;
    if (event !== undefined) this.#events.set(event, message);
    if (origin) origin.outstanding++;
    this.onReady?.();
  }

  #bytes(message: Message): Buffer {
    return (message.bytes ??= encodeMessage(message.type, message.reqId, message.txId, message.payload));
  }

  /** The unsent rest of the oldest message. */
  output(): Uint8Array | undefined {
    const message = this.#queue[this.#head];
    return message && this.#bytes(message).subarray(message.sent);
  }

  /** Moves what waits into `into`, up to the last message that fits (it has room for one at least); returns the bytes. */
  takeOutput(into: Buffer): number {
    let at = 0;
    for (let message = this.#queue[this.#head]; message; message = this.#queue[this.#head]) {
      const left = message.size - message.sent;
      if (at + left > into.length) break;
      if (!message.bytes) putMessage(into, at, message.type, message.reqId, message.txId, message.payload);
      else this.#bytes(message).copy(into, at, message.sent);
      at += left;
      this.sent(left);
    }
    return at;
  }

  /** `count` bytes of what output() gave have been delivered. */
  sent(count: number): void {
    const message = this.#queue[this.#head];
    if (!message || count === 0) return;
    message.sent += count;
    if (message.event !== undefined) this.#events.delete(message.event);
    if (message.sent < message.size) return;
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head > 64 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#release(message);
  }

  #release(message: Message, size = message.size): void {
    const { origin } = message;
    const [waits, originWaits] = [!this.accepting, origin && origin !== this && !origin.accepting];
    this.#queued -= size;
    if (origin) origin.outstanding--;
    if (waits && this.accepting) this.onReady?.();
    if (originWaits && origin!.accepting) origin!.onReady?.();
  }

  /** Since when the oldest event has been waiting; undefined if none does. */
  oldestEvent(): number | undefined {
    for (let i = this.#head; i < this.#queue.length; i++) {
      if (this.#queue[i]!.event !== undefined) return this.#queue[i]!.since;
    }
    return undefined;
  }

  /**
   * Drops events that have waited since before `time`: who caused them shall not wait for a client that does not read.
   * One that was begun has to be finished, but nobody waits for it any more.
   */
  dropEvents(time: number): void {
    const late = this.#queue.slice(this.#head).filter((each) => each.event !== undefined && each.since < time);
    if (late.length === 0) return;
    const dropped = new Set(late.filter(({ sent }) => sent === 0));
    this.#queue = this.#queue.slice(this.#head).filter((each) => !dropped.has(each));
    this.#head = 0;
    for (const message of late) {
      if (dropped.has(message)) this.#events.delete(message.event!);
      this.#release(message, dropped.has(message) ? message.size : 0);
      message.origin = undefined;
    }
  }

  /** What waits to be sent, the unsent rest of the oldest message first. */
  *pending(): Generator<{ bytes: Buffer; whole: boolean }> {
    for (let i = this.#head; i < this.#queue.length; i++) {
      const message = this.#queue[i]!;
      yield { bytes: this.#bytes(message).subarray(message.sent), whole: message.sent === 0 };
    }
  }

  /** Output of an earlier connection: a whole message, or the rest of one that was partly sent. */
  restorePending(bytes: Buffer, whole: boolean): void {
    if (whole) {
      const { type, reqId, txId } = decodeHeader(bytes);
      const payload = toText(bytes, HEADER_SIZE);
      const event = type === XS.WATCH_EVENT ? payload.slice(0, -1) : undefined;
      return this.#enqueue(type, reqId, txId, payload, event, event === undefined ? this : undefined);
    }
    const rest = { type: 0, reqId: 0, txId: 0, payload: '', size: bytes.length, sent: 0, bytes, since: this.#now() };
    this.#queue.push({ ...rest, event: undefined, origin: this });
    this.#queued += bytes.length;
    this.outstanding++;
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
