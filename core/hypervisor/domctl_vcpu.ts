// XEN_DOMCTL_*: a domain's vCPUs: what they do, where they may run, triggers, and their registers for a core dump.
import {
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  ESRCH,
  hvm_hw_cpu__cr0,
  hvm_hw_cpu__cr2,
  hvm_hw_cpu__cr3,
  hvm_hw_cpu__cr4,
  hvm_hw_cpu__cs_sel,
  hvm_hw_cpu__dr0,
  hvm_hw_cpu__dr6,
  hvm_hw_cpu__ds_sel,
  hvm_hw_cpu__es_sel,
  hvm_hw_cpu__fs_base,
  hvm_hw_cpu__fs_sel,
  hvm_hw_cpu__gs_base,
  hvm_hw_cpu__gs_sel,
  hvm_hw_cpu__r10,
  hvm_hw_cpu__r11,
  hvm_hw_cpu__r12,
  hvm_hw_cpu__r13,
  hvm_hw_cpu__r14,
  hvm_hw_cpu__r15,
  hvm_hw_cpu__r8,
  hvm_hw_cpu__r9,
  hvm_hw_cpu__rax,
  hvm_hw_cpu__rbp,
  hvm_hw_cpu__rbx,
  hvm_hw_cpu__rcx,
  hvm_hw_cpu__rdi,
  hvm_hw_cpu__rdx,
  hvm_hw_cpu__rflags,
  hvm_hw_cpu__rip,
  hvm_hw_cpu__rsi,
  hvm_hw_cpu__rsp,
  hvm_hw_cpu__shadow_gs,
  hvm_hw_cpu__ss_sel,
  RUNSTATE_running,
  VGCF_i387_valid,
  VGCF_in_kernel,
  VGCF_online,
  XEN_DOMCTL_SENDTRIGGER_INIT,
  XEN_DOMCTL_SENDTRIGGER_NMI,
  XEN_DOMCTL_SENDTRIGGER_RESET,
  XEN_VCPUAFFINITY_HARD,
  XEN_VCPUAFFINITY_SOFT,
  cpu_user_regs__cs,
  cpu_user_regs__ds,
  cpu_user_regs__es,
  cpu_user_regs__fs,
  cpu_user_regs__gs,
  cpu_user_regs__r10,
  cpu_user_regs__r11,
  cpu_user_regs__r12,
  cpu_user_regs__r13,
  cpu_user_regs__r14,
  cpu_user_regs__r15,
  cpu_user_regs__r8,
  cpu_user_regs__r9,
  cpu_user_regs__rax,
  cpu_user_regs__rbp,
  cpu_user_regs__rbx,
  cpu_user_regs__rcx,
  cpu_user_regs__rdi,
  cpu_user_regs__rdx,
  cpu_user_regs__rflags,
  cpu_user_regs__rip,
  cpu_user_regs__rsi,
  cpu_user_regs__rsp,
  cpu_user_regs__ss,
  sizeof_cpu_user_regs,
  sizeof_vcpu_guest_context,
  vcpu_guest_context__ctrlreg,
  vcpu_guest_context__debugreg,
  vcpu_guest_context__flags,
  vcpu_guest_context__fs_base,
  vcpu_guest_context__gs_base_kernel,
  vcpu_guest_context__gs_base_user,
  vcpu_guest_context__ldt_base,
  vcpu_guest_context__trap_ctxt,
  vcpu_guest_context__user_regs,
  vcpu_guest_context__vm_assist,
  xen_domctl_getvcpuinfo__blocked,
  xen_domctl_getvcpuinfo__cpu,
  xen_domctl_getvcpuinfo__cpu_time,
  xen_domctl_getvcpuinfo__online,
  xen_domctl_getvcpuinfo__running,
  xen_domctl_getvcpuinfo__vcpu,
  xen_domctl_sendtrigger__trigger,
  xen_domctl_sendtrigger__vcpu,
  xen_domctl_vcpuaffinity__cpumap_hard,
  xen_domctl_vcpuaffinity__cpumap_soft,
  xen_domctl_vcpuaffinity__flags,
  xen_domctl_vcpuaffinity__vcpu,
  xen_domctl_vcpucontext__ctxt,
  xen_domctl_vcpucontext__vcpu,
  xenctl_bitmap__bitmap,
  xenctl_bitmap__nr_bits,
  ENOSYS,
  ERESTART,
} from '../gen/abi';
import { nmi_raise, nmi_unblock } from '../arch/x86/interrupts';
import { host } from '../shared/host';
import { Domain, domain_kick, DOMAIN_SERVICE, DOMAIN_SHUTDOWN, domain_vcpu, is_pv } from './domain';
import { pv_context_get, pv_context_set } from './pv/context';
import { pv_vcpu_reset } from './pv/vcpu';
import { copy_from_guest, copy_to_guest } from './guest_access';
import { hypercall_continue } from './hypercall';
import { vcpu_look, vcpu_unblock } from './sched/core';
import { cpu_of, NEVER, Vcpu, vcpu_arg, VCPU_HALTED_FOR_GOOD, VCPU_INITIALISED, VCPU_UP } from './vcpu';
import { cpu_record_save, fpu_reset } from './vcpu_context';

