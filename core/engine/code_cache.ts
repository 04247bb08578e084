// Decoded code, kept by frame and mode so that it survives changes of the linear address space. Private to a pCPU.
//
// A code page is 16 KiB of micro-op pointers, one per byte offset, behind a header. Micro-ops lie in runs: 16 bytes of header {next run,
// count}, then the micro-ops. Everything comes from one arena; when it is full all of it is forgotten, which only lookups may do.
import { Cpu } from '../arch/x86/cpu';
import { MODE_CODE_KEY } from '../arch/x86/modes';
import { FORM_BRK, FORM_CROSS, FORM_GOTO, FORM_RESYNC } from '../gen/forms';
import { FRAME_CODE, Frame, frame } from '../shared/frame_table';
import { Mfn, mfn_to_ptr } from '../shared/memory';
import { debug_break_offset, debug_breaks } from './debug';
import { decode, decoded_attrs } from './decode';
import { A_END } from './decode_table';
import { PCPU_CODE_ARENA, PCPU_CODE_ARENA_SIZE, PCPU_CODE_HASH } from './layout';
import { tlb_forget_code, tlb_protect_frame } from './tlb_sets';
import { UOP_SIZE } from './uop';
import { regions_changed, regions_flush } from '../translator/regions';
import { samples_flush } from '../translator/sampler';

@unmanaged
export class CodePage {
  /** Next code page of the hash bucket. */
  next: u32;
  mfn: u32;
  /** MODE_CODE_KEY bits; ~0 after the page's bytes changed. */
  mode: u32;
  generation: u32;
  /** First run. */
  runs: u32;
  reserved: u32;
  // u32 offsets[4096] at PAGE_OFFSETS
}

export const PAGE_OFFSETS: usize = 32;
const CODE_PAGE_SIZE: usize = PAGE_OFFSETS + 4 * 4096;
const HASH_SIZE: u32 = 4096;
const MAX_RUN: u32 = 64;
const STALE: u32 = 0xffffffff;

let hash: usize = 0;
let arena: usize = 0;
let bump: usize = 0;

export function code_attach(area: usize): void {
  hash = area + PCPU_CODE_HASH;
  arena = area + PCPU_CODE_ARENA;
  code_flush();
}

/** Forget all decoded code. No micro-op address survives this. */
export function code_flush(): void {
  memory.fill(hash, 0, HASH_SIZE << 2);
  bump = arena;
  tlb_forget_code();
  regions_flush();
  samples_flush();
}

@inline function bucket(mfn: Mfn): usize {
  return hash + ((mfn & (HASH_SIZE - 1)) << 2);
}

function room(bytes: usize): bool {
  return bump + bytes <= arena + PCPU_CODE_ARENA_SIZE;
}

/** The code page of a frame for the vCPU's mode, made if need be. May forget all decoded code. */
export function code_page(cpu: Cpu, mfn: Mfn): CodePage {
  const key = cpu.mode & MODE_CODE_KEY;
  const f = frame(mfn);
  const generation = atomic.load<u32>(changetype<usize>(f) + offsetof<Frame>('code_generation'));
  for (let c = load<u32>(bucket(mfn)); c; c = changetype<CodePage>(<usize>c).next) {
    const page = changetype<CodePage>(<usize>c);
    if (page.mfn != mfn || page.mode == STALE) continue;
    if (page.generation != generation) invalidate(page);
    else if (page.mode == key) return page;
  }
  if (!room(CODE_PAGE_SIZE)) code_flush();
  const page = changetype<CodePage>(bump);
  bump += CODE_PAGE_SIZE;
  memory.fill(changetype<usize>(page), 0, CODE_PAGE_SIZE);
  page.mfn = mfn;
  page.mode = key;
  page.generation = generation;
  page.next = load<u32>(bucket(mfn));
  store<u32>(bucket(mfn), <u32>changetype<usize>(page));
  atomic.or<u8>(changetype<usize>(f) + offsetof<Frame>('flags'), FRAME_CODE);
  tlb_protect_frame(mfn);
  return page;
}

/** Turn every micro-op of a page into one that looks its own address up again, and let nothing find the page any more. */
function invalidate(page: CodePage): void {
  page.mode = STALE;
  for (let run = <usize>page.runs; run; run = load<u32>(run)) {
    const n = load<u32>(run, 4);
    for (let i: u32 = 0; i < n; i++) store<u16>(run + UOP_SIZE + <usize>i * UOP_SIZE, <u16>FORM_RESYNC);
  }
  memory.fill(changetype<usize>(page) + PAGE_OFFSETS, 0, 4 * 4096);
  regions_changed();
}

/** This pCPU is about to write to a frame that holds decoded code: drop it here, and let the others see a new generation. */
export function code_written(mfn: Mfn): void {
  for (let c = load<u32>(bucket(mfn)); c; c = changetype<CodePage>(<usize>c).next) {
    const page = changetype<CodePage>(<usize>c);
    if (page.mfn == mfn && page.mode != STALE) invalidate(page);
  }
  const f = changetype<usize>(frame(mfn));
  atomic.add<u32>(f + offsetof<Frame>('code_generation'), 1);
  atomic.and<u8>(f + offsetof<Frame>('flags'), <u8>~FRAME_CODE);
}

/** Micro-op for offset `off` of a page, decoded if need be. May forget all decoded code: then 0, and the caller looks up anew. */
export function code_at(cpu: Cpu, page: CodePage, off: u32): usize {
  const found = load<u32>(changetype<usize>(page) + PAGE_OFFSETS + (off << 2));
  if (found) return found;
  if (!room((MAX_RUN + 4) * UOP_SIZE)) {
    code_flush();
    return 0;
  }
  return decode_run(cpu, page, off);
}

function decode_run(cpu: Cpu, page: CodePage, first: u32): usize {
  const run = bump;
  const offsets = changetype<usize>(page) + PAGE_OFFSETS;
  const bytes = mfn_to_ptr(page.mfn);
  let u = run + UOP_SIZE;
  let off = first;
  let count: u32 = 0;
  for (;;) {
    if (off >= 4096) {
      pseudo(u, FORM_GOTO, 0, 4096);
      break;
    }
    const known = load<u32>(offsets + (off << 2));
    if (known || count >= MAX_RUN) {
      pseudo(u, FORM_GOTO, off, off);
      store<u32>(u, known, 12);
      break;
    }
    store<u32>(offsets + (off << 2), <u32>u);
    if (debug_breaks && debug_break_offset(off)) {
      pseudo(u, FORM_BRK, off, off);
      count++;
      u += UOP_SIZE;
    }
    const length = decode(cpu, bytes + off, 4096 - off, off, u);
    if (length == 0) {
      pseudo(u, FORM_CROSS, off, off);
      break;
    }
    count++;
    u += UOP_SIZE;
    off += length;
    if (decoded_attrs & A_END) {
      // It may still be followed (a system instruction that found nothing to change); a branch never is.
      pseudo(u, FORM_GOTO, off & 0xfff, off);
      break;
    }
  }
  store<u32>(run, page.runs);
  store<u32>(run, count + 1, 4);
  page.runs = <u32>run;
  bump = u + UOP_SIZE;
  return run + UOP_SIZE;
}

/** A micro-op that is no instruction: go on at offset `target` of the page. */
export function pseudo(u: usize, form: u32, pos: u32, target: i32): void {
  store<u16>(u, <u16>form);
  store<u16>(u, <u16>pos, 2);
  store<u32>(u, 128 << 16, 4);
  store<i32>(u, target, 8);
  store<i32>(u, 0, 12);
}
