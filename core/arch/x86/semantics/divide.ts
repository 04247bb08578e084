// Decimal adjustment, rotates through carry and other instructions that the interpreter alone executes.
import { Cpu } from '../cpu';
import { raise } from '../exceptions';
import { AF, ARITH, CF, OF, PF, SF, ZF, get_flags6, set_flags6 } from '../flags';
import { Eval } from '../../../engine/eval';
import { E } from '../../../engine/operand';
import { cas_locked } from '../../../engine/atomic';
import { address_width_mask, ea_slow, linear, offset_special } from '../../../engine/address';
import { commit, read_ptr, write_ptr } from '../../../engine/mem';
import { UOP_LOCK, UOP_SPECIAL, reg_get, reg_set, uop_b, uop_imm, uop_ismem, uop_m, uop_r } from '../../../engine/uop';

// ---- rotates through carry: width + 1 bits

export function RCL<T>(cpu: Cpu, u: usize): i32 {
  return rotate_carry<T>(cpu, u, true);
}

export function RCR<T>(cpu: Cpu, u: usize): i32 {
  return rotate_carry<T>(cpu, u, false);
}

/** The count is CL for the opcodes D2 and D3, which leave the micro-op's immediate 0; an immediate count of 0 does nothing either way. */
function rotate_carry<T>(cpu: Cpu, u: usize, left: bool): i32 {
  const b = changetype<Eval>(cpu);
  const p = b.at<T, E>(u, true);
  if (p == 0) return 1;
  const w: i32 = 8 * sizeof<T>();
  const count = uop_r(u) == 8 ? <i32>(cpu.rcx & 0xff) : uop_imm(u);
  let n = count & (w == 64 ? 63 : 31);
  let x = <u64>b.rd<T, E>(u, p);
  if (n == 0) {
    if (w == 32 && !uop_ismem(u)) b.wr<T, E>(u, p, <i64>x); // the upper half is cleared all the same
    return 0;
  }
  let f = get_flags6(cpu);
  let c: u64 = f & CF;
  for (n %= w + 1; n > 0; n--) {
    if (left) {
      const out = (x >> (w - 1)) & 1;
      x = (x << 1) | c;
      c = out;
    } else {
      const out = x & 1;
      x = ((x >> 1) & ~((<u64>1) << (w - 1))) | (c << (w - 1));
      c = out;
    }
  }
  const top = (<u32>(x >> (w - 1))) & 1;
  const ov = left ? top ^ (<u32>c) : top ^ ((<u32>(x >> (w - 2))) & 1);
  b.wr<T, E>(u, p, <i64>x);
  set_flags6(cpu, (f & ~(CF | OF)) | (<u32>c) | (ov << 11));
  return 0;
}

// ---- decimal adjustment (SDM vol. 2)

function flags_of_al(al: u32): u32 {
  return (al == 0 ? ZF : 0) | (al & 0x80 ? SF : 0) | (popcnt<u32>(al) & 1 ? 0 : PF);
}

export function DAA(cpu: Cpu, u: usize): i32 {
  return decimal(cpu, 1);
}

export function DAS(cpu: Cpu, u: usize): i32 {
  return decimal(cpu, -1);
}

function decimal(cpu: Cpu, sign: i32): i32 {
  const f = get_flags6(cpu);
  const old = <i32>(cpu.rax & 0xff);
  let al = old;
  let out: u32 = 0;
  if ((old & 15) > 9 || f & AF) {
    al += 6 * sign;
    out |= AF | (f & CF) | (al < 0 || al > 255 ? CF : 0);
  }
  if (old > 0x99 || f & CF) {
    al += 0x60 * sign;
    out |= CF;
  } else if (sign > 0) out &= ~CF;
  store<u8>(changetype<usize>(cpu), <u8>al);
  set_flags6(cpu, out | flags_of_al((<u32>al) & 0xff));
  return 0;
}

