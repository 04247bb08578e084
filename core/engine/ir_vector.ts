// Vector and floating-point nodes of the IR, evaluated: docs/design/ir.md, "Vectors". Opcodes are WebAssembly's; a test holds the tables against
// the engine's own.
import {
  CHECK_NOT_SUBNORMAL,
  CHECK_SETTLED,
  IR_FCHECK,
  IR_FLANE,
  IR_FLANE_I64,
  IR_I64_FLANE,
  IR_I64_V128,
  IR_SHUFFLE,
  IR_V128,
  IR_V128_I64,
  IR_VCONST,
  Node,
  node,
  ref,
} from './ir';

const VALUE: usize = 32;

@inline export function vector_value(p: u32): v128 {
  return v128.load(<usize>p + VALUE);
}
@inline export function set_vector(n: Node, w: v128): void {
  v128.store(changetype<usize>(n) + VALUE, w);
}
/** A vector operand, 0 where there is none. */
@inline function vector(p: u32): v128 {
  return p ? vector_value(p) : i64x2.splat(0);
}

/** Sets the value of a node that computes on values; false = `op` is none of these. */
export function ir_vector(n: Node): bool {
  switch (n.op) {
    case IR_VCONST:
      n.v = n.k;
      n.v_high = n.k2;
      return true;
    case IR_V128:
      set_vector(n, lanes(<u32>n.k, vector(n.a), vector(n.b), vector(n.c)));
      return true;
    case IR_V128_I64:
      lanes_integer(n, vector(n.a), node(n.b).v);
      return true;
    case IR_I64_V128:
      n.v = lanes_to_integer(n);
      return true;
    case IR_SHUFFLE:
      set_vector(n, shuffle(vector(n.a), vector(n.b), v128.load(changetype<usize>(n) + offsetof<Node>('k'))));
      return true;
    case IR_FLANE:
      scalar(n);
      return true;
    case IR_FLANE_I64:
      set_vector(n, vector(n.a));
      if (<u32>n.k == 0xb4) store<f32>(ref(n) + VALUE, <f32>node(n.b).v);
      else store<f64>(ref(n) + VALUE, <f64>node(n.b).v);
      return true;
    case IR_I64_FLANE:
      n.v = scalar_to_integer(n);
      return true;
    case IR_FCHECK:
      n.v = check(n);
      return true;
    default:
      return false;
  }
}

/** Indices from 16 on are bytes of y. */
function shuffle(x: v128, y: v128, at: v128): v128 {
  return v128.or(i8x16.swizzle(x, at), i8x16.swizzle(y, i8x16.sub(at, i8x16.splat(16))));
}

// ---- lanes
function lanes(k: u32, x: v128, y: v128, z: v128): v128 {
  if (k == 82) return v128.bitselect(x, y, z);
  if (unary(k)) return lanes_one(k, x);
  return k < 65 || (k >= 78 && k < 128) ? lanes_two_narrow(k, x, y) : lanes_two(k, x, y);
}

/** Does a SIMD operation take one vector? */
export function unary(k: u32): bool {
  switch (k) {
    case 77:
    case 94:
    case 95:
    case 96:
    case 103:
    case 104:
    case 105:
    case 106:
    case 116:
    case 117:
    case 122:
    case 125:
    case 127:
    case 128:
    case 135:
    case 137:
    case 148:
    case 160:
    case 167:
    case 169:
    case 199:
    case 201:
    case 224:
    case 227:
    case 236:
    case 239:
    case 248:
    case 250:
    case 252:
    case 254:
      return true;
    default:
      return false;
  }
}

