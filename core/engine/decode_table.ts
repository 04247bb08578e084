// The decoder's table, made from spec/x86 at build time (tools/generate/engine.ts) and copied into machine memory by the platform:
// 4 opcode maps × 256 u16 (number of the first candidate + 1, 0 = #UD), then candidates of 48 bytes.
import { host_tables } from '../shared/host';

export const ROW_SIZE: usize = 48;
const INDEX_SIZE: usize = 2048;

// Attribute bits, in the generator's order.
export const A_LOCK: u32 = 1;
export const A_REP: u32 = 2;
export const A_D64: u32 = 4;
export const A_F64: u32 = 8;
export const A_O64: u32 = 0x10;
export const A_I64: u32 = 0x20;
export const A_END: u32 = 0x40;
export const A_BR: u32 = 0x80;
export const A_SSE: u32 = 0x100;
export const A_MMX: u32 = 0x200;
export const A_X87: u32 = 0x400;
export const A_ALIGN: u32 = 0x800;
export const A_REXW: u32 = 0x1000;
export const A_NOREXW: u32 = 0x2000;
export const A_REXB: u32 = 0x4000;
export const A_NOREXB: u32 = 0x8000;
export const A_MODRM: u32 = 0x10000;
/** ModRM.mod is ignored: the rm field is a register (MOV CR, DR). */
export const A_RM_REG: u32 = 0x20000;
/** A memory operand is locked without a prefix (XCHG). */
export const A_LOCKED: u32 = 0x40000;
/** ModRM is a fixed byte; with A_STI its low three bits are ST(i). */
export const A_FIXED: u32 = 0x80000;
export const A_STI: u32 = 0x100000;
/** The micro-op keeps the branch's operand size in `r`. */
export const A_OSIZE: u32 = 0x200000;
/** The last candidate of its opcode. */
export const A_LAST: u32 = 0x80000000;

export const PREFIX_ANY: u32 = 0;
export const PREFIX_NP: u32 = 1;
export const PREFIX_66: u32 = 2;
export const PREFIX_F3: u32 = 3;
export const PREFIX_F2: u32 = 4;

export const IMM_NONE: u32 = 0;
export const IMM_B: u32 = 1;
export const IMM_W: u32 = 2;
export const IMM_Z: u32 = 3;
export const IMM_V: u32 = 4;
export const IMM_O: u32 = 5;
export const IMM_P: u32 = 6;
export const IMM_WB: u32 = 7;
export const IMM_JB: u32 = 8;
export const IMM_JZ: u32 = 9;
export const IMM_ONE: u32 = 10;

/** Register classes of the r and b fields. */
export const CLASS_BYTE: u32 = 0;
export const CLASS_GPR: u32 = 1;
export const CLASS_XMM: u32 = 2;
export const CLASS_MMX: u32 = 3;

export const SRC_NONE: u32 = 0;
export const SRC_MODRM: u32 = 1;
export const SRC_OPCODE: u32 = 2;
export const SRC_FIXED: u32 = 3;

@unmanaged
export class DecodeRow {
  attrs: u32;
  prefix: u8;
  /** ModRM.reg must be this; 0xff = any. */
  ext: u8;
  /** 0 both, 1 memory only, 2 register only. */
  form: u8;
  fixed: u8;
  imm: u8;
  r_src: u8;
  r_fixed: u8;
  r_class: u8;
  b_src: u8;
  b_class: u8;
  reserved: u16;
  // u16 forms[3][4] at offset 20: by operand size 16, 32, 64; generic, register, memory, base+disp
}

export function first_row(map: u32, opcode: u32): DecodeRow {
  const n = load<u16>(host_tables() + (((map << 8) | opcode) << 1));
  if (n == 0) return changetype<DecodeRow>(0);
  return changetype<DecodeRow>(host_tables() + INDEX_SIZE + <usize>(n - 1) * ROW_SIZE);
}

@inline export function next_row(r: DecodeRow): DecodeRow {
  return changetype<DecodeRow>(r.attrs & A_LAST ? 0 : changetype<usize>(r) + ROW_SIZE);
}

@inline export function row_form(r: DecodeRow, size: u32, variant: u32): u32 {
  return load<u16>(changetype<usize>(r) + 20 + <usize>(((size << 2) | variant) << 1));
}
