// What becomes of decoded code whose bytes are written (SDM vol. 3, 13.6, self-modifying code): the instructions that lie there are decoded
// again before they run next, the others stay.
//
// Who decodes announces it: Frame.granules says which parts of a frame somebody has decoded, and no write tag of this pCPU's TLB maps such a
// frame. Its stores come here first (a tag with TLB_CHECKED). A page whose code is not run any more would be slow to write for ever; so after
// a number of stores all its code is dropped and it gets its tag, and each time that was wrong the number grows.
import { FORM_BRK, FORM_CROSS, FORM_GP, FORM_REGION, FORM_RESYNC, FORM_UD, FORM_UNIT } from '../gen/forms';
import { CODE_SEVERAL, Frame, frame, frame_stale, frame_written, granules } from '../shared/frame_table';
import { Mfn, ptr_to_mfn } from '../shared/memory';
import { region_original, regions_dead } from '../translator/regions';
import { sample_forget } from '../translator/sampler';
import { MAX_LENGTH } from './layout';
import { CodePage, code_first, code_next, code_slot } from './code_cache';
import { tlb_protect_frame } from './tlb_sets';
import { UOP_SIZE, uop_form, uop_len } from './uop';

/** Stores to a frame with code before all its code is dropped: at first, and at most. */
export const CODE_PATIENCE: u32 = 64;
const MAX_PATIENCE: u32 = 1 << 20;
const MAX_UNREST: u32 = 64;
/** An instruction that begins so far before a byte does not reach it. */
const REACH: u32 = MAX_LENGTH - 1;

/** This pCPU in Frame.code_pcpu. */
let me: u8 = 0;

export function code_writes_attach(pcpu: u32): void {
  me = <u8>(pcpu + 1);
}

/** From here on writes to granules `g` of the page's frame are noticed. */
export function code_claim(page: CodePage, g: u64): void {
  const f = changetype<usize>(frame(page.mfn));
  if (page.granules == 0) {
    tlb_protect_frame(page.mfn);
    const was = atomic.cmpxchg<u8>(f + offsetof<Frame>('code_pcpu'), 0, me);
    if (was && was != me) atomic.store<u8>(f + offsetof<Frame>('code_pcpu'), CODE_SEVERAL);
  }
  page.granules |= g;
  atomic.or<u64>(f + offsetof<Frame>('granules'), g);
}

/** Is something of the frame decoded? What is left here of code that somebody else has made stale is dropped. */
export function code_in(mfn: Mfn): bool {
  if (atomic.load<u64>(changetype<usize>(frame(mfn)) + offsetof<Frame>('granules'))) return true;
  for (let c = code_first(mfn); c; c = code_next(changetype<CodePage>(c)))
    if (changetype<CodePage>(c).granules) code_drop(changetype<CodePage>(c));
  return false;
}

/** This pCPU is about to write `len` bytes at `p`, all in one frame. True: nothing of the frame is decoded any more. */
export function code_written(p: usize, len: u32): bool {
  const mfn = ptr_to_mfn(p);
  if (!code_in(mfn)) return true;
  const f = frame(mfn);
  if (atomic.load<u8>(changetype<usize>(f) + offsetof<Frame>('code_pcpu')) != me) {
    // the others compare generations, and so does this pCPU
    if (frame_written(p, len)) return !code_in(mfn);
    return false;
  }
  const first = code_first(mfn);
  if (first == 0 || impatient(changetype<CodePage>(first))) {
    forget(f, first, ~0);
    return true;
  }
  const off = (<u32>p) & 0xfff;
  if (!(atomic.load<u64>(changetype<usize>(f) + offsetof<Frame>('granules')) & granules(off, len))) return false;
  return overwrite(f, first, off, len);
}

function impatient(page: CodePage): bool {
  if (++page.stores <= page.patience) return false;
  if (page.patience < MAX_PATIENCE) page.patience <<= 2;
  return true;
}

