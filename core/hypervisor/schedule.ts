// What a pCPU does: the turns of vCPUs, what their exits mean, and what the platform is told. Who is next is the scheduler's (sched/).
import { cpu_debug_step, cpu_run, engine_init } from '../engine/cpu_run';
import { tlb_flush_all } from '../engine/tlb_sets';
import {
  Cpu,
  EXIT_BUDGET,
  EXIT_DEBUG,
  EXIT_HALT,
  EXIT_HYPERCALL,
  EXIT_IOREQ,
  EXIT_SHUTDOWN,
  SHADOW_INTERRUPTS,
} from '../arch/x86/cpu';
import { nmi_pending } from '../arch/x86/interrupts';
import { SHUTDOWN_poweroff } from '../gen/abi';
import { IF } from '../arch/x86/flags';
import { host, HOST_DETERMINISTIC, host_lock, host_unlock } from '../shared/host';
import { Pcpu, pcpu_area, pcpu_enter, pcpu_get, pcpu_leave } from '../shared/pcpu';
import { translator_answered } from '../translator/sampler';
import { cpu_pv } from '../arch/x86/pv/state';
import { pv_crashed, triple_fault } from './crash';
import { debug_after, DEBUG_STEPPING } from './debug';
import { domain_shutdown, domain_vcpu } from './domain';
import { hypercall_exit } from './hypercall';
import { ioreq_waiting } from './ioreq';
import { profile_guest, profile_idle, profile_own } from './profile';
import {
  timers_expire,
  turn_begin,
  turn_end,
  vcpu_deadline,
  vcpu_has_interrupt,
  vcpu_may_run,
  vcpu_timers,
} from './sched/core';
import { sched_charge, sched_init, sched_left, sched_pick } from './sched/interface';
import { timers_first } from './sched/timers';
import {
  NS_PER_INSTRUCTION_SHIFT,
  system_time,
  time_jump,
  time_slice_begin,
  time_slice_end,
  time_to_clock,
} from './time';
import { trace_run, tracing_runs } from './trace';
import { cpu_of, NEVER, Vcpu, vcpu_domain, VCPU_HALTED_FOR_GOOD, VCPU_UP } from './vcpu';

/** Instructions that a vCPU runs for until the clock is looked at: at most, and at least however near a timer is. */
const STRETCH_MAX: u64 = 200000;
const STRETCH_MIN: u64 = 1000;
/** Hypercalls in a stretch, which take time that no instruction count tells of; and what one is taken for, in instructions. */
const CALLS_MAX: i32 = 8;
const CALL_COST: i32 = 1000;
/** A vCPU's speed while it is not known: that of the interpreter. */
const SPEED_SHIFT: u64 = 16;
const SPEED_UNKNOWN: u32 = 20000;

export const PCPU_IDLE: i32 = 0;
export const PCPU_MORE: i32 = 1;

export function pcpu_init(id: u32): void {
  const p = pcpu_get(id);
  p.id = id;
  p.area = <u32>pcpu_area(id);
  sched_init(p);
  engine_init(id, p.area);
}

/** The platform's clock (ns) when an idle pCPU has to be run again, as a double; negative if only an event can change anything. */
export function pcpu_deadline(id: u32): f64 {
  const at = pcpu_get(id).deadline;
  return at == NEVER ? -1 : time_to_clock(at);
}

/** For tests: a stretch ends when guest code is left. */
let one_run: bool = false;
export function pcpu_one_run(on: i32): void {
  one_run = on != 0;
}

/** What is left of the stretches that pcpu_run was asked for. */
let stretches: i32 = 0;

/** Run vCPUs on pCPU `id` until the platform is to look around: after `n` stretches, or when all wait. PCPU_*. */
export function pcpu_run(id: u32, n: i32): i32 {
  const p = pcpu_get(id);
  stretches = n;
  host_lock();
  p.choosing = 1;
  let answer = PCPU_MORE;
  while (stretches > 0 && !translator_answered(id)) {
    const now = system_time();
    timers_expire(p, now);
    const v = sched_pick(p);
    if (v != null) turn(p, v, now);
    else if (host().flags & HOST_DETERMINISTIC && p.deadline != NEVER) {
      profile_idle(p, p.deadline - now);
      time_jump(p.deadline);
      stretches--;
    } else {
      answer = PCPU_IDLE;
      break;
    }
  }
  p.choosing = 0;
  host_unlock();
  return answer;
}

/** Run `v` from `start` on until its time is used up, it waits, or it may not go on. The lock is held, except while guest code runs. */
function turn(p: Pcpu, v: Vcpu, start: u64): void {
  const cpu = cpu_of(v);
  turn_begin(p, v, start);
  let now = start;
  let goes_on = true;
  while (goes_on) {
    atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('look'), 0);
    vcpu_timers(v, now);
    if (!vcpu_may_run(v)) break;
    const before = cpu.retired;
    const n = budget(p, v, now);
    goes_on = stretch(p, v, cpu, n);
    const then = now;
    now = system_time();
    account(p, v, now - then, cpu.retired - before, n);
    if (--stretches <= 0 || v.yields || sched_left(p, v) <= 0 || timers_first(p) <= now) break;
    if (translator_answered(p.id)) break;
  }
  turn_end(p, v, now);
}

