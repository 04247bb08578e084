// GNTTABOP_*: arguments in, grant_table.ts and copies, statuses out. Batches are bounded and continued.
import {
  DOMID_SELF,
  EFAULT,
  EINVAL,
  ENOSYS,
  ESRCH,
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTST_bad_copy_arg,
  GNTST_bad_domain,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_okay,
  GNTST_permission_denied,
  GNTTABOP_copy,
  GNTTABOP_get_version,
  GNTTABOP_map_grant_ref,
  GNTTABOP_query_size,
  GNTTABOP_set_version,
  GNTTABOP_setup_table,
  GNTTABOP_swap_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GNTTABOP_cache_flush,
  EOPNOTSUPP,
  EPERM,
  EBUSY,
  gnttab_copy__dest,
  gnttab_copy__flags,
  gnttab_copy__len,
  gnttab_copy__source,
  gnttab_copy__status,
  gnttab_copy_ptr__domid,
  gnttab_copy_ptr__offset,
  gnttab_copy_ptr__u__gmfn,
  gnttab_copy_ptr__u__ref,
  gnttab_get_version__dom,
  gnttab_get_version__version,
  gnttab_map_grant_ref__dev_bus_addr,
  gnttab_map_grant_ref__dom,
  gnttab_map_grant_ref__flags,
  gnttab_map_grant_ref__handle,
  gnttab_map_grant_ref__host_addr,
  gnttab_map_grant_ref__ref,
  gnttab_map_grant_ref__status,
  gnttab_query_size__dom,
  gnttab_query_size__max_nr_frames,
  gnttab_query_size__nr_frames,
  gnttab_query_size__status,
  gnttab_set_version__version,
  gnttab_setup_table__dom,
  gnttab_setup_table__frame_list,
  gnttab_setup_table__nr_frames,
  gnttab_setup_table__status,
  gnttab_swap_grant_ref__ref_a,
  gnttab_swap_grant_ref__ref_b,
  gnttab_swap_grant_ref__status,
  gnttab_unmap_grant_ref__handle,
  gnttab_unmap_grant_ref__host_addr,
  gnttab_unmap_grant_ref__status,
  sizeof_gnttab_get_version,
  sizeof_gnttab_map_grant_ref,
  sizeof_gnttab_query_size,
  sizeof_gnttab_set_version,
  sizeof_gnttab_swap_grant_ref,
  sizeof_gnttab_unmap_grant_ref,
} from '../gen/abi';
import {
  get_gnttab_copy,
  get_gnttab_setup_table,
  put_gnttab_copy,
  put_gnttab_setup_table,
  size_gnttab_copy,
  size_gnttab_setup_table,
} from '../gen/compat';
import { XSM_grant_copy, XSM_grant_query_size, XSM_grant_setup } from '../gen/xsm';
import { frame_written } from '../shared/frame_table';
import { INVALID_MFN, Mfn, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain, domain_by_id, page_get, page_put } from './domain';
import {
  grant_begin,
  grant_end,
  grant_frame_mfn,
  grant_grow,
  grant_map,
  grant_mfn,
  grant_swap,
  grant_unmap,
  map_handle,
} from './grant_table';
import { copy_from_guest, copy_to_guest, put_long } from './guest_access';
import { hypercall_continue } from './hypercall';
import { p2m_frame, p2m_writable } from './p2m';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

/** Elements served before the hypercall gives way. */
const BATCH: u32 = 256;

function element_size(v: Vcpu, op: u32): u32 {
  switch (op) {
    case GNTTABOP_map_grant_ref:
      return sizeof_gnttab_map_grant_ref;
    case GNTTABOP_unmap_grant_ref:
      return sizeof_gnttab_unmap_grant_ref;
    case GNTTABOP_setup_table:
      return size_gnttab_setup_table(v);
    case GNTTABOP_copy:
      return size_gnttab_copy(v);
    case GNTTABOP_query_size:
      return sizeof_gnttab_query_size;
    case GNTTABOP_set_version:
      return sizeof_gnttab_set_version;
    case GNTTABOP_get_version:
      return sizeof_gnttab_get_version;
    case GNTTABOP_swap_grant_ref:
      return sizeof_gnttab_swap_grant_ref;
    default:
      return 0;
  }
}