/** Drop what lies in the bytes. True: nothing is left in the frame. */
function overwrite(f: Frame, first: usize, off: u32, len: u32): bool {
  let hit = false;
  for (let c = first; c; c = code_next(changetype<CodePage>(c)))
    hit = erase(changetype<CodePage>(c), off, off + len) || hit;
  if (!hit) return false;
  const g = granules(off, len);
  let left: u64 = 0;
  for (let c = first; c; c = code_next(changetype<CodePage>(c))) left |= shrink(changetype<CodePage>(c), g);
  if (left == 0) {
    // it has become something else
    changetype<CodePage>(first).patience = CODE_PATIENCE;
    forget(f, first, ~0);
    return true;
  }
  forget(f, 0, g & ~left);
  return false;
}

/** Granules `g` of a frame that only this pCPU had decoded code of are free of it; all of them: drop what is left from page `c` on. */
function forget(f: Frame, c: usize, g: u64): void {
  for (; c; c = code_next(changetype<CodePage>(c))) code_drop(changetype<CodePage>(c));
  const at = changetype<usize>(f);
  // Whoever has begun to decode meanwhile has written its number before its granules.
  const left = atomic.and<u64>(at + offsetof<Frame>('granules'), ~g) & ~g;
  const who = left
    ? atomic.load<u8>(at + offsetof<Frame>('code_pcpu'))
    : atomic.cmpxchg<u8>(at + offsetof<Frame>('code_pcpu'), me, 0);
  if (who != me) frame_stale(at);
}

/** Drop everything decoded in a page. */
export function code_drop(page: CodePage): void {
  page.edition++;
  erase(page, 0, 4096);
  page.granules = 0;
  page.head = page.stores = 0;
}

/** Bytes that a micro-op says something about: what is no instruction depends on all that could be one. */
function extent(u: usize): u32 {
  const form = uop_form(u);
  if (form == FORM_BRK) return extent(u + UOP_SIZE);
  // a way into a region says nothing of its own: what stood there may be an instruction on two pages
  if (form == FORM_REGION) return extent(region_original(u));
  if (form == FORM_UD || form == FORM_GP || form == FORM_UNIT || form == FORM_CROSS) return MAX_LENGTH;
  return uop_len(u);
}

/** Turn the micro-ops of instructions with bytes in from .. to-1 into ones that decode again. True: there were some. */
function erase(page: CodePage, from: u32, to: u32): bool {
  let hit = false;
  for (let o: u32 = from > REACH ? from - REACH : 0; o < to; o++) {
    if (!((page.granules >>> (<u64>(o >>> 6))) & 1)) {
      o |= 63;
      continue;
    }
    const u = <usize>load<u32>(code_slot(page, o));
    if (u == 0 || o + extent(u) <= from) continue;
    hit = true;
    const form = uop_form(u);
    if (form == FORM_BRK) store<u16>(u + UOP_SIZE, <u16>FORM_RESYNC);
    if (form == FORM_REGION) sample_forget(u);
    store<u16>(u, <u16>FORM_RESYNC);
    store<u32>(code_slot(page, o), 0);
  }
  if (from < page.head) {
    page.head = 0;
    hit = true;
  }
  if (!hit) return false;
  page.edition++;
  if (page.unrest < MAX_UNREST) page.unrest++;
  if (page.regions) {
    regions_dead(page.regions);
    page.regions = 0;
  }
  return true;
}

/** Take from the page's granules those of `g` that no decoded instruction reaches any more. What it has then. */
function shrink(page: CodePage, g: u64): u64 {
  for (let left = page.granules & g; left; left &= left - 1) {
    const i = <u32>ctz<u64>(left);
    if (!reached(page, i)) page.granules &= ~((<u64>1) << (<u64>i));
  }
  return page.granules;
}

function reached(page: CodePage, granule: u32): bool {
  if (granule == 0 && page.head) return true;
  const from = granule << 6;
  for (let o: u32 = from > REACH ? from - REACH : 0; o < from + 64; o++) {
    const u = <usize>load<u32>(code_slot(page, o));
    if (u && o + extent(u) > from) return true;
  }
  return false;
}
