// A micro-op: one decoded instruction in 16 bytes.
//
//   0 u16  form          which body with which type arguments (core/gen/forms)
//   2 u16  pos           offset in the code page (12 bits) | length << 12
//   4 u8   r             byte offset of the register named by ModRM.reg (or a fixed register)
//   5 u8   b             byte offset of the rm register, of the opcode's register, or the base register's slot
//   6 u8   x             index register's slot
//   7 u8   m             scale (0-1), segment base slot (2-4), SPECIAL (5), MEM (6), LOCK (7)
//   8 i32  disp
//  12 i32  imm           (an imm64 or moffs uses 8..15; a linked branch keeps its target micro-op here)
import { Cpu } from '../arch/x86/cpu';

export const UOP_SIZE: usize = 16;
/** The address needs the slow path: 16- or 32-bit addressing or a segment that is not flat. Then `imm2` bits: see decode. */
export const UOP_SPECIAL: u32 = 0x20;
export const UOP_MEM: u32 = 0x40;
export const UOP_LOCK: u32 = 0x80;

/** Whose unit is off (FORM_UNIT's r; 0 is x87's). */
export const UNIT_MMX: u32 = 1;
export const UNIT_SSE: u32 = 2;

@inline export function uop_form(u: usize): u32 {
  return load<u16>(u);
}
@inline export function uop_pos(u: usize): u32 {
  return load<u16>(u, 2) & 0xfff;
}
/** Length in bytes, 1..15. */
@inline export function uop_len(u: usize): u32 {
  return (<u32>load<u16>(u, 2)) >>> 12;
}
@inline export function uop_r(u: usize): u32 {
  return load<u8>(u, 4);
}
@inline export function uop_b(u: usize): u32 {
  return load<u8>(u, 5);
}
@inline export function uop_x(u: usize): u32 {
  return load<u8>(u, 6);
}
@inline export function uop_m(u: usize): u32 {
  return load<u8>(u, 7);
}
@inline export function uop_disp(u: usize): i32 {
  return load<i32>(u, 8);
}
@inline export function uop_imm(u: usize): i32 {
  return load<i32>(u, 12);
}
@inline export function uop_imm64(u: usize): u64 {
  return load<u64>(u, 8);
}
@inline export function uop_ismem(u: usize): bool {
  return (uop_m(u) & UOP_MEM) != 0;
}

/** Offset in CS of this instruction. */
export function this_rip(cpu: Cpu, u: usize): u64 {
  return cpu.page_va + uop_pos(u) - cpu.base_cs;
}

/** Offset in CS of the next instruction; the caller wraps it to 16 or 32 bits where the mode wants that. */
export function next_rip(cpu: Cpu, u: usize): u64 {
  return cpu.page_va + uop_pos(u) + uop_len(u) - cpu.base_cs;
}

@inline export function reg_get<T>(cpu: Cpu, slot: u32): T {
  return load<T>(changetype<usize>(cpu) + slot);
}

/** Write a general register; a 32-bit write clears the upper half, as in 64-bit mode (elsewhere the upper half is not visible). */
@inline export function reg_set<T>(cpu: Cpu, slot: u32, v: T): void {
  if (sizeof<T>() == 4) store<u64>(changetype<usize>(cpu) + slot, <u64>(<u32>v));
  else store<T>(changetype<usize>(cpu) + slot, v);
}
