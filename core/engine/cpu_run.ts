// The outer loop of a vCPU: deliver what is pending, find the micro-op at RIP, run, see why the loop left.
import { break_hits, break_page } from '../arch/x86/breakpoints';
import {
  CPU_SLICE,
  Cpu,
  EXC_NON_CANONICAL,
  EXC_SOFT,
  EXIT_BUDGET,
  EXIT_DEBUG,
  EXIT_EXCEPTION,
  EXIT_HALT,
  EXIT_HYPERCALL,
  EXIT_IOREQ,
  EXIT_NONE,
  EXIT_REPEAT,
  EXIT_RETRY,
  EXIT_SHUTDOWN,
  EXIT_STOP,
  PACE_ALONE,
  PACE_FREE,
  PACE_STEP,
  SHADOW_ALL,
  SHADOW_NONE,
  cpu_event,
} from '../arch/x86/cpu';
import { deliver_exception, interrupt_deliver, raise_debug } from '../arch/x86/exceptions';
import { IF, TF } from '../arch/x86/flags';
import { nmi_deliver, nmi_pending, nmi_raised } from '../arch/x86/interrupts';
import { lapic_ack, lapic_pending, lapic_raised } from '../arch/x86/lapic';
import { MODE_BREAK, MODE_CS64, MODE_WATCH } from '../arch/x86/modes';
import { pv_events } from '../arch/x86/pv/bounce';
import { store_undone } from '../arch/x86/pv/page_writes';
import { cpu_pv } from '../arch/x86/pv/state';
import { FORM_BRK, FORM_CROSS, FORM_GOTO, FORM_REGION, FORM_RESYNC, FORM_STOP } from '../gen/forms';
import { run } from '../gen/run';
import { engine_interrupt_taken, engine_upcall_vector, engine_wanted } from '../hypervisor/engine';
import { branch_attach, lookup, scratch_uops, stack_fault } from './branch';
import { HOST_BASE } from './layout';
import { Host } from '../shared/host';
import { mfn_to_ptr } from '../shared/memory';
import { CodePage, code_attach, code_flush, pseudo } from './code_cache';
import { code_writes_attach } from './code_writes';
import { debug_changed, debug_forget, debug_reason, debug_watches } from './debug';
import { mem_attach } from './mem';
import { brk, cross, goto, resync } from './pseudo';
import { tlb_attach, tlb_enter, tlb_flush, tlb_forget_code } from './tlb_sets';
import {
  region_begin,
  region_ends_slice,
  region_near_limit,
  region_original,
  region_run,
  regions_attach,
  regions_changed,
  regions_full,
} from '../translator/regions';
import { sample, sample_due, sample_wait, sampler_attach, sampling } from '../translator/sampler';
import { UOP_MEM, UOP_SIZE, this_rip, uop_form, uop_len, uop_m, uop_pos } from './uop';
import { work_take } from './work';

const RF: u64 = 0x10000;
/** What an exception counts for, in instructions: a guest that does nothing but fault retires nothing. The same in all tiers. */
const EXCEPTION: i32 = 16;
/** DR6.BS: a single step. */
const DR6_BS: u32 = 0x4000;

/** Prepare this instance to run vCPUs as pCPU `id` whose private area is at `area`. */
export function engine_init(id: i32, area: usize): void {
  code_writes_attach(id);
  regions_attach(area);
  sampler_attach(area, id);
  tlb_attach(area);
  code_attach(area);
  branch_attach(area);
  mem_attach(id);
}

// @ts-ignore: decorator
@external('env', 'trace_insn')
declare function trace_insn(rip_low: u32, rip_high: u32, at: usize, length: u32): void;

let tracing: bool = false;

/** Every instruction runs alone and is reported to the platform first. */
export function engine_set_trace(on: i32): void {
  tracing = on != 0;
}

function report(cpu: Cpu, u: usize): void {
  const page = changetype<CodePage>(<usize>cpu.code);
  trace_insn(<u32>cpu.rip, <u32>(cpu.rip >> 32), mfn_to_ptr(page.mfn) + uop_pos(u), uop_len(u));
}

/** The next place is to be counted as one where time goes. */
let sampled: bool = false;
/** Changes of code frames by others that this pCPU has seen. */
let seen_smc: u32 = 0;

