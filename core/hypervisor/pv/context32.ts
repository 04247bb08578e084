// struct vcpu_guest_context as 32-bit PV guests have it (public/arch-x86/xen-x86_32.h): taken apart into the pieces of the 64-bit one that
// context.ts goes by, and put together from those.
import {
  compat_cpu_user_regs__cs,
  compat_cpu_user_regs__eflags,
  compat_cpu_user_regs__eip,
  compat_cpu_user_regs__esp,
  compat_cpu_user_regs__ss,
  compat_vcpu_guest_context__event_callback_cs,
  compat_vcpu_guest_context__event_callback_eip,
  compat_vcpu_guest_context__failsafe_callback_cs,
  compat_vcpu_guest_context__failsafe_callback_eip,
  compat_vcpu_guest_context__flags,
  compat_vcpu_guest_context__ldt_base,
  compat_vcpu_guest_context__trap_ctxt,
  compat_vcpu_guest_context__user_regs,
  compat_vcpu_guest_context__vm_assist,
  compat_trap_info__address,
  compat_trap_info__cs,
  sizeof_compat_cpu_user_regs,
  sizeof_compat_trap_info,
  sizeof_compat_vcpu_guest_context,
} from '../../gen/compat_pv';
import {
  cpu_user_regs__cs,
  cpu_user_regs__rflags,
  cpu_user_regs__rip,
  cpu_user_regs__rsp,
  cpu_user_regs__ss,
  trap_info__address,
  trap_info__cs,
  vcpu_guest_context__ctrlreg,
  vcpu_guest_context__event_callback_eip,
  vcpu_guest_context__failsafe_callback_eip,
  vcpu_guest_context__flags,
  vcpu_guest_context__ldt_base,
  vcpu_guest_context__user_regs,
  vcpu_guest_context__vm_assist,
} from '../../gen/abi';
import { ring_fixed } from '../../arch/x86/pv/bounce32';
import { pv_cr3_frame, pv_frame_cr3 } from '../../arch/x86/pv/emulate';
import { pv_of, pv_trap, TRAP_SIZE } from '../../arch/x86/pv/state';
import { copy_from_guest, copy_to_guest } from '../guest_access';
import { cpu_of, Vcpu } from '../vcpu';

/** ldt_base to debugreg: longs in the same order on both sides. */
const LONGS: usize = 37;
const TAIL_SIZE: u32 = sizeof_compat_vcpu_guest_context - compat_vcpu_guest_context__ldt_base;
const REGS_SIZE: u32 = compat_vcpu_guest_context__trap_ctxt - compat_vcpu_guest_context__flags;
/** flags to trap_ctxt of the 64-bit one: user_regs' place in it. */
const REGS_WIDE: usize = vcpu_guest_context__user_regs - vcpu_guest_context__flags;

/** Numbers of r15 and so on among the longs of cpu_user_regs, in the order of the 32-bit ebx ecx edx esi edi ebp eax. */
const PLACES: u32 = 0xa4edcb5;
const GENERAL: u32 = 7;

@inline function wide_at(r: usize, i: u32): usize {
  return r + REGS_WIDE + ((<usize>((PLACES >> (4 * i)) & 15)) << 3);
}

@inline function member(t: usize, at: usize): usize {
  return t + at - <usize>vcpu_guest_context__ldt_base;
}

/** The code selectors of the event and the failsafe callback, which the 64-bit one has not. */
export let context_event_cs: u16 = 0;
export let context_failsafe_cs: u16 = 0;

/** Read the context at `from`: flags and registers to `r`, what follows the trap table to `t`, by way of `scratch`. `v` is whose it is to be. */
export function context32_read(caller: Vcpu, v: Vcpu, from: u64, r: usize, t: usize, scratch: usize): bool {
  const s = scratch;
  if (!copy_from_guest(caller, s, from + compat_vcpu_guest_context__flags, REGS_SIZE)) return false;
  store<u64>(r, load<u32>(s));
  const regs = s + <usize>(compat_vcpu_guest_context__user_regs - compat_vcpu_guest_context__flags);
  memory.fill(r + REGS_WIDE, 0, cpu_user_regs__ss + 40);
  for (let i: u32 = 0; i < GENERAL; i++) store<u64>(wide_at(r, i), load<u32>(regs + ((<usize>i) << 2)));
  const w = r + REGS_WIDE;
  store<u64>(w, load<u32>(regs, compat_cpu_user_regs__eip), cpu_user_regs__rip);
  store<u16>(w, load<u16>(regs, compat_cpu_user_regs__cs), cpu_user_regs__cs);
  store<u64>(w, load<u32>(regs, compat_cpu_user_regs__eflags), cpu_user_regs__rflags);
  store<u64>(w, load<u32>(regs, compat_cpu_user_regs__esp), cpu_user_regs__rsp);
  // ss es ds fs gs
  for (let i: usize = 0; i < 5; i++)
    store<u16>(w + (i << 3), load<u16>(regs + (i << 2), compat_cpu_user_regs__ss), cpu_user_regs__ss);

  if (!copy_from_guest(caller, s, from + compat_vcpu_guest_context__ldt_base, TAIL_SIZE)) return false;
  const base = s - <usize>compat_vcpu_guest_context__ldt_base;
  for (let i: usize = 0; i < LONGS; i++) store<u64>(t + (i << 3), load<u32>(s + (i << 2)));
  const ctrl = member(t, vcpu_guest_context__ctrlreg);
  store<u64>(ctrl, pv_cr3_frame(cpu_of(v), load<u64>(ctrl, 24)) << 12, 24);
  store<u64>(ctrl, 0, 8); // no root of its programs' own
  const end = member(t, vcpu_guest_context__event_callback_eip);
  memory.fill(end, 0, 7 * 8);
  store<u64>(end, load<u32>(base, compat_vcpu_guest_context__event_callback_eip));
  store<u64>(
    member(t, vcpu_guest_context__failsafe_callback_eip),
    load<u32>(base, compat_vcpu_guest_context__failsafe_callback_eip),
  );
  store<u64>(member(t, vcpu_guest_context__vm_assist), load<u32>(base, compat_vcpu_guest_context__vm_assist));
  context_event_cs = <u16>ring_fixed(load<u16>(base, compat_vcpu_guest_context__event_callback_cs));
  context_failsafe_cs = <u16>ring_fixed(load<u16>(base, compat_vcpu_guest_context__failsafe_callback_cs));
  return true;
}

