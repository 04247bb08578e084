// Operations that only move lanes about: unpack, pack, shuffle, blend, insert, extract, extend (SDM vol. 2). One body for XMM and MMX.
import { isMmx } from '../../../engine/eval_vector';
import { isE, isG, isR, isXr } from '../../../engine/operand';

// ---- unpack and pack
/** Source of an unpack of low halves: of MMX memory only 32 bits are read. */
@inline function low_source<B, V, W, D, S>(b: B, u: usize): V {
  return b.vat<S>(u, isMmx<D>() ? 4 : 16, false);
}

@inline function low_value<B, V, W, S>(b: B, q: V): W {
  return isMmx<S>() ? b.pair(b.vld32(q), b.k(0)) : b.vval<S>(q);
}

@inline export function PUNPCKLBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = low_source<B, V, W, D, S>(b, u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_lo8(b.vreg<D>(u), low_value<B, V, W, S>(b, q)));
}

@inline export function PUNPCKHBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  if (isMmx<D>()) return b.vput<D>(u, b.pair(b.half(b.unpack_lo8(b.vreg<D>(u), b.vval<S>(q)), 1), b.k(0)));
  return b.vput<D>(u, b.unpack_hi8(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PUNPCKLWD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = low_source<B, V, W, D, S>(b, u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_lo16(b.vreg<D>(u), low_value<B, V, W, S>(b, q)));
}

@inline export function PUNPCKHWD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  if (isMmx<D>()) return b.vput<D>(u, b.pair(b.half(b.unpack_lo16(b.vreg<D>(u), b.vval<S>(q)), 1), b.k(0)));
  return b.vput<D>(u, b.unpack_hi16(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PUNPCKLDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = low_source<B, V, W, D, S>(b, u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_lo32(b.vreg<D>(u), low_value<B, V, W, S>(b, q)));
}

@inline export function PUNPCKHDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  if (isMmx<D>()) return b.vput<D>(u, b.pair(b.half(b.unpack_lo32(b.vreg<D>(u), b.vval<S>(q)), 1), b.k(0)));
  return b.vput<D>(u, b.unpack_hi32(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PUNPCKLQDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = low_source<B, V, W, D, S>(b, u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_lo64(b.vreg<D>(u), low_value<B, V, W, S>(b, q)));
}

@inline export function PUNPCKHQDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_hi64(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function UNPCKLPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_lo32(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function UNPCKHPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_hi32(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function UNPCKLPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_lo64(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function UNPCKHPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.unpack_hi64(b.vreg<D>(u), b.vval<S>(q)));
}

@inline export function PACKSSWB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = isMmx<D>() ? b.unpack_lo64(b.vreg<D>(u), b.vval<S>(q)) : b.vreg<D>(u);
  return b.vput<D>(u, b.i8x16_narrow_i16x8_s(x, isMmx<D>() ? x : b.vval<S>(q)));
}

@inline export function PACKUSWB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = isMmx<D>() ? b.unpack_lo64(b.vreg<D>(u), b.vval<S>(q)) : b.vreg<D>(u);
  return b.vput<D>(u, b.i8x16_narrow_i16x8_u(x, isMmx<D>() ? x : b.vval<S>(q)));
}

@inline export function PACKSSDW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = isMmx<D>() ? b.unpack_lo64(b.vreg<D>(u), b.vval<S>(q)) : b.vreg<D>(u);
  return b.vput<D>(u, b.i16x8_narrow_i32x4_s(x, isMmx<D>() ? x : b.vval<S>(q)));
}

@inline export function PACKUSDW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = isMmx<D>() ? b.unpack_lo64(b.vreg<D>(u), b.vval<S>(q)) : b.vreg<D>(u);
  return b.vput<D>(u, b.i16x8_narrow_i32x4_u(x, isMmx<D>() ? x : b.vval<S>(q)));
}

// ---- shuffle
@inline export function PSHUFD<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.shuffle32(q, q, b.rd<u8, I>(u, q)));
}

@inline export function SHUFPS<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.shuffle32(b.vat<D>(u, 16, false), q, b.rd<u8, I>(u, q)));
}

