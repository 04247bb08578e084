// Hostile PV guests against their memory's rules: random page-table hypercalls, grants and memory operations, with contents that are nearly
// right. No engine: the guests' stores are made here, where they could make them. TypeScript.
import { invariants } from '../invariants.ts';
import { N, Machine, random, type Service } from '../hypervisor.ts';
import { domctl, entry, PvGuest } from '../pv.ts';

const SELF = 0x7ff0;
const PAGES = 56;
const TABLES = 40;
const WRITABLE = 6;
/** Operations between two walks of the invariants, unless told. */
const BATCH = 500;

/** Types of 32-bit guests' tables (core/hypervisor/pv/page_type.ts). */
const PAE_XEN_L2 = 10;
const PAE_L3 = 11;
const levelOf = (type: number): number => type & 7;
const isTable = (type: number): boolean => levelOf(type) >= 1 && levelOf(type) <= 4;

type Random = (below: number) => number;

export interface Outcome {
  /** Operations made, and how many of them succeeded. */
  operations: number;
  succeeded: number;
  /** Operations that gave way at least once, and calls left alone in the middle. */
  continued: number;
  abandoned: number;
  guests: number;
  /** What the invariant walker found, after which operation. */
  broken: string | null;
}

class Hostile extends PvGuest {
  readonly rnd: Random;
  /** Frames that it has or had. */
  pool: number[];
  handles: number[] = [];
  table = 0;
  abandoned = 0;
  continued = 0;

  constructor(m: Machine, dom0: Service, rnd: Random) {
    super(m, dom0, PAGES, 1, rnd(2) ? 64 : 32);
    this.rnd = rnd;
    this.tables(TABLES);
    this.pool = [...this.mfns];
    // Its grant table, which it may write.
    if (
      this.call(
        'grant_table_op',
        N.GNTTABOP_setup_table,
        this.put(0, (1n << 32n) | BigInt(SELF), 0, this.va(0, 1024)),
        1,
      ) === 0
    )
      this.table = Number(this.get(1024));
  }

  /** Level of its roots. */
  get top(): number {
    return this.narrow ? 3 : 4;
  }

  /** A type of its page tables, of a level if that is told. */
  tableType(level = 1 + this.rnd(this.top)): number {
    if (!this.narrow || level === 1) return level;
    return level === 3 ? PAE_L3 : this.rnd(3) ? level : PAE_XEN_L2;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.rnd(list.length)];
  }

  /** Its arguments' page, and the tables that lead there, are spared most of the time. */
  frame(): number {
    const mfn = this.pick(this.pool);
    return (mfn === this.mfns[0] || this.roots.includes(mfn)) && this.rnd(4)
      ? this.pick(this.pool.slice(1, TABLES))
      : mfn;
  }

  /** A hypercall, now and then left in the middle. */
  try(name: string, ...args: (number | bigint)[]): number {
    const most = this.rnd(30) ? 0xffffffff : 1 + this.rnd(3);
    const rc = this.steps(most, name, ...args);
    const n = this.m.x.test_continued();
    if (n) this.continued++;
    if (n >= most) this.abandoned++;
    return rc;
  }
}

export class PvFuzz {
  readonly m: Machine;
  readonly dom0: Service;
  readonly s: Service;
  readonly rnd: Random;
  readonly guests: Hostile[] = [];
  readonly out: Outcome = { operations: 0, succeeded: 0, continued: 0, abandoned: 0, guests: 0, broken: null };
  private mapped = 0;

  private get walker(): Parameters<typeof invariants>[0] {
    return this.m.x as unknown as Parameters<typeof invariants>[0];
  }

  constructor(seed: number, machine = new Machine()) {
    this.m = machine;
    this.rnd = random(seed);
    this.dom0 = machine.service(0, 1);
    this.s = machine.service(5);
    for (let i = 0; i < 2; i++) this.guests.push(this.born());
  }

  private born(): Hostile {
    this.out.guests++;
    this.m.x.test_type_budget(4096);
    return new Hostile(this.m, this.dom0, this.rnd);
  }

