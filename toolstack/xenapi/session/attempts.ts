/** How many wrong passwords an address may send: a bucket that fills again by time. */
const BURST = 10;
const PER_SECOND = 0.5;
const MAX_ADDRESSES = 10_000;

export class Attempts {
  readonly #failures = new Map<string, { count: number; at: number }>();

  #now(address: string, now: number): number {
    const entry = this.#failures.get(address);
    return entry ? Math.max(0, entry.count - ((now - entry.at) / 1000) * PER_SECOND) : 0;
  }

  allowed(address: string, now = Date.now()): boolean {
    return this.#now(address, now) < BURST;
  }

  failed(address: string, now = Date.now()): void {
    const count = this.#now(address, now) + 1;
    // Newest last, so that the oldest can be dropped.
    this.#failures.delete(address);
    this.#failures.set(address, { count, at: now });
    if (this.#failures.size > MAX_ADDRESSES) this.#failures.delete(this.#failures.keys().next().value!);
  }

  succeeded(address: string): void {
    this.#failures.delete(address);
  }
}
