// Interrupts by instruction and the fast system calls (SDM vol. 2; vol. 3, 5.8.7 and 5.8.8).
import { Cpu, EXIT_NONE, SEG_CS, SEG_SS, SHADOW_ALL } from '../cpu';
import { EFER_LMA, EFER_SCE } from '../control';
import { EVENT_INT1, EVENT_SOFT, EXC_BP, EXC_DB, EXC_OF } from '../exceptions';
import { flags_get, flags_set, get_flags6, IF, OF, TF } from '../flags';
import { deliver_event } from '../interrupts';
import { canonical } from '../limits';
import { MODE_PE } from '../modes';
import { pv_interrupt } from '../pv/bounce';
import { cpu_pv } from '../pv/state';
import { pv_syscall, pv_sysenter } from '../pv/syscall';
import * as sg from '../segments';
import { cpl0, go, gp0, iopl, long_code, next_ip, ud } from './system_common';
import { uop_imm } from '../../../engine/uop';

const VM: u64 = 0x20000;
const RF: u64 = 0x10000;
/** What SYSRET takes from R11: everything but RF, VM and reserved bits. */
const SYSRET_FLAGS: u64 = 0x3c7fd7;

// Attributes of the flat segments that these instructions load; the DPL is or-ed in.
const CODE64: u16 = 0xa9b;
const CODE32: u16 = 0xc9b;
const DATA32: u16 = 0xc93;
const DPL3: u16 = 0x60;

/** An instruction that has cleared TF on its way into a handler is not followed by its own single-step trap. */
function no_step(cpu: Cpu, before: u64): void {
  if (before & ~cpu.rflags & (<u64>TF)) cpu.shadow = SHADOW_ALL;
}

/** A trap through the IDT that returns to the next instruction; if it cannot be delivered this instruction faults. */
function trap(cpu: Cpu, u: usize, vector: u32, kind: u32): i32 {
  if (cpu_pv(cpu)) return pv_interrupt(cpu, vector, kind, next_ip(cpu, u));
  const before = cpu.rflags;
  if (deliver_event(cpu, vector, 0, kind, next_ip(cpu, u)) == 0) {
    cpu.exit = EXIT_NONE;
    no_step(cpu, before);
  }
  return 1;
}

export function INT(cpu: Cpu, u: usize): i32 {
  if (cpu.rflags & VM && iopl(cpu) < 3) return gp0(cpu);
  return trap(cpu, u, (<u32>uop_imm(u)) & 0xff, EVENT_SOFT);
}

export function INT3(cpu: Cpu, u: usize): i32 {
  return trap(cpu, u, EXC_BP, EVENT_SOFT);
}

export function INTO(cpu: Cpu, u: usize): i32 {
  return get_flags6(cpu) & OF ? trap(cpu, u, EXC_OF, EVENT_SOFT) : 0;
}

export function INT1(cpu: Cpu, u: usize): i32 {
  return trap(cpu, u, EXC_DB, EVENT_INT1);
}

function set_pair(cpu: Cpu, cs: u32, code: u16, ss: u32, cpl: u32): void {
  const dpl: u16 = cpl == 3 ? DPL3 : 0;
  sg.set_flat(cpu, SEG_CS, (cs & 0xfffc) | cpl, code | dpl);
  sg.set_flat(cpu, SEG_SS, (ss & 0xfffc) | cpl, DATA32 | dpl);
  cpu.cpl = cpl;
  sg.mode_changed(cpu);
}

/** An Intel processor has SYSCALL in 64-bit mode only. */
export function SYSCALL(cpu: Cpu, u: usize): i32 {
  if (cpu_pv(cpu)) return pv_syscall(cpu, next_ip(cpu, u));
  if (!long_code(cpu) || !(cpu.efer & EFER_SCE)) return ud(cpu);
  const flags = flags_get(cpu);
  cpu.rcx = next_ip(cpu, u);
  cpu.r11 = flags & ~RF;
  flags_set(cpu, flags & ~(cpu.sfmask | RF));
  const cs = (<u32>(cpu.star >> 32)) & 0xffff;
  set_pair(cpu, cs, CODE64, (cs & 0xfffc) + 8, 0);
  no_step(cpu, flags);
  return go(cpu, cpu.lstar);
}

/** The target is checked while still in the kernel, as on Intel processors. */
export function SYSRET<T>(cpu: Cpu, u: usize): i32 {
  if (!long_code(cpu) || !(cpu.efer & EFER_SCE)) return ud(cpu);
  if (!cpl0(cpu)) return gp0(cpu);
  const wide = sizeof<T>() == 8;
  if (wide && !canonical(cpu.rcx)) return gp0(cpu);
  flags_set(cpu, (cpu.r11 & SYSRET_FLAGS) | 2);
  const base = <u32>(cpu.star >> 48);
  set_pair(cpu, wide ? base + 16 : base, wide ? CODE64 : CODE32, base + 8, 3);
  return go(cpu, wide ? cpu.rcx : cpu.rcx & 0xffffffff);
}

export function SYSENTER(cpu: Cpu, u: usize): i32 {
  if (cpu_pv(cpu)) return pv_sysenter(cpu);
  const cs = (<u32>cpu.sysenter_cs) & 0xfffc;
  if (!(cpu.mode & MODE_PE) || !cs) return gp0(cpu);
  cpu.rflags &= ~(VM | (<u64>IF) | RF);
  const long = (cpu.efer & EFER_LMA) != 0;
  set_pair(cpu, cs, long ? CODE64 : CODE32, cs + 8, 0);
  cpu.rsp = long ? cpu.sysenter_esp : cpu.sysenter_esp & 0xffffffff;
  return go(cpu, long ? cpu.sysenter_eip : cpu.sysenter_eip & 0xffffffff);
}

export function SYSEXIT<T>(cpu: Cpu, u: usize): i32 {
  const cs = (<u32>cpu.sysenter_cs) & 0xfffc;
  if (!(cpu.mode & MODE_PE) || !cs || !cpl0(cpu)) return gp0(cpu);
  const wide = sizeof<T>() == 8;
  if (wide && (!canonical(cpu.rcx) || !canonical(cpu.rdx))) return gp0(cpu);
  set_pair(cpu, cs + (wide ? 32 : 16), wide ? CODE64 : CODE32, cs + (wide ? 40 : 24), 3);
  cpu.rsp = wide ? cpu.rcx : cpu.rcx & 0xffffffff;
  return go(cpu, wide ? cpu.rdx : cpu.rdx & 0xffffffff);
}
