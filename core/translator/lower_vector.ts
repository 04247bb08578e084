// IR's vector operations to WebAssembly: they are named by its opcodes already (docs/design/ir.md, "Vectors").
import {
  CHECK_NOT_SUBNORMAL,
  CHECK_SETTLED,
  IR_FCHECK,
  IR_FLANE,
  IR_FLANE_I64,
  IR_GETV,
  IR_I64_FLANE,
  IR_I64_V128,
  IR_OR,
  IR_SHUFFLE,
  IR_V128,
  IR_V128_I64,
  IR_VCONST,
  Node,
  node,
  vector_slot,
} from '../engine/ir';
import { temp_of } from './analyse';
import { ADDRESS, MAGNITUDE, temp_vector, vector_local } from './locals';
import { value } from './lower';
import * as w from './wasm';

// SIMD opcodes, behind the prefix.
const I8X16_SHUFFLE: u32 = 0x0d;
const I64X2_SPLAT: u32 = 0x12;
const I64X2_EXTRACT: u32 = 0x1d;
const I64X2_REPLACE: u32 = 0x1e;
const F32X4_EXTRACT: u32 = 0x1f;
const F32X4_REPLACE: u32 = 0x20;
const F64X2_EXTRACT: u32 = 0x21;
const F64X2_REPLACE: u32 = 0x22;
const I32X4_EQ: u32 = 0x37;
const I32X4_LT_S: u32 = 0x39;
const I32X4_GE_S: u32 = 0x3f;
const V128_AND: u32 = 0x4e;
const V128_ANDNOT: u32 = 0x4f;
const V128_OR: u32 = 0x50;
const V128_ANY_TRUE: u32 = 0x53;
const I64X2_EQ: u32 = 0xd6;
const I64X2_LT_S: u32 = 0xd8;
const I64X2_GE_S: u32 = 0xdb;
// Scalar ones.
const F32_ABS: u32 = 0x8b;
const F64_ABS: u32 = 0x99;
const F32_DEMOTE: u32 = 0xb6;
const F64_PROMOTE: u32 = 0xbb;
const F64_EQ: u32 = 0x61;
const TRUNC_SAT_F32: u32 = 0xfc04;
const TRUNC_SAT_F64: u32 = 0xfc06;

@inline function opcode(n: Node): u32 {
  return (<u32>n.k) & 0xffff;
}
@inline function lane(n: Node): u32 {
  return (<u32>n.k) >>> 16;
}

export function vector(p: u32): void {
  const n = node(p);
  const t = temp_of(n);
  if (t) return w.local_get(temp_vector(t - 1));
  compute_vector(n);
}

export function compute_vector(n: Node): void {
  switch (n.op) {
    case IR_VCONST:
      return w.v128_const(n.k, n.k2);
    case IR_GETV:
      return w.local_get(vector_local(vector_slot(<u32>n.k)));
    case IR_V128:
      vector(n.a);
      if (n.b) vector(n.b);
      if (n.c) vector(n.c);
      return w.simd(opcode(n));
    case IR_V128_I64:
      return with_integer(n);
    case IR_SHUFFLE:
      vector(n.a);
      vector(n.b);
      w.simd(I8X16_SHUFFLE);
      w.bytes8(n.k);
      return w.bytes8(n.k2);
    case IR_FLANE:
      return lane_operation(n);
    case IR_FLANE_I64: {
      vector(n.a);
      value(n.b);
      const op = opcode(n);
      // conversions: from i32 b2 b3 b7 b8, from i64 b4 b5 b9 ba
      if (op == 0xb2 || op == 0xb3 || op == 0xb7 || op == 0xb8) w.byte(w.I32_WRAP_I64);
      w.byte(op);
      return replace_lane(op < F32_DEMOTE);
    }
    default:
      return unreachable();
  }
}

/** Splats (15 to 18), shifts, replace_lane (23, 26, 28, 30): integers are i32 unless the lane is an i64. */
function with_integer(n: Node): void {
  const op = opcode(n);
  if (n.a) vector(n.a);
  value(n.b);
  if (op != I64X2_SPLAT && op != I64X2_REPLACE) w.byte(w.I32_WRAP_I64);
  w.simd(op);
  if (op >= 23 && op <= I64X2_REPLACE) w.byte(lane(n));
}

