// XENMEM_*: reservations (ballooning) and the physmap.
import {
  DOMID_SELF,
  DOMID_FIRST_RESERVED,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  ENOBUFS,
  E2BIG,
  XENMAPIDX_grant_table_status,
  XENMAPSPACE_gmfn_foreign,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_gmfn_range,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_add_to_physmap_batch,
  XENMEM_acquire_resource,
  XENMEM_claim_pages,
  XENMEM_current_reservation,
  XENMEM_decrease_reservation,
  XENMEM_exchange,
  XENMEM_increase_reservation,
  XENMEM_maximum_gpfn,
  XENMEM_maximum_ram_page,
  XENMEM_maximum_reservation,
  XENMEM_memory_map,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_set_memory_map,
  sizeof_e820entry,
  xen_add_to_physmap__domid,
  xen_add_to_physmap__gpfn,
  xen_add_to_physmap__idx,
  xen_add_to_physmap__size,
  xen_add_to_physmap__space,
  xen_add_to_physmap_batch__domid,
  xen_add_to_physmap_batch__errs,
  xen_add_to_physmap_batch__gpfns,
  xen_add_to_physmap_batch__idxs,
  xen_add_to_physmap_batch__size,
  xen_add_to_physmap_batch__space,
  xen_add_to_physmap_batch__u__foreign_domid,
  xen_foreign_memory_map__domid,
  xen_foreign_memory_map__map,
  xen_memory_map__buffer,
  xen_memory_map__nr_entries,
  xen_memory_reservation__domid,
  xen_memory_reservation__extent_order,
  xen_memory_reservation__extent_start,
  xen_memory_reservation__mem_flags,
  xen_memory_reservation__nr_extents,
  xen_remove_from_physmap__domid,
  xen_remove_from_physmap__gpfn,
  XENMEMF_populate_on_demand,
  ENOENT,
  EACCES,
  arch_shared_info__max_pfn,
  shared_info__arch,
  xen_machphys_mapping__max_mfn,
  xen_machphys_mapping__v_end,
  xen_machphys_mapping__v_start,
  xen_machphys_mfn_list__extent_start,
  xen_machphys_mfn_list__max_extents,
  xen_machphys_mfn_list__nr_extents,
  XENMEM_machphys_mapping,
  XENMEM_machphys_compat_mfn_list,
  XENMEM_machphys_mfn_list,
} from '../gen/abi';
import { HYPERVISOR_COMPAT_START, M2P_COMPAT_END } from '../arch/x86/pv/emulate';
import {
  get_xen_memory_reservation,
  get_xen_add_to_physmap,
  get_xen_add_to_physmap_batch,
  get_xen_remove_from_physmap,
  get_xen_memory_map,
  get_xen_foreign_memory_map,
  put_xen_memory_map,
  get_xen_machphys_mfn_list,
  put_xen_machphys_mapping,
  put_xen_machphys_mfn_list,
} from '../gen/compat';
import {
  XSM_add_to_physmap,
  XSM_domain_memory_map,
  XSM_memory_adjust_reservation,
  XSM_map_gmfn_foreign,
  XSM_memory_stat_reservation,
  XSM_remove_from_physmap,
} from '../gen/xsm';
import { frame, FRAME_RAM } from '../shared/frame_table';
import { frame_alloc, frames_free } from '../shared/frame_alloc';
import { host } from '../shared/host';
import { INVALID_MFN, Mfn, ptr_to_mfn } from '../shared/memory';
import {
  Domain,
  domain_by_id,
  domain_claim,
  DOMAIN_DYING,
  domain_find,
  DOMAIN_E820,
  E820_MAX,
  GRANT_FRAMES_MAX,
  is_privileged,
  is_pv,
  is_pv32,
  page_get,
  page_put,
} from './domain';
import { grant_map_frame } from './grant_table';
import { copy_from_guest, copy_to_guest, get_guest, get_long, guest_word, put_guest, put_long } from './guest_access';
import { hypercall_continue } from './hypercall';
import { memory_exchange } from './memory_exchange';
import { memory_acquire_resource } from './memory_resource';
import {
  p2m_clear,
  p2m_find,
  P2M_FOREIGN,
  p2m_frame,
  p2m_get,
  P2M_GRANT_RW,
  p2m_mfn,
  P2M_NO_GFN,
  P2M_RAM_RO,
  P2M_RAM_RW,
  p2m_set,
  p2m_type,
  P2M_MAX_GFN,
} from './p2m';
import { m2p_compat_frame, m2p_compat_pages, M2P_END, m2p_frame, M2P_INVALID, m2p_pages, M2P_START } from './pv/m2p';
import { pv_populate, pv_release } from './pv/memory';
import { Vcpu, vcpu_arg, vcpu_domain } from './vcpu';
import { xsm_check } from './xsm';

