// The translator's intermediate representation: docs/design/ir.md. A block is a run of nodes of 48 bytes in memory that the caller gives;
// nodes name earlier nodes by address. Nothing here knows an architecture: its state is 8-byte
// and 16-byte slots at byte offsets.

@unmanaged
export class Node {
  op: u8;
  /** Bytes of an access, an extension or a lane; GUARD's vector. */
  size: u8;
  flags: u8;
  /** Lanes known to hold zero or a normal number: bits 0-1 of f64, bits 2-5 of f32. */
  known: u8;
  a: u32; // Node
  b: u32; // Node
  c: u32; // Node
  k: i64;
  k2: i64;
  /** The evaluator's value: an i64, or the low half of a v128. */
  v: i64;
  v_high: i64;
}

export const NODE_SIZE: usize = 48;
/** Something depends on the node. */
export const NODE_LIVE: u8 = 1;
/** The probe is for writing. */
export const NODE_WRITE: u8 = 2;

// Values: i64.
export const IR_CONST: u8 = 0; // k
export const IR_GET: u8 = 1; // slot k at the block's entry
export const IR_ADD: u8 = 2; // a, b
export const IR_SUB: u8 = 3;
export const IR_MUL: u8 = 4;
export const IR_AND: u8 = 5;
export const IR_OR: u8 = 6;
export const IR_XOR: u8 = 7;
export const IR_SHL: u8 = 8;
export const IR_SHR: u8 = 9;
export const IR_SAR: u8 = 10;
export const IR_EQ: u8 = 11;
export const IR_LTU: u8 = 12;
export const IR_LTS: u8 = 13;
export const IR_UMULH: u8 = 14;
export const IR_SMULH: u8 = 15;
export const IR_SEL: u8 = 16; // c ? a : b
export const IR_POPCNT: u8 = 17; // a
export const IR_CLZ: u8 = 18;
export const IR_CTZ: u8 = 19;
export const IR_SX: u8 = 20; // a, from `size` bytes
export const IR_DIVU: u8 = 21; // a, b
export const IR_REMU: u8 = 22;
export const IR_DIVS: u8 = 23;
export const IR_REMS: u8 = 24;
export const IR_LOAD: u8 = 25; // pointer a, zero-extended
export const IR_GETM: u8 = 26; // `size` bytes of the state at k
export const IR_I64_V128: u8 = 27; // a; k = opcode
export const IR_I64_FLANE: u8 = 28; // a, b; k = opcode
export const IR_FCHECK: u8 = 29; // a, b, c; k = lanes | rule << 8
// Values: v128.
export const IR_VCONST: u8 = 30; // k, k2
export const IR_GETV: u8 = 31; // vector slot k at the block's entry
export const IR_VLOAD: u8 = 32; // pointer a, `size` bytes
export const IR_V128: u8 = 33; // a, b, c; k = opcode
export const IR_V128_I64: u8 = 34; // a, i64 b; k = opcode
export const IR_SHUFFLE: u8 = 35; // a, b; k, k2 = indices
export const IR_FLANE: u8 = 36; // a, b; k = opcode
export const IR_FLANE_I64: u8 = 37; // a, i64 b; k = opcode
// Effects; k of those that may leave is their INST.
export const IR_PROBE: u8 = 38; // address a → pointer
export const IR_STORE: u8 = 39; // pointer a, value b
export const IR_VSTORE: u8 = 40; // pointer a, v128 b
export const IR_CAS: u8 = 41; // pointer a, expected b, new c: another value makes the micro-op run again
export const IR_GUARD: u8 = 42; // a ≠ 0 raises exception `size`; b: the branch's target, if it is about that
export const IR_ESCAPE: u8 = 43; // a ≠ 0: the interpreter runs the micro-op
export const IR_FENCE: u8 = 44;
// Bookkeeping.
export const IR_INST: u8 = 45; // a micro-op begins: k = its place, a = SETs before it
export const IR_SET: u8 = 46; // slot k = a; b = the SET before
export const IR_SETV: u8 = 47; // vector slot k = a; b = the SET before
// Ends: a = SETs, k = place.
export const IR_NEXT: u8 = 48; // go on behind the micro-op
export const IR_BRANCH: u8 = 49; // to the micro-op's target if b ≠ 0, else behind it
export const IR_JUMP: u8 = 50; // to its target
export const IR_GOTO: u8 = 51; // to address b
export const IR_LEAVE: u8 = 52; // the interpreter runs the micro-op
export const IR_OPS: u8 = 53;

/** Rules of FCHECK, in bits 8 and 9 of k. */
export const CHECK_NOT_SUBNORMAL: i64 = 0;
export const CHECK_ORDINARY: i64 = 0x100;
export const CHECK_SETTLED: i64 = 0x200;

@inline export function node(p: u32): Node {
  return changetype<Node>(<usize>p);
}
@inline export function ref(n: Node): u32 {
  return <u32>changetype<usize>(n);
}

