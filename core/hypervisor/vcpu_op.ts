// VCPUOP_* and set_timer_op.
import {
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSYS,
  ENXIO,
  ERESTART,
  ETIME,
  sizeof_vcpu_hvm_context,
  sizeof_vcpu_info,
  sizeof_vcpu_register_vcpu_info,
  sizeof_vcpu_time_info,
  VCPU_SSHOTTMR_future,
  vcpu_register_vcpu_info__mfn,
  vcpu_register_vcpu_info__offset,
  vcpu_set_singleshot_timer__flags,
  vcpu_set_singleshot_timer__timeout_abs_ns,
  VCPUOP_down,
  VCPUOP_get_runstate_info,
  VCPUOP_initialise,
  VCPUOP_is_up,
  VCPUOP_register_runstate_memory_area,
  VCPUOP_register_vcpu_info,
  VCPUOP_register_vcpu_time_memory_area,
  VCPUOP_send_nmi,
  VCPUOP_set_periodic_timer,
  VCPUOP_set_singleshot_timer,
  VCPUOP_stop_periodic_timer,
  VCPUOP_stop_singleshot_timer,
  VCPUOP_up,
} from '../gen/abi';
import { get_vcpu_set_singleshot_timer, put_vcpu_runstate_info } from '../gen/compat';
import { nmi_raise } from '../arch/x86/interrupts';
import { INVALID_MFN, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain, domain_vcpu, is_pv } from './domain';
import { l2_select_all } from './event_2l';
import { mark_events_pending } from './event_channel';
import { copy_from_guest, get_guest, get_long, guest_word, handle_to_gpa } from './guest_access';
import { hypercall_continue } from './hypercall';
import { p2m_own_ram } from './p2m';
import { pv_context_set } from './pv/context';
import { page_get_writable } from './pv/page_type';
import { vcpu_look, vcpu_unblock } from './sched/core';
import { area_second, runstate_fill, runstate_publish, runstate_size, system_time, time_publish } from './time';
import { cpu_of, NEVER, Vcpu, vcpu_arg, vcpu_domain, VCPU_INFO_REGISTERED, VCPU_INITIALISED, VCPU_UP } from './vcpu';
import { vcpu_initialise } from './vcpu_context';

/** Shorter periods would let a guest keep the hypervisor busy with its own timer. */
const MIN_PERIOD: u64 = 1000000;
const MAX_PERIOD: u64 = 0x3fffffffffffffff;

export function do_vcpu_op(d: Domain, caller: Vcpu, cmd: u32, id: u32, arg: u64): i64 {
  const found = domain_vcpu(d, id);
  if (found == null) return -ENOENT;
  const v = found;
  switch (cmd) {
    case VCPUOP_initialise:
      return initialise(caller, v, arg);
    case VCPUOP_up:
      if (!(v.flags & VCPU_INITIALISED)) return -EINVAL;
      v.flags |= VCPU_UP;
      vcpu_unblock(v);
      return 0;
    case VCPUOP_down:
      v.flags &= ~VCPU_UP;
      vcpu_look(v);
      return 0;
    case VCPUOP_is_up:
      return v.flags & VCPU_UP ? 1 : 0;
    case VCPUOP_get_runstate_info: {
      const a = vcpu_arg(caller);
      runstate_fill(v, a);
      return put_vcpu_runstate_info(caller, arg, a) ? 0 : -EFAULT;
    }
    case VCPUOP_register_vcpu_info:
      return register_info(caller, d, v, arg);
    case VCPUOP_register_runstate_memory_area:
    case VCPUOP_register_vcpu_time_memory_area:
      return register_area(caller, v, cmd, arg);
    case VCPUOP_send_nmi:
      nmi_raise(cpu_of(v));
      vcpu_unblock(v);
      return 0;
    default:
      return timer_op(caller, v, cmd, arg);
  }
}

function initialise(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  if (is_pv(vcpu_domain(v))) return initialise_pv(caller, v, arg);
  const a = vcpu_arg(caller);
  if (!copy_from_guest(caller, a, arg, sizeof_vcpu_hvm_context)) return -EFAULT;
  if (v.flags & VCPU_INITIALISED) return -EEXIST;
  const rc = vcpu_initialise(v, a);
  if (rc == 0) v.flags |= VCPU_INITIALISED;
  return rc;
}

