// SSE floating point on vectors (SDM vol. 1, 10.2.3, 11.5): native WebAssembly operations where the flags are known, soft floats elsewhere.
//
// Fast path of arithmetic. WebAssembly rounds to nearest-even and reports no flags. If MXCSR says nearest, PE is set already (it is
// sticky) and masked, then an operation on normal or zero operands whose result is normal, and not the smallest normal number, raises at most PE: no NaN (IE), no
// denormal operand (DE), no infinity from finite operands (ZE, OE), and a result above the smallest normal was not tiny before rounding (UE). So
// the native result is right and MXCSR stays as it is; DAZ and FTZ have nothing to act on. A zero result is accepted where it is exact: a sum
// (a subnormal sum is exact, so it is not rounded to zero), or an operation with a zero operand. Comparisons, minimum and maximum of normal or zero
// operands raise nothing in any mode.
import { Cpu, CPU_MXCSR } from '../cpu';
import { CF, PF, ZF, set_flags6 } from '../flags';
import { raise } from '../exceptions';
import * as sf from './softfloat';

// Two-operand operations.
export const ADD: i32 = 0;
export const SUB: i32 = 1;
export const MUL: i32 = 2;
export const DIV: i32 = 3;
/** Of the second operand. */
export const SQRT: i32 = 4;
export const MIN: i32 = 5;
export const MAX: i32 = 6;
/** Even lanes subtracted, odd lanes added. */
export const ADDSUB: i32 = 7;

const XM: u32 = 19;
const UD: u32 = 6;
const CR4_OSXMMEXCPT: u64 = 0x400;
/** Rounding control, PE and its mask; what they are on the fast path. */
export const FAST_MASK: u32 = 0x7020;
export const FAST: u32 = 0x1020;

/** The last operation raised an unmasked exception: #XM is pending, the destination must not change. */
export let sse_fault: bool = false;

@inline export function mxcsr(cpu: Cpu): u32 {
  return load<u32>(changetype<usize>(cpu) + CPU_MXCSR);
}
@inline function is_fast(mx: u32): bool {
  return (mx & FAST_MASK) == FAST;
}

/** Begin soft operations. */
@inline export function begin(cpu: Cpu): void {
  sf.sf_sse(mxcsr(cpu));
}

/** Take the flags of all lanes into MXCSR; an unmasked one raises #XM, or #UD without CR4.OSXMMEXCPT (SDM vol. 3, 2.5). */
export function finish(cpu: Cpu): void {
  take(cpu, sf.sf_result_flags());
}

function take(cpu: Cpu, flags: u32): void {
  store<u32>(changetype<usize>(cpu) + CPU_MXCSR, mxcsr(cpu) | flags);
  sse_fault = (flags & ~sf.sf_masks) != 0;
  if (sse_fault) raise(cpu, cpu.cr4 & CR4_OSXMMEXCPT ? XM : UD, 0);
}

// ---- lanes as bits
@inline function lane<T>(w: v128, i: i32): u64 {
  if (sizeof<T>() == 4) {
    if (i == 0) return <u64>(<u32>i32x4.extract_lane(w, 0));
    if (i == 1) return <u64>(<u32>i32x4.extract_lane(w, 1));
    if (i == 2) return <u64>(<u32>i32x4.extract_lane(w, 2));
    return <u64>(<u32>i32x4.extract_lane(w, 3));
  }
  return i ? i64x2.extract_lane(w, 1) : i64x2.extract_lane(w, 0);
}
@inline function with_lane<T>(w: v128, i: i32, v: u64): v128 {
  if (sizeof<T>() == 4) {
    if (i == 0) return i32x4.replace_lane(w, 0, <i32>v);
    if (i == 1) return i32x4.replace_lane(w, 1, <i32>v);
    if (i == 2) return i32x4.replace_lane(w, 2, <i32>v);
    return i32x4.replace_lane(w, 3, <i32>v);
  }
  return i ? i64x2.replace_lane(w, 1, v) : i64x2.replace_lane(w, 0, v);
}
@inline function lanes<T>(scalar: bool): i32 {
  return scalar ? 1 : 16 / sizeof<T>();
}

