// What has to be computed when: nodes on which a block's effects and end depend are *hot* and computed in order; what only an exit
// needs (flags, mostly) is computed there.
import {
  IR_CONST,
  IR_FCHECK,
  IR_FLANE,
  IR_GET,
  IR_GETV,
  IR_INST,
  IR_LOAD,
  IR_PROBE,
  IR_SET,
  IR_SETV,
  IR_SMULH,
  IR_VCONST,
  IR_VLOAD,
  NODE_LIVE,
  NODE_SIZE,
  Node,
  ir_can_leave,
  ir_has_effect,
  ir_is_end,
  ir_is_set,
  ir_is_vector,
  node,
  slot_bit,
  vector_slot,
} from '../engine/ir';
import { Block } from './blocks';
import { locals_temps, locals_use, locals_use_vector, locals_used } from './locals';

export const NODE_HOT: u8 = 0x10;
/** An exit needs it; more than once. */
export const NODE_NEED: u8 = 0x20;
export const NODE_SHARED: u8 = 0x40;

// Node.v: number of the temporary + 1, and uses in the high half.
@inline export function temp_of(n: Node): u32 {
  return <u32>n.v;
}
@inline export function set_temp(n: Node, t: u32): void {
  n.v = (n.v & ~(<i64>0xffffffff)) | (<i64>t);
}
function use(p: u32): void {
  if (p) node(p).v += (<i64>1) << 32;
}
@inline function uses(n: Node): u32 {
  return <u32>(n.v >>> 32);
}

/** Values that are read where they are used: nothing has to be kept. */
@inline export function is_free(op: u8): bool {
  return op == IR_CONST || op == IR_GET || op == IR_VCONST || op == IR_GETV;
}

/** Slots that are no state: where the code page lies, and ±2^32. */
export const SLOT_PAGE: u32 = 17;
export const SLOT_PLUS4G: u32 = 18;
export const SLOT_MINUS4G: u32 = 19;

/** What is read of the state by a block. To be known of all blocks before one is analysed. */
export function analyse_uses(b: Block): void {
  for (let p = <usize>b.first; p < <usize>b.end; p += NODE_SIZE) slots(changetype<Node>(p));
  b.exposed = exposed(b);
}

/** Slots that the block has not written before its first exit. Its end's exits write all that it has. */
function exposed(b: Block): u64 {
  let killed: u64 = 0;
  for (let p = <usize>b.first; p < <usize>b.end; p += NODE_SIZE) {
    const n = changetype<Node>(p);
    if (n.op == IR_SET) killed |= slot_bit(n);
    if (n.flags & NODE_LIVE && ir_can_leave(n.op)) break;
  }
  return ~killed;
}

/** Mark a block's hot nodes and give temporaries to those that are used more than once. */
export function analyse(b: Block): void {
  for (let p = <usize>b.first; p < <usize>b.end; p += NODE_SIZE) changetype<Node>(p).v = 0;
  for (let p = <usize>b.end; p > <usize>b.first; ) {
    p -= NODE_SIZE;
    const n = changetype<Node>(p);
    if (n.flags & NODE_LIVE && (ir_has_effect(n.op) || n.op == IR_LOAD || ir_is_vector(n.op))) n.flags |= NODE_HOT;
    if (ir_is_end(n.op)) final_sets(n);
    if (n.op == IR_INST || ir_is_set(n.op)) continue;
    if (n.flags & NODE_HOT) heat(n);
  }
  count(b);
  let t64: u32 = 0;
  let t32: u32 = 0;
  let vectors: u32 = 0;
  for (let p = <usize>b.first; p < <usize>b.end; p += NODE_SIZE) {
    const n = changetype<Node>(p);
    if (!(n.flags & NODE_HOT) || is_free(n.op) || ir_is_end(n.op)) continue;
    if (n.op == IR_PROBE) set_temp(n, ++t32);
    else if (n.op == IR_VLOAD || (ir_is_vector(n.op) && uses(n) > 1)) set_temp(n, ++vectors);
    else if (n.op == IR_LOAD || (!ir_is_vector(n.op) && !ir_has_effect(n.op) && uses(n) > 1)) set_temp(n, ++t64);
  }
  b.temps = t64;
  locals_temps(t64, t32, vectors);
}

function slots(n: Node): void {
  if (!(n.flags & NODE_LIVE)) return;
  if (n.op == IR_GET) use_slot((<u32>n.k) >>> 3);
  else if (n.op == IR_GETV) locals_use_vector(vector_slot(<u32>n.k));
}

function use_slot(slot: u32): void {
  if (slot < SLOT_PAGE || slot > SLOT_MINUS4G) locals_use(slot);
}

function heat(n: Node): void {
  if (n.a && !ir_is_end(n.op)) node(n.a).flags |= NODE_HOT;
  if (n.b) node(n.b).flags |= NODE_HOT;
  if (n.c) node(n.c).flags |= NODE_HOT;
}

// Slots whose newest value has been met on the way back through a chain.
let seen: u64 = 0;
let seen_vectors: u64 = 0;
export function seen_begin(): void {
  seen = seen_vectors = 0;
}
/** True the first time for a SET's slot. */
export function newest(set: Node): bool {
  const bit = slot_bit(set);
  const vector = set.op == IR_SETV;
  if ((vector ? seen_vectors : seen) & bit) return false;
  if (vector) seen_vectors |= bit;
  else seen |= bit;
  return true;
}

function final_sets(end: Node): void {
  seen_begin();
  for (let s = end.a; s; s = node(s).b) {
    if (!newest(node(s))) continue;
    const set = node(s);
    const value = node(set.a);
    // what only memory gets may not be needed there
    if (set.op == IR_SETV || (locals_used() & slot_bit(set)) != 0) value.flags |= NODE_HOT;
    value.v += (<i64>1) << 32;
  }
}

function count(b: Block): void {
  for (let p = <usize>b.first; p < <usize>b.end; p += NODE_SIZE) {
    const n = changetype<Node>(p);
    if (!(n.flags & NODE_LIVE) || n.op == IR_INST || ir_is_set(n.op)) continue;
    if (!ir_is_end(n.op)) use(n.a);
    // written more than once
    if (n.op == IR_FLANE || n.op == IR_FCHECK || n.op == IR_SMULH) use(n.a);
    if (n.op == IR_SMULH) use(n.b);
    use(n.b);
    use(n.c);
    if (!ir_can_leave(n.op)) continue;
    // what an exit writes is used there
    for (let s = node(<u32>n.k).a; s; s = node(s).b) {
      const value = node(node(s).a);
      if (uses(value) < 2) value.v += (<i64>1) << 32;
    }
  }
}
