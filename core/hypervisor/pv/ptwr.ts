// Stores to page tables (VMASST_TYPE_writable_pagetables): a guest's kernel may write into an L1 table that it has mapped read-only, as if it were
// memory; what it writes is an update of the entry like any other. The processor's part is core/arch/x86/pv/page_writes.ts.
import { frame } from '../../shared/frame_table';
import { INVALID_MFN, mfn_to_ptr } from '../../shared/memory';
import { Vcpu, vcpu_domain } from '../vcpu';
import { pv_owned } from './memory';
import { PGT_l1, PGT_validated, type_begin } from './page_type';
import { entry_update } from './update';

/**
 * `value` goes over the bits `mask` of the L1 entry at machine address `ma`, where `old` was read. 0 done; 1: the entry has changed since; -1: it may
 * not be so. Nothing has changed then.
 */
export function ptwr_write(v: Vcpu, ma: u64, mask: u64, old: u64, value: u64): i32 {
  const d = vcpu_domain(v);
  const mfn = pv_owned(d, ma >> 12);
  if (mfn == INVALID_MFN || frame(mfn).pt_type != PGT_l1 || !(frame(mfn).pt_flags & PGT_validated)) return -1;
  const i = ((<u32>ma) & 0xfff) >>> 3;
  const now = atomic.load<u64>(mfn_to_ptr(mfn) + ((<usize>i) << 3));
  if ((now ^ old) & mask) return 1;
  type_begin(v);
  return entry_update(v, d, d, mfn, i, (now & ~mask) | (value & mask), false) ? -1 : 0;
}
