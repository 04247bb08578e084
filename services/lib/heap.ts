// Room in a box's heap for requests' bytes: first fit among the free stretches, which are kept in order.
const UNIT = 512;

export class Heap {
  readonly #free: { at: number; length: number }[];
  constructor(at: number, end: number) {
    this.#free = [{ at, length: end - at }];
  }

  /** -1: there is no room now. */
  take(length: number): number {
    const need = Math.max(UNIT, Math.ceil(length / UNIT) * UNIT);
    for (let i = 0; i < this.#free.length; i++) {
      const stretch = this.#free[i]!;
      if (stretch.length < need) continue;
      const { at } = stretch;
      stretch.at += need;
      stretch.length -= need;
      if (stretch.length === 0) this.#free.splice(i, 1);
      return at;
    }
    return -1;
  }

  give(at: number, taken: number): void {
    const length = Math.max(UNIT, Math.ceil(taken / UNIT) * UNIT);
    let i = this.#free.findIndex((stretch) => stretch.at > at);
    if (i < 0) i = this.#free.length;
    const [before, after] = [this.#free[i - 1], this.#free[i]];
    const joins = before !== undefined && before.at + before.length === at;
    if (joins) before.length += length;
    if (after !== undefined && at + length === after.at) {
      if (joins) {
        before.length += after.length;
        this.#free.splice(i, 1);
      } else {
        after.at = at;
        after.length += length;
      }
    } else if (!joins) this.#free.splice(i, 0, { at, length });
  }

  get largest(): number {
    return Math.max(0, ...this.#free.map(({ length }) => length));
  }
}