/** The trap table of the context at `from`, into the vCPU's own. */
export function traps32_read(caller: Vcpu, v: Vcpu, from: u64): bool {
  const page = pv_trap(cpu_of(v), 0);
  if (!copy_from_guest(caller, page, from + compat_vcpu_guest_context__trap_ctxt, 256 * sizeof_compat_trap_info))
    return false;
  for (let i: i32 = 255; i >= 0; i--)
    trap32(page + <usize>(i * sizeof_compat_trap_info), page + <usize>(i * TRAP_SIZE));
  return true;
}

/** A struct trap_info of 32-bit code at `from` as one of 64-bit code, for the processor's table; they may be at the same place. */
export function trap32(from: usize, to: usize): void {
  const address = load<u32>(from, compat_trap_info__address);
  const cs = load<u16>(from, compat_trap_info__cs);
  store<u16>(to, load<u16>(from));
  store<u16>(to, <u16>ring_fixed(cs), trap_info__cs);
  store<u32>(to, 0, 4);
  store<u64>(to, address, trap_info__address);
}

/** Write the context at `r` and `t`, by way of `scratch`; the FPU's part is the caller's. */
export function context32_write(caller: Vcpu, v: Vcpu, to: u64, r: usize, t: usize, scratch: usize): bool {
  const s = scratch;
  const cpu = cpu_of(v);
  memory.fill(s, 0, TAIL_SIZE);
  const pv = pv_of(cpu);
  const base = s - <usize>compat_vcpu_guest_context__ldt_base;
  const ctrl = member(t, vcpu_guest_context__ctrlreg);
  store<u64>(ctrl, pv_frame_cr3(cpu, pv.kernel_root), 24);
  store<u64>(ctrl, 0, 8);
  for (let i: usize = 0; i < LONGS; i++) store<u32>(s + (i << 2), <u32>load<u64>(t + (i << 3)));
  store<u32>(base, pv.event_cs, compat_vcpu_guest_context__event_callback_cs);
  store<u32>(base, <u32>pv.event, compat_vcpu_guest_context__event_callback_eip);
  store<u32>(base, pv.failsafe_cs, compat_vcpu_guest_context__failsafe_callback_cs);
  store<u32>(base, <u32>pv.failsafe, compat_vcpu_guest_context__failsafe_callback_eip);
  store<u32>(base, load<u32>(member(t, vcpu_guest_context__vm_assist)), compat_vcpu_guest_context__vm_assist);
  if (!copy_to_guest(caller, to + compat_vcpu_guest_context__ldt_base, s, TAIL_SIZE)) return false;

  memory.fill(s, 0, REGS_SIZE);
  store<u32>(s, <u32>load<u64>(r));
  const regs = s + <usize>(compat_vcpu_guest_context__user_regs - compat_vcpu_guest_context__flags);
  const w = r + REGS_WIDE;
  for (let i: u32 = 0; i < GENERAL; i++) store<u32>(regs + ((<usize>i) << 2), <u32>load<u64>(wide_at(r, i)));
  store<u32>(regs, <u32>load<u64>(w, cpu_user_regs__rip), compat_cpu_user_regs__eip);
  store<u16>(regs, load<u16>(w, cpu_user_regs__cs), compat_cpu_user_regs__cs);
  store<u32>(regs, <u32>load<u64>(w, cpu_user_regs__rflags), compat_cpu_user_regs__eflags);
  store<u32>(regs, <u32>load<u64>(w, cpu_user_regs__rsp), compat_cpu_user_regs__esp);
  for (let i: usize = 0; i < 5; i++)
    store<u16>(regs + (i << 2), load<u16>(w + (i << 3), cpu_user_regs__ss), compat_cpu_user_regs__ss);
  return copy_to_guest(caller, to + compat_vcpu_guest_context__flags, s, REGS_SIZE) && traps_write(caller, v, to, s);
}

function traps_write(caller: Vcpu, v: Vcpu, to: u64, s: usize): bool {
  for (let i: u32 = 0; i < 256; i++) {
    const t = pv_trap(cpu_of(v), i);
    store<u32>(s, load<u32>(t));
    store<u32>(s, <u32>load<u64>(t, trap_info__address), compat_trap_info__address);
    const at = to + compat_vcpu_guest_context__trap_ctxt + <u64>(i * sizeof_compat_trap_info);
    if (!copy_to_guest(caller, at, s, sizeof_compat_trap_info)) return false;
  }
  return true;
}