@inline export function SHUFPD<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.shuffle64(b.vat<D>(u, 16, false), q, b.rd<u8, I>(u, q)));
}

@inline export function PSHUFLW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.shuffle16(q, b.rd<u8, I>(u, q), false));
}

@inline export function PSHUFHW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.shuffle16(q, b.rd<u8, I>(u, q), true));
}

@inline export function PSHUFW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.pair(b.words(q, b.rd<u8, I>(u, q)), b.k(0)));
}

/** Index bytes with bit 7 set give 0, as Wasm's that are greater than 15. */
@inline export function PSHUFB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const index = b.v128_and(b.vval<S>(q), b.i8x16_splat(b.k(isMmx<D>() ? 0x87 : 0x8f)));
  return b.vput<D>(u, b.i8x16_swizzle(b.vreg<D>(u), index));
}

/** The numbers of the bytes. */
@inline function bytes<B, V, W>(b: B): W {
  return b.pair(b.k(0x0706050403020100), b.k(0x0f0e0d0c0b0a0908));
}

@inline function at_most<B, V>(b: B, n: V, most: i32): V {
  return b.sel(b.ltu(n, b.k(most)), n, b.k(most));
}

/** The bytes from number imm on of D above S; an index below 0 or above 15 gives 0. */
@inline export function PALIGNR<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vval<S>(q);
  const from = b.i8x16_add(bytes<B, V, W>(b), b.i8x16_splat(at_most<B, V>(b, b.rd<u8, I>(u, q), 32)));
  if (isMmx<D>()) return b.vput<D>(u, b.i8x16_swizzle(b.unpack_lo64(y, x), from));
  const high = b.i8x16_swizzle(x, b.i8x16_sub(from, b.i8x16_splat(b.k(16))));
  return b.vput<D>(u, b.v128_or(b.i8x16_swizzle(y, from), high));
}

@inline export function PSRLDQ<B, V, W, D, I>(b: B, u: usize): i32 {
  const n = b.i8x16_splat(at_most<B, V>(b, b.rd<u8, I>(u, b.k(1)), 16));
  return b.vput<D>(u, b.i8x16_swizzle(b.vreg<D>(u), b.i8x16_add(bytes<B, V, W>(b), n)));
}

@inline export function PSLLDQ<B, V, W, D, I>(b: B, u: usize): i32 {
  const n = b.i8x16_splat(at_most<B, V>(b, b.rd<u8, I>(u, b.k(1)), 16));
  return b.vput<D>(u, b.i8x16_swizzle(b.vreg<D>(u), b.i8x16_sub(bytes<B, V, W>(b), n)));
}

// ---- blend: lanes of S where the mask says so, else of D
/** All ones in the lanes whose bit of imm is set. */
@inline function mask16<B, V, W>(b: B, imm: V): W {
  const bits = b.pair(b.k(0x0008000400020001), b.k(0x0080004000200010));
  return b.i16x8_eq(b.v128_and(b.i16x8_splat(imm), bits), bits);
}

@inline function mask32<B, V, W>(b: B, imm: V): W {
  const bits = b.pair(b.k(0x200000001), b.k(0x800000004));
  return b.i32x4_eq(b.v128_and(b.i32x4_splat(imm), bits), bits);
}

@inline function mask64<B, V, W>(b: B, imm: V): W {
  const bits = b.pair(b.k(1), b.k(2));
  return b.i64x2_eq(b.v128_and(b.i64x2_splat(imm), bits), bits);
}

@inline export function PBLENDW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  return b.vput<D>(u, b.v128_bitselect(b.vval<S>(q), b.vreg<D>(u), mask16<B, V, W>(b, b.rd<u8, I>(u, q))));
}

@inline export function BLENDPS<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  return b.vput<D>(u, b.v128_bitselect(b.vval<S>(q), b.vreg<D>(u), mask32<B, V, W>(b, b.rd<u8, I>(u, q))));
}

@inline export function BLENDPD<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  return b.vput<D>(u, b.v128_bitselect(b.vval<S>(q), b.vreg<D>(u), mask64<B, V, W>(b, b.rd<u8, I>(u, q))));
}

