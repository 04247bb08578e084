// IR to WebAssembly: expressions, effects, exits and ends of a block.
import {
  IR_ADD,
  IR_AND,
  IR_BRANCH,
  IR_CAS,
  IR_CLZ,
  IR_CONST,
  IR_CTZ,
  IR_DIVS,
  IR_DIVU,
  IR_EQ,
  IR_ESCAPE,
  IR_FCHECK,
  IR_FENCE,
  IR_GET,
  IR_GETM,
  IR_GOTO,
  IR_GUARD,
  IR_I64_FLANE,
  IR_I64_V128,
  IR_JUMP,
  IR_LEAVE,
  IR_LOAD,
  IR_LTS,
  IR_LTU,
  IR_MUL,
  IR_OR,
  IR_POPCNT,
  IR_PROBE,
  IR_REMS,
  IR_REMU,
  IR_SAR,
  IR_SEL,
  IR_SETV,
  IR_SHL,
  IR_SHR,
  IR_SMULH,
  IR_STORE,
  IR_SUB,
  IR_SX,
  IR_UMULH,
  IR_VLOAD,
  IR_VSTORE,
  IR_XOR,
  NODE_SIZE,
  NODE_WRITE,
  Node,
  ir_has_effect,
  ir_is_end,
  ir_is_vector,
  node,
  place_count,
  place_uop,
  slot_bit,
  vector_slot,
} from '../engine/ir';
import { CPU_SLICE, CPU_TARGET } from '../arch/x86/cpu';
import { TLB_ENTRIES, TLB_ENTRY_SIZE } from '../engine/layout';
import { TLB_ADDEND, TLB_R, TLB_W } from '../engine/tlb';
import { uop_pos } from '../engine/uop';
import {
  NODE_HOT,
  NODE_NEED,
  NODE_SHARED,
  SLOT_MINUS4G,
  SLOT_PAGE,
  SLOT_PLUS4G,
  is_free,
  newest,
  seen_begin,
  set_temp,
  temp_of,
} from './analyse';
import { BLOCK_CHECK, Block, NOWHERE, block, block_return, long_mode, weight } from './blocks';
import { if_unlikely } from './hints';
import { OUT_GO, OUT_INTERPRET, OUT_KIND, OUT_TARGET } from './layout';
import {
  ADDRESS,
  BASE,
  CHOSEN,
  CPU,
  ENTRY,
  RETIRED,
  TARGET,
  TLB,
  TLB_ENTRY,
  locals_temps64,
  locals_used,
  locals_vectors_used,
  slot_local,
  temp32,
  temp64,
  temp_vector,
  vector_local,
} from './locals';
import { NODE_CLOSES, NODE_DEFERRED } from './float_checks';
import { branch_many, many_targets, targets_attach } from './lower_targets';
import { check_lanes, compute_vector, from_vector, quick_begin, quick_checks, quick_end, vector } from './lower_vector';
import { page_delta } from './pages';
import { dispatch_count, dispatch_target, loops, structure_enter, structure_leave, write_goto } from './structure';
import * as w from './wasm';
import { blocks } from './blocks';

const CPU_N: u32 = 264;
const SLICE: u32 = <u32>CPU_SLICE;
const LOW32: i64 = 0xffffffff;

let here: Block = changetype<Block>(0);
/** Temporaries that hot nodes and the present exit use. */
let temps: u32 = 0;
/** Set when a function for the high half of a product is called. */
export let uses_mulh: bool = false;
/** How far from the region's first page its direct branches lead out of it, in pages. */
export let reach: u32 = 0;

export function lower_begin(): void {
  uses_mulh = false;
  reach = 0;
}

// ---- expressions
export function value(p: u32): void {
  const n = node(p);
  if (ir_is_vector(n.op)) return vector(p);
  const t = temp_of(n);
  if (t) return w.local_get(temp64(t - 1));
  compute(n);
}

