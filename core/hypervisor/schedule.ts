// The scheduler: which vCPU a pCPU runs, what its exits mean, and what the platform is told.
import { cpu_debug_step, cpu_has_interrupt, cpu_run, engine_init } from '../engine/cpu_run';
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
import { lapic_pending, LAPIC_NEVER, lapic_timer_deadline, lapic_timer_poll } from '../arch/x86/lapic';
import { RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running, SHUTDOWN_poweroff } from '../gen/abi';
import { IF } from '../arch/x86/flags';
import { host, HOST_DETERMINISTIC, host_lock, host_unlock } from '../shared/host';
import { Pcpu, pcpu_area, pcpu_enter, pcpu_get, pcpu_leave } from '../shared/pcpu';
import { translator_answered } from '../translator/sampler';
import { triple_fault } from './crash';
import { debug_after, DEBUG_HELD, DEBUG_STEPPING } from './debug';
import {
  Domain,
  domain_first,
  domain_next,
  DOMAIN_DYING,
  DOMAIN_SERVICE,
  DOMAIN_SHUTDOWN,
  domain_shutdown,
  domain_vcpu,
} from './domain';
import { hypercall_exit } from './hypercall';
import { ioreq_waiting } from './ioreq';
import { profile_guest, profile_idle, profile_own } from './profile';
import {
  NS_PER_INSTRUCTION_SHIFT,
  runstate_publish,
  system_time,
  time_jump,
  time_publish,
  time_slice_begin,
  time_slice_end,
  time_to_clock,
  timer_deadline,
  timers_run,
  vcpu_tsc,
} from './time';
import { trace_run, tracing_runs } from './trace';
import { cpu_of, NEVER, Vcpu, vcpu_domain, VCPU_HALTED_FOR_GOOD, vcpu_runstate, VCPU_UP } from './vcpu';

/** Instructions a slice has at most; shorter if a timer is near. */
const SLICE: i32 = 200000;
const SLICE_MIN: u64 = 1000;

export const PCPU_IDLE: i32 = 0;
export const PCPU_MORE: i32 = 1;
export const PCPU_ENDED: i32 = 2;

export function pcpu_init(id: u32): void {
  const p = pcpu_get(id);
  p.id = id;
  p.area = <u32>pcpu_area(id);
  engine_init(id, p.area);
}

/** The platform's clock (ns) when an idle pCPU has to be run again, as a double; negative if only an event can change anything. */
export function pcpu_deadline(id: u32): f64 {
  const at = pcpu_get(id).deadline;
  return at == NEVER ? -1 : time_to_clock(at);
}

/** Run vCPUs on pCPU `id` for up to `slices` slices. PCPU_*. */
export function pcpu_run(id: u32, slices: i32): i32 {
  const p = pcpu_get(id);
  host_lock();
  let answer = PCPU_MORE;
  for (let n = 0; n < slices && !translator_answered(id); n++) {
    const v = pick(p);
    if (v != null) {
      slice(p, v);
      continue;
    }
    if (!alive) answer = PCPU_ENDED;
    else if (host().flags & HOST_DETERMINISTIC && p.deadline != NEVER) {
      profile_idle(p, p.deadline - system_time());
      time_jump(p.deadline);
      continue;
    } else answer = PCPU_IDLE;
    break;
  }
  host_unlock();
  return answer;
}

/** Set by pick: some domain has not stopped. */
let alive: bool = false;

/** Fire due timers, and choose the runnable vCPU of this pCPU that has waited longest. Sets p.deadline when there is none. */
function pick(p: Pcpu): Vcpu | null {
  const now = system_time();
  let best: Vcpu | null = null;
  p.deadline = NEVER;
  alive = false;
  for (let d = domain_first(); d != null; d = domain_next(d)) {
    if (d.flags & (DOMAIN_SERVICE | DOMAIN_DYING | DOMAIN_SHUTDOWN)) continue;
    alive = true;
    if (d.pause_count) continue;
    for (let i: u32 = 0; i < d.max_vcpus; i++) {
      const v = domain_vcpu(d, i);
      if (v == null || v.pcpu != p.id || !(v.flags & VCPU_UP) || !ready(v, now)) continue;
      if (best == null || v.state_entry < best.state_entry) best = v;
      if (v.state != RUNSTATE_runnable) vcpu_runstate(v, RUNSTATE_runnable);
    }
    const t = domain_deadline(d, p.id);
    if (t < p.deadline) p.deadline = t;
  }
  return best;
}

