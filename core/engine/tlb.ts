// The software TLB's tables of direct-mapped entries {rtag, wtag, xtag, addend, code page}, in the set that is bound to the present
// address space (tlb_sets.ts). Only mmu/fill.ts inserts; everybody may forget.
import { Cpu } from '../arch/x86/cpu';
import { MODE_ALIGN } from '../arch/x86/modes';
import { PCPU_TLB_NONE, TLB_ENTRIES, TLB_ENTRY_SIZE, TLB_EXEC_ENTRIES, TLB_TABLE_SIZE } from './layout';
import { mfn_to_ptr, ptr_to_mfn } from '../shared/memory';
import { set_current, set_flags_at, set_inserted, set_logged, set_stored, set_writable } from './tlb_sets';

export const TLB_R: usize = 0;
export const TLB_W: usize = 8;
export const TLB_X: usize = 16;
export const TLB_ADDEND: usize = 24;
export const TLB_CODE: usize = 28;
/** A tag that no page has: tags have 12 zero bits. */
const NO_TAG: u64 = 1;
/** In a write tag: the page may be written, but its frame holds decoded code, so every store has to be announced (code_writes.ts). */
export const TLB_CHECKED: u64 = 2;

export const TABLE_SUPERVISOR: i32 = 0;
export const TABLE_SUPERVISOR_AC: i32 = 1;
export const TABLE_USER: i32 = 2;

/** The table without entries (a cache of a pointer, set once by engine_init). */
let none: usize = 0;

export function tables_attach(pcpu_area: usize): void {
  none = pcpu_area + PCPU_TLB_NONE;
  table_clear(none);
}

@inline function table(i: i32): usize {
  return set_current + <usize>i * TLB_TABLE_SIZE;
}

@inline export function tlb_entry(tab: usize, va: u64): usize {
  return tab + (((<usize>(va >>> 12)) & (TLB_ENTRIES - 1)) << 5);
}

/** Entry of a table for executing at `va`. */
@inline export function tlb_exec_entry(tab: usize, va: u64): usize {
  return tab + ((<usize>TLB_ENTRIES) << 5) + (((<usize>(va >>> 12)) & (TLB_EXEC_ENTRIES - 1)) << 5);
}

/** Which table the present privilege uses (SDM vol. 3, 4.6.1: SMAP lets supervisor accesses to user pages pass only with AC). */
export function tlb_table(cpu: Cpu): i32 {
  if (cpu.cpl == 3) return TABLE_USER;
  if (!(cpu.cr4 & 0x200000) || cpu.rflags & 0x40000) return TABLE_SUPERVISOR_AC;
  return TABLE_SUPERVISOR;
}

export function tlb_select(cpu: Cpu): void {
  cpu.tlb = <u32>(cpu.mode & MODE_ALIGN ? none : table(tlb_table(cpu)));
}

export function tlb_pointer(i: i32): usize {
  return table(i);
}

/** Forget an entry. */
export function entry_clear(e: usize): void {
  store<u64>(e, NO_TAG, TLB_R);
  store<u64>(e, NO_TAG, TLB_W);
  store<u64>(e, NO_TAG, TLB_X);
}

/** Has an entry no translation? Tags are NO_TAG, or 0 after table_clear(); page 0's entry never has that. */
function entry_empty(e: usize): bool {
  return load<u64>(e, TLB_R) <= NO_TAG && load<u64>(e, TLB_W) <= NO_TAG && load<u64>(e, TLB_X) <= NO_TAG;
}

/** Does an entry hold a translation of the page, for whatever access? */
@inline export function entry_holds(e: usize, tag: u64): bool {
  return load<u64>(e, TLB_R) == tag || load<u64>(e, TLB_W) == tag || load<u64>(e, TLB_X) == tag;
}

/**
 * Forget a table. Zeros are fast, and no tag of an entry but the first ones, which have address 0, and the last for data, to which an
 * access belongs that wraps to address 0.
 */
export function table_clear(t: usize): void {
  memory.fill(t, 0, TLB_TABLE_SIZE);
  entry_clear(t);
  entry_clear(t + <usize>(TLB_ENTRIES - 1) * TLB_ENTRY_SIZE);
  entry_clear(t + <usize>TLB_ENTRIES * TLB_ENTRY_SIZE);
}

/** The frame at `host` is about to be decoded: stores to it through a table's entries are checked from here on. */
export function table_protect(t: usize, host: u32): void {
  for (let e = t; e < t + TLB_TABLE_SIZE; e += TLB_ENTRY_SIZE) {
    const w = load<u64>(e, TLB_W);
    if (w != NO_TAG && <u32>w + load<u32>(e, TLB_ADDEND) == host) store<u64>(e, w | TLB_CHECKED, TLB_W);
  }
}

/** The frame at `host` may be written no more: an entry for it loses that right. */
export function entry_revoke(e: usize, host: u32): void {
  const w = load<u64>(e, TLB_W);
  if (w != NO_TAG && <u32>(w & ~TLB_CHECKED) + load<u32>(e, TLB_ADDEND) == host) store<u64>(e, NO_TAG, TLB_W);
}

export function table_revoke(t: usize, host: u32): void {
  for (let e = t; e < t + <usize>TLB_ENTRIES * TLB_ENTRY_SIZE; e += TLB_ENTRY_SIZE) entry_revoke(e, host);
}

/** Forget a table's links to code pages. */
export function table_forget_code(t: usize): void {
  for (let e = t; e < t + TLB_TABLE_SIZE; e += TLB_ENTRY_SIZE) store<u32>(e, 0, TLB_CODE);
}

/** The frame behind `va` holds no decoded code any more. */
export function tlb_unchecked(tab: i32, va: u64): void {
  const e = tlb_entry(table(tab), va);
  const tag = va & ~0xfff;
  if (load<u64>(e, TLB_W) != (tag | TLB_CHECKED)) return;
  store<u64>(e, tag, TLB_W);
  set_writable(ptr_to_mfn(<usize>(<u32>tag + load<u32>(e, TLB_ADDEND))));
}

/**
 * Enter a translation. perms: 1 read, 2 write, or 4 execute; flags: ENTRY_*; exec: it is for execution, which a breakpoint on the page may
 * not permit; writes may be checked. An entry of the same page and frame gains permissions.
 */
export function tlb_insert(
  cpu: Cpu,
  tab: i32,
  va: u64,
  mfn: u32,
  perms: i32,
  flags: u32 = 0,
  exec: bool = (perms & 4) != 0,
  checked: bool = false,
): void {
  const tag = va & ~0xfff;
  const e = exec ? tlb_exec_entry(table(tab), tag) : tlb_entry(table(tab), tag);
  const addend = <u32>mfn_to_ptr(mfn) - <u32>tag;
  if (perms & 2 && !exec) {
    set_stored(mfn, e);
    if (!checked) set_writable(mfn);
  }
  const same = load<u32>(e, TLB_ADDEND) == addend && (load<u64>(e, TLB_R) == tag || load<u64>(e, TLB_X) == tag);
  if (!same) {
    if (entry_empty(e)) set_logged(tab, e);
    entry_clear(e);
    store<u32>(e, addend, TLB_ADDEND);
    store<u32>(e, 0, TLB_CODE);
  }
  set_inserted(tab, tag, flags);
  store<u8>(set_flags_at(set_current, e), <u8>flags);
  if (exec) {
    if (perms & 4) store<u64>(e, tag, TLB_X);
    return;
  }
  if (perms & 1) store<u64>(e, tag, TLB_R);
  if (perms & 2) store<u64>(e, checked ? tag | TLB_CHECKED : tag, TLB_W);
}
