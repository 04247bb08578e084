// A thread's short sleep, which others may use for its good. Where every processor is wanted by others it is no short one, for whoever sleeps gives up his turn: then it is
// left out for a while, the longer the more often that was so.
const LEAST = 64;
const MOST = 4096;

export class Pause {
  readonly #word = new Int32Array(new SharedArrayBuffer(4));
  readonly #ms: number;
  readonly #late: number;
  readonly #sleep: (ms: number) => number;
  /** Sleeps that are left out. */
  #left = 0;
  #penalty = LEAST;
  #good = 0;

  /** `ms` is how long to sleep, `late` when it has taken too long. `sleep` is a test's: it gives the milliseconds that passed. */
  constructor(ms: number, late: number, sleep?: (ms: number) => number) {
    this.#ms = ms;
    this.#late = late;
    this.#sleep = sleep ?? ((time) => this.#wait(time));
  }

  /** Sleeps, or not. */
  take(): void {
    if (this.#left > 0) {
      this.#left--;
      return;
    }
    if (this.#sleep(this.#ms) > this.#late) {
      this.#good = 0;
      this.#left = this.#penalty;
      this.#penalty = Math.min(MOST, this.#penalty * 2);
    } else if (++this.#good === this.#penalty) {
      this.#good = 0;
      this.#penalty = Math.max(LEAST, this.#penalty / 2);
    }
  }

  #wait(ms: number): number {
    const begun = performance.now();
    Atomics.wait(this.#word, 0, 0, ms);
    return performance.now() - begun;
  }
}