  /** A frame number for `g` to name: mostly its own, mostly of `type` if there is one. */
  private mfn(g: Hostile, type?: number): number {
    const { rnd } = this;
    switch (rnd(20)) {
      case 0:
        return this.pickOther(g).frame();
      case 1:
        return g.table;
      case 2:
        return rnd(3) ? rnd(0x8000) : 0xfffff - rnd(3);
      default: {
        if (type === undefined || !rnd(5)) return g.frame();
        for (let i = 0; i < 12; i++) {
          const mfn = g.frame();
          if (g.type(mfn) === type) return mfn;
        }
        return g.frame();
      }
    }
  }

  private pickOther(g: Hostile): Hostile {
    return this.guests.find((other) => other !== g) ?? g;
  }

  /** An entry for a table of `level`. */
  private entry(g: Hostile, level: number): bigint {
    const { rnd } = this;
    if (!rnd(8)) return rnd(2) ? 0n : BigInt(rnd(0x10000)) << 12n;
    let flags = rnd(4) ? 5n : 1n;
    if (rnd(2)) flags |= 2n;
    if (!rnd(4)) flags |= [0x20n, 0x40n, 0x60n, 1n << 63n, 0x200n, 1n << 52n][rnd(6)];
    if (!rnd(24)) flags |= [8n, 0x10n, 0x80n, 0x100n, 1n << 51n][rnd(5)];
    if (g.narrow && level === 3 && rnd(8)) flags &= 1n;
    const type = level === 1 ? (flags & 2n ? WRITABLE : undefined) : g.tableType(rnd(6) ? level - 1 : level);
    return entry(this.mfn(g, type), flags);
  }

  /** A store of the guest's: where it may have the right to one. */
  private store(g: Hostile): boolean {
    const mfn = g.frame();
    if (g.type(mfn) !== WRITABLE || mfn === g.mfns[0]) return false;
    const words = g.words(mfn);
    if (!this.rnd(3)) words.fill(0n);
    const level = 1 + this.rnd(g.top);
    for (let n = this.rnd(6); n > 0; n--) {
      const e = this.rnd(20) ? this.entry(g, level) : BigInt(this.rnd(0x10000)) * 0x100010001n;
      words[this.rnd(4) ? this.rnd(level === 3 && g.narrow ? 6 : 12) : this.rnd(512)] = e;
    }
    // Most of the time a root leads to where the arguments are.
    const kept = g.narrow ? [2, 3] : [511];
    if (level === g.top && this.rnd(4)) for (const i of kept) words[i] = g.words(g.roots[0])[i];
    return true;
  }

  private index(type: number): number {
    const { rnd } = this;
    if (type === 4 && !rnd(10)) return 256 + rnd(16);
    if (type === PAE_L3 && rnd(6)) return rnd(5);
    if (type === PAE_XEN_L2 && !rnd(6)) return 426 + rnd(5);
    return rnd(5) ? 1 + rnd(60) : rnd(512);
  }

  private updates(g: Hostile): number {
    const { rnd } = this;
    const n = 1 + rnd(3);
    const list: bigint[] = [];
    for (let i = 0; i < n; i++) {
      const table = rnd(3) ? this.mfn(g, g.tableType()) : this.mfn(g);
      const type = g.type(table);
      const level = isTable(type) ? levelOf(type) : 1 + rnd(g.top);
      const cmd = rnd(3) ? 0 : rnd(5);
      if (cmd === 1) list.push((BigInt(this.mfn(g)) << 12n) | 1n, BigInt(rnd(PAGES)));
      else list.push((BigInt(table) << 12n) | BigInt(8 * this.index(type) + cmd), this.entry(g, level));
    }
    const whose = rnd(12) ? SELF : [this.pickOther(g).id, g.id, 0, 5, ((g.id + 1) << 16) | SELF, 0x7ff1][rnd(6)];
    return g.try('mmu_update', g.put(0, ...list), n, rnd(3) ? 0 : g.va(0, 2048), whose);
  }

