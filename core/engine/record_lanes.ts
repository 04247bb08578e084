// The recording builder's operations on vectors, named as in EvalVector: W = Node. Constants are folded, and what bodies say of lanes one by
// one becomes a single operation where there is one.
import { IR_I64_V128, IR_LOAD, IR_SHUFFLE, IR_V128, IR_V128_I64, IR_VCONST, IR_VLOAD, Node, node, ref } from './ir';
import { ir_vector } from './ir_vector';
import { NONE, RecordBase, is_value_any, is_zero } from './record_base';

const AND: u32 = 78;
const REPLACE_8: u32 = 23;
const REPLACE_16: u32 = 26;
const REPLACE_32: u32 = 28;
const REPLACE_64: u32 = 30;
const EXTRACT_32: u32 = 27;
const EXTRACT_64: u32 = 29;
const SPLAT_8: u32 = 15;
const SPLAT_64: u32 = 18;

/** Indices of the bytes as they are. */
const SAME_LOW: i64 = 0x0706050403020100;
const SAME_HIGH: i64 = 0x0f0e0d0c0b0a0908;
const SECOND: i64 = 0x1010101010101010;

@unmanaged
export class RecordLanes extends RecordBase {
  // ---- nodes
  vk(lo: i64, hi: i64): Node {
    const n = this.emit(IR_VCONST, 0, 0, 0, 0);
    n.k = lo;
    n.k2 = hi;
    n.known = ordinary_lanes(n);
    return n;
  }
  /** A node that computes on values with opcode k, folded if they are constants. */
  vnode(op: u8, k: u32, x: Node, y: Node, z: Node): Node {
    const n = this.emit(op, 0, ref(x), ref(y), ref(z));
    n.k = <i64>k;
    return this.folded(n);
  }
  folded(n: Node): Node {
    if (!set_constant(n.a) || !set_constant(n.b) || !set_constant(n.c) || !ir_vector(n)) return n;
    return n.op == IR_I64_V128 ? this.k(n.v) : this.vk(n.v, n.v_high);
  }
  v1(k: u32, x: Node): Node {
    return this.vnode(IR_V128, k, x, NONE(), NONE());
  }
  v2(k: u32, x: Node, y: Node): Node {
    return this.vnode(IR_V128, k, x, y, NONE());
  }
  vi(k: u32, x: Node, n: Node): Node {
    return this.vnode(IR_V128_I64, k, x, n, NONE());
  }
  vint(k: u32, x: Node): Node {
    return this.vnode(IR_I64_V128, k, x, NONE(), NONE());
  }
  /** Bytes of x (0-15) and y (16-31). */
  shuffle(x: Node, y: Node, lo: i64, hi: i64): Node {
    const n = this.emit(IR_SHUFFLE, 0, ref(x), ref(y), 0);
    n.k = lo;
    n.k2 = hi;
    n.known = shuffled_lanes(n);
    return this.folded(n);
  }
  /** x with lane i of `size` bytes replaced by v. */
  insert(x: Node, size: i32, i: u32, v: Node): Node {
    if (size == 8 && is_extract(v, EXTRACT_64)) {
      // the lane of another vector
      const from = 0x1716151413121110 + (v.k >> 16) * 0x0808080808080808;
      return this.shuffle(x, node(v.a), i ? SAME_LOW : from, i ? from : SAME_HIGH);
    }
    const k = size == 8 ? REPLACE_64 : size == 4 ? REPLACE_32 : size == 2 ? REPLACE_16 : REPLACE_8;
    const n = this.vi(k | (i << 16), x, v);
    if (n.op == IR_V128_I64) n.known = x.known & ~lanes_at(i * size, size);
    return n;
  }