function compute(n: Node): void {
  switch (n.op) {
    case IR_CONST:
      return w.i64_const(n.k);
    case IR_GET:
      return get((<u32>n.k) >>> 3);
    case IR_SEL:
      value(n.a);
      value(n.b);
      condition(n.c);
      return w.byte(w.SELECT);
    case IR_EQ:
    case IR_LTU:
    case IR_LTS:
      compare(n);
      return w.byte(w.I64_EXTEND_I32_U);
    case IR_SX:
      value(n.a);
      return w.byte(n.size == 1 ? w.I64_EXTEND8_S : n.size == 2 ? w.I64_EXTEND16_S : w.I64_EXTEND32_S);
    case IR_POPCNT:
    case IR_CLZ:
    case IR_CTZ:
      value(n.a);
      return w.byte(n.op == IR_POPCNT ? w.I64_POPCNT : n.op == IR_CLZ ? w.I64_CLZ : w.I64_CTZ);
    case IR_UMULH:
    case IR_SMULH:
      return mulh(n);
    case IR_GETM:
      w.local_get(CPU);
      return w.access(load_op(n.size), <u32>n.k);
    case IR_I64_V128:
    case IR_I64_FLANE:
    case IR_FCHECK:
      return from_vector(n);
    default:
      value(n.a);
      value(n.b);
      return w.byte(binary(n.op));
  }
}

function binary(op: u8): u32 {
  switch (op) {
    case IR_ADD:
      return w.I64_ADD;
    case IR_SUB:
      return w.I64_SUB;
    case IR_MUL:
      return w.I64_MUL;
    case IR_AND:
      return w.I64_AND;
    case IR_OR:
      return w.I64_OR;
    case IR_XOR:
      return w.I64_XOR;
    case IR_SHL:
      return w.I64_SHL;
    case IR_SHR:
      return w.I64_SHR_U;
    case IR_SAR:
      return w.I64_SHR_S;
    case IR_DIVU:
      return w.I64_DIV_U;
    case IR_REMU:
      return w.I64_REM_U;
    case IR_DIVS:
      return w.I64_DIV_S;
    case IR_REMS:
      return w.I64_REM_S;
    default:
      return unreachable();
  }
}

/** The signed product's high half is the unsigned one's less a for negative b and b for negative a. */
function mulh(n: Node): void {
  uses_mulh = true;
  value(n.a);
  value(n.b);
  w.byte(w.CALL);
  w.uleb(1);
  if (n.op == IR_UMULH) return;
  correction(n.a, n.b);
  correction(n.b, n.a);
}
function correction(sign: u32, other: u32): void {
  value(sign);
  w.i64_const(63);
  w.byte(w.I64_SHR_S);
  value(other);
  w.byte(w.I64_AND);
  w.byte(w.I64_SUB);
}

function get(slot: u32): void {
  if (slot == SLOT_PAGE) return address_of((<i64>page_delta(here.page)) << 12);
  if (slot == SLOT_PLUS4G) return w.i64_const(0x100000000);
  if (slot == SLOT_MINUS4G) return w.i64_const(-0x100000000);
  w.local_get(slot_local(slot));
}

/** Linear address of a distance from the first page. */
export function address_of(at: i64): void {
  w.local_get(BASE);
  if (at != 0) {
    w.i64_const(at);
    w.byte(w.I64_ADD);
  }
  if (long_mode) return;
  w.i64_const(LOW32);
  w.byte(w.I64_AND);
}

function compare(n: Node): void {
  value(n.a);
  if (n.op == IR_EQ && node(n.b).op == IR_CONST && node(n.b).k == 0) return w.byte(w.I64_EQZ);
  value(n.b);
  w.byte(n.op == IR_EQ ? w.I64_EQ : n.op == IR_LTU ? w.I64_LT_U : w.I64_LT_S);
}

