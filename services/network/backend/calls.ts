// What the back end needs of its service domain: rings worked on in batches of calls (services/lib/ring_calls.ts is it).
import type { Copy, RingAt, TakeResult } from '../../lib/ring_calls.ts';

export interface Calls {
  readonly view: DataView;
  take(rings: readonly RingAt[], max: number): { ports: number[]; taken: TakeResult[] };
  copy(copies: readonly Copy[], failed: (i: number) => void): void;
  put(ring: RingAt, slots: readonly number[], write: (i: number, at: number) => void): number;
}

/** How much one call takes. */
export interface Limits {
  /** Rings that one `take` serves, of so many entries each. */
  rings: number;
  entries: number;
  /** Answers of one `put`. */
  answers: number;
}
