// What the back end needs of its service domain: rings worked on in batches of calls (services/lib/ring_calls.ts is it).

export interface RingAt {
  journal: number;
  entries: number;
  entrySize: number;
  answerSize: number;
}

export interface Taken {
  slot: number;
  /** Where the entry's bytes are in `view`; until the next call of whatever kind. */
  at: number;
  sequence: number;
}

export interface TakeResult {
  requests: Taken[];
  more: boolean;
  /** 0, or a negative errno: the ring is to be given up. */
  status: number;
}

/** Bytes between a front end's granted page and the heap. */
export interface Copy {
  domid: number;
  gref: number;
  offset: number;
  length: number;
  heap: number;
  toGuest: boolean;
}

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