/** A value as a condition: i32, not 0 if it holds. */
function condition(p: u32): void {
  const n = node(p);
  if (temp_of(n) == 0) {
    if (n.op == IR_FCHECK) return check_lanes(n);
    if (n.op == IR_EQ || n.op == IR_LTU || n.op == IR_LTS) return compare(n);
    if (n.op == IR_XOR && node(n.b).op == IR_CONST && node(n.b).k == 1 && is_compare(node(n.a))) {
      condition(n.a);
      return w.byte(w.I32_EQZ);
    }
  }
  value(p);
  w.i64_const(0);
  w.byte(w.I64_NE);
}
function is_compare(n: Node): bool {
  return n.op == IR_EQ || n.op == IR_LTU || n.op == IR_LTS;
}

// ---- exits. Memory holds the state of the block's beginning, as far as some exit of the block needs it: who leaves writes what has changed
// since, and returns
export function out(kind: u32, page: u32, off: u32, count: u32): void {
  w.local_get(CPU);
  w.local_get(RETIRED);
  if (count) {
    w.i32_const(count);
    w.byte(w.I32_ADD);
  }
  w.access(w.I32_STORE, CPU_N);
  w.i32_const(<i32>((kind << OUT_KIND) | (page << 12) | off));
  w.byte(w.RETURN);
}

export function retire(count: u32): void {
  if (count == 0) return;
  w.local_get(RETIRED);
  w.i32_const(count);
  w.byte(w.I32_ADD);
  w.local_set(RETIRED);
}

/** Write the value on the stack, above the state's address, to a SET's slot. */
function write_slot(set: Node): void {
  if (set.op == IR_SETV) {
    w.byte(w.SIMD);
    w.access(w.V128_STORE, <u32>set.k);
  } else w.access(w.I64_STORE, <u32>set.k);
}

/** Leave at the micro-op of an INST, from before the node at `end`: the state is that of before it. Written inside an `if`. */
function leave(inst: Node, end: usize): void {
  write_all(inst.a, end);
  out(OUT_INTERPRET, here.page, uop_pos(place_uop(inst.k)), place_count(inst.k));
}

/** The newest values of a chain go to memory. */
function write_all(chain: u32, end: usize): void {
  begin_cold(chain, ALL, false, end);
  seen_begin();
  for (let s = chain; s; s = node(s).b) if (newest(node(s))) write_value(node(s));
  end_cold(end);
}

function write_value(set: Node): void {
  w.local_get(CPU);
  value(set.a);
  write_slot(set);
}

/** All slots. */
export const ALL: u64 = ~0;
function in_mask(set: Node, mask: u64): bool {
  return set.op == IR_SETV || (slot_bit(set) & mask) != 0;
}

/**
 * Compute what the newest values of a chain need and nothing before has: of the slots in `mask`, and of those with a local. What is used
 * twice gets a temporary until end_cold().
 */
function begin_cold(chain: u32, mask: u64, locals: bool, end: usize): void {
  temps = here.temps;
  seen_begin();
  for (let s = chain; s; s = node(s).b) {
    const set = node(s);
    if (newest(set) && (in_mask(set, mask) || (locals && kept(set)))) need(set.a);
  }
  for (let p = <usize>here.first; p < end; p += NODE_SIZE) {
    const m = changetype<Node>(p);
    if (!(m.flags & NODE_SHARED)) continue;
    compute(m);
    set_temp(m, ++temps);
    w.local_set(temp64(temps - 1));
  }
  locals_temps64(temps);
}
function end_cold(end: usize): void {
  for (let p = <usize>here.first; p < end; p += NODE_SIZE) {
    const m = changetype<Node>(p);
    if (m.flags & NODE_SHARED) set_temp(m, 0);
    m.flags &= ~(NODE_NEED | NODE_SHARED);
  }
}