/** A place: micro-op in the low half, micro-ops retired in the block before it in the high half. */
@inline export function place(u: usize, count: u32): i64 {
  return (<i64>u) | ((<i64>count) << 32);
}
@inline export function place_uop(k: i64): usize {
  return <usize>(<u32>k);
}
@inline export function place_count(k: i64): u32 {
  return <u32>(k >>> 32);
}

/** Number of a vector slot: they lie within 512 consecutive bytes. */
@inline export function vector_slot(offset: u32): u32 {
  return (offset >>> 4) & 31;
}
/** The slot of a SET or SETV as one bit. */
@inline export function slot_bit(n: Node): u64 {
  return (<u64>1) << (n.op == IR_SETV ? <u64>vector_slot(<u32>n.k) : (<u64>n.k) >>> 3);
}

/** Is the value a v128? */
@inline export function ir_is_vector(op: u8): bool {
  return op >= IR_VCONST && op <= IR_FLANE_I64;
}
@inline export function ir_is_end(op: u8): bool {
  return op >= IR_NEXT;
}
@inline export function ir_is_set(op: u8): bool {
  return op == IR_SET || op == IR_SETV;
}
@inline export function ir_has_effect(op: u8): bool {
  return (op >= IR_PROBE && op <= IR_FENCE) || op >= IR_NEXT;
}
@inline export function ir_can_leave(op: u8): bool {
  return op == IR_PROBE || (op >= IR_CAS && op <= IR_ESCAPE);
}

/** Value of an operation on constants (or, in the evaluator, on values). */
export function ir_compute(op: u8, size: u8, x: i64, y: i64, z: i64): i64 {
  switch (op) {
    case IR_ADD:
      return x + y;
    case IR_SUB:
      return x - y;
    case IR_MUL:
      return x * y;
    case IR_AND:
      return x & y;
    case IR_OR:
      return x | y;
    case IR_XOR:
      return x ^ y;
    case IR_SHL:
      return x << y;
    case IR_SHR:
      return x >>> y;
    case IR_SAR:
      return x >> y;
    case IR_EQ:
      return <i64>(x == y);
    case IR_LTU:
      return <i64>(<u64>x < <u64>y);
    case IR_LTS:
      return <i64>(x < y);
    case IR_UMULH:
      return umulh(x, y);
    case IR_SMULH:
      return umulh(x, y) - ((x >> 63) & y) - ((y >> 63) & x);
    case IR_SEL:
      return z != 0 ? x : y;
    case IR_POPCNT:
      return popcnt<i64>(x);
    case IR_CLZ:
      return clz<i64>(x);
    case IR_CTZ:
      return ctz<i64>(x);
    // without a quotient 0: an ESCAPE before them has left
    case IR_DIVU:
      return y == 0 ? 0 : <i64>(<u64>x / <u64>y);
    case IR_REMU:
      return y == 0 ? 0 : <i64>(<u64>x % <u64>y);
    case IR_DIVS:
      return y == 0 || (x == i64.MIN_VALUE && y == -1) ? 0 : x / y;
    case IR_REMS:
      return y == 0 || y == -1 ? 0 : x % y;
    default: {
      const n = <i64>(64 - 8 * <i32>size); // IR_SX
      return (x << n) >> n;
    }
  }
}

/** High half of the 128-bit product, schoolbook with 32-bit digits. */
function umulh(x: i64, y: i64): i64 {
  const low: i64 = 0xffffffff;
  const cross = (x >>> 32) * (y & low) + (((x & low) * (y & low)) >>> 32);
  const other = (x & low) * (y >>> 32) + (cross & low);
  return (x >>> 32) * (y >>> 32) + (cross >>> 32) + (other >>> 32);
}

/** Mark what the block's effects, exits and end depend on; the rest need not be computed. */
export function ir_mark(first: usize, end: usize): void {
  for (let p = end; p > first; ) {
    p -= NODE_SIZE;
    const n = changetype<Node>(p);
    if (ir_has_effect(n.op)) n.flags |= NODE_LIVE;
    if (!(n.flags & NODE_LIVE) || ir_is_set(n.op)) continue;
    if (n.op != IR_INST && !ir_is_end(n.op)) {
      if (n.a) node(n.a).flags |= NODE_LIVE;
    } else if (ir_is_end(n.op)) mark_state(n.a);
    if (n.b) node(n.b).flags |= NODE_LIVE;
    if (n.c) node(n.c).flags |= NODE_LIVE;
    if (ir_can_leave(n.op)) mark_state(node(<u32>n.k).a);
  }
}

/** The values that an exit writes: the last SET of each slot. */
function mark_state(s: u32): void {
  let seen: u64 = 0;
  let vectors: u64 = 0;
  for (; s; s = node(s).b) {
    const n = node(s);
    const bit = slot_bit(n);
    if (!((n.op == IR_SETV ? vectors : seen) & bit)) node(n.a).flags |= NODE_LIVE;
    if (n.op == IR_SETV) vectors |= bit;
    else seen |= bit;
  }
}
