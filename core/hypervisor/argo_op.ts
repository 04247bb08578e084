// XEN_ARGO_OP_*: arguments in, argo_ring.ts.
import {
  DOMID_INVALID,
  DOMID_SELF,
  EACCES,
  ECONNREFUSED,
  EEXIST,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  sizeof_xen_argo_register_ring,
  sizeof_xen_argo_ring_data,
  sizeof_xen_argo_ring_data_ent,
  sizeof_xen_argo_ring_message_header,
  sizeof_xen_argo_send_addr,
  sizeof_xen_argo_unregister_ring,
  XEN_ARGO_MAX_RING_SIZE,
  XEN_ARGO_MAXIOV,
  XEN_ARGO_OP_notify,
  XEN_ARGO_OP_register_ring,
  XEN_ARGO_OP_sendv,
  XEN_ARGO_OP_unregister_ring,
  XEN_ARGO_REGISTER_FLAG_FAIL_EXIST,
  XEN_ARGO_RING_EBUSY,
  XEN_ARGO_RING_EMPTY,
  XEN_ARGO_RING_EMSGSIZE,
  XEN_ARGO_RING_EXISTS,
  XEN_ARGO_RING_SUFFICIENT,
  xen_argo_addr__aport,
  xen_argo_addr__domain_id,
  xen_argo_addr__pad,
  xen_argo_iov__iov_hnd,
  xen_argo_iov__iov_len,
  xen_argo_iov__pad,
  xen_argo_register_ring__aport,
  xen_argo_register_ring__len,
  xen_argo_register_ring__pad,
  xen_argo_register_ring__partner_id,
  xen_argo_ring_data__nent,
  xen_argo_ring_data__pad,
  xen_argo_ring_data_ent__flags,
  xen_argo_ring_data_ent__max_message_size,
  xen_argo_ring_data_ent__pad,
  xen_argo_ring_data_ent__ring,
  xen_argo_ring_data_ent__space_required,
  xen_argo_send_addr__dst,
  xen_argo_send_addr__src,
  xen_argo_unregister_ring__aport,
  xen_argo_unregister_ring__pad,
  xen_argo_unregister_ring__partner_id,
} from '../gen/abi';
import { get_xen_argo_iov, size_xen_argo_iov } from '../gen/compat';
import { XSM_argo_register_single_source, XSM_argo_send } from '../gen/xsm';
import {
  argo_begin,
  argo_create,
  argo_end,
  argo_fill,
  argo_find,
  argo_first,
  argo_free,
  argo_largest,
  argo_next,
  argo_pages,
  argo_put,
  argo_remove,
  argo_round,
  argo_signal,
  argo_space,
  argo_tell,
  argo_wait,
  argo_wait_no_more,
  SLOT,
} from './argo_ring';
import { Domain, DOMAIN_DYING, domain_by_id, domain_find } from './domain';
import { copy_from_guest, copy_to_guest } from './guest_access';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

const RINGS_MAX: u32 = 128;
const NOTIFY_MAX: u32 = 256;
const HEADER: u32 = sizeof_xen_argo_ring_message_header;
/** Places in the argument area: the call's structure, then the iovs, then a message's header. */
const IOVS: usize = 64;
const MESSAGE: usize = 256;

export function do_argo_op(d: Domain, v: Vcpu, cmd: u32, arg1: u64, arg2: u64, arg3: u64, arg4: u64): i64 {
  switch (cmd) {
    case XEN_ARGO_OP_register_ring:
      return register(d, v, arg1, arg2, arg3, arg4);
    case XEN_ARGO_OP_unregister_ring:
      return arg2 | arg3 | arg4 ? -EINVAL : unregister(d, v, arg1);
    case XEN_ARGO_OP_sendv:
      return sendv(d, v, arg1, arg2, arg3, arg4);
    case XEN_ARGO_OP_notify:
      return arg2 | arg3 | arg4 ? -EINVAL : notify(d, v, arg1);
    default:
      return -EOPNOTSUPP;
  }
}

/** A domain that can take part; null for one that is not there. */
function partner(domid: u32): Domain | null {
  const p = domain_find(domid);
  return p != null && !(p.flags & DOMAIN_DYING) ? p : null;
}

function register(d: Domain, v: Vcpu, arg: u64, gfns: u64, pages: u64, flags: u64): i64 {
  if (flags & ~(<u64>XEN_ARGO_REGISTER_FLAG_FAIL_EXIST)) return -EINVAL;
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_argo_register_ring)) return -EFAULT;
  const len = load<u32>(a, xen_argo_register_ring__len);
  const aport = load<u32>(a, xen_argo_register_ring__aport);
  const domid = <u32>load<u16>(a, xen_argo_register_ring__partner_id);
  // Room for two messages of a byte at least.
  if (len < HEADER + 2 * SLOT || <u64>len > XEN_ARGO_MAX_RING_SIZE || len != argo_round(len)) return -EINVAL;
  if (load<u16>(a, xen_argo_register_ring__pad) || pages != <u64>argo_pages(len)) return -EINVAL;
  // Rings that anybody may send to are off unless a host's owner allows them, as in Xen.
  if (domid == DOMID_INVALID) return -EPERM;
  const other = domid == DOMID_SELF ? d : partner(domid);
  if (other == null) return -ESRCH;
  const rc = xsm_check(XSM_argo_register_single_source, d, other);
  if (rc) return rc;
  let r = argo_find(d, aport, other.domid);
  if (r != null) {
    if (flags) return -EEXIST;
    if (r.len != len) return -EINVAL;
    const e = argo_fill(d, v, r, gfns);
    if (e) argo_remove(d, r);
    return e;
  }
  if (d.argo_count >= RINGS_MAX) return -ENOSPC;
  r = argo_create(d, aport, other.domid, len);
  if (r == null) return -ENOMEM;
  const e = argo_fill(d, v, r, gfns);
  if (e) {
    argo_free(r);
    return e;
  }
  r.next = d.argo_rings;
  d.argo_rings = <u32>changetype<usize>(r);
  d.argo_count++;
  return 0;
}

