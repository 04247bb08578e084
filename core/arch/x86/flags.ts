// RFLAGS' arithmetic bits, kept lazily in two slots (docs/design/core.md, "Flags"): lfr the sign-extended result, lfc bit 63 CF,
// bit 62 CF xor OF, bit 3 AF, bits 8-15 a change to the parity byte, bit 16 a change to the sign.
import { Cpu } from './cpu';

export const CF: u32 = 1;
export const PF: u32 = 4;
export const AF: u32 = 0x10;
export const ZF: u32 = 0x40;
export const SF: u32 = 0x80;
export const TF: u32 = 0x100;
export const IF: u32 = 0x200;
export const DF: u32 = 0x400;
export const OF: u32 = 0x800;
/** The six bits that live in lfr and lfc. */
export const ARITH: u32 = CF | PF | AF | ZF | SF | OF;

/** The six arithmetic flags in RFLAGS' positions. */
export function get_flags6(cpu: Cpu): u32 {
  const r = cpu.lfr;
  const c = cpu.lfc;
  const cf = <u32>(c >>> 63);
  let f = cf;
  if (!(popcnt<u64>((r ^ (c >>> 8)) & 0xff) & 1)) f |= PF;
  if (c & 8) f |= AF;
  if (r == 0) f |= ZF;
  f |= (<u32>((r >>> 63) ^ ((c >>> 16) & 1))) << 7;
  f |= (cf ^ ((<u32>(c >>> 62)) & 1)) << 11;
  return f;
}

/** Set all six arithmetic flags from RFLAGS' positions. */
export function set_flags6(cpu: Cpu, f: u32): void {
  const zf = (f & ZF) != 0;
  const r: u64 = zf ? 0 : 1;
  let c: u64 = 0;
  if (f & CF) c |= 0xc000000000000000;
  if (f & OF) c ^= 0x4000000000000000;
  if (f & AF) c |= 8;
  if (f & SF) c |= 0x10000;
  // parity of r alone: even for 0, odd for 1
  if (((f & PF) != 0) != zf) c |= 0x100;
  cpu.lfr = r;
  cpu.lfc = c;
}

/** The whole RFLAGS register. */
export function flags_get(cpu: Cpu): u64 {
  return cpu.rflags | get_flags6(cpu) | 2;
}

/** Set the whole RFLAGS register; the caller has applied privilege and reserved-bit rules. */
export function flags_set(cpu: Cpu, v: u64): void {
  set_flags6(cpu, (<u32>v) & ARITH);
  cpu.rflags = (v & ~(<u64>ARITH)) | 2;
}
