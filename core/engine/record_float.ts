// The recording builder's floating point: native operations, and an ESCAPE where one could raise more than an exception that is reported and masked
// already. docs/design/ir.md, "Floating point", says when that is; what the interpreter takes natively is at the head of arch/x86/fpu/sse.ts.
import { CPU_MXCSR } from '../arch/x86/cpu';
import { ADD, ADDSUB, DIV, FAST, FAST_MASK, MAX, MIN, MUL, SQRT, SUB } from '../arch/x86/fpu/sse';
import {
  CHECK_NOT_SUBNORMAL,
  CHECK_ORDINARY,
  CHECK_SETTLED,
  IR_FCHECK,
  IR_FLANE,
  IR_FLANE_I64,
  IR_I64_FLANE,
  IR_SX,
  IR_V128,
  IR_VCONST,
  Node,
  node,
  ref,
} from './ir';
import { NONE, is_value_any } from './record_base';
import { RecordState } from './record_state';

// Opcodes. Operations are told by their distance from the scalar abs: sqrt 6, add 7, sub 8, mul 9, div 10.
const F32_LANE: u32 = 0x8b;
const F64_LANE: u32 = 0x99;
const F32X4: u32 = 221;
const F64X2: u32 = 233;
const F32X4_ABS: u32 = 224;
const F64X2_ABS: u32 = 236;

@inline function is_f32<T>(): bool {
  return sizeof<T>() == 4;
}
@inline function lanes<T>(scalar: bool): u32 {
  return scalar ? 1 : is_f32<T>() ? 15 : 3;
}
/** Lanes of T as bits of Node.known. */
@inline function known_bits<T>(lanes: u32): u8 {
  return <u8>(is_f32<T>() ? lanes << 2 : lanes);
}
@inline function packed_opcode<T>(op: u32): u32 {
  return (is_f32<T>() ? F32X4 : F64X2) + op;
}
function mark(n: Node, bits: u8): void {
  if (changetype<usize>(n)) n.known |= bits;
}

@unmanaged
export class RecordFloat extends RecordState {
  // ---- what may be computed natively
  /** Not zero if an inexact result would show in MXCSR, or be rounded otherwise than to nearest. */
  environment(): Node {
    if (this.float_checked) return NONE();
    this.float_checked = true;
    return this.xor(this.and(this.state<u32>(<u32>CPU_MXCSR), this.k(FAST_MASK)), this.k(FAST));
  }
  /** Not zero if lanes of x break the rule, NONE if it is known that they do not. */
  check<T>(x: Node, which: u32, rule: i64, b: Node, c: Node): Node {
    const missing = rule == CHECK_SETTLED ? which : which & ~(is_f32<T>() ? x.known >> 2 : x.known);
    if (missing == 0) return NONE();
    const n = this.emit(IR_FCHECK, <u8>sizeof<T>(), ref(x), ref(b), ref(c));
    n.k = (<i64>missing) | rule;
    return n;
  }
  /** Operands of a comparison and the like: zero or normal. */
  ordinary<T>(x: Node, which: u32): Node {
    return this.check<T>(x, which, CHECK_ORDINARY, NONE(), NONE());
  }
  also(c: Node, d: Node): Node {
    if (changetype<usize>(c) == 0) return d;
    return changetype<usize>(d) == 0 ? c : this.or(c, d);
  }
  /** Escape if c ≠ 0; behind it lanes of x and y are known to be ordinary. */
  settle<T>(c: Node, which: u32, x: Node, y: Node): void {
    this.escape(c);
    mark(x, known_bits<T>(which));
    mark(y, known_bits<T>(which));
  }
  ffault(): bool {
    return this.recording_ended();
  }

  // ---- lane 0
  /** A vector with the same lane 0 as y, of which more may be known. */
  lane0<T>(y: Node): Node {
    let x = y;
    while (x.op == IR_V128 && <u32>x.k == 78 && node(x.b).op == IR_VCONST) {
      const m = node(x.b).k;
      if (m != -1 && !(is_f32<T>() && (m & 0xffffffff) == 0xffffffff)) break;
      x = node(x.a);
    }
    return x;
  }
  /** x with lane 0 replaced: opcode `op` past the type's abs on lanes 0 of x and y. */
  flane<T>(op: u32, x: Node, y: Node): Node {
    return this.flane_of((is_f32<T>() ? F32_LANE : F64_LANE) + op, x, y, <u32>sizeof<T>());
  }
  flane_of(k: u32, x: Node, y: Node, size: u32): Node {
    const n = this.emit(IR_FLANE, 0, ref(x), ref(y), 0);
    n.k = <i64>k;
    n.known = x.known & (size == 4 ? 0x3a : 0x32);
    return n;
  }
  /** A comparison, or a conversion, of lanes 0. */
  lane_int(k: u32, x: Node, y: Node): Node {
    const n = this.emit(IR_I64_FLANE, 0, ref(x), ref(y), 0);
    n.k = <i64>k;
    return n;
  }
  /** Lane 0 of r over x. */
  over<T>(x: Node, r: Node, scalar: bool): Node {
    if (!scalar) return r;
    const low: i64 = is_f32<T>() ? 0x0706050413121110 : 0x1716151413121110;
    return this.shuffle(x, r, low, 0x0f0e0d0c0b0a0908);
  }