function lanes_one(k: u32, x: v128): v128 {
  switch (k) {
    case 77:
      return v128.not(x);
    case 94:
      return f32x4.demote_f64x2_zero(x);
    case 95:
      return f64x2.promote_low_f32x4(x);
    case 96:
      return i8x16.abs(x);
    case 103:
      return f32x4.ceil(x);
    case 104:
      return f32x4.floor(x);
    case 105:
      return f32x4.trunc(x);
    case 106:
      return f32x4.nearest(x);
    case 116:
      return f64x2.ceil(x);
    case 117:
      return f64x2.floor(x);
    case 122:
      return f64x2.trunc(x);
    case 125:
      return i16x8.extadd_pairwise_i8x16_u(x);
    case 127:
      return i32x4.extadd_pairwise_i16x8_u(x);
    case 128:
      return i16x8.abs(x);
    case 135:
      return i16x8.extend_low_i8x16_s(x);
    case 137:
      return i16x8.extend_low_i8x16_u(x);
    case 148:
      return f64x2.nearest(x);
    case 160:
      return i32x4.abs(x);
    case 167:
      return i32x4.extend_low_i16x8_s(x);
    case 169:
      return i32x4.extend_low_i16x8_u(x);
    case 199:
      return i64x2.extend_low_i32x4_s(x);
    case 201:
      return i64x2.extend_low_i32x4_u(x);
    case 224:
      return f32x4.abs(x);
    case 227:
      return f32x4.sqrt(x);
    case 236:
      return f64x2.abs(x);
    case 239:
      return f64x2.sqrt(x);
    case 248:
      return i32x4.trunc_sat_f32x4_s(x);
    case 250:
      return f32x4.convert_i32x4_s(x);
    case 252:
      return i32x4.trunc_sat_f64x2_s_zero(x);
    case 254:
      return f64x2.convert_low_i32x4_s(x);
    default:
      return unreachable();
  }
}

/** Bytes, and whole vectors. */
function lanes_two_narrow(k: u32, x: v128, y: v128): v128 {
  switch (k) {
    case 14:
      return i8x16.swizzle(x, y);
    case 35:
      return i8x16.eq(x, y);
    case 39:
      return i8x16.gt_s(x, y);
    case 45:
      return i16x8.eq(x, y);
    case 49:
      return i16x8.gt_s(x, y);
    case 55:
      return i32x4.eq(x, y);
    case 59:
      return i32x4.gt_s(x, y);
    case 78:
      return v128.and(x, y);
    case 79:
      return v128.andnot(x, y);
    case 80:
      return v128.or(x, y);
    case 81:
      return v128.xor(x, y);
    case 101:
      return i8x16.narrow_i16x8_s(x, y);
    case 102:
      return i8x16.narrow_i16x8_u(x, y);
    case 110:
      return i8x16.add(x, y);
    case 111:
      return i8x16.add_sat_s(x, y);
    case 112:
      return i8x16.add_sat_u(x, y);
    case 113:
      return i8x16.sub(x, y);
    case 114:
      return i8x16.sub_sat_s(x, y);
    case 115:
      return i8x16.sub_sat_u(x, y);
    case 118:
      return i8x16.min_s(x, y);
    case 119:
      return i8x16.min_u(x, y);
    case 120:
      return i8x16.max_s(x, y);
    case 121:
      return i8x16.max_u(x, y);
    case 123:
      return i8x16.avgr_u(x, y);
    default:
      return unreachable();
  }
}

function lanes_two(k: u32, x: v128, y: v128): v128 {
  if ((k >= 65 && k < 78) || k >= 224) return lanes_float(k, x, y);
  switch (k) {
    case 130:
      return i16x8.q15mulr_sat_s(x, y);
    case 133:
      return i16x8.narrow_i32x4_s(x, y);
    case 134:
      return i16x8.narrow_i32x4_u(x, y);
    case 142:
      return i16x8.add(x, y);
    case 143:
      return i16x8.add_sat_s(x, y);
    case 144:
      return i16x8.add_sat_u(x, y);
    case 145:
      return i16x8.sub(x, y);
    case 146:
      return i16x8.sub_sat_s(x, y);
    case 147:
      return i16x8.sub_sat_u(x, y);
    case 149:
      return i16x8.mul(x, y);
    case 150:
      return i16x8.min_s(x, y);
    case 151:
      return i16x8.min_u(x, y);
    case 152:
      return i16x8.max_s(x, y);
    case 153:
      return i16x8.max_u(x, y);
    case 155:
      return i16x8.avgr_u(x, y);
    case 174:
      return i32x4.add(x, y);
    case 177:
      return i32x4.sub(x, y);
    case 181:
      return i32x4.mul(x, y);
    case 182:
      return i32x4.min_s(x, y);
    case 183:
      return i32x4.min_u(x, y);
    case 184:
      return i32x4.max_s(x, y);
    case 185:
      return i32x4.max_u(x, y);
    case 186:
      return i32x4.dot_i16x8_s(x, y);
    case 188:
      return i32x4.extmul_low_i16x8_s(x, y);
    case 189:
      return i32x4.extmul_high_i16x8_s(x, y);
    case 190:
      return i32x4.extmul_low_i16x8_u(x, y);
    case 191:
      return i32x4.extmul_high_i16x8_u(x, y);
    case 206:
      return i64x2.add(x, y);
    case 209:
      return i64x2.sub(x, y);
    case 214:
      return i64x2.eq(x, y);
    case 217:
      return i64x2.gt_s(x, y);
    case 220:
      return i64x2.extmul_low_i32x4_s(x, y);
    case 222:
      return i64x2.extmul_low_i32x4_u(x, y);
    default:
      return unreachable();
  }
}

