// Runs a block of IR on a vCPU's state with the memory and control helpers of its evaluating builder: what translated code has to agree
// with, and what tests compare with the interpreter.
import {
  IR_BRANCH,
  IR_CAS,
  IR_CONST,
  IR_FENCE,
  IR_GET,
  IR_GOTO,
  IR_GUARD,
  IR_INST,
  IR_JUMP,
  IR_LEAVE,
  IR_LOAD,
  IR_NEXT,
  IR_PROBE,
  IR_SET,
  IR_STORE,
  NODE_LIVE,
  NODE_SIZE,
  NODE_WRITE,
  Node,
  ir_compute,
  node,
  place_uop,
} from './ir';
import { UOP_SIZE } from './uop';

/** Micro-op where the last block left (an exit, or a LEAVE); 0 = it ran to its end. */
export let ir_left: usize = 0;

@inline function v(p: u32): i64 {
  return node(p).v;
}

/**
 * Run the nodes from `first` to `end`. Returns what a branch body does: the next micro-op, or 0 after leaving with the builder's
 * exit reason and PC set. A LEAVE returns its own micro-op.
 */
export function ir_eval<B>(b: B, first: usize, end: usize): usize {
  ir_left = 0;
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
      case IR_FENCE:
        b.fence();
        break;
      case IR_INST:
      case IR_SET:
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
        return b.jump_to(place_uop(n.k), v(n.b));
      case IR_LEAVE:
        commit<B>(b, n.a);
        ir_left = place_uop(n.k);
        return ir_left;
      default:
        n.v = ir_compute(n.op, n.size, n.a ? v(n.a) : 0, n.b ? v(n.b) : 0, n.c ? v(n.c) : 0);
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
  for (; s; s = node(s).b) {
    const slot = <u32>node(s).k;
    const bit = (<u64>1) << (slot >>> 3);
    if (!(seen & bit)) b.setr<u64>(slot, v(node(s).a));
    seen |= bit;
  }
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