function extract_lane(p: u32, f32s: bool): void {
  vector(p);
  w.simd(f32s ? F32X4_EXTRACT : F64X2_EXTRACT);
  w.byte(0);
}
function replace_lane(f32s: bool): void {
  w.simd(f32s ? F32X4_REPLACE : F64X2_REPLACE);
  w.byte(0);
}

/** a with lane 0 replaced. */
function lane_operation(n: Node): void {
  const op = opcode(n);
  vector(n.a);
  if (op == F64_PROMOTE || op == F32_DEMOTE) {
    extract_lane(n.b, op == F64_PROMOTE);
    w.byte(op);
    return replace_lane(op == F32_DEMOTE);
  }
  const f32s = op < F64_ABS;
  // up to sqrt they take one operand
  if (op - (f32s ? F32_ABS : F64_ABS) > 6) extract_lane(n.a, f32s);
  extract_lane(n.b, f32s);
  w.byte(op);
  replace_lane(f32s);
}

/** i64 of vectors. */
export function from_vector(n: Node): void {
  if (n.op == IR_I64_V128) return lanes_to_integer(n);
  if (n.op == IR_I64_FLANE) return lane_to_integer(n);
  check_lanes(n);
  w.byte(w.I64_EXTEND_I32_U);
}

function lanes_to_integer(n: Node): void {
  const op = opcode(n);
  vector(n.a);
  w.simd(op);
  if (op >= 21 && op <= I64X2_EXTRACT) w.byte(lane(n));
  if (op != I64X2_EXTRACT) w.byte(w.I64_EXTEND_I32_U);
}

function lane_to_integer(n: Node): void {
  const op = opcode(n);
  if (op == TRUNC_SAT_F32 || op == TRUNC_SAT_F64) {
    extract_lane(n.b, op == TRUNC_SAT_F32);
    w.byte(0xfc);
    return w.byte(op & 0xff);
  }
  extract_lane(n.a, op < F64_EQ);
  extract_lane(n.b, op < F64_EQ);
  w.byte(op);
  w.byte(w.I64_EXTEND_I32_U);
}

// ---- checks: i32, not 0 if some lane breaks the rule. Magnitudes are positive integers, so signed comparisons do.
const ABS_32: i64 = 0x7fffffff7fffffff;
const ABS_64: i64 = 0x7fffffffffffffff;

@inline function least(f32s: bool): i64 {
  return f32s ? 0x00800000 : 0x0010000000000000;
}
@inline function infinity(f32s: bool): i64 {
  return f32s ? 0x7f800000 : 0x7ff0000000000000;
}

export function check_lanes(n: Node): void {
  if ((n.k & 0xff) == 1 && n.size == 8) return check_scalar(n);
  const f32s = n.size == 4;
  const rule = n.k & 0x300;
  magnitudes(n.a, f32s);
  w.local_tee(MAGNITUDE);
  splat(least(f32s) + (rule == CHECK_SETTLED ? 1 : 0), f32s);
  w.simd(f32s ? I32X4_LT_S : I64X2_LT_S);
  if (rule != CHECK_NOT_SUBNORMAL) {
    w.local_get(MAGNITUDE);
    splat(infinity(f32s), f32s);
    w.simd(f32s ? I32X4_GE_S : I64X2_GE_S);
    w.simd(V128_OR);
  }
  // zero is all right, or where a factor is zero
  w.local_get(MAGNITUDE);
  zero(f32s);
  if (rule == CHECK_SETTLED && n.b) {
    magnitudes(n.b, f32s);
    zero(f32s);
    if (n.c) {
      magnitudes(n.c, f32s);
      zero(f32s);
      w.simd(V128_OR);
    }
    w.simd(V128_AND);
  }
  w.simd(V128_ANDNOT);
  if ((n.k & 0xff) != (f32s ? 15 : 3)) {
    w.v128_const(lanes_mask(<u32>n.k, f32s, 0), lanes_mask(<u32>n.k, f32s, 1));
    w.simd(V128_AND);
  }
  w.simd(V128_ANY_TRUE);
}