  // ---- whole vectors
  pair(lo: Node, hi: Node): Node {
    if (is_value_any(lo) && is_value_any(hi)) return this.vk(lo.k, hi.k);
    if (is_zero(hi)) return this.low(lo);
    const x = is_extract(lo, EXTRACT_64) && lo.k >> 16 == 0 ? node(lo.a) : this.vi(SPLAT_64, NONE(), lo);
    return this.insert(x, 8, 1, hi);
  }
  /** v below zeros. */
  low(v: Node): Node {
    // Only what this micro-op has read: since an earlier one's load there may have been a store to the same place.
    if (v.op == IR_LOAD && v.size >= 4 && ref(v) > this.inst) {
      const n = this.emit(IR_VLOAD, v.size, v.a, 0, 0);
      n.known = v.size == 8 ? 2 | 0x30 : 2 | 0x38;
      return n;
    }
    if (is_extract(v, EXTRACT_64)) {
      const from = SAME_LOW + (v.k >> 16) * 0x0808080808080808;
      return v.k >> 16 ? this.shuffle(node(v.a), this.v128_zero(), from, SECOND) : this.cut(node(v.a), -1);
    }
    if (is_extract(v, EXTRACT_32)) {
      if (v.k >> 16 == 0) return this.cut(node(v.a), 0xffffffff);
      const from = 0x1010101003020100 + (v.k >> 16) * 0x04040404;
      return this.shuffle(node(v.a), this.v128_zero(), from, SECOND);
    }
    const n = this.vi(REPLACE_64, this.v128_zero(), v);
    n.known |= 2 | 0x30;
    return n;
  }
  /** The low bits of x that the mask names; the mask is whole lanes. */
  cut(x: Node, mask: i64): Node {
    const n = this.v2(AND, x, this.vk(mask, 0));
    n.known = 2 | 0x30 | (mask == -1 ? x.known & 0xd : 8 | (x.known & 4));
    return n;
  }
  half(w: Node, i: i32): Node {
    return this.vint(EXTRACT_64 | (i << 16), w);
  }
  v128_zero(): Node {
    return this.vk(0, 0);
  }
  v128_and(x: Node, y: Node): Node {
    if (x === y || is_ones(y) || is_nothing(x)) return x;
    return is_ones(x) || is_nothing(y) ? y : this.v2(AND, x, y);
  }
  v128_or(x: Node, y: Node): Node {
    if (x === y || is_nothing(y)) return x;
    if (is_nothing(x)) return y;
    const n = this.merged(x, y);
    return changetype<usize>(n) ? n : this.v2(80, x, y);
  }
  /** Two shuffles into zeros that do not overlap are one. */
  merged(x: Node, y: Node): Node {
    if (x.op != IR_SHUFFLE || y.op != IR_SHUFFLE || !is_nothing(node(x.b)) || !is_nothing(node(y.b))) return NONE();
    // each byte comes from exactly one of them
    if (((x.k ^ y.k) & (x.k2 ^ y.k2) & SECOND) != SECOND) return NONE();
    return this.shuffle(node(x.a), node(y.a), join(x.k, y.k), join(x.k2, y.k2));
  }
  v128_xor(x: Node, y: Node): Node {
    if (x === y) return this.v128_zero();
    return is_nothing(y) ? x : is_nothing(x) ? y : this.v2(81, x, y);
  }
  v128_andnot(x: Node, y: Node): Node {
    if (x === y) return this.v128_zero();
    return is_nothing(y) || is_nothing(x) ? x : this.v2(79, x, y);
  }
  /** A mask of whole bytes picks lanes. */
  v128_bitselect(x: Node, y: Node, mask: Node): Node {
    if (is_nothing(mask)) return y;
    if (is_ones(mask)) return x;
    if (mask.op != IR_VCONST || !whole_bytes(mask.k) || !whole_bytes(mask.k2))
      return this.vnode(IR_V128, 82, x, y, mask);
    const size = splat_size(x);
    for (let i: u32 = 0; size && i < 16; i += size)
      if (is_lane(mask, i, size)) return this.insert(y, size, i / size, node(x.b));
    return this.shuffle(y, x, SAME_LOW + (mask.k & SECOND), SAME_HIGH + (mask.k2 & SECOND));
  }
  v128_any_true(x: Node): Node {
    return this.vint(83, x);
  }
  i8x16_swizzle(x: Node, y: Node): Node {
    if (y.op != IR_VCONST) return this.v2(14, x, y);
    return this.shuffle(x, this.v128_zero(), beyond(y.k), beyond(y.k2));
  }
  v128_not(x: Node): Node {
    return this.v1(77, x);
  }
  i8x16_splat(x: Node): Node {
    return this.vi(15, NONE(), x);
  }
  i16x8_splat(x: Node): Node {
    return this.vi(16, NONE(), x);
  }
  i32x4_splat(x: Node): Node {
    return this.vi(17, NONE(), x);
  }
  i64x2_splat(x: Node): Node {
    return this.vi(18, NONE(), x);
  }
  i8x16_bitmask(x: Node): Node {
    return this.vint(100, x);
  }
  i32x4_bitmask(x: Node): Node {
    return this.vint(164, x);
  }
  i64x2_bitmask(x: Node): Node {
    return this.vint(196, x);
  }
  unpack_lo8(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x1303120211011000, 0x1707160615051404);
  }
  unpack_hi8(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x1b0b1a0a19091808, 0x1f0f1e0e1d0d1c0c);
  }
  unpack_lo16(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x1312030211100100, 0x1716070615140504);
  }
  unpack_hi16(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x1b1a0b0a19180908, 0x1f1e0f0e1d1c0d0c);
  }
  unpack_lo32(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x1312111003020100, 0x1716151407060504);
  }
  unpack_hi32(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x1b1a19180b0a0908, 0x1f1e1d1c0f0e0d0c);
  }
  unpack_lo64(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x0706050403020100, 0x1716151413121110);
  }
  unpack_hi64(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x0f0e0d0c0b0a0908, 0x1f1e1d1c1b1a1918);
  }
  even16(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x0d0c090805040100, 0x1d1c191815141110);
  }
  odd16(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x0f0e0b0a07060302, 0x1f1e1b1a17161312);
  }
  even32(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x0b0a090803020100, 0x1b1a191813121110);
  }
  odd32(x: Node, y: Node): Node {
    return this.shuffle(x, y, 0x0f0e0d0c07060504, 0x1f1e1d1c17161514);
  }
  i8x16_add(x: Node, y: Node): Node {
    return this.v2(110, x, y);
  }
  i16x8_add(x: Node, y: Node): Node {
    return this.v2(142, x, y);
  }
  i32x4_add(x: Node, y: Node): Node {
    return this.v2(174, x, y);
  }
  i64x2_add(x: Node, y: Node): Node {
    return this.v2(206, x, y);
  }
  i8x16_sub(x: Node, y: Node): Node {
    return this.v2(113, x, y);
  }
  i16x8_sub(x: Node, y: Node): Node {
    return this.v2(145, x, y);
  }
  i32x4_sub(x: Node, y: Node): Node {
    return this.v2(177, x, y);
  }
  i64x2_sub(x: Node, y: Node): Node {
    return this.v2(209, x, y);
  }
  i8x16_add_sat_s(x: Node, y: Node): Node {
    return this.v2(111, x, y);
  }
  i8x16_add_sat_u(x: Node, y: Node): Node {
    return this.v2(112, x, y);
  }
  i16x8_add_sat_s(x: Node, y: Node): Node {
    return this.v2(143, x, y);
  }
  i16x8_add_sat_u(x: Node, y: Node): Node {
    return this.v2(144, x, y);
  }
  i8x16_sub_sat_s(x: Node, y: Node): Node {
    return this.v2(114, x, y);
  }
  i8x16_sub_sat_u(x: Node, y: Node): Node {
    return this.v2(115, x, y);
  }
  i16x8_sub_sat_s(x: Node, y: Node): Node {
    return this.v2(146, x, y);
  }
  i16x8_sub_sat_u(x: Node, y: Node): Node {
    return this.v2(147, x, y);
  }
  i16x8_mul(x: Node, y: Node): Node {
    return this.v2(149, x, y);
  }
  i32x4_mul(x: Node, y: Node): Node {
    return this.v2(181, x, y);
  }
  i16x8_q15mulr_sat_s(x: Node, y: Node): Node {
    return this.v2(130, x, y);
  }
  i32x4_dot_i16x8_s(x: Node, y: Node): Node {
    return this.v2(186, x, y);
  }
  i32x4_extmul_low_i16x8_s(x: Node, y: Node): Node {
    return this.v2(188, x, y);
  }
  i32x4_extmul_high_i16x8_s(x: Node, y: Node): Node {
    return this.v2(189, x, y);
  }
  i32x4_extmul_low_i16x8_u(x: Node, y: Node): Node {
    return this.v2(190, x, y);
  }
  i32x4_extmul_high_i16x8_u(x: Node, y: Node): Node {
    return this.v2(191, x, y);
  }
  i64x2_extmul_low_i32x4_s(x: Node, y: Node): Node {
    return this.v2(220, x, y);
  }
  i64x2_extmul_low_i32x4_u(x: Node, y: Node): Node {
    return this.v2(222, x, y);
  }
  i16x8_extadd_pairwise_i8x16_u(x: Node): Node {
    return this.v1(125, x);
  }
  i32x4_extadd_pairwise_i16x8_u(x: Node): Node {
    return this.v1(127, x);
  }
  i8x16_avgr_u(x: Node, y: Node): Node {
    return this.v2(123, x, y);
  }
  i16x8_avgr_u(x: Node, y: Node): Node {
    return this.v2(155, x, y);
  }
  i8x16_min_s(x: Node, y: Node): Node {
    return this.v2(118, x, y);
  }
  i8x16_min_u(x: Node, y: Node): Node {
    return this.v2(119, x, y);
  }
  i8x16_max_s(x: Node, y: Node): Node {
    return this.v2(120, x, y);
  }
  i8x16_max_u(x: Node, y: Node): Node {
    return this.v2(121, x, y);
  }
  i16x8_min_s(x: Node, y: Node): Node {
    return this.v2(150, x, y);
  }
  i16x8_min_u(x: Node, y: Node): Node {
    return this.v2(151, x, y);
  }
  i16x8_max_s(x: Node, y: Node): Node {
    return this.v2(152, x, y);
  }
  i16x8_max_u(x: Node, y: Node): Node {
    return this.v2(153, x, y);
  }
  i32x4_min_s(x: Node, y: Node): Node {
    return this.v2(182, x, y);
  }
  i32x4_min_u(x: Node, y: Node): Node {
    return this.v2(183, x, y);
  }
  i32x4_max_s(x: Node, y: Node): Node {
    return this.v2(184, x, y);
  }
  i32x4_max_u(x: Node, y: Node): Node {
    return this.v2(185, x, y);
  }
  i8x16_abs(x: Node): Node {
    return this.v1(96, x);
  }
  i16x8_abs(x: Node): Node {
    return this.v1(128, x);
  }
  i32x4_abs(x: Node): Node {
    return this.v1(160, x);
  }
  i8x16_eq(x: Node, y: Node): Node {
    return this.v2(35, x, y);
  }
  i16x8_eq(x: Node, y: Node): Node {
    return this.v2(45, x, y);
  }
  i32x4_eq(x: Node, y: Node): Node {
    return this.v2(55, x, y);
  }
  i64x2_eq(x: Node, y: Node): Node {
    return this.v2(214, x, y);
  }
  i8x16_gt_s(x: Node, y: Node): Node {
    return this.v2(39, x, y);
  }
  i16x8_gt_s(x: Node, y: Node): Node {
    return this.v2(49, x, y);
  }
  i32x4_gt_s(x: Node, y: Node): Node {
    return this.v2(59, x, y);
  }
  i64x2_gt_s(x: Node, y: Node): Node {
    return this.v2(217, x, y);
  }
  i16x8_shl(x: Node, n: Node): Node {
    return this.vi(139, x, n);
  }
  i32x4_shl(x: Node, n: Node): Node {
    return this.vi(171, x, n);
  }
  i64x2_shl(x: Node, n: Node): Node {
    return this.vi(203, x, n);
  }
  i16x8_shr_u(x: Node, n: Node): Node {
    return this.vi(141, x, n);
  }
  i32x4_shr_u(x: Node, n: Node): Node {
    return this.vi(173, x, n);
  }
  i64x2_shr_u(x: Node, n: Node): Node {
    return this.vi(205, x, n);
  }
  i8x16_shr_s(x: Node, n: Node): Node {
    return this.vi(108, x, n);
  }
  i16x8_shr_s(x: Node, n: Node): Node {
    return this.vi(140, x, n);
  }
  i32x4_shr_s(x: Node, n: Node): Node {
    return this.vi(172, x, n);
  }
  i64x2_shr_s(x: Node, n: Node): Node {
    return this.vi(204, x, n);
  }
  i8x16_narrow_i16x8_s(x: Node, y: Node): Node {
    return this.v2(101, x, y);
  }
  i8x16_narrow_i16x8_u(x: Node, y: Node): Node {
    return this.v2(102, x, y);
  }
  i16x8_narrow_i32x4_s(x: Node, y: Node): Node {
    return this.v2(133, x, y);
  }
  i16x8_narrow_i32x4_u(x: Node, y: Node): Node {
    return this.v2(134, x, y);
  }
  i16x8_extend_low_i8x16_s(x: Node): Node {
    return this.v1(135, x);
  }
  i16x8_extend_low_i8x16_u(x: Node): Node {
    return this.v1(137, x);
  }
  i32x4_extend_low_i16x8_s(x: Node): Node {
    return this.v1(167, x);
  }
  i32x4_extend_low_i16x8_u(x: Node): Node {
    return this.v1(169, x);
  }
  i64x2_extend_low_i32x4_s(x: Node): Node {
    return this.v1(199, x);
  }
  i64x2_extend_low_i32x4_u(x: Node): Node {
    return this.v1(201, x);
  }
}