function domain_deadline(d: Domain, pcpu: u32): u64 {
  let least = NEVER;
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null || v.pcpu != pcpu || !(v.flags & VCPU_UP) || v.debug & DEBUG_HELD) continue;
    const t = vcpu_deadline(v);
    if (t < least) least = t;
  }
  return least;
}

/** The vCPU's next timer of either kind, as system time. */
function vcpu_deadline(v: Vcpu): u64 {
  let t = timer_deadline(v);
  const l = lapic_timer_deadline(cpu_of(v));
  if (l == LAPIC_NEVER) return t;
  const tsc = vcpu_tsc(v);
  const khz = vcpu_domain(v).tsc_khz;
  const ticks = l > tsc ? l - tsc : 0;
  const at = system_time() + (ticks / khz) * 1000000 + ((ticks % khz) * 1000000) / khz;
  return at < t ? at : t;
}

/** Timers first; then: may it run? */
function ready(v: Vcpu, now: u64): bool {
  const cpu = cpu_of(v);
  if (v.debug & DEBUG_HELD) return false;
  timers_run(v, now);
  lapic_timer_poll(cpu);
  if (v.poll_count && v.poll_deadline <= now) v.poll_count = v.blocked = 0;
  if (!v.blocked) return true;
  if (v.ioreq_state) {
    if (ioreq_waiting(v)) return false;
  } else if (!nmi_pending(cpu) && !cpu_has_interrupt(cpu)) return false;
  v.blocked = 0;
  return true;
}

/** Run `v` until its slice is used, it blocks or its domain stops. The host's lock is held, except while guest code runs. */
function slice(p: Pcpu, v: Vcpu): void {
  const cpu = cpu_of(v);
  const d = vcpu_domain(v);
  vcpu_runstate(v, RUNSTATE_running);
  runstate_publish(v);
  if (v.published_offset != cpu.tsc_offset) time_publish(v);
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('current'), <u32>changetype<usize>(v));
  v.slices++;
  let left = budget(v);
  while (
    left > 0 &&
    !v.blocked &&
    v.flags & VCPU_UP &&
    !d.pause_count &&
    !(v.debug & DEBUG_HELD) &&
    !(d.flags & (DOMAIN_SHUTDOWN | DOMAIN_DYING))
  ) {
    // The answer to an I/O request belongs to the instruction that asked: no interrupt comes between.
    if (v.ioreq_state) cpu.shadow = SHADOW_INTERRUPTS;
    const before = cpu.retired;
    const why = enter(p, v, cpu, left);
    left -= <i32>(cpu.retired - before) + 1;
    profile_guest(p, v);
    const go_on = exit(v, why);
    profile_own(p, v);
    if (v.debug || why == EXIT_DEBUG) debug_after(v, why, why == EXIT_DEBUG);
    if (!go_on) break;
  }
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('current'), 0);
  vcpu_runstate(v, v.flags & VCPU_UP ? (v.blocked ? RUNSTATE_blocked : RUNSTATE_runnable) : RUNSTATE_offline);
  runstate_publish(v);
}

/** Guest code runs: the lock is free meanwhile. */
function enter(p: Pcpu, v: Vcpu, cpu: Cpu, left: i32): i32 {
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
  time_slice_end(v);
  return why;
}

function budget(v: Vcpu): i32 {
  const t = vcpu_deadline(v);
  const now = system_time();
  if (t == NEVER) return SLICE;
  const n = t > now ? (t - now) >> NS_PER_INSTRUCTION_SHIFT : 0;
  return n >= <u64>SLICE ? SLICE : <i32>(n < SLICE_MIN ? SLICE_MIN : n);
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

/** Handle why the vCPU left; false = its slice is over. */
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
      if (nmi_pending(cpu) || cpu_has_interrupt(cpu)) return true;
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
      triple_fault(vcpu_domain(v), v);
      return false;
    default:
      if (why == EXIT_BUDGET) v.exits_budget++;
      return false;
  }
}