/** Somebody else changed bytes that may be decoded here: links from the TLB go, and code_page() compares generations. */
function see_changed_code(cpu: Cpu): void {
  if (debug_changed()) {
    code_flush();
    tlb_flush(cpu);
  }
  if (regions_full) code_flush();
  const seq = atomic.load<u32>(HOST_BASE + offsetof<Host>('smc_seq'));
  if (seq == seen_smc) return;
  seen_smc = seq;
  tlb_forget_code();
  regions_changed();
}

/** For tests: where a slice ends although it has not been used up. */
let stop_at: u64 = ~0;
/** Run to the first place where a slice may end at which so many instructions have been retired over the vCPU's life; -1 = as far as the slice goes. */
export function cpu_stop_at(retired: f64): void {
  stop_at = retired < 0 ? ~0 : <u64>retired;
}

/** A pending interrupt the vCPU would take now: its vector, or -1. */
function interrupt(cpu: Cpu): i32 {
  if (!(cpu.rflags & (<u64>IF)) || cpu.shadow) return -1;
  const upcall = engine_upcall_vector(cpu);
  if (upcall >= 0) return upcall;
  const v = lapic_pending(cpu);
  if (v >= 0) lapic_ack(cpu, v);
  return v;
}

/** Cpu.waits stays set only while something waits, even if it is not deliverable: until the next kick nothing can come to that. */
function see_waiting(cpu: Cpu): void {
  atomic.store<u32>(changetype<usize>(cpu) + offsetof<Cpu>('waits'), 0);
  if (engine_upcall_vector(cpu) >= 0 || lapic_raised(cpu) || nmi_raised(cpu)) cpu_event(cpu);
}

/** Deliver what is pending between two instructions: an NMI first, then one interrupt. EXIT_NONE, or why it could not be. */
function events(cpu: Cpu): i32 {
  if (cpu_pv(cpu)) return pv_events(cpu);
  if (nmi_pending(cpu) && !cpu.shadow) {
    engine_interrupt_taken(cpu, 2);
    const r = nmi_deliver(cpu);
    if (r != EXIT_NONE) return r;
  }
  const v = interrupt(cpu);
  if (v < 0) return EXIT_NONE;
  engine_interrupt_taken(cpu, v);
  return interrupt_deliver(cpu, v);
}

/** Deliver the debug trap that the instruction before has left. EXIT_NONE, or why it could not be. */
function traps(cpu: Cpu): i32 {
  if (!cpu.hits || cpu.shadow == SHADOW_ALL) return EXIT_NONE;
  raise_debug(cpu, cpu.hits);
  cpu.hits = 0;
  return deliver_exception(cpu);
}

/** DR6 bits of the instruction breakpoints that the next instruction hits. RF hides them from it (SDM vol. 3, 18.3.1.1). */
function breaks(cpu: Cpu): u32 {
  if (!(cpu.mode & MODE_BREAK)) return 0;
  if (cpu.rflags & RF) {
    cpu.alone = 1;
    return 0;
  }
  const va = linear_rip(cpu);
  if (!break_page(cpu, va)) return 0;
  cpu.alone = 1;
  return cpu.shadow == SHADOW_ALL ? 0 : break_hits(cpu, va);
}

@inline function linear_rip(cpu: Cpu): u64 {
  const va = cpu.rip + cpu.base_cs;
  return cpu.mode & MODE_CS64 ? va : va & 0xffffffff;
}

/** Does the next instruction run alone? Sets the pace, and ends what held for one instruction only. */
function alone(cpu: Cpu): bool {
  const step = (cpu.rflags & (<u64>TF)) != 0;
  const single = step || tracing || (cpu.shadow | cpu.alone | cpu.hits) != 0;
  cpu.shadow = SHADOW_NONE;
  cpu.alone = 0;
  cpu.rflags &= ~RF;
  cpu.pace = !single ? PACE_FREE : step || debug_watches || cpu.mode & MODE_WATCH ? PACE_STEP : PACE_ALONE;
  return single;
}

/**
 * Run a vCPU for about `budget` instructions. Returns EXIT_BUDGET, EXIT_HALT, EXIT_HYPERCALL, EXIT_IOREQ, EXIT_DEBUG or EXIT_SHUTDOWN
 * with the state ready to go on; cpu.retired has grown by what was retired.
 */
