// Integer operations on packed lanes (SDM vol. 2): one body for XMM and MMX registers. An MMX operand is the low half of a vector whose
// high half is 0, and only the low half of the result is kept.
import { isMmx } from '../../../engine/eval_vector';
import { isI } from '../../../engine/operand';

// ---- logic
@inline export function PAND<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_and(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function ANDPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_and(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function ANDPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_and(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function POR<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_or(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function ORPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_or(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function ORPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_or(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PXOR<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_xor(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function XORPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_xor(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function XORPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_xor(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PANDN<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_andnot(b.vval<S>(q), b.vreg<D>(u)));
}

@inline export function ANDNPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_andnot(b.vval<S>(q), b.vreg<D>(u)));
}

@inline export function ANDNPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_andnot(b.vval<S>(q), b.vreg<D>(u)));
}

// ---- addition, subtraction, average
@inline export function PADDB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_add(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_sub(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_add(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_sub(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_add(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_sub(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_add(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_sub(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_add_sat_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDUSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_add_sat_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_add_sat_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PADDUSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_add_sat_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_sub_sat_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBUSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_sub_sat_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_sub_sat_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PSUBUSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_sub_sat_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PAVGB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_avgr_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PAVGW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_avgr_u(b.vreg<D>(u), b.vval<S>(q)));
}

// ---- minimum, maximum, comparison
@inline export function PMINSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_min_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMAXSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_max_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMINSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_min_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMAXSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_max_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMINSD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_min_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMAXSD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_max_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMINUB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_min_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMAXUB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_max_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMINUW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_min_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMAXUW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_max_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMINUD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_min_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMAXUD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_max_u(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPEQB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_eq(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPGTB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_gt_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPEQW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_eq(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPGTW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_gt_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPEQD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_eq(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPGTD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_gt_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPEQQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_eq(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PCMPGTQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_gt_s(b.vreg<D>(u), b.vval<S>(q)));
}

// ---- absolute value, sign
@inline export function PABSB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i8x16_abs(b.vval<S>(q)));
}

@inline export function PABSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_abs(b.vval<S>(q)));
}

@inline export function PABSD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_abs(b.vval<S>(q)));
}

@inline export function PSIGNB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const y = b.vval<S>(q);
  const minus = b.i8x16_shr_s(y, b.k(7));
  const x = b.i8x16_sub(b.v128_xor(b.vreg<D>(u), minus), minus);
  return b.vput<D>(u, b.v128_andnot(x, b.i8x16_eq(y, b.v128_zero())));
}

@inline export function PSIGNW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const y = b.vval<S>(q);
  const minus = b.i16x8_shr_s(y, b.k(15));
  const x = b.i16x8_sub(b.v128_xor(b.vreg<D>(u), minus), minus);
  return b.vput<D>(u, b.v128_andnot(x, b.i16x8_eq(y, b.v128_zero())));
}

@inline export function PSIGND<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const y = b.vval<S>(q);
  const minus = b.i32x4_shr_s(y, b.k(31));
  const x = b.i32x4_sub(b.v128_xor(b.vreg<D>(u), minus), minus);
  return b.vput<D>(u, b.v128_andnot(x, b.i32x4_eq(y, b.v128_zero())));
}

// ---- multiplication
@inline export function PMULLW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_mul(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMULLD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_mul(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMADDWD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_dot_i16x8_s(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PMULHW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  return b.vput<D>(u, b.odd16(b.i32x4_extmul_low_i16x8_s(x, y), b.i32x4_extmul_high_i16x8_s(x, y)));
}

@inline export function PMULHUW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  return b.vput<D>(u, b.odd16(b.i32x4_extmul_low_i16x8_u(x, y), b.i32x4_extmul_high_i16x8_u(x, y)));
}

@inline export function PMULDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  return b.vput<D>(u, b.i64x2_extmul_low_i32x4_s(b.even32(x, x), b.even32(y, y)));
}

@inline export function PMULUDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  return b.vput<D>(u, b.i64x2_extmul_low_i32x4_u(b.even32(x, x), b.even32(y, y)));
}

/** Wasm's rounding product saturates -1 × -1, this one wraps. */
@inline export function PMULHRSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  const least = b.i16x8_splat(b.k(-0x8000));
  const both = b.v128_and(b.i16x8_eq(x, least), b.i16x8_eq(y, least));
  return b.vput<D>(u, b.v128_xor(b.i16x8_q15mulr_sat_s(x, y), both));
}

/** Unsigned bytes of D times signed bytes of S, pairs added with saturation. */
@inline export function PMADDUBSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  const n = b.k(8);
  const even = b.i16x8_mul(b.v128_and(x, b.i16x8_splat(b.k(0xff))), b.i16x8_shr_s(b.i16x8_shl(y, n), n));
  const odd = b.i16x8_mul(b.i16x8_shr_u(x, n), b.i16x8_shr_s(y, n));
  return b.vput<D>(u, b.i16x8_add_sat_s(even, odd));
}

// ---- sums across lanes
/** Absolute differences of unsigned bytes. */
@inline function distance<B, V, W>(b: B, x: W, y: W): W {
  return b.v128_or(b.i8x16_sub_sat_u(x, y), b.i8x16_sub_sat_u(y, x));
}

@inline export function PSADBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const words = b.i16x8_extadd_pairwise_i8x16_u(distance<B, V, W>(b, b.vreg<D>(u), b.vval<S>(q)));
  const r = b.i32x4_extadd_pairwise_i16x8_u(words);
  const high = b.i64x2_shr_u(r, b.k(32));
  return b.vput<D>(u, b.i64x2_add(b.v128_and(r, b.i64x2_splat(b.k(0xffffffff))), high));
}

