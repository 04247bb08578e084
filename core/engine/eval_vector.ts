// The evaluating builder's vector operations: W = v128, V = i64. See docs/design/core.md, "Spec rows".
// Bodies: moves, shuffles and integer operations in semantics/vector_*.ts, shared by XMM and MMX registers; what rounds, compares or
// converts floating point in semantics/sse_float*.ts.
import { CPU_FPR, CPU_FSW, CPU_FTW, CPU_XMM, Cpu } from '../arch/x86/cpu';
import { EXC_GP, EXC_MF, raise } from '../arch/x86/exceptions';
import { address_width_mask, ea_slow, linear, violated } from './address';
import { EvalFloat } from './eval_float';
import { BOUNCE_LIMIT } from './layout';
import { canonical, commit_slow, probe_range, read_ptr, st, write_ptr } from './mem';
import { isI, isPe, isPg, isPr, isXa, isXe, isXg, isXr } from './operand';
import { UOP_MEM, uop_b, uop_m, uop_r } from './uop';

/** MMX operand kinds: the low half of a vector, the high half 0. */
@inline export function isMmx<K>(): bool {
  return isPg<K>() || isPr<K>() || isPe<K>();
}
@inline export function isXmm<K>(): bool {
  return isXg<K>() || isXr<K>() || isXe<K>() || isXa<K>();
}

@unmanaged
export class EvalVector extends EvalFloat {
  // ---- operands. Pointers are V, as at() gives them; 0 is bad
  /** Host address of the XMM register named by `r` and by `b`. */
  @inline vg(u: usize): usize {
    return changetype<usize>(this) + CPU_XMM + uop_r(u);
  }
  @inline vr(u: usize): usize {
    return changetype<usize>(this) + CPU_XMM + uop_b(u);
  }
  /** Prepare operand K for an access of `bytes` if it is in memory: bad = exception pending. */
  @inline vat<K>(u: usize, bytes: i32, write: bool): i64 {
    const cpu = changetype<Cpu>(this);
    if (isXg<K>()) return <i64>this.vg(u);
    if (isXr<K>()) return <i64>this.vr(u);
    if (isXe<K>()) return <i64>(uop_m(u) & UOP_MEM ? vector_memory(cpu, u, bytes, write) : this.vr(u));
    if (isXa<K>()) return <i64>(uop_m(u) & UOP_MEM ? vector_aligned(cpu, u, bytes, write) : this.vr(u));
    if (isPg<K>()) return <i64>mmx_register(cpu, uop_r(u));
    if (isPr<K>()) return <i64>mmx_register(cpu, uop_b(u));
    if (isPe<K>()) return <i64>mmx_operand(cpu, u, bytes, write);
    return 1;
  }
  /** Prepare source S of an operation on register D, as wide as D. */
  @inline vsrc<D, S>(u: usize): i64 {
    // an immediate has nothing to prepare, but an MMX destination has
    if (isI<S>()) return this.vat<D>(u, 8, false);
    return this.vat<S>(u, isMmx<D>() ? 8 : 16, false);
  }
  /** Value of operand K at a pointer. */
  @inline vval<K>(p: i64): v128 {
    return isMmx<K>() ? v128.load64_zero(<usize>p) : v128.load(<usize>p);
  }
  /** Value of register D. */
  @inline vreg<K>(u: usize): v128 {
    if (isXg<K>()) return v128.load(this.vg(u));
    if (isXr<K>()) return v128.load(this.vr(u));
    return v128.load64_zero(mmx_slot<K>(changetype<usize>(this), u));
  }
  /** Write register D, the last thing a body does. Always 0. */
  @inline vput<K>(u: usize, w: v128): i32 {
    if (isXg<K>()) v128.store(this.vg(u), w);
    else if (isXr<K>()) v128.store(this.vr(u), w);
    else mmx_put(changetype<Cpu>(this), mmx_slot<K>(changetype<usize>(this), u), v128.extract_lane<i64>(w, 0));
    return 0;
  }
  /** An instruction that only reads MMX registers also takes the x87 registers over. */
  @inline vused<K>(): void {
    if (isMmx<K>()) mmx_enter(changetype<Cpu>(this));
  }
  /** Is operand K a register? */
  @inline vinreg<K>(u: usize): bool {
    if (isXe<K>() || isXa<K>() || isPe<K>()) return !(uop_m(u) & UOP_MEM);
    return true;
  }
  /** The implicit operand XMM0. */
  @inline xmm0(): v128 {
    return v128.load(changetype<usize>(this) + CPU_XMM);
  }
  /** Loads and stores through a pointer; bounce buffers are committed. */
  @inline vld(p: i64): v128 {
    return v128.load(<usize>p);
  }
  @inline vld64(p: i64): i64 {
    return load<i64>(<usize>p);
  }
  @inline vld32(p: i64): i64 {
    return <i64>load<u32>(<usize>p);
  }
  @inline vld16(p: i64): i64 {
    return <i64>load<u16>(<usize>p);
  }
  @inline vld8(p: i64): i64 {
    return <i64>load<u8>(<usize>p);
  }
  @inline vst(p: i64, w: v128): void {
    v128.store(<usize>p, w);
    this.vcommit(p);
  }
  @inline vst64(p: i64, v: i64): void {
    store<i64>(<usize>p, v);
    this.vcommit(p);
  }
  @inline vst32(p: i64, v: i64): void {
    store<u32>(<usize>p, <u32>v);
    this.vcommit(p);
  }
  @inline vst16(p: i64, v: i64): void {
    store<u16>(<usize>p, <u16>v);
    this.vcommit(p);
  }
  @inline vst8(p: i64, v: i64): void {
    store<u8>(<usize>p, <u8>v);
    this.vcommit(p);
  }
  @inline vcommit(p: i64): void {
    if (<usize>p < BOUNCE_LIMIT) commit_slow(changetype<Cpu>(this), <usize>p);
  }
  /** MASKMOVQ, MASKMOVDQU: store the `bytes` low bytes of w whose mask bit is set at DS:rDI. 1 = exception pending. */
  @inline vst_masked(u: usize, w: v128, mask: i64, bytes: i32): i32 {
    return masked_store(
      changetype<Cpu>(this),
      u,
      v128.extract_lane<i64>(w, 0),
      v128.extract_lane<i64>(w, 1),
      <u32>mask,
      bytes,
    );
  }

