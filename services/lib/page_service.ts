// A service domain on the control thread: pages that it shares with guests, and what is pumped when their events come.
import type { ServicePort } from '../../platform/service.ts';
import { ForeignPage, GrantedPage, type MappedPage } from './foreign_page.ts';
import { Hypercalls } from './hypercalls.ts';

/** From this frame on a service maps ring pages, one that was freed before one that was never used. */
const RINGS_AT = 0x1000;

/** What a page's events are for. */
export interface Pumped {
  /** Works on what there is; true if the guest is to be told. */
  pump(): boolean;
  /** It has more to do, which no event will announce. */
  readonly again: boolean;
}

/** A page as a guest names it: by a grant, or by its frame's number, which takes privilege. */
export type GuestPage = { gref: number } | { frame: number };

export class Served {
  readonly #calls: Hypercalls;
  readonly #ring: Pumped;
  readonly #page: MappedPage;
  readonly port: number;
  /** Where the ring's page is in the service's space. */
  readonly at: number;
  /** It is to be pumped, and stands in its service's list. */
  due = false;

  constructor(
    calls: Hypercalls,
    page: MappedPage,
    at: number,
    port: number,
    due: (served: Served) => void,
    make: (schedule: () => void) => Pumped,
  ) {
    this.#calls = calls;
    this.#page = page;
    this.at = at;
    this.port = port;
    this.#ring = make(() => due(this));
  }

  #closed = false;

  /** True if it wants to be called again. What is on the page may have been its end. */
  pump(): boolean {
    if (this.#ring.pump() && !this.#closed) this.#calls.notify(this.port);
    return this.#ring.again && !this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.#page.close();
  }
}

export class PageService {
  readonly port: ServicePort;
  readonly calls: Hypercalls;
  readonly #served = new Map<number, Served>();
  /** Those that have something to do: a pump costs what they cost, however many others there are. */
  #due: Served[] = [];
  /** Frames for ring pages: those that were used, the one that was freed last at the end, and the first that never was. */
  readonly #frames: number[] = [];
  #frame = RINGS_AT;
  readonly #wake: () => void;

  /** `wake` makes the host pump again. */
  constructor(port: ServicePort, wake: () => void) {
    this.port = port;
    this.#wake = wake;
    this.calls = new Hypercalls(port);
  }

  /** Throws GrantError or XenError if the guest has no such page or port; then nothing is left of it. */
  attach(
    domid: number,
    shared: GuestPage,
    remotePort: number,
    make: (page: MappedPage, schedule: () => void) => Pumped,
  ): Served {
    const port = this.calls.bindInterdomain(domid, remotePort);
    const at = this.#frames.pop() ?? this.#frame++;
    let page: MappedPage;
    try {
      page =
        'gref' in shared
          ? new GrantedPage(this.calls, domid, shared.gref, at)
          : new ForeignPage(this.calls, domid, shared.frame, at);
    } catch (error) {
      this.#frames.push(at);
      this.calls.closePort(port);
      throw error;
    }
    const due = (served: Served): void => {
      this.#mark(served);
      this.#wake();
    };
    let served: Served;
    try {
      served = new Served(this.calls, page, at, port, due, (schedule) => make(page, schedule));
    } catch (error) {
      // What is on the page is not what can be served.
      page.close();
      this.#frames.push(at);
      this.calls.closePort(port);
      throw error;
    }
    this.#served.set(port, served);
    this.#mark(served);
    return served;
  }

  #mark(served: Served): void {
    if (served.due) return;
    served.due = true;
    this.#due.push(served);
  }

  detach(served: Served): void {
    this.#served.delete(served.port);
    this.calls.closePort(served.port);
    served.close();
    this.#frames.push(served.at);
  }

  /** Work on what has happened; true = there was something. */
  pump(): boolean {
    for (const port of this.port.takeEvents()) {
      const served = this.#served.get(port);
      if (served) this.#mark(served);
    }
    const due = this.#due;
    this.#due = [];
    for (const served of due) {
      served.due = false;
      if (this.#served.get(served.port) === served && served.pump()) this.#mark(served);
    }
    return due.length > 0;
  }
}
