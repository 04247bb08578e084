// A token bucket: bytes that may pass, refilled as time goes by.

export interface Rate {
  bytesPerSecond: number;
  /** Bytes that may pass at once after a rest. */
  burst: number;
}

export class Bucket {
  readonly #rate: Rate;
  #tokens: number;
  #at: number;

  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#at = now;
  }

  #refill(now: number): void {
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + ((now - this.#at) / 1000) * this.#rate.bytesPerSecond);
    this.#at = now;
  }

  /** How many milliseconds from `now` on something may pass again: 0 when it may now. */
  wait(now: number): number {
    this.#refill(now);
    return this.#tokens > 0 ? 0 : Math.ceil(((1 - this.#tokens) / this.#rate.bytesPerSecond) * 1000);
  }

  /** So many bytes pass. What is more than there was is owed, so that a frame larger than the burst passes too. */
  take(bytes: number, now: number): void {
    this.#refill(now);
    this.#tokens -= bytes;
  }
}
