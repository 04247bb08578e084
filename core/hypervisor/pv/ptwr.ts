// Stores to page tables (VMASST_TYPE_writable_pagetables): a guest's kernel may write into an L1 table that it has mapped read-only, as if it were
// memory; what it writes is an update of the entry like any other.
import { frame } from '../../shared/frame_table';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../../shared/memory';
import { Vcpu, vcpu_domain } from '../vcpu';
import { pv_owned } from './memory';
import { PGT_l1, PGT_validated, type_begin } from './page_type';
import { entry_update } from './update';

function l1_of(v: Vcpu, ma: u64): Mfn {
  const mfn = pv_owned(vcpu_domain(v), ma >> 12);
  if (mfn == INVALID_MFN) return mfn;
  const f = frame(mfn);
  return f.pt_type == PGT_l1 && f.pt_flags & PGT_validated ? mfn : INVALID_MFN;
}

/** Is there an L1 entry of the vCPU's domain at this machine address? Callable without the lock: ptwr_write asks again. */
export function ptwr_here(v: Vcpu, ma: u64): bool {
  return l1_of(v, ma) != INVALID_MFN;
}

/** The low `size` bytes of `value` go to machine address `ma`, within one entry; its other bytes stay. False: nothing has changed. */
export function ptwr_write(v: Vcpu, ma: u64, value: u64, size: i32): bool {
  const mfn = l1_of(v, ma);
  const at = (<i32>ma) & 7;
  if (mfn == INVALID_MFN || at + size > 8) return false;
  const i = ((<u32>ma) & 0xfff) >>> 3;
  let e = value;
  if (size < 8) {
    const mask = (((<u64>1) << (8 * size)) - 1) << (8 * at);
    e = (atomic.load<u64>(mfn_to_ptr(mfn) + ((<usize>i) << 3)) & ~mask) | ((value << (8 * at)) & mask);
  }
  const d = vcpu_domain(v);
  type_begin(v);
  return entry_update(v, d, d, mfn, i, e, false) == 0;
}
