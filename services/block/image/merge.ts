// Two images that lie behind each other become one.
import type { DiskImage } from './image.ts';
import type { CopyOptions } from './convert.ts';

const CHUNK = 1 << 20;

/**
 * Writes into `to`, which is new and has behind it what is behind the second image, what the first (`top`) and the one behind it say:
 * afterwards it reads as `top` does.
 */
export async function merge_images(top: DiskImage, to: DiskImage, options: CopyOptions = {}): Promise<void> {
  const buffer = Buffer.alloc(CHUNK);
  let done = 0;
  const fill = async (kind: 'data' | 'zero', offset: number, length: number): Promise<void> => {
    if (kind === 'zero') {
      if (to.backing) await to.write_zeroes(offset, length);
      return;
    }
    for (let at = offset; at < offset + length; ) {
      options.signal?.throwIfAborted();
      const bytes = buffer.subarray(0, Math.min(CHUNK, offset + length - at));
      await top.read(at, [bytes]);
      await to.write(at, [bytes]);
      at += bytes.length;
    }
  };
  const walk = async (from: DiskImage, offset: number, end: number, deeper: DiskImage | undefined): Promise<void> => {
    for (let at = offset; at < end; )
      for (const extent of await from.map(at, end - at)) {
        if (extent.kind !== 'backing') await fill(extent.kind, at, extent.length);
        else if (deeper) {
          const there = Math.min(extent.length, Math.max(0, deeper.size - at));
          if (there > 0) await walk(deeper, at, at + there, undefined);
          // Beyond the end of a smaller one there are zeros.
          if (there < extent.length) await fill('zero', at + there, extent.length - there);
        }
        at += extent.length;
        if (deeper) options.onProgress?.((done += extent.length));
      }
  };
  await walk(top, 0, top.size, top.backing);
  await to.flush();
}

/** Writes what `top` itself says into what is behind it (`into`): read through `top` nothing changes, at any moment. */
export async function merge_down(top: DiskImage, into: DiskImage, options: CopyOptions = {}): Promise<void> {
  const buffer = Buffer.alloc(CHUNK);
  if (into.size < top.size) await into.resize(top.size);
  for (let at = 0; at < top.size; )
    for (const { kind, length } of await top.map(at, top.size - at)) {
      const end = at + length;
      if (kind === 'zero') await into.write_zeroes(at, length);
      for (; kind === 'data' && at < end; at += CHUNK) {
        options.signal?.throwIfAborted();
        const bytes = buffer.subarray(0, Math.min(CHUNK, end - at));
        await top.read(at, [bytes]);
        await into.write(at, [bytes]);
      }
      options.signal?.throwIfAborted();
      at = end;
      options.onProgress?.(at);
    }
  await into.flush();
}
