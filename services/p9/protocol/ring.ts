// The rings of Xen's 9p transport (public/io/9pfs.h): bytes both ways, each ring's indexes on a page of their own, which names the data's pages.
import { ByteRing, PAGE_SIZE, type RingPage } from '../../lib/ring_page.ts';

const IN = { cons: 0, prod: 4 };
const OUT = { cons: 64, prod: 68 };
const ORDER = 128;
const REFS = 132;
/** 2^7 pages: half of them for each way. */
export const MAX_ORDER = 7;

/** What a front end says of a ring's data, read once; undefined: it cannot be. */
export function readRefs(page: RingPage): number[] | undefined {
  const order = page.loadU32(ORDER);
  if (order < 1 || order > MAX_ORDER) return undefined;
  const bytes = page.readBytes(REFS, 4 << order);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: 1 << order }, (_, i) => view.getUint32(4 * i, true));
}

/** The index page, and the data behind it. */
class Joined implements RingPage {
  readonly #indexes: RingPage;
  readonly #data: RingPage;
  constructor(indexes: RingPage, data: RingPage) {
    this.#indexes = indexes;
    this.#data = data;
  }
  loadU32(offset: number): number {
    return this.#indexes.loadU32(offset);
  }
  storeU32(offset: number, value: number): void {
    this.#indexes.storeU32(offset, value);
  }
  readBytes(offset: number, length: number): Uint8Array {
    return this.#data.readBytes(offset - PAGE_SIZE, length);
  }
  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#data.writeBytes(offset - PAGE_SIZE, bytes);
  }
}

/** `requests` come from the front end, `answers` go to it. */
export function dataRings(indexes: RingPage, data: RingPage, pages: number): { answers: ByteRing; requests: ByteRing } {
  const page = new Joined(indexes, data);
  const size = (pages * PAGE_SIZE) / 2;
  return {
    answers: new ByteRing(page, { data: PAGE_SIZE, size, ...IN }),
    requests: new ByteRing(page, { data: PAGE_SIZE + size, size, ...OUT }),
  };
}
