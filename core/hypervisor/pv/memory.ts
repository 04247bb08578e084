// Memory of a PV domain: frames that it owns. What p2m.ts is to translated guests; a frame number of such a domain is a machine frame.

import { frame, Frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../../shared/frame_table';
import { frames_alloc, frames_free } from '../../shared/frame_alloc';
import { host } from '../../shared/host';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../../shared/memory';
import { Domain, domain_claim, page_put } from '../domain';
import { P2M_RAM_RW } from '../p2m';
import { leaf_put, PTE_P, pte_mfn, slot_reserved } from './entries';
import { m2p_set, M2P_INVALID } from './m2p';
import {
  ENTRIES,
  FRAME_ALLOCATED,
  is_table,
  PGT_l1,
  PGT_none,
  PGT_partial,
  PGT_pinned,
  PGT_validated,
  type_open,
} from './page_type';
import { table_unwalked } from './translations';

/** Frames, and page tables, that a step of a domain's end looks at. */
const FRAMES_PER_STEP: i32 = 65536;
const TABLE_COST: i32 = 512;

/** The frame `mfn` if it belongs to the domain and a guest may have it. */
export function pv_owned(d: Domain, mfn: u64): Mfn {
  if (mfn > 0xfffff || !frame_valid(<u32>mfn)) return INVALID_MFN;
  const f = frame(<u32>mfn);
  return f.owner == d.domid && (f.type == FRAME_RAM || f.type == FRAME_SHARED) ? <u32>mfn : INVALID_MFN;
}

/** As p2m_get: an entry that says where the frame is; 0 = it is none of the domain's. */
export function pv_p2m_entry(d: Domain, mfn: u64): u32 {
  const m = pv_owned(d, mfn);
  return m == INVALID_MFN ? 0 : m | (P2M_RAM_RW << 20);
}

/** May the hypervisor write there for the guest? Never into a table. */
export function pv_open(mfn: Mfn): bool {
  return type_open(frame(mfn));
}

/**
 * 2^order frames in a row for the domain; their numbers are pfn and up, unless that is M2P_INVALID: then they have none yet. INVALID_MFN: no
 * memory, or more than it may have.
 */
export function pv_populate(d: Domain, pfn: u64, order: u32): Mfn {
  const n: u32 = 1 << order;
  if (d.tot_pages > d.max_pages || n > d.max_pages - d.tot_pages) return INVALID_MFN;
  return pv_allocate(d, pfn, order);
}

/** The same, whatever it has already: for an exchange. */
export function pv_allocate(d: Domain, pfn: u64, order: u32): Mfn {
  const n: u32 = 1 << order;
  // Memory that others have claimed is theirs.
  const own = d.claim < n ? d.claim : n;
  if (frames_free() < host().claimed - own + n) return INVALID_MFN;
  const first = frames_alloc(d.domid, FRAME_RAM, order);
  if (first == INVALID_MFN) return INVALID_MFN;
  d.tot_pages += n;
  if (own) domain_claim(d, d.claim - own);
  let ok = true;
  for (let i: u32 = 0; i < n; i++) {
    frame(first + i).pt_flags = FRAME_ALLOCATED;
    if (pfn != M2P_INVALID && !m2p_set(first + i, pfn + i)) ok = false;
  }
  if (ok) return first;
  for (let i: u32 = 0; i < n; i++) pv_release(d, first + i);
  return INVALID_MFN;
}

/** The domain gives a frame back; it goes when nothing names it any more. False: it is none of its own. */
export function pv_release(d: Domain, mfn: u64): bool {
  const m = pv_owned(d, mfn);
  if (m == INVALID_MFN || frame(m).type != FRAME_RAM) return false;
  const f = frame(m);
  if (f.pt_flags & FRAME_ALLOCATED) {
    f.pt_flags &= ~FRAME_ALLOCATED;
    page_put(m);
  }
  return true;
}

/** Does the allocation alone hold the frame, which is then the domain's to give away? */
export function pv_sole(d: Domain, mfn: u64): bool {
  const m = pv_owned(d, mfn);
  if (m == INVALID_MFN) return false;
  const f = frame(m);
  return f.type == FRAME_RAM && (f.pt_flags & FRAME_ALLOCATED) != 0 && f.refcount == 1 && !f.pt_count;
}

/**
 * A step of a dying domain's end: its frames, from where the last one stood, give up what they hold. Nothing of it runs any more and nobody
 * can use its frames as tables, so types need no order: a table's references go, its type with them, and who held it drops only its hold.
 */
export function pv_relinquish(d: Domain): bool {
  const h = host();
  if (d.relinquish < h.first_frame) d.relinquish = h.first_frame;
  for (let budget = FRAMES_PER_STEP; d.relinquish < h.next_fresh; d.relinquish++) {
    if (budget <= 0) return false;
    budget--;
    const mfn = d.relinquish;
    const f = frame(mfn);
    if (f.owner != d.domid || f.type != FRAME_RAM) continue;
    if (is_table(f.pt_type)) {
      wipe(mfn, f);
      budget -= TABLE_COST;
    }
    if (f.type == FRAME_RAM && f.pt_flags & FRAME_ALLOCATED) {
      f.pt_flags &= ~FRAME_ALLOCATED;
      page_put(mfn);
    }
  }
  return true;
}

function wipe(mfn: Mfn, f: Frame): void {
  const type = f.pt_type;
  const flags = f.pt_flags;
  const n = flags & PGT_validated ? ENTRIES : <u32>f.partial;
  table_unwalked(f);
  f.pt_type = PGT_none;
  f.pt_flags = flags & FRAME_ALLOCATED;
  f.pt_count = 0;
  for (let i: u32 = 0; i < n; i++) {
    const e = load<u64>(mfn_to_ptr(mfn) + ((<usize>i) << 3));
    if (!(e & PTE_P) || slot_reserved(type, i)) continue;
    if (type == PGT_l1) leaf_put(f.owner, e);
    else if (<u32>pte_mfn(e) != mfn) page_put(<u32>pte_mfn(e));
  }
  if (flags & PGT_partial) page_put(mfn);
  if (flags & PGT_pinned) page_put(mfn);
}
