// Which translations a change of a page-table entry makes stale. A domain's only vCPU forgets just those, at once, so that it has nothing to forget when it
// loads a root or asks for a flush; where they cannot be told, or lie in other pCPUs' TLBs, a generation of the domain is raised instead, which
// whoever loads a root or is asked to flush compares (arch/x86/pv/roots.ts).
//
// Of 32-bit guests it is always a generation: the processor keeps their uppermost entries, and sets no accessed bit there.
//
// An entry that has never been used has no accessed bit. An L1 table remembers where it was walked, in Frame.link: the address that its first entry
// maps, in 2 MiB, or that there are several.
import { Cpu } from '../../arch/x86/cpu';
import { PV_LINEAR, pv_of } from '../../arch/x86/pv/state';
import { pv_root_gone } from '../../arch/x86/pv/roots';
import { tlb_forget_page, tlb_here } from '../../engine/tlb_sets';
import { frame, Frame } from '../../shared/frame_table';
import { host_lock, host_unlock } from '../../shared/host';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../../shared/memory';
import { Domain, domain_vcpu, is_pv32 } from '../domain';
import { cpu_of, Vcpu, vcpu_domain } from '../vcpu';
import { PTE_A, PTE_NX, PTE_P, pte_mfn } from './entries';
import { ENTRIES, PGT_l1, PGT_validated } from './page_type';

/** Frame.link of an L1 table that was not walked (INVALID_MFN), or in several places; else bits 21 to 47 of the address. */
const NOWHERE: u32 = INVALID_MFN;
const SEVERAL: u32 = 0xfffffffe;
const PLACE_MASK: u32 = 0x7ffffff;
const SHIFT_L2: u64 = 21;
const SHIFT_CANONICAL: u64 = 16;
/** The first L4 entry of the kernel's half. */
const HALF: u32 = 256;

/** A translation of `va` is about to be made from an entry of table `mfn`. Callable without the lock. */
export function table_walked(cpu: Cpu, d: Domain, mfn: Mfn, va: u64): void {
  if (is_pv32(d)) return;
  const f = frame(mfn);
  const place = (<u32>(va >> SHIFT_L2)) & PLACE_MASK;
  if (f.pt_type == PGT_l1 ? f.link == place || f.link == SEVERAL : pv_of(cpu).flags & PV_LINEAR) return;
  host_lock();
  if (f.pt_type == PGT_l1 && f.owner == d.domid) f.link = f.link == NOWHERE || f.link == place ? place : SEVERAL;
  else pv_of(cpu).flags |= PV_LINEAR;
  host_unlock();
}

/** An L1 table begins, or ends. */
@inline export function table_unwalked(f: Frame): void {
  if (f.pt_type == PGT_l1) f.link = NOWHERE;
}

/** Translations that nobody can tell are stale, of programs or of all. */
function raise(d: Domain, kernel: bool): void {
  d.pt_generation++;
  if (kernel) d.pt_kernel_generation++;
}

/** Has the domain no other TLB than this pCPU's, where it is that asks? */
@inline function alone(v: Vcpu, d: Domain): bool {
  return vcpu_domain(v) == d && d.max_vcpus == 1 && tlb_here();
}

/** Entry `i` of the table `mfn`, which was `old`, has been written by an operation of `v`. What it named has its references still. */
export function entry_changed(v: Vcpu, d: Domain, mfn: Mfn, i: u32, old: u64): void {
  if (is_pv32(d)) {
    if (old & PTE_P) raise(d, true);
    return;
  }
  const level = <i32>frame(mfn).pt_type;
  // The kernel's half is translated by entries of whichever root has been used; all name the same tables.
  const half = level == 4 && i >= HALF;
  if (!(old & PTE_P) || !(old & PTE_A || half)) return;
  if (!alone(v, d)) {
    raise(d, true);
    return;
  }
  const cpu = cpu_of(v);
  if (level == 1) entry_forget(cpu, d, frame(mfn).link, i, old);
  else if (half || pv_of(cpu).flags & PV_LINEAR) raise(d, true);
  else {
    budget = ENTRIES;
    if (!table_forget(cpu, d, old, level - 1)) raise(d, level < 4);
  }
}

/** The translation by entry `i`, which was `e`, of an L1 table that was walked at `place`. */
function entry_forget(cpu: Cpu, d: Domain, place: u32, i: u32, e: u64): void {
  if (place == NOWHERE) return;
  if (place == SEVERAL) raise(d, true);
  else tlb_forget_page(cpu, address(place) | ((<u64>i) << 12), !(e & PTE_NX));
}

@inline function address(place: u32): u64 {
  return <u64>((<i64>((<u64>place) << (SHIFT_L2 + SHIFT_CANONICAL))) >> SHIFT_CANONICAL);
}

/** Entries below the one that has changed that may still be followed. */
let budget: u32 = 0;

/** The translations by all that lies in the table of `level` that entry `e` has named: mostly nothing any more. False: these are too many. */
function table_forget(cpu: Cpu, d: Domain, e: u64, level: i32): bool {
  const mfn = <u32>pte_mfn(e);
  const f = frame(mfn);
  if (<i32>f.pt_type != level || !(f.pt_flags & PGT_validated)) return false;
  if (level == 1 && f.link == NOWHERE) return true;
  const table = mfn_to_ptr(mfn);
  for (let i: u32 = 0; i < ENTRIES; i++) {
    const x = load<u64>(table + ((<usize>i) << 3));
    if ((x & (PTE_P | PTE_A)) != (PTE_P | PTE_A)) continue;
    if (budget-- == 0) return false;
    if (level == 1) entry_forget(cpu, d, f.link, i, x);
    else if (!table_forget(cpu, d, x, level - 1)) return false;
  }
  return true;
}

/** A table is an L4 no more. */
export function root_gone(d: Domain, mfn: Mfn): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) pv_root_gone(v, mfn);
  }
}
