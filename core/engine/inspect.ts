// Exports for tests that drive the engine one instruction at a time, on a pCPU that runs nothing else (after pcpu_init).
import { Cpu } from '../arch/x86/cpu';
import { update_mode } from '../arch/x86/modes';
import { domain_find } from '../hypervisor/domain';
import { p2m_frame } from '../hypervisor/p2m';
import { INVALID_MFN, mfn_to_ptr } from '../shared/memory';
import { code_flush } from './code_cache';
import { cpu_step } from './cpu_run';
import { tlb_flush } from './tlb_sets';

/** Take over a state that was written into the Cpu from outside: nothing is remembered of the one before. */
export function cpu_refresh(cpu: usize): void {
  update_mode(changetype<Cpu>(cpu));
  tlb_flush(changetype<Cpu>(cpu));
  code_flush();
}

/** Execute one instruction and deliver nothing: an EXIT_*, see cpu_step. */
export function cpu_single_step(cpu: usize): i32 {
  return cpu_step(changetype<Cpu>(cpu));
}

/** Address of a domain's frame in machine memory, 0 if there is none. */
export function domain_frame(domid: u32, gfn: u32): usize {
  const d = domain_find(domid);
  const mfn = d == null ? INVALID_MFN : p2m_frame(d, gfn);
  return mfn == INVALID_MFN ? 0 : mfn_to_ptr(mfn);
}
