// The stack pointer outside 64-bit mode: 16 or 32 bits wide by SS.B, with a segment base and limit.
import { Cpu, SEG_SS } from '../arch/x86/cpu';
import { MODE_CS64, MODE_FLAT, MODE_SS32 } from '../arch/x86/modes';
import { seg_check } from '../arch/x86/segments';
import { FAULT_ADDRESS } from './address';

/** The stack pointer's mask in the present mode. */
@inline export function stack_mask(cpu: Cpu): u64 {
  if (cpu.mode & MODE_CS64) return ~0;
  return cpu.mode & MODE_SS32 ? 0xffffffff : 0xffff;
}

/** Linear address `n` bytes from the stack pointer for an access of `size` bytes; a segment violation gives ~0 and a pending #SS. */
export function stack_slow(cpu: Cpu, n: i64, size: i32): u64 {
  const off = (cpu.rsp + <u64>n) & stack_mask(cpu);
  if (!(cpu.mode & MODE_FLAT) && !seg_check(cpu, SEG_SS, off, size, n < 0)) return FAULT_ADDRESS;
  const va = cpu.base_ss + off;
  return cpu.mode & MODE_CS64 ? va : va & 0xffffffff;
}

/** Move the stack pointer, leaving the bits above its width as they are (a 32-bit stack pointer in a 64-bit register clears them). */
export function stack_add(cpu: Cpu, n: i64): void {
  const mask = stack_mask(cpu);
  const v = (cpu.rsp + <u64>n) & mask;
  if (mask == 0xffff) cpu.rsp = (cpu.rsp & ~mask) | v;
  else cpu.rsp = v;
}
