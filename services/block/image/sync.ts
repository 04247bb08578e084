// Who waits for whom among the requests on one image.

/** Flushes that are asked for while one is under way share the next one. */
export class Syncer {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Answers when a flush that began after this call has ended. */
  sync(): Promise<void> {
    if (!this.#running) return this.#start();
    this.#next ??= this.#running
      .catch(() => undefined) // its own callers know
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  #start(): Promise<void> {
    const running = this.#sync().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}

/** Many at once, or one alone. Who wants to be alone goes before those who come after. */
export class Gate {
  #inside = 0;
  #alone = false;
  #waiting: { alone: boolean; go: () => void }[] = [];

  async shared<T>(work: () => Promise<T>): Promise<T> {
    if (this.#alone || this.#waiting.length > 0) await this.#wait(false);
    else this.#inside++;
    try {
      return await work();
    } finally {
      this.#inside--;
      this.#pass();
    }
  }

  async exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#alone || this.#inside > 0 || this.#waiting.length > 0) await this.#wait(true);
    else this.#alone = true;
    try {
      return await work();
    } finally {
      this.#alone = false;
      this.#pass();
    }
  }

  #wait(alone: boolean): Promise<void> {
    return new Promise((go) => this.#waiting.push({ alone, go }));
  }

  #pass(): void {
    while (this.#waiting.length > 0 && !this.#alone) {
      const { alone } = this.#waiting[0]!;
      if (alone && this.#inside > 0) return;
      const { go } = this.#waiting.shift()!;
      if (alone) this.#alone = true;
      else this.#inside++;
      go();
    }
  }
}

/** One after the other. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** A table of the image in memory. Who changes it holds it (`pins`), so that it is not read anew meanwhile. */
export interface Cached<T> {
  value: T;
  pins: number;
}

/** The tables used last. They are written through, so that one can be dropped at any time. */
export class Cache<T> {
  readonly #entries = new Map<number, Cached<T>>();
  readonly #loading = new Map<number, Promise<Cached<T>>>();
  readonly #load: (key: number) => Promise<T>;
  readonly #most: number;

  constructor(most: number, load: (key: number) => Promise<T>) {
    this.#most = most;
    this.#load = load;
  }

  /** What is there without waiting. */
  peek(key: number): Cached<T> | undefined {
    const found = this.#entries.get(key);
    if (found) {
      this.#entries.delete(key);
      this.#entries.set(key, found);
    }
    return found;
  }

  async get(key: number): Promise<Cached<T>> {
    const found = this.peek(key);
    if (found) return found;
    let loading = this.#loading.get(key);
    if (!loading) {
      loading = this.#load(key)
        .then((value) => this.put(key, value))
        .finally(() => this.#loading.delete(key));
      this.#loading.set(key, loading);
    }
    return loading;
  }

  /** Like `get`, and held until `pins` is counted down. */
  async pin(key: number): Promise<Cached<T>> {
    for (;;) {
      const entry = await this.get(key);
      if (this.#entries.get(key) !== entry) continue; // dropped since
      entry.pins++;
      return entry;
    }
  }

  put(key: number, value: T): Cached<T> {
    const entry = { value, pins: 0 };
    this.#entries.set(key, entry);
    if (this.#entries.size > this.#most) {
      for (const [old, { pins }] of this.#entries) {
        if (pins > 0 || old === key) continue;
        this.#entries.delete(old);
        break;
      }
    }
    return entry;
  }

  delete(key: number): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}
