// How fast a disk may be used: what was begun flows off at the rate, and no more is taken while there is more than a tenth of a second of it.

/** 0: no limit. */
export interface Limits {
  /** Requests a second. */
  iops: number;
  /** Bytes a second. */
  bps: number;
}

const BURST_SECONDS = 0.1;

export class Limiter {
  readonly #limits: Limits;
  readonly #now: () => number;
  #at: number;
  #requests = 0;
  #bytes = 0;

  constructor(limits: Limits, now: () => number = () => performance.now() / 1000) {
    this.#limits = limits;
    this.#now = now;
    this.#at = now();
  }

  #flow(): void {
    const now = this.#now();
    const passed = now - this.#at;
    this.#at = now;
    this.#requests = Math.max(0, this.#requests - passed * this.#limits.iops);
    this.#bytes = Math.max(0, this.#bytes - passed * this.#limits.bps);
  }

  /** Seconds until more may be taken. */
  get wait(): number {
    this.#flow();
    const of = (level: number, rate: number): number => (rate > 0 ? level / rate - BURST_SECONDS : 0);
    return Math.max(0, of(this.#requests, this.#limits.iops), of(this.#bytes, this.#limits.bps));
  }

  begun(bytes: number): void {
    this.#flow();
    if (this.#limits.iops > 0) this.#requests++;
    if (this.#limits.bps > 0) this.#bytes += bytes;
  }
}
