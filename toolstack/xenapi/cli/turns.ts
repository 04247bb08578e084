/** Lets others have their turn in the middle of long work. */
import { setImmediate } from 'node:timers/promises';

/** So long one piece of work may go on. */
const TURN_MS = 8;

export class Turns {
  #since = performance.now();

  /** To be awaited in each round of a loop; only now and then it takes time. */
  next(): Promise<void> | undefined {
    if (performance.now() - this.#since < TURN_MS) return undefined;
    return setImmediate().then(() => {
      this.#since = performance.now();
    });
  }
}
