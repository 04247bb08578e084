// A page of a guest, mapped into a service's own space, as the ring code wants it.
import type { Hypercalls } from './hypercalls.ts';
import type { RingPage } from './ring_page.ts';

const PAGE = 4096;

/** Maps frame `gfn` of a domain at frame `at` of the service's space. */
export class ForeignPage implements RingPage {
  readonly #calls: Hypercalls;
  readonly #at: number;

  constructor(calls: Hypercalls, domid: number, gfn: number, at: number) {
    calls.mapForeign(domid, gfn, 1, at);
    this.#calls = calls;
    this.#at = at;
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
    return this.#calls.mailbox.read(this.#at * PAGE + offset, length).slice();
  }

  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#calls.mailbox.write(this.#at * PAGE + offset, bytes);
  }

  close(): void {
    this.#calls.unmap(this.#at, 1);
  }
}
