// Which blocks have been translated already. Where a call leads to one of these, a region that is not small any more ends: the function has a
// region of its own, or gets one when enough time is spent in it. Followed everywhere, the same functions were translated four times
// over, and their compilation took longer than leaving for them does.
import { Request } from './layout';
import { SEEN_SLOTS, work_seen } from './work';

/** A table that forgets: a word for each block, by hash; the last one of a place stays. What it says decides how code is cut up, not what it does. */
@inline function slot(key: u32): usize {
  return work_seen() + (((<usize>((key * 0x9e3779b1) >>> 12)) & (SEEN_SLOTS - 1)) << 2);
}

/** A block's number: where it lies, whose it is, and since when decoded code has not been forgotten as a whole. Never 0. */
function key_of(r: Request, mfn: u32, off: u32): u32 {
  return ((((mfn << 12) | off) * 0x85ebca6b) ^ (((r.epoch << 8) | r.pcpu) * 0xc2b2ae35)) | 1;
}

export function seen_note(r: Request, mfn: u32, off: u32): void {
  const key = key_of(r, mfn, off);
  store<u32>(slot(key), key);
}

/** Has a region of the same pCPU a block that begins there? */
export function seen_in_region(r: Request, mfn: u32, off: u32): bool {
  const key = key_of(r, mfn, off);
  return load<u32>(slot(key)) == key;
}
