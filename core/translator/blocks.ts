// From a wanted entry to the blocks of a region: what the interpreter has visited and direct branches lead to, decoded anew from the
// guest's bytes and recorded.
import { Cpu } from '../arch/x86/cpu';
import { MODE_CS64 } from '../arch/x86/modes';
import { debug_break_offset } from '../engine/debug';
import { decode } from '../engine/decode';
import { IR_LEAVE, NODE_SIZE, Node } from '../engine/ir';
import { Record } from '../engine/record';
import { UOP_SIZE, uop_disp, uop_form, uop_len, uop_pos, uop_r, uop_x } from '../engine/uop';
import {
  FORM_PSEUDO_FIRST,
  FORM_PSEUDO_LAST,
  KIND_CALL,
  KIND_INDIRECT,
  KIND_INDIRECT_CALL,
  KIND_JCC,
  KIND_JUMP,
  KIND_RET,
  form_kind,
} from '../gen/forms';
import { record_form } from '../gen/record';
import { MAX_BLOCKS, MAX_WEIGHT, Request, SMALL_REGION } from './layout';
import {
  page_bytes,
  page_delta,
  page_find,
  page_head,
  page_known,
  page_last_target,
  page_mfn,
  page_target,
  page_visited,
  pages_begin,
} from './pages';
import { seen_in_region } from './shared_code';
import {
  NODES_SIZE,
  block_at,
  marks,
  uop_at,
  work_block,
  work_cpu,
  work_nodes,
  work_queue,
  work_recorder,
  work_scratch,
  work_uops,
} from './work';

export const NOWHERE: u32 = 0xffffffff;
/** A distance that no branch has. */
const UNKNOWN: i64 = i64.MIN_VALUE;
/** Where a branch leads: pages from the first page << 12 | offset, as a distance in bytes. */
export const MAX_RETURNS: u32 = 15;

@unmanaged
export class Block {
  page: u32;
  offset: u32;
  /** Its nodes. */
  first: u32;
  end: u32;
  /** Offset of its last micro-op, if that is a branch. */
  end_at: u32;
  /** KIND_* of its last micro-op, 0 if it just goes on. */
  kind: u32;
  flags: u32;
  /** The block behind and the branch's target (of an indirect branch: its last one), or NOWHERE; then their distances from the region's first page. */
  next: u32;
  taken: u32;
  next_at: i64;
  taken_at: i64;
  /** For RET: blocks behind the calls it may return from; for an indirect jump: its other targets. */
  returns: u32;
  return0: u32;
  return1: u32;
  return2: u32;
  return3: u32;
  return4: u32;
  return5: u32;
  return6: u32;
  return7: u32;
  return8: u32;
  return9: u32;
  return10: u32;
  return11: u32;
  return12: u32;
  return13: u32;
  return14: u32;
  /** Which calls' targets reach this block: bits by order of targets. */
  within: u32;
  // structure.ts
  label: u32;
  level: u32;
  index: u32;
  low: u32;
  component: u32;
  /** Slots that some exit of it does not write itself: memory must have them when it begins. */
  exposed: u64;
  /** Temporaries that its hot nodes have; an exit's come behind. */
  temps: u32;
  /** Dispatches in front of it, outermost first. */
  dispatches: u32;
  dispatch0: u32;
  dispatch1: u32;
}

/** Block flags: it is an entry; a loop begins here, so the budget is looked at; structuring has it on its stack. */
export const BLOCK_ENTRY: u32 = 1;
export const BLOCK_CHECK: u32 = 2;
export const BLOCK_ON_STACK: u32 = 4;
/** A node of the structuring that is no code. */
export const BLOCK_DISPATCH: u32 = 8;

const LEADER: u8 = 1;
const ENTRY: u8 = 2;
const LEAVES: u8 = 4;

export let blocks: u32 = 0;
/** Micro-ops in all blocks. */
export let weight: u32 = 0;
export let long_mode: bool = false;

let request: Request = changetype<Request>(0);
let uops: usize = 0;
let queued: u32 = 0;
let decoded: u32 = 0;
let entries: u32 = 0;

@inline export function block(i: u32): Block {
  return changetype<Block>(work_block(i));
}
@inline export function block_return(b: Block, i: u32): u32 {
  return load<u32>(changetype<usize>(b) + offsetof<Block>('return0') + ((<usize>i) << 2));
}

