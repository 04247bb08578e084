// GNTTABOP_transfer: a page of the caller's becomes another domain's, which has said where it wants it.
import {
  GNTST_bad_domain,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_okay,
  GNTST_permission_denied,
  gnttab_transfer__domid,
  gnttab_transfer__mfn,
  gnttab_transfer__ref,
  grant_entry_v1__frame,
  grant_entry_v2__full_page__frame,
  GTF_accept_transfer,
  GTF_transfer_committed,
  GTF_transfer_completed,
} from '../gen/abi';
import { XSM_grant_transfer } from '../gen/xsm';
import { frame, frame_written } from '../shared/frame_table';
import { INVALID_MFN, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain, DOMAIN_DYING, domain_find, is_pv, page_get, page_put } from './domain';
import { grant_shared } from './grant_table';
import { populate_one } from './memory_op';
import { p2m_clear, p2m_frame, p2m_own_ram } from './p2m';
import { pv_populate, pv_sole } from './pv/memory';
import { xsm_check } from './xsm';

/** One element at `a`. Whatever comes of it, the page is no longer the caller's, unless it is GNTST_bad_page (public/grant_table.h). */
export function grant_transfer(d: Domain, a: usize): i32 {
  const gfn = load<u64>(a, gnttab_transfer__mfn);
  const mfn = p2m_own_ram(d, gfn);
  // Nobody else may have it mapped or held.
  if (mfn == INVALID_MFN || frame(mfn).refcount != 1 || (is_pv(d) && !pv_sole(d, gfn))) return GNTST_bad_page;
  page_get(mfn);
  p2m_clear(d, gfn);
  const rc = hand_over(d, load<u16>(a, gnttab_transfer__domid), load<u32>(a, gnttab_transfer__ref), mfn_to_ptr(mfn));
  page_put(mfn);
  return rc;
}

/**
 * The bytes go into a new frame of the receiver's: the old one may still be in the TLB of a pCPU that runs the caller, and passes through
 * limbo like any that was given up.
 */
function hand_over(d: Domain, domid: u32, ref: u32, bytes: usize): i32 {
  const found = domain_find(domid);
  if (found == null || found.flags & DOMAIN_DYING) return GNTST_bad_domain;
  const e = found;
  if (xsm_check(XSM_grant_transfer, d, e)) return GNTST_permission_denied;
  if (e.tot_pages >= e.max_pages) return GNTST_general_error;
  const s = grant_shared(e, ref);
  if (!s) return GNTST_general_error;
  const wanted = (<u32>GTF_accept_transfer) | ((<u32>d.domid) << 16);
  if (atomic.cmpxchg<u32>(s, wanted, wanted | GTF_transfer_committed) != wanted) return GNTST_general_error;
  const to =
    e.grant_version == 2
      ? atomic.load<u64>(s + grant_entry_v2__full_page__frame)
      : <u64>atomic.load<u32>(s + grant_entry_v1__frame);
  const mfn = is_pv(e) ? pv_populate(e, to, 0) : populate_one(e, to) == 0 ? p2m_frame(e, to) : INVALID_MFN;
  if (mfn != INVALID_MFN) {
    const p = mfn_to_ptr(mfn);
    memory.copy(p, bytes, PAGE_SIZE);
    frame_written(p, PAGE_SIZE);
    // A PV domain is told which frame it is.
    if (is_pv(e) && e.grant_version == 2) atomic.store<u64>(s + grant_entry_v2__full_page__frame, mfn);
    else if (is_pv(e)) atomic.store<u32>(s + grant_entry_v1__frame, mfn);
  }
  atomic.or<u16>(s, <u16>GTF_transfer_completed);
  return mfn == INVALID_MFN ? GNTST_general_error : GNTST_okay;
}