// ---- which lanes the fast paths may take: all-ones masks
@inline function splat_min<T>(): v128 {
  return sizeof<T>() == 4 ? i32x4.splat(0x00800000) : i64x2.splat(0x0010000000000000);
}
@inline function splat_max<T>(): v128 {
  return sizeof<T>() == 4 ? i32x4.splat(0x7f7fffff) : i64x2.splat(0x7fefffffffffffff);
}
@inline function is_zero<T>(x: v128): v128 {
  return v128.eq<T>(x, i64x2.splat(0));
}
@inline function normal_or_zero<T>(x: v128): v128 {
  const a = v128.abs<T>(x);
  return v128.or(v128.and(v128.ge<T>(a, splat_min<T>()), v128.le<T>(a, splat_max<T>())), is_zero<T>(x));
}
/** Do the lanes that count satisfy a mask? */
@inline function all<T>(mask: v128, scalar: bool): bool {
  if (scalar) return lane<T>(mask, 0) != 0;
  return i8x16.bitmask(mask) == 0xffff;
}
/** Lane 0 from r, the others from x. */
@inline function merge<T>(x: v128, r: v128, scalar: bool): v128 {
  if (!scalar) return r;
  return with_lane<T>(x, 0, lane<T>(r, 0));
}

@inline function native<T>(op: i32, x: v128, y: v128): v128 {
  switch (op) {
    case ADD:
      return v128.add<T>(x, y);
    case SUB:
      return v128.sub<T>(x, y);
    case MUL:
      return v128.mul<T>(x, y);
    case DIV:
      return v128.div<T>(x, y);
    case SQRT:
      return v128.sqrt<T>(y);
    default:
      return sizeof<T>() == 4
        ? i32x4.shuffle(v128.sub<T>(x, y), v128.add<T>(x, y), 0, 5, 2, 7)
        : i64x2.shuffle(v128.sub<T>(x, y), v128.add<T>(x, y), 0, 3);
  }
}

/** Is the native result known to be right, flags included? See the head of the file. */
@inline function settled<T>(op: i32, x: v128, y: v128, r: v128): v128 {
  const a = v128.abs<T>(r);
  const normal = v128.and(v128.gt<T>(a, splat_min<T>()), v128.le<T>(a, splat_max<T>()));
  let zero = is_zero<T>(r);
  if (op == MUL) zero = v128.and(zero, v128.or(is_zero<T>(x), is_zero<T>(y)));
  else if (op == DIV) zero = v128.and(zero, is_zero<T>(x));
  const operands = op == SQRT ? normal_or_zero<T>(y) : v128.and(normal_or_zero<T>(x), normal_or_zero<T>(y));
  return v128.and(operands, v128.or(normal, zero));
}

/** x op y on all lanes, or on lane 0 with the others from x. */
export function arith<T>(cpu: Cpu, op: i32, scalar: bool, x: v128, y: v128): v128 {
  sse_fault = false;
  if (op == MIN || op == MAX) {
    if (all<T>(v128.and(normal_or_zero<T>(x), normal_or_zero<T>(y)), scalar))
      return merge<T>(x, op == MIN ? v128.pmin<T>(y, x) : v128.pmax<T>(y, x), scalar); // equal (±0): the second operand
  } else if (is_fast(mxcsr(cpu))) {
    const r = native<T>(op, x, y);
    if (all<T>(settled<T>(op, x, y, r), scalar)) return merge<T>(x, r, scalar);
  }
  return soft_arith<T>(cpu, op, scalar, x, y);
}

function soft_arith<T>(cpu: Cpu, op: i32, scalar: bool, x: v128, y: v128): v128 {
  begin(cpu);
  let r = x;
  for (let i = 0, n = lanes<T>(scalar); i < n; i++) {
    const o = op == ADDSUB ? (i & 1 ? ADD : SUB) : op;
    r = with_lane<T>(r, i, soft<T>(o, lane<T>(x, i), lane<T>(y, i)));
  }
  finish(cpu);
  return r;
}

/** One lane, flags accumulated. */
function soft<T>(op: i32, x: u64, y: u64): u64 {
  sf.unpack_a<T>(y);
  if (op != SQRT) {
    sf.a_to_b();
    sf.unpack_a<T>(x);
  }
  switch (op) {
    case ADD:
      sf.sf_add(0);
      break;
    case SUB:
      sf.sf_add(1);
      break;
    case MUL:
      sf.sf_mul();
      break;
    case DIV:
      sf.sf_div();
      break;
    case SQRT:
      sf.sf_sqrt();
      break;
    default: {
      // the second operand if unordered or equal; a denormal taken as zero stays one
      const order = sf.sf_compare(false);
      const first = order == (op == MIN ? sf.LESS : sf.GREATER);
      if ((first ? sf.a_c : sf.b_c) != sf.ZERO) return first ? x : y;
      return (first ? x : y) & ((<u64>1) << (sizeof<T>() * 8 - 1));
    }
  }
  return sf.pack<T>();
}

// ---- comparisons

