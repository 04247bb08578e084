// Sets of TLB tables. Each is bound to one address space, a vCPU and a PCID (SDM vol. 3, 4.10.1), so that a change of CR3 that keeps
// translations finds them again. Binding to the vCPU keeps domains apart; the set in use is what cpu.tlb points into.
//
// An entry forgets its page's size, but a page is forgotten whole (SDM 4.10.4.1): a set remembers which regions hold pieces of large
// pages, in bits by hash, and forgets those by looking at all entries.
import { Cpu } from '../arch/x86/cpu';
import { pv_program } from '../arch/x86/pv/state';
import {
  ENTRY_GLOBAL,
  ENTRY_HUGE,
  ENTRY_LARGE,
  PCPU_TLB,
  PCPU_COUNTERS,
  PCPU_STORED,
  PCPU_STORED_AT,
  STORED_AT_SLOTS,
  PCPU_TLB_SETS,
  PCPU_WRITABLE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXEC_ENTRIES,
  TLB_LOG_MAX,
  TLB_LOG_SIZE,
  TLB_SETS,
  TLB_SET_SIZE,
  TLB_TABLES,
  TLB_TABLE_SIZE,
} from './layout';
import { mfn_to_ptr } from '../shared/memory';
import {
  regions_changed,
  regions_enter,
  regions_enter_globals,
  regions_globals,
  regions_space,
  regions_unmapped,
} from '../translator/regions';
import {
  entry_clear,
  entry_holds,
  entry_revoke,
  table_clear,
  table_forget_code,
  table_protect,
  table_revoke,
  tables_attach,
  tlb_entry,
  tlb_exec_entry,
  tlb_select,
} from './tlb';

/** What a set is bound to. The tables lie elsewhere, the flags of their entries behind them. */
@unmanaged
class TlbSet {
  /** 0 = free. */
  vcpu: u32;
  pcid: u32;
  /** When it was last entered. */
  stamp: u32;
  tables: u32;
  /** Bit i: table i has had entries since it was cleared. */
  used: u32;
  /** Bit i: table i has had global ones. */
  globals: u32;
  /** The regions' numbers for this set's translations, and for the vCPU's global ones (core/translator/regions.ts); 0 = none. */
  space: u64;
  everywhere: u64;
  /** Regions of 1 GiB with pieces of huge pages, lower and upper half of the address space. */
  huge0: u64;
  huge1: u64;
  // the same of 2 MiB and large pages, 512 bits a half, from LARGE on
}
/** Entries of a table. */
const ENTRIES: u32 = TLB_ENTRIES + TLB_EXEC_ENTRIES;
const LARGE: usize = 64;
const HEADER: usize = 192;
const SHIFT_LARGE: u64 = 21;
const SHIFT_HUGE: u64 = 30;
const PCIDE: u64 = 0x20000;

let sets: usize = 0;
/** This pCPU's bits of frames that may be written. */
let writable: usize = 0;
/** The same, whatever is done at the write. */
let stored: usize = 0;
let clock: u32 = 0;
let current: TlbSet = changetype<TlbSet>(0);
/** A PV guest's program runs: the vCPU's global translations are its kernel's, whose number waits here. */
let program: bool = false;
let waiting: u64 = 0;
/** Tables of the present set. */
export let set_current: usize = 0;

export function tlb_attach(pcpu_area: usize): void {
  tables_attach(pcpu_area);
  sets = pcpu_area + PCPU_TLB_SETS;
  writable = pcpu_area + PCPU_WRITABLE;
  stored = pcpu_area + PCPU_STORED;
  memory.fill(writable, 0, 0x20000);
  memory.fill(stored, 0, PCPU_COUNTERS - PCPU_STORED);
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    memory.fill(changetype<usize>(s), 0, HEADER);
    s.tables = <u32>(pcpu_area + PCPU_TLB + <usize>i * TLB_SET_SIZE);
    s.used = (1 << TLB_TABLES) - 1;
    for (let k = 0; k < TLB_TABLES; k++) store<u32>(log_of(s, k), TLB_LOG_MAX + 1);
  }
  current = set_at(0);
  set_current = current.tables;
  clear(current);
}

@inline function set_at(i: i32): TlbSet {
  return changetype<TlbSet>(sets + <usize>i * HEADER);
}

@inline function is_current(s: TlbSet): bool {
  return changetype<usize>(s) == changetype<usize>(current);
}

@inline function of_vcpu(s: TlbSet, cpu: Cpu): bool {
  return s.vcpu == <u32>changetype<usize>(cpu);
}

@inline function table_of(s: TlbSet, i: i32): usize {
  return <usize>s.tables + <usize>i * TLB_TABLE_SIZE;
}

