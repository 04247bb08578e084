// A64 bodies (Arm ARM, DDI 0487, C6.2), generic over the builder like those of x86: see docs/design/core.md.
import { uop_b, uop_disp, uop_imm, uop_m, uop_r, uop_x } from '../../engine/uop';
import { SLOT_C, SLOT_N, SLOT_V, SLOT_Z } from './state';

@inline function reg<B, V, T>(b: B, slot: u32): V {
  return b.getr<T>(slot << 3);
}

@inline function flag<B, V>(b: B, slot: u32): V {
  return b.getr<u64>(slot << 3);
}

/** NZCV of x + y + carry = r (AddWithCarry), all cut to T. */
@inline function flags_add<B, V, T>(b: B, x: V, y: V, r: V): void {
  const top = b.k(8 * sizeof<T>() - 1);
  const carry = b.or(b.and(x, y), b.and(b.or(x, y), b.not(r)));
  const overflow = b.and(b.xor(x, r), b.xor(y, r));
  b.setr<u64>(SLOT_N << 3, b.and(b.shr(r, top), b.k(1)));
  b.setr<u64>(SLOT_Z << 3, b.eqz(r));
  b.setr<u64>(SLOT_C << 3, b.and(b.shr(carry, top), b.k(1)));
  b.setr<u64>(SLOT_V << 3, b.and(b.shr(overflow, top), b.k(1)));
}

/** ShiftReg: LSL, LSR, ASR. */
@inline function shifted<B, V, T>(b: B, u: usize): V {
  const x = reg<B, V, T>(b, uop_x(u));
  const n = b.k(uop_imm(u));
  if (uop_m(u) == 0) return b.zx<T>(b.shl(x, n));
  if (uop_m(u) == 1) return b.shr(x, n);
  return b.zx<T>(b.sar(b.sx<T>(x), n));
}

@inline function subtract<B, V, T>(b: B, u: usize, y: V): i32 {
  const x = reg<B, V, T>(b, uop_b(u));
  const r = b.zx<T>(b.sub(x, y));
  flags_add<B, V, T>(b, x, b.zx<T>(b.not(y)), r);
  b.setr<T>(uop_r(u) << 3, r);
  return 0;
}

@inline export function ADD_imm<B, V, T>(b: B, u: usize): i32 {
  b.setr<T>(uop_r(u) << 3, b.add(reg<B, V, T>(b, uop_b(u)), b.k(uop_imm(u))));
  return 0;
}

@inline export function SUB_imm<B, V, T>(b: B, u: usize): i32 {
  b.setr<T>(uop_r(u) << 3, b.sub(reg<B, V, T>(b, uop_b(u)), b.k(uop_imm(u))));
  return 0;
}

@inline export function SUBS_imm<B, V, T>(b: B, u: usize): i32 {
  return subtract<B, V, T>(b, u, b.k(uop_imm(u)));
}

@inline export function ADD_reg<B, V, T>(b: B, u: usize): i32 {
  b.setr<T>(uop_r(u) << 3, b.add(reg<B, V, T>(b, uop_b(u)), shifted<B, V, T>(b, u)));
  return 0;
}

@inline export function SUBS_reg<B, V, T>(b: B, u: usize): i32 {
  return subtract<B, V, T>(b, u, shifted<B, V, T>(b, u));
}

@inline export function MADD<B, V, T>(b: B, u: usize): i32 {
  const product = b.mul(reg<B, V, T>(b, uop_b(u)), reg<B, V, T>(b, uop_x(u)));
  b.setr<T>(uop_r(u) << 3, b.add(reg<B, V, T>(b, uop_m(u)), product));
  return 0;
}

@inline export function MOVZ<B, V, T>(b: B, u: usize): i32 {
  b.setr<T>(uop_r(u) << 3, b.shl(b.k(uop_imm(u)), b.k(uop_m(u))));
  return 0;
}

@inline export function LDR_imm<B, V, T>(b: B, u: usize): i32 {
  const p = b.probe<T>(b.add(reg<B, V, u64>(b, uop_b(u)), b.k(uop_disp(u))), false);
  if (b.bad(p)) return 1;
  b.setr<T>(uop_r(u) << 3, b.ldp<T>(p));
  return 0;
}

@inline export function STR_imm<B, V, T>(b: B, u: usize): i32 {
  const p = b.probe<T>(b.add(reg<B, V, u64>(b, uop_b(u)), b.k(uop_disp(u))), true);
  if (b.bad(p)) return 1;
  b.stp<T>(p, reg<B, V, T>(b, uop_r(u)));
  return 0;
}

@inline export function B<B, V, T>(b: B, u: usize): usize {
  return b.jump(u);
}

/** ConditionHolds, without the inversion that the condition's low bit asks for. */
@inline function condition<B, V>(b: B, c: u32): V {
  switch (c >>> 1) {
    case 0:
      return flag<B, V>(b, SLOT_Z);
    case 1:
      return flag<B, V>(b, SLOT_C);
    case 2:
      return flag<B, V>(b, SLOT_N);
    case 3:
      return flag<B, V>(b, SLOT_V);
    case 4:
      return b.and(flag<B, V>(b, SLOT_C), b.eqz(flag<B, V>(b, SLOT_Z)));
    case 5:
      return b.eq(flag<B, V>(b, SLOT_N), flag<B, V>(b, SLOT_V));
    case 6:
      return b.and(b.eq(flag<B, V>(b, SLOT_N), flag<B, V>(b, SLOT_V)), b.eqz(flag<B, V>(b, SLOT_Z)));
    default:
      return b.k(1);
  }
}

@inline export function B_cond<B, V, T>(b: B, u: usize): usize {
  const c = uop_m(u);
  const holds = condition<B, V>(b, c);
  return b.jcc(u, c & 1 && c != 15 ? b.eqz(holds) : holds);
}

@inline export function CBZ<B, V, T>(b: B, u: usize): usize {
  return b.jcc(u, b.eqz(reg<B, V, T>(b, uop_r(u))));
}
