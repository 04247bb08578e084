// What a recording builder does whatever the architecture: V = Node. It writes a block's nodes (ir.ts) into memory that the caller gives;
// constants are folded, slots are read and written in this structure and reach the state at exits and at the end only.
import {
  IR_ADD,
  IR_AND,
  IR_BRANCH,
  IR_CAS,
  IR_CLZ,
  IR_CONST,
  IR_CTZ,
  IR_EQ,
  IR_FENCE,
  IR_ESCAPE,
  IR_GET,
  IR_GETM,
  IR_GETV,
  IR_GOTO,
  IR_GUARD,
  IR_I64_V128,
  IR_INST,
  IR_JUMP,
  IR_LEAVE,
  IR_LOAD,
  IR_LTS,
  IR_LTU,
  IR_MUL,
  IR_NEXT,
  IR_OR,
  IR_POPCNT,
  IR_PROBE,
  IR_SAR,
  IR_SEL,
  IR_SET,
  IR_SETV,
  IR_SHL,
  IR_SHR,
  IR_SMULH,
  IR_STORE,
  IR_SUB,
  IR_SX,
  IR_UMULH,
  IR_XOR,
  NODE_SIZE,
  NODE_WRITE,
  Node,
  ir_compute,
  ir_mark,
  node,
  place,
  ref,
  vector_slot,
} from './ir';

/** State offsets below 8 × this are slots; instructions name no others. */
export const SLOTS: u32 = 64;
/** Vector slots. */
const VECTORS: u32 = 32;
/** A recorder: its fields, the current node of each slot and vector slot, the same as the micro-op found them, offsets of the vector slots. */
const CURRENT: usize = 96;
const CURRENT_V: usize = CURRENT + 4 * SLOTS;
const CURRENT_SIZE: usize = 4 * (SLOTS + VECTORS);
const SAVED: usize = CURRENT + CURRENT_SIZE;
const OFFSETS: usize = SAVED + CURRENT_SIZE;
export const RECORD_SIZE: usize = OFFSETS + 4 * VECTORS;

/** What ends the recording of a micro-op early. */
const GOING: u32 = 0;
/** Its block end is written. */
const ENDED: u32 = 1;
/** It cannot be recorded. */
const LEFT: u32 = 2;
/** No room for more nodes. */
const FULL: u32 = 3;

@unmanaged
export class RecordBase {
  first: u32;
  cursor: u32;
  /** Where the last node but one must end: the block's end needs a node. */
  limit: u32;
  /** The last SET of the micro-ops before this one. */
  sets: u32;
  /** This micro-op's INST. */
  inst: u32;
  uop: u32;
  status: u32;
  /** Micro-ops recorded. */
  count: u32;
  /** Slots that this micro-op has written. */
  dirty: u64;
  dirty_v: u32;
  mode: u32;
  /** The block has checked the floating-point environment. */
  float_checked: bool;
  /** What the flags come of (record_flags.ts). */
  flags_kind: u32;

  // ---- a block: start; for each micro-op begin, its body, finish; close unless finish said that it is ended
  start(buffer: usize, bytes: usize, mode: u32): void {
    this.first = this.cursor = <u32>buffer;
    this.limit = <u32>(buffer + bytes - NODE_SIZE);
    this.sets = this.count = 0;
    this.mode = mode;
    this.float_checked = false;
    this.flags_kind = 0;
    memory.fill(changetype<usize>(this) + CURRENT, 0, CURRENT_SIZE);
  }
  begin(u: usize): void {
    memory.copy(changetype<usize>(this) + SAVED, changetype<usize>(this) + CURRENT, CURRENT_SIZE);
    this.status = GOING;
    this.dirty = 0;
    this.dirty_v = 0;
    this.uop = <u32>u;
    this.inst = this.cursor;
    const n = this.emit(IR_INST, 0, this.sets, 0, 0);
    n.k = place(u, this.count);
  }
  /** True: another micro-op may follow. Else the block has its end. */
  finish(): bool {
    if (this.status == GOING) {
      this.flush();
      if (this.status == GOING) {
        this.count++;
        return true;
      }
    }
    if (this.status != ENDED) this.undo();
    ir_mark(this.first, this.cursor);
    return false;
  }
  /** End the block behind the last micro-op recorded. */
  close(): void {
    this.end(IR_NEXT, 0);
    ir_mark(this.first, this.cursor);
  }
  /** Forget what the micro-op wrote, and let the interpreter run it. */
  undo(): void {
    memory.copy(changetype<usize>(this) + CURRENT, changetype<usize>(this) + SAVED, CURRENT_SIZE);
    this.cursor = this.inst;
    // flush() may have chained SETs already: the INST's are those of before
    this.sets = this.sets_before();
    this.end(IR_LEAVE, 0);
  }
  /** The chain without SETs of nodes that are no more. */
  sets_before(): u32 {
    let s = this.sets;
    while (s >= this.inst && s != 0) s = node(s).b;
    return s;
  }
  end(op: u8, target: u32): void {
    const n = changetype<Node>(<usize>this.cursor);
    this.cursor += <u32>NODE_SIZE;
    fill(n, op, 0, this.sets, target, 0);
    n.k = place(this.uop, this.count);
  }

