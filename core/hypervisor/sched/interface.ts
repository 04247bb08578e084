// What a scheduler is to the rest of the hypervisor. Whether a vCPU may run is vcpu_look's business (core.ts); a scheduler only knows those
// that are runnable and not running, and says which of them is next and for how long. It keeps what it needs in the vCPU (`sched_*`) and in
// the pCPU (`SCHED_AREA`). All of it runs under the host's lock, and takes O(1) or O(log n) time.
//
// One scheduler is here, the round robin of rr.ts. Another one is chosen in these functions, by a word of Host.
import { Pcpu } from '../../shared/pcpu';
import { Vcpu } from '../vcpu';
import { rr_charge, rr_init, rr_insert, rr_left, rr_pick, rr_put, rr_queued, rr_sleep, rr_wake } from './rr';

/** Before the pCPU runs anything. */
export function sched_init(p: Pcpu): void {
  rr_init(p);
}

/** A new vCPU. It is not runnable. */
export function sched_insert(v: Vcpu): void {
  rr_insert(v);
}

/** A vCPU that slept is runnable. True: the one that runs on its pCPU should see whether its turn is over. */
export function sched_wake(v: Vcpu): bool {
  return rr_wake(v);
}

/** A runnable vCPU may not run any more. */
export function sched_sleep(v: Vcpu): void {
  rr_sleep(v);
}

/** Does the scheduler hold the vCPU as runnable? */
export function sched_queued(v: Vcpu): bool {
  return rr_queued(v);
}

/** The vCPU that runs next, no longer among the runnable ones; null: there is none. */
export function sched_pick(p: Pcpu): Vcpu | null {
  return rr_pick(p);
}

/** A vCPU's turn is over and it is runnable still; `yields`: it has asked for the others to come first. */
export function sched_put(p: Pcpu, v: Vcpu, yields: bool): void {
  rr_put(p, v, yields);
}

/** The running vCPU has run for so long. */
export function sched_charge(p: Pcpu, v: Vcpu, ns: u64): void {
  rr_charge(p, v, ns);
}

/** How long the running vCPU may go on, in ns; 0 or less: its turn is over. */
export function sched_left(p: Pcpu, v: Vcpu): i64 {
  return rr_left(p, v);
}
