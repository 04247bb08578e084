// Room in the box's heap for frames on their way, so that a frame's bytes are written once between where it is made and the guest's page. A frame
// there lasts as long as the call it is given by, unless who it is given to holds it.
import { Heap } from '../../lib/heap.ts';
import type { Kept } from '../protocol/frame.ts';

/** Smaller frames are copied sooner than kept track of. */
export const SMALLEST_KEPT = 2048;

export class FrameRoom {
  readonly #bytes: Uint8Array;
  readonly #heap: Heap;

  constructor(bytes: Uint8Array, from: number) {
    this.#bytes = bytes;
    this.#heap = new Heap(from, bytes.length);
  }

  /** Room for a frame of so many bytes, held once; undefined if there is none now, or the frame is small. */
  take(length: number): Kept | undefined {
    const at = length < SMALLEST_KEPT ? -1 : this.#heap.take(length);
    if (at < 0) return undefined;
    let held = 1;
    return {
      at,
      bytes: this.#bytes.subarray(at, at + length),
      hold: () => void held++,
      release: () => {
        if (--held === 0) this.#heap.give(at, length);
      },
    };
  }
}
