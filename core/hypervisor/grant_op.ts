// GNTTABOP_*: arguments in, the grant_*.ts, statuses out. Batches are bounded and continued.
import {
  EFAULT,
  EINVAL,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  GNTST_bad_domain,
  GNTST_general_error,
  GNTST_okay,
  GNTST_permission_denied,
  GNTTAB_CACHE_CLEAN,
  GNTTAB_CACHE_INVAL,
  GNTTAB_CACHE_SOURCE_GREF,
  GNTTABOP_cache_flush,
  GNTTABOP_copy,
  GNTTABOP_get_status_frames,
  GNTTABOP_get_version,
  GNTTABOP_map_grant_ref,
  GNTTABOP_query_size,
  GNTTABOP_set_version,
  GNTTABOP_setup_table,
  GNTTABOP_swap_grant_ref,
  GNTTABOP_transfer,
  GNTTABOP_unmap_and_replace,
  GNTTABOP_unmap_grant_ref,
  gnttab_cache_flush__a__dev_bus_addr,
  gnttab_cache_flush__length,
  gnttab_cache_flush__offset,
  gnttab_cache_flush__op,
  gnttab_copy__status,
  gnttab_get_status_frames__dom,
  gnttab_get_status_frames__frame_list,
  gnttab_get_status_frames__nr_frames,
  gnttab_get_status_frames__status,
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
  gnttab_transfer__status,
  gnttab_unmap_and_replace__handle,
  gnttab_unmap_and_replace__host_addr,
  gnttab_unmap_and_replace__new_addr,
  gnttab_unmap_and_replace__status,
  gnttab_unmap_grant_ref__dev_bus_addr,
  gnttab_unmap_grant_ref__handle,
  gnttab_unmap_grant_ref__host_addr,
  gnttab_unmap_grant_ref__status,
  sizeof_gnttab_cache_flush,
  sizeof_gnttab_get_version,
  sizeof_gnttab_map_grant_ref,
  sizeof_gnttab_query_size,
  sizeof_gnttab_set_version,
  sizeof_gnttab_swap_grant_ref,
  sizeof_gnttab_unmap_and_replace,
  sizeof_gnttab_unmap_grant_ref,
} from '../gen/abi';
import {
  get_gnttab_copy,
  get_gnttab_get_status_frames,
  get_gnttab_setup_table,
  get_gnttab_transfer,
  put_gnttab_copy,
  put_gnttab_get_status_frames,
  put_gnttab_setup_table,
  put_gnttab_transfer,
  size_gnttab_copy,
  size_gnttab_get_status_frames,
  size_gnttab_setup_table,
  size_gnttab_transfer,
} from '../gen/compat';
import { XSM_grant_query_size, XSM_grant_setup } from '../gen/xsm';
import { frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../shared/frame_table';
import { PAGE_SIZE } from '../shared/memory';
import { Domain, domain_by_id, is_pv } from './domain';
import { grant_copy } from './grant_copy';
import { grant_map, grant_unmap, map_handle, map_mfn } from './grant_map';
import { grant_frame_mfn, grant_grow, grant_status_mfn, grant_swap } from './grant_table';
import { grant_transfer } from './grant_transfer';
import { grant_set_version } from './grant_version';
import { copy_from_guest, copy_to_guest, put_guest, put_long } from './guest_access';
import { hypercall_continue } from './hypercall';
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
    case GNTTABOP_transfer:
      return size_gnttab_transfer(v);
    case GNTTABOP_copy:
      return size_gnttab_copy(v);
    case GNTTABOP_query_size:
      return sizeof_gnttab_query_size;
    case GNTTABOP_unmap_and_replace:
      return sizeof_gnttab_unmap_and_replace;
    case GNTTABOP_set_version:
      return sizeof_gnttab_set_version;
    case GNTTABOP_get_status_frames:
      return size_gnttab_get_status_frames(v);
    case GNTTABOP_get_version:
      return sizeof_gnttab_get_version;
    case GNTTABOP_swap_grant_ref:
      return sizeof_gnttab_swap_grant_ref;
    case GNTTABOP_cache_flush:
      return sizeof_gnttab_cache_flush;
    default:
      return 0;
  }
}