function need(p: u32): void {
  const n = node(p);
  if (is_free(n.op) || temp_of(n)) return;
  if (n.flags & NODE_NEED) {
    n.flags |= NODE_SHARED;
    return;
  }
  n.flags |= NODE_NEED;
  if (n.a) need(n.a);
  if (n.b) need(n.b);
  if (n.c) need(n.c);
  // written more than once
  if (n.op != IR_SMULH) return;
  need(n.a);
  need(n.b);
}
/** Has the slot a local? Else nothing in the region reads it. */
function kept(set: Node): bool {
  if (set.op == IR_SETV) return (locals_vectors_used() >>> (<u64>vector_slot(<u32>set.k))) & 1 ? true : false;
  return (locals_used() >>> ((<u64>set.k) >>> 3)) & 1 ? true : false;
}
function set_local(set: Node): u32 {
  return set.op == IR_SETV ? vector_local(vector_slot(<u32>set.k)) : slot_local((<u32>set.k) >>> 3);
}

/** The newest values of the chain at a block's end: to memory for the slots in `mask`, and to locals. All are computed before any local is written. */
export function commit(end: Node, mask: u64): void {
  const chain = end.a;
  begin_cold(chain, mask, true, changetype<usize>(end));
  let n: u32 = 0;
  seen_begin();
  for (let s = chain; s; s = node(s).b) {
    const set = node(s);
    if (!newest(set)) continue;
    if (kept(set)) {
      value(set.a);
      store<u32>(order + ((<usize>n) << 2), s);
      n++;
    } else if (in_mask(set, mask)) write_value(set);
  }
  for (let i = n; i-- > 0; ) w.local_set(set_local(node(load<u32>(order + ((<usize>i) << 2)))));
  for (let i: u32 = 0; i < n; i++) {
    const set = node(load<u32>(order + ((<usize>i) << 2)));
    if (!in_mask(set, mask)) continue;
    w.local_get(CPU);
    w.local_get(set_local(set));
    write_slot(set);
  }
  end_cold(changetype<usize>(end));
}
/** SETs in the order in which their values were put on the stack. */
let order: usize = 0;
export function lower_attach(memory: usize): void {
  order = memory;
  targets_attach(memory + 0x400);
}

function leave_if(n: Node): void {
  leave_if_at(<u32>n.k, n);
}
function leave_if_at(inst: u32, before: Node): void {
  if_unlikely();
  structure_enter();
  leave(node(inst), changetype<usize>(before));
  w.end();
  structure_leave();
}

/** The checks that have been put off since the last such place: quickly, and exactly if that says that something may be wrong. */
function deferred_checks(close: Node): void {
  const first = changetype<Node>(next_deferred(unchecked, close));
  quick_begin();
  for (let p = <u32>changetype<usize>(first); p; p = next_deferred(p + <u32>NODE_SIZE, close)) quick_checks(node(p).a);
  quick_end();
  for (let p = <u32>changetype<usize>(first); p; p = next_deferred(p + <u32>NODE_SIZE, close))
    other_conditions(node(p).a);
  if_unlikely();
  structure_enter();
  for (let p = <u32>changetype<usize>(first); p; p = next_deferred(p + <u32>NODE_SIZE, close)) {
    condition(node(p).a);
    if (p != <u32>changetype<usize>(first)) w.byte(w.I32_OR);
  }
  leave_if_at(<u32>first.k, close);
  w.end();
  structure_leave();
  unchecked = <u32>changetype<usize>(close);
}
/** What comes before has been checked. */
let unchecked: u32 = 0;
function next_deferred(from: u32, close: Node): u32 {
  for (let p = from; p < <u32>changetype<usize>(close); p += <u32>NODE_SIZE)
    if (node(p).flags & NODE_DEFERRED) return p;
  return 0;
}
/** Or what a condition has besides FCHECKs. */
function other_conditions(p: u32): void {
  const n = node(p);
  if (n.op == IR_FCHECK) return;
  if (n.op == IR_OR) {
    other_conditions(n.a);
    return other_conditions(n.b);
  }
  condition(p);
  w.byte(w.I32_OR);
}

// ---- effects
/**
 * The only place where a guest's address becomes a pointer: an entry of the TLB with the right tag says where its page lies. Where a pointer
 * so many bytes away has been made in this block already, it serves while the page is the same.
 */