function lanes_float(k: u32, x: v128, y: v128): v128 {
  switch (k) {
    case 65:
      return f32x4.eq(x, y);
    case 67:
      return f32x4.lt(x, y);
    case 69:
      return f32x4.le(x, y);
    case 71:
      return f64x2.eq(x, y);
    case 73:
      return f64x2.lt(x, y);
    case 75:
      return f64x2.le(x, y);
    case 228:
      return f32x4.add(x, y);
    case 229:
      return f32x4.sub(x, y);
    case 230:
      return f32x4.mul(x, y);
    case 231:
      return f32x4.div(x, y);
    case 234:
      return f32x4.pmin(x, y);
    case 235:
      return f32x4.pmax(x, y);
    case 240:
      return f64x2.add(x, y);
    case 241:
      return f64x2.sub(x, y);
    case 242:
      return f64x2.mul(x, y);
    case 243:
      return f64x2.div(x, y);
    case 246:
      return f64x2.pmin(x, y);
    case 247:
      return f64x2.pmax(x, y);
    default:
      return unreachable();
  }
}

/** Splats, shifts and replace_lane. */
function lanes_integer(n: Node, x: v128, v: i64): void {
  const lane = (<u32>n.k) >>> 16;
  const at = changetype<usize>(n) + VALUE;
  set_vector(n, x);
  switch ((<u32>n.k) & 0xffff) {
    case 23:
      return store<i8>(at + lane, <i8>v);
    case 26:
      return store<i16>(at + (lane << 1), <i16>v);
    case 28:
      return store<i32>(at + (lane << 2), <i32>v);
    case 30:
      return store<i64>(at + (lane << 3), v);
    default:
      set_vector(n, lanes_shift(<u32>n.k, x, v));
  }
}

function lanes_shift(k: u32, x: v128, v: i64): v128 {
  const n = <i32>v;
  switch (k) {
    case 15:
      return i8x16.splat(<i8>v);
    case 16:
      return i16x8.splat(<i16>v);
    case 17:
      return i32x4.splat(n);
    case 18:
      return i64x2.splat(v);
    case 107:
      return i8x16.shl(x, n);
    case 108:
      return i8x16.shr_s(x, n);
    case 109:
      return i8x16.shr_u(x, n);
    case 139:
      return i16x8.shl(x, n);
    case 140:
      return i16x8.shr_s(x, n);
    case 141:
      return i16x8.shr_u(x, n);
    case 171:
      return i32x4.shl(x, n);
    case 172:
      return i32x4.shr_s(x, n);
    case 173:
      return i32x4.shr_u(x, n);
    case 203:
      return i64x2.shl(x, n);
    case 204:
      return i64x2.shr_s(x, n);
    case 205:
      return i64x2.shr_u(x, n);
    default:
      return unreachable();
  }
}

