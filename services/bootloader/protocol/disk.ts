/** What a boot loader reads from: bytes of a disk whose owner is not to be trusted. */

/** Nothing can be booted from what was named: one sentence. */
export class BootError extends Error {
  override name = 'BootError';
}

export const fail = (text: string): never => {
  throw new BootError(text);
};

export interface Disk {
  readonly size: number;
  /** Throws BootError outside of the disk. */
  read(at: number, length: number): Uint8Array;
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** Checks every access, and how much is read altogether: a disk whose structures go in circles comes to an end. */
export class BoundedDisk implements Disk {
  readonly #disk: Disk;
  readonly #from: number;
  readonly size: number;
  readonly #budget: { bytes: number };

  constructor(disk: Disk, budget: { bytes: number }, from = 0, size = disk.size - from) {
    this.#disk = disk;
    this.#budget = budget;
    this.#from = from;
    this.size = size;
  }

  /** A part of the disk, cut off at the disk's end. */
  part(from: number, size: number): BoundedDisk {
    const inside = Math.max(0, Math.min(size, this.size - from));
    return new BoundedDisk(this.#disk, this.#budget, this.#from + from, inside);
  }

  read(at: number, length: number): Uint8Array {
    if (!(at >= 0 && length >= 0 && at + length <= this.size))
      return fail(`the disk is damaged: ${length} bytes at ${at} are asked for, it ends at ${this.size}.`);
    // A small read costs more than its bytes.
    this.#budget.bytes -= length + 512;
    if (this.#budget.bytes < 0) return fail('the disk is damaged: too much of it would have to be read.');
    return this.#disk.read(this.#from + at, length);
  }
}

/** A disk in memory. */
export class MemoryDisk implements Disk {
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get size(): number {
    return this.#bytes.length;
  }
  read(at: number, length: number): Uint8Array {
    return this.#bytes.subarray(at, at + length);
  }
}