  // ---- nodes
  emit(op: u8, size: u8, a: u32, b: u32, c: u32): Node {
    const n = changetype<Node>(<usize>this.cursor);
    if (this.cursor + <u32>NODE_SIZE > this.limit) {
      // the micro-op will be undone; until then its nodes overwrite each other
      this.status = FULL;
      fill(n, IR_CONST, 0, 0, 0, 0);
      return n;
    }
    this.cursor += <u32>NODE_SIZE;
    fill(n, op, size, a, b, c);
    return n;
  }
  /** An operation on values, folded if they are constants. */
  compute(op: u8, size: u8, x: Node, y: Node, z: Node): Node {
    if (changetype<usize>(x) == 0) return x;
    if (is_k(x) && is_k(y) && is_k(z)) {
      const yk = changetype<usize>(y) ? y.k : 0;
      const zk = changetype<usize>(z) ? z.k : 0;
      return this.k(ir_compute(op, size, x.k, yk, zk));
    }
    return this.emit(op, size, ref(x), ref(y), ref(z));
  }
  one(op: u8, x: Node): Node {
    return this.compute(op, 0, x, NONE(), NONE());
  }
  two(op: u8, x: Node, y: Node): Node {
    return this.compute(op, 0, x, y, NONE());
  }

  // ---- constants and arithmetic: as EvalBase
  k(v: i64): Node {
    const n = this.emit(IR_CONST, 0, 0, 0, 0);
    n.k = v;
    return n;
  }
  add(x: Node, y: Node): Node {
    if (is_zero(y)) return x;
    if (is_zero(x)) return y;
    return this.two(IR_ADD, x, y);
  }
  sub(x: Node, y: Node): Node {
    if (same(x, y)) return this.k(0);
    return is_zero(y) ? x : this.two(IR_SUB, x, y);
  }
  mul(x: Node, y: Node): Node {
    return this.two(IR_MUL, x, y);
  }
  and(x: Node, y: Node): Node {
    if (is_zero(x) || is_value(y, -1)) return x;
    if (is_zero(y) || is_value(x, -1)) return y;
    // masks of masks: registers' parts are cut more than once
    if (is_value_any(y) && changetype<usize>(x) && x.op == IR_AND && is_k(node(x.b)))
      return this.and(node(x.a), this.k(y.k & node(x.b).k));
    return this.two(IR_AND, x, y);
  }
  or(x: Node, y: Node): Node {
    if (is_zero(y)) return x;
    if (is_zero(x)) return y;
    return this.two(IR_OR, x, y);
  }
  xor(x: Node, y: Node): Node {
    if (same(x, y)) return this.k(0);
    return is_zero(y) ? x : this.two(IR_XOR, x, y);
  }
  not(x: Node): Node {
    return this.xor(x, this.k(-1));
  }
  neg(x: Node): Node {
    return this.two(IR_SUB, this.k(0), x);
  }
  shl(x: Node, n: Node): Node {
    return is_zero(n) ? x : this.two(IR_SHL, x, n);
  }
  shr(x: Node, n: Node): Node {
    return is_zero(n) ? x : this.two(IR_SHR, x, n);
  }
  sar(x: Node, n: Node): Node {
    return is_zero(n) ? x : this.two(IR_SAR, x, n);
  }
  eq(x: Node, y: Node): Node {
    // the sign does not matter then
    if (is_zero(y) && changetype<usize>(x) && x.op == IR_SX)
      return this.eq(this.and(node(x.a), this.k(((<i64>1) << (<i64>x.size * 8)) - 1)), y);
    return this.two(IR_EQ, x, y);
  }
  ltu(x: Node, y: Node): Node {
    return this.two(IR_LTU, x, y);
  }
  lts(x: Node, y: Node): Node {
    return this.two(IR_LTS, x, y);
  }
  eqz(x: Node): Node {
    return this.eq(x, this.k(0));
  }
  sel(c: Node, x: Node, y: Node): Node {
    if (is_value_any(c)) return c.k != 0 ? x : y;
    return this.emit(IR_SEL, 0, ref(x), ref(y), ref(c));
  }
  popcnt(x: Node): Node {
    return this.one(IR_POPCNT, x);
  }
  clz(x: Node): Node {
    return this.one(IR_CLZ, x);
  }
  ctz(x: Node): Node {
    return this.one(IR_CTZ, x);
  }
  umulh(x: Node, y: Node): Node {
    return this.two(IR_UMULH, x, y);
  }
  smulh(x: Node, y: Node): Node {
    return this.two(IR_SMULH, x, y);
  }
  zx<T>(x: Node): Node {
    return this.and(x, this.k(mask<T>()));
  }
  sx<T>(x: Node): Node {
    return sizeof<T>() == 8 ? x : this.extend(x, sizeof<T>());
  }
  /** Sign-extended from `bytes` < 8 bytes, unless it is so already. */
  extend(x: Node, bytes: u32): Node {
    const sign = (<i64>1) << (<i64>bytes * 8 - 1);
    if (changetype<usize>(x) && x.op == IR_AND && is_k(node(x.b)) && <u64>node(x.b).k < <u64>sign) return x;
    return this.compute(IR_SX, <u8>bytes, x, NONE(), NONE());
  }