function probe(n: Node): void {
  const root = root_of(n.a);
  const near = neighbour(n, root, root_distance);
  if (near == null) return find(n);
  const from = temp32(temp_of(near) - 1);
  const distance = <i32>(root_distance - near_distance);
  w.local_get(from);
  w.i32_const(4095);
  w.byte(w.I32_AND);
  w.i32_const(distance);
  w.byte(w.I32_ADD);
  w.i32_const(4096 - <i32>n.size);
  w.byte(w.I32_GT_U);
  if_unlikely();
  structure_enter();
  find(n);
  w.else_();
  w.local_get(from);
  w.i32_const(distance);
  w.byte(w.I32_ADD);
  w.local_set(temp32(temp_of(n) - 1));
  w.end();
  structure_leave();
}

/** The value that an address is a constant's distance from: root_distance. */
function root_of(p: u32): u32 {
  root_distance = 0;
  let n = node(p);
  while ((n.op == IR_ADD || n.op == IR_SUB) && node(n.b).op == IR_CONST) {
    root_distance += n.op == IR_ADD ? node(n.b).k : -node(n.b).k;
    p = n.a;
    n = node(p);
  }
  return p;
}
let root_distance: i64 = 0;

/** Are two nodes the same value? A slot that is read twice has not been written between: a SET's value is used then. */
function same_value(p: u32, q: u32): bool {
  return p == q || (node(p).op == IR_GET && node(q).op == IR_GET && node(p).k == node(q).k);
}

/** The last probe of the block before `n` whose pointer is near and may be used the same way; near_distance is its distance from `root`. */
function neighbour(n: Node, root: u32, at: i64): Node | null {
  // it is more code: worth it where it runs again and again
  if (!(n.flags & NODE_HOT) || loops == 0) return null;
  let tries = 0;
  for (let p = changetype<usize>(n) - NODE_SIZE; p >= <usize>here.first && tries < NEAR_TRIES; p -= NODE_SIZE) {
    const m = changetype<Node>(p);
    if (m.op != IR_PROBE || !(m.flags & NODE_HOT)) continue;
    tries++;
    if ((m.flags ^ n.flags) & NODE_WRITE) continue;
    if (!same_value(root_of(m.a), root)) continue;
    near_distance = root_distance;
    root_distance = at;
    if (at - near_distance < NEAR && near_distance - at < NEAR) return m;
  }
  root_distance = at;
  return null;
}
let near_distance: i64 = 0;
const NEAR: i64 = 1024;
const NEAR_TRIES: i32 = 16;

/** Make a probe's pointer from the TLB. */
function find(n: Node): void {
  const size = <i64>n.size;
  value(n.a);
  w.local_tee(ADDRESS);
  w.i64_const(7);
  w.byte(w.I64_SHR_U);
  w.i64_const((TLB_ENTRIES - 1) * <i64>TLB_ENTRY_SIZE);
  w.byte(w.I64_AND);
  w.byte(w.I32_WRAP_I64);
  w.local_get(TLB);
  w.byte(w.I32_ADD);
  w.local_tee(TLB_ENTRY);
  w.access(w.I64_LOAD, <u32>(n.flags & NODE_WRITE ? TLB_W : TLB_R));
  // Before the tag is compared: V8 makes the comparison one with memory, and then loads the tag once more for nothing.
  w.local_get(TLB_ENTRY);
  w.access(w.I32_LOAD, <u32>TLB_ADDEND);
  w.local_set(TLB_ENTRY);
  w.local_get(ADDRESS);
  if (size > 1) {
    w.i64_const(size - 1);
    w.byte(w.I64_ADD);
  }
  w.i64_const(-4096);
  w.byte(w.I64_AND);
  w.byte(w.I64_NE);
  leave_if(n);
  w.local_get(ADDRESS);
  w.byte(w.I32_WRAP_I64);
  w.local_get(TLB_ENTRY);
  w.byte(w.I32_ADD);
  w.local_set(temp32(temp_of(n) - 1));
}

