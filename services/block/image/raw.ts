// A raw image: the disk's bytes in a file or block device.
import type { BlockFile } from './file.ts';
import { check_request, ImageError, SECTOR, total, type DiskImage, type Extent } from './image.ts';
import { Gate, Syncer } from './sync.ts';

/** Zeros to write from. */
export const ZEROS = new Uint8Array(1 << 20);

/** Writes zeros where holes cannot be had. */
export async function write_zeros(file: BlockFile, at: number, length: number): Promise<void> {
  for (let done = 0; done < length; done += ZEROS.length) {
    await file.write(at + done, [ZEROS.subarray(0, Math.min(ZEROS.length, length - done))]);
  }
}

export class RawImage implements DiskImage {
  readonly format = 'raw';
  readonly path: string;
  readonly readonly: boolean;
  readonly sector_size = SECTOR;
  readonly cluster_size = 4096;
  readonly backing = undefined;
  size: number;
  readonly #file: BlockFile;
  readonly #gate = new Gate();
  readonly #syncer: Syncer;
  readonly #isDevice: boolean;
  #closed = false;

  /** `release` gives up the lock. */
  constructor(file: BlockFile, options: { readonly: boolean; isDevice?: boolean }) {
    this.#file = file;
    this.path = file.path;
    this.readonly = options.readonly;
    this.#isDevice = options.isDevice ?? false;
    // What is missing of the last sector reads as zeros.
    this.size = Math.ceil(file.size / SECTOR) * SECTOR;
    this.#syncer = new Syncer(() => file.sync());
  }

  read(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#request(offset, total(buffers), false, () => this.#file.read(offset, buffers));
  }

  write(offset: number, buffers: readonly Uint8Array[], options?: { fua?: boolean }): Promise<void> {
    return this.#request(offset, total(buffers), true, async () => {
      await this.#file.write(offset, buffers);
      if (options?.fua) await this.#syncer.sync();
    });
  }

  flush(): Promise<void> {
    return this.#request(0, 0, false, async () => {
      if (!this.readonly) await this.#syncer.sync();
    });
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#request(offset, length, true, async () => {
      if (length > 0) await this.#file.punch(offset, length);
    });
  }

  write_zeroes(offset: number, length: number, options?: { unmap?: boolean }): Promise<void> {
    return this.#request(offset, length, true, async () => {
      if (length === 0) return;
      if (options?.unmap !== false && (await this.#file.punch(offset, length))) return;
      await write_zeros(this.#file, offset, length);
    });
  }

  resize(size: number): Promise<void> {
    return this.#gate.exclusive(async () => {
      check_size(this, size);
      if (this.#isDevice) throw new ImageError('unsupported', 'a block device has the size that it has.');
      await this.#file.truncate(size);
      await this.#syncer.sync();
      this.size = size;
    });
  }

  /** Where the file has holes is not asked: reading them is fast. */
  async map(offset: number, length: number): Promise<Extent[]> {
    check_request(this, offset, length, false);
    return [{ offset, length, kind: 'data' }];
  }

  close(): Promise<void> {
    return this.#gate.exclusive(async () => {
      if (this.#closed) return;
      this.#closed = true;
      try {
        if (!this.readonly) await this.#syncer.sync();
      } finally {
        await this.#file.close();
      }
    });
  }

  #request(offset: number, length: number, writes: boolean, work: () => Promise<void>): Promise<void> {
    return this.#gate.shared(async () => {
      if (this.#closed) throw closed(this.path);
      check_request(this, offset, length, writes);
      await work();
    });
  }
}

export const closed = (path: string): ImageError => new ImageError('closed', 'the image is closed.', { path });

/** What a new size must be, whatever the format. */
export function check_size(image: { readonly: boolean; path: string }, size: number): void {
  const bad = (why: string): ImageError => new ImageError('range', why, { path: image.path });
  if (image.readonly) throw bad('it is open for reading only.');
  if (!Number.isSafeInteger(size) || size < 0 || size % SECTOR !== 0)
    throw bad(`a disk's size is a multiple of ${SECTOR} bytes, not ${size}.`);
}
