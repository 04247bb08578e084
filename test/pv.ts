// A PV domain for tests of the hypervisor without an engine: memory, page tables, and hypercalls of its vCPU 0. TypeScript.
import { N, type Machine, type Service } from './hypervisor.ts';

const SELF = 0x7ff0;
/** Where the test's guests see their memory, page by page: 64-bit ones, and 32-bit ones. */
export const BASE = 0xffffffff80000000n;
const BASE32 = 0x80000000n;
const P = 1n;
const RW = 2n;
const USER = 4n;
export const RO_PTE = P | USER | 0x20n;
export const RW_PTE = RO_PTE | RW | 0x40n;

export const entry = (mfn: number, flags: bigint): bigint => (BigInt(mfn) << 12n) | flags;

/** A control domain's call about domain `id`: fields at offsets of the operation's structure. */
export function domctl(dom0: Service, cmd: string, id: number, fields: [at: number, size: number, value: number][]) {
  dom0.put(0, 'xen_domctl', { cmd: [4, N[cmd]], interface_version: [4, 0x15], domain: [2, id] });
  for (const [at, size, value] of fields) {
    const b = new Uint8Array(8);
    new DataView(b.buffer).setBigUint64(0, BigInt(value), true);
    dom0.write(16 + at, b.subarray(0, size));
  }
  return dom0.hypercall(N.__HYPERVISOR_domctl, 0);
}

type Arg = number | bigint;

export class PvGuest {
  readonly m: Machine;
  readonly dom0: Service;
  readonly id: number;
  /** Machine frame of each of its own numbers. */
  readonly mfns: number[] = [];
  /** Of the tables that `tables` has made: [L4, L3, L2, L1…]; of a 32-bit guest [L3, its last L2, L2, L1…]. */
  roots: number[] = [];
  readonly narrow: boolean;

  constructor(m: Machine, dom0: Service, pages: number, vcpus = 1, bits: 32 | 64 = 64) {
    this.m = m;
    this.dom0 = dom0;
    this.narrow = bits === 32;
    const c = 'xen_domctl_createdomain__';
    const rc = domctl(dom0, 'XEN_DOMCTL_createdomain', 0, [
      [N[`${c}flags`], 4, 0],
      [N[`${c}max_vcpus`], 4, vcpus],
      [N[`${c}max_evtchn_port`], 4, 1023],
      [N[`${c}max_grant_frames`], 4, 32],
      [N[`${c}max_maptrack_frames`], 4, 64],
    ]);
    if (rc !== 0) throw new Error(`createdomain: ${rc}`);
    this.id = new DataView(dom0.read(N.xen_domctl__domain, 2)!.buffer).getUint16(0, true);
    if (domctl(dom0, 'XEN_DOMCTL_set_address_size', this.id, [[0, 4, bits]]) !== 0) throw new Error('set_address_size');
    if (domctl(dom0, 'XEN_DOMCTL_max_mem', this.id, [[0, 8, (pages + 64) * 4]]) !== 0) throw new Error('max_mem');
    for (let at = 0; at < pages; at += 512) {
      const n = Math.min(512, pages - at);
      dom0.write(4096, new Uint8Array(new BigUint64Array(Array.from({ length: n }, (_, i) => BigInt(at + i))).buffer));
      const fields = { extent_start: [8, 4096], nr_extents: [8, n], domid: [2, this.id] } as Record<
        string,
        [number, number]
      >;
      const done = dom0.op('memory_op', 'XENMEM_populate_physmap', 'xen_memory_reservation', fields);
      if (done !== n) throw new Error(`populate: ${done}`);
      const list = dom0.read(4096, 8 * n)!;
      this.mfns.push(...[...new BigUint64Array(list.buffer)].map(Number));
    }
    m.x.test_pv_start(this.id);
  }

  /** A frame's words, as the machine has them. */
  words(mfn: number): BigUint64Array {
    return new BigUint64Array(this.m.memory.buffer, mfn * 4096, 512);
  }

  /** The page table that maps its page `pfn` has its entry there: [table, index]. */
  slot(pfn: number): [number, number] {
    return [this.roots[3 + (pfn >> 9)], pfn & 511];
  }