/** One element in; those without pointers and frame numbers are the same for every caller. */
function fetch(v: Vcpu, op: u32, a: usize, at: u64, size: u32): bool {
  if (op == GNTTABOP_copy) return get_gnttab_copy(v, a, at);
  if (op == GNTTABOP_setup_table) return get_gnttab_setup_table(v, a, at);
  return copy_from_guest(v, a, at, size);
}

/** And out again. */
function give(v: Vcpu, op: u32, at: u64, a: usize, size: u32): bool {
  if (op == GNTTABOP_copy) return put_gnttab_copy(v, at, a);
  if (op == GNTTABOP_setup_table) return put_gnttab_setup_table(v, at, a);
  return copy_to_guest(v, at, a, size);
}

export function do_grant_table_op(d: Domain, v: Vcpu, cmd: u32, uop: u64, count: u32): i64 {
  const op = cmd & 0xfff;
  const size = element_size(v, op);
  if (!size) return -ENOSYS;
  if (<i32>count < 0) return -EINVAL;
  switch (op) {
    case GNTTABOP_setup_table:
    case GNTTABOP_query_size:
    case GNTTABOP_set_version:
    case GNTTABOP_get_version:
      // Not arrays: the first three take exactly one.
      if (count != 1 && op != GNTTABOP_set_version && op != GNTTABOP_get_version) return -EINVAL;
      count = 1;
  }
  const a = vcpu_arg(v);
  for (let i: u32 = 0; i < count; i++) {
    if (i == BATCH) return hypercall_continue(v, cmd, uop + <u64>i * size, count - i);
    const at = uop + <u64>i * size;
    if (!fetch(v, op, a, at, size)) return -EFAULT;
    const rc = one(d, v, op, a);
    if (rc) return rc;
    if (!give(v, op, at, a, size)) return -EFAULT;
  }
  return 0;
}

/** One element, in place; an errno ends the whole call. */
function one(d: Domain, v: Vcpu, op: u32, a: usize): i32 {
  switch (op) {
    case GNTTABOP_map_grant_ref: {
      const rc = grant_map(
        d,
        load<u64>(a, gnttab_map_grant_ref__host_addr),
        load<u32>(a, gnttab_map_grant_ref__flags),
        load<u32>(a, gnttab_map_grant_ref__ref),
        load<u16>(a, gnttab_map_grant_ref__dom),
      );
      store<i16>(a, <i16>rc, gnttab_map_grant_ref__status);
      if (rc == GNTST_okay) {
        store<u32>(a, map_handle, gnttab_map_grant_ref__handle);
        store<u64>(a, 0, gnttab_map_grant_ref__dev_bus_addr);
      }
      return 0;
    }
    case GNTTABOP_unmap_grant_ref:
      store<i16>(
        a,
        <i16>(
          grant_unmap(d, load<u64>(a, gnttab_unmap_grant_ref__host_addr), load<u32>(a, gnttab_unmap_grant_ref__handle))
        ),
        gnttab_unmap_grant_ref__status,
      );
      return 0;
    case GNTTABOP_copy:
      store<i16>(a, <i16>copy(d, a), gnttab_copy__status);
      return 0;
    case GNTTABOP_setup_table:
      return setup_table(d, v, a);
    case GNTTABOP_query_size:
      return query_size(d, a);
    case GNTTABOP_set_version: {
      const wanted = load<u32>(a, gnttab_set_version__version);
      if (wanted != 1) return wanted == 2 ? -ENOSYS : -EINVAL;
      return 0;
    }
    case GNTTABOP_get_version: {
      const t = domain_by_id(d, load<u16>(a, gnttab_get_version__dom));
      if (t == null) return -ESRCH;
      const rc = xsm_check(XSM_grant_query_size, d, t);
      if (rc) return rc;
      store<u32>(a, 1, gnttab_get_version__version);
      return 0;
    }
    default: {
      const rc = grant_swap(d, load<u32>(a, gnttab_swap_grant_ref__ref_a), load<u32>(a, gnttab_swap_grant_ref__ref_b));
      store<i16>(a, <i16>rc, gnttab_swap_grant_ref__status);
      return 0;
    }
  }
}

