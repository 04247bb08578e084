// Linear addresses of memory operands, the general way: any address size, segments that are not flat.
import { Cpu, EXIT_EXCEPTION, SEG_CS, SEG_FS } from '../arch/x86/cpu';
import { MODE_CS64, MODE_FLAT } from '../arch/x86/modes';
import { seg_check } from '../arch/x86/segments';
import { UOP_SPECIAL, reg_get, uop_b, uop_disp, uop_m, uop_x } from './uop';

/** Bit in a SPECIAL micro-op's index byte: 16-bit addressing. In 64-bit mode SPECIAL means 32-bit addressing. */
export const X_ADDR16: u32 = 1;

/** What address generation gives after a segment violation: not canonical, and probes know that the exception is already pending. */
export const FAULT_ADDRESS: u64 = 0x8000000000000001;

/** Is that what has come of a segment violation? 64-bit code may name this very address, with no exception pending. */
@inline export function violated(cpu: Cpu, va: u64): bool {
  return va == FAULT_ADDRESS && cpu.exit == EXIT_EXCEPTION;
}

@inline function address_mask(u: usize): u64 {
  return uop_x(u) & X_ADDR16 ? 0xffff : 0xffffffff;
}

/** Offset of a SPECIAL operand in its segment, cut to the address size. */
export function offset_special(cpu: Cpu, u: usize): u64 {
  const index = reg_get<u64>(cpu, uop_x(u) & 0xf8) << (<u64>(uop_m(u) & 3));
  return (reg_get<u64>(cpu, uop_b(u)) + index + <u64>(<i64>uop_disp(u))) & address_mask(u);
}

/** Linear address of offset `off` in the micro-op's segment, checked for `size` bytes. */
export function linear(cpu: Cpu, u: usize, off: u64, size: i32, write: bool): u64 {
  const s = (<i32>(uop_m(u) >>> 2)) & 7;
  const base = load<u64>(changetype<usize>(cpu) + 192 + ((<usize>s) << 3));
  if (cpu.mode & MODE_CS64) return base + off;
  // MODE_FLAT speaks of ES CS SS DS, and code segments are never writable.
  const unchecked = cpu.mode & MODE_FLAT && s < SEG_FS && !(write && s == SEG_CS);
  if (!unchecked && !seg_check(cpu, s, off, size, write)) return FAULT_ADDRESS;
  return (base + off) & 0xffffffff;
}

/** Linear address of a micro-op's memory operand for an access of `size` bytes; FAULT_ADDRESS with #GP or #SS pending. */
export function ea_slow(cpu: Cpu, u: usize, size: i32, write: bool): u64 {
  const m = uop_m(u);
  if (m & UOP_SPECIAL) return linear(cpu, u, offset_special(cpu, u), size, write);
  const index = reg_get<u64>(cpu, uop_x(u)) << (<u64>(m & 3));
  return (
    reg_get<u64>(cpu, uop_b(u)) +
    index +
    <u64>(<i64>uop_disp(u)) +
    load<u64>(changetype<usize>(cpu) + 192 + ((m & 0x1c) << 1))
  );
}

/** For bodies of rare instructions that probe what they need afterwards. */
export function ea(cpu: Cpu, u: usize): u64 {
  return ea_slow(cpu, u, 1, false);
}

/** As ea_slow, `by` bytes further: bit tests with a register offset. */
export function ea_moved(cpu: Cpu, u: usize, by: i64, size: i32, write: bool): u64 {
  if (uop_m(u) & UOP_SPECIAL) {
    const mask: u64 = uop_x(u) & X_ADDR16 ? 0xffff : 0xffffffff;
    return linear(cpu, u, (offset_special(cpu, u) + <u64>by) & mask, size, write);
  }
  return ea_slow(cpu, u, size, write) + <u64>by;
}

/** Width mask of addresses in a micro-op: string instructions and LOOP wrap their registers there. */
@inline export function address_width_mask(u: usize): u64 {
  return uop_m(u) & UOP_SPECIAL ? address_mask(u) : ~0;
}

export function counter_get(cpu: Cpu, u: usize): i64 {
  return <i64>(cpu.rcx & address_width_mask(u));
}

export function counter_set(cpu: Cpu, u: usize, v: i64): void {
  cpu.rcx = width_merge(cpu.rcx, <u64>v, address_width_mask(u));
}

/** A register after a write as wide as addresses are: 16 bits keep the rest, 32 bits clear the upper half. */
export function width_merge(old: u64, v: u64, mask: u64): u64 {
  if (mask == 0xffff) return (old & ~mask) | (v & mask);
  return v & mask;
}
