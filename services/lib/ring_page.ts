// The seam between a service and a page it shares with a guest, and the byte ring both xenstore and the console use on it.

/** One shared page. Everything in it is hostile: read a word once, check the copy, use the copy. */
export interface RingPage {
  /** Reads a naturally aligned u32; no later access moves before it (acquire). */
  loadU32(offset: number): number;
  /** Writes a naturally aligned u32; no earlier access moves after it (release). */
  storeU32(offset: number, value: number): void;
  /** Copies bytes out of the page; the copy is private. */
  readBytes(offset: number, length: number): Uint8Array;
  writeBytes(offset: number, bytes: Uint8Array): void;
}

export const PAGE_SIZE = 4096;

/** A page in memory of this process, shared with other threads or not. */
export class MemoryRingPage implements RingPage {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  }

  loadU32(offset: number): number {
    return Atomics.load(this.#words, offset >> 2) >>> 0;
  }

  storeU32(offset: number, value: number): void {
    Atomics.store(this.#words, offset >> 2, value | 0);
  }

  readBytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(offset, offset + length));
  }

  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, offset);
  }
}

/** Where a byte ring lies in its page. Indexes are free-running u32; `size` is a power of two. */
export interface ByteRingLayout {
  data: number;
  size: number;
  cons: number;
  prod: number;
}

/** One direction of a byte ring. Both indexes live in the page, as the peer may reset them; neither is believed unchecked. */
export class ByteRing {
  readonly page: RingPage;
  readonly layout: ByteRingLayout;

  constructor(page: RingPage, layout: ByteRingLayout) {
    this.page = page;
    this.layout = layout;
  }

  /** Takes up to `max` bytes; undefined if the indexes are impossible (prod - cons beyond the ring). */
  take(max: number): Uint8Array | undefined {
    const { data, size } = this.layout;
    const [cons, used] = this.#indexes();
    if (used > size) return undefined;
    const length = Math.max(0, Math.min(used, max));
    const bytes = new Uint8Array(length);
    const start = cons & (size - 1);
    const first = Math.min(length, size - start);
    if (first > 0) bytes.set(this.page.readBytes(data + start, first));
    if (length > first) bytes.set(this.page.readBytes(data, length - first), first);
    if (length > 0) this.page.storeU32(this.layout.cons, cons + length);
    return bytes;
  }

  /** Puts what fits and returns its length; undefined if the indexes are impossible. */
  put(bytes: Uint8Array): number | undefined {
    const { data, size } = this.layout;
    const [cons, used] = this.#indexes();
    if (used > size) return undefined;
    const prod = cons + used;
    const length = Math.min(bytes.length, size - used);
    const start = prod & (size - 1);
    const first = Math.min(length, size - start);
    if (first > 0) this.page.writeBytes(data + start, bytes.subarray(0, first));
    if (length > first) this.page.writeBytes(data, bytes.subarray(first, length));
    if (length > 0) this.page.storeU32(this.layout.prod, prod + length);
    return length;
  }

  /** Bytes that are there to be taken; undefined if the indexes are impossible. What is not used is free to be put. */
  used(): number | undefined {
    const [, used] = this.#indexes();
    return used > this.layout.size ? undefined : used;
  }

  #indexes(): [cons: number, used: number] {
    const cons = this.page.loadU32(this.layout.cons);
    const prod = this.page.loadU32(this.layout.prod);
    return [cons, (prod - cons) >>> 0];
  }
}