@inline export function PBLENDVB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_bitselect(b.vval<S>(q), b.vreg<D>(u), b.i8x16_shr_s(b.xmm0(), b.k(7))));
}

@inline export function BLENDVPS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_bitselect(b.vval<S>(q), b.vreg<D>(u), b.i32x4_shr_s(b.xmm0(), b.k(31))));
}

@inline export function BLENDVPD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  return b.bad(q) ? 1 : b.vput<D>(u, b.v128_bitselect(b.vval<S>(q), b.vreg<D>(u), b.i64x2_shr_s(b.xmm0(), b.k(63))));
}

// ---- insert and extract
/** D with v in lane `n`, of 8, 16, 32 or 64 bits by T. */
@inline function insert<B, V, W, T>(b: B, x: W, n: V, v: V): W {
  if (sizeof<T>() == 1) return b.v128_bitselect(b.i8x16_splat(v), x, b.i8x16_eq(b.i8x16_splat(n), bytes<B, V, W>(b)));
  const words = b.pair(b.k(0x0003000200010000), b.k(0x0007000600050004));
  if (sizeof<T>() == 2) return b.v128_bitselect(b.i16x8_splat(v), x, b.i16x8_eq(b.i16x8_splat(n), words));
  const dwords = b.pair(b.k(0x100000000), b.k(0x300000002));
  if (sizeof<T>() == 4) return b.v128_bitselect(b.i32x4_splat(v), x, b.i32x4_eq(b.i32x4_splat(n), dwords));
  return b.v128_bitselect(b.i64x2_splat(v), x, b.i64x2_eq(b.i64x2_splat(n), b.pair(b.k(0), b.k(1))));
}

@inline export function PINSRB<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = source_at<B, V, u8, S>(b, u);
  if (b.bad(q)) return 1;
  const n = b.and(b.rd<u8, I>(u, q), b.k(15));
  return b.vput<D>(u, insert<B, V, W, u8>(b, b.vreg<D>(u), n, source<B, V, u8, S>(b, u, q)));
}

@inline export function PINSRW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  if (b.bad(b.vat<D>(u, 8, true))) return 1;
  const q = source_at<B, V, u16, S>(b, u);
  if (b.bad(q)) return 1;
  const n = b.and(b.rd<u8, I>(u, q), b.k(isMmx<D>() ? 3 : 7));
  return b.vput<D>(u, insert<B, V, W, u16>(b, b.vreg<D>(u), n, source<B, V, u16, S>(b, u, q)));
}

/** Also PINSRQ. */
@inline export function PINSRD<B, V, W, T, D, S, I>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const n = b.and(b.rd<u8, I>(u, q), b.k(sizeof<T>() == 8 ? 1 : 3));
  return b.vput<D>(u, insert<B, V, W, T>(b, b.vreg<D>(u), n, b.rd<T, S>(u, q)));
}

/** imm: source lane in bits 6-7 (memory is one lane), destination lane in bits 4-5, lanes to clear in bits 0-3. */
@inline export function INSERTPS<B, V, W, D, S, I>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 4, false);
  if (b.bad(q)) return 1;
  const imm = b.rd<u8, I>(u, q);
  const v = b.vld32(isXr<S>() ? b.add(q, b.shl(b.shr(imm, b.k(6)), b.k(2))) : q);
  const x = insert<B, V, W, u32>(b, b.vreg<D>(u), b.and(b.shr(imm, b.k(4)), b.k(3)), v);
  return b.vput<D>(u, b.v128_andnot(x, mask32<B, V, W>(b, imm)));
}

/** A general register R or memory of type T, memory having a vector kind. */
@inline function source_at<B, V, T, S>(b: B, u: usize): V {
  if (isR<S>()) return b.k(1);
  return b.vat<S>(u, sizeof<T>(), false);
}

@inline function source<B, V, T, S>(b: B, u: usize, q: V): V {
  if (isR<S>()) return b.rd<u32, S>(u, q);
  return b.ldp<T>(q);
}

