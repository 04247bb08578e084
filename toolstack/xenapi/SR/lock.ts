/** Many at a time, or one alone; whoever wants to be alone is not kept waiting by those who come later. */
export class Lock {
  #shared = 0;
  #alone = false;
  #waiting: { alone: boolean; go: () => void }[] = [];

  async shared<T>(act: () => Promise<T>): Promise<T> {
    if (this.#alone || this.#waiting.length > 0) await this.#queue(false);
    else this.#shared++;
    try {
      return await act();
    } finally {
      this.#shared--;
      this.#next();
    }
  }

  async alone<T>(act: () => Promise<T>): Promise<T> {
    if (this.#alone || this.#shared > 0 || this.#waiting.length > 0) await this.#queue(true);
    else this.#alone = true;
    try {
      return await act();
    } finally {
      this.#alone = false;
      this.#next();
    }
  }

  #queue(alone: boolean): Promise<void> {
    return new Promise((go) => this.#waiting.push({ alone, go }));
  }

  #next(): void {
    while (this.#waiting.length > 0 && !this.#alone) {
      const { alone, go } = this.#waiting[0];
      if (alone && this.#shared > 0) return;
      this.#waiting.shift();
      if (alone) this.#alone = true;
      else this.#shared++;
      go();
    }
  }
}