const EXTENT_SHIFT: u32 = 6;
/** Frames changed before the hypercall gives way. */
const BATCH: u32 = 1024;
/** Extents of a guest's own request; the control domain may use 1 GiB ones. */
export const GUEST_MAX_ORDER: u32 = 9;
export const CONTROL_MAX_ORDER: u32 = 18;

export function do_memory_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  const op = cmd & ((1 << EXTENT_SHIFT) - 1);
  switch (op) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
      return reservation(d, v, op, cmd, arg);
    case XENMEM_maximum_ram_page:
      return host().memory_frames;
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
      return statistic(d, v, op, arg);
    case XENMEM_add_to_physmap:
      return op_add_to_physmap(d, v, arg);
    case XENMEM_add_to_physmap_batch:
      return op_add_batch(d, v, cmd, arg);
    case XENMEM_remove_from_physmap:
      return op_remove(d, v, arg);
    case XENMEM_exchange:
      return memory_exchange(d, v, arg);
    case XENMEM_claim_pages:
      return op_claim(d, v, arg);
    case XENMEM_acquire_resource:
      return memory_acquire_resource(d, v, arg);
    case XENMEM_machphys_mapping:
      return machphys_mapping(v, arg);
    case XENMEM_machphys_mfn_list:
      return machphys_mfn_list(v, arg, is_pv32(d));
    case XENMEM_machphys_compat_mfn_list:
      // The table that 32-bit guests see: nobody's yet, there is none.
      return machphys_mfn_list(v, arg, true);
    case XENMEM_memory_map:
      return op_memory_map(d, v, arg);
    case XENMEM_set_memory_map:
      return op_set_memory_map(d, v, arg);
    default:
      return -ENOSYS;
  }
}

/** Allocate one frame for the domain and map it. 0 or an errno. */
export function populate_one(d: Domain, gfn: u64): i32 {
  if (is_pv(d)) return pv_populate(d, gfn, 0) == INVALID_MFN ? -ENOMEM : 0;
  if (gfn >= P2M_MAX_GFN) return -EINVAL;
  if (d.tot_pages >= d.max_pages) return -ENOMEM;
  // Memory that others have claimed is theirs.
  if (!d.claim && frames_free() <= host().claimed) return -ENOMEM;
  const mfn = frame_alloc(d.domid, FRAME_RAM);
  if (mfn == INVALID_MFN) return -ENOMEM;
  d.tot_pages++;
  if (d.claim) domain_claim(d, d.claim - 1);
  const rc = p2m_set(d, gfn, mfn, P2M_RAM_RW);
  page_put(mfn); // the mapping holds it now; without one it goes back
  return rc;
}

export function populate_extent(t: Domain, gfn: u64, order: u32): bool {
  const n = (<u64>1) << order;
  for (let i: u64 = 0; i < n; i++) {
    if (populate_one(t, gfn + i)) {
      while (i-- > 0) p2m_clear(t, gfn + i);
      return false;
    }
  }
  return true;
}

/** Every frame of the extent must be the domain's own memory. */
function release_extent(t: Domain, gfn: u64, order: u32): bool {
  const n = (<u64>1) << order;
  for (let i: u64 = 0; i < n; i++) {
    const type = p2m_type(p2m_get(t, gfn + i));
    if (type != P2M_RAM_RW && type != P2M_RAM_RO) return false;
    p2m_clear(t, gfn + i);
  }
  return true;
}

/** populate_physmap, increase and decrease: how many extents were done; a continued call carries that number above the op. */
function reservation(d: Domain, v: Vcpu, op: u32, cmd: u32, arg: u64): i64 {
  const a = vcpu_arg(v);
  let i: u64 = cmd >>> EXTENT_SHIFT;
  if (!get_xen_memory_reservation(v, a, arg)) return i;
  const extents = load<u64>(a, xen_memory_reservation__nr_extents);
  const list = load<u64>(a, xen_memory_reservation__extent_start);
  const order = load<u32>(a, xen_memory_reservation__extent_order);
  const flags = load<u32>(a, xen_memory_reservation__mem_flags);
  if (extents > (<u64>0xffffffff) >> EXTENT_SHIFT || i > extents) return i;
  if (order > (is_privileged(d) ? CONTROL_MAX_ORDER : GUEST_MAX_ORDER)) return i;
  const t = domain_by_id(d, load<u16>(a, xen_memory_reservation__domid));
  if (t == null || flags & XENMEMF_populate_on_demand) return i;
  const rc = xsm_check(XSM_memory_adjust_reservation, d, t);
  if (rc) return rc;
  let budget: i64 = BATCH;
  for (; i < extents; i++) {
    if (budget <= 0) return hypercall_continue(v, op | ((<u32>i) << EXTENT_SHIFT), arg, 0);
    budget -= (<i64>1) << order;
    const ok = is_pv(t) ? extent_pv(v, t, op, list, i, order) : extent(v, t, op, list, i, order);
    if (!ok) return i;
  }
  return i;
}

