// The hypervisor without an engine: what the tests of this folder compile. The exports below stand in for a guest's instructions.
import { vcpu_of } from './vcpu';
import {
  engine_ldt_page,
  engine_new_root,
  engine_port,
  engine_port_value,
  engine_store_entry,
  engine_upcall_vector,
} from './engine';
import { Cpu } from '../arch/x86/cpu';
import { hypercall_page_write } from './hypercall_page';
import { hypercall, hypercall_exit } from './hypercall';
import { m2p_get } from './pv/m2p';
import { type_begin, type_set_budget } from './pv/page_type';
import { root_set } from './pv/vcpu';
import { domain_cpu } from './inspect';
import { ioreq_waiting } from './ioreq';
import { host_lock, host_unlock } from '../shared/host';
import { Pcpu, pcpu_get } from '../shared/pcpu';
import { Domain, domain_find, DOMAIN_PRIVILEGED, domain_vcpu } from './domain';
import { timers_expire, turn_begin, turn_end, vcpu_unblock } from './sched/core';
import { sched_charge, sched_init, sched_left, sched_pick } from './sched/interface';
import { timers_first } from './sched/timers';
import { system_time } from './time';
import { Vcpu, vcpu_domain, VCPU_UP } from './vcpu';

import { frame, FRAME_FREE } from '../shared/frame_table';
import { xenheap_alloc } from '../shared/frame_alloc';
import { Domain, DOMAIN_ACTIVE, domain_find } from './domain';
import { bind_ipi, evtchn_at } from './event_channel';
import { EVTCHNSTAT_interdomain } from '../gen/abi';
import { Active } from './grant_table';
import { p2m_get, p2m_mfn } from './p2m';

export * from './index';

/** Address of the word that says whether guest code runs on the pCPU. */
export function test_in_guest(id: u32): usize {
  return changetype<usize>(pcpu_get(id)) + offsetof<Pcpu>('in_guest');
}

/** Do to the host what only a wrong core would: the invariant walker has to find it. */
export function test_plant(domid: u32, what: i32): void {
  const d = changetype<Domain>(domain_find(domid));
  const mfn = p2m_mfn(p2m_get(d, 5));
  switch (what) {
    case 0:
      frame(mfn).refcount++;
      return;
    case 1:
      frame(mfn).refcount--;
      return;
    case 2:
      d.tot_pages++;
      return;
    case 3:
      xenheap_alloc(d.domid);
      return;
    case 4: {
      const leaf = <usize>load<u32>(<usize>load<u32>(d.p2m_root));
      store<u32>(leaf + 20, p2m_get(changetype<Domain>(domain_find(0)), 5));
      return;
    }
    case 5: {
      const e = evtchn_at(d, bind_ipi(d, 0));
      e.state = <u8>EVTCHNSTAT_interdomain;
      return;
    }
    case 6: {
      const a = changetype<Active>(<usize>load<u32>(changetype<usize>(d) + DOMAIN_ACTIVE) + 9 * 16);
      a.readers = 1;
      a.mfn = mfn;
      frame(mfn).refcount++;
      return;
    }
    default:
      frame(mfn).type = FRAME_FREE;
  }
}

/** The domain is the control domain, too. */
export function test_privilege(domid: u32): void {
  changetype<Domain>(domain_find(domid)).flags |= DOMAIN_PRIVILEGED;
}

/** As many uses of a frame too much. */
export function test_plant_use(mfn: u32, n: i32): void {
  frame(mfn).pt_count += n;
}