function lanes_to_integer(n: Node): i64 {
  const lane = (<u32>n.k) >>> 16;
  const x = vector_value(n.a);
  const at = <usize>n.a + VALUE;
  switch ((<u32>n.k) & 0xffff) {
    case 22:
      return <i64>load<u8>(at + lane);
    case 25:
      return <i64>load<u16>(at + (lane << 1));
    case 27:
      return <i64>load<u32>(at + (lane << 2));
    case 29:
      return load<i64>(at + (lane << 3));
    case 83:
      return <i64>v128.any_true(x);
    case 100:
      return <i64>i8x16.bitmask(x);
    case 164:
      return <i64>i32x4.bitmask(x);
    case 196:
      return <i64>i64x2.bitmask(x);
    default:
      return unreachable();
  }
}

// ---- scalar floating point: lane 0 of a and b
@inline function f32_of(p: u32): f32 {
  return load<f32>(<usize>p + VALUE);
}
@inline function f64_of(p: u32): f64 {
  return load<f64>(<usize>p + VALUE);
}

function scalar(n: Node): void {
  const at = changetype<usize>(n) + VALUE;
  set_vector(n, vector(n.a));
  const k = <u32>n.k;
  if (k == 0xbb) store<f64>(at, <f64>f32_of(n.b));
  else if (k == 0xb6) store<f32>(at, <f32>f64_of(n.b));
  else if (k < 0x99) store<f32>(at, float_two<f32>(k - 0x8b, f32_of(n.a), f32_of(n.b)));
  else store<f64>(at, float_two<f64>(k - 0x99, f64_of(n.a), f64_of(n.b)));
}

/** `op`: the opcode's distance from abs. */
function float_two<T>(op: u32, x: T, y: T): T {
  switch (op) {
    case 2:
      return ceil<T>(y);
    case 3:
      return floor<T>(y);
    case 4:
      return trunc<T>(y);
    case 5:
      return nearest<T>(y);
    case 6:
      return sqrt<T>(y);
    case 7:
      return <T>(x + y);
    case 8:
      return <T>(x - y);
    case 9:
      return <T>(x * y);
    case 10:
      return <T>(x / y);
    default:
      return unreachable();
  }
}

function scalar_to_integer(n: Node): i64 {
  const k = <u32>n.k;
  if (k == 0xfc04) return <i64>f32_of(n.b);
  if (k == 0xfc06) return <i64>f64_of(n.b);
  if (k < 0x61) return compare<f32>(k - 0x5b, f32_of(n.a), f32_of(n.b));
  return compare<f64>(k - 0x61, f64_of(n.a), f64_of(n.b));
}

/** `op`: the opcode's distance from eq. */
function compare<T>(op: u32, x: T, y: T): i64 {
  switch (op) {
    case 0:
      return <i64>(x == y);
    case 2:
      return <i64>(x < y);
    case 4:
      return <i64>(x <= y);
    default:
      return unreachable();
  }
}

// ---- what native arithmetic may take and give
function check(n: Node): i64 {
  const f32s = n.size == 4;
  const count: u32 = f32s ? 4 : 2;
  for (let i: u32 = 0; i < count; i++) if ((n.k >> (<i64>i)) & 1 && broken(n, i, f32s)) return 1;
  return 0;
}

/** A lane without its sign. */
@inline function magnitude(p: u32, i: u32, f32s: bool): u64 {
  const at = <usize>p + VALUE;
  if (f32s) return <u64>(load<u32>(at + (i << 2)) & 0x7fffffff);
  return load<u64>(at + (i << 3)) & 0x7fffffffffffffff;
}

function broken(n: Node, i: u32, f32s: bool): bool {
  const rule = n.k & 0x300;
  const x = magnitude(n.a, i, f32s);
  const least: u64 = f32s ? 0x00800000 : 0x0010000000000000;
  const infinity: u64 = f32s ? 0x7f800000 : 0x7ff0000000000000;
  if (rule == CHECK_NOT_SUBNORMAL) return x != 0 && x < least;
  if (x == 0) {
    if (rule != CHECK_SETTLED || !n.b) return false;
    return magnitude(n.b, i, f32s) != 0 && !(n.c && magnitude(n.c, i, f32s) == 0);
  }
  return x >= infinity || x < least || (rule == CHECK_SETTLED && x == least);
}