  // ---- whole vectors
  /** A vector from its halves. */
  @inline pair(lo: i64, hi: i64): v128 {
    return i64x2.replace_lane(i64x2.splat(lo), 1, hi);
  }
  @inline half(w: v128, i: i32): i64 {
    return i ? v128.extract_lane<i64>(w, 1) : v128.extract_lane<i64>(w, 0);
  }
  @inline v128_zero(): v128 {
    return i64x2.splat(0);
  }
  @inline v128_and(x: v128, y: v128): v128 {
    return v128.and(x, y);
  }
  @inline v128_or(x: v128, y: v128): v128 {
    return v128.or(x, y);
  }
  @inline v128_xor(x: v128, y: v128): v128 {
    return v128.xor(x, y);
  }
  /** x and not y. */
  @inline v128_andnot(x: v128, y: v128): v128 {
    return v128.andnot(x, y);
  }
  @inline v128_not(x: v128): v128 {
    return v128.not(x);
  }
  /** x where mask bits are 1, y elsewhere. */
  @inline v128_bitselect(x: v128, y: v128, mask: v128): v128 {
    return v128.bitselect(x, y, mask);
  }
  @inline v128_any_true(x: v128): i64 {
    return <i64>v128.any_true(x);
  }
  @inline i8x16_splat(x: i64): v128 {
    return i8x16.splat(<i8>x);
  }
  @inline i16x8_splat(x: i64): v128 {
    return i16x8.splat(<i16>x);
  }
  @inline i32x4_splat(x: i64): v128 {
    return i32x4.splat(<i32>x);
  }
  @inline i64x2_splat(x: i64): v128 {
    return i64x2.splat(x);
  }
  @inline i8x16_bitmask(x: v128): i64 {
    return <i64>i8x16.bitmask(x);
  }
  @inline i32x4_bitmask(x: v128): i64 {
    return <i64>i32x4.bitmask(x);
  }
  @inline i64x2_bitmask(x: v128): i64 {
    return <i64>i64x2.bitmask(x);
  }

