// XENMEM_acquire_resource: frames that belong to a domain but have no place in its own space, for its device model or the control domain.
import {
  EFAULT,
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  DOMID_SELF,
  xen_mem_acquire_resource__domid,
  xen_mem_acquire_resource__frame,
  xen_mem_acquire_resource__frame_list,
  xen_mem_acquire_resource__id,
  xen_mem_acquire_resource__nr_frames,
  xen_mem_acquire_resource__pad,
  xen_mem_acquire_resource__type,
  XENMEM_resource_grant_table,
  XENMEM_resource_grant_table_id_shared,
  XENMEM_resource_grant_table_id_status,
  XENMEM_resource_ioreq_server,
  XENMEM_resource_ioreq_server_frame_bufioreq,
} from '../gen/abi';
import { get_xen_mem_acquire_resource, put_xen_mem_acquire_resource } from '../gen/compat';
import { XSM_domain_resource_map } from '../gen/xsm';
import { INVALID_MFN, Mfn } from '../shared/memory';
import { Domain, domain_by_id, is_pv } from './domain';
import { grant_map_frame } from './grant_table';
import { get_long, guest_word, put_long } from './guest_access';
import { ioreq_find, ioreq_page } from './ioreq';
import { P2M_FOREIGN, p2m_set } from './p2m';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

/** Frames that the resource has at most; an errno for one that there is not. */
function frames_of(t: Domain, type: u32, id: u32): i32 {
  switch (type) {
    case XENMEM_resource_grant_table:
      if (id == XENMEM_resource_grant_table_id_shared) return t.max_grant_frames;
      return id == XENMEM_resource_grant_table_id_status ? (t.max_grant_frames + 7) / 8 : -EINVAL;
    case XENMEM_resource_ioreq_server:
      return ioreq_find(t, <u16>id) == null || id > 0xffff ? -ENOENT : 2;
    default:
      return -EOPNOTSUPP;
  }
}

function frame_of(d: Domain, t: Domain, type: u32, id: u32, i: u32): Mfn {
  if (type == XENMEM_resource_grant_table) return grant_map_frame(t, i, id == XENMEM_resource_grant_table_id_status);
  const s = ioreq_find(t, <u16>id);
  // Buffered requests are not offered, so the first of a server's two frames is missing.
  if (s == null || s.emulator != d.domid || i == XENMEM_resource_ioreq_server_frame_bufioreq) return INVALID_MFN;
  return ioreq_page(t, s) == 0 ? s.mfn : INVALID_MFN;
}

export function memory_acquire_resource(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_mem_acquire_resource(v, a, arg)) return -EFAULT;
  if (load<u32>(a, xen_mem_acquire_resource__pad)) return -EINVAL;
  const domid = <u32>load<u16>(a, xen_mem_acquire_resource__domid);
  if (domid == DOMID_SELF || domid == d.domid) return -EPERM;
  const t = domain_by_id(d, domid);
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_domain_resource_map, d, t);
  if (rc) return rc;
  const type = <u32>load<u16>(a, xen_mem_acquire_resource__type);
  const id = load<u32>(a, xen_mem_acquire_resource__id);
  const n = load<u32>(a, xen_mem_acquire_resource__nr_frames);
  const first = load<u64>(a, xen_mem_acquire_resource__frame);
  const list = load<u64>(a, xen_mem_acquire_resource__frame_list);
  const most = frames_of(t, type, id);
  if (most < 0) return most;
  if (!list) {
    // A question: how many are there?
    if (n) return -EINVAL;
    store<u32>(a, most, xen_mem_acquire_resource__nr_frames);
    return put_xen_mem_acquire_resource(v, arg, a) ? 0 : -EFAULT;
  }
  if (first > <u64>most || n > <u32>most - <u32>first) return -EINVAL;
  for (let i: u32 = 0; i < n; i++) {
    const mfn = frame_of(d, t, type, id, <u32>first + i);
    if (mfn == INVALID_MFN) return -EINVAL;
    if (is_pv(d)) {
      // It is told which frames they are, and maps them itself as the other domain's.
      if (!put_long(v, list, i, mfn)) return -EFAULT;
      continue;
    }
    if (!get_long(v, list, i)) return -EFAULT;
    const e = p2m_set(d, guest_word, mfn, P2M_FOREIGN);
    if (e) return e;
  }
  return 0;
}