/** Where the flags of entry `e` of a set's table lie. */
@inline export function set_flags_at(tables: usize, e: usize): usize {
  const index = (e - tables) / TLB_ENTRY_SIZE; // tables follow one another, and so do their flags
  return tables + <usize>TLB_TABLES * TLB_TABLE_SIZE + index;
}

@inline function log_of(s: TlbSet, i: i32): usize {
  return <usize>s.tables + <usize>TLB_TABLES * (TLB_TABLE_SIZE + <usize>ENTRIES) + <usize>i * TLB_LOG_SIZE;
}

/** Entry `e` of a table of the present set, empty until now, is made. */
export function set_logged(tab: i32, e: usize): void {
  const log = log_of(current, tab);
  const n = load<u32>(log);
  if (n < TLB_LOG_MAX) store<u16>(log + 4 + ((<usize>n) << 1), <u16>((e - table_of(current, tab)) / TLB_ENTRY_SIZE));
  if (n <= TLB_LOG_MAX) store<u32>(log, n + 1);
}

/** An entry of a frame that may be written: tlb_protect_frame has to look for it. */
export function set_writable(mfn: u32): void {
  const p = writable + ((<usize>mfn) >>> 3);
  const bit: u32 = 1 << (mfn & 7);
  store<u8>(p, <u8>(load<u8>(p) | bit));
}

/**
 * Entry `e` of a frame that may be written, checked or not: tlb_revoke_write has to look for it. It finds the one place of a frame, which is
 * the same in every set, at once; several, or one whose slot another frame has taken, it looks for everywhere.
 */
export function set_stored(mfn: u32, e: usize): void {
  const p = stored + ((<usize>mfn) >>> 3);
  const bit: u32 = 1 << (mfn & 7);
  const at = stored_at(mfn);
  const before = load<u8>(p);
  const known = load<u32>(at, 4) == mfn;
  let place = <u32>(e - set_current);
  if (before & bit && !(known && load<u32>(at) == place)) place = SEVERAL;
  store<u8>(p, <u8>(before | bit));
  store<u32>(at, place);
  store<u32>(at, mfn, 4);
}
const SEVERAL: u32 = 0xffffffff;

@inline function stored_at(mfn: u32): usize {
  return stored + (PCPU_STORED_AT - PCPU_STORED) + ((<usize>(mfn & (STORED_AT_SLOTS - 1))) << 3);
}

/** An entry with these flags is made in the present set. */
export function set_inserted(tab: i32, va: u64, flags: u32): void {
  const s = current;
  s.used |= 1 << tab;
  if (!flags) return;
  if (flags & ENTRY_GLOBAL) s.globals |= 1 << tab;
  if (flags & ENTRY_LARGE) {
    const p = large_at(s, va);
    store<u8>(p, <u8>(load<u8>(p) | large_bit(va)));
  }
  if (flags & ENTRY_HUGE) {
    if (<i64>va < 0) s.huge1 |= huge_bit(va);
    else s.huge0 |= huge_bit(va);
  }
}

@inline function large_at(s: TlbSet, va: u64): usize {
  return changetype<usize>(s) + LARGE + ((<usize>(va >>> 63)) << 6) + ((<usize>(va >>> (SHIFT_LARGE + 3))) & 63);
}
@inline function large_bit(va: u64): u8 {
  return <u8>((<u32>1) << ((<u32>(va >>> SHIFT_LARGE)) & 7));
}
@inline function huge_bit(va: u64): u64 {
  return (<u64>1) << ((va >>> SHIFT_HUGE) & 63);
}

/** Forget a set's entries. */
function clear(s: TlbSet): void {
  for (let i = 0; i < TLB_TABLES; i++) if (s.used & (1 << i)) empty(s, i);
  s.used = s.globals = 0;
  s.space = s.everywhere = 0;
  s.huge0 = s.huge1 = 0;
  memory.fill(changetype<usize>(s) + LARGE, 0, HEADER - LARGE);
}

/** Forget a set's entries that are not global. */
function clear_local(cpu: Cpu, s: TlbSet): void {
  cpu.tlb_flushes++;
  if (!s.globals) clear(s);
  else
    for (let i = 0; i < TLB_TABLES; i++) {
      const bit = 1 << i;
      if (!(s.used & bit)) continue;
      if (s.globals & bit) table_clear_local(s, i);
      else {
        empty(s, i);
        s.used &= ~bit;
      }
    }
  if (is_current(s)) regions_enter(0);
  else s.space = 0;
}

/** Forget a table's entries. */
function empty(s: TlbSet, i: i32): void {
  const t = table_of(s, i);
  const log = log_of(s, i);
  const n = load<u32>(log);
  if (n > TLB_LOG_MAX) table_clear(t);
  else for (let k: u32 = 0; k < n; k++) entry_clear(t + <usize>load<u16>(log + 4 + ((<usize>k) << 1)) * TLB_ENTRY_SIZE);
  store<u32>(log, 0);
}

