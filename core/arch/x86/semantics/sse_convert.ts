// SSE conversions between integers and floating point, and between formats (SDM vol. 2). Rows: spec/x86/sse.ts.
import { isMmx } from '../../../engine/eval_vector';
import { Xe } from '../../../engine/operand';

/** A result over the destination register, unless an unmasked exception forbids it. */
@inline function finish<B, V, W, D>(b: B, u: usize, r: W): i32 {
  if (b.ffault()) return 1;
  return b.vput<D>(u, r);
}

// ---- general registers. T: the integer's type
@inline function from_general<B, V, W, T, D, S, F>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  return finish<B, V, W, D>(b, u, b.ffrom_int<F>(b.sx<T>(b.rd<T, S>(u, q)), b.vreg<D>(u)));
}
@inline function to_general<B, V, W, T, D, S, F>(b: B, u: usize, truncate: bool): i32 {
  const q = b.vat<S>(u, sizeof<F>(), false);
  if (b.bad(q)) return 1;
  const r = b.fto_int<F, T>(truncate, sizeof<F>() == 4 ? b.vld32(q) : b.vld64(q));
  if (b.ffault()) return 1;
  b.wr<T, D>(u, b.k(1), r);
  return 0;
}
@inline export function CVTSI2SS<B, V, W, T, D, S>(b: B, u: usize): i32 {
  return from_general<B, V, W, T, D, S, f32>(b, u);
}
@inline export function CVTSI2SD<B, V, W, T, D, S>(b: B, u: usize): i32 {
  return from_general<B, V, W, T, D, S, f64>(b, u);
}
@inline export function CVTSS2SI<B, V, W, T, D, S>(b: B, u: usize): i32 {
  return to_general<B, V, W, T, D, S, f32>(b, u, false);
}
@inline export function CVTSD2SI<B, V, W, T, D, S>(b: B, u: usize): i32 {
  return to_general<B, V, W, T, D, S, f64>(b, u, false);
}
@inline export function CVTTSS2SI<B, V, W, T, D, S>(b: B, u: usize): i32 {
  return to_general<B, V, W, T, D, S, f32>(b, u, true);
}
@inline export function CVTTSD2SI<B, V, W, T, D, S>(b: B, u: usize): i32 {
  return to_general<B, V, W, T, D, S, f64>(b, u, true);
}

// ---- formats
@inline function formats<B, V, W, D, S, T, U>(b: B, u: usize, n: i32, keep: bool): i32 {
  const q = b.vat<S>(u, n * sizeof<T>(), false);
  if (b.bad(q)) return 1;
  const bytes = n * sizeof<T>();
  const y = bytes == 16 ? b.vld(q) : b.pair(bytes == 8 ? b.vld64(q) : b.vld32(q), b.k(0));
  return finish<B, V, W, D>(b, u, b.fconvert<T, U>(n, keep ? b.vreg<D>(u) : b.v128_zero(), y));
}
@inline export function CVTSS2SD<B, V, W, D, S>(b: B, u: usize): i32 {
  return formats<B, V, W, D, S, f32, f64>(b, u, 1, true);
}
@inline export function CVTSD2SS<B, V, W, D, S>(b: B, u: usize): i32 {
  return formats<B, V, W, D, S, f64, f32>(b, u, 1, true);
}
@inline export function CVTPS2PD<B, V, W, D, S>(b: B, u: usize): i32 {
  return formats<B, V, W, D, S, f32, f64>(b, u, 2, false);
}
@inline export function CVTPD2PS<B, V, W, D, S>(b: B, u: usize): i32 {
  return formats<B, V, W, D, S, f64, f32>(b, u, 2, false);
}

// ---- packed integers
@inline function from_packed<B, V, W, D, S, F>(b: B, u: usize, n: i32, keep: bool): i32 {
  // an MMX register asks for pending x87 exceptions and takes the x87 registers over; memory does neither
  const q = b.vinreg<S>(u)
    ? b.vat<S>(u, n * 4, false)
    : isMmx<S>()
      ? b.vat<Xe>(u, 8, false)
      : b.vat<S>(u, n * 4, false);
  if (b.bad(q)) return 1;
  if (b.vinreg<S>(u)) b.vused<S>();
  const y = n == 4 ? b.vld(q) : b.pair(b.vld64(q), b.k(0));
  return finish<B, V, W, D>(b, u, b.ffrom_int32<F>(n, keep ? b.vreg<D>(u) : b.v128_zero(), y));
}
/** An MMX destination asks for pending x87 exceptions first, and takes the x87 registers over whatever the conversion raises. */
@inline function to_packed<B, V, W, D, S, F>(b: B, u: usize, n: i32, truncate: bool): i32 {
  if (isMmx<D>() && b.bad(b.vat<D>(u, 8, true))) return 1;
  const q = b.vat<S>(u, n * sizeof<F>(), false);
  if (b.bad(q)) return 1;
  b.vused<D>();
  const y = n * sizeof<F>() == 16 ? b.vld(q) : b.pair(b.vld64(q), b.k(0));
  return finish<B, V, W, D>(b, u, b.fto_int32<F>(n, truncate, y));
}
@inline export function CVTDQ2PS<B, V, W, D, S>(b: B, u: usize): i32 {
  return from_packed<B, V, W, D, S, f32>(b, u, 4, false);
}
@inline export function CVTDQ2PD<B, V, W, D, S>(b: B, u: usize): i32 {
  return from_packed<B, V, W, D, S, f64>(b, u, 2, false);
}
@inline export function CVTPI2PS<B, V, W, D, S>(b: B, u: usize): i32 {
  return from_packed<B, V, W, D, S, f32>(b, u, 2, true);
}
@inline export function CVTPI2PD<B, V, W, D, S>(b: B, u: usize): i32 {
  return from_packed<B, V, W, D, S, f64>(b, u, 2, false);
}
@inline export function CVTPS2DQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f32>(b, u, 4, false);
}
@inline export function CVTTPS2DQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f32>(b, u, 4, true);
}
@inline export function CVTPD2DQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f64>(b, u, 2, false);
}
@inline export function CVTTPD2DQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f64>(b, u, 2, true);
}
@inline export function CVTPS2PI<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f32>(b, u, 2, false);
}
@inline export function CVTTPS2PI<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f32>(b, u, 2, true);
}
@inline export function CVTPD2PI<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f64>(b, u, 2, false);
}
@inline export function CVTTPD2PI<B, V, W, D, S>(b: B, u: usize): i32 {
  return to_packed<B, V, W, D, S, f64>(b, u, 2, true);
}
