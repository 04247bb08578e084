// From a VMCALL to the handler and back: registers, restart, record, multicall.
import {
  EFAULT,
  EINVAL,
  ENOSYS,
  EPERM,
  multicall_entry__args,
  multicall_entry__op,
  multicall_entry__result,
  sizeof_multicall_entry,
  __HYPERVISOR_dm_op,
  __HYPERVISOR_domctl,
  __HYPERVISOR_multicall,
  __HYPERVISOR_sysctl,
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_vcpu_op,
  __HYPERVISOR_xen_version,
  SCHEDOP_poll,
} from '../gen/abi';
import { Cpu } from '../arch/x86/cpu';
import { MODE_CS64, MODE_PE } from '../arch/x86/modes';
import { GUEST_hvm, hypercall_dispatch } from '../gen/hypercalls';
import { host, HOST_TRACE_HYPERCALLS } from '../shared/host';
import { do_dm_op } from './dm_op';
import { Domain } from './domain';
import { do_domctl } from './domctl';
import { copy_from_guest, copy_to_guest, put_guest } from './guest_access';
import { do_sysctl } from './sysctl';
import { system_time } from './time';
import { trace_hypercall } from './trace';
import { cpu_of, Vcpu, vcpu_arg, VCPU_CALLS, vcpu_domain, VCPU_RING } from './vcpu';

/** Give way: the call is made again with these first arguments. The value is for `return`. */
export function hypercall_continue(v: Vcpu, a0: u64, a1: u64, a2: u64): i64 {
  v.restart = 1;
  v.cont_cmd = a0;
  v.cont_arg1 = a1;
  v.cont_arg2 = a2;
  return 0;
}

/** The control interfaces, which the table refuses to everybody but those that their own checks let pass. */
function dispatch(d: Domain, v: Vcpu, nr: u32, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64): i64 {
  switch (nr) {
    case __HYPERVISOR_domctl:
      return do_domctl(d, v, a0);
    case __HYPERVISOR_sysctl:
      return do_sysctl(d, v, a0);
    case __HYPERVISOR_dm_op:
      return do_dm_op(d, v, (<u32>a0) & 0xffff, <u32>a1, a2);
    default:
      return hypercall_dispatch(d, v, GUEST_hvm, nr, a0, a1, a2, a3, a4);
  }
}

/** Perform one hypercall and keep it in the vCPU's history. If it gave way, v.restart is set and the result means nothing. */
export function hypercall(v: Vcpu, nr: u32, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64): i64 {
  const d = vcpu_domain(v);
  const r = changetype<usize>(v) + VCPU_RING + (((<usize>v.ring_next) & 15) << 6);
  store<u64>(r, nr);
  store<u64>(r, a0, 8);
  store<u64>(r, a1, 16);
  store<u64>(r, a2, 24);
  store<u64>(r, a3, 32);
  store<u64>(r, a4, 40);
  v.ring_next++;
  v.hypercalls++;
  if (nr < 64) {
    const count = changetype<usize>(v) + VCPU_CALLS + ((<usize>nr) << 2);
    store<u32>(count, load<u32>(count) + 1);
  }
  v.restart = 0;
  const tracing = (host().flags & HOST_TRACE_HYPERCALLS) != 0;
  const start = tracing ? system_time() : 0;
  const result = dispatch(d, v, nr, a0, a1, a2, a3, a4);
  store<i64>(r, result, 48);
  if (tracing && !v.restart) trace_hypercall(v, r, start);
  return result;
}

const MULTICALL_BATCH: u32 = 64;

