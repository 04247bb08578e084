// Machine frame → the number that its PV owner gave it: a table that every PV guest may read. 8 bytes a frame, in pages that come when they
// are first written; until then a page of "nothing" stands for them.
import { DOMID_XEN } from '../../gen/abi';
import { xenheap_alloc, xenheap_alloc_pair, xenheap_free } from '../../shared/frame_alloc';
import { host, host_raise_flush } from '../../shared/host';
import { INVALID_MFN, Mfn, PAGE_SIZE, ptr_to_mfn } from '../../shared/memory';
import { invariant_page } from '../invariants';

/** Where PV guests see it (public/arch-x86/xen-x86_64.h). */
export const M2P_START: u64 = 0xffff800000000000;
export const M2P_END: u64 = 0xffff804000000000;
export const M2P_INVALID: u64 = ~0;
/** Frames that a page of it is about. */
export const M2P_PER_PAGE: u32 = PAGE_SIZE >>> 3;
/** The same for 32-bit guests, with half of each entry: there is one with the first of them. */
const COMPAT_PER_PAGE: u32 = PAGE_SIZE >>> 2;
const COMPAT_PAGES: u32 = 1024;
/** The directory's slots, a pair of frames: 4 GiB of memory. The first page is about the host's own tables, so it is the page of "nothing". */
const PAGES: u32 = 2048;

@inline function slot(page: u32): usize {
  return <usize>host().m2p + ((<usize>page) << 2);
}

/** With the first PV domain. False: no memory. */
export function m2p_init(): bool {
  const h = host();
  if (h.m2p) return true;
  const none = xenheap_alloc(<u16>DOMID_XEN);
  if (!none) return false;
  const dir = xenheap_alloc_pair(<u16>DOMID_XEN);
  if (!dir) {
    xenheap_free(none);
    return false;
  }
  memory.fill(none, 0xff, PAGE_SIZE);
  store<u32>(dir, <u32>none);
  h.m2p = <u32>dir;
  return true;
}

/** Pages that the table has, with memory or without. */
export function m2p_pages(): u32 {
  return (host().memory_frames + M2P_PER_PAGE - 1) / M2P_PER_PAGE;
}

/** With the first 32-bit PV domain: what is known goes into a table of its own. False: no memory. */
export function m2p_compat_init(): bool {
  const h = host();
  if (h.m2p_compat) return true;
  const dir = xenheap_alloc(<u16>DOMID_XEN);
  if (!dir) return false;
  h.m2p_compat = <u32>dir;
  for (let page: u32 = 1; page < PAGES; page++) {
    const p = <usize>load<u32>(slot(page));
    for (let i: u32 = 0; p && i < M2P_PER_PAGE; i++) {
      const pfn = load<u64>(p + ((<usize>i) << 3));
      if (pfn == M2P_INVALID || compat_set(page * M2P_PER_PAGE + i, <u32>pfn)) continue;
      compat_end();
      return false;
    }
  }
  return true;
}

/** There was no memory for the whole of it. */
function compat_end(): void {
  for (let page: u32 = 0; page < COMPAT_PAGES; page++) {
    const p = load<u32>(compat_slot(page));
    if (p) xenheap_free(p);
  }
  xenheap_free(host().m2p_compat);
  host().m2p_compat = 0;
}

@inline function compat_slot(page: u32): usize {
  return <usize>host().m2p_compat + ((<usize>page) << 2);
}

function compat_set(mfn: Mfn, pfn: u32): bool {
  const page = mfn / COMPAT_PER_PAGE;
  if (page >= COMPAT_PAGES) return true;
  let p = <usize>load<u32>(compat_slot(page));
  if (!p) {
    if (pfn == 0xffffffff) return true;
    p = xenheap_alloc(<u16>DOMID_XEN);
    if (!p) return false;
    memory.fill(p, 0xff, PAGE_SIZE);
    atomic.store<u32>(compat_slot(page), <u32>p);
    host_raise_flush();
  }
  atomic.store<u32>(p + ((<usize>(mfn % COMPAT_PER_PAGE)) << 2), pfn);
  return true;
}

/** Pages of the table, 0 while there is none. */
export function m2p_compat_pages(): u32 {
  return !host().m2p_compat ? 0 : (host().memory_frames + COMPAT_PER_PAGE - 1) / COMPAT_PER_PAGE;
}

/** As m2p_frame, of the table for 32-bit guests. */
export function m2p_compat_frame(index: u64): Mfn {
  if (index >= <u64>m2p_compat_pages()) return INVALID_MFN;
  const p = atomic.load<u32>(compat_slot(<u32>index));
  return ptr_to_mfn(p ? <usize>p : <usize>load<u32>(<usize>host().m2p));
}

/** Frame of the table's page `index`, for reading; INVALID_MFN behind its end. Callable without the lock. */
export function m2p_frame(index: u64): Mfn {
  if (!host().m2p || index >= <u64>m2p_pages()) return INVALID_MFN;
  const p = atomic.load<u32>(slot(<u32>index));
  return ptr_to_mfn(p ? <usize>p : <usize>load<u32>(<usize>host().m2p));
}

/** False: no memory. */
export function m2p_set(mfn: Mfn, pfn: u64): bool {
  const page = mfn / M2P_PER_PAGE;
  if (!host().m2p || page == 0 || page >= PAGES) return false;
  let p = <usize>load<u32>(slot(page));
  if (!p) {
    if (pfn == M2P_INVALID) return true;
    p = xenheap_alloc(<u16>DOMID_XEN);
    if (!p) return false;
    memory.fill(p, 0xff, PAGE_SIZE);
    atomic.store<u32>(slot(page), <u32>p);
    host_raise_flush(); // some TLB may have the page of nothing there
  }
  atomic.store<u64>(p + ((<usize>(mfn % M2P_PER_PAGE)) << 3), pfn);
  return !host().m2p_compat || compat_set(mfn, <u32>pfn);
}

export function m2p_get(mfn: Mfn): u64 {
  const page = mfn / M2P_PER_PAGE;
  const p = host().m2p && page && page < PAGES ? <usize>load<u32>(slot(page)) : 0;
  return p ? load<u64>(p + ((<usize>(mfn % M2P_PER_PAGE)) << 3)) : M2P_INVALID;
}

/** A frame goes back to the allocator. */
@inline export function m2p_forget(mfn: Mfn): void {
  if (host().m2p) m2p_set(mfn, M2P_INVALID);
}

/** The invariant walker's part. */
export function m2p_holds(): void {
  const dir = <usize>host().m2p;
  if (!dir) return;
  invariant_page(dir);
  invariant_page(dir + PAGE_SIZE);
  for (let i: u32 = 0; i < PAGES; i++) invariant_page(load<u32>(dir + ((<usize>i) << 2)));
  if (!host().m2p_compat) return;
  invariant_page(host().m2p_compat);
  for (let i: u32 = 0; i < COMPAT_PAGES; i++) invariant_page(load<u32>(compat_slot(i)));
}
