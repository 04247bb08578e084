// The hypervisor's half of a vCPU, one page behind its Cpu: scheduling state, time, event delivery.
import { Cpu, cpu_kick } from '../arch/x86/cpu';
import { lapic_reset } from '../arch/x86/lapic';
import { RUNSTATE_offline, RUNSTATE_running, sizeof_vcpu_info, VIRQ_TIMER } from '../gen/abi';
import { xenheap_alloc_pair, xenheap_free_pair } from '../shared/frame_alloc';
import { host, host_raise_flush } from '../shared/host';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../shared/memory';
import { Pcpu, pcpu_get } from '../shared/pcpu';
import { Domain, DOMAIN_SERVICE } from './domain';
import { page_put_writable } from './pv/page_type';
import { pv_vcpu_release } from './pv/vcpu';
import { pv_vcpu_end } from './pv/context';
import { system_time } from './time';
import { sched_insert, sched_sleep } from './sched/interface';
import { timers_remove } from './sched/timers';
import { trace_state, tracing_runs } from './trace';
import { XEN_LEGACY_MAX_VCPUS } from '../gen/abi';

@unmanaged
export class Vcpu {
  domain: u32;
  id: u32;
  /** The pCPU it is bound to. */
  pcpu: u32;
  /** RUNSTATE_* */
  state: u32;
  /** VCPU_* */
  flags: u32;
  /** Waits for an event or a timer (HLT, SCHEDOP_block, SCHEDOP_poll, an I/O request). */
  blocked: u32;
  /** SCHEDOP_poll: number of ports waited for (in the page's poll area), 0 = not polling. */
  poll_count: u32;
  /** Host address of its vcpu_info. */
  info: u32;
  info_mfn: Mfn;
  /** Vector of HVMOP_set_evtchn_upcall_vector, 0 = none. */
  upcall_vector: u32;
  /** An upcall is to be raised in the local APIC. Set by anybody, taken by the pCPU that runs it. */
  upcall_raise: u32;
  /** An NMI is to be raised. */
  nmi_raise: u32;
  fifo_control: u32;
  fifo_mfn: Mfn;
  /** Ports bound to VIRQ_TIMER and so on are in VCPU_VIRQS. */
  ioreq_state: u32;
  ioreq_server: u32;
  ioreq_size: u32;
  ioreq_value: u32;
  ioreq_addr: u64;
  ioreq_data: u64;
  state_entry: u64;
  time_running: u64;
  time_runnable: u64;
  time_blocked: u64;
  time_offline: u64;
  /** Registered areas: guest-physical addresses of the first byte and of the first byte on the next page; ~0 = none. */
  runstate_gpa: u64;
  runstate_gpa2: u64;
  time_gpa: u64;
  time_gpa2: u64;
  /** Absolute system times, ~0 = off. */
  singleshot: u64;
  periodic: u64;
  period: u64;
  poll_deadline: u64;
  /** Deterministic time: instructions retired when the slice began. */
  slice_base: u64;
  published_offset: u64;
  ring_next: u32;
  /** The running hypercall is to be called again: new arguments are in the registers. */
  restart: u32;
  /** Result of a hypercall that a service repeats. */
  cont_cmd: u64;
  cont_arg1: u64;
  cont_arg2: u64;
  hypercalls: u64;
  exits_hlt: u64;
  exits_io: u64;
  slices: u64;
  upcalls: u64;
  /** Interrupts that were no upcalls; exits at the end of a slice or by a kick. */
  interrupts: u64;
  exits_budget: u64;
  /** Sampling by instructions: periods that have passed. */
  samples: u64;
  /** Where a debugger has stopped it. */
  debug_address: u64;
  /** A debugger's hold: DEBUG_* of debug.ts; and why it stopped. */
  debug: u32;
  debug_reason: u32;
  /** The hypercall being served came from 32-bit code: its structures have the layouts of core/gen/compat.ts. */
  compat: u32;
  /** It has asked for the others to come first (SCHEDOP_yield). */
  yields: u32;
  /** The scheduler's: the list that it is on and its neighbours there, the round that `left` belongs to (sched/rr.ts). */
  sched_list: u32;
  sched_next: u32;
  sched_prev: u32;
  sched_left: i64;
  sched_boost: i64;
  sched_round: u32;
  /** How fast it has run lately: instructions in 65,536 ns; 0 = not known. */
  speed: u32;
  /** While it sleeps: its deadline and its place among the others' (sched/timers.ts). */
  timer_at: u64;
  timer_child: u32;
  timer_next: u32;
  timer_prev: u32;
  /** A page table whose references this vCPU still has to take back (pv/page_type.ts), held; 0 = none. */
  pv_old: Mfn;
  /** A continued call's fourth argument is `cont_arg3`. */
  cont_four: u32;
  cont_arg3: u64;
  /** A continued update_va_mapping has written the entry of this page (bit 0 set) and has still to have it forgotten; 0 = none. */
  pv_flush_page: u64;
}