/** A probe's pointer, for an access of `size` bytes: any other is a mistake of ours. */
function pointer(p: u32, size: u8, write: bool): void {
  const n = node(p);
  if (n.op != IR_PROBE || size > n.size || (write && !(n.flags & NODE_WRITE))) return unreachable();
  w.local_get(temp32(temp_of(n) - 1));
}

function load_op(size: u8): u32 {
  return size == 1 ? w.I64_LOAD8_U : size == 2 ? w.I64_LOAD16_U : size == 4 ? w.I64_LOAD32_U : w.I64_LOAD;
}

function load_node(n: Node): void {
  pointer(n.a, n.size, false);
  if (n.op == IR_LOAD) {
    w.access(load_op(n.size), 0);
    return w.local_set(temp64(temp_of(n) - 1));
  }
  w.byte(w.SIMD);
  w.access(n.size == 16 ? w.V128_LOAD : n.size == 8 ? w.V128_LOAD64_ZERO : w.V128_LOAD32_ZERO, 0);
  w.local_set(temp_vector(temp_of(n) - 1));
}

function store_node(n: Node): void {
  pointer(n.a, n.size, true);
  value(n.b);
  if (n.op == IR_VSTORE) {
    w.byte(w.SIMD);
    return w.access(w.V128_STORE, 0);
  }
  w.access(n.size == 1 ? w.I64_STORE8 : n.size == 2 ? w.I64_STORE16 : n.size == 4 ? w.I64_STORE32 : w.I64_STORE, 0);
}

/** Aligned, and found what was expected: else the interpreter does it. */
function cas(n: Node): void {
  if (n.size > 1) {
    pointer(n.a, n.size, true);
    w.i32_const(<i32>n.size - 1);
    w.byte(w.I32_AND);
    leave_if(n);
  }
  pointer(n.a, n.size, true);
  value(n.b);
  value(n.c);
  w.byte(w.ATOMIC);
  w.byte(n.size == 1 ? 0x4c : n.size == 2 ? 0x4d : n.size == 4 ? 0x4e : 0x49);
  w.byte(n.size == 1 ? 0 : n.size == 2 ? 1 : n.size == 4 ? 2 : 3);
  w.byte(0);
  value(n.b);
  w.byte(w.I64_NE);
  leave_if(n);
}

function effect(n: Node): void {
  if (n.flags & NODE_CLOSES) deferred_checks(n);
  switch (n.op) {
    case IR_PROBE:
      return probe(n);
    case IR_LOAD:
    case IR_VLOAD:
      return load_node(n);
    case IR_STORE:
    case IR_VSTORE:
      return store_node(n);
    case IR_CAS:
      return cas(n);
    case IR_GUARD:
    case IR_ESCAPE:
      if (n.flags & NODE_DEFERRED) return;
      condition(n.a);
      return leave_if(n);
    case IR_FENCE:
      w.byte(w.ATOMIC);
      w.byte(3);
      return w.byte(0);
    default:
      if (temp_of(n) == 0) return;
      const t = temp_of(n);
      if (ir_is_vector(n.op)) {
        compute_vector(n);
        return w.local_set(temp_vector(t - 1));
      }
      compute(n);
      return w.local_set(temp64(t - 1));
  }
}

// ---- blocks
export function write_block(i: u32): void {
  const b = block(i);
  here = b;
  unchecked = b.first;
  target_guard = target_guard_of(b);
  let p = <usize>b.first;
  for (; !ir_is_end(changetype<Node>(p).op); p += NODE_SIZE) {
    const n = changetype<Node>(p);
    if (n.flags & NODE_HOT && !is_free(n.op) && <u32>p != target_guard) effect(n);
  }
  end(i, b, changetype<Node>(p));
}

/** The guard against the target of the block's indirect branch, if nothing between the two has an effect: else 0. Only a target that the region does not know has to pass it. */
function target_guard_of(b: Block): u32 {
  const last = changetype<Node>(<usize>b.end - NODE_SIZE);
  if (last.op != IR_GOTO || many_targets(b)) return 0;
  for (let p = <usize>b.end - 2 * NODE_SIZE; p >= <usize>b.first; p -= NODE_SIZE) {
    const n = changetype<Node>(p);
    if (n.op == IR_GUARD) return n.b == last.b ? <u32>p : 0;
    if (ir_has_effect(n.op) || n.op == IR_LOAD || n.op == IR_VLOAD) return 0;
  }
  return 0;
}
let target_guard: u32 = 0;

