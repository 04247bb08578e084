// XEN_SYSCTL_*: what of the host's control interface exists.
import {
  EACCES,
  EFAULT,
  ENOSYS,
  EPERM,
  sizeof_xen_domctl_getdomaininfo,
  sizeof_xen_sysctl,
  XEN_SYSCTL_availheap,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_INTERFACE_VERSION,
  xen_sysctl__cmd,
  xen_sysctl__interface_version,
  xen_sysctl__u,
  xen_sysctl_availheap__avail_bytes,
  xen_sysctl_getdomaininfolist__buffer,
  xen_sysctl_getdomaininfolist__first_domain,
  xen_sysctl_getdomaininfolist__max_domains,
  xen_sysctl_getdomaininfolist__num_domains,
} from '../gen/abi';
import { XSM_sysctl__availheap, XSM_sysctl__getdomaininfolist } from '../gen/xsm';
import { frames_free } from '../shared/frame_alloc';
import { Domain, domain_first, domain_next } from './domain';
import { domain_info } from './domctl';
import { copy_from_guest, copy_to_guest } from './guest_access';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

export function do_sysctl(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_sysctl)) return -EFAULT;
  if (load<u32>(a, xen_sysctl__interface_version) != XEN_SYSCTL_INTERFACE_VERSION) return -EACCES;
  const cmd = load<u32>(a, xen_sysctl__cmd);
  const rc = xsm_check(
    cmd == XEN_SYSCTL_getdomaininfolist ? XSM_sysctl__getdomaininfolist : XSM_sysctl__availheap,
    d,
    null,
  );
  if (rc) return rc;
  const u = a + xen_sysctl__u;
  if (cmd == XEN_SYSCTL_availheap) store<u64>(u, (<u64>frames_free()) << 12, xen_sysctl_availheap__avail_bytes);
  else if (cmd == XEN_SYSCTL_getdomaininfolist) {
    if (!list_domains(v, u)) return -EFAULT;
  } else return -ENOSYS;
  return copy_to_guest(v, arg, a, sizeof_xen_sysctl) ? 0 : -EFAULT;
}

/** In the order of their numbers, from first_domain on. */
function list_domains(v: Vcpu, u: usize): bool {
  const max = load<u32>(u, xen_sysctl_getdomaininfolist__max_domains);
  const buffer = load<u64>(u, xen_sysctl_getdomaininfolist__buffer);
  let from: i32 = load<u16>(u, xen_sysctl_getdomaininfolist__first_domain);
  const p = vcpu_arg(v) + 512;
  let n: u32 = 0;
  while (n < max) {
    const t = first_from(from);
    if (t == null) break;
    domain_info(t, p);
    if (!copy_to_guest(v, buffer + <u64>n * sizeof_xen_domctl_getdomaininfo, p, sizeof_xen_domctl_getdomaininfo))
      return false;
    n++;
    from = t.domid + 1;
  }
  store<u32>(u, n, xen_sysctl_getdomaininfolist__num_domains);
  return true;
}

function first_from(id: i32): Domain | null {
  let best: Domain | null = null;
  for (let t = domain_first(); t != null; t = domain_next(t))
    if (<i32>t.domid >= id && (best == null || t.domid < best.domid)) best = t;
  return best;
}