function extent(v: Vcpu, t: Domain, op: u32, list: u64, i: u64, order: u32): bool {
  // A translated guest's frames have places: memory without one would be out of its reach.
  if (op == XENMEM_increase_reservation || !get_long(v, list, i)) return false;
  const gfn = guest_word;
  return op == XENMEM_populate_physmap ? populate_extent(t, gfn, order) : release_extent(t, gfn, order);
}

/** A PV domain is told which frames it has got: what it asked for by its own number, or for memory without one (a list need not be there). */
function extent_pv(v: Vcpu, t: Domain, op: u32, list: u64, i: u64, order: u32): bool {
  const increase = op == XENMEM_increase_reservation;
  if (!increase && !get_long(v, list, i)) return false;
  if (op == XENMEM_decrease_reservation) return release_pv(t, guest_word, order);
  const mfn = pv_populate(t, increase ? M2P_INVALID : guest_word, order);
  if (mfn == INVALID_MFN) return false;
  return (increase && !list) || put_long(v, list, i, mfn);
}

function release_pv(t: Domain, mfn: u64, order: u32): bool {
  const n = (<u64>1) << order;
  for (let i: u64 = 0; i < n; i++) if (!pv_release(t, mfn + i)) return false;
  return true;
}

/** Set memory aside for a domain that is being built: what it then populates comes from there. 0 pages give the rest up. */
function op_claim(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_memory_reservation(v, a, arg)) return -EFAULT;
  if (
    load<u64>(a, xen_memory_reservation__extent_start) ||
    load<u32>(a, xen_memory_reservation__extent_order) ||
    load<u32>(a, xen_memory_reservation__mem_flags)
  )
    return -EINVAL;
  const found = domain_find(load<u16>(a, xen_memory_reservation__domid));
  if (found == null) return -ESRCH;
  const t = found;
  const pages = load<u64>(a, xen_memory_reservation__nr_extents);
  if (pages == 0) {
    domain_claim(t, 0);
    return 0;
  }
  if (t.claim || t.flags & DOMAIN_DYING || pages <= <u64>t.tot_pages || pages > <u64>t.max_pages) return -EINVAL;
  const claim = <u32>pages - t.tot_pages;
  const free = frames_free();
  if (free < host().claimed || claim > free - host().claimed) return -ENOMEM;
  domain_claim(t, claim);
  return 0;
}

function statistic(d: Domain, v: Vcpu, op: u32, arg: u64): i64 {
  if (!get_guest<u16>(v, arg)) return -EFAULT;
  const t = domain_by_id(d, <u32>guest_word);
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_memory_stat_reservation, d, t);
  if (rc) return rc;
  switch (op) {
    case XENMEM_current_reservation:
      return t.tot_pages;
    case XENMEM_maximum_reservation:
      return t.max_pages;
    default:
      return is_pv(t) ? max_pfn(t) : <i64>t.max_gfn - 1;
  }
}

/** A PV guest says itself how many numbers it uses. */
function max_pfn(t: Domain): i64 {
  const n = load<u64>(<usize>t.shared_info, shared_info__arch + arch_shared_info__max_pfn);
  return <i64>(n ? n - 1 : 0);
}

/** Where the M2P is. */
function machphys_mapping(v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  const narrow = is_pv32(vcpu_domain(v));
  const start = narrow ? HYPERVISOR_COMPAT_START : M2P_START;
  const end = narrow ? M2P_COMPAT_END : M2P_END;
  store<u64>(a, start, xen_machphys_mapping__v_start);
  store<u64>(a, end, xen_machphys_mapping__v_end);
  store<u64>(a, ((end - start) >> (narrow ? 2 : 3)) - 1, xen_machphys_mapping__max_mfn);
  return put_xen_machphys_mapping(v, arg, a) ? 0 : -EFAULT;
}

