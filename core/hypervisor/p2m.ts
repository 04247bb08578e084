// Guest frame → machine frame, a radix tree of three levels of 1024. An entry holds a reference on its frame, and if it lets one of another
// domain be written, a use as writable memory, too (pv/page_type.ts). Lookups take no lock: entries are words, tables are entered complete and
// leave only with their domain. A PV domain has no such tree: its frame numbers are machine frames (pv/memory.ts).
import { EBUSY, EINVAL, ENOMEM } from '../gen/abi';
import { frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../shared/frame_table';
import { host_raise_flush } from '../shared/host';
import { xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { INVALID_MFN, Mfn } from '../shared/memory';
import { Domain, domain_kick, DOMAIN_SERVICE, is_pv, page_get, page_put } from './domain';
import {
  invariant_broken,
  invariant_hold,
  invariant_page,
  invariant_writable,
  INVARIANT_P2M_ENTRY,
  INVARIANT_P2M_PAGES,
} from './invariants';
import { pv_open, pv_owned, pv_p2m_entry, pv_release, pv_relinquish } from './pv/memory';
import { type_open, writable_get, writable_map, writable_put } from './pv/page_type';

/** Bits 0-19 of an entry are the mfn, bits 20-23 its type; 0 is "nothing". */
export const P2M_NONE: u32 = 0;
export const P2M_RAM_RW: u32 = 1;
export const P2M_RAM_RO: u32 = 2;
export const P2M_MMIO: u32 = 3;
export const P2M_FOREIGN: u32 = 4;
/** A page table of a PV domain's: to be looked at only. */
export const P2M_FOREIGN_RO: u32 = 5;
export const P2M_GRANT_RW: u32 = 6;
export const P2M_GRANT_RO: u32 = 7;
const TYPE_SHIFT: u32 = 20;
const MFN_MASK: u32 = 0xfffff;

/** Frames a p2m can name: 2^30, 4 TiB. */
export const P2M_MAX_GFN: u64 = 0x40000000;
/** Leaf tables that one step of p2m_destroy empties. */
const LEAVES_PER_STEP: i32 = 64;

@inline export function p2m_type(e: u32): u32 {
  return e >>> TYPE_SHIFT;
}
@inline export function p2m_mfn(e: u32): Mfn {
  return e & MFN_MASK;
}

export function p2m_init(d: Domain): bool {
  d.p2m_root = <u32>xenheap_alloc(d.domid);
  d.p2m_limit = 256;
  return d.p2m_root != 0;
}

@inline function index(gfn: u32, level: u32): usize {
  return (((<usize>gfn) >>> (10 * level)) & 1023) << 2;
}

/** The entry of `gfn`; 0 if nothing is there. */
export function p2m_get(d: Domain, gfn: u64): u32 {
  return is_pv(d) ? pv_p2m_entry(d, gfn) : lookup(d, gfn);
}

function lookup(d: Domain, gfn: u64): u32 {
  if (gfn >= P2M_MAX_GFN) return 0;
  const g = <u32>gfn;
  const mid = atomic.load<u32>(<usize>d.p2m_root + index(g, 2));
  if (!mid) return 0;
  const leaf = atomic.load<u32>(<usize>mid + index(g, 1));
  return leaf ? atomic.load<u32>(<usize>leaf + index(g, 0)) : 0;
}

/** The table that the slot names; a new one if it is empty and `d` may have more. 0 = no memory. */
function descend(d: Domain, slot: usize): usize {
  let t = load<u32>(slot);
  if (!t && d.p2m_pages < d.p2m_limit) {
    t = <u32>xenheap_alloc(d.domid);
    if (t) {
      d.p2m_pages++;
      atomic.store<u32>(slot, t);
    }
  }
  return t;
}

function slot_for(d: Domain, gfn: u32): usize {
  const mid = descend(d, <usize>d.p2m_root + index(gfn, 2));
  if (!mid) return 0;
  const leaf = descend(d, mid + index(gfn, 1));
  return leaf ? leaf + index(gfn, 0) : 0;
}

/** Translations went: every pCPU that runs the domain has to flush. A service has none in any TLB. */
function changed(d: Domain): void {
  if (d.flags & DOMAIN_SERVICE) return;
  host_raise_flush();
  domain_kick(d);
}

/** Does an entry let memory of another domain be written? */
@inline function writes_others(type: u32): bool {
  return type == P2M_FOREIGN || type == P2M_GRANT_RW;
}

/** What an entry holds. False: the frame may not be written. */
function hold(d: Domain, mfn: Mfn, type: u32): bool {
  if (writes_others(type) && !(d.flags & DOMAIN_SERVICE ? writable_get(mfn) : writable_map(mfn, true))) return false;
  page_get(mfn);
  return true;
}

function let_go(e: u32): void {
  if (writes_others(p2m_type(e))) writable_put(p2m_mfn(e));
  page_put(p2m_mfn(e));
}

/** Map `mfn` at `gfn`, replacing what is there. Takes a reference. 0 or an errno; nothing changes on error. */
export function p2m_set(d: Domain, gfn: u64, mfn: Mfn, type: u32): i32 {
  if (gfn >= P2M_MAX_GFN || mfn > MFN_MASK || is_pv(d)) return -EINVAL;
  if (type == P2M_FOREIGN && !type_open(frame(mfn))) type = P2M_FOREIGN_RO;
  const slot = slot_for(d, <u32>gfn);
  if (!slot) return -ENOMEM;
  const old = load<u32>(slot);
  // A grant's mapping is undone by its handle only: its counts would be lost.
  if (p2m_type(old) >= P2M_GRANT_RW) return -EBUSY;
  if (!hold(d, mfn, type)) return -EINVAL;
  atomic.store<u32>(slot, mfn | (type << TYPE_SHIFT));
  if (<u32>gfn >= d.max_gfn) d.max_gfn = <u32>gfn + 1;
  if (old) {
    changed(d);
    let_go(old);
  }
  return 0;
}

/** Empty `gfn` and drop its reference. False if nothing was there. */
export function p2m_clear(d: Domain, gfn: u64): bool {
  if (is_pv(d)) return pv_release(d, gfn);
  const e = lookup(d, gfn);
  if (!e) return false;
  atomic.store<u32>(slot_for(d, <u32>gfn), 0);
  changed(d);
  let_go(e);
  return true;
}

/** Whether the last p2m_frame may be written. */
export let p2m_writable: bool = false;

/**
 * The RAM frame behind `gfn`, INVALID_MFN if there is none. Owner and type are checked again in the frame table, so that a wrong entry
 * cannot reach a page of the hypervisor's or of another domain. Sets p2m_writable.
 */
export function p2m_frame(d: Domain, gfn: u64): Mfn {
  if (is_pv(d)) {
    const own = pv_owned(d, gfn);
    p2m_writable = own != INVALID_MFN && pv_open(own);
    return own;
  }
  const e = lookup(d, gfn);
  const type = p2m_type(e);
  if (type == P2M_NONE || type == P2M_MMIO) return INVALID_MFN;
  const mfn = p2m_mfn(e);
  if (!frame_valid(mfn)) return INVALID_MFN;
  const f = frame(mfn);
  if (f.type != FRAME_RAM && f.type != FRAME_SHARED) return INVALID_MFN;
  if (type <= P2M_RAM_RO && f.owner != d.domid) return INVALID_MFN;
  p2m_writable = type != P2M_RAM_RO && type != P2M_GRANT_RO && type != P2M_FOREIGN_RO;
  return mfn;
}

/** A writable page of the domain's own, or INVALID_MFN: what a guest may offer for vcpu_info, control blocks and the like. */
export function p2m_own_ram(d: Domain, gfn: u64): Mfn {
  const e = p2m_get(d, gfn);
  const mfn = p2m_type(e) == P2M_RAM_RW ? p2m_frame(d, gfn) : INVALID_MFN;
  return mfn != INVALID_MFN && p2m_writable && frame(mfn).type == FRAME_RAM ? mfn : INVALID_MFN;
}

/** Empty the next leaves of a dying domain's tree. True when all is gone. */
export function p2m_destroy(d: Domain): bool {
  if (is_pv(d)) return pv_relinquish(d);
  let budget = LEAVES_PER_STEP;
  for (; d.relinquish < 0x100000; d.relinquish++) {
    const mid = load<u32>(<usize>d.p2m_root + (((<usize>d.relinquish) >>> 10) << 2));
    if (!mid) {
      d.relinquish |= 1023;
      continue;
    }
    const slot = <usize>mid + (((<usize>d.relinquish) & 1023) << 2);
    const leaf = <usize>load<u32>(slot);
    if (leaf) {
      if (budget-- == 0) return false;
      for (let p = leaf; p < leaf + 4096; p += 4) {
        const e = load<u32>(p);
        store<u32>(p, 0);
        if (e) let_go(e);
      }
      store<u32>(slot, 0);
      xenheap_free(leaf);
    }
    if ((d.relinquish & 1023) == 1023) {
      store<u32>(<usize>d.p2m_root + (((<usize>d.relinquish) >>> 10) << 2), 0);
      xenheap_free(mid);
    }
  }
  return true;
}

export const P2M_NO_GFN: u64 = ~0;

/** Some place of `mfn` in the domain's space, P2M_NO_GFN if it has none. Looks at all of it: for the control domain's rare operations. */
export function p2m_find(d: Domain, mfn: Mfn): u64 {
  if (is_pv(d)) return pv_owned(d, mfn) == INVALID_MFN ? P2M_NO_GFN : <u64>mfn;
  for (let g: u64 = 0; g < <u64>d.max_gfn; g++) {
    const mid = load<u32>(<usize>d.p2m_root + index(<u32>g, 2));
    const leaf = mid ? load<u32>(<usize>mid + index(<u32>g, 1)) : 0;
    if (!leaf) {
      g |= mid ? 0x3ff : 0xfffff;
      continue;
    }
    const e = load<u32>(<usize>leaf + index(<u32>g, 0));
    if (e && p2m_mfn(e) == mfn) return g;
  }
  return P2M_NO_GFN;
}

/** Undo a grant's mapping at `gfn`. */
export function p2m_clear_grant(d: Domain, gfn: u64): void {
  if (p2m_type(p2m_get(d, gfn)) >= P2M_GRANT_RW) p2m_clear(d, gfn);
}

/** The invariant walker's part: each table hangs here once, each entry holds its frame and may. */
export function p2m_holds(d: Domain): void {
  invariant_page(d.p2m_root);
  let tables: u32 = 0;
  for (let i: usize = 0; d.p2m_root && i < 1024; i++) {
    const mid = load<u32>(<usize>d.p2m_root + (i << 2));
    if (!mid) continue;
    invariant_page(mid);
    tables++;
    for (let j: usize = 0; j < 1024; j++) {
      const leaf = load<u32>(<usize>mid + (j << 2));
      if (!leaf) continue;
      invariant_page(leaf);
      tables++;
      for (let k: usize = 0; k < 1024; k++) {
        const e = load<u32>(<usize>leaf + (k << 2));
        if (e) entry_holds(d, e, <u32>((i << 20) | (j << 10) | k));
      }
    }
  }
  if (tables > d.p2m_pages) invariant_broken(INVARIANT_P2M_PAGES, d.domid, tables);
}

function entry_holds(d: Domain, e: u32, gfn: u32): void {
  const mfn = p2m_mfn(e);
  const type = p2m_type(e);
  if (type == P2M_NONE || type == P2M_MMIO || type > P2M_GRANT_RO || gfn >= d.max_gfn || !frame_valid(mfn)) {
    invariant_broken(INVARIANT_P2M_ENTRY, d.domid, gfn);
    return;
  }
  const f = frame(mfn);
  // The domain's own memory and special pages; a foreign mapping may name somebody else's of both, a grant only memory.
  const good = type <= P2M_RAM_RO ? f.owner == d.domid : type <= P2M_FOREIGN_RO || f.type == FRAME_RAM;
  if (!good) invariant_broken(INVARIANT_P2M_ENTRY, d.domid, gfn);
  invariant_hold(mfn, f.type == FRAME_SHARED ? FRAME_SHARED : FRAME_RAM);
  if (writes_others(type)) invariant_writable(mfn);
}