  private extended(g: Hostile): number {
    const { rnd } = this;
    const n = 1 + rnd(2);
    const list: bigint[] = [];
    for (let i = 0; i < n; i++) {
      const level = rnd(4);
      const op = [level, level, level, 4, 4, 5, 15, 16, 17, rnd(24)][rnd(10)];
      let what = this.mfn(g, op === 4 || op === 5 || op === 15 ? g.tableType() : undefined);
      // The root it runs on should lead to its arguments.
      if (op === 5 && rnd(8)) what = g.roots[0];
      list.push(
        BigInt(op),
        op >= 6 && op <= 13 ? g.va(rnd(PAGES)) : BigInt(what),
        BigInt(rnd(2) ? this.mfn(g) : rnd(64)),
      );
    }
    return g.try(
      'mmuext_op',
      g.put(0, ...list),
      n,
      rnd(3) ? 0 : g.va(0, 2048),
      rnd(12) ? SELF : [this.pickOther(g).id, 5][rnd(2)],
    );
  }

  /** A store to a page table that the guest has mapped read-only. */
  private table(g: Hostile): number {
    const { rnd } = this;
    const mfn = this.mfn(g, 1);
    const i = this.index(1);
    const now = mfn < 0x8000 ? g.words(mfn)[i] : 0n;
    const mask = [~0n, 0xffn, 0xffff0000n, 0xffffffff00000000n][rnd(4)];
    const x = this.m.x as unknown as Record<string, (...a: unknown[]) => number>;
    const [ma, ...rest] = [
      (BigInt(mfn) << 12n) | BigInt(8 * i),
      mask,
      rnd(9) ? now : 1n,
      rnd(4) ? this.entry(g, 1) : now & ~0x62n,
    ];
    return -x.test_ptwr(g.id, ...[ma, ...rest].map((v) => BigInt.asIntN(64, v)));
  }

  /** A descriptor, mostly of a kind that a guest may have. */
  private descriptor(): bigint {
    const { rnd } = this;
    const high = [0xcf9a00, 0xcf9200, 0xaffb00, 0xcff300, 0x8c00, 0xec00, 0x8900, 0x8200, 0x8e00, 0x0c00][
      rnd(rnd(6) ? 4 : 10)
    ];
    const gate = BigInt([0xe033, 0xe008, 0xe019, 0x10, 0x33][rnd(5)]) << 16n;
    return (BigInt(high | (rnd(20) ? 0 : rnd(0x1000000))) << 32n) | (rnd(2) ? gate : 0xffffn);
  }

  private descriptors(g: Hostile): number {
    const { rnd } = this;
    const fill = () => {
      const mfn = g.frame();
      if (g.type(mfn) === WRITABLE && mfn !== g.mfns[0]) {
        const words = g.words(mfn);
        words.fill(0n);
        for (let n = rnd(5); n > 0; n--) words[rnd(512)] = this.descriptor();
      }
      return mfn;
    };
    switch (rnd(5)) {
      case 0:
        return g.try(
          'set_gdt',
          g.put(1024, ...Array.from({ length: 3 }, () => (rnd(2) ? fill() : this.mfn(g, 5)))),
          rnd(1537),
        );
      case 1:
        return g.try(
          'update_descriptor',
          (BigInt(this.mfn(g, rnd(4) ? 5 : undefined)) << 12n) | BigInt(8 * rnd(512) + (rnd(9) ? 0 : 3)),
          this.descriptor(),
        );
      case 2: {
        // Read-only first: a page that is mapped to be written is none of descriptors.
        const pfn = 1 + rnd(TABLES - 1);
        if (g.type(g.mfns[pfn]) === WRITABLE) {
          g.words(g.mfns[pfn]).fill(0n);
          g.words(g.mfns[pfn])[rnd(512)] = this.descriptor();
        }
        g.map(pfn, entry(g.mfns[pfn], 5n));
        return g.try('mmuext_op', g.put(0, 13n, g.va(pfn), BigInt(rnd(1600))), 1, 0, SELF);
      }
      default:
        return this.m.x.test_ldt_page(g.id, rnd(5)) ? 0 : -1;
    }
  }