export function cpu_run(cpu: Cpu, budget: i32): i32 {
  tlb_enter(cpu);
  see_changed_code(cpu);
  cpu_event(cpu);
  let left = budget;
  while (true) {
    // The budget first: whoever kicks after this is heard, and what was pending before is seen below.
    atomic.store<i32>(changetype<usize>(cpu) + CPU_SLICE, left);
    let piece = sampling() ? min(left, sample_wait()) : left;
    if (stop_at - cpu.retired < <u64>piece) piece = <i32>(stop_at - cpu.retired);
    atomic.store<i32>(changetype<usize>(cpu) + offsetof<Cpu>('limit'), piece);
    // A kick that came just before has been overwritten; who it was for is asked for here.
    if (engine_wanted(cpu)) return EXIT_BUDGET;
    region_begin();
    let r = stepping ? traps(cpu) : between(cpu);
    if (cpu.waits) see_waiting(cpu);
    if (debug_reason && r == EXIT_NONE) return EXIT_DEBUG; // what was delivered has met a watched stack
    const broken = r == EXIT_NONE ? breaks(cpu) : 0;
    if (broken) {
      raise_debug(cpu, broken);
      r = deliver_exception(cpu);
      // Not for nothing: the handler may be where the breakpoint is.
      if (r == EXIT_NONE && --left > 0) continue;
      if (r == EXIT_NONE) r = EXIT_BUDGET;
    }
    if (r != EXIT_NONE) return r;
    const flags = cpu.rflags;
    const hits = cpu.hits;
    const start = cpu.rip;
    const shadow = cpu.shadow;
    if (stepping) cpu.alone = 1;
    const single = alone(cpu);
    cpu.exit = EXIT_NONE;
    cpu.n = 0;
    cpu.uop = 0;
    let u = lookup(cpu, start + cpu.base_cs);
    if (u && tracing) report(cpu, u);
    if (u && sampled) {
      sample(cpu, u);
      sampled = false;
    }
    if (u && single) {
      u = isolate(cpu, u, stepping);
      cpu.limit = 1;
    }
    if (u) {
      run(cpu, u);
      if (single && store_undone(cpu)) {
        cpu.rip = start;
        cpu.uop = 0;
        cpu.n = 0;
      }
      cpu.retired += <u64>cpu.n;
      left -= cpu.n + work_take();
      // Where the interpreter stands after a while is where time goes, unless it only fills the rest of a region's slice.
      if (sampling() && !region_near_limit && sample_due(cpu.n - region_run)) sampled = true;
      cpu.n = 0;
    }
    cpu.pace = PACE_ALONE;
    const why = cpu.exit;
    if (why == EXIT_EXCEPTION) left -= EXCEPTION;
    r = after(cpu, flags, hits, start);
    if (why == EXIT_DEBUG) return not_begun(cpu, shadow, flags);
    if (debug_reason) r = r == EXIT_NONE ? EXIT_DEBUG : dropped(r);
    if (stepping && r == EXIT_NONE && why != EXIT_RETRY) return EXIT_BUDGET;
    if (r != EXIT_NONE) return r;
    if (cpu.retired >= stop_at) return EXIT_BUDGET;
    if (left <= 0 || (why == EXIT_BUDGET && (region_ends_slice || engine_wanted(cpu)))) return EXIT_BUDGET;
  }
}

/** A breakpoint: what holds for one instruction only still holds for the one that it stopped before. */
function not_begun(cpu: Cpu, shadow: u32, flags: u64): i32 {
  cpu.shadow = shadow;
  cpu.rflags |= flags & RF;
  return EXIT_DEBUG;
}

/** Guest code is left for `r` anyway: nobody may find what was noted under another vCPU. */
function dropped(r: i32): i32 {
  debug_forget();
  return r;
}

/** The next instruction is all that is to run, whatever breakpoints say, and no interrupt comes before it. */
let stepping: bool = false;

/** A debugger's step: one instruction, or the delivery of the exception that it raises. EXIT_BUDGET, or as cpu_run. */
export function cpu_debug_step(cpu: Cpu): i32 {
  stepping = true;
  const r = cpu_run(cpu, 1);
  stepping = false;
  return r;
}

/** What comes behind an instruction, in the order of SDM vol. 3, table 6-2. EXIT_NONE, or why it could not be delivered. */
function between(cpu: Cpu): i32 {
  let r = traps(cpu);
  if (r == EXIT_NONE) r = events(cpu);
  // an event's delivery may have touched a watched stack
  return r == EXIT_NONE ? traps(cpu) : r;
}

