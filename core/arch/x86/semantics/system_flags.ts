// RFLAGS as a whole, the interrupt flag, HLT (SDM vol. 2; vol. 3, 6.8.1 and 20.3.3).
import { Cpu, EXIT_HALT, SHADOW_INTERRUPTS } from '../cpu';
import { MODE_PE } from '../modes';
import { flags_get, flags_set, IF, TF } from '../flags';
import { mode_changed } from '../segments';
import { cpl0, gp0, interrupt_waits, iopl, leave, next_ip, peek, peeked, stack_move, ud } from './system_common';
import { tlb_select } from '../../../engine/tlb';

const VM: u64 = 0x20000;
const AC: u64 = 0x40000;

/** Bits of RFLAGS that POPF and IRET at the present privilege may change: CF PF AF ZF SF TF DF OF NT AC ID, IF and IOPL if allowed. */
export function flags_writable(cpu: Cpu, size: i32): u64 {
  let mask: u64 = 0x244dd5;
  if (cpu.cpl <= iopl(cpu)) mask |= <u64>IF;
  if (cpu.cpl == 0) mask |= 0x3000;
  return size == 2 ? mask & 0xffff : mask;
}

/** In virtual-8086 mode the flags are the monitor's unless IOPL is 3. */
function vm86_refuses(cpu: Cpu): bool {
  return (cpu.rflags & VM) != 0 && iopl(cpu) < 3;
}

export function POPF<T>(cpu: Cpu, u: usize): i32 {
  if (vm86_refuses(cpu)) return gp0(cpu);
  if (!peek<T>(cpu, 0)) return 1;
  const mask = flags_writable(cpu, sizeof<T>());
  const old = flags_get(cpu);
  flags_set(cpu, (old & ~mask) | (peeked & mask));
  stack_move(cpu, sizeof<T>());
  const changed = old ^ cpu.rflags;
  if (changed & AC) mode_changed(cpu);
  if (cpu.rflags & (<u64>TF) || (changed & cpu.rflags & (<u64>IF) && interrupt_waits(cpu))) return leave(cpu, u);
  return 0;
}

/** Turn interrupts on. The instruction after an STI that did still runs without them. */
export function interrupts_on(cpu: Cpu, u: usize): i32 {
  if (cpu.rflags & (<u64>IF)) return 0;
  cpu.rflags |= <u64>IF;
  if (!interrupt_waits(cpu)) return 0;
  cpu.shadow = SHADOW_INTERRUPTS;
  return leave(cpu, u);
}

function set_ac(cpu: Cpu, on: bool): i32 {
  if (!cpl0(cpu)) return ud(cpu);
  cpu.rflags = on ? cpu.rflags | AC : cpu.rflags & ~AC;
  tlb_select(cpu);
  return 0;
}

export function CLAC(cpu: Cpu, u: usize): i32 {
  return set_ac(cpu, false);
}

export function STAC(cpu: Cpu, u: usize): i32 {
  return set_ac(cpu, true);
}

export function HLT(cpu: Cpu, u: usize): i32 {
  if (!cpl0(cpu)) return gp0(cpu);
  cpu.rip = next_ip(cpu, u);
  cpu.exit = EXIT_HALT;
  return 1;
}