function magnitudes(p: u32, f32s: bool): void {
  vector(p);
  w.v128_const(f32s ? ABS_32 : ABS_64, f32s ? ABS_32 : ABS_64);
  w.simd(V128_AND);
}
function splat(v: i64, f32s: bool): void {
  const x = f32s ? v | (v << 32) : v;
  w.v128_const(x, x);
}
function zero(f32s: bool): void {
  w.v128_const(0, 0);
  w.simd(f32s ? I32X4_EQ : I64X2_EQ);
}
function lanes_mask(lanes: u32, f32s: bool, half: u32): i64 {
  if (!f32s) return (lanes >>> half) & 1 ? -1 : 0;
  const two = lanes >>> (half << 1);
  return (two & 1 ? 0xffffffff : 0) | (two & 2 ? <i64>0xffffffff00000000 : 0);
}

/** One f64: (m - least) >=u (infinity - least), and m is no zero that may be. */
function check_scalar(n: Node): void {
  const rule = n.k & 0x300;
  const from = least(false) + (rule == CHECK_SETTLED ? 1 : 0);
  magnitude(n.a);
  w.local_tee(ADDRESS);
  w.i64_const(from);
  w.byte(w.I64_SUB);
  w.i64_const(infinity(false) - from);
  w.byte(w.I64_GE_U);
  if (rule == CHECK_NOT_SUBNORMAL) {
    w.local_get(ADDRESS);
    w.i64_const(from);
    w.byte(w.I64_LT_U);
    w.byte(w.I32_AND);
  }
  w.local_get(ADDRESS);
  w.byte(w.I64_EQZ);
  if (rule == CHECK_SETTLED && n.b) {
    magnitude(n.b);
    w.byte(w.I64_EQZ);
    if (n.c) {
      magnitude(n.c);
      w.byte(w.I64_EQZ);
      w.byte(w.I32_OR);
    }
    w.byte(w.I32_AND);
  }
  w.byte(w.I32_EQZ);
  w.byte(w.I32_AND);
}
function magnitude(p: u32): void {
  vector(p);
  w.simd(I64X2_EXTRACT);
  w.byte(0);
  w.i64_const(ABS_64);
  w.byte(w.I64_AND);
}

// ---- the quick check of many values (float_checks.ts): in the upper 32 bits of an f64, or those of an f32, is any magnitude that of no normal number
// larger than the least? Less the least, as unsigned numbers, all others are large; so the maximum of all tells.
const I32X4_EXTRACT: u32 = 0x1b;
const I32X4_GE_U: u32 = 0x40;
const I32X4_SUB: u32 = 0xb1;
const I32X4_MAX_U: u32 = 0xb9;
/** Width and lanes of what is being checked; 0 = nothing yet. */
let quick_size: u32 = 0;
let quick_lanes: u32 = 0;

export function quick_begin(): void {
  quick_size = 0;
}
/** The magnitudes in a condition's FCHECKs, into the maximum on the stack. */
export function quick_checks(p: u32): void {
  const n = node(p);
  if (n.op == IR_OR) {
    quick_checks(n.a);
    return quick_checks(n.b);
  }
  if (n.op != IR_FCHECK) return;
  const f32s = n.size == 4;
  magnitudes(n.a, f32s);
  const from = (f32s ? least(true) : least(false) >> 32) + 1;
  w.v128_const(from | (from << 32), from | (from << 32));
  w.simd(I32X4_SUB);
  if (quick_size) w.simd(I32X4_MAX_U);
  quick_size = n.size;
  quick_lanes = (<u32>n.k) & 0xff;
}
/** The maximum on the stack becomes a condition. */
export function quick_end(): void {
  const f32s = quick_size == 4;
  const from = (f32s ? least(true) : least(false) >> 32) + 1;
  const limit = (f32s ? infinity(true) : infinity(false) >> 32) - from;
  if (quick_lanes == 1) {
    w.simd(I32X4_EXTRACT);
    w.byte(f32s ? 0 : 1);
    w.i32_const(<i32>limit);
    w.byte(w.I32_GE_U);
    return;
  }
  w.v128_const(limit | (limit << 32), limit | (limit << 32));
  w.simd(I32X4_GE_U);
  // of an f64 only the upper half says something
  const mask: i64 = f32s ? -1 : <i64>0xffffffff00000000;
  w.v128_const(lanes_mask(quick_lanes, f32s, 0) & mask, lanes_mask(quick_lanes, f32s, 1) & mask);
  w.simd(V128_AND);
  w.simd(V128_ANY_TRUE);
}