/** Find and record the region's blocks. False: there is nothing to translate. */
export function blocks_find(r: Request, max_entries: u32): bool {
  blocks = weight = queued = decoded = entries = 0;
  request = r;
  uops = work_uops();
  long_mode = (r.mode & MODE_CS64) != 0;
  changetype<Cpu>(work_cpu()).mode = r.mode;
  if (!pages_begin(r)) return false;
  lead(0, r.offset, true, max_entries);
  for (let i: u32 = 0; i < queued; i++) walk(load<u32>(work_queue() + ((<usize>i) << 2)), max_entries);
  return record_all();
}

function push(i: u32, place: u32): void {
  store<u32>(work_queue() + ((<usize>i) << 2), place);
}

/** A block begins at an offset; `entry`: the region can be entered there. */
function lead(page: u32, off: u32, entry: bool, max_entries: u32): void {
  const m = marks(page, off);
  let v = load<u8>(m);
  if (entry && !(v & ENTRY) && entries < max_entries) {
    v |= ENTRY;
    entries++;
  }
  if (!(v & LEADER)) {
    v |= LEADER;
    if (queued < MAX_BLOCKS * 2) push(queued++, (page << 12) | off);
  }
  store<u8>(m, v);
}

/** Can a direct branch lead so far? */
@inline function near(at: i64): bool {
  return at >= -0x80000000 && at < 0x80000000;
}

/** As lead(), for a distance from the first page; false = not in this region. */
function lead_at(at: i64, entry: bool, max_entries: u32): bool {
  if (!near(at)) return false;
  const page = page_find(<i32>(at >> 12));
  const off = (<u32>at) & 0xfff;
  if (page < 0 || !page_visited(page, off)) return false;
  lead(page, off, entry, max_entries);
  return true;
}

@inline function distance(page: u32, off: i64): i64 {
  return ((<i64>page_delta(page)) << 12) + off;
}

/** Decode into `u` what the interpreter has decoded at an offset, perhaps with bytes of the next page. False: not to be had. */
function decode_at(page: u32, off: u32, u: usize): bool {
  if (!page_visited(page, off)) return false;
  const cpu = changetype<Cpu>(work_cpu());
  const bytes = page_bytes(page) + off;
  const avail: u32 = 4096 - off;
  if (decode(cpu, bytes, avail, off, u)) return true;
  const next = page_find(page_delta(page) + 1);
  if (next < 0) return false;
  const s = work_scratch();
  memory.copy(s, bytes, avail);
  memory.copy(s + avail, page_bytes(next), 16);
  const length = decode(cpu, s, 16 + avail, off, u);
  return length > avail && page_head(next, length - avail);
}

/** The instruction at an offset: its micro-op, decoded now if need be; 0 = not to be had. */
function instruction(page: u32, off: u32): usize {
  const known = <usize>load<u32>(uop_at(page, off));
  if (known) return known;
  if (decoded >= MAX_WEIGHT) return 0;
  const u = uops;
  if (!decode_at(page, off, u)) return 0;
  store<u32>(uop_at(page, off), <u32>u);
  uops += UOP_SIZE;
  decoded++;
  if (!can_record(u) || debug_break_offset(off)) store<u8>(marks(page, off), load<u8>(marks(page, off)) | LEAVES);
  return u;
}

/** Would the recorder take it? */
function can_record(u: usize): bool {
  const form = uop_form(u);
  if (form >= FORM_PSEUDO_FIRST && form <= FORM_PSEUDO_LAST) return false;
  const kind = form_kind(form);
  // a direct branch that cuts EIP to 16 bits
  if (!long_mode && uop_r(u) == 2 && (kind == KIND_JCC || kind == KIND_JUMP || kind == KIND_CALL)) return false;
  const r = changetype<Record>(work_recorder());
  r.start(work_nodes(), NODES_SIZE, changetype<Cpu>(work_cpu()).mode);
  r.begin(u);
  if (!record_form(r, u, form)) r.leave();
  if (r.finish()) return true;
  return changetype<Node>(<usize>r.cursor - NODE_SIZE).op != IR_LEAVE;
}

