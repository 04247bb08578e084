// Stores to page tables (VMASST_TYPE_writable_pagetables): a guest's kernel may write into an L1 table that it has mapped read-only, as if it were
// memory; what it writes is an update of the entry like any other. The processor's part is core/arch/x86/pv/page_writes.ts.
import { frame, frame_written } from '../../shared/frame_table';
import { INVALID_MFN, mfn_to_ptr } from '../../shared/memory';
import { is_pv32 } from '../domain';
import { Vcpu, vcpu_domain } from '../vcpu';
import { entry_adjust, entry_get, leaf_put, PTE_FREE, PTE_P } from './entries';
import { pv_owned } from './memory';
import { PGT_l1, PGT_validated } from './page_type';
import { entry_changed } from './translations';

const UPPER_HALF: u64 = 0xffffffff00000000;

/**
 * `value` goes over the bits `mask` of the L1 entry at machine address `ma`, where `old` was read. 0 done; 1: the entry has changed since, by
 * a processor that has set its accessed or dirty bit for instance; -1: it may not be so. Nothing has changed then.
 */
export function ptwr_write(v: Vcpu, ma: u64, mask: u64, old: u64, value: u64): i32 {
  const d = vcpu_domain(v);
  const mfn = pv_owned(d, ma >> 12);
  if (mfn == INVALID_MFN || frame(mfn).pt_type != PGT_l1 || !(frame(mfn).pt_flags & PGT_validated)) return -1;
  const p = mfn_to_ptr(mfn) + ((<usize>ma) & 0xff8);
  const now = atomic.load<u64>(p);
  if ((now ^ old) & mask) return 1;
  let next = entry_adjust(d, (now & ~mask) | (value & mask));
  // The same frame with the same rights keeps its references.
  const same = (next & PTE_P) != 0 && ((now ^ next) & ~PTE_FREE) == 0;
  if (next & PTE_P && !same && entry_get(d, d, mfn, ((<u32>ma) & 0xfff) >>> 3, next)) {
    // As Xen has it, a 32-bit guest that writes an entry's upper half first has it wrong way round: the lower one follows.
    if (!is_pv32(d) || mask != UPPER_HALF) return -1;
    next &= ~PTE_P;
  }
  if (atomic.cmpxchg<u64>(p, now, next) != now) {
    if (!same) leaf_put(d.domid, next); // of one that is not present nothing
    return 1;
  }
  frame_written(p, 8);
  entry_changed(v, d, mfn, ((<u32>ma) & 0xfff) >>> 3, now);
  if (!same) leaf_put(d.domid, now);
  return 0;
}
