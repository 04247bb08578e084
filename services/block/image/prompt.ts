// Whether a file answers at once, so that its calls are best made where they are wanted: what the system has in its page cache comes in the time of a copy, and
// going to a thread and back takes several times as long. A call that has to wait for a disk holds up everything behind it, so after one the
// threads have it for a while: the longer, the more often it was so.
const COPY_BYTES_PER_MS = 1 << 20;
/** Beyond copying; waits for a disk are longer, being put off the processor mostly shorter. */
const SLOW_MS = 0.3;
const LEAST = 32;
const MOST = 4096;

export class Promptness {
  /** Calls that the threads are to have. */
  #left = 0;
  #penalty = LEAST;
  #prompt = 0;

  /** Whether the next call is to be made here. */
  get here(): boolean {
    if (this.#left === 0) return true;
    this.#left--;
    return false;
  }

  /** A call that was made here took so long. */
  took(ms: number, bytes: number): void {
    if (ms <= SLOW_MS + bytes / COPY_BYTES_PER_MS) {
      if (++this.#prompt < this.#penalty) return;
      this.#prompt = 0;
      this.#penalty = Math.max(LEAST, this.#penalty / 2);
      return;
    }
    this.#prompt = 0;
    this.#left = this.#penalty;
    this.#penalty = Math.min(MOST, this.#penalty * 2);
  }
}
