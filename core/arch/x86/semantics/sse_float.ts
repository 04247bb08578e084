// SSE floating-point arithmetic and comparison (SDM vol. 2). Rows: spec/x86/sse.ts. An unmasked exception leaves the destination as it was.
import { ADD, ADDSUB, DIV, MAX, MIN, MUL, SQRT, SUB } from '../fpu/sse';

/** The source of a scalar operation in lane 0, or a whole vector; bad pointers have been left. */
@inline function source<B, V, W, T>(b: B, q: V, scalar: bool): W {
  if (!scalar) return b.vld(q);
  return b.pair(sizeof<T>() == 4 ? b.vld32(q) : b.vld64(q), b.k(0));
}

@inline function arith<B, V, W, D, S, T>(b: B, u: usize, op: i32, scalar: bool): i32 {
  const q = b.vat<S>(u, scalar ? sizeof<T>() : 16, false);
  if (b.bad(q)) return 1;
  const r = b.farith<T>(op, scalar, b.vreg<D>(u), source<B, V, W, T>(b, q, scalar));
  if (b.ffault()) return 1;
  return b.vput<D>(u, r);
}
@inline export function ADDPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, ADD, false);
}
@inline export function ADDPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, ADD, false);
}
@inline export function ADDSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, ADD, true);
}
@inline export function ADDSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, ADD, true);
}
@inline export function SUBPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, SUB, false);
}
@inline export function SUBPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, SUB, false);
}
@inline export function SUBSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, SUB, true);
}
@inline export function SUBSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, SUB, true);
}
@inline export function MULPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, MUL, false);
}
@inline export function MULPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, MUL, false);
}
@inline export function MULSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, MUL, true);
}
@inline export function MULSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, MUL, true);
}
@inline export function DIVPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, DIV, false);
}
@inline export function DIVPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, DIV, false);
}
@inline export function DIVSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, DIV, true);
}
@inline export function DIVSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, DIV, true);
}
@inline export function SQRTPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, SQRT, false);
}
@inline export function SQRTPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, SQRT, false);
}
@inline export function SQRTSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, SQRT, true);
}
@inline export function SQRTSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, SQRT, true);
}
@inline export function MINPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, MIN, false);
}
@inline export function MINPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, MIN, false);
}
@inline export function MINSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, MIN, true);
}
@inline export function MINSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, MIN, true);
}
@inline export function MAXPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, MAX, false);
}
@inline export function MAXPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, MAX, false);
}
@inline export function MAXSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, MAX, true);
}
@inline export function MAXSD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, MAX, true);
}
@inline export function ADDSUBPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f32>(b, u, ADDSUB, false);
}
@inline export function ADDSUBPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return arith<B, V, W, D, S, f64>(b, u, ADDSUB, false);
}

/** Neighbouring lanes of D, then of S. */
@inline function horizontal<B, V, W, D, S, T>(b: B, u: usize, op: i32): i32 {
  const q = b.vat<S>(u, 16, false);
  if (b.bad(q)) return 1;
  const x = b.vreg<D>(u);
  const y = b.vld(q);
  const even = sizeof<T>() == 4 ? b.even32(x, y) : b.unpack_lo64(x, y);
  const odd = sizeof<T>() == 4 ? b.odd32(x, y) : b.unpack_hi64(x, y);
  const r = b.farith<T>(op, false, even, odd);
  if (b.ffault()) return 1;
  return b.vput<D>(u, r);
}
@inline export function HADDPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return horizontal<B, V, W, D, S, f32>(b, u, ADD);
}
@inline export function HADDPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return horizontal<B, V, W, D, S, f64>(b, u, ADD);
}
@inline export function HSUBPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return horizontal<B, V, W, D, S, f32>(b, u, SUB);
}
@inline export function HSUBPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return horizontal<B, V, W, D, S, f64>(b, u, SUB);
}