  // ---- order of lanes
  /** Byte i of the result is byte y[i] of x, 0 if y[i] > 15. */
  @inline i8x16_swizzle(x: v128, y: v128): v128 {
    return i8x16.swizzle(x, y);
  }
  @inline unpack_lo8(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
  @inline unpack_hi8(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  @inline unpack_lo16(x: v128, y: v128): v128 {
    return i16x8.shuffle(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
  }
  @inline unpack_hi16(x: v128, y: v128): v128 {
    return i16x8.shuffle(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  @inline unpack_lo32(x: v128, y: v128): v128 {
    return i32x4.shuffle(x, y, 0, 4, 1, 5);
  }
  @inline unpack_hi32(x: v128, y: v128): v128 {
    return i32x4.shuffle(x, y, 2, 6, 3, 7);
  }
  @inline unpack_lo64(x: v128, y: v128): v128 {
    return i64x2.shuffle(x, y, 0, 2);
  }
  @inline unpack_hi64(x: v128, y: v128): v128 {
    return i64x2.shuffle(x, y, 1, 3);
  }
  /** The four words at p that the pairs of bits of imm choose. */
  @inline words(p: i64, imm: i64): i64 {
    const lo = word(p, imm, 0) | (word(p, imm, 1) << 16);
    return lo | (word(p, imm, 2) << 32) | (word(p, imm, 3) << 48);
  }
  /** Lanes that an immediate chooses: two dwords at p and two at q, a half of each, the words of one half. */
  @inline shuffle32(p: i64, q: i64, imm: i64): v128 {
    return this.pair(dword(p, imm, 0) | (dword(p, imm, 1) << 32), dword(q, imm, 2) | (dword(q, imm, 3) << 32));
  }
  @inline shuffle64(p: i64, q: i64, imm: i64): v128 {
    return this.pair(load<i64>(<usize>(p + ((imm & 1) << 3))), load<i64>(<usize>(q + ((imm & 2) << 2))));
  }
  @inline shuffle16(q: i64, imm: i64, high: bool): v128 {
    if (high) return this.pair(load<i64>(<usize>q), this.words(q + 8, imm));
    return this.pair(this.words(q, imm), load<i64>(<usize>q, 8));
  }
  /** The even and the odd lanes of x, then those of y. */
  @inline even16(x: v128, y: v128): v128 {
    return i16x8.shuffle(x, y, 0, 2, 4, 6, 8, 10, 12, 14);
  }
  @inline odd16(x: v128, y: v128): v128 {
    return i16x8.shuffle(x, y, 1, 3, 5, 7, 9, 11, 13, 15);
  }
  @inline even32(x: v128, y: v128): v128 {
    return i32x4.shuffle(x, y, 0, 2, 4, 6);
  }
  @inline odd32(x: v128, y: v128): v128 {
    return i32x4.shuffle(x, y, 1, 3, 5, 7);
  }

  // ---- integer lanes, named as in Wasm
  @inline i8x16_add(x: v128, y: v128): v128 {
    return i8x16.add(x, y);
  }
  @inline i16x8_add(x: v128, y: v128): v128 {
    return i16x8.add(x, y);
  }
  @inline i32x4_add(x: v128, y: v128): v128 {
    return i32x4.add(x, y);
  }
  @inline i64x2_add(x: v128, y: v128): v128 {
    return i64x2.add(x, y);
  }
  @inline i8x16_sub(x: v128, y: v128): v128 {
    return i8x16.sub(x, y);
  }
  @inline i16x8_sub(x: v128, y: v128): v128 {
    return i16x8.sub(x, y);
  }
  @inline i32x4_sub(x: v128, y: v128): v128 {
    return i32x4.sub(x, y);
  }
  @inline i64x2_sub(x: v128, y: v128): v128 {
    return i64x2.sub(x, y);
  }
  @inline i8x16_add_sat_s(x: v128, y: v128): v128 {
    return i8x16.add_sat_s(x, y);
  }
  @inline i8x16_add_sat_u(x: v128, y: v128): v128 {
    return i8x16.add_sat_u(x, y);
  }
  @inline i16x8_add_sat_s(x: v128, y: v128): v128 {
    return i16x8.add_sat_s(x, y);
  }
  @inline i16x8_add_sat_u(x: v128, y: v128): v128 {
    return i16x8.add_sat_u(x, y);
  }
  @inline i8x16_sub_sat_s(x: v128, y: v128): v128 {
    return i8x16.sub_sat_s(x, y);
  }
  @inline i8x16_sub_sat_u(x: v128, y: v128): v128 {
    return i8x16.sub_sat_u(x, y);
  }
  @inline i16x8_sub_sat_s(x: v128, y: v128): v128 {
    return i16x8.sub_sat_s(x, y);
  }
  @inline i16x8_sub_sat_u(x: v128, y: v128): v128 {
    return i16x8.sub_sat_u(x, y);
  }
  @inline i16x8_mul(x: v128, y: v128): v128 {
    return i16x8.mul(x, y);
  }
  @inline i32x4_mul(x: v128, y: v128): v128 {
    return i32x4.mul(x, y);
  }
  @inline i16x8_q15mulr_sat_s(x: v128, y: v128): v128 {
    return i16x8.q15mulr_sat_s(x, y);
  }
  @inline i32x4_dot_i16x8_s(x: v128, y: v128): v128 {
    return i32x4.dot_i16x8_s(x, y);
  }
  @inline i32x4_extmul_low_i16x8_s(x: v128, y: v128): v128 {
    return i32x4.extmul_low_i16x8_s(x, y);
  }
  @inline i32x4_extmul_high_i16x8_s(x: v128, y: v128): v128 {
    return i32x4.extmul_high_i16x8_s(x, y);
  }
  @inline i32x4_extmul_low_i16x8_u(x: v128, y: v128): v128 {
    return i32x4.extmul_low_i16x8_u(x, y);
  }
  @inline i32x4_extmul_high_i16x8_u(x: v128, y: v128): v128 {
    return i32x4.extmul_high_i16x8_u(x, y);
  }
  @inline i64x2_extmul_low_i32x4_s(x: v128, y: v128): v128 {
    return i64x2.extmul_low_i32x4_s(x, y);
  }
  @inline i64x2_extmul_low_i32x4_u(x: v128, y: v128): v128 {
    return i64x2.extmul_low_i32x4_u(x, y);
  }
  @inline i16x8_extadd_pairwise_i8x16_u(x: v128): v128 {
    return i16x8.extadd_pairwise_i8x16_u(x);
  }
  @inline i32x4_extadd_pairwise_i16x8_u(x: v128): v128 {
    return i32x4.extadd_pairwise_i16x8_u(x);
  }
  @inline i8x16_avgr_u(x: v128, y: v128): v128 {
    return i8x16.avgr_u(x, y);
  }
  @inline i16x8_avgr_u(x: v128, y: v128): v128 {
    return i16x8.avgr_u(x, y);
  }
  @inline i8x16_min_s(x: v128, y: v128): v128 {
    return i8x16.min_s(x, y);
  }
  @inline i8x16_min_u(x: v128, y: v128): v128 {
    return i8x16.min_u(x, y);
  }
  @inline i8x16_max_s(x: v128, y: v128): v128 {
    return i8x16.max_s(x, y);
  }
  @inline i8x16_max_u(x: v128, y: v128): v128 {
    return i8x16.max_u(x, y);
  }
  @inline i16x8_min_s(x: v128, y: v128): v128 {
    return i16x8.min_s(x, y);
  }
  @inline i16x8_min_u(x: v128, y: v128): v128 {
    return i16x8.min_u(x, y);
  }
  @inline i16x8_max_s(x: v128, y: v128): v128 {
    return i16x8.max_s(x, y);
  }
  @inline i16x8_max_u(x: v128, y: v128): v128 {
    return i16x8.max_u(x, y);
  }
  @inline i32x4_min_s(x: v128, y: v128): v128 {
    return i32x4.min_s(x, y);
  }
  @inline i32x4_min_u(x: v128, y: v128): v128 {
    return i32x4.min_u(x, y);
  }
  @inline i32x4_max_s(x: v128, y: v128): v128 {
    return i32x4.max_s(x, y);
  }
  @inline i32x4_max_u(x: v128, y: v128): v128 {
    return i32x4.max_u(x, y);
  }
  @inline i8x16_abs(x: v128): v128 {
    return i8x16.abs(x);
  }
  @inline i16x8_abs(x: v128): v128 {
    return i16x8.abs(x);
  }
  @inline i32x4_abs(x: v128): v128 {
    return i32x4.abs(x);
  }
  @inline i8x16_eq(x: v128, y: v128): v128 {
    return i8x16.eq(x, y);
  }
  @inline i16x8_eq(x: v128, y: v128): v128 {
    return i16x8.eq(x, y);
  }
  @inline i32x4_eq(x: v128, y: v128): v128 {
    return i32x4.eq(x, y);
  }
  @inline i64x2_eq(x: v128, y: v128): v128 {
    return i64x2.eq(x, y);
  }
  @inline i8x16_gt_s(x: v128, y: v128): v128 {
    return i8x16.gt_s(x, y);
  }
  @inline i16x8_gt_s(x: v128, y: v128): v128 {
    return i16x8.gt_s(x, y);
  }
  @inline i32x4_gt_s(x: v128, y: v128): v128 {
    return i32x4.gt_s(x, y);
  }
  @inline i64x2_gt_s(x: v128, y: v128): v128 {
    return i64x2.gt_s(x, y);
  }
  /** Shifts; the count is taken modulo the lane's width. */
  @inline i16x8_shl(x: v128, n: i64): v128 {
    return i16x8.shl(x, <i32>n);
  }
  @inline i32x4_shl(x: v128, n: i64): v128 {
    return i32x4.shl(x, <i32>n);
  }
  @inline i64x2_shl(x: v128, n: i64): v128 {
    return i64x2.shl(x, <i32>n);
  }
  @inline i16x8_shr_u(x: v128, n: i64): v128 {
    return i16x8.shr_u(x, <i32>n);
  }
  @inline i32x4_shr_u(x: v128, n: i64): v128 {
    return i32x4.shr_u(x, <i32>n);
  }
  @inline i64x2_shr_u(x: v128, n: i64): v128 {
    return i64x2.shr_u(x, <i32>n);
  }
  @inline i8x16_shr_s(x: v128, n: i64): v128 {
    return i8x16.shr_s(x, <i32>n);
  }
  @inline i16x8_shr_s(x: v128, n: i64): v128 {
    return i16x8.shr_s(x, <i32>n);
  }
  @inline i32x4_shr_s(x: v128, n: i64): v128 {
    return i32x4.shr_s(x, <i32>n);
  }
  @inline i64x2_shr_s(x: v128, n: i64): v128 {
    return i64x2.shr_s(x, <i32>n);
  }
  /** Narrowing with saturation of x's lanes, then y's; the inputs count as signed. */
  @inline i8x16_narrow_i16x8_s(x: v128, y: v128): v128 {
    return i8x16.narrow_i16x8_s(x, y);
  }
  @inline i8x16_narrow_i16x8_u(x: v128, y: v128): v128 {
    return i8x16.narrow_i16x8_u(x, y);
  }
  @inline i16x8_narrow_i32x4_s(x: v128, y: v128): v128 {
    return i16x8.narrow_i32x4_s(x, y);
  }
  @inline i16x8_narrow_i32x4_u(x: v128, y: v128): v128 {
    return i16x8.narrow_i32x4_u(x, y);
  }
  @inline i16x8_extend_low_i8x16_s(x: v128): v128 {
    return i16x8.extend_low_i8x16_s(x);
  }
  @inline i16x8_extend_low_i8x16_u(x: v128): v128 {
    return i16x8.extend_low_i8x16_u(x);
  }
  @inline i32x4_extend_low_i16x8_s(x: v128): v128 {
    return i32x4.extend_low_i16x8_s(x);
  }
  @inline i32x4_extend_low_i16x8_u(x: v128): v128 {
    return i32x4.extend_low_i16x8_u(x);
  }
  @inline i64x2_extend_low_i32x4_s(x: v128): v128 {
    return i64x2.extend_low_i32x4_s(x);
  }
  @inline i64x2_extend_low_i32x4_u(x: v128): v128 {
    return i64x2.extend_low_i32x4_u(x);
  }
}

/** The lane at p that bits 2i and 2i+1 of imm choose. */
@inline function dword(p: i64, imm: i64, i: i64): i64 {
  return <i64>load<u32>(<usize>p + (((<usize>(imm >> (2 * i))) & 3) << 2));
}
@inline function word(p: i64, imm: i64, i: i64): i64 {
  return <i64>load<u16>(<usize>p + (((<usize>(imm >> (2 * i))) & 3) << 1));
}

// ---- memory operands

/** Host pointer of a memory operand; 0 = exception pending. */
export function vector_memory(cpu: Cpu, u: usize, bytes: i32, write: bool): usize {
  const va = ea_slow(cpu, u, bytes, write);
  return write ? write_ptr(cpu, va, bytes) : read_ptr(cpu, va, bytes);
}

/** The same for one that must be 16-byte aligned, which is checked before the page tables are asked (SDM vol. 1, 11.4.1.1). */
export function vector_aligned(cpu: Cpu, u: usize, bytes: i32, write: bool): usize {
  const va = ea_slow(cpu, u, bytes, write);
  if (va & 15 && !violated(cpu, va)) {
    raise(cpu, EXC_GP, 0);
    return 0;
  }
  return write ? write_ptr(cpu, va, bytes) : read_ptr(cpu, va, bytes);
}

function masked_store(cpu: Cpu, u: usize, lo: i64, hi: i64, mask: u32, bytes: i32): i32 {
  const va = linear(cpu, u, cpu.rdi & address_width_mask(u), bytes, true);
  if (mask == 0 && canonical(va)) return 0;
  // Whether bytes that are not stored can fault is up to the processor (SDM vol. 2, MASKMOVDQU).
  if (!probe_range(cpu, va, bytes, true, bytes)) return 1;
  for (let i = 0; i < bytes; i++) {
    if ((mask >>> i) & 1) st<u8>(cpu, va + i, <u8>((i < 8 ? lo : hi) >> ((<i64>(i & 7)) << 3)));
  }
  return 0;
}

// ---- MMX: MMi is the significand of physical x87 register i (SDM vol. 1, 9.2 and 9.5)

/** Summary bit of the x87 status word: an unmasked exception waits for the next x87 or MMX instruction. */
const FSW_ES: u32 = 0x80;
const FSW_TOP: u32 = 0x3800;

/** Is no x87 exception pending? If one is, raise it. */
export function mmx_ready(cpu: Cpu): bool {
  if (!(load<u16>(changetype<usize>(cpu), CPU_FSW) & FSW_ES)) return true;
  raise(cpu, EXC_MF, 0);
  return false;
}

/** Host address of the register at slot `o`; 0 = an x87 exception was pending. */
function mmx_register(cpu: Cpu, o: u32): usize {
  return mmx_ready(cpu) ? changetype<usize>(cpu) + CPU_FPR + o : 0;
}

function mmx_operand(cpu: Cpu, u: usize, bytes: i32, write: bool): usize {
  if (!mmx_ready(cpu)) return 0;
  if (uop_m(u) & UOP_MEM) return vector_memory(cpu, u, bytes, write);
  return changetype<usize>(cpu) + CPU_FPR + uop_b(u);
}

@inline function mmx_slot<K>(cpu: usize, u: usize): usize {
  return cpu + CPU_FPR + (isPg<K>() ? uop_r(u) : uop_b(u));
}

/** An MMX instruction was executed: TOP = 0, all registers valid. */
export function mmx_enter(cpu: Cpu): void {
  const c = changetype<usize>(cpu);
  store<u16>(c, load<u16>(c, CPU_FSW) & ~FSW_TOP, CPU_FSW);
  store<u8>(c, 0xff, CPU_FTW);
}

/** Write an MMX register at its host address: sign and exponent become all ones. */
export function mmx_put(cpu: Cpu, p: usize, v: i64): void {
  store<i64>(p, v);
  store<u16>(p, 0xffff, 8);
  mmx_enter(cpu);
}
