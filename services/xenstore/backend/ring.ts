// A guest's xenstore ring (public header io/xs_wire.h, struct xenstore_domain_interface) between its page and its connection.
import { ByteRing } from '../../lib/ring_page.ts';
import type { RingPage } from '../../lib/ring_page.ts';
import type { Connection } from '../protocol/connection.ts';
import { RING_ERROR } from '../protocol/connection.ts';
import { FEATURES } from '../protocol/domains.ts';
import { EVENT_TIMEOUT_MS, type Store } from '../protocol/store.ts';

export const XENSTORE_RING = {
  REQ: 0,
  RSP: 1024,
  SIZE: 1024,
  REQ_CONS: 2048,
  REQ_PROD: 2052,
  RSP_CONS: 2056,
  RSP_PROD: 2060,
  SERVER_FEATURES: 2064,
  CONNECTION: 2068,
  ERROR: 2072,
} as const;

const CONNECTED = 0;
const RECONNECT = 1;

/** Bytes one pump takes from a guest that keeps producing, before others get their turn. */
const PUMP_LIMIT = 64 * 1024;

export class XenstoreRing {
  #connection: Connection;
  #store: Store;
  readonly #page: RingPage;
  readonly #requests: ByteRing;
  readonly #responses: ByteRing;
  #shownError: number = RING_ERROR.NONE;
  #more = false;
  #timer: NodeJS.Timeout | undefined;

  /** `schedule` asks for a later pump(): there is output, or requests are taken again. The connection may be a restored one. */
  constructor(options: { store: Store; page: RingPage; connection: Connection; schedule?: () => void }) {
    this.#store = options.store;
    this.#page = options.page;
    this.#connection = options.connection;
    if (options.schedule) this.#connection.onReady = options.schedule;
    const { REQ, RSP, SIZE: size } = XENSTORE_RING;
    const { REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD } = XENSTORE_RING;
    this.#requests = new ByteRing(this.#page, { data: REQ, size, cons: REQ_CONS, prod: REQ_PROD });
    this.#responses = new ByteRing(this.#page, { data: RSP, size, cons: RSP_CONS, prod: RSP_PROD });
    const features = this.#store.domains.peek(this.#connection.domid)?.features ?? FEATURES;
    this.#page.storeU32(XENSTORE_RING.SERVER_FEATURES, features);
    this.#page.storeU32(XENSTORE_RING.ERROR, RING_ERROR.NONE);
  }

  get connection(): Connection {
    return this.#connection;
  }

  /**
   * Goes on with a store made of the former one's records: the guest's page stays as it is, and with it an error that ended the
   * connection. False if that store does not know the connection.
   */
  attach(store: Store): boolean {
    const { serial, onReady, onMessage } = this.#connection;
    const connection = [...store.connections].find((each) => each.serial === serial);
    if (!connection) return false;
    this.#connection = connection;
    this.#store = store;
    connection.onMessage = onMessage;
    connection.onReady = onReady;
    if (this.#shownError !== RING_ERROR.NONE) connection.fail(this.#shownError);
    onReady?.();
    return true;
  }

  /** Whether the last pump stopped with work left that no event of the guest will announce again. */
  get again(): boolean {
    return this.#more;
  }

  /** Moves what can be moved in both directions; true if the guest is to be notified. */
  pump(): boolean {
    let notify = this.#reconnected();
    let taken = 0;
    for (let moved = true; moved && taken < PUMP_LIMIT; ) {
      const sent = this.#send();
      const got = this.#receive();
      taken += got;
      moved = sent || got > 0;
      notify ||= moved;
    }
    this.#more = taken >= PUMP_LIMIT;
    this.#await();
    return this.#showError() || notify;
  }

  /** While events wait for the guest, somebody has to see that they do not wait for ever. */
  #await(): void {
    if (this.#timer || this.#connection.oldestEvent() === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#store.expireEvents();
      this.#await();
    }, EVENT_TIMEOUT_MS + 1).unref();
  }

  /** The guest asked for a fresh start: both rings empty, no watch, no transaction. */
  #reconnected(): boolean {
    if (this.#connection.closed || this.#page.loadU32(XENSTORE_RING.CONNECTION) !== RECONNECT) return false;
    this.#store.reconnect(this.#connection);
    this.#shownError = RING_ERROR.NONE;
    const { REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, ERROR, CONNECTION } = XENSTORE_RING;
    for (const word of [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, ERROR]) this.#page.storeU32(word, 0);
    this.#page.storeU32(CONNECTION, CONNECTED);
    return true;
  }

  #send(): boolean {
    let moved = false;
    for (let bytes = this.#connection.output(); bytes; bytes = this.#connection.output()) {
      const put = this.#responses.put(bytes);
      if (put === undefined) this.#connection.fail(RING_ERROR.RING_INDEX);
      if (!put) break;
      this.#connection.sent(put);
      moved = true;
    }
    return moved;
  }

  /** Takes no more than the connection has room for: what it does not accept stays in the ring, the guest's back pressure. */
  #receive(): number {
    let got = 0;
    while (this.#connection.accepting && got < XENSTORE_RING.SIZE) {
      const bytes = this.#requests.take(this.#connection.wanted);
      if (!bytes) this.#connection.fail(RING_ERROR.RING_INDEX);
      if (!bytes || bytes.length === 0) break;
      got += this.#connection.receive(bytes);
    }
    return got;
  }

  #showError(): boolean {
    if (this.#connection.error === this.#shownError) return false;
    this.#shownError = this.#connection.error;
    this.#page.storeU32(XENSTORE_RING.ERROR, this.#shownError);
    return true;
  }
}