/** struct vcpu_guest_context. Its page tables may take a while to look at: then the call is made again. */
function initialise_pv(caller: Vcpu, v: Vcpu, arg: u64): i64 {
  if (v.flags & VCPU_INITIALISED) return -EEXIST;
  const rc = pv_context_set(caller, v, arg);
  return rc == -ERESTART ? hypercall_continue(caller, VCPUOP_initialise, v.id, arg) : rc;
}

function timer_op(caller: Vcpu, v: Vcpu, cmd: u32, arg: u64): i64 {
  switch (cmd) {
    case VCPUOP_set_periodic_timer: {
      if (!get_guest<u64>(caller, arg)) return -EFAULT;
      const period = guest_word;
      if (period < MIN_PERIOD || period > MAX_PERIOD) return -EINVAL;
      v.period = period;
      v.periodic = system_time() + period;
      vcpu_look(v);
      return 0;
    }
    case VCPUOP_stop_periodic_timer:
      v.periodic = NEVER;
      return 0;
    case VCPUOP_set_singleshot_timer: {
      if (v != caller) return -EINVAL;
      const a = vcpu_arg(caller);
      if (!get_vcpu_set_singleshot_timer(caller, a, arg)) return -EFAULT;
      const at = load<u64>(a, vcpu_set_singleshot_timer__timeout_abs_ns);
      if (load<u32>(a, vcpu_set_singleshot_timer__flags) & VCPU_SSHOTTMR_future && at < system_time()) return -ETIME;
      v.singleshot = at;
      return 0;
    }
    case VCPUOP_stop_singleshot_timer:
      if (v != caller) return -EINVAL;
      v.singleshot = NEVER;
      return 0;
    default:
      return -ENOSYS;
  }
}

/** A time far away; a negative one is in the past, zero turns the timer off (public/xen.h). */
export function do_set_timer_op(d: Domain, v: Vcpu, timeout: i64): i64 {
  v.singleshot = timeout == 0 ? NEVER : timeout < 0 ? 0 : <u64>timeout;
  return 0;
}

/** The vCPU's vcpu_info moves to memory of the guest's choice, once. Everything pending is looked at anew. */
function register_info(caller: Vcpu, d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(caller);
  if (!copy_from_guest(caller, a, arg, sizeof_vcpu_register_vcpu_info)) return -EFAULT;
  const offset = load<u32>(a, vcpu_register_vcpu_info__offset);
  if (offset > PAGE_SIZE - sizeof_vcpu_info) return -ENXIO;
  // An unaligned one could not be updated atomically.
  if (v.flags & VCPU_INFO_REGISTERED || offset & 7) return -EINVAL;
  if (v != caller && v.flags & VCPU_UP) return -EINVAL;
  const mfn = p2m_own_ram(d, load<u64>(a, vcpu_register_vcpu_info__mfn));
  if (mfn == INVALID_MFN || !page_get_writable(mfn)) return -EINVAL;
  const p = mfn_to_ptr(mfn) + offset;
  if (v.info == d.dummy_info) {
    memory.fill(p, 0, sizeof_vcpu_info);
    store<u8>(p, 1, 1); // evtchn_upcall_mask
  } else memory.copy(p, v.info, sizeof_vcpu_info);
  v.info_mfn = mfn;
  v.info = <u32>p;
  v.flags |= VCPU_INFO_REGISTERED;
  atomic.store<u8>(p, 0);
  l2_select_all(v);
  mark_events_pending(v);
  time_publish(v);
  return 0;
}

/** Xen keeps the virtual address and translates it on each update; here it is translated once, so a guest cannot aim it later. */
function register_area(caller: Vcpu, v: Vcpu, cmd: u32, arg: u64): i64 {
  // A union of a pointer and 64 bits: 32-bit code means the pointer.
  if (!get_long(caller, arg, 0)) return -EFAULT;
  const va = guest_word;
  const runstate = cmd == VCPUOP_register_runstate_memory_area;
  const gpa = va ? handle_to_gpa(caller, va, true) : NEVER;
  const second = va ? area_second(caller, va, runstate ? runstate_size(v) : sizeof_vcpu_time_info) : 0;
  if (va && (gpa == NEVER || second == NEVER)) return -EFAULT;
  if (runstate) {
    v.runstate_gpa = gpa;
    v.runstate_gpa2 = second;
    runstate_publish(v);
  } else {
    v.time_gpa = gpa;
    v.time_gpa2 = second;
    time_publish(v);
  }
  return 0;
}
