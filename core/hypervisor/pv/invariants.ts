// The invariant walker's part about PV domains: every page table, every use of a type.
import { PV_GDT, PV_LDT, pv_of } from '../../arch/x86/pv/state';
import { frame, Frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../../shared/frame_table';
import { host } from '../../shared/host';
import { Mfn, mfn_to_ptr, ptr_to_mfn } from '../../shared/memory';
import { Domain, is_privileged, is_pv32 } from '../domain';
import { grant_maps } from '../grant_map';
import {
  invariant_broken,
  INVARIANT_DESCRIPTOR,
  invariant_hold,
  invariant_page,
  INVARIANT_PAGE_TYPE,
  INVARIANT_PTE,
  INVARIANT_PTE_FOREIGN,
  invariant_step,
  invariant_writable,
} from '../invariants';
import { cpu_of, Vcpu, vcpu_domain } from '../vcpu';
import { descriptor_check } from './descriptors';
import { entry_bad_bits, PTE_P, pte_mfn, PTE_RW, PTE_USER, slot_needed, slot_reserved, slot_type } from './entries';
import {
  ENTRIES,
  FRAME_ALLOCATED,
  is_table,
  PGT_l1,
  PGT_none,
  PGT_pae_l3,
  PGT_partial,
  PGT_pinned,
  PGT_seg,
  PGT_validated,
  PGT_writable,
  root_type,
  table_level,
} from './page_type';

/** A hold and a use of a table or a descriptor page. */
function use_of(mfn: Mfn, type: u8): void {
  invariant_hold(mfn, FRAME_RAM);
  if (!frame_valid(mfn)) return;
  const f = frame(mfn);
  if (f.pt_type != type || !(f.pt_flags & PGT_validated)) invariant_broken(INVARIANT_PAGE_TYPE, mfn, f.pt_type);
  else f.pt_count += invariant_step;
}

export function pv_vcpu_holds(v: Vcpu): void {
  if (v.pv_old) invariant_hold(v.pv_old, FRAME_RAM);
  const pv = pv_of(cpu_of(v));
  if (pv.traps) invariant_page(pv.traps);
  if (pv.kernel_root) use_of(pv.kernel_root, root_type(vcpu_domain(v)));
  if (pv.user_root) use_of(pv.user_root, root_type(vcpu_domain(v)));
  const p = changetype<usize>(pv);
  for (let i: usize = 0; i < 16; i++) {
    const gdt = load<u32>(p + PV_GDT + (i << 2));
    const ldt = load<u32>(p + PV_LDT + (i << 2));
    if (gdt) use_of(gdt, PGT_seg);
    if (ldt) use_of(ldt, PGT_seg);
  }
}

/** All frames that are the domain's. */
export function pv_holds(d: Domain): void {
  for (let mfn = host().first_frame; mfn < host().next_fresh; mfn++) {
    const f = frame(mfn);
    if (f.owner != d.domid || f.type != FRAME_RAM) continue;
    if (f.pt_flags & FRAME_ALLOCATED) invariant_hold(mfn, FRAME_RAM);
    if (f.pt_flags & PGT_pinned) use_of(mfn, f.pt_type);
    const tabled = is_table(f.pt_type);
    // In use means looked at; half looked at means that nobody uses it.
    const half = (f.pt_flags & PGT_partial) != 0;
    const whole = (f.pt_flags & PGT_validated) != 0;
    if (tabled ? half == whole : half || whole != (f.pt_type == PGT_seg))
      invariant_broken(INVARIANT_PAGE_TYPE, mfn, f.pt_type);
    if (half) invariant_hold(mfn, FRAME_RAM);
    if (tabled) table(d, mfn, f, whole ? ENTRIES : <u32>f.partial);
    if (f.pt_type == PGT_seg) descriptors(d, mfn);
  }
}

function descriptors(d: Domain, mfn: Mfn): void {
  const copy = changetype<usize>(host()) + SCRATCH;
  for (let i: u32 = 0; i < ENTRIES; i++) {
    const x = load<u64>(mfn_to_ptr(mfn) + ((<usize>i) << 3));
    store<u64>(copy, x);
    if (!descriptor_check(d, copy) || load<u64>(copy) != x) invariant_broken(INVARIANT_DESCRIPTOR, mfn, i);
  }
}
/** Eight bytes behind the Host structure. */
const SCRATCH: usize = 1024;

function table(d: Domain, mfn: Mfn, f: Frame, n: u32): void {
  const type = f.pt_type;
  const narrow = is_pv32(d);
  for (let i: u32 = 0; i < n; i++) {
    const e = load<u64>(mfn_to_ptr(mfn) + ((<usize>i) << 3));
    if (slot_reserved(type, i)) {
      if (narrow && e) invariant_broken(INVARIANT_PTE, mfn, i);
      continue;
    }
    if (!(e & PTE_P)) {
      if (slot_needed(type, i)) invariant_broken(INVARIANT_PTE, mfn, i);
      continue;
    }
    const to = <u32>pte_mfn(e);
    const ring3 = narrow || (e & PTE_USER) != 0;
    if (entry_bad_bits(type, e) || !ring3 || pte_mfn(e) > 0xfffff || !frame_valid(to)) {
      invariant_broken(INVARIANT_PTE, mfn, i);
      continue;
    }
    if (type == PGT_l1) leaf(d, mfn, i, e, to);
    else if (to == mfn) {
      if (e & PTE_RW) invariant_broken(INVARIANT_PTE, mfn, i);
    } else branch(d, mfn, i, e, to, type);
  }
}

function leaf(d: Domain, mfn: Mfn, i: u32, e: u64, to: Mfn): void {
  const f = frame(to);
  invariant_hold(to, f.type == FRAME_SHARED ? FRAME_SHARED : FRAME_RAM);
  if (e & PTE_RW) {
    if (f.pt_type != PGT_writable) invariant_broken(INVARIANT_PTE, mfn, i);
    invariant_writable(to);
  }
  const device_model = d.target == f.owner;
  if (f.owner != d.domid && !is_privileged(d) && !device_model && !grant_maps(d, to, (e & PTE_RW) != 0))
    invariant_broken(INVARIANT_PTE_FOREIGN, mfn, i);
}

/** A table of the level below, or by a read-only linear entry one of the same. */
function branch(d: Domain, mfn: Mfn, i: u32, e: u64, to: Mfn, type: u8): void {
  const f = frame(to);
  const linear = table_level(f.pt_type) == table_level(type) && type != PGT_pae_l3 && !(e & PTE_RW);
  if (f.owner != d.domid || (f.pt_type != slot_type(type, i) && !linear)) invariant_broken(INVARIANT_PTE, mfn, i);
  else use_of(to, f.pt_type);
}
