// Rings of events of 40 bytes in a page that a front end shares: a frame buffer's and a keyboard's (public/io/fbif.h, kbdif.h). Pure.
import type { RingPage } from '../../lib/ring_page.ts';

export const EVENT_SIZE = 40;

export interface EventRingLayout {
  events: number;
  /** Events that it holds. */
  count: number;
  cons: number;
  prod: number;
}

/** Indexes run freely; neither is believed unchecked. */
export class EventRing {
  readonly #page: RingPage;
  readonly #layout: EventRingLayout;

  constructor(page: RingPage, layout: EventRingLayout) {
    this.#page = page;
    this.#layout = layout;
  }

  /** What there is; undefined if the indexes are impossible. */
  take(): Uint8Array[] | undefined {
    const { events, count, cons: at } = this.#layout;
    const [cons, used] = this.#indexes();
    if (used > count) return undefined;
    const out = Array.from({ length: used }, (_, i) =>
      this.#page.readBytes(events + EVENT_SIZE * (((cons + i) >>> 0) % count), EVENT_SIZE),
    );
    if (used > 0) this.#page.storeU32(at, cons + used);
    return out;
  }

  /** Puts as many as there is room for, and says how many; undefined if the indexes are impossible. */
  put(list: readonly Uint8Array[]): number | undefined {
    const { events, count, prod: at } = this.#layout;
    const [cons, used] = this.#indexes();
    if (used > count) return undefined;
    const prod = (cons + used) >>> 0;
    const fits = list.slice(0, count - used);
    fits.forEach((event, i) => this.#page.writeBytes(events + EVENT_SIZE * (((prod + i) >>> 0) % count), event));
    if (fits.length > 0) this.#page.storeU32(at, prod + fits.length);
    return fits.length;
  }

  #indexes(): [cons: number, used: number] {
    const cons = this.#page.loadU32(this.#layout.cons);
    const prod = this.#page.loadU32(this.#layout.prod);
    return [cons, (prod - cons) >>> 0];
  }
}