function query_size(d: Domain, a: usize): i32 {
  const t = domain_by_id(d, load<u16>(a, gnttab_query_size__dom));
  let rc = GNTST_okay;
  if (t == null) rc = GNTST_bad_domain;
  else if (xsm_check(XSM_grant_query_size, d, t)) rc = GNTST_permission_denied;
  else {
    store<u32>(a, t.grant_frames, gnttab_query_size__nr_frames);
    store<u32>(a, t.max_grant_frames, gnttab_query_size__max_nr_frames);
  }
  store<i16>(a, <i16>rc, gnttab_query_size__status);
  return 0;
}

/** Grow the table and list its frames; a translated guest cannot use the numbers but may ask. */
function setup_table(d: Domain, v: Vcpu, a: usize): i32 {
  const n = load<u32>(a, gnttab_setup_table__nr_frames);
  const t = domain_by_id(d, load<u16>(a, gnttab_setup_table__dom));
  const list = load<u64>(a, gnttab_setup_table__frame_list);
  let rc = GNTST_okay;
  if (t == null) rc = GNTST_bad_domain;
  else if (xsm_check(XSM_grant_setup, d, t)) rc = GNTST_permission_denied;
  else if (n > t.max_grant_frames) return -EINVAL;
  else if (n > t.grant_frames && !grant_grow(t, n)) rc = GNTST_general_error;
  else {
    for (let i: u32 = 0; i < n; i++) if (!put_long(v, list, i, grant_frame_mfn(t, i))) return -EFAULT;
  }
  store<i16>(a, <i16>rc, gnttab_setup_table__status);
  return 0;
}

// One end of a copy, opened: its frame (held) and how to let it go.
let end_mfn: Mfn = 0;

/** Open an end of a copy: a grant reference of some domain or a frame of the caller's own. */
function open_end(d: Domain, p: usize, gref: bool, write: bool): i32 {
  const rd = domain_by_id(d, load<u16>(p, gnttab_copy_ptr__domid));
  if (rd == null) return GNTST_bad_domain;
  if (xsm_check(XSM_grant_copy, d, rd)) return GNTST_permission_denied;
  if (gref) {
    const rc = grant_begin(rd, load<u32>(p, gnttab_copy_ptr__u__ref), d.domid, !write);
    end_mfn = grant_mfn;
    return rc;
  }
  // By frame number one may only name one's own memory.
  if (rd.domid != d.domid) return GNTST_permission_denied;
  const mfn = p2m_frame(d, load<u64>(p, gnttab_copy_ptr__u__gmfn));
  if (mfn == INVALID_MFN || (write && !p2m_writable)) return GNTST_bad_page;
  page_get(mfn);
  end_mfn = mfn;
  return GNTST_okay;
}

function close_end(d: Domain, p: usize, gref: bool, write: bool, mfn: Mfn): void {
  if (!gref) page_put(mfn);
  else {
    const rd = domain_by_id(d, load<u16>(p, gnttab_copy_ptr__domid));
    if (rd != null) grant_end(rd, load<u32>(p, gnttab_copy_ptr__u__ref), !write);
  }
}

function copy(d: Domain, a: usize): i32 {
  const flags = load<u16>(a, gnttab_copy__flags);
  const len = <u32>load<u16>(a, gnttab_copy__len);
  const src = a + gnttab_copy__source;
  const dst = a + gnttab_copy__dest;
  const from = <u32>load<u16>(src, gnttab_copy_ptr__offset);
  const to = <u32>load<u16>(dst, gnttab_copy_ptr__offset);
  const src_gref = (flags & (<u16>GNTCOPY_source_gref)) != 0;
  const dst_gref = (flags & (<u16>GNTCOPY_dest_gref)) != 0;
  if (from + len > PAGE_SIZE || to + len > PAGE_SIZE) return GNTST_bad_copy_arg;
  let rc = open_end(d, src, src_gref, false);
  if (rc != GNTST_okay) return rc;
  const src_mfn = end_mfn;
  rc = open_end(d, dst, dst_gref, true);
  if (rc == GNTST_okay) {
    const dst_mfn = end_mfn;
    memory.copy(mfn_to_ptr(dst_mfn) + to, mfn_to_ptr(src_mfn) + from, len);
    frame_written(mfn_to_ptr(dst_mfn) + to, len);
    close_end(d, dst, dst_gref, true, dst_mfn);
  }
  close_end(d, src, src_gref, false, src_mfn);
  return rc;
}
