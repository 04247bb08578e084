// Decoded code, kept by frame and mode so that it survives changes of the linear address space. Private to a pCPU.
//
// A code page is 16 KiB of micro-op pointers, one per byte offset, behind a header. Everything comes from one arena; when it is full all
// of it is forgotten, which only lookups may do. code_writes.ts says what becomes of decoded code whose bytes are written.
import { Cpu } from '../arch/x86/cpu';
import { MODE_CODE_KEY } from '../arch/x86/modes';
import { FORM_BRK, FORM_CROSS, FORM_GOTO } from '../gen/forms';
import { Frame, frame, granules } from '../shared/frame_table';
import { Mfn, mfn_to_ptr } from '../shared/memory';
import { CODE_PATIENCE, code_claim, code_drop } from './code_writes';
import { debug_break_offset, debug_breaks } from './debug';
import { decode, decoded_attrs } from './decode';
import { A_END } from './decode_table';
import { host } from '../shared/host';
import { PCPU_CODE_ARENA, PCPU_CODE_HASH, MAX_LENGTH } from './layout';
import { tlb_forget_code } from './tlb_sets';
import { UOP_SIZE, uop_len, uop_pos } from './uop';
import { regions_flush } from '../translator/regions';
import { samples_flush } from '../translator/sampler';

@unmanaged
export class CodePage {
  /** Next code page of the hash bucket. */
  next: u32;
  mfn: u32;
  /** MODE_CODE_KEY bits. */
  mode: u32;
  /** The frame's when its code was decoded: another one, and all of it is stale. */
  generation: u32;
  /** Granules of the frame that hold what is decoded here, or are about to: announced to those who write (Frame.granules). */
  granules: u64;
  /** Raised when decoded bytes have been written: regions and what crosses into this page compare. */
  edition: u32;
  /** Bytes at the beginning that belong to decoded instructions of the page before. */
  head: u32;
  /** Stores to the frame since all of its code was dropped, and how many there may be until that is done again. */
  stores: u32;
  patience: u32;
  /** Samples that nothing is translated for, because decoded bytes have been written: at most MAX_UNREST. */
  unrest: u32;
  /** Translated regions that rely on the edition: a list of core/translator/regions.ts. */
  regions: u32;
  // u32 offsets[4096] at PAGE_OFFSETS
}

export const PAGE_OFFSETS: usize = 64;
const CODE_PAGE_SIZE: usize = PAGE_OFFSETS + 4 * 4096;
const HASH_SIZE: u32 = 4096;
const MAX_RUN: u32 = 64;
/** A run's micro-ops, the one at its end, and what FORM_CROSS keeps. */
const RUN_SIZE: usize = (<usize>MAX_RUN + 6) * UOP_SIZE;

let hash: usize = 0;
let arena: usize = 0;
let arena_end: usize = 0;
let bump: usize = 0;
/** Raised when all decoded code is forgotten. */
export let code_epoch: u32 = 0;

export function code_attach(area: usize): void {
  hash = area + PCPU_CODE_HASH;
  arena = area + PCPU_CODE_ARENA;
  arena_end = arena + host().code_arena;
  code_flush();
}

/** Forget all decoded code. No micro-op address survives this. */
export function code_flush(): void {
  memory.fill(hash, 0, HASH_SIZE << 2);
  bump = arena;
  code_epoch++;
  tlb_forget_code();
  regions_flush();
  samples_flush();
}

@inline function bucket(mfn: Mfn): usize {
  return hash + ((mfn & (HASH_SIZE - 1)) << 2);
}

function room(bytes: usize): bool {
  return bump + bytes <= arena_end;
}

/** The first code page of a frame here, and the one after `page`; there is one a mode. 0: there is none. */
export function code_first(mfn: Mfn): usize {
  return same_frame(load<u32>(bucket(mfn)), mfn);
}
export function code_next(page: CodePage): usize {
  return same_frame(page.next, page.mfn);
}
function same_frame(c: u32, mfn: Mfn): usize {
  while (c && changetype<CodePage>(<usize>c).mfn != mfn) c = changetype<CodePage>(<usize>c).next;
  return <usize>c;
}