/** Sets the evaluator's value of an operand if it is a constant, or none. */
function set_constant(p: u32): bool {
  if (p == 0) return true;
  const n = node(p);
  if (n.op != IR_VCONST && !is_value_any(n)) return false;
  n.v = n.k;
  n.v_high = n.k2;
  return true;
}

function is_extract(v: Node, k: u32): bool {
  return v.op == IR_I64_V128 && ((<u32>v.k) & 0xffff) == k;
}
function is_nothing(x: Node): bool {
  return x.op == IR_VCONST && (x.k | x.k2) == 0;
}
function is_ones(x: Node): bool {
  return x.op == IR_VCONST && (x.k & x.k2) == -1;
}
/** Lane bytes of a splat that is no constant, else 0. */
function splat_size(x: Node): u32 {
  const k = <u32>x.k;
  return x.op == IR_V128_I64 && k >= SPLAT_8 && k <= SPLAT_64 ? 1 << (k - SPLAT_8) : 0;
}
function mask_byte(n: Node, i: u32): u8 {
  return load<u8>(changetype<usize>(n) + offsetof<Node>('k') + i);
}
/** Are exactly the bytes from i on, as many as `size`, chosen by the mask? */
function is_lane(mask: Node, i: u32, size: u32): bool {
  for (let j: u32 = 0; j < 16; j++) if ((mask_byte(mask, j) != 0) != j - i < size) return false;
  return true;
}
function whole_bytes(v: i64): bool {
  return (v & 0x0101010101010101) * 0xff == v;
}
/** Indices above 15 made 16 up. */
function beyond(v: i64): i64 {
  let r: i64 = 0;
  for (let i: i64 = 0; i < 64; i += 8) {
    const at = (v >> i) & 0xff;
    r |= (at > 15 ? 16 : at) << i;
  }
  return r;
}
/** Indices of x where they name its bytes, else those of y, which is the second vector. */
function join(x: i64, y: i64): i64 {
  const second = ((x & SECOND) >> 4) * 0xff;
  return (x & ~second) | ((y | SECOND) & second);
}

