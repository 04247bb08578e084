// A change of one entry of a page table that is in use (HYPERVISOR_mmu_update and the others).
import { EINVAL } from '../../gen/abi';
import { frame, frame_written } from '../../shared/frame_table';
import { Mfn, mfn_to_ptr } from '../../shared/memory';
import { Domain } from '../domain';
import { Vcpu } from '../vcpu';
import {
  entry_adjust,
  entry_bad_bits,
  entry_get,
  entry_put,
  PTE_A,
  PTE_D,
  PTE_FREE,
  PTE_P,
  pte_mfn,
  slot_needed,
  slot_reserved,
  slot_type,
} from './entries';
import { ERESTART } from '../../gen/abi';
import { old_table, table_blame, table_level } from './page_type';
import { entry_changed } from './translations';

/** Put `value` into the word at `p`; with `preserve` the accessed and dirty bits that are there stay. What was there. */
export function entry_write(p: usize, value: u64, preserve: bool): u64 {
  frame_written(p, 8);
  if (!preserve) return atomic.xchg<u64>(p, value);
  let old = atomic.load<u64>(p);
  while (true) {
    const seen = atomic.cmpxchg<u64>(p, old, value | (old & (PTE_A | PTE_D)));
    if (seen == old) return old;
    old = seen; // a processor has set one of these bits meanwhile; there are two
  }
}

/**
 * Write entry `i` of the validated table `mfn` of `d`'s; an L1 entry names a frame of `pg`'s. -ERESTART: nothing has changed yet, the
 * table that it is to name is half looked at.
 */
export function entry_update(v: Vcpu, d: Domain, pg: Domain, mfn: Mfn, i: u32, value: u64, preserve: bool): i32 {
  const type = frame(mfn).pt_type;
  const level = table_level(type);
  const p = mfn_to_ptr(mfn) + ((<usize>i) << 3);
  if (slot_reserved(type, i) || slot_needed(type, i)) return -EINVAL;
  if (value & PTE_P) {
    if (entry_bad_bits(type, value)) return -EINVAL;
    // The same frame with the same rights: its references stay.
    if (((atomic.load<u64>(p) ^ value) & ~PTE_FREE) == 0) {
      entry_changed(v, d, mfn, i, entry_write(p, entry_adjust(d, value), preserve));
      return 0;
    }
    const rc = entry_get(d, pg, mfn, i, value);
    if (rc) {
      if (rc != -ERESTART && level > 1) table_blame(v, d, pte_mfn(value), slot_type(type, i));
      return rc;
    }
  }
  const old = entry_write(p, entry_adjust(d, value), preserve);
  entry_changed(v, d, mfn, i, old);
  if (old & PTE_P && entry_put(mfn, level, old)) old_table(v, <u32>pte_mfn(old));
  return 0;
}
