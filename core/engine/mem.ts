// Guest memory as instructions see it: linear addresses in, host pointers out, through the TLB of the present privilege.
// An access that crosses a page or goes to MMIO works on a bounce buffer: reads fill it first, writes are committed after.
import { HOST_DETERMINISTIC, host } from '../shared/host';
import { run_alone, watch_note, watch_pass } from '../arch/x86/breakpoints';
import { Cpu, EXC_NON_CANONICAL, PACE_FREE } from '../arch/x86/cpu';
import { EXC_AC, raise } from '../arch/x86/exceptions';
import { FILL_MMIO, FILL_TABLE, mmio_gpa, tlb_fill } from '../arch/x86/mmu/fill';
import { MODE_ALIGN, MODE_WATCH } from '../arch/x86/modes';
import { store_begin, store_commit } from '../arch/x86/pv/page_writes';
import { engine_mmio } from '../hypervisor/engine';
import { violated } from './address';
import { code_written } from './code_writes';
import { debug_note, debug_page_watched, debug_watches } from './debug';
import { BOUNCE_AREA, BOUNCE_BASE, BOUNCE_LIMIT } from './layout';
import {
  TABLE_SUPERVISOR,
  TABLE_SUPERVISOR_AC,
  TLB_ADDEND,
  TLB_CHECKED,
  TLB_R,
  TLB_W,
  tlb_entry,
  tlb_pointer,
  tlb_table,
  tlb_unchecked,
} from './tlb';

// A bounce slot, 64 bytes: data (16) at 0, kind at 16 (1 two pages, 2 MMIO, 3 a page table), size at 20, first host pointer at 24, bytes in the
// first page at 28, second host pointer at 32, gpa at 40; of a page table the data as it was at 24. Four slots are used in turn: no instruction has more accesses in flight.
const SLOT: usize = 64;
const KIND_SPLIT: u32 = 1;
const KIND_MMIO: u32 = 2;
const KIND_TABLE: u32 = 3;

let slots: usize = BOUNCE_BASE;
let turn: usize = 0;

export function mem_attach(pcpu: i32): void {
  slots = BOUNCE_BASE + <usize>pcpu * BOUNCE_AREA;
}

function next_slot(kind: u32, size: i32): usize {
  turn = (turn + SLOT) & (4 * SLOT - 1);
  const s = slots + turn;
  store<u32>(s, kind, 16);
  store<i32>(s, size, 20);
  return s;
}

/**
 * Host pointer of one byte's page for the access, 0 = the instruction leaves, 1 = MMIO (gpa of the byte in mmio_gpa), 2 = a PV guest's page
 * table. A write has to be announced to code_written, then.
 */
function page_ptr(cpu: Cpu, va: u64, write: bool, tab: i32): usize {
  const e = tlb_entry(tlb_pointer(tab), va);
  const at = write ? TLB_W : TLB_R;
  if ((load<u64>(e + at) & ~TLB_CHECKED) != (va & ~0xfff)) {
    if (cpu.mode & MODE_WATCH && !watch_pass(cpu, va, write)) return 0;
    if (debug_watches && cpu.pace == PACE_FREE && debug_page_watched(va)) return <usize>run_alone(cpu);
    const r = tlb_fill(cpu, va, write ? 1 : 0, tab);
    if (r == 1) return 0;
    if (r == FILL_MMIO) return 1;
    if (r == FILL_TABLE) return 2;
  }
  return <usize>(<u32>va + load<u32>(e, TLB_ADDEND));
}

function probe_table(cpu: Cpu, va: u64, size: i32, write: bool, tab: i32): usize {
  const p = probe_pages(cpu, va, size, write, tab);
  if (p && cpu.mode & MODE_WATCH) watch_note(cpu, va, size, write);
  if (p && debug_watches) debug_note(cpu, va, size, write);
  return p;
}

