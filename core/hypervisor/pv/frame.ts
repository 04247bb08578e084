// Which frame a PV guest's translation may lead to.
import { Cpu, CPU_WALK } from '../../arch/x86/cpu';
import { frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../../shared/frame_table';
import { host_lock, host_unlock } from '../../shared/host';
import { INVALID_MFN, Mfn, ptr_to_mfn } from '../../shared/memory';
import { Domain, is_pv32 } from '../domain';
import { vcpu_domain, vcpu_of } from '../vcpu';
import { pv_owned } from './memory';
import { PTE_P, pte_mfn, PTE_RW } from './entries';
import { PGT_l1, PGT_validated, PGT_writable, type_open, type_walkable } from './page_type';

/** A frame of the domain's own, for the TLB: one that may be written is in use as writable memory. Callable without the lock. */
export function pv_frame(d: Domain, mfn: u64, write: bool): Mfn {
  const m = pv_owned(d, mfn);
  return m == INVALID_MFN || (write && frame(m).pt_type != PGT_writable) ? INVALID_MFN : m;
}

/**
 * The same for whatever an L1 entry names, frames of others that were granted included: the entry at the end of the walk that has just
 * been made (CPU_WALK) still is in an L1 table, and so was checked when it was made. Takes the lock if it has to look.
 */
export function pv_leaf_frame(cpu: Cpu, mfn: u64, write: bool): Mfn {
  const d = vcpu_domain(vcpu_of(cpu));
  const own = pv_frame(d, mfn, write);
  if (own != INVALID_MFN || mfn > 0xfffff || !frame_valid(<u32>mfn) || frame(<u32>mfn).owner == d.domid) return own;
  const p = <usize>load<u32>(changetype<usize>(cpu) + CPU_WALK + (is_pv32(d) ? 2 << 4 : 3 << 4));
  if (!p) return INVALID_MFN;
  host_lock();
  const table = frame(ptr_to_mfn(p));
  const e = atomic.load<u64>(p);
  const good =
    table.owner == d.domid &&
    table.type == FRAME_RAM &&
    table.pt_type == PGT_l1 &&
    (table.pt_flags & PGT_validated) != 0 &&
    (e & PTE_P) != 0 &&
    pte_mfn(e) == mfn &&
    (!write || ((e & PTE_RW) != 0 && frame(<u32>mfn).pt_type == PGT_writable));
  host_unlock();
  return good ? <u32>mfn : INVALID_MFN;
}

/** Under the lock, at the end of a walk through the guest's tables: memory of a guest's, and none of the hypervisor's own. */
export function pv_reached(mfn: u64, write: bool): Mfn {
  if (mfn > 0xfffff || !frame_valid(<u32>mfn)) return INVALID_MFN;
  const f = frame(<u32>mfn);
  if (f.type != FRAME_RAM && f.type != FRAME_SHARED) return INVALID_MFN;
  return write && !type_open(f) ? INVALID_MFN : <u32>mfn;
}

/** Is the frame in use as a page table of this level? By a linear entry a higher one is. Callable without the lock. */
export function pv_is_table(d: Domain, mfn: u64, level: i32): bool {
  return type_walkable(d, mfn, level);
}
