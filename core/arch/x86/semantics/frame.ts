// PUSHA, POPA and ENTER: several stack slots at once (SDM vol. 2).
import { Cpu } from '../cpu';
import { probe_range, ld, st } from '../../../engine/mem';
import { violated } from '../../../engine/address';
import { stack_add, stack_mask, stack_slow } from '../../../engine/stack';
import { reg_get, reg_set, uop_imm } from '../../../engine/uop';

/** Linear address `n` bytes from the stack pointer, or FAULT_ADDRESS; wraps at the stack pointer's width. */
@inline function slot<T>(cpu: Cpu, n: i64): u64 {
  return stack_slow(cpu, n, sizeof<T>());
}

export function PUSHA<T>(cpu: Cpu, u: usize): i32 {
  for (let i = 1; i <= 8; i++) {
    const va = slot<T>(cpu, -i * <i64>sizeof<T>());
    if (violated(cpu, va) || !probe_range(cpu, va, sizeof<T>(), true, sizeof<T>())) return 1;
  }
  for (let i = 1; i <= 8; i++) st<T>(cpu, slot<T>(cpu, -i * <i64>sizeof<T>()), reg_get<T>(cpu, (<u32>(i - 1)) << 3));
  stack_add(cpu, -8 * <i64>sizeof<T>());
  return 0;
}

/** The stack pointer's image is skipped. Registers before a slot that faults are loaded already; the stack pointer moves last. */
export function POPA<T>(cpu: Cpu, u: usize): i32 {
  for (let i = 0; i < 8; i++) {
    const va = slot<T>(cpu, i * <i64>sizeof<T>());
    if (violated(cpu, va) || !probe_range(cpu, va, sizeof<T>(), false, sizeof<T>())) return 1;
    if (i != 3) reg_set<T>(cpu, (<u32>(7 - i)) << 3, ld<T>(cpu, va));
  }
  stack_add(cpu, 8 * <i64>sizeof<T>());
  return 0;
}

/** One push below `n` bytes from the stack pointer, which stays where it is. */
function push_at<T>(cpu: Cpu, n: i64, v: T): bool {
  const va = slot<T>(cpu, n);
  if (violated(cpu, va) || !probe_range(cpu, va, sizeof<T>(), true, sizeof<T>())) return false;
  st<T>(cpu, va, v);
  return true;
}

/**
 * imm: frame size (16 bits), nesting level << 16. Level 0 only pushes the frame pointer; others copy the display. Slots are written in
 * order, so some are when one faults; the registers change last.
 */
export function ENTER<T>(cpu: Cpu, u: usize): i32 {
  const size = <i64>(uop_imm(u) & 0xffff);
  const level = (uop_imm(u) >>> 16) & 31;
  const w = <i64>sizeof<T>();
  const mask = stack_mask(cpu);
  const frame = (cpu.rsp - <u64>w) & mask;
  const display = (cpu.rbp & mask) - (cpu.rsp & mask);
  if (!push_at<T>(cpu, -w, <T>cpu.rbp)) return 1;
  for (let i: i64 = 1; i < <i64>level; i++) {
    const va = slot<T>(cpu, <i64>display - i * w);
    if (violated(cpu, va) || !probe_range(cpu, va, sizeof<T>(), false, sizeof<T>())) return 1;
    if (!push_at<T>(cpu, -w - i * w, ld<T>(cpu, va))) return 1;
  }
  if (level && !push_at<T>(cpu, -w * <i64>(level + 1), <T>frame)) return 1;
  // the final stack pointer must be writable too
  const end = slot<T>(cpu, -(w * <i64>(level ? level + 1 : 1)) - size);
  if (violated(cpu, end) || !probe_range(cpu, end, 1, true, sizeof<T>())) return 1;
  stack_add(cpu, -(w * <i64>(level ? level + 1 : 1)) - size);
  if (sizeof<T>() == 2) cpu.rbp = (cpu.rbp & ~0xffff) | (frame & 0xffff);
  else cpu.rbp = mask == 0xffff ? (cpu.rbp & ~mask) | frame : frame;
  return 0;
}
