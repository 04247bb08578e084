// Micro-ops that are no instructions, and how the loop leaves. Each returns the next micro-op, or 0 with cpu.rip and cpu.exit set.
import {
  Cpu,
  EXIT_BUDGET,
  EXIT_DEBUG,
  EXIT_EXCEPTION,
  EXIT_IOREQ,
  EXIT_NONE,
  EXIT_REPEAT,
  EXIT_RETRY,
  EXIT_STOP,
  PACE_FREE,
} from '../arch/x86/cpu';
import { raise } from '../arch/x86/exceptions';
import { TF } from '../arch/x86/flags';
import { MODE_BREAK } from '../arch/x86/modes';
import { cpu_pv } from '../arch/x86/pv/state';
import { branch, cross as cross_page, lookup, scratch_uops } from './branch';
import { CodePage, code_renew } from './code_cache';
import { FORM_GOTO, FORM_STOP } from '../gen/forms';
import { debug_break_hit } from './debug';
import { UNIT_SSE, UOP_SIZE, next_rip, this_rip, uop_disp, uop_form, uop_pos, uop_r } from './uop';

const RF: u64 = 0x10000;

/** Go on at the micro-op's target: the end of a run or of the page. */
export function goto(cpu: Cpu, u: usize): usize {
  const t = <usize>load<u32>(u, 12);
  if (t) return t;
  return branch(cpu, u);
}

export function cross(cpu: Cpu, u: usize): usize {
  return cross_page(cpu, u);
}

/** The instruction's bytes have changed since this was decoded. */
export function resync(cpu: Cpu, u: usize): usize {
  if (code_renew(cpu, changetype<CodePage>(<usize>cpu.code), u, scratch_uops())) return u;
  return lookup(cpu, this_rip(cpu, u) + cpu.base_cs);
}

/** The end of a single step. */
export function stop(cpu: Cpu, u: usize): usize {
  cpu.rip = next_rip(cpu, u - UOP_SIZE);
  cpu.exit = EXIT_STOP;
  return 0;
}

function fault(cpu: Cpu, u: usize, vector: u32): usize {
  cpu.rip = this_rip(cpu, u);
  raise(cpu, vector, 0);
  return 0;
}

export function ud(cpu: Cpu, u: usize): usize {
  return fault(cpu, u, 6);
}

export function gp(cpu: Cpu, u: usize): usize {
  return fault(cpu, u, 13);
}

/** An x87, MMX or SSE instruction whose unit is off (SDM vol. 3, tables 13-1 and 2-2): r is a UNIT_*. */
export function unit(cpu: Cpu, u: usize): usize {
  const whose = uop_r(u);
  if ((whose && cpu.cr0 & 4) || (whose == UNIT_SSE && !(cpu.cr4 & 0x200))) return fault(cpu, u, 6);
  return fault(cpu, u, 7);
}

/** A debugger's breakpoint, before the micro-op of the instruction itself. */
export function brk(cpu: Cpu, u: usize): usize {
  if (!debug_break_hit(cpu, cpu.page_va + uop_pos(u))) return u + UOP_SIZE;
  cpu.rip = this_rip(cpu, u);
  cpu.exit = EXIT_DEBUG;
  return 0;
}

/** A straight micro-op left: faults and retries have not retired. */
export function leave(cpu: Cpu, u: usize, n: i32): void {
  const why = cpu.exit;
  cpu.uop = <u32>u;
  const again = why == EXIT_EXCEPTION || why == EXIT_RETRY || why == EXIT_IOREQ || why == EXIT_REPEAT;
  cpu.n = again ? n - 1 : n;
}

/**
 * A straight micro-op has left. Where nothing has to be seen to between this instruction and the next, the loop goes on with that one, at
 * RIP: its micro-op. Else 0, and all is as the loop leaves it.
 */
export function resume(cpu: Cpu, u: usize, n: i32): usize {
  if (cpu.exit != EXIT_NONE || cpu.pace != PACE_FREE || n >= cpu.limit || !free_between(cpu)) {
    leave(cpu, u, n);
    return 0;
  }
  cpu.n = n;
  // RF held for this instruction only, and hides breakpoints, of which there are none
  cpu.rflags &= ~RF;
  return lookup(cpu, cpu.rip + cpu.base_cs);
}

/** Neither an event nor a trap nor an instruction that has to run alone comes next. */
@inline function free_between(cpu: Cpu): bool {
  if (cpu.waits | cpu.shadow | cpu.alone | cpu.hits) return false;
  return !(cpu.rflags & (<u64>TF)) && !(cpu.mode & MODE_BREAK) && !cpu_pv(cpu);
}

/**
 * After a branch: u is 0 if it left by itself (cpu.rip is set; cpu.uop too if it has not retired), else the budget is used up before
 * micro-op u.
 */
export function leave_branch(cpu: Cpu, u: usize, n: i32): void {
  cpu.n = cpu.uop ? n - 1 : n;
  if (u == 0) return;
  cpu.exit = EXIT_BUDGET;
  // a branch that is not taken may end at what is no instruction
  const form = uop_form(u);
  if (form == FORM_STOP) stop(cpu, u);
  else if (form == FORM_GOTO) cpu.rip = cpu.page_va + <u64>(<i64>uop_disp(u)) - cpu.base_cs;
  else cpu.rip = this_rip(cpu, u);
}
