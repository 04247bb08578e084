// A pCPU's shared part: what others need to reach it. Its private caches (TLB, code) are in its area.
import { PCPU_CODE_ARENA } from '../engine/layout';
import { host, HOST_BASE_FLUSH, HOST_PCPUS } from './host';

@unmanaged
export class Pcpu {
  /** Address of the private area. */
  area: u32;
  /** Incremented and notified when there is something to do; an idle pCPU sleeps on it. */
  doorbell: u32;
  /** The Vcpu being run, or 0. */
  current: u32;
  /** 1 while guest code may run here. */
  in_guest: u32;
  /** The flush epoch its TLB conforms to. */
  seen_epoch: u32;
  id: u32;
  /** The running vCPU is to see whether its turn is over. */
  look: u32;
  /** Ticks of the profiler that found guest code, and the hypervisor, at work here and have not been recorded yet. */
  sample_guest: u32;
  /** System time at which it has to run again (ns), ~0 = never. */
  deadline: u64;
  sample_own: u32;
  /** It is choosing the next vCPU, under the host's lock: what changes meanwhile it sees by itself. */
  choosing: u32;
  /** The sleeping vCPUs' deadlines: the root of a heap (hypervisor/sched/timers.ts). */
  timers: u32;
}

/** The scheduler's part. */
export const SCHED_AREA: usize = 64;
export const PCPU_SIZE: usize = 128;

@inline export function pcpu_get(id: u32): Pcpu {
  return changetype<Pcpu>(HOST_PCPUS + <usize>id * PCPU_SIZE);
}

/** Address of a pCPU's private area, for the engine. */
export function pcpu_area(id: u32): usize {
  return <usize>host().pcpu_areas + <usize>id * (PCPU_CODE_ARENA + host().code_arena);
}

export function pcpu_doorbell(id: u32): usize {
  return HOST_PCPUS + <usize>id * PCPU_SIZE + offsetof<Pcpu>('doorbell');
}

/** Wake a pCPU that sleeps until something happens. */
export function pcpu_ring(id: u32): void {
  const bell = pcpu_doorbell(id);
  atomic.add<u32>(bell, 1);
  atomic.notify(bell, 1);
}

/**
 * Say that guest code may run from now on. True if translations were taken away since this pCPU last looked: flush first.
 * The order matters: in_guest is set before the epoch is read, and whoever raises the epoch reads in_guest afterwards.
 */
export function pcpu_enter(p: Pcpu): bool {
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('in_guest'), 1);
  const epoch = atomic.load<u32>(HOST_BASE_FLUSH);
  const stale = p.seen_epoch != epoch;
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('seen_epoch'), epoch);
  return stale;
}

export function pcpu_leave(p: Pcpu): void {
  atomic.store<u32>(changetype<usize>(p) + offsetof<Pcpu>('in_guest'), 0);
}

/** Has every pCPU that may run guest code seen `epoch`? But for the one with this area, which asks. */
export function pcpus_passed(epoch: u32, but: usize = 0): bool {
  const n = host().pcpu_count;
  for (let i: u32 = 0; i < n; i++) {
    const p = changetype<usize>(pcpu_get(i));
    if (but && pcpu_get(i).area == <u32>but) continue;
    if (atomic.load<u32>(p + offsetof<Pcpu>('in_guest')) == 0) continue;
    if (<i32>(atomic.load<u32>(p + offsetof<Pcpu>('seen_epoch')) - epoch) < 0) return false;
  }
  return true;
}
