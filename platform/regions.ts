// A pCPU's translated regions: instances of the modules that the translator answers with, and the table through which the core calls
// them.
import type { Core } from './core.ts';

/** Places in the table that are made at a time. */
const GROWTH = 1024;
/** Regions of a pCPU and bytes of their modules at most: with more, those that come are not used until all decoded code has been forgotten. */
export const MAX_REGIONS = 16384;
export const MAX_BYTES = 64 << 20;

export interface Answer {
  slot: number;
  module: WebAssembly.Module;
  /** The module's length: what it costs. */
  bytes: number;
}

/** What core/translator/counters.ts counts, in its order. */
const COUNTERS = [
  'installed',
  'rejected',
  'dead',
  'entries',
  'interprets',
  'targets',
  'declines',
  'limits',
  'checks',
  'retired',
] as const;
export type RegionCounts = Record<(typeof COUNTERS)[number], number>;

/** What a pCPU has counted of its regions. */
export function regionCounts(core: Core, pcpu: number): RegionCounts {
  return Object.fromEntries(COUNTERS.map((name, i) => [name, core.region_count(pcpu, i)])) as RegionCounts;
}

export class Regions {
  readonly #core: Core;
  readonly #env: WebAssembly.Imports;
  readonly #first: number;
  /** Bytes of the module at each place that was ever used, 0 = it is vacant. */
  #sizes: number[] = [];
  #vacant: number[] = [];
  #bytes = 0;
  #epoch: number;

  constructor(core: Core, memory: WebAssembly.Memory) {
    this.#core = core;
    this.#env = { env: { mem: memory } };
    this.#first = core.table.length;
    this.#epoch = core.region_epoch();
  }

  install({ slot, module, bytes }: Answer): void {
    this.#forget();
    this.#clear();
    let at = 0;
    if (this.#bytes + bytes <= MAX_BYTES) at = this.#place();
    if (at !== 0) this.#core.table.set(at, new WebAssembly.Instance(module, this.#env).exports.f);
    // without a place the core only frees the slot
    if (this.#core.region_install(slot, at) !== 0) {
      this.#sizes[at - this.#first] = bytes;
      this.#bytes += bytes;
    } else if (at !== 0) this.#vacate(at);
  }

  /** A place for another function, 0 = there is none. */
  #place(): number {
    const vacant = this.#vacant.pop();
    if (vacant !== undefined) return vacant;
    if (this.#sizes.length === MAX_REGIONS) return 0;
    const at = this.#first + this.#sizes.push(0) - 1;
    if (at >= this.#core.table.length) this.#core.table.grow(GROWTH);
    return at;
  }

  #vacate(at: number): void {
    this.#core.table.set(at, null);
    this.#bytes -= this.#sizes[at - this.#first]!;
    this.#sizes[at - this.#first] = 0;
    this.#vacant.push(at);
  }

  /** Regions whose code was written give their places back. */
  #clear(): void {
    for (let at = this.#core.region_vacant(); at !== 0; at = this.#core.region_vacant()) this.#vacate(at);
  }

  /** When the core has forgotten its regions nothing calls their functions any more. */
  #forget(): void {
    const epoch = this.#core.region_epoch();
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    for (let i = 0; i < this.#sizes.length; i++) this.#core.table.set(this.#first + i, null);
    this.#sizes = [];
    this.#vacant = [];
    this.#bytes = 0;
  }
}