/** CMPPS and its kin: all ones where the predicate (bits 0-2: EQ LT LE UNORD NEQ NLT NLE ORD) holds. */
export function compare<T>(cpu: Cpu, predicate: i32, scalar: bool, x: v128, y: v128): v128 {
  sse_fault = false;
  predicate &= 7;
  let r: v128;
  if (all<T>(v128.and(normal_or_zero<T>(x), normal_or_zero<T>(y)), scalar)) {
    const p = predicate & 3;
    r = p == 0 ? v128.eq<T>(x, y) : p == 1 ? v128.lt<T>(x, y) : p == 2 ? v128.le<T>(x, y) : i64x2.splat(0);
    if (predicate & 4) r = v128.not(r);
    return merge<T>(x, r, scalar);
  }
  r = x;
  begin(cpu);
  for (let i = 0, n = lanes<T>(scalar); i < n; i++)
    r = with_lane<T>(r, i, soft_compare<T>(predicate, lane<T>(x, i), lane<T>(y, i)) ? ~0 : 0);
  finish(cpu);
  return r;
}

function soft_compare<T>(predicate: i32, x: u64, y: u64): bool {
  sf.unpack_a<T>(y);
  sf.a_to_b();
  sf.unpack_a<T>(x);
  const p = predicate & 3;
  const order = sf.sf_compare(p == 0 || p == 3);
  let r: bool;
  if (p == 0) r = order == sf.EQUAL;
  else if (p == 1) r = order == sf.LESS;
  else if (p == 2) r = order == sf.LESS || order == sf.EQUAL;
  else r = order == sf.UNORDERED;
  return r != ((predicate & 4) != 0);
}

/** COMISS, UCOMISS (quiet): ZF PF CF from lane 0, the other flags cleared. */
export function comi<T>(cpu: Cpu, quiet: bool, x: v128, y: v128): void {
  begin(cpu);
  sf.unpack_a<T>(lane<T>(y, 0));
  sf.a_to_b();
  sf.unpack_a<T>(lane<T>(x, 0));
  const order = sf.sf_compare(quiet);
  finish(cpu);
  if (sse_fault) return;
  let f: u32 = 0;
  if (order == sf.LESS) f = CF;
  else if (order == sf.EQUAL) f = ZF;
  else if (order == sf.UNORDERED) f = ZF | PF | CF;
  set_flags6(cpu, f);
}

// ---- rounding to integral values

/** ROUNDPS and its kin: imm bits 0-1 the rounding mode, unless bit 2 takes MXCSR's; bit 3 suppresses the inexact exception. */
export function round<T>(cpu: Cpu, imm: i32, scalar: bool, x: v128, y: v128): v128 {
  begin(cpu);
  const rc = imm & 4 ? sf.sf_rc : imm & 3;
  let r = x;
  for (let i = 0, n = lanes<T>(scalar); i < n; i++) {
    sf.unpack_a<T>(lane<T>(y, i));
    sf.sf_round_int(rc);
    r = with_lane<T>(r, i, sf.pack<T>());
  }
  if (imm & 8) sf.sf_clear(sf.PE);
  finish(cpu);
  return r;
}

// ---- sums of products

// Processors do these in steps; the one that raises something unmasked is the last.
// Within a step, an unmasked early exception in one lane hides what roundings would have raised in any (SDM vol. 1, 11.5.2).
/** The end of operations that are done at once: what they report joins `before`, the flags of the steps before them. */
function end_step(before: u32): void {
  const raised = sf.sf_result_flags();
  sf.sf_clear(~0);
  sf.sf_raise(before | raised);
}
/** Begin the next step: the flags so far. */
@inline function next_step(): u32 {
  const before = sf.sf_flags;
  sf.sf_clear(~0);
  return before;
}
@inline function stopped(): bool {
  return (sf.sf_flags & ~sf.sf_masks) != 0;
}

/** DPPS, DPPD: products of the lanes that imm bits 4-7 choose, summed pairwise, to the lanes of imm bits 0-3. */
export function dot<T>(cpu: Cpu, imm: i32, x: v128, y: v128): v128 {
  begin(cpu);
  const r = soft_dot<T>(imm, x, y);
  take(cpu, sf.sf_flags);
  return r;
}

