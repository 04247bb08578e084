// The L1 table that maps an address for a PV vCPU. Tables in use have been checked, so the entries on the way can be followed.
import { guest_address } from '../../arch/x86/pv/emulate';
import { cpu_pv32, pv_of } from '../../arch/x86/pv/state';
import { frame } from '../../shared/frame_table';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../../shared/memory';
import { cpu_of, Vcpu, vcpu_domain } from '../vcpu';
import { PTE_P, pte_mfn, slot_reserved } from './entries';
import { PGT_l1, type_walkable } from './page_type';

@inline export function l1_index(va: u64): u32 {
  return (<u32>(va >> 12)) & 511;
}

/** By the kernel's page tables; INVALID_MFN: nothing, or the address is none of the guest's. */
export function l1_table(v: Vcpu, va: u64): Mfn {
  const cpu = cpu_of(v);
  let mfn = pv_of(cpu).kernel_root;
  if (!mfn || !guest_address(cpu, va)) return INVALID_MFN;
  for (let level = cpu_pv32(cpu) ? 3 : 4; level > 1; level--) {
    const i = (<u32>(va >> (3 + 9 * <u64>level))) & 511;
    if (slot_reserved(frame(mfn).pt_type, i)) return INVALID_MFN;
    const e = load<u64>(mfn_to_ptr(mfn) + ((<usize>i) << 3));
    if (!(e & PTE_P) || !type_walkable(vcpu_domain(v), pte_mfn(e), level - 1)) return INVALID_MFN;
    mfn = <u32>pte_mfn(e);
  }
  return frame(mfn).pt_type == PGT_l1 ? mfn : INVALID_MFN;
}
