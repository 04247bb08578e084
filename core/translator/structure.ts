// The order in which a region's blocks are written, and the Wasm blocks and loops around them. Strongly connected components become
// loops. A loop with several ways in gets a *dispatch* in front: whoever goes to one of them says which in a local and goes there.
// What is left is acyclic: each block is written behind those that lead to it, inside a Wasm block that ends right before it.
import {
  BLOCK_CHECK,
  BLOCK_DISPATCH,
  BLOCK_ENTRY,
  BLOCK_ON_STACK,
  Block,
  NOWHERE,
  block,
  block_return,
  blocks,
} from './blocks';
import { KIND_CALL, KIND_INDIRECT_CALL } from '../gen/forms';
import { MAX_BLOCKS } from './layout';
import { write_block, write_dispatch } from './lower';
import * as w from './wasm';
import { work_lists } from './work';

const MAX_DISPATCHES: u32 = 48;
/** A node may stand behind this many dispatches. */
const MAX_CHAIN: u32 = 2;

/** All nodes: blocks, then dispatches. The root dispatch is the first of these. */
let nodes: u32 = 0;
let levels: u32 = 0;
let depth: u32 = 0;
let lists: usize = 0;
let failed: bool = false;

// ---- dispatches: their targets are lists
const TARGETS: u32 = 64;
function targets_of(d: u32): usize {
  return work_lists() + <usize>(d - blocks) * ((TARGETS + 1) << 2);
}
export function dispatch_count(d: u32): u32 {
  return load<u32>(targets_of(d));
}
export function dispatch_target(d: u32, i: u32): u32 {
  return load<u32>(targets_of(d) + 4 + ((<usize>i) << 2));
}
function dispatch_new(): u32 {
  if (nodes >= blocks + MAX_DISPATCHES || nodes >= MAX_BLOCKS + 60) {
    failed = true;
    return nodes - 1;
  }
  const d = block(nodes);
  memory.fill(changetype<usize>(d), 0, offsetof<Block>());
  d.flags = BLOCK_DISPATCH;
  store<u32>(targets_of(nodes), 0);
  return nodes++;
}
function dispatch_add(d: u32, to: u32): void {
  const list = targets_of(d);
  const n = load<u32>(list);
  if (n == TARGETS) {
    failed = true;
    return;
  }
  store<u32>(list + 4 + ((<usize>n) << 2), to);
  store<u32>(list, n + 1);
}
function chain(b: Block, i: u32): u32 {
  return load<u32>(changetype<usize>(b) + offsetof<Block>('dispatch0') + ((<usize>i) << 2));
}
function chain_add(b: Block, d: u32): void {
  if (b.dispatches == MAX_CHAIN) {
    failed = true;
    return;
  }
  store<u32>(changetype<usize>(b) + offsetof<Block>('dispatch0') + ((<usize>b.dispatches) << 2), d);
  b.dispatches++;
}

/** Where one really goes from `from` on the way to `to`: the next dispatch in front of it, or itself. */
function hop(from: u32, to: u32): u32 {
  const t = block(to);
  for (let i: u32 = 0; i < t.dispatches; i++) {
    if (chain(t, i) == from) return i + 1 < t.dispatches ? chain(t, i + 1) : to;
  }
  return t.dispatches ? chain(t, 0) : to;
}

// ---- successors
function successors(n: u32): u32 {
  const b = block(n);
  return b.flags & BLOCK_DISPATCH ? dispatch_count(n) : 2 + b.returns;
}
function successor(n: u32, i: u32): u32 {
  const b = block(n);
  let to: u32;
  if (b.flags & BLOCK_DISPATCH) to = dispatch_target(n, i);
  // what lies behind a call is reached by the callee's RET
  else if (i == 0) to = is_call(b) ? NOWHERE : b.next;
  else if (i == 1) to = b.taken;
  else to = block_return(b, i - 2);
  return to == NOWHERE ? NOWHERE : hop(n, to);
}
function is_call(b: Block): bool {
  return b.kind == KIND_CALL || b.kind == KIND_INDIRECT_CALL;
}

// ---- strongly connected components of the nodes of one level (Tarjan), last one first
let clock: u32 = 0;
let stack: usize = 0;
let stack_n: u32 = 0;
/** Where components go: {count, members…} one after another. */
let out: usize = 0;
let components: u32 = 0;

function visit(n: u32, level: u32): void {
  const b = block(n);
  b.index = b.low = ++clock;
  b.flags |= BLOCK_ON_STACK;
  store<u32>(stack + ((<usize>stack_n) << 2), n);
  stack_n++;
  const count = successors(n);
  for (let i: u32 = 0; i < count; i++) {
    const to = successor(n, i);
    if (to == NOWHERE || block(to).level != level) continue;
    const t = block(to);
    if (t.index == 0) {
      visit(to, level);
      if (t.low < b.low) b.low = t.low;
    } else if (t.flags & BLOCK_ON_STACK && t.index < b.low) b.low = t.index;
  }
  if (b.low != b.index) return;
  const head = out;
  out += 4;
  let members: u32 = 0;
  let m: u32;
  do {
    stack_n--;
    m = load<u32>(stack + ((<usize>stack_n) << 2));
    block(m).flags &= ~BLOCK_ON_STACK;
    block(m).component = components;
    store<u32>(out, m);
    out += 4;
    members++;
  } while (m != n);
  store<u32>(head, members);
  components++;
}

/** A piece of the lists' memory. */
function take(words: u32): usize {
  const p = lists;
  lists += (<usize>words) << 2;
  if (lists > work_lists() + 0x3f000) {
    failed = true;
    lists = work_lists() + 0x20000;
  }
  return p;
}