/** Forget a table's entries that are not global; the log keeps the others. */
function table_clear_local(s: TlbSet, i: i32): void {
  const t = table_of(s, i);
  const flags = set_flags_at(<usize>s.tables, t);
  const log = log_of(s, i);
  const n = load<u32>(log);
  if (n > TLB_LOG_MAX) {
    for (let k: u32 = 0; k < ENTRIES; k++)
      if (!(load<u8>(flags + k) & ENTRY_GLOBAL)) entry_clear(t + <usize>k * TLB_ENTRY_SIZE);
    return;
  }
  let kept: u32 = 0;
  for (let k: u32 = 0; k < n; k++) {
    const e = load<u16>(log + 4 + ((<usize>k) << 1));
    if (load<u8>(flags + e) & ENTRY_GLOBAL) {
      store<u16>(log + 4 + ((<usize>kept) << 1), e);
      kept++;
    } else entry_clear(t + <usize>e * TLB_ENTRY_SIZE);
  }
  store<u32>(log, kept);
}

/** Make the set of the vCPU's present address space the one in use; to be called before the vCPU runs and when CR3 or CR4 changes. */
export function tlb_enter(cpu: Cpu): void {
  const pcid = cpu.cr4 & PCIDE ? (<u32>cpu.cr3) & 0xfff : 0;
  if (!of_vcpu(current, cpu) || current.pcid != pcid) enter(cpu, pcid);
  tlb_select(cpu);
}

function enter(cpu: Cpu, pcid: u32): void {
  const before = current;
  const same = of_vcpu(before, cpu);
  if (before.vcpu) {
    before.space = regions_space();
    before.everywhere = program ? 0 : regions_globals();
  }
  let s = find(cpu, pcid);
  if (s == null) {
    s = oldest();
    cpu.tlb_flushes++;
    clear(s);
    s.vcpu = <u32>changetype<usize>(cpu);
    s.pcid = pcid;
  }
  s.stamp = ++clock;
  current = s;
  set_current = s.tables;
  regions_enter(s.space);
  if (!same) regions_enter_globals(globals_of(cpu));
  else if (program) regions_enter_globals(waiting);
  program = pv_program(cpu);
  if (!program) return;
  waiting = regions_globals();
  regions_enter_globals(0);
}

/** The regions' number for a vCPU's global translations: that of the set it used last. */
function globals_of(cpu: Cpu): u64 {
  let newest: u64 = 0;
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu) && s.everywhere > newest) newest = s.everywhere;
  }
  return newest;
}

function find(cpu: Cpu, pcid: u32): TlbSet | null {
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu) && s.pcid == pcid) return s;
  }
  return null;
}

/** The present set if it is free, another free one, or the one that was entered longest ago. */
function oldest(): TlbSet {
  let best = current;
  for (let i = 0; i < TLB_SETS && best.vcpu; i++) {
    const s = set_at(i);
    if (!s.vcpu || clock - s.stamp > clock - best.stamp) best = s;
  }
  return best;
}

/** CR3 was loaded: without `keep`, the translations of its PCID that are not global are forgotten (SDM 4.10.4.1). */
export function tlb_load(cpu: Cpu, keep: bool): void {
  tlb_enter(cpu);
  if (!keep) clear_local(cpu, current);
}

/** Forget all translations of a vCPU: every PCID, global ones too. */
export function tlb_flush(cpu: Cpu): void {
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu)) s.vcpu = 0;
  }
  regions_changed();
  tlb_enter(cpu);
}

/** Forget all translations on this pCPU: frames were taken away. */
export function tlb_flush_all(): void {
  for (let i = 0; i < TLB_SETS; i++) set_at(i).vcpu = 0;
  regions_changed();
}

/** Forget what is not global: of all PCIDs, or of one. */
export function tlb_flush_local(cpu: Cpu, all: bool, pcid: u32): void {
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu) && (all || s.pcid == pcid)) clear_local(cpu, s);
  }
}

/** INVLPG: forget a page's translations of the present PCID, and its global ones of all. */
export function tlb_flush_page(cpu: Cpu, va: u64): void {
  cpu.tlb_page_flushes++;
  regions_unmapped(va);
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu)) forget_page(s, va, !is_current(s));
  }
}

/** Forget a page's translations of one PCID; global ones may stay, or not. */
export function tlb_flush_page_of(cpu: Cpu, va: u64, pcid: u32): void {
  cpu.tlb_page_flushes++;
  regions_unmapped(va);
  const s = find(cpu, pcid);
  if (s != null) forget_page(s, va, false);
}