/** As domain_info: a service's vCPU runs while it asks. */
export function vcpu_info_get(caller: Vcpu, t: Domain, u: usize): i64 {
  const v = domain_vcpu(t, load<u32>(u, xen_domctl_getvcpuinfo__vcpu));
  if (v == null) return -ESRCH;
  const service = (t.flags & DOMAIN_SERVICE) != 0;
  const up = service || (v.flags & VCPU_UP) != 0;
  const running = service ? v == caller : v.state == RUNSTATE_running;
  const blocked = service ? !running : up && v.blocked != 0;
  store<u8>(u, up ? 1 : 0, xen_domctl_getvcpuinfo__online);
  store<u8>(u, blocked ? 1 : 0, xen_domctl_getvcpuinfo__blocked);
  store<u8>(u, running ? 1 : 0, xen_domctl_getvcpuinfo__running);
  store<u64>(u, v.time_running, xen_domctl_getvcpuinfo__cpu_time);
  store<u32>(u, v.pcpu, xen_domctl_getvcpuinfo__cpu);
  return 0;
}

/** A PVH domain has no buttons: of the triggers there is the NMI. Reset and INIT are not offered by Xen either. */
export function vcpu_trigger(t: Domain, u: usize): i64 {
  const trigger = load<u32>(u, xen_domctl_sendtrigger__trigger);
  if (trigger == XEN_DOMCTL_SENDTRIGGER_RESET || trigger == XEN_DOMCTL_SENDTRIGGER_INIT) return -ENOSYS;
  if (trigger != XEN_DOMCTL_SENDTRIGGER_NMI) return -EINVAL;
  const v = domain_vcpu(t, load<u32>(u, xen_domctl_sendtrigger__vcpu));
  if (v == null) return -ESRCH;
  nmi_raise(cpu_of(v));
  vcpu_unblock(v);
  return 0;
}

/** All pCPUs, as a bitmap. */
@inline function all_pcpus(): u64 {
  const n = host().pcpu_count;
  return n >= 64 ? ~(<u64>0) : ((<u64>1) << n) - 1;
}

/** The first 64 bits of the caller's bitmap; false where it cannot be read. */
function read_map(v: Vcpu, map: usize): bool {
  const bits = load<u32>(map, xenctl_bitmap__nr_bits);
  const bytes = bits >= 64 ? 8 : (bits + 7) >>> 3;
  const p = vcpu_arg(v) + 512;
  store<u64>(p, 0);
  if (bytes && !copy_from_guest(v, p, load<u64>(map, xenctl_bitmap__bitmap), bytes)) return false;
  const value = load<u64>(p);
  bitmap = bits >= 64 ? value : value & (((<u64>1) << bits) - 1);
  return true;
}
let bitmap: u64 = 0;

/** As Xen does: bits beyond the caller's map are cut, those beyond the host's are 0. */
function write_map(v: Vcpu, map: usize, value: u64): bool {
  const bits = load<u32>(map, xenctl_bitmap__nr_bits);
  const p = vcpu_arg(v) + 512;
  const to = load<u64>(map, xenctl_bitmap__bitmap);
  let bytes: u32 = (bits >>> 3) + (bits & 7 ? 1 : 0);
  if (bytes > 64) bytes = 64;
  memory.fill(p, 0, 64);
  store<u64>(p, bits >= 64 ? value : value & (((<u64>1) << bits) - 1));
  return bytes == 0 || copy_to_guest(v, to, p, bytes);
}

