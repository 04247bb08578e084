// Which page tables a PV vCPU runs on. Each root is an address space of its own to the TLB: a pseudo-PCID in the low bits of CR3, where no guest sees
// it. So a change between kernel and programs forgets nothing; nor does a change of roots (a guest's context switch), as long as no entry of its page tables
// that was present has changed since the root's translations were forgotten last: the hypervisor sees every change (Domain.pt_generation).
import { Cpu, CPU_PV } from '../cpu';
import { tlb_enter, tlb_flush_local, tlb_here } from '../../../engine/tlb_sets';
import { cpu_of, Vcpu } from '../../../hypervisor/vcpu';
import { pt_generation } from '../identity';
import { PV_KERNEL, pv_of, PV_SPACE_COUNT, PV_SPACES } from './state';

/** CR3 of the present mode. */
@inline function select(cpu: Cpu): void {
  const pv = pv_of(cpu);
  const kernel = (pv.flags & PV_KERNEL) != 0;
  const root = <u64>(kernel ? pv.kernel_root : pv.user_root);
  cpu.cr3 = (root << 12) | (<u64>(kernel ? pv.kernel_space : pv.user_space));
}

/** From the kernel to its programs or back: roots and GS bases change places. The CPL is 3 in both. */
export function pv_toggle(cpu: Cpu): void {
  const pv = pv_of(cpu);
  pv.flags ^= PV_KERNEL;
  const gs = cpu.base_gs;
  cpu.base_gs = pv.other_gs;
  pv.other_gs = gs;
  select(cpu);
  tlb_enter(cpu);
}

@inline function slot(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + CPU_PV + PV_SPACES + ((<usize>i) << 3);
}

/** Translations of a pseudo-PCID are void from here on. */
function forget(cpu: Cpu, i: u32, root: u32): void {
  store<u32>(slot(cpu, i), root);
  store<u32>(slot(cpu, i), pt_generation(cpu), 4);
  if (tlb_here()) tlb_flush_local(cpu, false, i);
}

/** The pseudo-PCID of a root that is being loaded: its own, with what is still true of it, or one that neither of the present roots has. */
function space_of(cpu: Cpu, root: u32): u32 {
  for (let i: u32 = 0; i < PV_SPACE_COUNT; i++) {
    if (load<u32>(slot(cpu, i)) != root) continue;
    if (load<u32>(slot(cpu, i), 4) != pt_generation(cpu)) forget(cpu, i, root);
    return i;
  }
  const pv = pv_of(cpu);
  let i = pv.next_space;
  do i = (i + 1) & (PV_SPACE_COUNT - 1);
  while (i == pv.kernel_space || i == pv.user_space);
  pv.next_space = i;
  forget(cpu, i, root);
  return i;
}

/** Other roots have been set, or the same once more (MMUEXT_NEW_BASEPTR, NEW_USER_BASEPTR, a context). */
export function pv_roots_changed(v: Vcpu): void {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  if (pv.kernel_root) pv.kernel_space = space_of(cpu, pv.kernel_root);
  if (pv.user_root) pv.user_space = space_of(cpu, pv.user_root);
  select(cpu);
}

/** Forget all that the vCPU knows of its present roots. What it knows of others is looked at when they are loaded. */
export function pv_roots_flush(v: Vcpu): void {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  if (pv.kernel_root) forget(cpu, pv.kernel_space, pv.kernel_root);
  if (pv.user_root) forget(cpu, pv.user_space, pv.user_root);
}