/** One element in; those without pointers and frame numbers are the same for every caller. */
function fetch(v: Vcpu, op: u32, a: usize, at: u64, size: u32): bool {
  switch (op) {
    case GNTTABOP_setup_table:
      return get_gnttab_setup_table(v, a, at);
    case GNTTABOP_transfer:
      return get_gnttab_transfer(v, a, at);
    case GNTTABOP_copy:
      return get_gnttab_copy(v, a, at);
    case GNTTABOP_get_status_frames:
      return get_gnttab_get_status_frames(v, a, at);
    default:
      return copy_from_guest(v, a, at, size);
  }
}

/** And out again. */
function give(v: Vcpu, op: u32, at: u64, a: usize, size: u32): bool {
  switch (op) {
    case GNTTABOP_setup_table:
      return put_gnttab_setup_table(v, at, a);
    case GNTTABOP_transfer:
      return put_gnttab_transfer(v, at, a);
    case GNTTABOP_copy:
      return put_gnttab_copy(v, at, a);
    case GNTTABOP_get_status_frames:
      return put_gnttab_get_status_frames(v, at, a);
    default:
      return copy_to_guest(v, at, a, size);
  }
}

export function do_grant_table_op(d: Domain, v: Vcpu, cmd: u32, uop: u64, count: u32): i64 {
  const op = cmd & 0xfff;
  const size = element_size(v, op);
  if (!size) return -ENOSYS;
  if (<i32>count < 0) return -EINVAL;
  switch (op) {
    case GNTTABOP_setup_table:
    case GNTTABOP_query_size:
    case GNTTABOP_get_status_frames:
      if (count != 1) return -EINVAL;
      break;
    case GNTTABOP_set_version:
    case GNTTABOP_get_version:
      count = 1; // not looked at, as in Xen
  }
  const a = vcpu_arg(v);
  for (let i: u32 = 0; i < count; i++) {
    if (i == BATCH) return hypercall_continue(v, cmd, uop + <u64>i * size, count - i);
    const at = uop + <u64>i * size;
    if (!fetch(v, op, a, at, size)) return -EFAULT;
    const rc = one(d, v, op, a);
    if (!give(v, op, at, a, size)) return -EFAULT;
    if (rc) return rc;
  }
  return 0;
}

/** One element, in place; an errno ends the whole call. */
function one(d: Domain, v: Vcpu, op: u32, a: usize): i32 {
  switch (op) {
    case GNTTABOP_map_grant_ref:
      map_one(d, v, a);
      return 0;
    case GNTTABOP_unmap_grant_ref: {
      const rc = grant_unmap(
        d,
        v,
        load<u64>(a, gnttab_unmap_grant_ref__host_addr),
        load<u64>(a, gnttab_unmap_grant_ref__dev_bus_addr),
        load<u32>(a, gnttab_unmap_grant_ref__handle),
        0,
      );
      store<i16>(a, <i16>rc, gnttab_unmap_grant_ref__status);
      return 0;
    }
    case GNTTABOP_unmap_and_replace: {
      const rc = grant_unmap(
        d,
        v,
        load<u64>(a, gnttab_unmap_and_replace__host_addr),
        0,
        load<u32>(a, gnttab_unmap_and_replace__handle),
        load<u64>(a, gnttab_unmap_and_replace__new_addr),
      );
      store<i16>(a, <i16>rc, gnttab_unmap_and_replace__status);
      return 0;
    }
    case GNTTABOP_copy:
      store<i16>(a, <i16>grant_copy(d, a), gnttab_copy__status);
      return 0;
    case GNTTABOP_transfer:
      store<i16>(a, <i16>grant_transfer(d, a), gnttab_transfer__status);
      return 0;
    case GNTTABOP_swap_grant_ref: {
      const rc = grant_swap(d, load<u32>(a, gnttab_swap_grant_ref__ref_a), load<u32>(a, gnttab_swap_grant_ref__ref_b));
      store<i16>(a, <i16>rc, gnttab_swap_grant_ref__status);
      return 0;
    }
    case GNTTABOP_cache_flush:
      return cache_flush(d, a);
    default:
      return table_op(d, v, op, a);
  }
}