/** The M2P's frames: the first one of each 2 MiB of it. */
function machphys_mfn_list(v: Vcpu, arg: u64, narrow: bool): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_machphys_mfn_list(v, a, arg)) return -EFAULT;
  const pages = narrow ? m2p_compat_pages() : m2p_pages();
  const most = load<u32>(a, xen_machphys_mfn_list__max_extents);
  const list = load<u64>(a, xen_machphys_mfn_list__extent_start);
  let n: u32 = 0;
  for (; n < most && n * M2P_CHUNK < pages; n++) {
    const mfn = narrow ? m2p_compat_frame(n * M2P_CHUNK) : m2p_frame(n * M2P_CHUNK);
    if (!put_long(v, list, n, mfn)) return -EFAULT;
  }
  store<u32>(a, n, xen_machphys_mfn_list__nr_extents);
  return put_xen_machphys_mfn_list(v, arg, a) ? 0 : -EFAULT;
}
const M2P_CHUNK: u32 = 512;

/** A page of the hypervisor's that the guest may map: shared_info or a frame of the grant table. */
function special_frame(t: Domain, space: u32, idx: u64): Mfn {
  if (space == XENMAPSPACE_shared_info) return idx == 0 ? ptr_to_mfn(t.shared_info) : INVALID_MFN;
  const status = (idx & XENMAPIDX_grant_table_status) != 0;
  const i = idx & ~(<u64>XENMAPIDX_grant_table_status);
  return i < <u64>GRANT_FRAMES_MAX ? grant_map_frame(t, <u32>i, status) : INVALID_MFN;
}

/** Map one page of `space` at `gpfn` of `t`. `foreign`: the domain of a gmfn_foreign index. */
function add_one(d: Domain, t: Domain, space: u32, foreign: u32, idx: u64, gpfn: u64): i32 {
  switch (space) {
    case XENMAPSPACE_shared_info:
    case XENMAPSPACE_grant_table: {
      const mfn = special_frame(t, space, idx);
      if (mfn == INVALID_MFN) return -EINVAL;
      const rc = move_to(t, mfn, gpfn, P2M_RAM_RW);
      if (rc == 0 && space == XENMAPSPACE_shared_info) t.shared_info_gfn = gpfn;
      return rc;
    }
    case XENMAPSPACE_gmfn: {
      const e = p2m_get(t, idx);
      if (p2m_type(e) != P2M_RAM_RW) return -EINVAL;
      const mfn = p2m_frame(t, idx);
      if (mfn == INVALID_MFN) return -EINVAL;
      if (idx == gpfn) return 0;
      const rc = p2m_set(t, gpfn, mfn, P2M_RAM_RW);
      if (rc == 0) p2m_clear(t, idx);
      return rc;
    }
    case XENMAPSPACE_gmfn_foreign:
      return add_foreign(d, t, foreign, idx, gpfn);
    default:
      return -ENOSYS;
  }
}

/** As Xen: a special page has one place; mapping it anew takes it from the old one. */
function move_to(t: Domain, mfn: Mfn, gpfn: u64, type: u32): i32 {
  const now = p2m_get(t, gpfn);
  if (p2m_type(now) == type && p2m_mfn(now) == mfn) return 0;
  // Nobody but the hypervisor holds it: it has no place yet, and none need be looked for.
  const old = frame(mfn).refcount > 1 ? p2m_find(t, mfn) : P2M_NO_GFN;
  const rc = p2m_set(t, gpfn, mfn, type);
  if (rc == 0 && old != P2M_NO_GFN) p2m_clear(t, old);
  return rc;
}

/** Map another domain's page: the control domain's way to build a guest. */
function add_foreign(d: Domain, t: Domain, foreign: u32, idx: u64, gpfn: u64): i32 {
  const fd = domain_by_id(d, foreign);
  if (fd == null) return -ESRCH;
  if (fd.domid == t.domid) return -EINVAL;
  const rc = xsm_check(XSM_map_gmfn_foreign, d, fd);
  if (rc) return rc;
  const type = p2m_type(p2m_get(fd, idx));
  if (type != P2M_RAM_RW && type != P2M_RAM_RO) return -EINVAL;
  const mfn = p2m_frame(fd, idx);
  if (mfn == INVALID_MFN) return -EINVAL;
  return p2m_set(t, gpfn, mfn, P2M_FOREIGN);
}