function cyclic(component: usize, level: u32): bool {
  if (load<u32>(component) > 1) return true;
  const n = load<u32>(component + 4);
  const count = successors(n);
  for (let i: u32 = 0; i < count; i++) if (successor(n, i) == n) return true;
  return false;
}

/** The node through which a cyclic component is entered; a new dispatch if there are several. Members get level `inner`. */
function header_of(component: usize, inner: u32): u32 {
  const members = load<u32>(component);
  for (let i: u32 = 0; i < members; i++) block(load<u32>(component + 4 + ((<usize>i) << 2))).level = inner;
  let header = NOWHERE;
  let dispatch = NOWHERE;
  for (let n: u32 = 0; n < nodes; n++) {
    if (block(n).level == inner && n != dispatch) continue;
    if (n == dispatch) continue;
    const count = successors(n);
    for (let i: u32 = 0; i < count; i++) {
      const to = successor(n, i);
      if (to == NOWHERE || to == dispatch || block(to).level != inner || to == header) continue;
      if (header == NOWHERE) {
        header = to;
        continue;
      }
      if (dispatch == NOWHERE) {
        dispatch = dispatch_new();
        if (failed) return header;
        block(dispatch).level = inner;
        front(dispatch, header);
      }
      front(dispatch, to);
    }
  }
  // what nothing leads to is written all the same
  if (header == NOWHERE) return load<u32>(component + 4);
  return dispatch == NOWHERE ? header : dispatch;
}

function front(dispatch: u32, to: u32): void {
  dispatch_add(dispatch, to);
  chain_add(block(to), dispatch);
}

/** Write the nodes of `level`, behind `head` (already chosen, of another level). */
function write_level(head: u32, list: usize, count: u32, level: u32): void {
  if (failed) return;
  const first = take(2 * count + 2);
  stack = take(count + 1);
  out = first;
  stack_n = components = 0;
  for (let i: u32 = 0; i < count; i++) block(load<u32>(list + ((<usize>i) << 2))).index = 0;
  clock = 0;
  for (let i: u32 = 0; i < count; i++) {
    const n = load<u32>(list + ((<usize>i) << 2));
    if (block(n).index == 0) visit(n, level);
  }
  const m = components;
  // positions of the components: Tarjan gives the last in topological order first
  const at = take(m + 1);
  let p = first;
  for (let i: u32 = 0; i < m; i++) {
    store<u32>(at + ((<usize>i) << 2), <u32>p);
    p += 4 + ((<usize>load<u32>(p)) << 2);
  }
  const headers = take(m + 1);
  const inner = levels + 1;
  levels += m;
  for (let i: u32 = 0; i < m; i++) {
    const c = <usize>load<u32>(at + ((<usize>i) << 2));
    const loop = cyclic(c, level);
    const h = loop ? header_of(c, inner + i) : load<u32>(c + 4);
    store<u32>(headers + ((<usize>i) << 2), loop ? h | 0x80000000 : h);
    if (failed) return;
    // in the order of writing the last component comes first
    w.block();
    block(h).label = ++depth;
  }
  write_node(head);
  for (let i = m; i-- > 0; ) {
    w.end();
    depth--;
    const h = load<u32>(headers + ((<usize>i) << 2));
    if (h & 0x80000000) write_loop(h & 0x7fffffff, <usize>load<u32>(at + ((<usize>i) << 2)), inner + i);
    else write_node(h);
    if (failed) return;
  }
}

/** Loops around what is being written. */
export let loops: u32 = 0;

function write_loop(header: u32, component: usize, level: u32): void {
  w.loop();
  loops++;
  const h = block(header);
  const outside = h.label;
  h.label = ++depth;
  h.level = 0;
  if (h.flags & BLOCK_DISPATCH) {
    const n = dispatch_count(header);
    for (let i: u32 = 0; i < n; i++) block(dispatch_target(header, i)).flags |= BLOCK_CHECK;
  } else h.flags |= BLOCK_CHECK;
  const members = load<u32>(component);
  const rest = take(members + 1);
  let n: u32 = 0;
  for (let i: u32 = 0; i < members; i++) {
    const x = load<u32>(component + 4 + ((<usize>i) << 2));
    if (x == header) continue;
    store<u32>(rest + ((<usize>n) << 2), x);
    n++;
  }
  write_level(header, rest, n, level);
  loops--;
  w.end();
  depth--;
  h.label = outside;
  // nothing falls out of a loop
  w.byte(0x00);
}

function write_node(n: u32): void {
  if (block(n).flags & BLOCK_DISPATCH) write_dispatch(n);
  else write_block(n);
}

/** Code is written one Wasm block deeper. */
export function structure_enter(): void {
  depth++;
}
export function structure_leave(): void {
  depth--;
}

/** Go from node `from` to node `to`; `chosen` is the local that says to a dispatch which target is meant. */
export function write_goto(from: u32, to: u32, chosen: u32): void {
  const next = hop(from, to);
  if (next != to) {
    let i: u32 = 0;
    while (i < dispatch_count(next) && dispatch_target(next, i) != to) i++;
    w.i32_const(i);
    w.local_set(chosen);
  }
  w.br(depth - block(next).label);
}

/** Write all blocks, from a dispatch over the entries on. False: too irregular. */
export function write_structure(): bool {
  nodes = blocks;
  levels = 1;
  depth = loops = 0;
  failed = false;
  lists = work_lists() + <usize>MAX_DISPATCHES * ((TARGETS + 1) << 2);
  const root = dispatch_new();
  const all = take(blocks);
  for (let i: u32 = 0; i < blocks; i++) {
    block(i).level = 1;
    store<u32>(all + ((<usize>i) << 2), i);
    if (block(i).flags & BLOCK_ENTRY) dispatch_add(root, i);
  }
  block(root).level = 0;
  write_level(root, all, blocks, 1);
  return !failed;
}