@inline function approximation<B, V, W, D, S>(b: B, u: usize, root: bool, scalar: bool): i32 {
  const q = b.vat<S>(u, scalar ? 4 : 16, false);
  if (b.bad(q)) return 1;
  return b.vput<D>(u, b.freciprocal(root, scalar, b.vreg<D>(u), source<B, V, W, f32>(b, q, scalar)));
}
@inline export function RCPPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return approximation<B, V, W, D, S>(b, u, false, false);
}
@inline export function RCPSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return approximation<B, V, W, D, S>(b, u, false, true);
}
@inline export function RSQRTPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return approximation<B, V, W, D, S>(b, u, true, false);
}
@inline export function RSQRTSS<B, V, W, D, S>(b: B, u: usize): i32 {
  return approximation<B, V, W, D, S>(b, u, true, true);
}

@inline function comi<B, V, W, D, S, T>(b: B, u: usize, quiet: bool): i32 {
  const q = b.vat<S>(u, sizeof<T>(), false);
  if (b.bad(q)) return 1;
  b.fcomi<T>(quiet, b.vreg<D>(u), source<B, V, W, T>(b, q, true));
  return b.ffault() ? 1 : 0;
}
@inline export function COMISS<B, V, W, D, S>(b: B, u: usize): i32 {
  return comi<B, V, W, D, S, f32>(b, u, false);
}
@inline export function COMISD<B, V, W, D, S>(b: B, u: usize): i32 {
  return comi<B, V, W, D, S, f64>(b, u, false);
}
@inline export function UCOMISS<B, V, W, D, S>(b: B, u: usize): i32 {
  return comi<B, V, W, D, S, f32>(b, u, true);
}
@inline export function UCOMISD<B, V, W, D, S>(b: B, u: usize): i32 {
  return comi<B, V, W, D, S, f64>(b, u, true);
}

// ---- with an immediate
@inline function compare<B, V, W, D, S, C, T>(b: B, u: usize, scalar: bool): i32 {
  const q = b.vat<S>(u, scalar ? sizeof<T>() : 16, false);
  if (b.bad(q)) return 1;
  const r = b.fcompare<T>(b.rd<u8, C>(u, b.k(1)), scalar, b.vreg<D>(u), source<B, V, W, T>(b, q, scalar));
  if (b.ffault()) return 1;
  return b.vput<D>(u, r);
}
@inline function round<B, V, W, D, S, C, T>(b: B, u: usize, scalar: bool): i32 {
  const q = b.vat<S>(u, scalar ? sizeof<T>() : 16, false);
  if (b.bad(q)) return 1;
  const r = b.fround<T>(b.rd<u8, C>(u, b.k(1)), scalar, b.vreg<D>(u), source<B, V, W, T>(b, q, scalar));
  if (b.ffault()) return 1;
  return b.vput<D>(u, r);
}
@inline function dot<B, V, W, D, S, C, T>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 16, false);
  if (b.bad(q)) return 1;
  const r = b.fdot<T>(b.rd<u8, C>(u, b.k(1)), b.vreg<D>(u), b.vld(q));
  if (b.ffault()) return 1;
  return b.vput<D>(u, r);
}
@inline export function CMPPS<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return compare<B, V, W, D, S, C, f32>(b, u, false);
}
@inline export function CMPPD<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return compare<B, V, W, D, S, C, f64>(b, u, false);
}
@inline export function CMPSS<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return compare<B, V, W, D, S, C, f32>(b, u, true);
}
@inline export function CMPSD_x<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return compare<B, V, W, D, S, C, f64>(b, u, true);
}
@inline export function ROUNDPS<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return round<B, V, W, D, S, C, f32>(b, u, false);
}
@inline export function ROUNDPD<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return round<B, V, W, D, S, C, f64>(b, u, false);
}
@inline export function ROUNDSS<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return round<B, V, W, D, S, C, f32>(b, u, true);
}
@inline export function ROUNDSD<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return round<B, V, W, D, S, C, f64>(b, u, true);
}
@inline export function DPPS<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return dot<B, V, W, D, S, C, f32>(b, u);
}
@inline export function DPPD<B, V, W, D, S, C>(b: B, u: usize): i32 {
  return dot<B, V, W, D, S, C, f64>(b, u);
}
