// Which page tables a PV vCPU runs on: those of its kernel, or of the programs.
import { cpu_of, Vcpu } from '../../../hypervisor/vcpu';
import { pv_of, PV_KERNEL } from './state';
import { pv_flush } from './tlb';

/** A root has changed. */
export function pv_roots_changed(v: Vcpu): void {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  cpu.cr3 = (<u64>(pv.flags & PV_KERNEL ? pv.kernel_root : pv.user_root)) << 12;
  pv_flush(v);
}
