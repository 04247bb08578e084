// From a VMCALL to the handler and back: registers, restart, record, multicall.
import {
  EFAULT,
  EINVAL,
  EPERM,
  multicall_entry__args,
  multicall_entry__op,
  __HYPERVISOR_dm_op,
  __HYPERVISOR_domctl,
  __HYPERVISOR_iret,
  __HYPERVISOR_multicall,
  __HYPERVISOR_sysctl,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_update_descriptor,
  __HYPERVISOR_update_va_mapping,
  __HYPERVISOR_update_va_mapping_otherdomain,
} from '../gen/abi';
import { Cpu } from '../arch/x86/cpu';
import { MODE_CS64, MODE_PE } from '../arch/x86/modes';
import { cpu_pv, cpu_pv32, pv_of } from '../arch/x86/pv/state';
import { GUEST_hvm, GUEST_pv, GUEST_service, hypercall_dispatch } from '../gen/hypercalls';
import { host, HOST_TRACE_HYPERCALLS } from '../shared/host';
import { do_dm_op } from './dm_op';
import { Domain, DOMAIN_SERVICE, is_pv } from './domain';
import { do_domctl } from './domctl';
import { get_multicall_entry, size_multicall_entry } from '../gen/compat';
import { put_long } from './guest_access';
import { do_sysctl } from './sysctl';
import { system_time } from './time';
import { trace_hypercall } from './trace';
import { cpu_of, Vcpu, VCPU_CALLS, vcpu_domain, VCPU_MULTICALL, VCPU_RING } from './vcpu';

/** Give way: the call is made again with these first arguments. The value is for `return`. */
export function hypercall_continue(v: Vcpu, a0: u64, a1: u64, a2: u64): i64 {
  v.restart = 1;
  v.cont_four = 0;
  v.cont_cmd = a0;
  v.cont_arg1 = a1;
  v.cont_arg2 = a2;
  return 0;
}

/** The same for a call whose fourth argument changes, too. */
export function hypercall_continue4(v: Vcpu, a0: u64, a1: u64, a2: u64, a3: u64): i64 {
  hypercall_continue(v, a0, a1, a2);
  v.cont_four = 1;
  v.cont_arg3 = a3;
  return 0;
}

function guest_kind(d: Domain): u32 {
  if (d.flags & DOMAIN_SERVICE) return GUEST_hvm | GUEST_service;
  return is_pv(d) ? GUEST_pv : GUEST_hvm;
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
      return hypercall_dispatch(d, v, guest_kind(d), nr, a0, a1, a2, a3, a4);
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
  const entry = changetype<usize>(v) + VCPU_MULTICALL;
  const size = size_multicall_entry(v);
  for (let i: u32 = 0; i < n; i++) {
    const at = list + <u64>i * size;
    if (i == MULTICALL_BATCH) return hypercall_continue(v, at, n - i, 0);
    if (!get_multicall_entry(v, entry, at)) return -EFAULT;
    const op = load<u64>(entry, multicall_entry__op);
    const nr: u32 = op > 0xffffffff ? 0xffffffff : <u32>op;
    const a0 = load<u64>(entry, multicall_entry__args);
    const a1 = load<u64>(entry + multicall_entry__args, 8);
    const a2 = load<u64>(entry + multicall_entry__args, 16);
    const a3 = load<u64>(entry + multicall_entry__args, 24);
    const a4 = load<u64>(entry + multicall_entry__args, 32);
    if (nr == __HYPERVISOR_multicall) return -EINVAL;
    if (nr == __HYPERVISOR_iret && is_pv(d)) {
      // It ends the multicall, and what comes back to the guest is what its frame says: the engine's (pv/syscall.ts).
      pv_of(cpu_of(v)).iret_due = 1;
      return 0;
    }
    v.restart = 0;
    if (v.compat) narrow_args(nr, <u32>a0, <u32>a1, <u32>a2, <u32>a3, <u32>a4);
    const result = v.compat ? dispatch(d, v, nr, arg0, arg1, arg2, arg3, arg4) : dispatch(d, v, nr, a0, a1, a2, a3, a4);
    if (v.restart) {
      // The entry says where it goes on; the multicall gives way with it. (An entry is an array of longs: op, result, arguments.)
      if (!put_long(v, at, 2, v.cont_cmd) || !put_long(v, at, 3, v.cont_arg1) || !put_long(v, at, 4, v.cont_arg2))
        return -EFAULT;
      if (v.cont_four && !put_long(v, at, 5, v.cont_arg3)) return -EFAULT;
      return hypercall_continue(v, at, n - i, 0);
    }
    if (!put_long(v, at, 1, result)) return -EFAULT;
  }
  return 0;
}

