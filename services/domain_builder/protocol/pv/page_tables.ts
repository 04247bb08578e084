/** The page tables that a PV domain starts with: which tables its mappings need, and their entries. */
import { PAGE } from '../bytes.ts';

/** `pages` pages from virtual address `at` (64 bits at most, sign extension included) show the frames from `pfn` on. */
export interface Mapping {
  readonly at: bigint;
  readonly pages: number;
  readonly pfn: number;
}

/** A table: what part of the address space it covers is `index` parts of its size from 0. */
export interface Table {
  readonly level: number;
  readonly index: number;
  pfn: number;
}

export interface Paging {
  /** 4: 64-bit, 3: PAE. */
  readonly levels: 3 | 4;
  /** Bits of an address that are translated. */
  readonly bits: 48 | 32;
}
export const PAGING: Readonly<Record<32 | 64, Paging>> = { 64: { levels: 4, bits: 48 }, 32: { levels: 3, bits: 32 } };

const ENTRIES = 512;
const P = 0x01n;
const RW = 0x02n;
const US = 0x04n;
const A = 0x20n;
const D = 0x40n;
const LEAF = P | RW | A;
const LINK = P | RW | US | A | D;
/** The four entries of a PAE root have no such bits. */
const PAE_ROOT = P;
/** Of a PAE root's four tables the last must be there: a part of it is the hypervisor's. */
const PAE_LAST = 3;

const pageOf = ({ bits }: Paging, address: bigint): number => Number(BigInt.asUintN(bits, address) >> 12n);

/** What part of level `level` a page belongs to. */
const indexAt = (page: number, level: number): number => Math.floor(page / ENTRIES ** level);

/** Tables by level and index; those that a mapping adds are numbered in the order of their making, from the root down. */
export class TableSet {
  readonly paging: Paging;
  readonly all: Table[] = [];
  readonly #known = new Map<string, Table>();
  readonly #mappings: Mapping[] = [];

  constructor(paging: Paging) {
    this.paging = paging;
  }

  /** How many tables more a mapping would need. */
  missing(mapping: Mapping): number {
    return this.#wanted(mapping).length;
  }

  /** Adds a mapping and its tables, which take the frames from `pfn` on. */
  add(mapping: Mapping, pfn: number): void {
    for (const [level, index] of this.#wanted(mapping)) {
      const table = { level, index, pfn: pfn++ };
      this.all.push(table);
      this.#known.set(`${level}/${index}`, table);
    }
    this.#mappings.push(mapping);
  }

  #wanted({ at, pages }: Mapping): [number, number][] {
    const { levels } = this.paging;
    const first = pageOf(this.paging, at);
    const last = first + pages - 1;
    const wanted: [number, number][] = [];
    const want = (level: number, index: number): void => {
      if (!this.#known.has(`${level}/${index}`)) wanted.push([level, index]);
    };
    want(levels, 0);
    for (let level = levels - 1; level > 0; level--) {
      const to = indexAt(last, level);
      for (let index = indexAt(first, level); index <= to; index++) want(level, index);
      if (levels === 3 && level === 2 && to < PAE_LAST) want(2, PAE_LAST);
    }
    return wanted;
  }

  get root(): Table {
    return this.all[0]!;
  }

  /** The tables' bytes, frames named by `mfn`. What shows a table is read-only. */
  bytes(mfn: (pfn: number) => number): [Table, Uint8Array][] {
    const tables = new Map(this.all.map((table) => [table, new BigUint64Array(ENTRIES)]));
    const readOnly = new Set(this.all.map(({ pfn }) => pfn));
    const entry = (pfn: number, flags: bigint): bigint => (BigInt(mfn(pfn)) << 12n) | flags;
    for (const table of this.all) {
      if (table.level === this.paging.levels) continue;
      const above = this.#known.get(`${table.level + 1}/${Math.floor(table.index / ENTRIES)}`)!;
      const flags = this.paging.levels === 3 && above.level === 3 ? PAE_ROOT : LINK;
      tables.get(above)![table.index % ENTRIES] = entry(table.pfn, flags);
    }
    for (const mapping of this.#mappings) {
      const first = pageOf(this.paging, mapping.at);
      for (let i = 0; i < mapping.pages; i++) {
        const page = first + i;
        const pfn = mapping.pfn + i;
        const flags = readOnly.has(pfn) ? LEAF & ~RW : LEAF;
        tables.get(this.#known.get(`1/${indexAt(page, 1)}`)!)![page % ENTRIES] = entry(pfn, flags);
      }
    }
    return [...tables].map(([table, words]) => [table, new Uint8Array(words.buffer, 0, PAGE)]);
  }
}