/** Lane imm of S, of type T, zero-extended to a general register or stored. */
@inline function extract<B, V, T, D, S, I>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  if (b.bad(q)) return 1;
  const lanes = (isMmx<S>() ? 8 : 16) / sizeof<T>();
  const n = b.and(b.rd<u8, I>(u, q), b.k(lanes - 1));
  const v = b.ldp<T>(b.add(q, b.mul(n, b.k(sizeof<T>()))));
  if (isG<D>() || isR<D>()) b.wr<u32, D>(u, q, v);
  else if (isE<D>()) {
    const p = b.at<T, D>(u, true);
    if (b.bad(p)) return 1;
    b.wr<T, D>(u, p, v);
  } else {
    const p = b.vat<D>(u, sizeof<T>(), true);
    if (b.bad(p)) return 1;
    b.stp<T>(p, v);
  }
  b.vused<S>();
  return 0;
}

@inline export function PEXTRB<B, V, W, D, S, I>(b: B, u: usize): i32 {
  return extract<B, V, u8, D, S, I>(b, u);
}
@inline export function PEXTRW<B, V, W, D, S, I>(b: B, u: usize): i32 {
  return extract<B, V, u16, D, S, I>(b, u);
}
@inline export function EXTRACTPS<B, V, W, D, S, I>(b: B, u: usize): i32 {
  return extract<B, V, u32, D, S, I>(b, u);
}
/** Also PEXTRQ. */
@inline export function PEXTRD<B, V, W, T, D, S, I>(b: B, u: usize): i32 {
  return extract<B, V, T, D, S, I>(b, u);
}

// ---- extend the low lanes
@inline export function PMOVSXBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_extend_low_i8x16_s(b.pair(b.vld64(q), b.k(0))));
}

@inline export function PMOVSXBD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 4, false);
  return b.bad(q)
    ? 1
    : b.vput<D>(u, b.i32x4_extend_low_i16x8_s(b.i16x8_extend_low_i8x16_s(b.pair(b.vld32(q), b.k(0)))));
}

@inline export function PMOVSXBQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 2, false);
  if (b.bad(q)) return 1;
  const x = b.pair(b.vld16(q), b.k(0));
  return b.vput<D>(u, b.i64x2_extend_low_i32x4_s(b.i32x4_extend_low_i16x8_s(b.i16x8_extend_low_i8x16_s(x))));
}

@inline export function PMOVSXWD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_extend_low_i16x8_s(b.pair(b.vld64(q), b.k(0))));
}

@inline export function PMOVSXWQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 4, false);
  return b.bad(q)
    ? 1
    : b.vput<D>(u, b.i64x2_extend_low_i32x4_s(b.i32x4_extend_low_i16x8_s(b.pair(b.vld32(q), b.k(0)))));
}

@inline export function PMOVSXDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_extend_low_i32x4_s(b.pair(b.vld64(q), b.k(0))));
}

@inline export function PMOVZXBW<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i16x8_extend_low_i8x16_u(b.pair(b.vld64(q), b.k(0))));
}

@inline export function PMOVZXBD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 4, false);
  return b.bad(q)
    ? 1
    : b.vput<D>(u, b.i32x4_extend_low_i16x8_u(b.i16x8_extend_low_i8x16_u(b.pair(b.vld32(q), b.k(0)))));
}

@inline export function PMOVZXBQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 2, false);
  if (b.bad(q)) return 1;
  const x = b.pair(b.vld16(q), b.k(0));
  return b.vput<D>(u, b.i64x2_extend_low_i32x4_u(b.i32x4_extend_low_i16x8_u(b.i16x8_extend_low_i8x16_u(x))));
}

@inline export function PMOVZXWD<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i32x4_extend_low_i16x8_u(b.pair(b.vld64(q), b.k(0))));
}

@inline export function PMOVZXWQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 4, false);
  return b.bad(q)
    ? 1
    : b.vput<D>(u, b.i64x2_extend_low_i32x4_u(b.i32x4_extend_low_i16x8_u(b.pair(b.vld32(q), b.k(0)))));
}

@inline export function PMOVZXDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_extend_low_i32x4_u(b.pair(b.vld64(q), b.k(0))));
}
