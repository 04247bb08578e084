// What a frame is used as (docs/design/pv.md). A type is held by uses; a page table's or a descriptor page's is entered by looking at its
// contents. All of it runs under the host's lock; what takes long gives way and goes on later, whoever comes.
import { tlb_here, tlb_revoke_write } from '../../engine/tlb_sets';
import { EINVAL, ERESTART } from '../../gen/abi';
import { frame, Frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../../shared/frame_table';
import { host } from '../../shared/host';
import { Mfn, mfn_to_ptr } from '../../shared/memory';
import { Domain, domain_find, is_pv32, page_get, page_put } from '../domain';
import { Vcpu, vcpu_domain } from '../vcpu';
import { descriptors_check } from './descriptors';
import { entry_adjust, entry_get, entry_put, PTE_P, pte_mfn, slot_needed, slot_reserved } from './entries';
import { flush_wait } from './flush';
import { root_gone, table_unwalked } from './translations';

// Frame.pt_type
export const PGT_none: u8 = 0;
export const PGT_l1: u8 = 1;
export const PGT_l2: u8 = 2;
export const PGT_l3: u8 = 3;
export const PGT_l4: u8 = 4;
export const PGT_seg: u8 = 5;
export const PGT_writable: u8 = 6;
// Of 32-bit guests: the root, whose first four entries count, and the L2 table that its last entry names, in which the hypervisor has slots.
const PGT_pae: u8 = 8;
export const PGT_pae_xen_l2: u8 = PGT_pae | PGT_l2;
export const PGT_pae_l3: u8 = PGT_pae | PGT_l3;

// Frame.pt_flags
/** The allocation's hold: the domain was given the frame and has not given it back. */
export const FRAME_ALLOCATED: u8 = 1;
/** MMUEXT_PIN_*: one of the uses. */
export const PGT_pinned: u8 = 2;
/** The contents have been looked at, and are watched. */
export const PGT_validated: u8 = 4;
/** A page table of which the first `partial` entries have their references; in use by nobody, held once for this. */
export const PGT_partial: u8 = 8;
/** It was mapped to be written since all TLBs last forgot it for sure. */
export const PGT_stale: u8 = 16;
/** By others than its owner, too: their pCPUs have to forget it. */
export const PGT_shared: u8 = 32;

export const ENTRIES: u32 = 512;

/** Entries that may still be looked at before the operation gives way; whom it is done for. */
export let type_budget: i32 = 0;
let caller: usize = 0;
let budget_of_one: i32 = 4096;

/** An operation begins that may look at page tables. */
export function type_begin(v: Vcpu): void {
  type_budget = budget_of_one;
  caller = changetype<usize>(vcpu_domain(v));
}

/** Something else of it took as long as `n` entries. */
export function type_spend(n: i32): void {
  type_budget -= n;
}

/** For tests: another budget an operation. */
export function type_set_budget(n: i32): void {
  budget_of_one = n;
}

@inline export function is_table(type: u8): bool {
  return table_level(type) >= 1 && table_level(type) <= 4;
}

/** 1 to 4, of what is a page table. */
@inline export function table_level(type: u8): i32 {
  return (<i32>type) & ~(<i32>PGT_pae);
}

/** What a root of the domain's is. */
@inline export function root_type(d: Domain): u8 {
  return is_pv32(d) ? PGT_pae_l3 : PGT_l4;
}

/** A frame that a guest may write as far as its use is concerned. */
@inline export function type_open(f: Frame): bool {
  return f.pt_type == PGT_none || f.pt_type == PGT_writable;
}

/** One more use of a frame, held by the caller, as writable memory. False: it is a table of some kind. */
export function writable_get(mfn: Mfn): bool {
  const f = frame(mfn);
  if (!type_open(f) || f.pt_count == 0xffffffff) return false;
  f.pt_type = PGT_writable;
  f.pt_count++;
  return true;
}

export function writable_put(mfn: Mfn): void {
  const f = frame(mfn);
  if (--f.pt_count == 0) f.pt_type = PGT_none;
}

/** The same use is one that TLBs may have: of its owner's vCPUs, or of others'. */
export function writable_map(mfn: Mfn, others: bool): bool {
  if (!writable_get(mfn)) return false;
  frame(mfn).pt_flags |= others ? PGT_stale | PGT_shared : PGT_stale;
  return true;
}

/** A hold on memory that the hypervisor itself goes on writing. */
export function page_get_writable(mfn: Mfn): bool {
  if (!writable_get(mfn)) return false;
  page_get(mfn);
  return true;
}

export function page_put_writable(mfn: Mfn): void {
  writable_put(mfn);
  page_put(mfn);
}

/** Hold a frame of the domain's own and use it as `type`. 0, -ERESTART, -EINVAL, or what is wrong with its contents. */
export function type_get(d: Domain, mfn: u64, type: u8): i32 {
  if (mfn > 0xfffff || !frame_valid(<u32>mfn)) return -EINVAL;
  const f = frame(<u32>mfn);
  if (f.owner != d.domid || (f.type != FRAME_RAM && (f.type != FRAME_SHARED || type != PGT_writable))) return -EINVAL;
  page_get(<u32>mfn);
  const rc = type == PGT_writable ? (writable_get(<u32>mfn) ? 0 : -EINVAL) : use(d, <u32>mfn, f, type);
  if (rc) page_put(<u32>mfn);
  return rc;
}

/** The same for a table at the top of an operation: if it turns out to be a bad one, the vCPU takes back what had been taken. */
export function table_get(v: Vcpu, d: Domain, mfn: u64, type: u8): i32 {
  const rc = type_get(d, mfn, type);
  if (rc && rc != -ERESTART) table_blame(v, d, mfn, type);
  return rc;
}

/** A table was not to be had: if it is because of its contents, `v` takes it apart again. */
export function table_blame(v: Vcpu, d: Domain, mfn: u64, type: u8): void {
  if (mfn > 0xfffff || !frame_valid(<u32>mfn)) return;
  const f = frame(<u32>mfn);
  if (f.owner == d.domid && f.pt_type == type && f.pt_flags & PGT_partial) old_table(v, <u32>mfn);
}

function use(d: Domain, mfn: Mfn, f: Frame, type: u8): i32 {
  if (f.pt_type == type && f.pt_flags & PGT_validated) {
    if (f.pt_count == 0xffffffff) return -EINVAL;
    f.pt_count++;
    return 0;
  }
  if (f.pt_type == type && f.pt_flags & PGT_partial) return validate(d, mfn, f);
  if (f.pt_type != PGT_none) return -EINVAL;
  f.pt_type = type;
  if (!unwritable(d, mfn, f)) {
    f.pt_type = PGT_none;
    return -ERESTART;
  }
  if (type == PGT_seg) {
    if (!descriptors_check(d, mfn_to_ptr(mfn))) {
      f.pt_type = PGT_none;
      return -EINVAL;
    }
    f.pt_flags |= PGT_validated;
    f.pt_count = 1;
    return 0;
  }
  f.pt_flags |= PGT_partial;
  f.partial = 0;
  page_get(mfn);
  return validate(d, mfn, f);
}

/**
 * The type has changed, so no new translation lets the frame be written; those that there are go before anybody relies on it. False:
 * some pCPU has not been reached yet.
 */
function unwritable(d: Domain, mfn: Mfn, f: Frame): bool {
  if (!(f.pt_flags & PGT_stale)) return true;
  tlb_revoke_write(mfn);
  // A domain with one vCPU, which is here, has no other TLB than this one.
  const alone = tlb_here() && caller == changetype<usize>(d) && !(f.pt_flags & PGT_shared);
  if (!(alone && (host().pcpu_count == 1 || d.max_vcpus == 1)) && !flush_wait()) return false;
  f.pt_flags &= ~(PGT_stale | PGT_shared);
  return true;
}

/** Take the references of a partial table's entries from where it stands. */
function validate(d: Domain, mfn: Mfn, f: Frame): i32 {
  const type = f.pt_type;
  const table = mfn_to_ptr(mfn);
  for (let i = <u32>f.partial; i < ENTRIES; i++) {
    if (type_budget <= 0) {
      f.partial = <u16>i;
      return -ERESTART;
    }
    const p = table + ((<usize>i) << 3);
    const e = load<u64>(p);
    if (slot_reserved(type, i)) {
      // A 32-bit guest's walk can come there by a linear entry.
      if (type != PGT_l4) atomic.store<u64>(p, 0);
    } else if (e & PTE_P || slot_needed(type, i)) {
      const rc = entry_get(d, d, mfn, i, e);
      if (rc) {
        f.partial = <u16>i;
        return rc;
      }
      atomic.store<u64>(p, entry_adjust(d, e));
    }
    type_budget--;
  }
  f.partial = 0;
  f.pt_flags = (f.pt_flags & ~PGT_partial) | PGT_validated;
  f.pt_count = 1;
  page_put(mfn); // whoever asked for it holds it
  return 0;
}

/** Give up a use and the hold that came with it. -ERESTART: the table is not yet taken apart, old_table() is to remember it. */
export function type_put(mfn: Mfn): i32 {
  const rc = unuse(mfn);
  page_put(mfn);
  return rc;
}

function unuse(mfn: Mfn): i32 {
  const f = frame(mfn);
  if (f.pt_type == PGT_writable) {
    writable_put(mfn);
    return 0;
  }
  // Its domain ends, and pv_relinquish has been here.
  if (f.pt_type == PGT_none || --f.pt_count) return 0;
  f.pt_flags &= ~PGT_validated;
  if (f.pt_type == PGT_seg) {
    f.pt_type = PGT_none;
    return 0;
  }
  const d = domain_find(f.owner);
  if (d != null && f.pt_type == root_type(d)) root_gone(d, mfn);
  f.pt_flags |= PGT_partial;
  f.partial = <u16>ENTRIES;
  page_get(mfn);
  return devalidate(mfn);
}

/** Give back the references of a partial table's entries. 0: it is a page like others. */
function devalidate(mfn: Mfn): i32 {
  const f = frame(mfn);
  const level = table_level(f.pt_type);
  const table = mfn_to_ptr(mfn);
  if (level > 1 && f.partial < <u16>ENTRIES) {
    const rc = child_undone(f, load<u64>(table + ((<usize>f.partial) << 3)), level);
    if (rc) return rc;
  }
  while (f.partial > 0) {
    if (type_budget <= 0) return -ERESTART;
    type_budget--;
    const i = <u32>f.partial - 1;
    f.partial = <u16>i;
    const e = load<u64>(table + ((<usize>i) << 3));
    if (!(e & PTE_P) || slot_reserved(f.pt_type, i)) continue;
    const rc = entry_put(mfn, level, e);
    if (rc) return rc;
  }
  table_unwalked(f);
  f.pt_type = PGT_none;
  f.pt_flags &= ~PGT_partial;
  page_put(mfn);
  return 0;
}

/** The entry where a table stands may lead to one that is half taken apart or half put together itself. */
function child_undone(f: Frame, e: u64, level: i32): i32 {
  const mfn = pte_mfn(e);
  if (!(e & PTE_P) || mfn > 0xfffff || !frame_valid(<u32>mfn)) return 0;
  const c = frame(<u32>mfn);
  if (c.owner != f.owner || !is_table(c.pt_type) || table_level(c.pt_type) != level - 1) return 0;
  if (!(c.pt_flags & PGT_partial)) return 0;
  return devalidate(<u32>mfn);
}

/**
 * The vCPU's next such operation goes on with what is left of this table. It remembers one: another stays half taken apart until somebody
 * asks for it, or its domain ends.
 */
export function old_table(v: Vcpu, mfn: Mfn): void {
  if (v.pv_old) return;
  page_get(mfn);
  v.pv_old = mfn;
}

/** Go on with what an operation of the vCPU has left behind. 0 or -ERESTART. */
export function old_finish(v: Vcpu): i32 {
  const mfn = v.pv_old;
  if (!mfn) return 0;
  const f = frame(mfn);
  if (is_table(f.pt_type) && f.pt_flags & PGT_partial) {
    const rc = devalidate(mfn);
    if (rc) return rc;
  }
  v.pv_old = 0;
  page_put(mfn);
  return 0;
}

/** Is the frame a page table of the domain's that a walk may use at `level`? By a linear entry higher ones serve as lower ones. */
export function type_walkable(d: Domain, mfn: u64, level: i32): bool {
  if (mfn > 0xfffff || !frame_valid(<u32>mfn)) return false;
  const f = frame(<u32>mfn);
  return (
    f.type == FRAME_RAM &&
    f.owner == d.domid &&
    is_table(f.pt_type) &&
    table_level(f.pt_type) >= level &&
    (f.pt_flags & PGT_validated) != 0
  );
}
