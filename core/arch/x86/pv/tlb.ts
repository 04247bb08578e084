// What a PV guest asks to be forgotten of its own vCPUs' translations, on the pCPU that asks.
import { tlb_forget_page, tlb_forget_vcpu, tlb_here } from '../../../engine/tlb_sets';
import { cpu_of, Vcpu } from '../../../hypervisor/vcpu';
import { pv_roots_flush, pv_roots_settled } from './roots';

/** What is stale of all that the calling vCPU has. */
export function pv_flush(v: Vcpu): void {
  if (tlb_here()) pv_roots_flush(v);
}

/** A page, in every address space of the vCPU. */
export function pv_invlpg(v: Vcpu, va: u64): void {
  if (tlb_here() && !pv_roots_settled(v)) tlb_forget_page(cpu_of(v), va);
}

/** All that another vCPU of this pCPU has. */
export function pv_forget(v: Vcpu): void {
  tlb_forget_vcpu(cpu_of(v));
}
