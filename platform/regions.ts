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

export interface RegionCounts {
  installed: number;
  rejected: number;
  entries: number;
  interprets: number;
  targets: number;
  declines: number;
  /** Instructions retired in regions. */
  retired: number;
  /** Regions whose pages were looked at anew. */
  checks: number;
}
const COUNTERS: readonly (keyof RegionCounts)[] = [
  'installed',
  'rejected',
  'entries',
  'interprets',
  'targets',
  'declines',
  'retired',
  'checks',
];

/** What a pCPU's core has counted. */
export function regionCounts(core: Core): RegionCounts {
  return Object.fromEntries(COUNTERS.map((name, i) => [name, core.region_count(i)])) as unknown as RegionCounts;
}

export class Regions {
  readonly #core: Core;
  readonly #env: WebAssembly.Imports;
  readonly #first: number;
  #used = 0;
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
    let at = 0;
    if (this.#used < MAX_REGIONS && this.#bytes + bytes <= MAX_BYTES) {
      at = this.#first + this.#used;
      const table = this.#core.table;
      if (at >= table.length) table.grow(GROWTH);
      table.set(at, new WebAssembly.Instance(module, this.#env).exports.f);
    }
    // without a place the core only frees the slot
    if (this.#core.region_install(slot, at) === 0) return;
    this.#used++;
    this.#bytes += bytes;
  }

  /** When the core has forgotten its regions nothing calls their functions any more. */
  #forget(): void {
    const epoch = this.#core.region_epoch();
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    for (let i = 0; i < this.#used; i++) this.#core.table.set(this.#first + i, null);
    this.#used = this.#bytes = 0;
  }
}