  private mapping(g: Hostile): number {
    const { rnd } = this;
    const va = rnd(6) ? g.va(1 + rnd(PAGES - 1)) : BigInt(rnd(0x10000)) << BigInt(rnd(48));
    const flags = rnd(3) ? 2 : rnd(8);
    if (rnd(10)) return g.try('update_va_mapping', va, this.entry(g, 1), flags);
    return g.try('update_va_mapping_otherdomain', va, this.entry(g, 1), flags, this.pickOther(g).id);
  }

  private grants(g: Hostile): number {
    const { rnd } = this;
    const other = this.pickOther(g);
    switch (rnd(6)) {
      case 0: {
        if (!g.table) return -1;
        const flags = [1, 1, 5, 2, 0][rnd(5)];
        const domid = [other.id, other.id, 5, g.id, 0][rnd(5)];
        g.words(g.table)[8 + rnd(8)] = BigInt(flags) | (BigInt(domid) << 16n) | (BigInt(this.mfn(g)) << 32n);
        return 0;
      }
      case 1:
      case 2: {
        const flags = 2 | [0, 4, 16, 20, 1, 8][rnd(6)];
        const at = flags & 16 ? (BigInt(this.mfn(g, 1)) << 12n) | BigInt(8 * this.index(1)) : g.va(1 + rnd(PAGES - 1));
        const args = g.put(0, at, BigInt(flags) | (BigInt(8 + rnd(8)) << 32n), BigInt(rnd(5) ? other.id : 5), 0, 0);
        const rc = g.try('grant_table_op', N.GNTTABOP_map_grant_ref, args, 1);
        const status = Number(BigInt.asIntN(16, g.get(16) >> 16n));
        if (rc === 0 && status === 0) g.handles.push(Number(g.get(16) >> 32n), Number(at & 0xffffffffffn));
        return rc || status;
      }
      case 3: {
        const i = rnd(g.handles.length / 2 || 1) * 2;
        const handle = g.handles[i] ?? rnd(8);
        const at = rnd(4)
          ? BigInt.asUintN(64, BigInt(g.handles[i + 1] ?? 0) | (rnd(3) ? 0xffffff0000000000n : 0n))
          : g.va(rnd(PAGES));
        const args = g.put(0, at, rnd(3) ? 0 : g.va(rnd(PAGES)), BigInt(handle));
        const op = rnd(3) ? N.GNTTABOP_unmap_grant_ref : N.GNTTABOP_unmap_and_replace;
        if (rnd(3)) g.put(8, 0);
        const rc = g.try('grant_table_op', op, args, 1);
        const status = Number(BigInt.asIntN(16, g.get(16) >> 32n));
        if (rc === 0 && status === 0) g.handles.splice(i, 2);
        return rc || status;
      }
      case 4: {
        const to = BigInt(8 + rnd(8));
        // Mostly where entries are.
        const offset = BigInt(8 * (rnd(4) ? rnd(12) : rnd(500)));
        const args = g.put(
          0,
          this.mfn(g),
          BigInt(SELF) | (offset << 16n),
          to,
          BigInt(other.id) | (offset << 16n),
          8n | (2n << 16n),
        );
        return g.try('grant_table_op', N.GNTTABOP_copy, args, 1);
      }
      default: {
        const args = g.put(0, this.mfn(g), BigInt(other.id) | (BigInt(8 + rnd(8)) << 32n), 0);
        return g.try('grant_table_op', N.GNTTABOP_transfer, args, 1);
      }
    }
  }