/** VMCALL and VMMCALL alike; a PV guest's SYSCALL. */
const CALL_LENGTH: u64 = 3;
const SYSCALL_LENGTH: u64 = 2;
/** INT 0x82 of a 32-bit one's. */
const INT_LENGTH: u64 = 2;

/** The vCPU has executed VMCALL or VMMCALL, or a PV guest's kernel SYSCALL or INT 0x82. Registers: x86-64 rax, rdi rsi rdx r10 r8; 32-bit eax, ebx ecx edx esi edi. */
export function hypercall_exit(v: Vcpu): void {
  const cpu = cpu_of(v);
  if (cpu_pv(cpu)) {
    if (cpu_pv32(cpu)) call32(v, cpu, INT_LENGTH);
    else call64(v, cpu, SYSCALL_LENGTH);
    return;
  }
  // Xen serves ring 0 only, and no real mode.
  if (cpu.cpl != 0 || !(cpu.mode & MODE_PE)) {
    cpu.rax = <u64>-EPERM;
    return;
  }
  if (cpu.mode & MODE_CS64) call64(v, cpu, CALL_LENGTH);
  else call32(v, cpu, CALL_LENGTH);
}

function call64(v: Vcpu, cpu: Cpu, length: u64): void {
  // The number is EAX; RAX above 32 bits cannot name one.
  const nr = cpu.rax > 0xffffffff ? 0xffffffff : <u32>cpu.rax;
  v.compat = 0;
  const result = hypercall(v, nr, cpu.rdi, cpu.rsi, cpu.rdx, cpu.r10, cpu.r8);
  if (!v.restart) {
    cpu.rax = <u64>result;
    return;
  }
  cpu.rip -= length;
  cpu.rdi = v.cont_cmd;
  cpu.rsi = v.cont_arg1;
  cpu.rdx = v.cont_arg2;
  if (v.cont_four) cpu.r10 = v.cont_arg3;
}

// The arguments of a hypercall by 32-bit code. Values of 64 bits come as two.
let arg0: u64 = 0;
let arg1: u64 = 0;
let arg2: u64 = 0;
let arg3: u64 = 0;
let arg4: u64 = 0;

@inline function both(low: u32, high: u32): u64 {
  return (<u64>low) | ((<u64>high) << 32);
}

function narrow_args(nr: u32, a0: u32, a1: u32, a2: u32, a3: u32, a4: u32): void {
  arg0 = a0;
  arg1 = a1;
  arg2 = a2;
  arg3 = a3;
  arg4 = a4;
  switch (nr) {
    case __HYPERVISOR_set_timer_op:
      arg0 = both(a0, a1);
      return;
    case __HYPERVISOR_update_descriptor:
      arg0 = both(a0, a1);
      arg1 = both(a2, a3);
      return;
    case __HYPERVISOR_update_va_mapping:
    case __HYPERVISOR_update_va_mapping_otherdomain:
      arg1 = both(a1, a2);
      arg2 = a3;
      arg3 = a4;
      return;
    default:
  }
}

function call32(v: Vcpu, cpu: Cpu, length: u64): void {
  const nr = <u32>cpu.rax;
  v.compat = 1;
  narrow_args(nr, <u32>cpu.rbx, <u32>cpu.rcx, <u32>cpu.rdx, <u32>cpu.rsi, <u32>cpu.rdi);
  const result = hypercall(v, nr, arg0, arg1, arg2, arg3, arg4);
  if (!v.restart) {
    cpu.rax = <u32>result;
    return;
  }
  cpu.rip = <u64>(<u32>(cpu.rip - length));
  cpu.rbx = <u32>v.cont_cmd;
  cpu.rcx = <u32>v.cont_arg1;
  cpu.rdx = <u32>v.cont_arg2;
  if (v.cont_four) cpu.rsi = <u32>v.cont_arg3;
}