function end(i: u32, b: Block, n: Node): void {
  const op = n.op;
  if (n.flags & NODE_CLOSES) deferred_checks(n);
  if (op == IR_LEAVE) {
    write_all(n.a, changetype<usize>(n));
    return out(OUT_INTERPRET, b.page, uop_pos(place_uop(n.k)), place_count(n.k));
  }
  if (op == IR_GOTO) {
    value(n.b);
    w.local_set(TARGET);
    if (many_targets(b)) return branch_many(i, b, n);
    if (b.taken != NOWHERE) compare_target(i, n, b.taken);
    for (let j: u32 = 0; j < b.returns; j++) compare_target(i, n, block_return(b, j));
    if (target_guard) effect(node(target_guard));
    write_all(n.a, changetype<usize>(n));
    return out_target(b, place_count(n.k));
  }
  if (op == IR_BRANCH) {
    condition(n.b);
    w.if_();
    structure_enter();
    go(i, n, b.taken, b.taken_at);
    w.end();
    structure_leave();
  }
  if (op == IR_JUMP) go(i, n, b.taken, b.taken_at);
  else go(i, n, b.next, b.next_at);
}

/** Go on in the block `to`, or outside at a distance from the first page. */
function go(from: u32, n: Node, to: u32, at: i64): void {
  const count = place_count(n.k);
  if (to != NOWHERE) {
    const t = block(to);
    if (t.flags & BLOCK_CHECK) check(n, t);
    commit(n, t.exposed);
    retire(count);
    return write_goto(from, to, CHOSEN);
  }
  reach = max(reach, <u32>((at < 0 ? -at : at) >> 12) + 1);
  write_all(n.a, changetype<usize>(n));
  address_of(at);
  w.local_set(TARGET);
  out_target(here, count);
}

/** A round of a loop begins at `t`: it must fit into the budget. */
function check(n: Node, t: Block): void {
  const count = place_count(n.k);
  if_used_up(count);
  structure_enter();
  write_all(n.a, changetype<usize>(n));
  out(OUT_GO, t.page, t.offset, count);
  w.end();
  structure_leave();
}
export function if_used_up(count: u32): void {
  w.local_get(RETIRED);
  w.i32_const(weight + count);
  w.byte(w.I32_ADD);
  w.local_get(CPU);
  w.access(w.I32_LOAD, SLICE);
  w.byte(w.I32_GE_S);
  if_unlikely();
}

export function out_target(b: Block, count: u32): void {
  w.local_get(CPU);
  w.local_get(TARGET);
  w.access(w.I64_STORE, <u32>CPU_TARGET);
  out(OUT_TARGET, b.page, b.offset, count);
}

function compare_target(from: u32, n: Node, to: u32): void {
  const t = block(to);
  w.local_get(TARGET);
  address_of(((<i64>page_delta(t.page)) << 12) + t.offset);
  w.byte(w.I64_EQ);
  w.if_();
  structure_enter();
  go(from, n, to, 0);
  w.end();
  structure_leave();
}

/** A dispatch: a table of where to go. The root one, the first behind the blocks, takes the function's parameter. */
export function write_dispatch(d: u32): void {
  const n = dispatch_count(d);
  for (let i: u32 = 0; i < n; i++) {
    w.block();
    structure_enter();
  }
  w.local_get(d == blocks ? ENTRY : CHOSEN);
  w.byte(w.BR_TABLE);
  w.uleb(n - 1);
  for (let i: u32 = 0; i < n; i++) w.uleb(i);
  for (let i: u32 = 0; i < n; i++) {
    w.end();
    structure_leave();
    write_goto(d, dispatch_target(d, i), CHOSEN);
  }
}