export function AAA(cpu: Cpu, u: usize): i32 {
  return ascii(cpu, 0x106);
}

export function AAS(cpu: Cpu, u: usize): i32 {
  return ascii(cpu, -0x106);
}

function ascii(cpu: Cpu, by: i32): i32 {
  const f = get_flags6(cpu);
  let ax = <i32>(cpu.rax & 0xffff);
  let out: u32 = f & (OF | SF | ZF | PF);
  if ((ax & 15) > 9 || f & AF) {
    ax += by;
    out |= AF | CF;
  }
  store<u16>(changetype<usize>(cpu), <u16>(ax & 0xff0f));
  set_flags6(cpu, out);
  return 0;
}

export function AAM(cpu: Cpu, u: usize): i32 {
  const d = (<u32>uop_imm(u)) & 0xff;
  if (d == 0) return raise(cpu, 0, 0);
  const al = (<u32>cpu.rax) & 0xff;
  store<u16>(changetype<usize>(cpu), <u16>(((al / d) << 8) | al % d));
  set_flags6(cpu, flags_of_al(al % d));
  return 0;
}

export function AAD(cpu: Cpu, u: usize): i32 {
  const ax = (<u32>cpu.rax) & 0xffff;
  const al = ((ax & 0xff) + (ax >> 8) * ((<u32>uop_imm(u)) & 0xff)) & 0xff;
  store<u16>(changetype<usize>(cpu), <u16>al);
  set_flags6(cpu, flags_of_al(al));
  return 0;
}

/** AL = CF ? FF : 0 (undocumented until the manual listed it). */
export function SALC(cpu: Cpu, u: usize): i32 {
  store<u8>(changetype<usize>(cpu), get_flags6(cpu) & CF ? 0xff : 0);
  return 0;
}

export function XLAT(cpu: Cpu, u: usize): i32 {
  const off = (cpu.rbx + (cpu.rax & 0xff)) & address_width_mask(u);
  const p = read_ptr(cpu, linear(cpu, u, off, 1, false), 1);
  if (p == 0) return 1;
  store<u8>(changetype<usize>(cpu), load<u8>(p));
  return 0;
}

/** CRC-32C of the operand's bytes, bit by bit reflected (polynomial 11EDC6F41). */
export function CRC32<T, S>(cpu: Cpu, u: usize): i32 {
  const b = changetype<Eval>(cpu);
  const p = b.at<S, E>(u, false);
  if (p == 0) return 1;
  let x = <u64>b.rd<S, E>(u, p);
  let crc = reg_get<u32>(cpu, uop_r(u));
  for (let i: u32 = 0; i < sizeof<S>(); i++) {
    crc ^= (<u32>x) & 0xff;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0x82f63b78 & (0 - (crc & 1)));
    x >>= 8;
  }
  reg_set<u32>(cpu, uop_r(u), crc);
  return 0;
}

function set_zf(cpu: Cpu, z: bool): void {
  set_flags6(cpu, (get_flags6(cpu) & ~ZF) | (z ? ZF : 0));
}

export function CMPXCHG8B(cpu: Cpu, u: usize): i32 {
  const p = write_ptr(cpu, ea_slow(cpu, u, 8, true), 8);
  if (p == 0) return 1;
  const expect = (cpu.rdx << 32) | (cpu.rax & 0xffffffff);
  for (;;) {
    const old = load<u64>(p);
    const same = old == expect;
    const v = same ? (cpu.rcx << 32) | (cpu.rbx & 0xffffffff) : old;
    if (uop_m(u) & UOP_LOCK) {
      if (!cas_locked<u64>(cpu, p, <i64>old, <i64>v)) continue;
    } else {
      store<u64>(p, v);
      commit(cpu, p);
    }
    set_zf(cpu, same);
    if (!same) {
      cpu.rax = old & 0xffffffff;
      cpu.rdx = old >> 32;
    }
    return 0;
  }
}