/** Distance of a direct branch's target: its displacement may have a 33rd bit in the index slot. */
function branch_target(page: u32, u: usize): i64 {
  const x = uop_x(u) & 0xf8;
  return distance(page, <i64>uop_disp(u) + (x == 144 ? 0x100000000 : x == 152 ? -0x100000000 : 0));
}

/** Follow straight-line code from a leader to its end. */
function walk(place: u32, max_entries: u32): void {
  const page = place >>> 12;
  let off = place & 0xfff;
  for (let first = true; ; first = false) {
    if (off >= 4096) {
      lead_at(distance(page, off), false, max_entries);
      return;
    }
    if (!first && load<u32>(uop_at(page, off))) {
      lead(page, off, false, max_entries);
      return;
    }
    const fresh = load<u32>(uop_at(page, off)) == 0;
    const u = instruction(page, off);
    if (u == 0) return;
    const kind = form_kind(uop_form(u));
    const after = distance(page, <i64>(off + uop_len(u)));
    if (load<u8>(marks(page, off)) & LEAVES) {
      // the interpreter's; then the region goes on behind it
      if (kind == KIND_JCC || kind == KIND_JUMP || kind == KIND_RET || kind == KIND_INDIRECT) return;
      lead_at(after, true, max_entries);
      return;
    }
    if (kind) {
      follow(page, u, kind, after, max_entries);
      return;
    }
    if (!fresh) return;
    off += uop_len(u);
  }
}

@inline function is_call(kind: u32): bool {
  return kind == KIND_CALL || kind == KIND_INDIRECT_CALL;
}
@inline function is_indirect(kind: u32): bool {
  return kind == KIND_RET || kind == KIND_INDIRECT || kind == KIND_INDIRECT_CALL;
}

/** Distance of a branch's target: of an indirect one, where it led when the interpreter ran it last; UNKNOWN = not known. */
function target_of(page: u32, u: usize, kind: u32): i64 {
  if (!is_indirect(kind)) return branch_target(page, u);
  const last = page_last_target(page, uop_pos(u));
  return last == 0 ? UNKNOWN : distance(page, last);
}

/** Is a function left to its own region? Not by a small region: a loop that calls small functions stays whole. */
function apart(to: i64): bool {
  if (decoded < SMALL_REGION || !near(to)) return false;
  const page = page_find(<i32>(to >> 12));
  const off = (<u32>to) & 0xfff;
  return page >= 0 && load<u32>(uop_at(page, off)) == 0 && seen_in_region(request, page_mfn(page), off);
}

function follow(page: u32, u: usize, kind: u32, after: i64, max_entries: u32): void {
  const to = target_of(page, u, kind);
  const inside = to != UNKNOWN && !(is_call(kind) && apart(to)) && lead_at(to, false, max_entries);
  if (kind == KIND_INDIRECT) {
    let t: i64;
    for (let k: u32 = 0; (t = page_target(page, uop_pos(u), k)) != 0; k++)
      lead_at(distance(page, t), false, max_entries);
  }
  if (kind == KIND_JCC) lead_at(after, false, max_entries);
  else if (is_call(kind)) lead_at(after, !inside, max_entries);
}

function record_all(): bool {
  let nodes = work_nodes();
  const end = nodes + NODES_SIZE;
  for (let i: u32 = 0; i < queued && blocks < MAX_BLOCKS; i++) {
    const place = load<u32>(work_queue() + ((<usize>i) << 2));
    if (load<u32>(uop_at(place >>> 12, place & 0xfff)) == 0 || end - nodes < 0x10000) continue;
    if (load<u8>(marks(place >>> 12, place & 0xfff)) & LEAVES) continue;
    nodes = record_block(place >>> 12, place & 0xfff, nodes, end - nodes);
  }
  for (let i: u32 = 0; i < blocks; i++) link(block(i));
  for (let i: u32 = 0; i < blocks; i++) if (is_call(block(i).kind)) spread(block(i));
  for (let i: u32 = 0; i < blocks; i++) if (block(i).kind == KIND_RET) returns(block(i));
  return blocks > 0 && load<u16>(block_at(block(0).page, block(0).offset)) == 1;
}