  /** A page that somebody else has for reading, by a grant for more, becomes a table; then they copy into it. */
  private late(g: Hostile): number {
    const { rnd } = this;
    const other = this.pickOther(g);
    const pfn = 1 + rnd(TABLES - 1);
    const mfn = g.mfns[pfn]!;
    const ref = 8 + rnd(8);
    if (!g.table || g.type(mfn) !== WRITABLE) return -1;
    g.words(mfn).fill(0n);
    g.words(g.table)[ref] = 1n | (BigInt(other.id) << 16n) | (BigInt(mfn) << 32n);
    const map = other.put(0, other.va(1 + rnd(PAGES - 1)), 6n | (BigInt(ref) << 32n), BigInt(g.id), 0, 0);
    other.try('grant_table_op', N.GNTTABOP_map_grant_ref, map, 1);
    g.map(pfn, entry(mfn, 5n));
    g.mmuext('PIN_L1_TABLE', mfn);
    const offset = BigInt(8 * rnd(12));
    const ends = [BigInt(SELF) | (offset << 16n), BigInt(ref), BigInt(g.id) | (offset << 16n)] as const;
    const copy = other.put(0, this.mfn(other, WRITABLE), ...ends, 8n | (2n << 16n));
    return other.try('grant_table_op', N.GNTTABOP_copy, copy, 1);
  }

  /** What the guest gives back, gets, exchanges. */
  private memory(g: Hostile): number {
    const { rnd } = this;
    const list = g.va(0, 1024);
    const order = rnd(6) ? 0 : rnd(4);
    if (!rnd(4)) {
      g.put(1024, this.mfn(g));
      g.put(1536, rnd(PAGES));
      const one = (at: bigint) => [at, 1n, BigInt(order), BigInt(SELF)];
      const rc = g.try('memory_op', N.XENMEM_exchange, g.put(0, ...one(list), ...one(g.va(0, 1536)), 0));
      if (rc === 0) this.learn(g, Number(g.get(1536)), order);
      return rc;
    }
    const op = [N.XENMEM_decrease_reservation, N.XENMEM_increase_reservation, N.XENMEM_populate_physmap][rnd(3)];
    g.put(1024, op === N.XENMEM_decrease_reservation ? this.mfn(g) : rnd(PAGES));
    const rc = g.try('memory_op', op, g.put(0, list, 1n, BigInt(order), BigInt(rnd(20) ? SELF : this.pickOther(g).id)));
    if (rc === 1 && op !== N.XENMEM_decrease_reservation) this.learn(g, Number(g.get(1024)), order);
    return rc === 1 ? 0 : rc || -1;
  }

  private learn(g: Hostile, mfn: number, order: number): void {
    for (let i = 0; i < 1 << order; i++) g.pool[1 + this.rnd(g.pool.length - 1)] = mfn + i;
    if (!g.pool.includes(g.mfns[0])) g.pool[0] = g.mfns[0];
  }

  /** The control domain: foreign mappings, pins, other budgets. */
  private outside(g: Hostile): number {
    const { rnd, dom0 } = this;
    // A service's call that gives way very often waits in between.
    this.m.x.test_type_budget(512);
    switch (rnd(5)) {
      case 0: {
        const at = 600 + (this.mapped++ % 24);
        if (rnd(3) === 0)
          return dom0.op('memory_op', 'XENMEM_remove_from_physmap', 'xen_remove_from_physmap', {
            domid: [2, SELF],
            gpfn: [8, at],
          });
        dom0.write(4096, new Uint8Array(new BigUint64Array([BigInt(this.mfn(g)), BigInt(at)]).buffer));
        return dom0.op('memory_op', 'XENMEM_add_to_physmap_batch', 'xen_add_to_physmap_batch', {
          domid: [2, SELF],
          space: [2, 4],
          size: [2, 1],
          u__foreign_domid: [2, g.id],
          idxs: [8, 4096],
          gpfns: [8, 4104],
          errs: [8, 4112],
        });
      }
      case 1:
        dom0.write((600 + rnd(24)) * 4096 + 8 * rnd(64), new Uint8Array(8).fill(0x67));
        return 0;
      case 2:
        return g.pin(['L1', 'L2', 'L3', 'L4', ''][rnd(5)], this.mfn(g, g.tableType()));
      case 3: {
        const fields = {
          host_addr: [8, (90 + rnd(30)) * 4096],
          flags: [4, [2, 6][rnd(2)]],
          ref: [4, 8 + rnd(8)],
          dom: [2, g.id],
        };
        return this.s.op(
          'grant_table_op',
          'GNTTABOP_map_grant_ref',
          'gnttab_map_grant_ref',
          fields as unknown as Record<string, [number, number]>,
          1,
        );
      }
      default:
        return this.s.op(
          'grant_table_op',
          'GNTTABOP_unmap_grant_ref',
          'gnttab_unmap_grant_ref',
          { handle: [4, rnd(24)] },
          1,
        );
    }
  }