  // ---- state
  slot(i: u32): Node {
    const p = changetype<usize>(this) + CURRENT + ((<usize>i) << 2);
    const now = load<u32>(p);
    if (now) return node(now);
    const n = this.emit(IR_GET, 0, 0, 0, 0);
    n.k = (<i64>i) << 3;
    store<u32>(p, ref(n));
    return n;
  }
  set_slot(i: u32, v: Node): void {
    store<u32>(changetype<usize>(this) + CURRENT + ((<usize>i) << 2), ref(v));
    this.dirty |= (<u64>1) << (<u64>i);
  }
  /** The vector slot at state offset `o`. */
  vslot(o: u32): Node {
    const p = changetype<usize>(this) + CURRENT_V + ((<usize>vector_slot(o)) << 2);
    const now = load<u32>(p);
    if (now) return node(now);
    const n = this.emit(IR_GETV, 0, 0, 0, 0);
    n.k = <i64>o;
    store<u32>(p, ref(n));
    return n;
  }
  set_vslot(o: u32, w: Node): void {
    const i = vector_slot(o);
    store<u32>(changetype<usize>(this) + CURRENT_V + ((<usize>i) << 2), ref(w));
    store<u32>(changetype<usize>(this) + OFFSETS + ((<usize>i) << 2), o);
    this.dirty_v |= (<u32>1) << i;
  }
  /** State that no block writes. */
  state<T>(o: u32): Node {
    const n = this.emit(IR_GETM, <u8>sizeof<T>(), 0, 0, 0);
    n.k = <i64>o;
    return n;
  }
  getr<T>(o: u32): Node {
    return this.zx<T>(this.shr(this.slot(o >>> 3), this.k((<i64>(o & 7)) << 3)));
  }
  setr<T>(o: u32, v: Node): void {
    const x = this.zx<T>(v);
    if (sizeof<T>() >= 4) return this.set_slot(o >>> 3, x);
    const shift = (<i64>(o & 7)) << 3;
    const rest = this.and(this.slot(o >>> 3), this.k(~(mask<T>() << shift)));
    this.set_slot(o >>> 3, this.or(rest, this.shl(x, this.k(shift))));
  }
  /** Chain what this micro-op wrote. */
  flush(): void {
    let d = this.dirty;
    this.dirty = 0;
    for (; d != 0; d &= d - 1) {
      const i = <u32>ctz<u64>(d);
      const n = this.emit(IR_SET, 0, ref(this.slot(i)), this.sets, 0);
      if (this.status != GOING) return;
      n.k = (<i64>i) << 3;
      this.sets = ref(n);
    }
    this.flush_vectors();
  }
  flush_vectors(): void {
    let d = this.dirty_v;
    this.dirty_v = 0;
    for (; d != 0; d &= d - 1) {
      const o = load<u32>(changetype<usize>(this) + OFFSETS + ((<usize>ctz<u32>(d)) << 2));
      const n = this.emit(IR_SETV, 0, ref(this.vslot(o)), this.sets, 0);
      if (this.status != GOING) return;
      n.k = <i64>o;
      this.sets = ref(n);
    }
  }

