// Who may run: the one place where a vCPU passes between asleep, runnable and stopped. Whatever changes something that this depends on
// (events, timers, pause, a debugger's hold, the domain's end) says so by vcpu_look, under the host's lock.
import { cpu_kick } from '../../arch/x86/cpu';
import { IF } from '../../arch/x86/flags';
import { nmi_pending } from '../../arch/x86/interrupts';
import { lapic_pending, LAPIC_NEVER, lapic_timer_deadline, lapic_timer_poll } from '../../arch/x86/lapic';
import { RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running } from '../../gen/abi';
import { Pcpu, pcpu_ring } from '../../shared/pcpu';
import { DEBUG_HELD } from '../debug';
import { Domain, DOMAIN_DYING, DOMAIN_SERVICE, DOMAIN_SHUTDOWN, domain_vcpu } from '../domain';
import { engine_upcall_vector } from '../engine';
import { ioreq_waiting } from '../ioreq';
import { domain_tsc_at, runstate_publish, system_time, time_publish, timer_deadline, timers_run } from '../time';
import { cpu_of, NEVER, Vcpu, vcpu_domain, vcpu_kick, vcpu_pcpu, vcpu_runstate, VCPU_UP } from '../vcpu';
import { sched_put, sched_queued, sched_sleep, sched_wake } from './interface';
import { timers_due, timers_first, timers_remove, timers_set } from './timers';

/** Nothing keeps the vCPU from running but its own waiting for something. */
export function vcpu_may_run(v: Vcpu): bool {
  const d = vcpu_domain(v);
  return (
    (v.flags & VCPU_UP) != 0 &&
    !d.pause_count &&
    !(v.debug & DEBUG_HELD) &&
    !(d.flags & (DOMAIN_SHUTDOWN | DOMAIN_DYING | DOMAIN_SERVICE))
  );
}

/** Would it wake from HLT? */
export function vcpu_has_interrupt(v: Vcpu): bool {
  const cpu = cpu_of(v);
  if (nmi_pending(cpu)) return true;
  if (!(cpu.rflags & (<u64>IF))) return false;
  return engine_upcall_vector(cpu) >= 0 || lapic_pending(cpu) >= 0;
}

/** Does it wait for something that has not come? */
function waits(v: Vcpu): bool {
  if (!v.blocked) return false;
  return v.ioreq_state ? ioreq_waiting(v) : !vcpu_has_interrupt(v);
}

/** The run state of a vCPU whose turn is over, as Xen names it: who waits is blocked, whatever else stops it. */
function vcpu_rest_state(v: Vcpu): u32 {
  if (!(v.flags & VCPU_UP)) return RUNSTATE_offline;
  if (v.blocked) return RUNSTATE_blocked;
  return vcpu_may_run(v) ? RUNSTATE_runnable : RUNSTATE_offline;
}

function enter(v: Vcpu, state: u32, now: u64): void {
  if (v.state != state) vcpu_runstate(v, state, now);
}

/**
 * Something has changed: the vCPU becomes what it is now. One that runs leaves guest code and sees it at the end of its turn (vcpu_settle).
 */
export function vcpu_look(v: Vcpu): void {
  if (v.state == RUNSTATE_running) {
    if (!(vcpu_domain(v).flags & DOMAIN_SERVICE)) attention(vcpu_pcpu(v), v);
    return;
  }
  vcpu_settle(v, system_time());
}

/** As vcpu_look for a vCPU that does not run. */
export function vcpu_settle(v: Vcpu, now: u64): void {
  // A timer of its own may wake it by way of an event, or end its domain.
  if (vcpu_may_run(v) && !sched_queued(v)) vcpu_timers(v, now);
  if (!vcpu_may_run(v)) {
    sched_sleep(v);
    timers_remove(v);
    enter(v, vcpu_rest_state(v), now);
    return;
  }
  if (sched_queued(v)) return;
  if (waits(v)) {
    const t = vcpu_deadline(v, now);
    timers_set(v, t > now ? t : now + 1);
    enter(v, RUNSTATE_blocked, now);
    if (t < vcpu_pcpu(v).deadline) attention(vcpu_pcpu(v), null);
    return;
  }
  v.blocked = 0;
  timers_remove(v);
  enter(v, RUNSTATE_runnable, now);
  if (sched_wake(v) || !vcpu_pcpu(v).current) attention(vcpu_pcpu(v), null);
}

/** The pCPU looks around: it leaves guest code (`v`'s, or whosever it runs), or wakes. */
function attention(p: Pcpu, v: Vcpu | null): void {
  const current = v != null ? v : changetype<Vcpu | null>(<usize>p.current);
  if (current == null) {
    if (!p.choosing) pcpu_ring(p.id);
    return;
  }
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('look'), 1);
  cpu_kick(cpu_of(current));
}

/** Every vCPU of a domain: it was paused, goes on, or ends. */
export function domain_look(d: Domain): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) vcpu_look(v);
  }
}

/** End a wait because there is something to see. */
export function vcpu_unblock(v: Vcpu): void {
  v.blocked = 0;
  v.poll_count = 0;
  v.poll_deadline = NEVER;
  // Who runs takes it between two instructions, without an end to the turn.
  if (v.state == RUNSTATE_running) vcpu_kick(v);
  else vcpu_look(v);
}

/** Let the vCPU's timers that are due do what they do: events, interrupts, the end of a poll. */
export function vcpu_timers(v: Vcpu, now: u64): void {
  if (timer_deadline(v) <= now) {
    timers_run(v, now);
    if (v.poll_deadline <= now) {
      v.poll_count = v.blocked = 0;
      v.poll_deadline = NEVER;
    }
  }
  if (lapic_timer_deadline(cpu_of(v)) != LAPIC_NEVER) lapic_timer_poll(cpu_of(v));
}

/** The vCPU's next timer of whatever kind, as system time. */
export function vcpu_deadline(v: Vcpu, now: u64): u64 {
  const t = timer_deadline(v);
  const l = lapic_timer_deadline(cpu_of(v));
  if (l == LAPIC_NEVER) return t;
  const d = vcpu_domain(v);
  const tsc = domain_tsc_at(d, now) + cpu_of(v).tsc_offset;
  const ticks = l > tsc ? l - tsc : 0;
  const khz = <u64>d.tsc_khz;
  // Rounded up: earlier, the timer would find itself not due.
  const at = now + (ticks / khz) * 1000000 + ((ticks % khz) * 1000000 + khz - 1) / khz;
  return at < t ? at : t;
}

/** The vCPU that was picked begins to run. */
export function turn_begin(p: Pcpu, v: Vcpu, now: u64): void {
  vcpu_runstate(v, RUNSTATE_running, now);
  runstate_publish(v);
  if (v.published_offset != cpu_of(v).tsc_offset) time_publish(v);
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('current'), <u32>changetype<usize>(v));
  v.slices++;
  v.yields = 0;
}

/** It has run: who could go on queues up, the others sleep or stop. */
export function turn_end(p: Pcpu, v: Vcpu, now: u64): void {
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('current'), 0);
  const state = vcpu_rest_state(v);
  vcpu_runstate(v, state, now);
  if (state == RUNSTATE_runnable) sched_put(p, v, v.yields != 0);
  else vcpu_settle(v, now);
  runstate_publish(v);
}

/** Wake everybody on the pCPU whose time has come. */
export function timers_expire(p: Pcpu, now: u64): void {
  for (let v = timers_due(p, now); v != null; v = timers_due(p, now)) vcpu_settle(v, now);
  p.deadline = timers_first(p);
}
