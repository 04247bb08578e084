// Work of which there could be any amount, for all viewers of a host together: never more than half of the thread's time, one piece at a time.
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';

export class Pacer {
  #last: Promise<void> = Promise.resolve();

  /** Does it when its turn has come. */
  run<T>(work: () => T): Promise<T> {
    const turn = this.#last.then(() => {
      const began = performance.now();
      const result = work();
      return { result, cost: performance.now() - began };
    });
    this.#last = turn.then(
      async ({ cost }) => {
        await (cost < 1 ? breathe() : sleep(cost));
      },
      () => {},
    );
    return turn.then(({ result }) => result);
  }
}