  private others(g: Hostile): number {
    const { rnd } = this;
    switch (rnd(7)) {
      case 3:
      case 4:
        return this.descriptors(g);
      case 5:
        return this.table(g);
      case 6:
        return this.late(g);
      case 0:
        return g.try('vcpu_op', N.VCPUOP_register_vcpu_info, 0, g.put(0, this.mfn(g), BigInt(8 * rnd(64)) << 0n));
      case 1: {
        // A multicall of two updates.
        const args = (at: number) => {
          g.put(at, (BigInt(this.mfn(g, g.tableType())) << 12n) | BigInt(8 * rnd(64)), this.entry(g, 1 + rnd(g.top)));
          return [BigInt(N.__HYPERVISOR_mmu_update), 0n, g.va(0, at), 1n, 0n, BigInt(SELF), 0n, 0n];
        };
        return g.try('multicall', g.put(0, ...args(512), ...args(544)), 2);
      }
      default:
        this.m.x.test_type_budget([4096, 1, 7, 64][rnd(4)]);
        return 0;
    }
  }

  private one(): number {
    const { rnd } = this;
    const g = this.guests[rnd(4) ? 0 : 1];
    switch (rnd(16)) {
      case 0:
      case 1:
      case 2:
        return this.store(g) ? 0 : -1;
      case 3:
      case 4:
      case 5:
        return this.updates(g);
      case 6:
      case 7:
      case 8:
        return this.extended(g);
      case 9:
      case 10:
        return this.mapping(g);
      case 11:
      case 12:
        return this.grants(g);
      case 13:
        return this.memory(g);
      case 14:
        return this.outside(g);
      default:
        return this.others(g);
    }
  }

  private broken(): boolean {
    const what = invariants(this.walker);
    if (what) this.out.broken = `after ${this.out.operations} operations: ${what}`;
    return what !== null;
  }

  private count(g: Hostile): void {
    this.out.abandoned += g.abandoned;
    this.out.continued += g.continued;
  }

  /** A guest that cannot be heard any more, or has lived long, ends; its frames come back. */
  private renew(i: number): void {
    const g = this.guests[i];
    const deaf = g.call('xen_version', N.XENVER_get_features, g.put(0, 0)) !== 0;
    if (!deaf && this.rnd(40)) return;
    this.count(g);
    if (domctl(this.dom0, 'XEN_DOMCTL_destroydomain', g.id, []) !== 0) throw new Error('destroydomain');
    if (this.broken()) return;
    this.guests[i] = this.born();
  }

  run(operations: number, batch = BATCH): Outcome {
    const { out } = this;
    const stop = out.operations + operations;
    while (out.operations < stop && out.broken === null) {
      for (let i = 0; i < batch; i++) if (this.one() >= 0) out.succeeded++;
      out.operations += batch;
      if (this.broken()) break;
      for (let i = 0; i < 2 && out.broken === null; i++) this.renew(i);
    }
    return out;
  }

  /** Everybody ends; nothing stays. */
  end(): string | null {
    for (const g of this.guests) {
      this.count(g);
      domctl(this.dom0, 'XEN_DOMCTL_destroydomain', g.id, []);
    }
    const what = invariants(this.walker);
    this.m.x.service_destroy(5);
    return what ?? invariants(this.walker);
  }
}
