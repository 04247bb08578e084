// An indirect branch with many targets: its block's state is written once, then the target is looked for by halves.
import { Node, place_count } from '../engine/ir';
import { BLOCK_CHECK, Block, NOWHERE, block, block_return } from './blocks';
import { OUT_GO } from './layout';
import { CHOSEN, TARGET } from './locals';
import { ALL, address_of, commit, if_used_up, out, out_target, retire } from './lower';
import { page_delta } from './pages';
import { structure_enter, structure_leave, write_goto } from './structure';
import * as w from './wasm';

/** Blocks in the order of their addresses. */
let sorted: usize = 0;
export function targets_attach(memory: usize): void {
  sorted = memory;
}

export function many_targets(b: Block): bool {
  return b.returns + (b.taken != NOWHERE ? 1 : 0) > 3;
}

export function branch_many(from: u32, b: Block, n: Node): void {
  commit(n, ALL);
  retire(place_count(n.k));
  let count: u32 = 0;
  if (b.taken != NOWHERE) count = target_sorted(count, b.taken);
  for (let i: u32 = 0; i < b.returns; i++) count = target_sorted(count, block_return(b, i));
  branch_between(from, 0, count);
  out_target(b, 0);
}

/** Put a block among those in the order of their addresses. */
function target_sorted(count: u32, to: u32): u32 {
  let i = count;
  for (; i > 0 && distance_of(target_at(i - 1)) > distance_of(to); i--)
    store<u32>(sorted + ((<usize>i) << 2), target_at(i - 1));
  store<u32>(sorted + ((<usize>i) << 2), to);
  return count + 1;
}
@inline function target_at(i: u32): u32 {
  return load<u32>(sorted + ((<usize>i) << 2));
}
function distance_of(i: u32): i64 {
  return ((<i64>page_delta(block(i).page)) << 12) + block(i).offset;
}

/** Falls through if the target is none of these. */
function branch_between(from: u32, first: u32, end: u32): void {
  if (end - first > 2) {
    const middle = (first + end) >>> 1;
    w.local_get(TARGET);
    address_of(distance_of(target_at(middle)));
    w.byte(w.I64_LT_U);
    w.if_();
    structure_enter();
    branch_between(from, first, middle);
    w.else_();
    branch_between(from, middle, end);
    w.end();
    structure_leave();
    return;
  }
  for (let i = first; i < end; i++) {
    const to = target_at(i);
    w.local_get(TARGET);
    address_of(distance_of(to));
    w.byte(w.I64_EQ);
    w.if_();
    structure_enter();
    if (block(to).flags & BLOCK_CHECK) check_committed(block(to));
    write_goto(from, to, CHOSEN);
    w.end();
    structure_leave();
  }
}

/** The same when the state has been written and what was retired has been counted. */
function check_committed(t: Block): void {
  if_used_up(0);
  structure_enter();
  out(OUT_GO, t.page, t.offset, 0);
  w.end();
  structure_leave();
}
