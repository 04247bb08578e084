// INS and OUTS (SDM vol. 2). Element by element: a device model may have to answer each, and the instruction then begins again
// with what RSI, RDI and RCX say is left.
import { work_may_go_on } from '../../../engine/work';
import { Cpu, EXIT_REPEAT, SEG_ES } from '../cpu';
import { DF } from '../flags';
import { MODE_CS64, MODE_FLAT } from '../modes';
import { seg_check } from '../segments';
import { io_check } from '../tss';
import { port_access } from './system_io';
import { FAULT_ADDRESS, address_width_mask, linear, width_merge } from '../../../engine/address';
import { commit, read_ptr, write_ptr } from '../../../engine/mem';
import { uop_disp } from '../../../engine/uop';
import { engine_port_value } from '../../../hypervisor/engine';

@inline function port(cpu: Cpu): u32 {
  return (<u32>cpu.rdx) & 0xffff;
}

/** ES:rDI; ES cannot be overridden. */
function destination(cpu: Cpu, u: usize, size: i32): u64 {
  const off = cpu.rdi & address_width_mask(u);
  if (cpu.mode & MODE_CS64) return off;
  if (!(cpu.mode & MODE_FLAT) && !seg_check(cpu, SEG_ES, off, size, true)) return FAULT_ADDRESS;
  return (cpu.base_es + off) & 0xffffffff;
}

@inline function moved<T>(cpu: Cpu, u: usize, index: u64): u64 {
  const by: u64 = cpu.rflags & (<u64>DF) ? 0 - <u64>sizeof<T>() : <u64>sizeof<T>();
  return width_merge(index, index + by, address_width_mask(u));
}

/** One of a repetition's elements is done: 0 = it was the last, 1 = leave, 2 = go on. */
function next(cpu: Cpu, u: usize): i32 {
  if (uop_disp(u) == 0) return 0;
  const mask = address_width_mask(u);
  cpu.rcx = width_merge(cpu.rcx, cpu.rcx - 1, mask);
  if (!(cpu.rcx & mask)) return 0;
  if (work_may_go_on(cpu)) return 2;
  cpu.exit = EXIT_REPEAT;
  return 1;
}

@inline function nothing_to_do(cpu: Cpu, u: usize): bool {
  return uop_disp(u) != 0 && !(cpu.rcx & address_width_mask(u));
}

export function INS<T>(cpu: Cpu, u: usize): i32 {
  if (nothing_to_do(cpu, u)) return 0;
  let r = 2;
  while (r == 2) {
    if (!io_check(cpu, port(cpu), sizeof<T>())) return 1;
    const p = write_ptr(cpu, destination(cpu, u, sizeof<T>()), sizeof<T>());
    if (p == 0 || port_access(cpu, port(cpu), sizeof<T>(), false, 0)) return 1;
    store<T>(p, <T>engine_port_value);
    commit(cpu, p);
    cpu.rdi = moved<T>(cpu, u, cpu.rdi);
    r = next(cpu, u);
  }
  return r;
}

export function OUTS<T>(cpu: Cpu, u: usize): i32 {
  if (nothing_to_do(cpu, u)) return 0;
  let r = 2;
  while (r == 2) {
    if (!io_check(cpu, port(cpu), sizeof<T>())) return 1;
    const p = read_ptr(cpu, linear(cpu, u, cpu.rsi & address_width_mask(u), sizeof<T>(), false), sizeof<T>());
    if (p == 0 || port_access(cpu, port(cpu), sizeof<T>(), true, <u32>load<T>(p))) return 1;
    cpu.rsi = moved<T>(cpu, u, cpu.rsi);
    r = next(cpu, u);
  }
  return r;
}