/** Every vCPU may run anywhere: a vCPU that may not run on its pCPU would have to move, and only one pCPU cannot be left. */
export function vcpu_affinity(v: Vcpu, t: Domain, u: usize, set: bool): i64 {
  const flags = load<u32>(u, xen_domctl_vcpuaffinity__flags);
  if (!(flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT))) return -EINVAL;
  if (domain_vcpu(t, load<u32>(u, xen_domctl_vcpuaffinity__vcpu)) == null) return -ESRCH;
  for (let i = 0; i < 2; i++) {
    const map = u + (i ? xen_domctl_vcpuaffinity__cpumap_soft : xen_domctl_vcpuaffinity__cpumap_hard);
    if (!(flags & (i ? XEN_VCPUAFFINITY_SOFT : XEN_VCPUAFFINITY_HARD))) continue;
    if (set) {
      if (!read_map(v, map)) return -EFAULT;
      const wanted = bitmap & all_pcpus();
      if (!wanted) return -EINVAL;
      if (i == 0 && wanted != all_pcpus()) return -EOPNOTSUPP;
    }
    if (!write_map(v, map, all_pcpus())) return -EFAULT;
  }
  return 0;
}

@inline function move(from: usize, at: usize, to: usize, place: usize): void {
  store<u64>(to + place, load<u64>(from + at));
}
@inline function move_selector(from: usize, at: usize, to: usize, place: usize): void {
  store<u16>(to + place, <u16>load<u32>(from + at));
}

/** struct cpu_user_regs at `to` from a record of the vCPU. */
function user_registers(r: usize, to: usize): void {
  memory.fill(to, 0, sizeof_cpu_user_regs);
  move(r, hvm_hw_cpu__r15, to, cpu_user_regs__r15);
  move(r, hvm_hw_cpu__r14, to, cpu_user_regs__r14);
  move(r, hvm_hw_cpu__r13, to, cpu_user_regs__r13);
  move(r, hvm_hw_cpu__r12, to, cpu_user_regs__r12);
  move(r, hvm_hw_cpu__rbp, to, cpu_user_regs__rbp);
  move(r, hvm_hw_cpu__rbx, to, cpu_user_regs__rbx);
  move(r, hvm_hw_cpu__r11, to, cpu_user_regs__r11);
  move(r, hvm_hw_cpu__r10, to, cpu_user_regs__r10);
  move(r, hvm_hw_cpu__r9, to, cpu_user_regs__r9);
  move(r, hvm_hw_cpu__r8, to, cpu_user_regs__r8);
  move(r, hvm_hw_cpu__rax, to, cpu_user_regs__rax);
  move(r, hvm_hw_cpu__rcx, to, cpu_user_regs__rcx);
  move(r, hvm_hw_cpu__rdx, to, cpu_user_regs__rdx);
  move(r, hvm_hw_cpu__rsi, to, cpu_user_regs__rsi);
  move(r, hvm_hw_cpu__rdi, to, cpu_user_regs__rdi);
  move(r, hvm_hw_cpu__rip, to, cpu_user_regs__rip);
  move(r, hvm_hw_cpu__rflags, to, cpu_user_regs__rflags);
  move(r, hvm_hw_cpu__rsp, to, cpu_user_regs__rsp);
  move_selector(r, hvm_hw_cpu__cs_sel, to, cpu_user_regs__cs);
  move_selector(r, hvm_hw_cpu__ss_sel, to, cpu_user_regs__ss);
  move_selector(r, hvm_hw_cpu__ds_sel, to, cpu_user_regs__ds);
  move_selector(r, hvm_hw_cpu__es_sel, to, cpu_user_regs__es);
  move_selector(r, hvm_hw_cpu__fs_sel, to, cpu_user_regs__fs);
  move_selector(r, hvm_hw_cpu__gs_sel, to, cpu_user_regs__gs);
}

/** What follows the trap table in struct vcpu_guest_context, at `to`. */
function context_tail(r: usize, kernel: bool, assist: u32, to: usize): void {
  const base = to - vcpu_guest_context__ldt_base;
  memory.fill(to, 0, sizeof_vcpu_guest_context - vcpu_guest_context__ldt_base);
  move(r, hvm_hw_cpu__cr0, base, vcpu_guest_context__ctrlreg);
  move(r, hvm_hw_cpu__cr2, base, vcpu_guest_context__ctrlreg + 16);
  move(r, hvm_hw_cpu__cr3, base, vcpu_guest_context__ctrlreg + 24);
  move(r, hvm_hw_cpu__cr4, base, vcpu_guest_context__ctrlreg + 32);
  for (let i: usize = 0; i < 32; i += 8) move(r + i, hvm_hw_cpu__dr0, base + i, vcpu_guest_context__debugreg);
  move(r, hvm_hw_cpu__dr6, base, vcpu_guest_context__debugreg + 48);
  move(r + 8, hvm_hw_cpu__dr6, base, vcpu_guest_context__debugreg + 56);
  store<u64>(base + vcpu_guest_context__vm_assist, assist);
  move(r, hvm_hw_cpu__fs_base, base, vcpu_guest_context__fs_base);
  // The kernel's GS base is in use at ring 0 and kept in the shadow elsewhere.
  move(r, kernel ? hvm_hw_cpu__gs_base : hvm_hw_cpu__shadow_gs, base, vcpu_guest_context__gs_base_kernel);
  move(r, kernel ? hvm_hw_cpu__shadow_gs : hvm_hw_cpu__gs_base, base, vcpu_guest_context__gs_base_user);
}

