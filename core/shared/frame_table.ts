// The frame table: who owns a frame of machine memory, what it is and how many mappings hold it. 32 bytes a frame.
import { HOST_BASE } from '../engine/layout';
import { FRAME_ENTRY_SIZE, host, Host } from './host';
import { Mfn, ptr_to_mfn } from './memory';

@unmanaged
export class Frame {
  owner: u16;
  type: u8;
  /** The pCPU that holds decoded code of the frame, + 1; CODE_SEVERAL; 0 = none does. */
  code_pcpu: u8;
  /** Mappings (p2m entries) and the hypervisor's own holds. */
  refcount: u32;
  /** Raised when decoded code of this frame became invalid. */
  code_generation: u32;
  /** Next frame of the list that it is on (free, limbo); in limbo refcount is the flush epoch: see frame_alloc.ts. */
  link: u32;
  /** Parts of 64 bytes in which some pCPU may have decoded code: writes to them have to be announced. */
  granules: u64;
  /** A PV domain's frame: what it is used as, PGT_* and its flags (hypervisor/pv/page_type.ts). */
  pt_type: u8;
  pt_flags: u8;
  /** Of a page table that is being validated or given up: entries that are done. */
  partial: u16;
  /** Uses of that type. */
  pt_count: u32;
}

/** Never handed out or free. */
export const FRAME_FREE: u8 = 0;
/** The hypervisor's own: never mapped into a guest. */
export const FRAME_XENHEAP: u8 = 1;
/** A domain's memory. */
export const FRAME_RAM: u8 = 2;
/** Hypervisor memory that a guest may map: shared_info, grant table. */
export const FRAME_SHARED: u8 = 3;
/** Freed, waiting for every pCPU to forget it. */
export const FRAME_LIMBO: u8 = 4;

export const CODE_SEVERAL: u8 = 0xff;

@inline export function frame(mfn: Mfn): Frame {
  return changetype<Frame>(<usize>host().frame_table + <usize>mfn * FRAME_ENTRY_SIZE);
}

/** Is `mfn` one that the allocator hands out at all? */
@inline export function frame_valid(mfn: Mfn): bool {
  return mfn >= host().first_frame && mfn < host().next_fresh;
}

@inline export function frame_get(mfn: Mfn): void {
  atomic.add<u32>(changetype<usize>(frame(mfn)) + offsetof<Frame>('refcount'), 1);
}

/** Drop a hold; true if it was the last one and the caller has to free the frame. */
@inline export function frame_put(mfn: Mfn): bool {
  return atomic.sub<u32>(changetype<usize>(frame(mfn)) + offsetof<Frame>('refcount'), 1) == 1;
}

/** The granules of a frame that `len` bytes from offset `off` on touch; they end in the frame. */
@inline export function granules(off: u32, len: u32): u64 {
  const last = (off + len - 1) >>> 6;
  return (~(<u64>0) >> (<u64>(63 - last))) & (~(<u64>0) << (<u64>(off >>> 6)));
}

/**
 * Bytes of a frame are changed by other than the pCPU that alone has decoded code there: that code is stale on every pCPU. False: they are
 * none that somebody has decoded. The granules go before the generation comes: who announces some under the new one is not forgotten.
 */
export function frame_written(p: usize, len: u32): bool {
  const f = changetype<usize>(frame(ptr_to_mfn(p)));
  if (!(atomic.load<u64>(f + offsetof<Frame>('granules')) & granules((<u32>p) & 0xfff, len))) return false;
  atomic.store<u64>(f + offsetof<Frame>('granules'), 0);
  atomic.store<u8>(f + offsetof<Frame>('code_pcpu'), 0);
  frame_stale(f);
  return true;
}

/** Decoded code of the frame at `f` is stale on every pCPU; each sees it before it runs guest code again. */
export function frame_stale(f: usize): void {
  atomic.add<u32>(f + offsetof<Frame>('code_generation'), 1);
  atomic.add<u32>(HOST_BASE + offsetof<Host>('smc_seq'), 1);
}