/** The operations about a whole table. */
function table_op(d: Domain, v: Vcpu, op: u32, a: usize): i32 {
  switch (op) {
    case GNTTABOP_setup_table:
      return setup_table(d, v, a);
    case GNTTABOP_get_status_frames:
      return get_status_frames(d, v, a);
    case GNTTABOP_query_size:
      return query_size(d, a);
    case GNTTABOP_set_version: {
      const version = load<u32>(a, gnttab_set_version__version);
      const rc = version == 1 || version == 2 ? grant_set_version(d, version) : -EINVAL;
      store<u32>(a, d.grant_version, gnttab_set_version__version);
      return rc;
    }
    default: {
      const t = domain_by_id(d, load<u16>(a, gnttab_get_version__dom));
      if (t == null) return -ESRCH;
      const rc = xsm_check(XSM_grant_query_size, d, t);
      if (rc) return rc;
      store<u32>(a, t.grant_version, gnttab_get_version__version);
      return 0;
    }
  }
}

function map_one(d: Domain, v: Vcpu, a: usize): void {
  const rc = grant_map(
    d,
    v,
    load<u64>(a, gnttab_map_grant_ref__host_addr),
    load<u32>(a, gnttab_map_grant_ref__flags),
    load<u32>(a, gnttab_map_grant_ref__ref),
    load<u16>(a, gnttab_map_grant_ref__dom),
  );
  store<i16>(a, <i16>rc, gnttab_map_grant_ref__status);
  if (rc != GNTST_okay) return;
  store<u32>(a, map_handle, gnttab_map_grant_ref__handle);
  // A translated guest has no use for a machine address.
  store<u64>(a, is_pv(d) ? (<u64>map_mfn) << 12 : 0, gnttab_map_grant_ref__dev_bus_addr);
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

/** As setup_table for version 2's status words; the list has 64 bits an element for every caller. */
function get_status_frames(d: Domain, v: Vcpu, a: usize): i32 {
  const n = load<u32>(a, gnttab_get_status_frames__nr_frames);
  const t = domain_by_id(d, load<u16>(a, gnttab_get_status_frames__dom));
  const list = load<u64>(a, gnttab_get_status_frames__frame_list);
  let rc = GNTST_okay;
  if (t == null) rc = GNTST_bad_domain;
  else if (xsm_check(XSM_grant_setup, d, t)) rc = GNTST_permission_denied;
  else if (n > t.status_frames) rc = GNTST_general_error;
  else {
    for (let i: u32 = 0; i < n; i++)
      if (!put_guest<u64>(v, list + ((<u64>i) << 3), grant_status_mfn(t, i))) return -EFAULT;
  }
  store<i16>(a, <i16>rc, gnttab_get_status_frames__status);
  return 0;
}

/** Guests' memory is coherent here, so there is nothing to flush: the arguments are checked, and discarding lines is refused as on x86. */
function cache_flush(d: Domain, a: usize): i32 {
  const op = load<u32>(a, gnttab_cache_flush__op);
  const offset = <u32>load<u16>(a, gnttab_cache_flush__offset);
  const length = <u32>load<u16>(a, gnttab_cache_flush__length);
  const kinds = <u32>(GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL);
  if (offset >= PAGE_SIZE || offset + length > PAGE_SIZE || op & ~(kinds | GNTTAB_CACHE_SOURCE_GREF)) return -EINVAL;
  if (length == 0 || op == 0) return 0;
  if (op & GNTTAB_CACHE_SOURCE_GREF) return -EOPNOTSUPP;
  const mfn = load<u64>(a, gnttab_cache_flush__a__dev_bus_addr) >> 12;
  if (mfn > 0xfffff || !frame_valid(<u32>mfn)) return -EINVAL;
  const f = frame(<u32>mfn);
  if ((f.type != FRAME_RAM && f.type != FRAME_SHARED) || f.owner != d.domid) return -EPERM;
  return (op & kinds) == GNTTAB_CACHE_INVAL ? -EOPNOTSUPP : 0;
}