export function do_multicall(d: Domain, v: Vcpu, list: u64, n: u32): i64 {
  const a = vcpu_arg(v);
  for (let i: u32 = 0; i < n; i++) {
    const at = list + <u64>i * sizeof_multicall_entry;
    if (i == MULTICALL_BATCH) return hypercall_continue(v, at, n - i, 0);
    if (!copy_from_guest(v, a, at, sizeof_multicall_entry)) return -EFAULT;
    const op = load<u64>(a, multicall_entry__op);
    const a0 = load<u64>(a, multicall_entry__args);
    const a1 = load<u64>(a + multicall_entry__args, 8);
    const a2 = load<u64>(a + multicall_entry__args, 16);
    const a3 = load<u64>(a + multicall_entry__args, 24);
    const a4 = load<u64>(a + multicall_entry__args, 32);
    if (op == __HYPERVISOR_multicall) return -EINVAL;
    v.restart = 0;
    const result = dispatch(d, v, op > 0xffffffff ? 0xffffffff : <u32>op, a0, a1, a2, a3, a4);
    if (v.restart) {
      // The entry says where it goes on; the multicall gives way with it.
      store<u64>(a, v.cont_cmd);
      store<u64>(a, v.cont_arg1, 8);
      store<u64>(a, v.cont_arg2, 16);
      if (!copy_to_guest(v, at + multicall_entry__args, a, 24)) return -EFAULT;
      return hypercall_continue(v, at, n - i, 0);
    }
    if (!put_guest<i64>(v, at + multicall_entry__result, result)) return -EFAULT;
  }
  return 0;
}

/** In 32-bit code the structures differ as soon as they hold a pointer or a long: those hypercalls are not offered there. */
function compat_allowed(nr: u32, cmd: u32): bool {
  switch (nr) {
    case __HYPERVISOR_console_io:
    case __HYPERVISOR_xen_version:
    case __HYPERVISOR_hvm_op:
    case __HYPERVISOR_event_channel_op:
    case __HYPERVISOR_vcpu_op:
      return true;
    case __HYPERVISOR_sched_op:
      return cmd != SCHEDOP_poll;
    default:
      return false;
  }
}

const CALL_LENGTH: u64 = 3; // VMCALL and VMMCALL alike

/** The vCPU has executed VMCALL or VMMCALL. Registers: x86-64 rax, rdi rsi rdx r10 r8; 32-bit eax, ebx ecx edx esi edi. */
export function hypercall_exit(v: Vcpu): void {
  const cpu = cpu_of(v);
  // Xen serves ring 0 only, and no real mode.
  if (cpu.cpl != 0 || !(cpu.mode & MODE_PE)) {
    cpu.rax = <u64>-EPERM;
    return;
  }
  if (cpu.mode & MODE_CS64) call64(v, cpu);
  else call32(v, cpu);
}

function call64(v: Vcpu, cpu: Cpu): void {
  // The number is EAX; RAX above 32 bits cannot name one.
  const nr = cpu.rax > 0xffffffff ? 0xffffffff : <u32>cpu.rax;
  const result = hypercall(v, nr, cpu.rdi, cpu.rsi, cpu.rdx, cpu.r10, cpu.r8);
  if (!v.restart) {
    cpu.rax = <u64>result;
    return;
  }
  cpu.rip -= CALL_LENGTH;
  cpu.rdi = v.cont_cmd;
  cpu.rsi = v.cont_arg1;
  cpu.rdx = v.cont_arg2;
}

function call32(v: Vcpu, cpu: Cpu): void {
  const nr = <u32>cpu.rax;
  if (nr == __HYPERVISOR_set_timer_op) {
    cpu.rax = <u32>hypercall(v, nr, (cpu.rbx & 0xffffffff) | (cpu.rcx << 32), 0, 0, 0, 0);
    return;
  }
  if (!compat_allowed(nr, <u32>cpu.rbx)) {
    cpu.rax = <u32>-ENOSYS;
    return;
  }
  const result = hypercall(v, nr, <u32>cpu.rbx, <u32>cpu.rcx, <u32>cpu.rdx, <u32>cpu.rsi, <u32>cpu.rdi);
  if (!v.restart) {
    cpu.rax = <u32>result;
    return;
  }
  cpu.rip = <u64>(<u32>(cpu.rip - CALL_LENGTH));
  cpu.rbx = <u32>v.cont_cmd;
  cpu.rcx = <u32>v.cont_arg1;
  cpu.rdx = <u32>v.cont_arg2;
}