/** The code page of a frame for the vCPU's mode, made if need be. May forget all decoded code. */
export function code_page(cpu: Cpu, mfn: Mfn): CodePage {
  const key = cpu.mode & MODE_CODE_KEY;
  const f = frame(mfn);
  const generation = atomic.load<u32>(changetype<usize>(f) + offsetof<Frame>('code_generation'));
  for (let c = code_first(mfn); c; c = code_next(changetype<CodePage>(c))) {
    const page = changetype<CodePage>(c);
    if (page.generation != generation) {
      code_drop(page);
      page.generation = generation;
    }
    if (page.mode == key) return page;
  }
  if (!room(CODE_PAGE_SIZE)) code_flush();
  const page = changetype<CodePage>(bump);
  bump += CODE_PAGE_SIZE;
  memory.fill(changetype<usize>(page), 0, CODE_PAGE_SIZE);
  page.mfn = mfn;
  page.mode = key;
  page.generation = generation;
  page.patience = CODE_PATIENCE;
  page.next = load<u32>(bucket(mfn));
  store<u32>(bucket(mfn), <u32>changetype<usize>(page));
  return page;
}

/** Where a page keeps the micro-op of offset `off`. */
@inline export function code_slot(page: CodePage, off: u32): usize {
  return changetype<usize>(page) + PAGE_OFFSETS + ((<usize>off) << 2);
}

/** The bytes of an instruction at `off` are about to be read: from here on writes to them are noticed. */
export function code_cover(page: CodePage, off: u32): void {
  const g = granules(off, min<u32>(4096 - off, MAX_LENGTH));
  if ((page.granules & g) != g) code_claim(page, g);
}

/** Micro-op for offset `off` of a page, decoded if need be. May forget all decoded code: then 0, and the caller looks up anew. */
export function code_at(cpu: Cpu, page: CodePage, off: u32): usize {
  const found = load<u32>(code_slot(page, off));
  if (found) return found;
  if (!room(RUN_SIZE)) {
    code_flush();
    return 0;
  }
  return decode_run(cpu, page, off);
}

function decode_run(cpu: Cpu, page: CodePage, first: u32): usize {
  const run = bump;
  const bytes = mfn_to_ptr(page.mfn);
  let u = run;
  let off = first;
  for (let count: u32 = 0; ; count++) {
    if (off >= 4096) {
      pseudo(u, FORM_GOTO, 0, 4096);
      break;
    }
    const known = load<u32>(code_slot(page, off));
    if (known || count >= MAX_RUN) {
      pseudo(u, FORM_GOTO, off, off);
      store<u32>(u, known, 12);
      break;
    }
    code_cover(page, off);
    store<u32>(code_slot(page, off), <u32>u);
    if (debug_breaks && debug_break_offset(off)) {
      pseudo(u, FORM_BRK, off, off);
      count++;
      u += UOP_SIZE;
    }
    const length = decode(cpu, bytes + off, 4096 - off, off, u);
    if (length == 0) {
      u = crossing(u, off);
      break;
    }
    u += UOP_SIZE;
    off += length;
    if (decoded_attrs & A_END) {
      // It may still be followed (a system instruction that found nothing to change); a branch never is.
      pseudo(u, FORM_GOTO, off & 0xfff, off);
      break;
    }
  }
  bump = u + UOP_SIZE;
  return run;
}

/** An instruction goes on in the next page: its micro-op, and room behind it for what cross() keeps. The last of the two micro-ops. */
function crossing(u: usize, off: u32): usize {
  const kept = u + UOP_SIZE;
  pseudo(u, FORM_CROSS, off, <i32>kept);
  memory.fill(kept, 0, UOP_SIZE);
  return kept + 2 * UOP_SIZE;
}

/**
 * Micro-op `u` was dropped because its bytes have changed. If the instruction there now is as long as the one before, it takes its place, so
 * that what leads to it and on from it stays; false = it has to be looked up.
 */
export function code_renew(cpu: Cpu, page: CodePage, u: usize, scratch: usize): bool {
  const off = uop_pos(u);
  const length = uop_len(u);
  if (length == 0 || load<u32>(code_slot(page, off)) || page.mode != (cpu.mode & MODE_CODE_KEY)) return false;
  if (debug_breaks && debug_break_offset(off)) return false;
  code_cover(page, off);
  if (decode(cpu, mfn_to_ptr(page.mfn) + off, 4096 - off, off, scratch) != length) return false;
  memory.copy(u, scratch, UOP_SIZE);
  store<u32>(code_slot(page, off), <u32>u);
  return true;
}

/** A micro-op that is no instruction: go on at offset `target` of the page. */
export function pseudo(u: usize, form: u32, pos: u32, target: i32): void {
  store<u16>(u, <u16>form);
  store<u16>(u, <u16>pos, 2);
  store<u32>(u, 128 << 16, 4);
  store<i32>(u, target, 8);
  store<i32>(u, 0, 12);
}
