// The frame table: who owns a frame of machine memory, what it is and how many mappings hold it. 16 bytes a frame.
import { HOST_BASE } from '../engine/layout';
import { host, Host } from './host';
import { Mfn } from './memory';

@unmanaged
export class Frame {
  owner: u16;
  type: u8;
  flags: u8;
  /** Mappings (p2m entries) and the hypervisor's own holds. */
  refcount: u32;
  /** Raised when decoded code of this frame became invalid. */
  code_generation: u32;
  /** Next frame of the list that it is on (free, limbo); in limbo the flush epoch is in code_generation's place: see frame_alloc.ts. */
  link: u32;
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

/** Some pCPU holds decoded code of the frame: writes have to go through frame_written. */
export const FRAME_CODE: u8 = 1;

@inline export function frame(mfn: Mfn): Frame {
  return changetype<Frame>(<usize>host().frame_table + ((<usize>mfn) << 4));
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

/** The hypervisor or a service is about to have changed bytes of `mfn`: decoded code of it is stale on every pCPU. */
export function frame_written(mfn: Mfn): void {
  const f = changetype<usize>(frame(mfn));
  if (!(atomic.load<u8>(f + offsetof<Frame>('flags')) & FRAME_CODE)) return;
  atomic.add<u32>(f + offsetof<Frame>('code_generation'), 1);
  atomic.add<u32>(HOST_BASE + offsetof<Host>('smc_seq'), 1);
}