/** Word i is the distance of four bytes of D from byte i on (from byte 4 + i on, imm bit 2) and the four bytes of S that imm bits 0-1 choose. */
@inline export function MPSADBW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const imm = b.rd<u8, I>(u, q);
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  const xs = b.i8x16_splat(b.and(imm, b.k(4)));
  const ys = b.i8x16_splat(b.shl(b.and(imm, b.k(3)), b.k(2)));
  const bytes = b.pair(b.k(0x0706050403020100), b.k(0x0f0e0d0c0b0a0908));
  let sum = b.v128_zero();
  for (let i = 0; i < 4; i++) {
    const step = b.i8x16_splat(b.k(i));
    const window = b.i8x16_swizzle(x, b.i8x16_add(bytes, b.i8x16_add(xs, step)));
    const one = b.i8x16_swizzle(y, b.i8x16_add(ys, step));
    sum = b.i16x8_add(sum, b.i16x8_extend_low_i8x16_u(distance<B, V, W>(b, window, one)));
  }
  return b.vput<D>(u, sum);
}

@inline export function PHMINPOSUW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vval<S>(q);
  // the word and its index in one number: the first of equal words is the least
  let least = b.k(0x7ffff);
  for (let i = 0; i < 8; i++) {
    const word = b.and(b.shr(b.half(x, i >> 2), b.k(16 * (i & 3))), b.k(0xffff));
    const one = b.or(b.shl(word, b.k(3)), b.k(i));
    least = b.sel(b.ltu(one, least), one, least);
  }
  const r = b.or(b.shr(least, b.k(3)), b.shl(b.and(least, b.k(7)), b.k(16)));
  return b.vput<D>(u, b.pair(r, b.k(0)));
}

/** The operands of a horizontal operation as two vectors: MMX operands are the halves of one. */
@inline function across<B, V, W, D>(b: B, x: W, y: W): W {
  return isMmx<D>() ? b.unpack_lo64(x, y) : x;
}

@inline function others<B, V, W, D>(b: B, x: W, y: W): W {
  return isMmx<D>() ? b.unpack_lo64(x, y) : y;
}

@inline export function PHADDW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = across<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  const y = others<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  return b.vput<D>(u, b.i16x8_add(b.even16(x, y), b.odd16(x, y)));
}

@inline export function PHADDD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = across<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  const y = others<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  return b.vput<D>(u, b.i32x4_add(b.even32(x, y), b.odd32(x, y)));
}

@inline export function PHADDSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = across<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  const y = others<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  return b.vput<D>(u, b.i16x8_add_sat_s(b.even16(x, y), b.odd16(x, y)));
}

@inline export function PHSUBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = across<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  const y = others<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  return b.vput<D>(u, b.i16x8_sub(b.even16(x, y), b.odd16(x, y)));
}

@inline export function PHSUBD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = across<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  const y = others<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  return b.vput<D>(u, b.i32x4_sub(b.even32(x, y), b.odd32(x, y)));
}

@inline export function PHSUBSW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = across<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  const y = others<B, V, W, D>(b, b.vreg<D>(u), b.vval<S>(q));
  return b.vput<D>(u, b.i16x8_sub_sat_s(b.even16(x, y), b.odd16(x, y)));
}

// ---- shifts by a count in the low 64 bits of S or by an immediate: counts beyond the lane give 0, or the sign
@inline function count<B, V, W, S>(b: B, u: usize, q: V): V {
  if (isI<S>()) return b.rd<u8, S>(u, q);
  return b.vld64(q);
}

/** x, or 0 if the count is not less than the lane's width. */
@inline function within<B, V, W>(b: B, x: W, n: V, width: i32): W {
  return b.v128_and(x, b.i64x2_splat(b.neg(b.ltu(n, b.k(width)))));
}

@inline export function PSLLW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, within<B, V, W>(b, b.i16x8_shl(b.vreg<D>(u), n), n, 16));
}

@inline export function PSRLW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, within<B, V, W>(b, b.i16x8_shr_u(b.vreg<D>(u), n), n, 16));
}

@inline export function PSRAW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, b.i16x8_shr_s(b.vreg<D>(u), b.sel(b.ltu(n, b.k(16)), n, b.k(15))));
}

@inline export function PSLLD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, within<B, V, W>(b, b.i32x4_shl(b.vreg<D>(u), n), n, 32));
}

@inline export function PSRLD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, within<B, V, W>(b, b.i32x4_shr_u(b.vreg<D>(u), n), n, 32));
}

@inline export function PSRAD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, b.i32x4_shr_s(b.vreg<D>(u), b.sel(b.ltu(n, b.k(32)), n, b.k(31))));
}

@inline export function PSLLQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, within<B, V, W>(b, b.i64x2_shl(b.vreg<D>(u), n), n, 64));
}

@inline export function PSRLQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const n = count<B, V, W, S>(b, u, q);
  return b.vput<D>(u, within<B, V, W>(b, b.i64x2_shr_u(b.vreg<D>(u), n), n, 64));
}

// ---- test
/** ZF: no bit of D is set in S; CF: no bit of S is clear in D. The other flags are cleared. */
@inline export function PTEST<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  const some = b.v128_any_true(b.v128_and(x, y));
  const carry = b.eqz(b.v128_any_true(b.v128_andnot(y, x)));
  b.set_lfr(some);
  // OF = 0: bit 62 as CF; PF = 0: a parity that differs from that of 0
  b.set_lfc(b.or(b.or(b.shl(carry, b.k(63)), b.shl(carry, b.k(62))), b.shl(b.eqz(some), b.k(8))));
  return 0;
}