  /**
   * Tables over the last pages: pages up to `from` are mapped to be written, the tables read-only. `from` is where they begin; with
   * `ready` they are pinned and in use.
   */
  tables(from: number, ready = true): void {
    const n = Math.ceil(this.mfns.length / 512);
    this.roots = this.mfns.slice(from, from + 3 + n);
    const [l4, l3, l2] = this.roots.map((mfn) => this.words(mfn));
    const [, m3, m2] = this.roots;
    if (this.narrow) {
      l4[2] = entry(m2, P);
      l4[3] = entry(m3, P);
    } else {
      l4[511] = entry(m3, RW_PTE);
      l3[510] = entry(m2, RW_PTE);
    }
    for (let t = 0; t < n; t++) {
      l2[t] = entry(this.roots[3 + t], RW_PTE);
      const l1 = this.words(this.roots[3 + t]);
      for (let i = 0; i < 512 && t * 512 + i < this.mfns.length; i++) {
        const pfn = t * 512 + i;
        l1[i] = entry(this.mfns[pfn], pfn >= from && pfn < from + 3 + n ? RO_PTE : RW_PTE);
      }
    }
    if (!ready) return;
    let rc = this.pin(this.narrow ? 'L3' : 'L4', this.roots[0]);
    if (rc === 0) {
      // The toolstack's part: a vCPU begins on its root.
      rc = this.m.x.test_pv_root(this.id, this.roots[0]);
    }
    if (rc !== 0) throw new Error(`tables: ${rc}`);
  }

  /** The control domain pins a table of the guest's. */
  pin(level: string, mfn: number, done = 0): number {
    this.dom0.put(64, 'mmuext_op', {
      cmd: [4, N[`MMUEXT_${level === '' ? 'UN' : ''}PIN_${level === '' ? '' : `${level}_`}TABLE`]],
      arg1__mfn: [8, mfn],
    });
    return this.dom0.hypercall(N.__HYPERVISOR_mmuext_op, 64, 1, done, this.id);
  }

  unpin(mfn: number): number {
    return this.pin('', mfn);
  }

  va(pfn: number, offset = 0): bigint {
    return (this.narrow ? BASE32 : BASE) + BigInt(pfn * 4096 + offset);
  }

  /** The guest's own hypercall, to its end. */
  call(name: string, ...args: Arg[]): number {
    return this.steps(0xffffffff, name, ...args);
  }

  /** The same, for so many steps. */
  steps(most: number, name: string, ...args: Arg[]): number {
    const a = Array.from({ length: 5 }, (_, i) => BigInt.asIntN(64, BigInt(args[i] ?? 0)));
    const x = this.m.x as unknown as Record<string, (...a: unknown[]) => bigint>;
    return Number(x.test_hypercall(this.id, N[`__HYPERVISOR_${name}`], ...a, most));
  }

  /** Structures on its page 0. */
  put(offset: number, ...words: Arg[]): bigint {
    const w = this.words(this.mfns[0]);
    words.forEach((x, i) => (w[offset / 8 + i] = BigInt.asUintN(64, BigInt(x))));
    return this.va(0, offset);
  }

  get(offset: number): bigint {
    return this.words(this.mfns[0])[offset / 8];
  }

  /** mmu_update with these {ptr, val}. */
  update(list: [bigint, bigint][], foreigndom = SELF, done: Arg = 0): number {
    return this.call('mmu_update', this.put(0, ...list.flat()), list.length, done, foreigndom);
  }

  /** One entry of a table. */
  set(mfn: number, index: number, value: bigint, cmd = 0): number {
    return this.update([[(BigInt(mfn) << 12n) | BigInt(index * 8 + cmd), value]]);
  }

  mmuext(cmd: string, arg1: Arg = 0, arg2: Arg = 0, foreigndom = SELF): number {
    return this.call('mmuext_op', this.put(0, N[`MMUEXT_${cmd}`], arg1, arg2), 1, 0, foreigndom);
  }

  /** Change the mapping of its page `pfn`. */
  map(pfn: number, value: bigint, flags = 2): number {
    return this.call('update_va_mapping', this.va(pfn), value, flags);
  }

  type(mfn: number): number {
    return this.m.x.test_frame_type(mfn);
  }
  uses(mfn: number): number {
    return this.m.x.test_frame_uses(mfn);
  }
  holds(mfn: number): number {
    return this.m.x.test_frame_holds(mfn);
  }
}
