// The software TLB: per pCPU, three tables of 512 direct-mapped entries {rtag, wtag, xtag, addend, code page}.
// Only mmu/fill.ts inserts; everybody may flush.
import { Cpu } from '../arch/x86/cpu';
import { MODE_ALIGN } from '../arch/x86/modes';
import { PCPU_TLB, PCPU_TLB_NONE, TLB_ENTRIES, TLB_ENTRY_SIZE, TLB_TABLES, TLB_TABLE_SIZE } from './layout';
import { mfn_to_ptr } from '../shared/memory';
import { regions_changed, regions_unmapped } from '../translator/regions';

export const TLB_R: usize = 0;
export const TLB_W: usize = 8;
export const TLB_X: usize = 16;
export const TLB_ADDEND: usize = 24;
export const TLB_CODE: usize = 28;
/** A tag that no page has: tags have 12 zero bits. */
const NO_TAG: u64 = 1;

export const TABLE_SUPERVISOR: i32 = 0;
export const TABLE_SUPERVISOR_AC: i32 = 1;
export const TABLE_USER: i32 = 2;

/** This pCPU's area (a cache of a pointer, set once by engine_init). */
let area: usize = 0;
/** The table without entries. */
let none: usize = 0;

export function tlb_attach(pcpu_area: usize): void {
  area = pcpu_area + PCPU_TLB;
  none = pcpu_area + PCPU_TLB_NONE;
  for (let e = none; e < none + TLB_TABLE_SIZE; e += TLB_ENTRY_SIZE) clear(e);
}

@inline function table(i: i32): usize {
  return area + <usize>i * TLB_TABLE_SIZE;
}

@inline export function tlb_entry(tab: usize, va: u64): usize {
  return tab + (((<usize>(va >>> 12)) & (TLB_ENTRIES - 1)) << 5);
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

function clear(e: usize): void {
  store<u64>(e, NO_TAG, TLB_R);
  store<u64>(e, NO_TAG, TLB_W);
  store<u64>(e, NO_TAG, TLB_X);
}

/** Forget every translation of this pCPU. */
export function tlb_flush(cpu: Cpu): void {
  cpu.tlb_flushes++;
  const end = area + <usize>TLB_TABLES * TLB_TABLE_SIZE;
  for (let e = area; e < end; e += TLB_ENTRY_SIZE) clear(e);
  regions_changed();
}

/** Forget the translations of one linear page. */
export function tlb_flush_page(cpu: Cpu, va: u64): void {
  cpu.tlb_page_flushes++;
  for (let i = 0; i < TLB_TABLES; i++) clear(tlb_entry(table(i), va));
  regions_unmapped(va);
}

/** Take the write tag from every entry that maps frame `mfn`: its bytes are about to be decoded. */
export function tlb_protect_frame(mfn: u32): void {
  const end = area + <usize>TLB_TABLES * TLB_TABLE_SIZE;
  const host = <u32>mfn_to_ptr(mfn);
  for (let e = area; e < end; e += TLB_ENTRY_SIZE) {
    const w = load<u64>(e, TLB_W);
    if (w != NO_TAG && <u32>w + load<u32>(e, TLB_ADDEND) == host) store<u64>(e, NO_TAG, TLB_W);
  }
}

/** Forget the links from translations to code pages; the code arena is being reused. */
export function tlb_forget_code(): void {
  const end = area + <usize>TLB_TABLES * TLB_TABLE_SIZE;
  for (let e = area; e < end; e += TLB_ENTRY_SIZE) store<u32>(e, 0, TLB_CODE);
}

/** Enter a translation. perms: 1 read, 2 write, 4 execute. An entry of the same page and frame gains permissions. */
export function tlb_insert(cpu: Cpu, tab: i32, va: u64, mfn: u32, perms: i32): void {
  const tag = va & ~0xfff;
  const e = tlb_entry(table(tab), tag);
  const addend = <u32>mfn_to_ptr(mfn) - <u32>tag;
  const same = load<u32>(e, TLB_ADDEND) == addend && (load<u64>(e, TLB_R) == tag || load<u64>(e, TLB_X) == tag);
  if (!same) {
    clear(e);
    store<u32>(e, addend, TLB_ADDEND);
    store<u32>(e, 0, TLB_CODE);
  }
  if (perms & 1) store<u64>(e, tag, TLB_R);
  if (perms & 2) store<u64>(e, tag, TLB_W);
  if (perms & 4) store<u64>(e, tag, TLB_X);
}