function probe_pages(cpu: Cpu, va: u64, size: i32, write: bool, tab: i32): usize {
  const left = 0x1000 - ((<i32>va) & 0xfff);
  const first = page_ptr(cpu, va, write, tab);
  if (first == 0) return 0;
  if (first == 2) return table_slot(cpu, va, size);
  if (write && first != 1 && code_written(first, left < size ? left : size)) tlb_unchecked(tab, va);
  if (first == 1) return mmio_slot(cpu, mmio_gpa, left < size ? left : size, size, write);
  if (left >= size) return first;
  const second = page_ptr(cpu, va + left, write, tab);
  if (second == 0) return 0;
  if (second == 2) return table_slot(cpu, va + left, 16);
  if (second == 1) return mmio_slot(cpu, mmio_gpa, size - left, size, write);
  if (write && code_written(second, size - left)) tlb_unchecked(tab, va + left);
  const s = next_slot(KIND_SPLIT, size);
  store<u32>(s, <u32>first, 24);
  store<i32>(s, left, 28);
  store<u32>(s, <u32>second, 32);
  memory.copy(s, first, left);
  memory.copy(s + left, second, size - left);
  return s;
}

/** An access to no RAM. One that is only partly MMIO (it crosses a page) reaches the device with the bytes on its page. */
function mmio_slot(cpu: Cpu, gpa: u64, part: i32, size: i32, write: bool): usize {
  // A device may ask for the time, which in virtual time is the number of instructions: the loop knows it only where it stands still.
  if (cpu.pace == PACE_FREE && host().flags & HOST_DETERMINISTIC) return <usize>run_alone(cpu);
  const s = next_slot(KIND_MMIO, part);
  store<u64>(s, gpa, 40);
  store<u64>(s, ~0);
  store<u64>(s, ~0, 8);
  if (!write) {
    const r = engine_mmio(cpu, gpa, part, false, s);
    if (r != 0) {
      cpu.exit = r;
      return 0;
    }
  }
  return s;
}

/** A store to a page table that is mapped read-only, at machine address mmio_gpa. */
function table_slot(cpu: Cpu, va: u64, size: i32): usize {
  const s = next_slot(KIND_TABLE, size);
  store<u64>(s, mmio_gpa, 40);
  if (!store_begin(cpu, va, mmio_gpa, size, s)) return 0;
  store<u64>(s, load<u64>(s), 24);
  return s;
}

/**
 * Slow path of every access of at most 16 bytes: 0 = an exception, EXIT_IOREQ or EXIT_RETRY is pending. The operand's alignment is
 * its size, or 8 for 10 bytes and 4 for 6, unless given (SDM vol. 3, table 6-7).
 */
export function probe_slow(cpu: Cpu, va: u64, size: i32, write: bool, align: i32 = 0): usize {
  if (!canonical(va) || !canonical(va + size - 1)) {
    non_canonical(cpu, va);
    return 0;
  }
  if (misaligned(cpu, va, align ? align : 1 << (31 - clz<i32>(size)))) return 0;
  return probe_table(cpu, va, size, write, tlb_table(cpu));
}

/** Alignment checking: is #AC(0) pending now? It comes before page faults, as on processors. */
export function misaligned(cpu: Cpu, va: u64, align: i32): bool {
  if (!(cpu.mode & MODE_ALIGN) || !(va & (<u64>(align - 1)))) return false;
  raise(cpu, EXC_AC, 0);
  return true;
}

@inline export function canonical(va: u64): bool {
  return <u64>((<i64>(va << 16)) >> 16) == va;
}

/** #GP(0), marked so that the loop turns it into #SS(0) where the access was to the stack (SDM vol. 1, 3.3.7.1). Always false. */
function non_canonical(cpu: Cpu, va: u64): bool {
  if (violated(cpu, va)) return false;
  raise(cpu, 13, 0);
  cpu.exc_flags |= EXC_NON_CANONICAL;
  cpu.cr2_candidate = va;
  return false;
}

/** Finish a write through a pointer that probe gave: bytes of a bounce buffer reach their pages or device. */
export function commit_slow(cpu: Cpu, p: usize): void {
  if (load<u32>(p, 16) == KIND_SPLIT) {
    const left = load<i32>(p, 28);
    memory.copy(load<u32>(p, 24), p, left);
    memory.copy(load<u32>(p, 32), p + left, load<i32>(p, 20) - left);
  } else if (load<u32>(p, 16) == KIND_TABLE)
    store_commit(cpu, load<u64>(p, 40), load<i32>(p, 20), load<u64>(p, 24), load<u64>(p));
  else engine_mmio(cpu, load<u64>(p, 40), load<i32>(p, 20), true, p);
}

