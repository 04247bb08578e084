// A page of a guest, mapped into a service's own space, as the ring code wants it.
import type { Hypercalls } from './hypercalls.ts';
import type { RingPage } from './ring_page.ts';

const PAGE = 4096;

/** Pages from frame `at` of the service's space on. */
export abstract class MappedPage implements RingPage {
  protected readonly calls: Hypercalls;
  protected readonly at: number;

  constructor(calls: Hypercalls, at: number) {
    this.calls = calls;
    this.at = at;
  }

  /** The mailbox's copies are made between two atomic operations of the caller and the pCPU: they order everything. */
  loadU32(offset: number): number {
    const b = this.readBytes(offset, 4);
    return (b[0]! | (b[1]! << 8) | (b[2]! << 16) | (b[3]! << 24)) >>> 0;
  }

  storeU32(offset: number, value: number): void {
    this.writeBytes(offset, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }

  readBytes(offset: number, length: number): Uint8Array {
    return this.calls.mailbox.read(this.at * PAGE + offset, length).slice();
  }

  writeBytes(offset: number, bytes: Uint8Array): void {
    this.calls.mailbox.write(this.at * PAGE + offset, bytes);
  }

  abstract close(): void;
}

/** Frame `gfn` of a domain. */
export class ForeignPage extends MappedPage {
  constructor(calls: Hypercalls, domid: number, gfn: number, at: number) {
    super(calls, at);
    calls.mapForeign(domid, gfn, 1, at);
  }

  close(): void {
    this.calls.unmap(this.at, 1);
  }
}

/** Pages that a domain has granted, one behind the other. */
export class GrantedPages extends MappedPage {
  readonly #handles: number[] = [];

  /** Throws GrantError if one of them cannot be had; then none is mapped. */
  constructor(calls: Hypercalls, domid: number, grefs: readonly number[], at: number) {
    super(calls, at);
    try {
      grefs.forEach((gref, i) => this.#handles.push(calls.mapGrant(domid, gref, at + i)));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const handle of this.#handles.splice(0)) this.calls.unmapGrant(handle);
  }
}

export class GrantedPage extends GrantedPages {
  constructor(calls: Hypercalls, domid: number, gref: number, at: number) {
    super(calls, domid, [gref], at);
  }
}
