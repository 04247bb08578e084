/**
 * Work in short turns. All long work shares what there is: in one round of the event loop it gets TURN_MS together, so that the others
 * wait no longer when many ask for much at a time; and calls of which very many come at a time are begun a few a round.
 */

/** So long the work of one round may go on. */
const TURN_MS = 8;
/** So many calls begin in one round. */
const CALLS = 16;

/** First in, first out. */
class Queue {
  #waiting: (() => void)[] = [];
  #at = 0;

  get empty(): boolean {
    return this.#at === this.#waiting.length;
  }

  wait(): Promise<void> {
    arm();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(most: number): void {
    for (; most > 0 && !this.empty; most--) this.#waiting[this.#at++]();
    if (!this.empty && this.#at < 1024) return;
    this.#waiting.splice(0, this.#at);
    this.#at = 0;
  }
}

const calls = new Queue();
const long = new Queue();
/** When this round's work began; 0: it has not. */
let begun = 0;
let armed = false;

function arm(): void {
  if (armed) return;
  armed = true;
  setImmediate(round);
}

function round(): void {
  armed = false;
  begun = 0;
  if (calls.empty && long.empty) return;
  begun = performance.now();
  arm();
  calls.wake(CALLS);
  long.wake(1);
}

function late(): boolean {
  const now = performance.now();
  if (begun !== 0) return now - begun >= TURN_MS;
  begun = now;
  arm();
  return false;
}

/** To be awaited in each round of a loop; only now and then it takes time. */
export const turn = (): Promise<void> | undefined => (late() ? long.wait() : undefined);

/** To be awaited before a call is begun. */
export const admission = (): Promise<void> | undefined => (late() ? calls.wait() : undefined);