function unregister(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_argo_unregister_ring)) return -EFAULT;
  if (load<u16>(a, xen_argo_unregister_ring__pad)) return -EINVAL;
  const domid = <u32>load<u16>(a, xen_argo_unregister_ring__partner_id);
  const r = argo_find(d, load<u32>(a, xen_argo_unregister_ring__aport), domid == DOMID_SELF ? d.domid : domid);
  if (r == null) return -ENOENT;
  argo_remove(d, r);
  return 0;
}

function sendv(d: Domain, v: Vcpu, arg: u64, iovs: u64, n: u64, type: u64): i64 {
  const a = vcpu_arg(v);
  if (n > <u64>XEN_ARGO_MAXIOV || type > 0xffffffff) return -EINVAL;
  if (!copy_from_guest(v, a, arg, sizeof_xen_argo_send_addr)) return -EFAULT;
  const src = a + xen_argo_send_addr__src;
  const dst = a + xen_argo_send_addr__dst;
  if (load<u16>(src, xen_argo_addr__pad) || load<u16>(dst, xen_argo_addr__pad)) return -EINVAL;
  const from = <u32>load<u16>(src, xen_argo_addr__domain_id);
  if (from != DOMID_SELF && from != <u32>d.domid) return -EINVAL;
  const other = domain_by_id(d, load<u16>(dst, xen_argo_addr__domain_id));
  if (other == null) return -ESRCH;
  const t = other;
  const refused = xsm_check(XSM_argo_send, d, t);
  if (refused) return refused;
  const r = argo_find(t, load<u32>(dst, xen_argo_addr__aport), d.domid);
  if (r == null) return -ECONNREFUSED;
  let total: u64 = 0;
  for (let i: u64 = 0; i < n; i++) {
    const iov = a + IOVS + ((<usize>i) << 4);
    if (!get_xen_argo_iov(v, iov, iovs + i * size_xen_argo_iov(v))) return -EFAULT;
    if (load<u32>(iov, xen_argo_iov__pad)) return -EINVAL;
    total += load<u32>(iov, xen_argo_iov__iov_len);
  }
  if (total > XEN_ARGO_MAX_RING_SIZE - HEADER) return -EMSGSIZE;
  const rc = argo_begin(r, <u32>total, load<u32>(src, xen_argo_addr__aport), d.domid, <u32>type, a + MESSAGE);
  if (rc) return rc;
  let done: u32 = 0;
  for (let i: u64 = 0; i < n; i++) {
    const iov = a + IOVS + ((<usize>i) << 4);
    const len = load<u32>(iov, xen_argo_iov__iov_len);
    if (!argo_put(r, v, done, load<u64>(iov, xen_argo_iov__iov_hnd), len)) return -EFAULT;
    done += len;
  }
  argo_end(r, done);
  argo_signal(t);
  return done;
}

/** Who waits for room in the caller's rings is told, and the caller about others' rings, entry by entry. */
function notify(d: Domain, v: Vcpu, arg: u64): i64 {
  for (let r = argo_first(d); r != null; r = argo_next(r)) argo_tell(r);
  if (!arg) return 0;
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_argo_ring_data)) return -EFAULT;
  const n = load<u32>(a, xen_argo_ring_data__nent);
  if (load<u32>(a, xen_argo_ring_data__pad)) return -EINVAL;
  if (n > NOTIFY_MAX) return -EACCES;
  for (let i: u32 = 0; i < n; i++) {
    const at = arg + sizeof_xen_argo_ring_data + <u64>i * sizeof_xen_argo_ring_data_ent;
    if (!copy_from_guest(v, a, at, sizeof_xen_argo_ring_data_ent)) return -EFAULT;
    const rc = about(d, a);
    if (rc) return rc;
    if (!copy_to_guest(v, at, a, sizeof_xen_argo_ring_data_ent)) return -EFAULT;
  }
  return 0;
}

/** One entry in place. */
function about(d: Domain, a: usize): i32 {
  const ring = a + xen_argo_ring_data_ent__ring;
  if (
    load<u16>(ring, xen_argo_addr__pad) ||
    load<u16>(a, xen_argo_ring_data_ent__pad) ||
    load<u16>(a, xen_argo_ring_data_ent__flags) ||
    load<u32>(a, xen_argo_ring_data_ent__max_message_size)
  )
    return -EINVAL;
  const t = domain_by_id(d, load<u16>(ring, xen_argo_addr__domain_id));
  if (t == null || xsm_check(XSM_argo_send, d, t)) return 0;
  const r = argo_find(t, load<u32>(ring, xen_argo_addr__aport), d.domid);
  if (r == null) return 0;
  const wanted = load<u32>(a, xen_argo_ring_data_ent__space_required);
  const largest = argo_largest(r);
  const room = argo_space(r);
  let flags = XEN_ARGO_RING_EXISTS;
  if (room == largest) flags |= XEN_ARGO_RING_EMPTY;
  if (wanted > largest) flags |= XEN_ARGO_RING_EMSGSIZE;
  else if (wanted <= room) {
    argo_wait_no_more(r, d.domid);
    flags |= XEN_ARGO_RING_SUFFICIENT;
  } else if (!argo_wait(r, d.domid, wanted)) flags |= XEN_ARGO_RING_EBUSY;
  store<u16>(a, <u16>flags, xen_argo_ring_data_ent__flags);
  store<u32>(a, largest, xen_argo_ring_data_ent__max_message_size);
  return 0;
}
