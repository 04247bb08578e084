// Runs a block of IR on a vCPU's state with the memory and control helpers of its evaluating builder: what translated code has to agree
// with, and what tests compare with the interpreter.
import {
  IR_BRANCH,
  IR_CAS,
  IR_CONST,
  IR_ESCAPE,
  IR_FENCE,
  IR_GET,
  IR_GETM,
  IR_GETV,
  IR_GOTO,
  IR_GUARD,
  IR_INST,
  IR_JUMP,
  IR_LEAVE,
  IR_LOAD,
  IR_NEXT,
  IR_PROBE,
  IR_SET,
  IR_SETV,
  IR_STORE,
  IR_VLOAD,
  IR_VSTORE,
  NODE_LIVE,
  NODE_SIZE,
  NODE_WRITE,
  Node,
  ir_compute,
  node,
  place_uop,
  slot_bit,
} from './ir';
import { ir_vector, set_vector, vector_value } from './ir_vector';
import { UOP_SIZE } from './uop';

/** Micro-op where the last block left (an exit, or a LEAVE); 0 = it ran to its end. */
export let ir_left: usize = 0;
/** It left by an ESCAPE. */
export let ir_escaped: bool = false;

@inline function v(p: u32): i64 {
  return node(p).v;
}

/**
 * Run the nodes from `first` to `end`. Returns what a branch body does: the next micro-op, or 0 after leaving with the builder's
 * exit reason and PC set. A LEAVE or ESCAPE returns its own micro-op.
 */
export function ir_eval<B>(b: B, first: usize, end: usize): usize {
  ir_left = 0;
  ir_escaped = false;
  for (let p = first; p < end; p += NODE_SIZE) {
    const n = changetype<Node>(p);
    if (!(n.flags & NODE_LIVE)) continue;
    switch (n.op) {
      case IR_CONST:
        n.v = n.k;
        break;
      case IR_GET:
        n.v = b.getr<u64>(<u32>n.k);
        break;
      case IR_GETM:
        n.v = load_sized<B>(b, n.size, <i64>changetype<usize>(b) + n.k);
        break;
      case IR_GETV:
        set_vector(n, v128.load(changetype<usize>(b) + <usize>n.k));
        break;
      case IR_VLOAD:
        set_vector(n, vector_load(n.size, <usize>v(n.a)));
        break;
      case IR_VSTORE:
        b.vst(v(n.a), vector_value(n.b));
        break;
      case IR_LOAD:
        n.v = load_sized<B>(b, n.size, v(n.a));
        break;
      case IR_PROBE:
        n.v = <i64>b.probe_n(v(n.a), n.size, (n.flags & NODE_WRITE) != 0);
        if (b.bad(n.v)) return leave<B>(b, n);
        break;
      case IR_STORE:
        store_sized<B>(b, n.size, v(n.a), v(n.b));
        break;
      case IR_CAS:
        if (!cas_sized<B>(b, n.size, v(n.a), v(n.b), v(n.c))) {
          b.retry();
          return leave<B>(b, n);
        }
        break;
      case IR_GUARD:
        if (b.guard(v(n.a), n.size)) return leave<B>(b, n);
        break;
      case IR_ESCAPE:
        if (v(n.a) == 0) break;
        ir_escaped = true;
        commit<B>(b, node(<u32>n.k).a);
        ir_left = place_uop(node(<u32>n.k).k);
        return ir_left;
      case IR_FENCE:
        b.fence();
        break;
      case IR_INST:
      case IR_SET:
      case IR_SETV:
        break;
      case IR_NEXT:
        commit<B>(b, n.a);
        return place_uop(n.k) + UOP_SIZE;
      case IR_BRANCH:
        commit<B>(b, n.a);
        return b.jcc(place_uop(n.k), v(n.b));
      case IR_JUMP:
        commit<B>(b, n.a);
        return b.jump(place_uop(n.k));
      case IR_GOTO:
        commit<B>(b, n.a);
        return n.size ? b.jump_out(place_uop(n.k), v(n.b)) : b.jump_to(place_uop(n.k), v(n.b));
      case IR_LEAVE:
        commit<B>(b, n.a);
        ir_left = place_uop(n.k);
        return ir_left;
      default:
        if (!ir_vector(n)) n.v = ir_compute(n.op, n.size, n.a ? v(n.a) : 0, n.b ? v(n.b) : 0, n.c ? v(n.c) : 0);
    }
  }
  return unreachable();
}

/** Write the state of before the node's micro-op, and stand there. */
function leave<B>(b: B, n: Node): usize {
  const inst = node(<u32>n.k);
  commit<B>(b, inst.a);
  ir_left = place_uop(inst.k);
  return b.fault(ir_left);
}

/** Write the last SET of each slot. */
function commit<B>(b: B, s: u32): void {
  let seen: u64 = 0;
  let vectors: u64 = 0;
  for (; s; s = node(s).b) {
    const n = node(s);
    const bit = slot_bit(n);
    if (n.op == IR_SETV) {
      if (!(vectors & bit)) v128.store(changetype<usize>(b) + <usize>n.k, vector_value(n.a));
      vectors |= bit;
    } else {
      if (!(seen & bit)) b.setr<u64>(<u32>n.k, v(n.a));
      seen |= bit;
    }
  }
}

function vector_load(size: u8, p: usize): v128 {
  if (size == 4) return v128.load32_zero(p);
  if (size == 8) return v128.load64_zero(p);
  return v128.load(p);
}

function load_sized<B>(b: B, size: u8, p: i64): i64 {
  if (size == 1) return b.ldp<u8>(p);
  if (size == 2) return b.ldp<u16>(p);
  if (size == 4) return b.ldp<u32>(p);
  return b.ldp<u64>(p);
}

function store_sized<B>(b: B, size: u8, p: i64, x: i64): void {
  if (size == 1) b.stp<u8>(p, x);
  else if (size == 2) b.stp<u16>(p, x);
  else if (size == 4) b.stp<u32>(p, x);
  else b.stp<u64>(p, x);
}

function cas_sized<B>(b: B, size: u8, p: i64, x: i64, y: i64): bool {
  if (size == 1) return b.cas<u8>(p, x, y);
  if (size == 2) return b.cas<u16>(p, x, y);
  if (size == 4) return b.cas<u32>(p, x, y);
  return b.cas<u64>(p, x, y);
}
