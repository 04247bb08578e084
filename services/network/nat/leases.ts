// Who has which host number of a network. A port (a guest's interface) gets a few at most, so that one guest with ever
// new addresses takes no others'.

export const LEASES_PER_PORT = 8;

export interface Lease {
  number: number;
  /** A MAC address, or a DHCPv6 client's identity. */
  client: string;
  port: number;
}

export class Leases {
  readonly #first: number;
  readonly #last: number;
  readonly #byClient = new Map<string, Lease>();
  readonly #byNumber = new Map<number, Lease>();
  readonly #reserved = new Map<number, number>(); // number to port

  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
  }

  #key = (port: number, client: string): string => `${port} ${client}`;

  /** An address that the configuration gives to a port: nobody else gets it. */
  reserve(number: number, port: number): void {
    this.#reserved.set(number, port);
  }

  /** What a client has, or the next one that is free: the wanted one if that is. */
  take(port: number, client: string, wanted?: number): Lease | undefined {
    const key = this.#key(port, client);
    const has = this.#byClient.get(key);
    if (has) return has;
    if ([...this.#byClient.values()].filter((lease) => lease.port === port).length >= LEASES_PER_PORT) return undefined;
    const number = this.#choose(port, wanted);
    if (number === undefined) return undefined;
    const lease = { number, client, port };
    this.#byClient.set(key, lease);
    this.#byNumber.set(number, lease);
    return lease;
  }

  #choose(port: number, wanted: number | undefined): number | undefined {
    const free = (n: number) => !this.#byNumber.has(n) && (this.#reserved.get(n) ?? port) === port;
    for (const [number, owner] of this.#reserved) if (owner === port && free(number)) return number;
    if (wanted !== undefined && wanted >= this.#first && wanted <= this.#last && free(wanted)) return wanted;
    for (let n = this.#first; n <= this.#last; n++) if (free(n) && !this.#reserved.has(n)) return n;
    return undefined;
  }

  find(port: number, client: string): Lease | undefined {
    return this.#byClient.get(this.#key(port, client));
  }

  release(port: number, client: string): void {
    const lease = this.find(port, client);
    if (!lease) return;
    this.#byClient.delete(this.#key(port, client));
    this.#byNumber.delete(lease.number);
  }

  /** A port has gone, and its guest with it. */
  forget(port: number): void {
    for (const lease of [...this.#byClient.values()]) if (lease.port === port) this.release(port, lease.client);
    for (const [number, owner] of this.#reserved) if (owner === port) this.#reserved.delete(number);
  }

  *[Symbol.iterator](): Generator<Lease> {
    yield* this.#byNumber.values();
  }
}