@inline export function commit(cpu: Cpu, p: usize): void {
  if (p < BOUNCE_LIMIT) commit_slow(cpu, p);
}

/** Pointer for reading `size` ≤ 16 bytes at a linear address; 0 = exception pending. */
export function read_ptr(cpu: Cpu, va: u64, size: i32, align: i32 = 0): usize {
  const e = tlb_entry(<usize>cpu.tlb, va);
  if (load<u64>(e, TLB_R) == ((va + <u64>(size - 1)) & ~0xfff)) return <usize>(<u32>va + load<u32>(e, TLB_ADDEND));
  return probe_slow(cpu, va, size, false, align);
}

/** Pointer for writing (it may be read too); commit() afterwards. 0 = exception pending. */
export function write_ptr(cpu: Cpu, va: u64, size: i32, align: i32 = 0): usize {
  const e = tlb_entry(<usize>cpu.tlb, va);
  if (load<u64>(e, TLB_W) == ((va + <u64>(size - 1)) & ~0xfff)) return <usize>(<u32>va + load<u32>(e, TLB_ADDEND));
  return probe_slow(cpu, va, size, true, align);
}

/** Check that every byte of a range can be accessed, and that it is aligned; false = exception pending. */
export function probe_range(cpu: Cpu, va: u64, len: i32, write: bool, align: i32 = 1): bool {
  const last = va + <u64>(len - 1);
  let a = va;
  if (canonical(va) && misaligned(cpu, va, align)) return false;
  while (true) {
    if (!canonical(a)) return non_canonical(cpu, a);
    if (page_ptr(cpu, a, write, tlb_table(cpu)) == 0) return false;
    if ((a & ~0xfff) == (last & ~0xfff)) return true;
    a = (a & ~0xfff) + 0x1000;
  }
}

/** Pointer to bytes that probe_range has passed, whatever their alignment. */
function passed(cpu: Cpu, va: u64, size: i32, write: bool): usize {
  const e = tlb_entry(<usize>cpu.tlb, va);
  if (load<u64>(e + (write ? TLB_W : TLB_R)) == ((va + <u64>(size - 1)) & ~0xfff))
    return <usize>(<u32>va + load<u32>(e, TLB_ADDEND));
  return probe_table(cpu, va, size, write, tlb_table(cpu));
}

/** Read after a successful probe_range of the bytes. */
@inline export function ld<T>(cpu: Cpu, va: u64): T {
  return load<T>(passed(cpu, va, sizeof<T>(), false));
}

/** Write after a successful probe_range for writing. */
@inline export function st<T>(cpu: Cpu, va: u64, v: T): void {
  const p = passed(cpu, va, sizeof<T>(), true);
  store<T>(p, v);
  commit(cpu, p);
}

// System accesses: descriptor tables and TSS are read with supervisor privilege whatever the CPL; AC does not help (SDM 4.6.1).
@inline function sys_table(cpu: Cpu): i32 {
  return cpu.cr4 & 0x200000 ? TABLE_SUPERVISOR : TABLE_SUPERVISOR_AC;
}

export function sys_probe(cpu: Cpu, va: u64, len: i32, write: bool): bool {
  const last = va + <u64>(len - 1);
  let a = va;
  while (true) {
    if (!canonical(a)) return non_canonical(cpu, a);
    if (page_ptr(cpu, a, write, sys_table(cpu)) == 0) return false;
    if ((a & ~0xfff) == (last & ~0xfff)) return true;
    a = (a & ~0xfff) + 0x1000;
  }
}

export function sys_ptr(cpu: Cpu, va: u64, size: i32, write: bool): usize {
  return probe_table(cpu, va, size, write, sys_table(cpu));
}

@inline export function sys_ld<T>(cpu: Cpu, va: u64): T {
  return load<T>(sys_ptr(cpu, va, sizeof<T>(), false));
}

@inline export function sys_st<T>(cpu: Cpu, va: u64, v: T): void {
  const p = sys_ptr(cpu, va, sizeof<T>(), true);
  store<T>(p, v);
  commit(cpu, p);
}
