/** Names of addresses: sorted symbols with a search. */

export interface NamedAddress {
  readonly address: bigint;
  readonly name: string;
  /** Code (functions and labels), else data. */
  readonly code: boolean;
  /** Bytes, 0 = up to the next symbol. */
  readonly size: number;
}

/** A last symbol without a size reaches no further than this. */
const MAX_SIZE = 0x10000;

export class SymbolTable {
  readonly #symbols: readonly NamedAddress[];
  readonly #addresses: BigUint64Array;
  readonly #names = new Map<string, bigint>();

  /** Of several names of an address the first one in the list stands for it. */
  constructor(symbols: readonly NamedAddress[]) {
    const sorted = [...symbols].sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    this.#symbols = sorted.filter((s, i) => i === 0 || s.address !== sorted[i - 1]!.address);
    this.#addresses = BigUint64Array.from(this.#symbols, (s) => s.address);
    for (const { name, address } of symbols) if (!this.#names.has(name)) this.#names.set(name, address);
  }

  get length(): number {
    return this.#symbols.length;
  }

  [Symbol.iterator](): IterableIterator<NamedAddress> {
    return this.#symbols[Symbol.iterator]();
  }

  address(name: string): bigint | undefined {
    return this.#names.get(name);
  }

  /** The symbol that an address lies in. */
  find(address: bigint): NamedAddress | undefined {
    const list = this.#addresses;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    const symbol = this.#symbols[low - 1];
    if (symbol === undefined) return undefined;
    const inside = address - symbol.address;
    const end = symbol.size || (low < list.length ? Infinity : MAX_SIZE);
    return inside < end ? symbol : undefined;
  }
}
