// Copies one disk to another, whatever their formats, in little memory.
import type { DiskImage, Extent } from './image.ts';
import { ZEROS } from './raw.ts';

const CHUNK = 1 << 20;
const AT_ONCE = 4;
/** Zeros in a row of this length are left out where clusters are smaller or larger. */
const [LEAST_HOLE, MOST_HOLE] = [4096, 65536];

export interface CopyOptions {
  signal?: AbortSignal | undefined;
  /** bytes that are done, of the disk's size */
  onProgress?: (done: number) => void;
}

/** `to` is new and reads as zeros: they are not written. Throws the signal's reason when it is aborted. */
export async function copy_image(from: DiskImage, to: DiskImage, options: CopyOptions = {}): Promise<void> {
  const hole = Math.min(Math.max(to.cluster_size, LEAST_HOLE), MOST_HOLE);
  let done = 0;
  let next = 0;
  let extents: Extent[] = [];
  // Each takes the next chunk; where there is nothing to read is asked by one at a time.
  let asking: Promise<unknown> = Promise.resolve();
  const take = (): Promise<{ offset: number; length: number } | undefined> => {
    const taken = asking.then(async () => {
      while (next < from.size) {
        if (extents.length === 0) extents = await from.map(next, from.size - next);
        const extent = extents[0]!;
        const rest = extent.offset + extent.length - next;
        const offset = next;
        const length = extent.kind === 'zero' ? rest : Math.min(rest, CHUNK - (offset % CHUNK));
        next += length;
        if (length === rest) extents.shift();
        if (extent.kind !== 'zero') return { offset, length };
        options.onProgress?.((done += length));
      }
      return undefined;
    });
    asking = taken.catch(() => undefined);
    return taken;
  };
  const work = async (): Promise<void> => {
    const buffer = Buffer.alloc(CHUNK);
    for (;;) {
      options.signal?.throwIfAborted();
      const chunk = await take();
      if (!chunk) return;
      const bytes = buffer.subarray(0, chunk.length);
      await from.read(chunk.offset, [bytes]);
      for (const { start, end } of dataIn(bytes, hole))
        await to.write(chunk.offset + start, [bytes.subarray(start, end)]);
      options.onProgress?.((done += chunk.length));
    }
  };
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  await to.flush();
}

/** The stretches that are not zeros, in units of `hole`. */
function* dataIn(bytes: Buffer, hole: number): Generator<{ start: number; end: number }> {
  let start = -1;
  for (let at = 0; at < bytes.length; at += hole) {
    const end = Math.min(at + hole, bytes.length);
    const zero = bytes.compare(ZEROS, 0, end - at, at, end) === 0;
    if (!zero && start < 0) start = at;
    if (zero && start >= 0) {
      yield { start, end: at };
      start = -1;
    }
  }
  if (start >= 0) yield { start, end: bytes.length };
}
