// What the back end needs of its service domain: a round's work in one batch of calls (services/lib/ring_batch.ts is it).
import type { Done } from '../../lib/ring_batch.ts';
import type { GrantedPart, RingAt } from '../../lib/ring_calls.ts';

export interface Calls {
  readonly view: DataView;
  copy(
    domid: number,
    parts: readonly GrantedPart[],
    heap: number,
    length: number,
    toGuest: boolean,
  ): number | undefined;
  put(ring: RingAt, slots: readonly number[], write: (i: number, at: number) => void): void;
  take(ring: RingAt, quiet: boolean): void;
  go(): Done;
  /** Bytes of the service's own memory, which outlives its worker; nothing of the batch at hand, but the last one's results are gone. */
  load(at: number, length: number): Uint8Array;
  save(at: number, bytes: Uint8Array): void;
}

/** How much one batch takes. */
export interface Limits {
  /** Rings that it looks at. */
  takes: number;
  /** Bytes that it copies. */
  bytes: number;
  /** Rings that it answers, and answers to all of them. */
  puts: number;
  answers: number;
}
