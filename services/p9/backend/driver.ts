// A shared folder on xenbus: Xen's transport of 9p (docs/misc/9pfs.pandoc of Xen, public/io/9pfs.h).
import { GrantedPages } from '../../lib/foreign_page.ts';
import type { PageService, Served } from '../../lib/page_service.ts';
import type { RingPage } from '../../lib/ring_page.ts';
import { ANY_NUMBER, asFrontends, FrontendError, frontNumber, type Driver, type Read } from '../../xenbus/backend.ts';
import { dataRings, MAX_ORDER, readRefs } from '../protocol/ring.ts';
import type { Folder } from './folder.ts';
import type { Locks } from './locks.ts';
import { ShareRing, type Rings } from './ring.ts';
import { P9Server } from './server.ts';
import type { Turns } from './turns.ts';

const MAX_RINGS = 4;
/** Frames of the service's space for rings' data, for each device so many. */
const DATA_AT = 0x100000;
const PAGES = 1 << MAX_ORDER;

export interface ShareSettings {
  rings: readonly { gref: number; port: number }[];
}

/** What all shares of a host have in common. */
export interface Common {
  locks: Locks;
  turns: Turns;
}

export class ShareDriver implements Driver<ShareSettings> {
  readonly #service: PageService;
  readonly #frontend: number;
  readonly #place: number;
  readonly #folder: Folder;
  readonly #readonly: boolean;
  readonly #common: Common;
  #server: P9Server | undefined;
  #connected: { ring: ShareRing; served: Served; data: GrantedPages }[] = [];
  onBroken: (why: string) => void = () => {};

  /** `place`: which part of the service's space is this device's. */
  constructor(
    service: PageService,
    frontend: number,
    place: number,
    folder: Folder,
    readonly: boolean,
    common: Common,
  ) {
    // prettier-ignore
    this.#service = service;
    this.#frontend = frontend;
    this.#place = place;
    this.#folder = folder;
    this.#readonly = readonly;
    this.#common = common;
  }

  features(): Record<string, string | number> {
    return { versions: '1', 'max-rings': MAX_RINGS, 'max-ring-page-order': MAX_ORDER };
  }

  settings(read: Read): ShareSettings {
    if (read('version') !== '1') throw new FrontendError('version is not 1');
    const count = frontNumber(read, 'num-rings', MAX_RINGS);
    if (count === 0) throw new FrontendError('num-rings is 0');
    return {
      rings: Array.from({ length: count }, (_, i) => ({
        gref: frontNumber(read, `ring-ref${i}`, ANY_NUMBER),
        port: frontNumber(read, `event-channel-${i}`, ANY_NUMBER),
      })),
    };
  }

  async connect({ rings }: ShareSettings): Promise<Record<string, string | number>> {
    const server = new P9Server({
      folder: this.#folder,
      readonly: this.#readonly,
      // The smallest ring has room for it.
      msize: PAGES * 4096,
      locks: this.#common.locks,
    });
    this.#server = server;
    for (const [i, { gref, port }] of rings.entries()) await asFrontends(() => this.#ring(i, gref, port, server));
    return {};
  }

  #ring(index: number, gref: number, port: number, server: P9Server): void {
    let ring!: ShareRing;
    let data!: GrantedPages;
    const served = this.#service.attach(this.#frontend, { gref }, port, (page, schedule) => {
      const taken = this.#data(index, page);
      data = taken.data;
      server.limit(taken.rings.answers.layout.size);
      ring = new ShareRing(taken.rings, server, this.#common.turns, schedule, (why) => this.onBroken(why));
      return ring;
    });
    this.#connected.push({ ring, served, data });
  }

  #data(index: number, page: RingPage): { rings: Rings; data: GrantedPages } {
    const refs = readRefs(page);
    if (!refs) throw new FrontendError(`a ring's order is not 1 to ${MAX_ORDER}`);
    const at = DATA_AT + (this.#place * MAX_RINGS + index) * PAGES;
    const data = new GrantedPages(this.#service.calls, this.#frontend, refs, at);
    return { rings: dataRings(page, data, refs.length), data };
  }

  async disconnect(): Promise<void> {
    for (const { ring, served, data } of this.#connected.splice(0)) {
      ring.end();
      this.#service.detach(served);
      data.close();
    }
    const server = this.#server;
    this.#server = undefined;
    await server?.end();
  }
}