/** The vCPU has run for `ns`, and retired `ran` instructions of the `n` that it was given. */
function account(p: Pcpu, v: Vcpu, ns: u64, ran: u64, n: i32): void {
  if (ran >= STRETCH_MIN && ns) {
    // A speed once seen may not last: it grows step by step, and falls at once.
    const seen = (ran << SPEED_SHIFT) / ns;
    const known = <u64>(v.speed ? v.speed : SPEED_UNKNOWN);
    v.speed = <u32>(seen > 2 * known ? 2 * known : seen < 1 ? 1 : seen);
  }
  // Where no time passes, as under a debugger's hand or for instructions that never retire, what it was given counts.
  const least = (<u64>n) << NS_PER_INSTRUCTION_SHIFT;
  sched_charge(p, v, ns ? ns : least);
}

/** Guest code and its exits until the clock has to be looked at. False: the turn is over. */
function stretch(p: Pcpu, v: Vcpu, cpu: Cpu, n: i32): bool {
  let left = n;
  let calls = 0;
  do {
    // The answer to an I/O request belongs to the instruction that asked: no interrupt comes between.
    if (v.ioreq_state) cpu.shadow = SHADOW_INTERRUPTS;
    const before = cpu.retired;
    const why = enter(p, v, cpu, left);
    left -= <i32>(cpu.retired - before) + CALL_COST;
    profile_guest(p, v);
    const go_on = exit(v, why);
    profile_own(p, v);
    if (v.debug || why == EXIT_DEBUG) debug_after(v, why, why == EXIT_DEBUG);
    if (why == EXIT_BUDGET) break;
    if (!go_on) return false;
    calls++;
  } while (left > 0 && calls < CALLS_MAX && !p.look && !v.yields && !v.blocked && !one_run && vcpu_may_run(v));
  return !v.blocked && vcpu_may_run(v);
}

/** Guest code runs: the lock is free meanwhile. */
function enter(p: Pcpu, v: Vcpu, cpu: Cpu, left: i32): i32 {
  p.choosing = 0;
  host_unlock();
  if (pcpu_enter(p)) tlb_flush_all();
  time_slice_begin(v);
  const tracing = tracing_runs();
  const start = tracing ? system_time() : 0;
  const retired = cpu.retired;
  const why = v.debug & DEBUG_STEPPING ? cpu_debug_step(cpu) : cpu_run(cpu, left);
  pcpu_leave(p);
  if (tracing) trace_run(v, p.id, start, cpu.retired - retired, why);
  host_lock();
  p.choosing = 1;
  time_slice_end(v);
  return why;
}

/** Instructions until the vCPU's time is used up or the next timer is due, its own or that of one that sleeps. */
function budget(p: Pcpu, v: Vcpu, now: u64): i32 {
  let at = vcpu_deadline(v, now);
  const first = timers_first(p);
  if (first < at) at = first;
  const left = sched_left(p, v);
  let ns = left > 0 ? <u64>left : 0;
  if (at != NEVER && (at > now ? at - now : 0) < ns) ns = at > now ? at - now : 0;
  const speed = <u64>(v.speed ? v.speed : SPEED_UNKNOWN);
  const n = host().flags & HOST_DETERMINISTIC ? ns >> NS_PER_INSTRUCTION_SHIFT : (ns * speed) >> SPEED_SHIFT;
  return <i32>(n > STRETCH_MAX ? STRETCH_MAX : n < STRETCH_MIN ? STRETCH_MIN : n);
}

/** Take the vCPU down; a domain without any left has powered itself off. */
function halted_for_good(v: Vcpu): void {
  const d = vcpu_domain(v);
  v.flags = (v.flags & ~VCPU_UP) | VCPU_HALTED_FOR_GOOD;
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const other = domain_vcpu(d, i);
    if (other != null && other.flags & VCPU_UP) return;
  }
  domain_shutdown(d, SHUTDOWN_poweroff);
}

/** Handle why the vCPU left; false = its turn is over. */
function exit(v: Vcpu, why: i32): bool {
  const cpu = cpu_of(v);
  switch (why) {
    case EXIT_HALT:
      v.exits_hlt++;
      // As Xen does: HLT with interrupts off is how a guest without power management stops a vCPU for good.
      if (!(cpu.rflags & (<u64>IF)) && !nmi_pending(cpu)) {
        halted_for_good(v);
        return false;
      }
      if (vcpu_has_interrupt(v)) return true;
      v.blocked = 1;
      return false;
    case EXIT_HYPERCALL:
      hypercall_exit(v);
      return true;
    case EXIT_IOREQ:
      v.exits_io++;
      if (ioreq_waiting(v)) v.blocked = 1;
      return true;
    case EXIT_SHUTDOWN:
      if (cpu_pv(cpu)) pv_crashed(vcpu_domain(v), v);
      else triple_fault(vcpu_domain(v), v);
      return false;
    default:
      if (why == EXIT_BUDGET) v.exits_budget++;
      return true;
  }
}
