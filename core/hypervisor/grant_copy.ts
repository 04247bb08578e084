// GNTTABOP_copy: bytes between a page of the caller's own or one granted to it and another such page.
import {
  DOMID_SELF,
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTST_bad_copy_arg,
  GNTST_bad_domain,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_okay,
  GNTST_permission_denied,
  gnttab_copy__dest,
  gnttab_copy__flags,
  gnttab_copy__len,
  gnttab_copy__source,
  gnttab_copy_ptr__domid,
  gnttab_copy_ptr__offset,
  gnttab_copy_ptr__u__gmfn,
  gnttab_copy_ptr__u__ref,
} from '../gen/abi';
import { XSM_grant_copy } from '../gen/xsm';
import { frame, frame_written } from '../shared/frame_table';
import { INVALID_MFN, Mfn, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain, domain_by_id, domain_find, page_get, page_put } from './domain';
import {
  grant_begin,
  grant_end,
  grant_length,
  grant_mfn,
  grant_offset,
  grant_via,
  grant_via_ref,
  NOT_TRANSITIVE,
} from './grant_table';
import { mailbox_part } from './guest_access';
import { p2m_frame, p2m_writable } from './p2m';
import { type_open } from './pv/page_type';
import { xsm_check } from './xsm';

// One end, opened: its address, its frame (held; none of a service's mailbox), the part of it that may be used, and whose reference is to be ended (0 = a page by its number).
export let end_ptr: usize = 0;
let end_mfn: Mfn = 0;
export let end_from: u32 = 0;
export let end_length: u32 = 0;
let end_granter: u32 = 0;
let end_ref: u32 = 0;

/** Open a granted page as an end. GNTST_*. */
export function grant_open(d: Domain, rd: Domain, ref: u32, write: bool): i32 {
  end_ref = ref;
  const rc = grant_begin(rd, ref, d.domid, !write, true);
  if (rc != GNTST_okay) return rc;
  end_mfn = grant_mfn;
  end_ptr = mfn_to_ptr(end_mfn);
  end_from = grant_offset;
  end_length = grant_length;
  let granter: Domain | null = rd;
  if (grant_via != NOT_TRANSITIVE) {
    granter = domain_find(grant_via);
    end_ref = grant_via_ref;
  }
  end_granter = <u32>changetype<usize>(granter);
  // A PV domain may have made a table of it since the grant's first use began.
  if (!write || type_open(frame(end_mfn))) return GNTST_okay;
  close_end(end_granter, end_ref, write, end_mfn);
  return GNTST_bad_page;
}

/** Close the end that was opened last; if it was written, `length` bytes from `offset` on. */
export function grant_close(write: bool, offset: u32, length: u32): void {
  if (write && length) frame_written(end_ptr + offset, length);
  close_end(end_granter, end_ref, write, end_mfn);
}

/** Open the end at `p`: a reference of some domain, or by number a frame of the caller's own. */
function open_end(d: Domain, p: usize, gref: bool, write: bool): i32 {
  const domid = load<u16>(p, gnttab_copy_ptr__domid);
  if (domid != <u16>DOMID_SELF && !gref) return GNTST_permission_denied;
  const rd = domain_by_id(d, domid);
  if (rd == null) return GNTST_bad_domain;
  if (xsm_check(XSM_grant_copy, d, rd)) return GNTST_permission_denied;
  if (gref) return grant_open(d, rd, load<u32>(p, gnttab_copy_ptr__u__ref), write);
  const gmfn = load<u64>(p, gnttab_copy_ptr__u__gmfn);
  end_from = 0;
  end_length = PAGE_SIZE;
  end_granter = 0;
  end_mfn = INVALID_MFN;
  end_ptr = gmfn < (<u64>1) << 52 ? mailbox_part(d, gmfn << 12) : 0;
  if (end_ptr) return GNTST_okay;
  const mfn = p2m_frame(d, gmfn);
  if (mfn == INVALID_MFN || (write && !p2m_writable)) return GNTST_bad_page;
  page_get(mfn);
  end_mfn = mfn;
  end_ptr = mfn_to_ptr(mfn);
  return GNTST_okay;
}

/** The granter cannot have gone: the lock is held since its reference was opened. */
function close_end(granter: u32, ref: u32, write: bool, mfn: Mfn): void {
  if (granter) grant_end(changetype<Domain>(<usize>granter), ref, !write);
  else if (mfn != INVALID_MFN) page_put(mfn);
}

/** One element at `a`. GNTST_*. */
export function grant_copy(d: Domain, a: usize): i32 {
  const flags = load<u16>(a, gnttab_copy__flags);
  const len = <u32>load<u16>(a, gnttab_copy__len);
  const src = a + gnttab_copy__source;
  const dst = a + gnttab_copy__dest;
  const from = <u32>load<u16>(src, gnttab_copy_ptr__offset);
  const to = <u32>load<u16>(dst, gnttab_copy_ptr__offset);
  if (from + len > PAGE_SIZE || to + len > PAGE_SIZE) return GNTST_bad_copy_arg;
  let rc = open_end(d, src, (flags & (<u16>GNTCOPY_source_gref)) != 0, false);
  if (rc != GNTST_okay) return rc;
  const src_mfn = end_mfn;
  const src_ptr = end_ptr;
  const src_granter = end_granter;
  const src_ref = end_ref;
  if (from < end_from || from + len > end_from + end_length) rc = GNTST_general_error;
  if (rc == GNTST_okay) rc = open_end(d, dst, (flags & (<u16>GNTCOPY_dest_gref)) != 0, true);
  if (rc == GNTST_okay) {
    if (to < end_from || to + len > end_from + end_length) rc = GNTST_general_error;
    else {
      memory.copy(end_ptr + to, src_ptr + from, len);
      if (len && end_mfn != INVALID_MFN) frame_written(end_ptr + to, len);
    }
    close_end(end_granter, end_ref, true, end_mfn);
  }
  close_end(src_granter, src_ref, false, src_mfn);
  return rc;
}