// ---- which lanes are known: see Node.known
/** The lanes that bytes i up to i + size touch. */
function lanes_at(i: u32, size: u32): u8 {
  const first = i >> 2;
  const last = (i + size - 1) >> 2;
  let r: u32 = 0;
  for (let j = first; j <= last; j++) r |= (4 << j) | (1 << (j >> 1));
  return <u8>r;
}
/** Lanes of a constant that are zero or normal. */
function ordinary_lanes(n: Node): u8 {
  let r: u32 = 0;
  const p = changetype<usize>(n) + offsetof<Node>('k');
  for (let i: u32 = 0; i < 2; i++) {
    const e = (load<u64>(p + (i << 3)) >> 52) & 0x7ff;
    if ((e && e != 0x7ff) || load<u64>(p + (i << 3)) << 1 == 0) r |= 1 << i;
  }
  for (let i: u32 = 0; i < 4; i++) {
    const e = (load<u32>(p + (i << 2)) >> 23) & 0xff;
    if ((e && e != 0xff) || load<u32>(p + (i << 2)) << 1 == 0) r |= 4 << i;
  }
  return <u8>r;
}
/** Lanes of a shuffle that are whole lanes of its operands known to be zero or normal. */
function shuffled_lanes(n: Node): u8 {
  let r: u32 = 0;
  for (let i: u32 = 0; i < 2; i++) if (from_known(n, i << 3, 8)) r |= 1 << i;
  for (let i: u32 = 0; i < 4; i++) if (from_known(n, i << 2, 4)) r |= 4 << i;
  return <u8>r;
}
function from_known(n: Node, i: u32, size: u32): bool {
  const at = <u32>mask_byte(n, i);
  if (at & (size - 1)) return false;
  for (let j: u32 = 1; j < size; j++) if (mask_byte(n, i + j) != at + j) return false;
  const lane = (at & 15) / size;
  return (((<u32>node(at < 16 ? n.a : n.b).known) >> (size == 8 ? lane : lane + 2)) & 1) != 0;
}
