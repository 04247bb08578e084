// Which page tables a PV vCPU runs on. Its kernel and its programs have roots of their own, which are two address spaces to the TLB: pseudo-PCIDs
// in the low bits of CR3, where no guest sees them. So a change between the two forgets nothing.
import { Cpu } from '../cpu';
import { tlb_enter, tlb_flush_local, tlb_here } from '../../../engine/tlb_sets';
import { set_gs_base } from '../msr_special';
import { PV_KERNEL, pv_of } from './state';
import { cpu_of, Vcpu } from '../../../hypervisor/vcpu';

export const PCID_KERNEL: u32 = 0;
export const PCID_USER: u32 = 1;

/** CR3 of the present mode. */
function select(cpu: Cpu): void {
  const pv = pv_of(cpu);
  const kernel = (pv.flags & PV_KERNEL) != 0;
  const root = kernel ? pv.kernel_root : pv.user_root;
  cpu.cr3 = ((<u64>root) << 12) | (<u64>(kernel ? PCID_KERNEL : PCID_USER));
}

/** From the kernel to its programs or back: roots and GS bases change places. The CPL is 3 in both. */
export function pv_toggle(cpu: Cpu): void {
  const pv = pv_of(cpu);
  pv.flags ^= PV_KERNEL;
  const gs = cpu.base_gs;
  set_gs_base(cpu, pv.other_gs);
  pv.other_gs = gs;
  select(cpu);
  tlb_enter(cpu);
}

/** Other roots have been set (MMUEXT_NEW_BASEPTR, NEW_USER_BASEPTR, a context): what the TLB knows of the old ones is void. */
export function pv_roots_changed(v: Vcpu): void {
  const cpu = cpu_of(v);
  select(cpu);
  if (tlb_here()) tlb_flush_local(cpu, true, 0);
}