/** IN or OUT of vCPU 0: 0 done, else an EXIT_*. */
export function test_port(domid: u32, port: u32, size: i32, write: bool, value: u32): i32 {
  return engine_port(changetype<Cpu>(domain_cpu(domid, 0)), port, size, write, value);
}
export function test_port_value(): u32 {
  return engine_port_value;
}
export function test_waiting(domid: u32): bool {
  return ioreq_waiting(vcpu_of(changetype<Cpu>(domain_cpu(domid, 0))));
}
export function test_upcall_vector(domid: u32): i32 {
  return engine_upcall_vector(changetype<Cpu>(domain_cpu(domid, 0)));
}
export function test_hypercall_page(domid: u32, value: u64): bool {
  return hypercall_page_write(changetype<Cpu>(domain_cpu(domid, 0)), value);
}
/** vCPU 0 of a PV domain is as its kernel would be: 64-bit code, paging on. */
export function test_pv_start(domid: u32): void {
  const cpu = changetype<Cpu>(domain_cpu(domid, 0));
  cpu.cr0 = 0x80010001;
  cpu.cr4 = 0x20;
  cpu.efer = 0xd00;
  vcpu_at(domid).flags |= VCPU_UP;
}
/** It begins on this root. 0 or an errno. */
export function test_pv_root(domid: u32, mfn: u32): i32 {
  host_lock();
  const v = vcpu_at(domid);
  type_begin(v);
  const rc = root_set(v, v, mfn);
  host_unlock();
  return rc;
}
let continued: u32 = 0;
/** One hypercall of vCPU 0's, to its end, or for no more than `most` steps; then test_continued says that it would go on. */
export function test_hypercall(domid: u32, nr: u32, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, most: u32): i64 {
  host_lock();
  const v = vcpu_at(domid);
  continued = 0;
  let r = hypercall(v, nr, a0, a1, a2, a3, a4);
  while (v.restart && ++continued < most) {
    if (v.cont_four) a3 = v.cont_arg3;
    r = hypercall(v, nr, v.cont_cmd, v.cont_arg1, v.cont_arg2, a3, a4);
  }
  host_unlock();
  return r;
}
export function test_continued(): u32 {
  return continued;
}
/** Entries of page tables that an operation looks at before it gives way. */
export function test_type_budget(n: i32): void {
  type_set_budget(n);
}
/** A store of vCPU 0's to a page table. */
export function test_ptwr(domid: u32, ma: u64, mask: u64, old: u64, value: u64): i32 {
  return engine_store_entry(changetype<Cpu>(domain_cpu(domid, 0)), ma, mask, old, value);
}
/** A descriptor of the LDT's page `i` is wanted. */
export function test_ldt_page(domid: u32, i: u32): u32 {
  return engine_ldt_page(changetype<Cpu>(domain_cpu(domid, 0)), i);
}
/** MOV to CR3. */
export function test_new_root(domid: u32, mfn: u32): i32 {
  return engine_new_root(changetype<Cpu>(domain_cpu(domid, 0)), mfn);
}
/** A frame's type, flags, uses and holds. */
export function test_frame_type(mfn: u32): u32 {
  return frame(mfn).pt_type;
}
export function test_frame_flags(mfn: u32): u32 {
  return frame(mfn).pt_flags;
}
export function test_frame_uses(mfn: u32): u32 {
  return frame(mfn).pt_count;
}
export function test_frame_holds(mfn: u32): u32 {
  return frame(mfn).refcount;
}
/** Its owner, and what the allocator calls it, in bits 16 and up. */
export function test_frame_owner(mfn: u32): u32 {
  return (<u32>frame(mfn).owner) | ((<u32>frame(mfn).type) << 16);
}
export function test_m2p(mfn: u32): u64 {
  return m2p_get(mfn);
}
/** VMCALL with what is in the registers. */
export function test_vmcall(domid: u32): void {
  host_lock();
  hypercall_exit(vcpu_of(changetype<Cpu>(domain_cpu(domid, 0))));
  host_unlock();
}

/** The pCPU of the scheduler's tests: turns are made here instead of by guest code. */
export function test_sched_init(): void {
  sched_init(pcpu_get(0));
}
function vcpu_at(domid: u32): Vcpu {
  return changetype<Vcpu>(domain_vcpu(changetype<Domain>(domain_find(domid)), 0));
}
/** The domain's vCPU is brought up, or is woken by an event. */
export function test_wake(domid: u32): void {
  const v = vcpu_at(domid);
  v.flags |= VCPU_UP;
  vcpu_unblock(v);
}
/** Begin the next turn: its domain, or -1 with everybody asleep. */
export function test_turn(): i32 {
  const p = pcpu_get(0);
  p.look = 0;
  timers_expire(p, system_time());
  const v = sched_pick(p);
  if (v == null) return -1;
  turn_begin(p, v, system_time());
  return vcpu_domain(v).domid;
}
/** For how long it may last; and the next timer, both in ns from now. */
export function test_left(): f64 {
  const p = pcpu_get(0);
  return <f64>sched_left(p, changetype<Vcpu>(<usize>p.current));
}
export function test_timer(): f64 {
  const t = timers_first(pcpu_get(0));
  return t == ~(<u64>0) ? Infinity : <f64>(t - system_time());
}
/** Has somebody woken who should be looked at? */
export function test_look(): u32 {
  return pcpu_get(0).look;
}
/** The turn has lasted so long and ends; `until` >= 0: the vCPU sleeps until then (as in SCHEDOP_poll), -1: it could go on, -2: it yields. */
export function test_turn_end(ns: f64, until: f64): void {
  const p = pcpu_get(0);
  const v = changetype<Vcpu>(<usize>p.current);
  sched_charge(p, v, <u64>ns);
  if (until >= 0) {
    v.blocked = 1;
    v.poll_deadline = <u64>until;
  }
  v.yields = until == -2 ? 1 : 0;
  turn_end(p, v, system_time());
}
/** Time spent in a run state (RUNSTATE_*) until it was entered last, and when that was. */
export function test_time_in(domid: u32, state: u32): f64 {
  return <f64>load<u64>(changetype<usize>(vcpu_at(domid)) + offsetof<Vcpu>('time_running') + ((<usize>state) << 3));
}
export function test_state(domid: u32): u32 {
  return vcpu_at(domid).state;
}
export function test_state_entry(domid: u32): f64 {
  return <f64>vcpu_at(domid).state_entry;
}
