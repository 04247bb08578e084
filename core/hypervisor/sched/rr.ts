// A fair round robin. A pCPU's time is cut into rounds: in each, every vCPU may run for one slice of time. Who has used its slice waits
// for the next round, which begins when nobody is left in this one. So a round lasts at most a slice a runnable vCPU, whoever is how greedy.
//
// Who has slept comes before the others as long as it has something left of its slice: it answers at once, and pays for it like any time.
// It keeps that place for a stretch of BOOST and no longer, so that those who woke do not wait for one another's slices.
import { Pcpu, SCHED_AREA } from '../../shared/pcpu';
import { Vcpu, vcpu_pcpu } from '../vcpu';
import { list_empty, list_pop, list_push, list_push_front, list_remove } from './list';

/** A slice, and how much of it a vCPU that woke may take before its turn among the others. */
export const RR_SLICE: i64 = 5000000;
export const RR_BOOST: i64 = 1000000;
/** What a vCPU may owe for having run too long (an instruction or a hypercall is not interrupted): so many slices. */
const DEBT_MAX: i64 = 16;

/** The pCPU's area: who woke, and two lists of which one is this round's and the other the next one's. */
const WOKEN: u32 = 0;
@unmanaged
class Rr {
  woken: u64;
  list1: u64;
  list2: u64;
  round: u32;
  /** 1 or 2: this round's list. */
  active: u32;
}

@inline function rr(p: Pcpu): Rr {
  return changetype<Rr>(changetype<usize>(p) + SCHED_AREA);
}

@inline function list(p: Pcpu, i: u32): usize {
  return changetype<usize>(p) + SCHED_AREA + ((<usize>i) << 3);
}

export function rr_init(p: Pcpu): void {
  const r = rr(p);
  if (!r.active) r.active = 1;
}

export function rr_insert(v: Vcpu): void {
  v.sched_left = RR_SLICE;
}

@inline export function rr_queued(v: Vcpu): bool {
  return v.sched_list != 0;
}

/** In a new round the vCPU has a new slice, less what it owes. */
function refill(p: Pcpu, v: Vcpu): void {
  const round = rr(p).round;
  if (v.sched_round == round) return;
  const missed = <i64>(round - v.sched_round);
  const left = v.sched_left < 0 ? v.sched_left + missed * RR_SLICE : RR_SLICE;
  v.sched_left = left < RR_SLICE ? left : RR_SLICE;
  v.sched_round = round;
}

export function rr_wake(v: Vcpu): bool {
  const p = vcpu_pcpu(v);
  refill(p, v);
  if (v.sched_left <= 0) {
    list_push(list(p, 3 - rr(p).active), v);
    return false;
  }
  v.sched_boost = RR_BOOST;
  list_push(list(p, WOKEN), v);
  return true;
}

export function rr_sleep(v: Vcpu): void {
  list_remove(v);
}

export function rr_pick(p: Pcpu): Vcpu | null {
  const woken = list_pop(list(p, WOKEN));
  if (woken != null) return woken;
  const r = rr(p);
  // Each round gives a slice to whoever is left, and a debt is bounded: this ends.
  while (true) {
    const v = list_pop(list(p, r.active));
    if (v == null) {
      if (list_empty(list(p, 3 - r.active))) return null;
      r.active = 3 - r.active;
      r.round++;
      continue;
    }
    refill(p, v);
    if (v.sched_left > 0) return v;
    list_push(list(p, 3 - r.active), v); // it owes more than this slice
  }
}

export function rr_put(p: Pcpu, v: Vcpu, yields: bool): void {
  refill(p, v);
  const active = rr(p).active;
  const boosted = v.sched_boost != 0;
  v.sched_boost = 0;
  if (v.sched_left <= 0) list_push(list(p, 3 - active), v);
  else if (yields || boosted) list_push(list(p, active), v);
  else list_push_front(list(p, active), v);
}

export function rr_charge(p: Pcpu, v: Vcpu, ns: u64): void {
  refill(p, v);
  const floor = -DEBT_MAX * RR_SLICE;
  const left = v.sched_left - <i64>min<u64>(ns, <u64>(RR_SLICE - floor));
  v.sched_left = left < floor ? floor : left;
  // 0 is a vCPU that has no such place; one that has been used up is still known as one.
  if (v.sched_boost > 0) v.sched_boost = <u64>v.sched_boost > ns ? v.sched_boost - <i64>ns : -1;
}

export function rr_left(p: Pcpu, v: Vcpu): i64 {
  if (list_empty(list(p, WOKEN))) return v.sched_left;
  return v.sched_boost < v.sched_left ? v.sched_boost : v.sched_left;
}