/** Has been brought up (it takes part in scheduling). */
export const VCPU_UP: u32 = 1;
export const VCPU_INITIALISED: u32 = 2;
/** HLT with interrupts off: nothing but an NMI ends it. */
export const VCPU_HALTED_FOR_GOOD: u32 = 4;
export const VCPU_INFO_REGISTERED: u32 = 8;

/** Areas of the page, from the Vcpu's address. */
export const VCPU_CALLS: usize = 512; // hypercalls made, by number: 64 × u32
export const VCPU_FIFO: usize = 768; // 16 queues × {head, tail}
export const VCPU_VIRQS: usize = 896; // NR_VIRQS × port
export const VCPU_POLL: usize = 1024; // 128 ports
export const VCPU_RING: usize = 1536; // 16 hypercalls × 64 bytes: nr, 5 arguments, result, rip
export const VCPU_ARG: usize = 2560; // copy of a hypercall's argument structure
export const VCPU_ARG_SIZE: u32 = 1440;
export const VCPU_MULTICALL: usize = 4000; // the entry of a multicall that is being served
export const VCPU_OFFSET: usize = 4096;

export const NEVER: u64 = ~0;

@inline export function vcpu_of(cpu: Cpu): Vcpu {
  return changetype<Vcpu>(changetype<usize>(cpu) + VCPU_OFFSET);
}

@inline export function cpu_of(v: Vcpu): Cpu {
  return changetype<Cpu>(changetype<usize>(v) - VCPU_OFFSET);
}

@inline export function vcpu_pcpu(v: Vcpu): Pcpu {
  return pcpu_get(v.pcpu);
}

@inline export function vcpu_domain(v: Vcpu): Domain {
  return changetype<Domain>(<usize>v.domain);
}

/** Where a hypercall's argument structure is copied to. */
@inline export function vcpu_arg(v: Vcpu): usize {
  return changetype<usize>(v) + VCPU_ARG;
}

@inline export function vcpu_virq(v: Vcpu, virq: u32): usize {
  return changetype<usize>(v) + VCPU_VIRQS + ((<usize>virq) << 2);
}

/** Where a vCPU's vcpu_info is until the guest registers a place. */
export function vcpu_default_info(d: Domain, id: u32): u32 {
  return id < <u32>XEN_LEGACY_MAX_VCPUS ? d.shared_info + id * sizeof_vcpu_info : d.dummy_info;
}

export function vcpu_create(d: Domain, id: u32): Vcpu | null {
  const p = xenheap_alloc_pair(d.domid);
  if (!p) return null;
  const v = changetype<Vcpu>(p + VCPU_OFFSET);
  v.domain = <u32>changetype<usize>(d);
  v.id = id;
  v.pcpu = (d.domid + id) % host().pcpu_count;
  v.state = RUNSTATE_offline;
  v.state_entry = system_time();
  v.singleshot = v.periodic = v.poll_deadline = v.timer_at = NEVER;
  v.runstate_gpa = v.time_gpa = NEVER;
  v.info = vcpu_default_info(d, id);
  v.info_mfn = v.fifo_mfn = INVALID_MFN;
  v.published_offset = NEVER;
  sched_insert(v);
  host_raise_flush(); // a pCPU may remember translations of another vCPU that lay here
  if (!(d.flags & DOMAIN_SERVICE)) lapic_reset(cpu_of(v));
  return v;
}

/** The hypervisor's hold on the guest's pages goes; the pair of pages too. */
export function vcpu_destroy(v: Vcpu): void {
  sched_sleep(v);
  timers_remove(v);
  if (v.info_mfn != INVALID_MFN) page_put_writable(v.info_mfn);
  if (v.fifo_mfn != INVALID_MFN) page_put_writable(v.fifo_mfn);
  pv_vcpu_release(v);
  pv_vcpu_end(v);
  xenheap_free_pair(changetype<usize>(v) - VCPU_OFFSET);
}

/** A vCPU that runs leaves guest code soon, for what was raised for it or for a pCPU's sake. Callable without the lock. */
export function vcpu_kick(v: Vcpu): void {
  if (v.state == RUNSTATE_running) cpu_kick(cpu_of(v));
}

/** Account the time in the old state and enter `state` at `now`. */
export function vcpu_runstate(v: Vcpu, state: u32, now: u64): void {
  const spent = now > v.state_entry ? now - v.state_entry : 0;
  const p = changetype<usize>(v) + offsetof<Vcpu>('time_running') + ((<usize>v.state) << 3);
  store<u64>(p, load<u64>(p) + spent);
  if (state != v.state && tracing_runs()) trace_state(v, now);
  v.state = state;
  if (now > v.state_entry) v.state_entry = now;
}
