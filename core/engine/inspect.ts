// Exports for tests that drive the engine themselves, on a pCPU that runs nothing else (after pcpu_init).
import { CPU_SLICE, Cpu } from '../arch/x86/cpu';
import { update_mode } from '../arch/x86/modes';
import { domain_find } from '../hypervisor/domain';
import { p2m_frame } from '../hypervisor/p2m';
import { frame_written } from '../shared/frame_table';
import { INVALID_MFN, mfn_to_ptr } from '../shared/memory';
import { FORM_REGION } from '../gen/forms';
import { region_enter } from '../translator/regions';
import { want } from '../translator/sampler';
import { lookup } from './branch';
import { code_flush } from './code_cache';
import { cpu_run, cpu_step } from './cpu_run';
import { tlb_enter, tlb_flush } from './tlb_sets';
import { this_rip, uop_form } from './uop';

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

/** Run for about `budget` instructions: an EXIT_*, see cpu_run. */
export function cpu_run_for(cpu: usize, budget: i32): i32 {
  return cpu_run(changetype<Cpu>(cpu), budget);
}

/** The micro-op at RIP, as cpu_run would find it first; 0 = it cannot be fetched. */
function next(cpu: Cpu): usize {
  tlb_enter(cpu);
  return lookup(cpu, cpu.rip + cpu.base_cs);
}

/** Ask for a region at RIP, as if it were hot. False: nothing can be asked for there. */
export function region_want(cpu: usize): bool {
  const u = next(changetype<Cpu>(cpu));
  return u != 0 && want(changetype<Cpu>(cpu), u);
}

/** Run the region that begins at RIP: how many instructions have retired in it, -1 = there is none. RIP is then where it left. */
export function region_run(address: usize): i32 {
  const cpu = changetype<Cpu>(address);
  const u = next(cpu);
  if (u == 0 || uop_form(u) != FORM_REGION) return -1;
  cpu.n = 0;
  cpu.limit = i32.MAX_VALUE;
  store<i32>(address + CPU_SLICE, i32.MAX_VALUE);
  const t = region_enter(cpu, u);
  if (t) cpu.rip = this_rip(cpu, t);
  cpu.retired += <u64>cpu.n;
  return cpu.n;
}

/** The bytes of the frame at address `p` of machine memory have changed, as if a hypercall had written them. */
export function frame_changed(p: usize): void {
  frame_written(p & ~0xfff, 4096);
}

/** Address of a domain's frame in machine memory, 0 if there is none. */
export function domain_frame(domid: u32, gfn: u32): usize {
  const d = domain_find(domid);
  const mfn = d == null ? INVALID_MFN : p2m_frame(d, gfn);
  return mfn == INVALID_MFN ? 0 : mfn_to_ptr(mfn);
}