/**
 * Execute one instruction and deliver nothing: for tests and debuggers. EXIT_EXCEPTION leaves exc_* pending with cpu.rip at the
 * instruction (or at the target that cannot be fetched); every other value means that the instruction has retired.
 */
export function cpu_step(cpu: Cpu): i32 {
  tlb_enter(cpu);
  see_changed_code(cpu);
  cpu.shadow = 0;
  cpu.exit = EXIT_NONE;
  cpu.n = 0;
  cpu.uop = 0;
  let u = lookup(cpu, cpu.rip + cpu.base_cs);
  if (u) u = isolate(cpu, u, true);
  if (u) {
    cpu.limit = 1;
    store<i32>(changetype<usize>(cpu) + CPU_SLICE, i32.MAX_VALUE);
    run(cpu, u);
    work_take();
    cpu.retired += <u64>cpu.n;
    if (cpu.exit == EXIT_EXCEPTION && cpu.uop) {
      cpu.rip = this_rip(cpu, <usize>cpu.uop);
      if (cpu.exc_flags & EXC_NON_CANONICAL) stack_fault(cpu, <usize>cpu.uop);
    }
  }
  return cpu.exit;
}

/**
 * The instruction at micro-op `u` alone, with a micro-op behind it that stops the loop; 0 = it cannot be fetched, or has a breakpoint
 * (which `pass` passes).
 */
function isolate(cpu: Cpu, u: usize, pass: bool): usize {
  for (;;) {
    const form = uop_form(u);
    if (form == FORM_GOTO) u = goto(cpu, u);
    else if (form == FORM_RESYNC) u = resync(cpu, u);
    else if (form == FORM_REGION) u = region_original(u);
    else if (form == FORM_CROSS) u = cross(cpu, u);
    else if (form == FORM_BRK) u = pass ? u + UOP_SIZE : brk(cpu, u);
    else break;
    if (u == 0) return 0;
  }
  const s = scratch_uops();
  memory.copy(s, u, UOP_SIZE);
  pseudo(s + UOP_SIZE, FORM_STOP, 0, 0);
  return s;
}

/**
 * Deal with why the loop left; EXIT_NONE = go on. `flags`, `hits` and `start`: RFLAGS, pending debug traps and RIP before it ran.
 */
function after(cpu: Cpu, flags: u64, hits: u32, start: u64): i32 {
  let why = cpu.exit;
  const u = <usize>cpu.uop;
  if (why == EXIT_DEBUG) return why;
  const step = (flags & (<u64>TF)) != 0;
  // An instruction that ends a PV domain is where its report points.
  const again = why == EXIT_EXCEPTION || why == EXIT_RETRY || why == EXIT_IOREQ || why == EXIT_REPEAT;
  if (u && (again || why == EXIT_SHUTDOWN)) {
    cpu.rip = this_rip(cpu, u);
    if (why == EXIT_EXCEPTION && cpu.exc_flags & EXC_NON_CANONICAL) stack_fault(cpu, u);
  }
  // An instruction that ran alone and cannot be followed, because its target cannot be fetched, has retired: its traps come first.
  if (why == EXIT_EXCEPTION && !u && cpu.rip != start && (step || cpu.hits != hits)) why = EXIT_NONE;
  if (why == EXIT_EXCEPTION || why == EXIT_RETRY || why == EXIT_IOREQ) {
    cpu.hits = hits;
    debug_forget();
    if (why == EXIT_EXCEPTION) return deliver_exception(cpu);
    cpu.rflags |= flags & RF;
    return why == EXIT_RETRY ? EXIT_NONE : why;
  }
  // Whatever comes between two elements saves RF as 1 (SDM vol. 3, 18.3.1.1).
  if (why == EXIT_REPEAT) cpu.rflags |= RF;
  // A trap after the instruction that began with TF set (SDM vol. 3, 18.3.1.4); MOV SS puts it off.
  if (step && cpu.shadow != SHADOW_ALL && why != EXIT_SHUTDOWN) cpu.hits |= DR6_BS;
  // The handler runs first: a HLT that is trapped is not slept in.
  if (why == EXIT_HALT && cpu.hits) return EXIT_NONE;
  return why == EXIT_BUDGET || why == EXIT_STOP || why == EXIT_REPEAT ? EXIT_NONE : why;
}
