// The translator's working memory: where each table of the region in work lies in its area.
import { AREA_WORK, MAX_BLOCKS, MAX_PAGES, MAX_WEIGHT, translator_area } from './layout';

const PAGE: usize = 4096;
/** A Cpu of which only the mode counts: the decoder asks for it. */
const CPU: usize = 0;
/** Code bytes of an instruction that crosses a page. */
const SCRATCH: usize = 4096;
const RECORDER: usize = 0x2000;
/** Micro-op of each offset of each page. */
const UOP_AT: usize = 0x4000;
/** LEADER and ENTRY bits of each offset. */
const MARKS: usize = UOP_AT + <usize>MAX_PAGES * PAGE * 4;
/** Block that begins at each offset, + 1. */
const BLOCK_AT: usize = MARKS + <usize>MAX_PAGES * PAGE;
const UOPS: usize = BLOCK_AT + <usize>MAX_PAGES * PAGE * 2;
const QUEUE: usize = UOPS + <usize>MAX_WEIGHT * 16 + 4096;
const BLOCKS: usize = QUEUE + 0x10000;
const BLOCK_SIZE: usize = 192;
/** Lists of the structuring. */
const LISTS: usize = BLOCKS + <usize>(MAX_BLOCKS + 64) * BLOCK_SIZE;
const LISTS_SIZE: usize = 0x40000;
const NODES: usize = LISTS + LISTS_SIZE;
export const NODES_SIZE: usize = 0x600000;
const BODY: usize = NODES + NODES_SIZE;
export const BODY_SIZE: usize = 0x200000;
const MODULE: usize = BODY + BODY_SIZE;
export const MODULE_SIZE: usize = 0x208000;
const SEEN: usize = MODULE + MODULE_SIZE;
/** A power of 2. */
export const SEEN_SLOTS: usize = 0x10000;
/** The function's declarations and what it loads at its beginning. */
const PREFIX: usize = SEEN + SEEN_SLOTS * 4;
export const PREFIX_SIZE: usize = 0x2000;
const HINTS: usize = PREFIX + PREFIX_SIZE;
export const HINTS_SIZE: u32 = 0x20000;

@inline function work(offset: usize): usize {
  return translator_area() + AREA_WORK + offset;
}
export function work_cpu(): usize {
  return work(CPU);
}
export function work_scratch(): usize {
  return work(SCRATCH);
}
export function work_recorder(): usize {
  return work(RECORDER);
}
export function uop_at(page: u32, off: u32): usize {
  return work(UOP_AT) + ((<usize>((page << 12) | off)) << 2);
}
export function marks(page: u32, off: u32): usize {
  return work(MARKS) + <usize>((page << 12) | off);
}
export function block_at(page: u32, off: u32): usize {
  return work(BLOCK_AT) + ((<usize>((page << 12) | off)) << 1);
}
export function work_uops(): usize {
  return work(UOPS);
}
export function work_queue(): usize {
  return work(QUEUE);
}
export function work_block(i: u32): usize {
  return work(BLOCKS) + <usize>i * BLOCK_SIZE;
}
export function work_lists(): usize {
  return work(LISTS);
}
export function work_nodes(): usize {
  return work(NODES);
}
export function work_body(): usize {
  return work(BODY);
}
export function work_module(): usize {
  return work(MODULE);
}
export function work_seen(): usize {
  return work(SEEN);
}
export function work_prefix(): usize {
  return work(PREFIX);
}
export function work_hints(): usize {
  return work(HINTS);
}
/** Make page `i`'s tables empty. */
export function work_clear_page(i: u32): void {
  memory.fill(uop_at(i, 0), 0, PAGE * 4);
  memory.fill(marks(i, 0), 0, PAGE);
  memory.fill(block_at(i, 0), 0, PAGE * 2);
}