function soft_dot<T>(imm: i32, x: v128, y: v128): v128 {
  let p = i64x2.splat(0);
  const n = lanes<T>(false);
  for (let i = 0; i < n; i++)
    if ((imm >> (4 + i)) & 1) p = with_lane<T>(p, i, soft<T>(MUL, lane<T>(x, i), lane<T>(y, i)));
  end_step(0);
  if (stopped()) return p;
  let before = next_step();
  let sum = soft<T>(ADD, lane<T>(p, 0), lane<T>(p, 1));
  if (sizeof<T>() == 4) {
    const high = soft<T>(ADD, lane<T>(p, 2), lane<T>(p, 3));
    end_step(before);
    if (stopped()) return p;
    before = next_step();
    sum = soft<T>(ADD, sum, high);
  }
  end_step(before);
  let r = i64x2.splat(0);
  for (let i = 0; i < n; i++) if ((imm >> i) & 1) r = with_lane<T>(r, i, sum);
  return r;
}

// ---- approximations: better than the documented 1.5 × 2^-12, no exceptions, denormals are zeros (SDM vol. 2, RCPPS, RSQRTPS)

const F32_SIGN: u32 = 0x80000000;
const F32_INF: u32 = 0x7f800000;
const F32_QUIET: u32 = 0x400000;

function approximate(v: u32, root: bool): u32 {
  const a = v & ~F32_SIGN;
  const s = v & F32_SIGN;
  if (a > F32_INF) return v | F32_QUIET;
  if (a < 0x800000) return s | F32_INF;
  if (root) {
    if (s) return 0xffc00000;
    if (a == F32_INF) return 0;
    return reinterpret<u32>(<f32>(1.0 / sqrt<f64>(<f64>reinterpret<f32>(v))));
  }
  if (a == F32_INF) return s;
  const r = reinterpret<u32>(<f32>1.0 / reinterpret<f32>(v));
  return (r & ~F32_SIGN) <= 0x800000 ? s : r; // what is tiny is flushed; an approximation of 2^-126 is, too
}

export function reciprocal(root: bool, scalar: bool, x: v128, y: v128): v128 {
  let r = x;
  for (let i = 0, n = lanes<f32>(scalar); i < n; i++) r = with_lane<f32>(r, i, approximate(<u32>lane<f32>(y, i), root));
  return r;
}

// ---- conversions of one value, between begin() and finish()

/** Float T to a signed integer of `bits` bits, truncated or rounded by MXCSR. */
export function to_int<T>(bits: u32, truncate: bool, v: u64): i64 {
  sf.unpack_a<T>(v);
  return sf.sf_to_int(bits, truncate ? sf.RC_ZERO : sf.sf_rc);
}
/** Signed integer to float T. */
export function from_int<T>(v: i64): u64 {
  sf.unpack_a_int(v);
  sf.a_to_r();
  return sf.pack<T>();
}
/** Float T to float U. */
export function convert<T, U>(v: u64): u64 {
  sf.unpack_a<T>(v);
  sf.sf_convert(false);
  return sf.pack<U>();
}

// ---- packed conversions, lane i to lane i; what has no source lane is 0

export function from_int32_lanes<T>(cpu: Cpu, n: i32, x: v128, y: v128): v128 {
  begin(cpu);
  let r = x;
  for (let i = 0; i < n; i++) r = with_lane<T>(r, i, from_int<T>(<i64>(<i32>lane<f32>(y, i))));
  finish(cpu);
  return r;
}
export function to_int32_lanes<T>(cpu: Cpu, n: i32, truncate: bool, y: v128): v128 {
  begin(cpu);
  let r = i64x2.splat(0);
  for (let i = 0; i < n; i++) r = with_lane<f32>(r, i, <u64>to_int<T>(32, truncate, lane<T>(y, i)));
  finish(cpu);
  return r;
}
/** n lanes of T in y to lanes of U over x. */
export function convert_lanes<T, U>(cpu: Cpu, n: i32, x: v128, y: v128): v128 {
  begin(cpu);
  let r = x;
  for (let i = 0; i < n; i++) r = with_lane<U>(r, i, convert<T, U>(lane<T>(y, i)));
  finish(cpu);
  return r;
}

/** Lane 0 to and from a general register's value of `bits` bits. */
export function to_int_scalar<T>(cpu: Cpu, bits: u32, truncate: bool, v: u64): i64 {
  begin(cpu);
  const r = to_int<T>(bits, truncate, v);
  finish(cpu);
  return r;
}
export function from_int_scalar<T>(cpu: Cpu, v: i64, x: v128): v128 {
  if (sizeof<T>() == 8 && v == <i64>(<i32>v)) {
    sse_fault = false; // exact
    return f64x2.replace_lane(x, 0, <f64>v);
  }
  begin(cpu);
  const r = with_lane<T>(x, 0, from_int<T>(v));
  finish(cpu);
  return r;
}
