/** How many wrong passwords an address may send: a bucket that fills again by time. */
const BURST = 10;
const PER_SECOND = 0.5;
const MAX_ADDRESSES = 10_000;
const MAX_WAITING = 256;
const MAX_WAITING_EACH = 64;

/** Whoever has an address of IPv6 mostly has 2^64 of them. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [left, right] = address.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = right ? Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0') : [];
  return [...left, ...zeros, ...(right ?? [])].slice(0, 4).join(':');
}

export class Attempts {
  readonly #turns = new Map<string, { last: Promise<unknown>; count: number }>();
  #waiting = 0;

  /** Whether there are too many logins that have not been looked at yet, of one address or of all. */
  crowded(address: string): boolean {
    return this.#waiting >= MAX_WAITING || (this.#turns.get(networkOf(address))?.count ?? 0) >= MAX_WAITING_EACH;
  }

  /** One login of an address after the other: many at a time would all be before the first that has failed. */
  async inTurn<T>(address: string, act: () => Promise<T>): Promise<T> {
    const network = networkOf(address);
    const turn = this.#turns.get(network) ?? { last: Promise.resolve(), count: 0 };
    this.#turns.set(network, turn);
    const mine = turn.last.then(act);
    turn.last = mine.catch(() => {});
    turn.count++;
    this.#waiting++;
    try {
      return await mine;
    } finally {
      this.#waiting--;
      if (--turn.count === 0) this.#turns.delete(network);
    }
  }

  readonly #failures = new Map<string, { count: number; at: number }>();

  #now(address: string, now: number): number {
    const entry = this.#failures.get(networkOf(address));
    return entry ? Math.max(0, entry.count - ((now - entry.at) / 1000) * PER_SECOND) : 0;
  }

  allowed(address: string, now = Date.now()): boolean {
    return this.#now(address, now) < BURST;
  }

  failed(address: string, now = Date.now()): void {
    const count = this.#now(address, now) + 1;
    const network = networkOf(address);
    // Newest last, so that the oldest can be dropped.
    this.#failures.delete(network);
    this.#failures.set(network, { count, at: now });
    if (this.#failures.size > MAX_ADDRESSES) this.#failures.delete(this.#failures.keys().next().value!);
  }

  succeeded(address: string): void {
    this.#failures.delete(networkOf(address));
  }
}