function record_block(page: u32, first: u32, nodes: usize, room: usize): usize {
  const b = block(blocks++);
  memory.fill(changetype<usize>(b), 0, offsetof<Block>());
  store<u16>(block_at(page, first), <u16>blocks);
  b.page = page;
  b.offset = first;
  b.first = <u32>nodes;
  b.next_at = b.taken_at = UNKNOWN;
  if (load<u8>(marks(page, first)) & ENTRY) b.flags = BLOCK_ENTRY;
  const r = changetype<Record>(work_recorder());
  r.start(nodes, room, changetype<Cpu>(work_cpu()).mode);
  let off = first;
  let open = true;
  while (open) {
    const u = <usize>load<u32>(uop_at(page, off));
    r.begin(u);
    if (load<u8>(marks(page, off)) & LEAVES || !record_form(r, u, uop_form(u))) r.leave();
    open = r.finish();
    if (!open) {
      if (changetype<Node>(<usize>r.cursor - NODE_SIZE).op == IR_LEAVE) break;
      b.kind = form_kind(uop_form(u));
      b.taken_at = target_of(page, u, b.kind);
      b.end_at = off;
    }
    off += uop_len(u);
    if (open && (off >= 4096 || load<u8>(marks(page, off)) & LEADER || load<u32>(uop_at(page, off)) == 0)) {
      r.close();
      break;
    }
  }
  b.next_at = distance(page, off);
  weight += r.count;
  b.end = r.cursor;
  return <usize>r.cursor;
}

/** The block at a distance, or NOWHERE. */
export function block_of(at: i64): u32 {
  const page = page_known(<i32>(at >> 12));
  if (page < 0) return NOWHERE;
  return <u32>load<u16>(block_at(page, (<u32>at) & 0xfff)) - 1;
}

function link(b: Block): void {
  const op = changetype<Node>(<usize>b.end - NODE_SIZE).op;
  b.next = b.taken = NOWHERE;
  if (op == IR_LEAVE) return;
  if (b.kind == 0 || b.kind == KIND_JCC || is_call(b.kind)) b.next = block_of(b.next_at);
  if (b.kind && b.taken_at != UNKNOWN) b.taken = block_of(b.taken_at);
  if (b.kind == KIND_INDIRECT) jumps(b);
}

function add_return(b: Block, to: u32): void {
  store<u32>(changetype<usize>(b) + offsetof<Block>('return0') + ((<usize>b.returns) << 2), to);
  b.returns++;
}

/** Where else an indirect jump may lead. */
function jumps(b: Block): void {
  let t: i64;
  for (let k: u32 = 0; (t = page_target(b.page, b.end_at, k)) != 0 && b.returns < MAX_RETURNS; k++) {
    const to = block_of(distance(b.page, t));
    if (to != NOWHERE && to != b.taken) add_return(b, to);
  }
}

// ---- returns: a RET is compared with what lies behind the calls of the function it is in

/** Mark what a call's target reaches without leaving its function. */
function spread(call: Block): void {
  if (call.taken == NOWHERE) return;
  const bit: u32 = 1 << (call.taken & 31);
  const list = work_queue();
  let n: u32 = 1;
  store<u32>(list, call.taken);
  if (block(call.taken).within & bit) return;
  block(call.taken).within |= bit;
  while (n) {
    n--;
    const b = block(load<u32>(list + ((<usize>n) << 2)));
    const to = is_call(b.kind) || b.kind == KIND_RET ? NOWHERE : b.taken;
    n = reach(list, n, to, bit);
    n = reach(list, n, b.next, bit);
    for (let i: u32 = 0; b.kind == KIND_INDIRECT && i < b.returns; i++) n = reach(list, n, block_return(b, i), bit);
  }
}

function reach(list: usize, n: u32, to: u32, bit: u32): u32 {
  if (to == NOWHERE || block(to).within & bit) return n;
  block(to).within |= bit;
  store<u32>(list + ((<usize>n) << 2), to);
  return n + 1;
}

function returns(b: Block): void {
  for (let i: u32 = 0; i < blocks && b.returns < MAX_RETURNS; i++) {
    const call = block(i);
    if (!is_call(call.kind) || call.taken == NOWHERE || call.next == NOWHERE) continue;
    if (call.next == b.taken) continue;
    if (!(b.within & (1 << (call.taken & 31)))) continue;
    add_return(b, call.next);
  }
}