function op_add_to_physmap(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_add_to_physmap(v, a, arg)) return -EFAULT;
  const space = load<u32>(a, xen_add_to_physmap__space);
  // A foreign page needs the batch op, which has room for the foreign domain's number.
  if (space == XENMAPSPACE_gmfn_foreign) return -ENOSYS;
  const t = domain_by_id(d, load<u16>(a, xen_add_to_physmap__domid));
  if (t == null) return -ESRCH;
  if (is_pv(t)) return -EACCES; // it has no such map
  const rc = xsm_check(XSM_add_to_physmap, d, t);
  if (rc) return rc;
  const idx = load<u64>(a, xen_add_to_physmap__idx);
  const gpfn = load<u64>(a, xen_add_to_physmap__gpfn);
  if (space != XENMAPSPACE_gmfn_range) return add_one(d, t, space, 0, idx, gpfn);
  const size = <u32>load<u16>(a, xen_add_to_physmap__size);
  for (let i: u32 = 0; i < size; i++) {
    const e = add_one(d, t, XENMAPSPACE_gmfn, 0, idx + i, gpfn + i);
    if (e) return e;
  }
  return 0;
}

function op_add_batch(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  const a = vcpu_arg(v);
  let i = cmd >>> EXTENT_SHIFT;
  if (!get_xen_add_to_physmap_batch(v, a, arg)) return -EFAULT;
  const space = <u32>load<u16>(a, xen_add_to_physmap_batch__space);
  const size = <u32>load<u16>(a, xen_add_to_physmap_batch__size);
  const foreign = <u32>load<u16>(a, xen_add_to_physmap_batch__u__foreign_domid);
  const idxs = load<u64>(a, xen_add_to_physmap_batch__idxs);
  const gpfns = load<u64>(a, xen_add_to_physmap_batch__gpfns);
  const errs = load<u64>(a, xen_add_to_physmap_batch__errs);
  if (i > size) return -EINVAL;
  if (space == XENMAPSPACE_gmfn_range) return -EINVAL;
  const t = domain_by_id(d, load<u16>(a, xen_add_to_physmap_batch__domid));
  if (t == null) return -ESRCH;
  if (is_pv(t)) return -EACCES; // it has no such map
  const rc = xsm_check(XSM_add_to_physmap, d, t);
  if (rc) return rc;
  for (const stop = i + BATCH; i < size; i++) {
    if (i == stop) return hypercall_continue(v, XENMEM_add_to_physmap_batch | (i << EXTENT_SHIFT), arg, 0);
    if (!get_long(v, idxs, i)) return -EFAULT;
    const idx = guest_word;
    if (!get_long(v, gpfns, i)) return -EFAULT;
    const e = add_one(d, t, space, foreign, idx, guest_word);
    if (!put_guest<i32>(v, errs + ((<u64>i) << 2), e)) return -EFAULT;
  }
  return 0;
}

function op_remove(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_remove_from_physmap(v, a, arg)) return -EFAULT;
  const t = domain_by_id(d, load<u16>(a, xen_remove_from_physmap__domid));
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_remove_from_physmap, d, t);
  if (rc) return rc;
  const gpfn = load<u64>(a, xen_remove_from_physmap__gpfn);
  const type = p2m_type(p2m_get(t, gpfn));
  if (type == 0) return -ENOENT;
  if (is_pv(t)) return 0; // its frames have no places to be taken from: as in Xen nothing happens
  if (type >= P2M_GRANT_RW) return -EINVAL;
  p2m_clear(t, gpfn);
  return 0;
}

function op_memory_map(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_memory_map(v, a, arg)) return -EFAULT;
  if (!d.e820_entries) return -ENOSYS;
  const n = load<u32>(a, xen_memory_map__nr_entries);
  const buffer = load<u64>(a, xen_memory_map__buffer);
  if (!buffer) store<u32>(a, d.e820_entries, xen_memory_map__nr_entries);
  else {
    if (n < d.e820_entries) return -ENOBUFS;
    store<u32>(a, d.e820_entries, xen_memory_map__nr_entries);
    if (!copy_to_guest(v, buffer, changetype<usize>(d) + DOMAIN_E820, d.e820_entries * sizeof_e820entry))
      return -EFAULT;
  }
  return put_xen_memory_map(v, arg, a) ? 0 : -EFAULT;
}

function op_set_memory_map(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_foreign_memory_map(v, a, arg)) return -EFAULT;
  const t = domain_by_id(d, load<u16>(a, xen_foreign_memory_map__domid));
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_domain_memory_map, d, t);
  if (rc) return rc;
  const n = load<u32>(a, xen_foreign_memory_map__map + xen_memory_map__nr_entries);
  if (n > E820_MAX) return -E2BIG;
  const bytes = n * sizeof_e820entry;
  if (
    !copy_from_guest(
      v,
      changetype<usize>(t) + DOMAIN_E820,
      load<u64>(a, xen_foreign_memory_map__map + xen_memory_map__buffer),
      bytes,
    )
  )
    return -EFAULT;
  t.e820_entries = n;
  return 0;
}
