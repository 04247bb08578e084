// The evaluating builder's floating-point operations on vectors. They report in MXCSR; after one, ffault() tells whether #XM is pending and the body
// has to leave without writing its destination.
import { Cpu } from '../arch/x86/cpu';
import * as sse from '../arch/x86/fpu/sse';
import { EvalBase } from './eval_base';

@unmanaged
export class EvalFloat extends EvalBase {
  @inline ffault(): bool {
    return sse.sse_fault;
  }
  /** x op y (an operation of fpu/sse.ts) on lanes of T; scalar: on lane 0, the other lanes are x's. */
  @inline farith<T>(op: i32, scalar: bool, x: v128, y: v128): v128 {
    return sse.arith<T>(changetype<Cpu>(this), op, scalar, x, y);
  }
  /** All-ones lanes where the predicate holds. */
  @inline fcompare<T>(predicate: i64, scalar: bool, x: v128, y: v128): v128 {
    return sse.compare<T>(changetype<Cpu>(this), <i32>predicate, scalar, x, y);
  }
  /** Compare lanes 0 into the arithmetic flags. */
  @inline fcomi<T>(quiet: bool, x: v128, y: v128): void {
    sse.comi<T>(changetype<Cpu>(this), quiet, x, y);
  }
  @inline fround<T>(imm: i64, scalar: bool, x: v128, y: v128): v128 {
    return sse.round<T>(changetype<Cpu>(this), <i32>imm, scalar, x, y);
  }
  @inline fdot<T>(imm: i64, x: v128, y: v128): v128 {
    return sse.dot<T>(changetype<Cpu>(this), <i32>imm, x, y);
  }
  /** 1/y or 1/√y of f32 lanes, approximately. */
  @inline freciprocal(root: bool, scalar: bool, x: v128, y: v128): v128 {
    return sse.reciprocal(root, scalar, x, y);
  }
  /** The n low lanes of T in y as lanes of U over x. */
  @inline fconvert<T, U>(n: i32, x: v128, y: v128): v128 {
    return sse.convert_lanes<T, U>(changetype<Cpu>(this), n, x, y);
  }
  /** The n low i32 lanes of y as lanes of T over x; n lanes of T as i32 lanes, the rest 0. */
  @inline ffrom_int32<T>(n: i32, x: v128, y: v128): v128 {
    return sse.from_int32_lanes<T>(changetype<Cpu>(this), n, x, y);
  }
  @inline fto_int32<T>(n: i32, truncate: bool, y: v128): v128 {
    return sse.to_int32_lanes<T>(changetype<Cpu>(this), n, truncate, y);
  }
  /** Bits of a T to a signed integer as wide as I; a signed integer to lane 0 of x. */
  @inline fto_int<T, I>(truncate: bool, v: i64): i64 {
    return sse.to_int_scalar<T>(changetype<Cpu>(this), sizeof<I>() * 8, truncate, v);
  }
  @inline ffrom_int<T>(v: i64, x: v128): v128 {
    return sse.from_int_scalar<T>(changetype<Cpu>(this), v, x);
  }
}
