// Entry of the module that softfloat.test.ts compiles: one operation a call, operands as bits.
import * as sf from './softfloat';
import { sf_2xm1, sf_atan, sf_cos, sf_sin, sf_tan, sf_yl2x, sf_yl2xp1 } from './transcendental';

let out_hi: u32 = 0;

function unpack2<T>(a: u64, b: u64): void {
  sf.unpack_a<T>(b);
  sf.a_to_b();
  sf.unpack_a<T>(a);
}

function binary(op: i32): void {
  switch (op) {
    case 0:
      return sf.sf_add(0);
    case 1:
      return sf.sf_add(1);
    case 2:
      return sf.sf_mul();
    case 3:
      return sf.sf_div();
    case 4:
      return sf.sf_sqrt();
    case 5:
      return sf.sf_convert(false);
    default:
      return sf.sf_round_int(sf.sf_rc);
  }
}

/** 0 add, 1 sub, 2 mul, 3 div, 4 sqrt, 5 convert, 6 round to integral; the result as f64, or as f32 with `narrow`. */
export function op64(mxcsr: u32, op: i32, a: u64, b: u64, narrow: bool): u64 {
  sf.sf_sse(mxcsr);
  unpack2<f64>(a, b);
  binary(op);
  return narrow ? sf.pack<f32>() : sf.pack<f64>();
}
export function op32(mxcsr: u32, op: i32, a: u64, b: u64, wide: bool): u64 {
  sf.sf_sse(mxcsr);
  unpack2<f32>(a, b);
  binary(op);
  return wide ? sf.pack<f64>() : sf.pack<f32>();
}
export function op80(fcw: u32, op: i32, am: u64, ae: u32, bm: u64, be: u32): u64 {
  if (op > 4) sf.sf_x87_full(fcw);
  else sf.sf_x87(fcw);
  sf.unpack_a80(bm, be);
  sf.a_to_b();
  sf.unpack_a80(am, ae);
  binary(op);
  const m = sf.pack80();
  out_hi = sf.f80_se;
  return m;
}
function transcendental(op: i32): void {
  switch (op) {
    case 0:
      return sf_2xm1();
    case 1:
      return sf_yl2x();
    case 2:
      return sf_yl2xp1();
    case 3:
      return sf_tan();
    case 4:
      return sf_atan();
    case 5:
      return sf_sin();
    default:
      return sf_cos();
  }
}
/** 0 2^a - 1, 1 b log2 a, 2 b log2 (a + 1), 3 tan, 4 arctan b/a, 5 sin, 6 cos. */
export function transcendental80(fcw: u32, op: i32, am: u64, ae: u32, bm: u64, be: u32): u64 {
  sf.sf_x87_full(fcw);
  sf.unpack_a80(bm, be);
  sf.a_to_b();
  sf.unpack_a80(am, ae);
  transcendental(op);
  const m = sf.pack80();
  out_hi = sf.f80_se;
  return m;
}
/** f80 stored as f32 or f64. */
export function store80(fcw: u32, m: u64, se: u32, narrow: bool): u64 {
  sf.sf_x87_full(fcw);
  sf.unpack_a80(m, se);
  sf.sf_convert(true);
  return narrow ? sf.pack<f32>() : sf.pack<f64>();
}
/** Bits of the f80 result's sign and exponent. */
export function hi(): u32 {
  return out_hi;
}
export function cmp64(mxcsr: u32, a: u64, b: u64, quiet: bool): i32 {
  sf.sf_sse(mxcsr);
  unpack2<f64>(a, b);
  return sf.sf_compare(quiet);
}
export function to_int64(mxcsr: u32, a: u64, bits: u32, rc: u32): i64 {
  sf.sf_sse(mxcsr);
  sf.unpack_a<f64>(a);
  return sf.sf_to_int(bits, rc);
}
export function to_int80(fcw: u32, m: u64, se: u32, bits: u32, rc: u32): i64 {
  sf.sf_x87(fcw);
  sf.unpack_a80(m, se);
  return sf.sf_to_int(bits, rc);
}
export function from_int(mxcsr: u32, v: i64, narrow: bool): u64 {
  sf.sf_sse(mxcsr);
  sf.unpack_a_int(v);
  sf.a_to_r();
  return narrow ? sf.pack<f32>() : sf.pack<f64>();
}
export function flags(): u32 {
  return sf.sf_result_flags();
}
export function rounded_up(): bool {
  return sf.sf_up;
}