  // ---- arithmetic
  farith<T>(op: i32, scalar: bool, x: Node, z: Node): Node {
    const which = lanes<T>(scalar);
    const y = scalar ? this.lane0<T>(z) : z;
    if (op == MIN || op == MAX) return this.pick<T>(op, scalar, x, y);
    let c = this.environment();
    // a NaN or an infinity shows in the result, but for x / ∞
    if (op != SQRT) c = this.also(c, this.check<T>(x, which, CHECK_NOT_SUBNORMAL, NONE(), NONE()));
    c = this.also(c, this.check<T>(y, which, op == DIV ? CHECK_ORDINARY : CHECK_NOT_SUBNORMAL, NONE(), NONE()));
    const r = scalar ? this.flane<T>(native(op), x, y) : this.packed<T>(op, x, y);
    c = this.also(c, this.settled<T>(op, r, which, x, y));
    this.settle<T>(c, which, op == SQRT ? r : x, y);
    mark(r, known_bits<T>(which));
    return r;
  }
  /** Is the result right, flags included? A sum that is zero is exact, another result if an operand is zero. */
  settled<T>(op: i32, r: Node, which: u32, x: Node, y: Node): Node {
    const b = op == MUL || op == DIV ? x : NONE();
    return this.check<T>(r, which, CHECK_SETTLED, b, op == MUL ? y : NONE());
  }
  packed<T>(op: i32, x: Node, y: Node): Node {
    if (op == SQRT) return this.v1(packed_opcode<T>(native(SQRT)), y);
    if (op != ADDSUB) return this.v2(packed_opcode<T>(native(op)), x, y);
    const even = this.v2(packed_opcode<T>(native(SUB)), x, y);
    const odd = this.v2(packed_opcode<T>(native(ADD)), x, y);
    return is_f32<T>()
      ? this.shuffle(even, odd, 0x1716151403020100, 0x1f1e1d1c0b0a0908)
      : this.shuffle(even, odd, 0x0706050403020100, 0x1f1e1d1c1b1a1918);
  }
  /** MIN and MAX: of equal operands (±0) the second. */
  pick<T>(op: i32, scalar: bool, x: Node, y: Node): Node {
    const which = lanes<T>(scalar);
    this.settle<T>(this.also(this.ordinary<T>(x, which), this.ordinary<T>(y, which)), which, x, y);
    const r = this.v2((op == MIN ? 234 : 235) + (is_f32<T>() ? 0 : 12), y, x);
    mark(r, known_bits<T>(which));
    return this.over<T>(x, r, scalar);
  }
  freciprocal(root: bool, scalar: bool, x: Node, y: Node): Node {
    return this.leave();
  }
  fdot<T>(imm: Node, x: Node, y: Node): Node {
    return this.leave();
  }

  // ---- comparisons
  fcompare<T>(predicate: Node, scalar: bool, x: Node, z: Node): Node {
    if (!is_value_any(predicate)) return this.leave();
    const which = lanes<T>(scalar);
    const y = scalar ? this.lane0<T>(z) : z;
    this.settle<T>(this.also(this.ordinary<T>(x, which), this.ordinary<T>(y, which)), which, x, y);
    const p = (<u32>predicate.k) & 3;
    const step: u32 = is_f32<T>() ? 0 : 6;
    // EQ, LT, LE, UNORD
    const r = p == 3 ? this.v128_zero() : this.v2((p == 0 ? 65 : p == 1 ? 67 : 69) + step, x, y);
    return this.over<T>(x, predicate.k & 4 ? this.v1(77, r) : r, scalar);
  }
  /** As set_flags6: below CF, equal ZF, above none. */
  fcomi<T>(quiet: bool, x: Node, z: Node): void {
    const y = this.lane0<T>(z);
    this.settle<T>(this.also(this.ordinary<T>(x, 1), this.ordinary<T>(y, 1)), 1, x, y);
    const less = this.lane_int(is_f32<T>() ? 0x5d : 0x63, x, y);
    const equal = this.lane_int(is_f32<T>() ? 0x5b : 0x61, x, y);
    const carry = this.or(this.shl(less, this.k(63)), this.shl(less, this.k(62)));
    this.set_lfr(this.xor(equal, this.k(1)));
    this.set_lfc(this.or(carry, this.shl(equal, this.k(8))));
  }

  // ---- rounding to integral values; nothing is tiny, denormal operands are not reported
  fround<T>(imm: Node, scalar: bool, x: Node, z: Node): Node {
    if (!is_value_any(imm)) return this.leave();
    const which = lanes<T>(scalar);
    const y = scalar ? this.lane0<T>(z) : z;
    const by_mxcsr = (imm.k & 4) != 0;
    let c = by_mxcsr || !(imm.k & 8) ? this.environment() : NONE();
    c = this.also(c, this.ordinary<T>(y, which));
    this.settle<T>(c, which, y, NONE());
    const rc = by_mxcsr ? 0 : (<u32>imm.k) & 3;
    const r = scalar ? this.flane<T>(ROUND_LANE(rc), x, y) : this.v1(ROUND<T>(rc), y);
    mark(r, known_bits<T>(which));
    return r;
  }