const RECORD_AT: usize = 256;
/** Behind the record: struct cpu_user_regs with the flags before it, or a part of the zeros. */
const PART_AT: usize = RECORD_AT + 1032;
const PART: u32 = 208;

/**
 * struct vcpu_guest_context of a vCPU that stands: its domain is paused or has stopped. It is larger than the argument area and goes
 * in parts. Xen pauses the vCPU for the call; here that is the caller's part.
 */
export function vcpu_context_get(caller: Vcpu, t: Domain, u: usize, arg: u64): i64 {
  const v = domain_vcpu(t, load<u32>(u, xen_domctl_vcpucontext__vcpu));
  if (v == null || caller.domain == v.domain) return v == null ? -ESRCH : -EINVAL;
  if (!t.pause_count && !(t.flags & DOMAIN_SHUTDOWN)) return -EINVAL;
  if (v.state == RUNSTATE_running) {
    domain_kick(t);
    return hypercall_continue(caller, arg, 0, 0);
  }
  const to = load<u64>(u, xen_domctl_vcpucontext__ctxt);
  if (is_pv(t)) return pv_context_get(caller, v, to);
  const r = vcpu_arg(caller) + RECORD_AT;
  const part = vcpu_arg(caller) + PART_AT;
  cpu_record_save(v, r);
  const kernel = cpu_of(v).cpl == 0;
  if (!copy_to_guest(caller, to, r, vcpu_guest_context__flags)) return -EFAULT;
  let flags: u32 = VGCF_i387_valid;
  if (kernel) flags |= VGCF_in_kernel;
  if (v.flags & VCPU_UP) flags |= VGCF_online;
  store<u64>(part, flags);
  user_registers(r, part + (vcpu_guest_context__user_regs - vcpu_guest_context__flags));
  if (!copy_to_guest(caller, to + vcpu_guest_context__flags, part, PART)) return -EFAULT;
  memory.fill(part, 0, PART);
  for (let at: u32 = vcpu_guest_context__trap_ctxt; at < <u32>vcpu_guest_context__ldt_base; at += PART) {
    const left = <u32>vcpu_guest_context__ldt_base - at;
    if (!copy_to_guest(caller, to + at, part, left < PART ? left : PART)) return -EFAULT;
  }
  // The record is read from behind its FPU state, whose place the tail takes.
  context_tail(r, kernel, t.vm_assist, r);
  const size = <u32>(sizeof_vcpu_guest_context - vcpu_guest_context__ldt_base);
  return copy_to_guest(caller, to + vcpu_guest_context__ldt_base, r, size) ? 0 : -EFAULT;
}

/** The same for loading one: of PV domains. A null pointer resets the vCPU. */
export function vcpu_context_set(caller: Vcpu, t: Domain, u: usize, arg: u64): i64 {
  const v = domain_vcpu(t, load<u32>(u, xen_domctl_vcpucontext__vcpu));
  if (v == null || caller.domain == v.domain) return v == null ? -ESRCH : -EINVAL;
  if (!is_pv(t)) return -EOPNOTSUPP; // sethvmcontext is for those
  const from = load<u64>(u, xen_domctl_vcpucontext__ctxt);
  if (from == 0) {
    v.flags &= ~VCPU_UP;
    vcpu_look(v);
  } else if (!t.pause_count) return -EINVAL;
  if (v.state == RUNSTATE_running) {
    domain_kick(t);
    return hypercall_continue(caller, arg, 0, 0);
  }
  const rc = from == 0 ? reset(caller, v) : pv_context_set(caller, v, from);
  return rc == -ERESTART ? hypercall_continue(caller, arg, 0, 0) : rc;
}

/** It is down, and has to be initialised before it comes up again. */
function reset(caller: Vcpu, v: Vcpu): i64 {
  const rc = pv_vcpu_reset(caller, v);
  if (rc) return rc;
  v.flags &= ~(VCPU_INITIALISED | VCPU_HALTED_FOR_GOOD);
  v.blocked = v.poll_count = 0;
  v.poll_deadline = NEVER;
  nmi_unblock(cpu_of(v));
  fpu_reset(cpu_of(v));
  return 0;
}