  // ---- memory
  /** Recording cannot go on: the block ends before this micro-op. */
  leave(): Node {
    if (this.status == GOING) this.status = LEFT;
    return NONE();
  }
  recording_ended(): bool {
    return this.status != GOING;
  }
  bad(p: Node): bool {
    return changetype<usize>(p) == 0;
  }
  probe<T>(va: Node, w: bool): Node {
    return this.probe_n(va, sizeof<T>(), w);
  }
  probe_n(va: Node, size: i32, w: bool): Node {
    if (changetype<usize>(va) == 0) return va;
    const n = this.emit(IR_PROBE, <u8>size, ref(va), 0, 0);
    if (w) n.flags = NODE_WRITE;
    n.k = <i64>this.inst;
    return n;
  }
  /** A pointer that is a constant is a place in a vector slot: probes give none. */
  ldp<T>(p: Node): Node {
    if (is_value_any(p)) return this.part(<u32>p.k, sizeof<T>());
    return this.emit(IR_LOAD, <u8>sizeof<T>(), ref(p), 0, 0);
  }
  /** `size` bytes of a vector slot, zero-extended: its lane. */
  part(o: u32, size: i32): Node {
    const n = this.emit(IR_I64_V128, 0, ref(this.vslot(o & ~15)), 0, 0);
    const lane = (o & 15) / <u32>size;
    n.k = <i64>((size == 8 ? 29 : size == 4 ? 27 : size == 2 ? 25 : 22) | (lane << 16));
    return n;
  }
  stp<T>(p: Node, v: Node): void {
    this.emit(IR_STORE, <u8>sizeof<T>(), ref(p), ref(v), 0);
  }
  cas<T>(p: Node, x: Node, v: Node): bool {
    const n = this.emit(IR_CAS, <u8>sizeof<T>(), ref(p), ref(x), ref(v));
    n.k = <i64>this.inst;
    return true;
  }
  retry(): i32 {
    return 1;
  }
  guard(c: Node, vector: i32): bool {
    if (is_zero(c)) return false;
    const n = this.emit(IR_GUARD, <u8>vector, ref(c), 0, 0);
    n.k = <i64>this.inst;
    return false;
  }
  /** A guard against branching to `target`: where that is known to be a good one it is not looked at. */
  guard_target(c: Node, vector: i32, target: Node): void {
    if (is_zero(c)) return;
    const n = this.emit(IR_GUARD, <u8>vector, ref(c), ref(target), 0);
    n.k = <i64>this.inst;
  }
  /** Leave for the interpreter if c ≠ 0. */
  escape(c: Node): void {
    if (changetype<usize>(c) == 0 || is_zero(c)) return;
    const n = this.emit(IR_ESCAPE, 0, ref(c), 0, 0);
    n.k = <i64>this.inst;
  }
  fence(): void {
    this.emit(IR_FENCE, 0, 0, 0, 0);
  }

  // ---- control: what branch bodies return is not looked at
  ended(op: u8, x: Node): usize {
    if (this.status != GOING) return 0;
    this.flush();
    if (this.status != GOING) return 0;
    this.count++;
    this.end(op, ref(x));
    this.status = ENDED;
    return 0;
  }
  fault(u: usize): usize {
    return 0;
  }
  jcc(u: usize, c: Node): usize {
    return this.ended(IR_BRANCH, c);
  }
  jump(u: usize): usize {
    return this.ended(IR_JUMP, NONE());
  }
  /** jump_to for a form with an immediate: `size` 1 says so to the evaluator. */
  jump_out(u: usize, target: Node): usize {
    this.ended(IR_GOTO, target);
    const last = changetype<Node>(<usize>this.cursor - NODE_SIZE);
    if (last.op == IR_GOTO) last.size = 1;
    return 0;
  }
  jump_to(u: usize, target: Node): usize {
    return this.ended(IR_GOTO, target);
  }
}

@inline export function NONE(): Node {
  return changetype<Node>(0);
}

@inline function mask<T>(): i64 {
  return sizeof<T>() == 8 ? -1 : ((<i64>1) << (8 * <i64>sizeof<T>())) - 1;
}

function fill(n: Node, op: u8, size: u8, a: u32, b: u32, c: u32): void {
  n.op = op;
  n.size = size;
  n.flags = 0;
  n.known = 0;
  n.a = a;
  n.b = b;
  n.c = c;
  n.k = 0;
  n.k2 = 0;
}

/** Is it a constant, or no operand at all? */
function is_k(n: Node): bool {
  return changetype<usize>(n) == 0 || n.op == IR_CONST;
}
export function is_value_any(n: Node): bool {
  return changetype<usize>(n) != 0 && n.op == IR_CONST;
}
function is_value(n: Node, v: i64): bool {
  return is_value_any(n) && n.k == v;
}
export function is_zero(n: Node): bool {
  return is_value(n, 0);
}
/** The same value for certain: one node, or the same part of one. */
function same(x: Node, y: Node): bool {
  if (changetype<usize>(x) == 0 || changetype<usize>(y) == 0) return false;
  if (changetype<usize>(x) == changetype<usize>(y)) return true;
  return (
    x.op == IR_AND && y.op == IR_AND && x.a == y.a && is_k(node(x.b)) && is_k(node(y.b)) && node(x.b).k == node(y.b).k
  );
}