  // ---- conversions
  fconvert<T, U>(n: i32, x: Node, z: Node): Node {
    const which: u32 = n == 1 ? 1 : 3;
    const y = n == 1 ? this.lane0<T>(z) : z;
    const wider = is_f32<T>();
    let c = wider ? NONE() : this.environment();
    c = this.also(c, this.ordinary<T>(y, which));
    const r = n == 1 ? this.flane_of(wider ? 0xbb : 0xb6, x, y, <u32>sizeof<U>()) : this.v1(wider ? 95 : 94, y);
    if (!wider) c = this.also(c, this.lost(y, r, which));
    this.settle<T>(c, which, y, NONE());
    mark(r, known_bits<U>(which));
    return r;
  }
  /** Is an f32 lane of r too small, or zero while that of y is not? */
  lost(y: Node, r: Node, which: u32): Node {
    const zero = this.v128_zero();
    const flushed = this.v128_andnot(this.v2(71, this.v1(95, r), zero), this.v2(71, y, zero));
    const bits = this.and(this.i64x2_bitmask(flushed), this.k(which));
    return this.or(this.check<f32>(r, which, CHECK_SETTLED, NONE(), NONE()), bits);
  }
  ffrom_int32<T>(n: i32, x: Node, y: Node): Node {
    if (is_f32<T>()) this.escape(this.environment());
    const r = this.v1(is_f32<T>() ? 250 : 254, y);
    mark(r, known_bits<T>(lanes<T>(false)));
    return r;
  }
  fto_int32<T>(n: i32, truncate: bool, y: Node): Node {
    const bound = is_f32<T>() ? this.i32x4_splat(this.k(0x4f000000)) : this.i64x2_splat(this.k(0x41dfffffffc00000));
    const small = this.v2(is_f32<T>() ? 67 : 73, this.v1(is_f32<T>() ? F32X4_ABS : F64X2_ABS, y), bound);
    const large = is_f32<T>() ? this.i32x4_bitmask(this.v1(77, small)) : this.i64x2_bitmask(this.v1(77, small));
    this.escape(this.also(this.environment(), large));
    return this.v1(is_f32<T>() ? 248 : 252, truncate ? y : this.v1(ROUND<T>(0), y));
  }
  /** Magnitudes from 2^31 or 2^63 on escape; for f64 and 32 bits 2^31 - 1, which nothing that is less rounds beyond. */
  fto_int<T, I>(truncate: bool, v: Node): Node {
    const y = this.lane0<T>(this.pair(v, this.k(0)));
    const wide = sizeof<I>() == 8;
    const f = is_f32<T>();
    const bound: i64 = f ? (wide ? 0x5f000000 : 0x4f000000) : wide ? 0x43e0000000000000 : 0x41dfffffffc00000;
    const sign: i64 = f ? 0x80000000 : i64.MIN_VALUE;
    const less = f ? 0x5d : 0x63;
    const fits = this.and(this.lane_int(less, y, this.vk(bound, 0)), this.lane_int(less, this.vk(bound | sign, 0), y));
    this.escape(this.also(this.environment(), this.xor(fits, this.k(1))));
    return this.lane_int(f ? 0xfc04 : 0xfc06, y, truncate ? y : this.flane<T>(ROUND_LANE(0), y, y));
  }
  ffrom_int<T>(v: Node, x: Node): Node {
    // an f64 holds any i32
    if (is_f32<T>() || !(v.op == IR_SX && v.size <= 4)) this.escape(this.environment());
    const n = this.emit(IR_FLANE_I64, 0, ref(x), ref(v), 0);
    n.k = is_f32<T>() ? 0xb4 : 0xb9;
    n.known = x.known | known_bits<T>(1);
    if (is_f32<T>()) n.known &= 0x3e;
    else n.known &= 0x33;
    return n;
  }
}

/** Distance of an operation's opcode from the scalar abs. */
function native(op: i32): u32 {
  switch (op) {
    case ADD:
      return 7;
    case SUB:
      return 8;
    case MUL:
      return 9;
    case DIV:
      return 10;
    default:
      return 6; // SQRT
  }
}
/** Vector and scalar opcodes (past abs) of rounding by MXCSR's RC: nearest, down, up, to zero. */
@inline function ROUND<T>(rc: u32): u32 {
  if (is_f32<T>()) return rc == 0 ? 106 : rc == 1 ? 104 : rc == 2 ? 103 : 105;
  return rc == 0 ? 148 : rc == 1 ? 117 : rc == 2 ? 116 : 122;
}
@inline function ROUND_LANE(rc: u32): u32 {
  return rc == 0 ? 5 : rc == 1 ? 3 : rc == 2 ? 2 : 4;
}