/** Forget a page's translations in every address space; no region relies on one that does not let execute. */
export function tlb_forget_page(cpu: Cpu, va: u64, executes: bool = true): void {
  if (executes) regions_unmapped(va);
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu)) forget_page(s, va, false);
  }
}

function forget_page(s: TlbSet, va: u64, global: bool): void {
  const tag = va & ~0xfff;
  for (let i = 0; i < TLB_TABLES; i++) {
    if (!(s.used & (1 << i))) continue;
    forget_entry(s, tlb_entry(table_of(s, i), tag), tag, global);
    forget_entry(s, tlb_exec_entry(table_of(s, i), tag), tag, global);
  }
  if (load<u8>(large_at(s, va)) & large_bit(va)) forget_region(s, va, SHIFT_LARGE, global);
  if ((<i64>va < 0 ? s.huge1 : s.huge0) & huge_bit(va)) forget_region(s, va, SHIFT_HUGE, global);
}

function forget_entry(s: TlbSet, e: usize, tag: u64, global: bool): void {
  if (!entry_holds(e, tag)) return;
  if (!global || load<u8>(set_flags_at(<usize>s.tables, e)) & ENTRY_GLOBAL) entry_clear(e);
}

/** Forget every entry of a region of 1 << shift bytes. */
function forget_region(s: TlbSet, va: u64, shift: u64, global: bool): void {
  regions_changed();
  const mask = ~(((<u64>1) << shift) - 1);
  const region = va & mask;
  for (let i = 0; i < TLB_TABLES; i++) {
    if (!(s.used & (1 << i))) continue;
    const t = table_of(s, i);
    const flags = set_flags_at(<usize>s.tables, t);
    for (let k: usize = 0; k < ENTRIES; k++) {
      const e = t + k * TLB_ENTRY_SIZE;
      const here =
        (load<u64>(e) & mask) == region || (load<u64>(e, 8) & mask) == region || (load<u64>(e, 16) & mask) == region;
      if (here && (!global || load<u8>(flags + k) & ENTRY_GLOBAL)) entry_clear(e);
    }
  }
}

/** Bytes of frame `mfn` are about to be decoded: stores to it are checked from here on. */
export function tlb_protect_frame(mfn: u32): void {
  const p = writable + ((<usize>mfn) >>> 3);
  const bit: u32 = 1 << (mfn & 7);
  if (!(load<u8>(p) & bit)) return;
  store<u8>(p, <u8>(load<u8>(p) & ~bit));
  const host = <u32>mfn_to_ptr(mfn);
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    for (let k = 0; k < TLB_TABLES; k++) if (s.used & (1 << k)) table_protect(table_of(s, k), host);
  }
}

/** Forget the links from translations to code pages; the code arena is being reused. */
export function tlb_forget_code(): void {
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    for (let k = 0; k < TLB_TABLES; k++) if (s.used & (1 << k)) table_forget_code(table_of(s, k));
  }
}

/** For the invariant walker: tables of set `i` and its PCID, if it is the vCPU's; 0 = it is not. */
export function tlb_set_tables(cpu: Cpu, i: i32): usize {
  return of_vcpu(set_at(i), cpu) ? <usize>set_at(i).tables : 0;
}
export function tlb_set_pcid(i: i32): u32 {
  return set_at(i).pcid;
}

/** Does this instance run guest code, and so have a TLB? Services' do not. */
export function tlb_here(): bool {
  return sets != 0;
}

/** Its pCPU's area, 0 if it has none. */
export function tlb_area(): usize {
  return sets ? sets - PCPU_TLB_SETS : 0;
}

/** Frame `mfn` may be written no more by any guest: no entry of this pCPU's lets it be. */
export function tlb_revoke_write(mfn: u32): void {
  if (!sets) return;
  const p = stored + ((<usize>mfn) >>> 3);
  const bit: u32 = 1 << (mfn & 7);
  if (!(load<u8>(p) & bit)) return;
  store<u8>(p, <u8>(load<u8>(p) & ~bit));
  const host = <u32>mfn_to_ptr(mfn);
  const at = stored_at(mfn);
  const place = load<u32>(at, 4) == mfn ? load<u32>(at) : SEVERAL;
  if (place != SEVERAL) {
    for (let i = 0; i < TLB_SETS; i++) entry_revoke(<usize>set_at(i).tables + <usize>place, host);
    return;
  }
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    for (let k = 0; k < TLB_TABLES; k++) if (s.used & (1 << k)) table_revoke(table_of(s, k), host);
  }
}

/** Forget all translations that this pCPU has of a vCPU, which need not be the one that runs. */
export function tlb_forget_vcpu(cpu: Cpu): void {
  if (!sets) return;
  for (let i = 0; i < TLB_SETS; i++) {
    const s = set_at(i);
    if (of_vcpu(s, cpu)) s.vcpu = 0;
  }
  regions_changed();
}
