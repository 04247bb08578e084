// DMOP: what a device model asks for its target.
import {
  EFAULT,
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  ESRCH,
  HVM_IOREQSRV_BUFIOREQ_OFF,
  sizeof_xen_dm_op,
  xen_dm_op__op,
  xen_dm_op__u,
  xen_dm_op_buf__h,
  xen_dm_op_buf__size,
  xen_dm_op_create_ioreq_server__handle_bufioreq,
  xen_dm_op_create_ioreq_server__id,
  xen_dm_op_get_ioreq_server_info__bufioreq_gfn,
  xen_dm_op_get_ioreq_server_info__bufioreq_port,
  xen_dm_op_get_ioreq_server_info__flags,
  xen_dm_op_get_ioreq_server_info__id,
  xen_dm_op_get_ioreq_server_info__ioreq_gfn,
  xen_dm_op_ioreq_server_range__end,
  xen_dm_op_ioreq_server_range__id,
  xen_dm_op_ioreq_server_range__start,
  xen_dm_op_ioreq_server_range__type,
  xen_dm_op_nr_vcpus__vcpus,
  xen_dm_op_remote_shutdown__reason,
  xen_dm_op_set_ioreq_server_state__enabled,
  XEN_DMOP_create_ioreq_server,
  XEN_DMOP_destroy_ioreq_server,
  XEN_DMOP_get_ioreq_server_info,
  XEN_DMOP_map_io_range_to_ioreq_server,
  XEN_DMOP_no_gfns,
  XEN_DMOP_nr_vcpus,
  XEN_DMOP_remote_shutdown,
  XEN_DMOP_set_ioreq_server_state,
  XEN_DMOP_unmap_io_range_from_ioreq_server,
  DOMID_SELF,
} from '../gen/abi';
import { get_xen_dm_op_buf } from '../gen/compat';
import { XSM_dm_op } from '../gen/xsm';
import { Domain, domain_by_id, DOMAIN_HVM, domain_shutdown } from './domain';
import { copy_from_guest, copy_to_guest } from './guest_access';
import {
  ioreq_add_range,
  ioreq_create,
  ioreq_find,
  ioreq_page,
  ioreq_remove,
  ioreq_remove_range,
  IoreqServer,
} from './ioreq';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

export function do_dm_op(d: Domain, v: Vcpu, domid: u32, bufs: u32, list: u64): i64 {
  const t = domain_by_id(d, domid);
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_dm_op, d, t);
  if (rc) return rc;
  if (!(t.flags & DOMAIN_HVM) || bufs < 1) return -EINVAL;
  const a = vcpu_arg(v);
  if (!get_xen_dm_op_buf(v, a, list)) return -EFAULT;
  const handle = load<u64>(a, xen_dm_op_buf__h);
  const given = load<u64>(a, xen_dm_op_buf__size);
  // The buffer may be shorter or longer than the structure; what is missing reads as zero.
  const size = given < <u64>sizeof_xen_dm_op ? <u32>given : sizeof_xen_dm_op;
  if (size < 8) return -EFAULT;
  memory.fill(a, 0, sizeof_xen_dm_op);
  if (!copy_from_guest(v, a, handle, size)) return -EFAULT;
  const r = run(d, t, load<u32>(a, xen_dm_op__op), a + xen_dm_op__u);
  if (r) return r;
  return copy_to_guest(v, handle, a, size) ? 0 : -EFAULT;
}

function run(d: Domain, t: Domain, op: u32, u: usize): i32 {
  switch (op) {
    case XEN_DMOP_create_ioreq_server: {
      // Buffered requests are not offered: every access is answered before the guest goes on.
      if (load<u8>(u, xen_dm_op_create_ioreq_server__handle_bufioreq) != <u8>HVM_IOREQSRV_BUFIOREQ_OFF)
        return -EOPNOTSUPP;
      const id = ioreq_create(t, d.domid);
      if (id < 0) return id;
      store<u16>(u, <u16>id, xen_dm_op_create_ioreq_server__id);
      return 0;
    }
    case XEN_DMOP_destroy_ioreq_server: {
      const s = mine(d, t, load<u16>(u));
      return s == null ? -ENOENT : ioreq_remove(t, s.id);
    }
    case XEN_DMOP_nr_vcpus:
      store<u32>(u, t.max_vcpus, xen_dm_op_nr_vcpus__vcpus);
      return 0;
    case XEN_DMOP_remote_shutdown:
      domain_shutdown(t, load<u32>(u, xen_dm_op_remote_shutdown__reason) & 0xff);
      return 0;
    case XEN_DMOP_get_ioreq_server_info:
    case XEN_DMOP_map_io_range_to_ioreq_server:
    case XEN_DMOP_unmap_io_range_from_ioreq_server:
    case XEN_DMOP_set_ioreq_server_state: {
      const s = mine(d, t, load<u16>(u));
      return s == null ? -ENOENT : server_op(t, s, op, u);
    }
    default:
      return -EOPNOTSUPP;
  }
}

/** A server of the caller's. */
function mine(d: Domain, t: Domain, id: u16): IoreqServer | null {
  const s = ioreq_find(t, id);
  return s != null && s.emulator == d.domid ? s : null;
}

function server_op(t: Domain, s: IoreqServer, op: u32, u: usize): i32 {
  const type = load<u32>(u, xen_dm_op_ioreq_server_range__type);
  const start = load<u64>(u, xen_dm_op_ioreq_server_range__start);
  const end = load<u64>(u, xen_dm_op_ioreq_server_range__end);
  switch (op) {
    case XEN_DMOP_map_io_range_to_ioreq_server:
      return ioreq_add_range(t, s, type, start, end);
    case XEN_DMOP_unmap_io_range_from_ioreq_server:
      return ioreq_remove_range(s, type, start, end);
    case XEN_DMOP_set_ioreq_server_state: {
      const rc = ioreq_page(t, s);
      if (rc) return rc;
      s.enabled = load<u8>(u, xen_dm_op_set_ioreq_server_state__enabled);
      return 0;
    }
    default: {
      if (load<u16>(u, xen_dm_op_get_ioreq_server_info__flags) & (<u16>XEN_DMOP_no_gfns)) return 0;
      const rc = ioreq_page(t, s);
      if (rc) return rc;
      store<u32>(u, 0, xen_dm_op_get_ioreq_server_info__bufioreq_port);
      store<u64>(u, s.gfn, xen_dm_op_get_ioreq_server_info__ioreq_gfn);
      store<u64>(u, ~0, xen_dm_op_get_ioreq_server_info__bufioreq_gfn);
      return 0;
    }
  }
}
