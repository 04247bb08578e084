// XEN_DOMCTL_*: building and ending domains. The structure is copied in whole, answered in place and copied out.
import {
  EACCES,
  EFAULT,
  EINVAL,
  ENOBUFS,
  ENOSPC,
  ENODATA,
  ENOENT,
  ENOMEM,
  ENOSYS,
  EPERM,
  ERESTART,
  ESRCH,
  HVM_PARAM_TRIPLE_FAULT_REASON,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  RUNSTATE_running,
  SHUTDOWN_reboot,
  sizeof_hvm_save_descriptor,
  sizeof_xen_domctl,
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_CDF_xs_domain,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_getvcpuaffinity,
  XEN_DOMCTL_getvcpucontext,
  XEN_DOMCTL_getvcpuinfo,
  XEN_DOMCTL_sendtrigger,
  XEN_DOMCTL_setvcpuaffinity,
  XEN_DOMCTL_gethvmcontext,
  XEN_DOMCTL_gethvmcontext_partial,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_soft_reset,
  XEN_DOMCTL_set_target,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_get_address_size,
  XEN_DOMCTL_hypercall_init,
  XEN_DOMCTL_set_address_size,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_setvcpucontext,
  XEN_DOMCTL_unpausedomain,
  xen_domctl__cmd,
  xen_domctl__domain,
  xen_domctl__interface_version,
  xen_domctl__u,
  xen_domctl_address_size__size,
  xen_domctl_createdomain__flags,
  xen_domctl_createdomain__handle,
  xen_domctl_createdomain__max_evtchn_port,
  xen_domctl_createdomain__max_grant_frames,
  xen_domctl_createdomain__max_maptrack_frames,
  xen_domctl_createdomain__max_vcpus,
  xen_domctl_createdomain__ssidref,
  xen_domctl_getdomaininfo__cpu_time,
  xen_domctl_getdomaininfo__domain,
  xen_domctl_getdomaininfo__flags,
  xen_domctl_getdomaininfo__gpaddr_bits,
  xen_domctl_getdomaininfo__handle,
  xen_domctl_getdomaininfo__max_pages,
  xen_domctl_getdomaininfo__max_vcpu_id,
  xen_domctl_getdomaininfo__nr_online_vcpus,
  xen_domctl_getdomaininfo__shared_info_frame,
  xen_domctl_getdomaininfo__ssidref,
  xen_domctl_getdomaininfo__tot_pages,
  xen_domctl_hvmcontext__buffer,
  xen_domctl_hypercall_init__gmfn,
  xen_domctl_hvmcontext__size,
  xen_domctl_hvmcontext_partial__buffer,
  xen_domctl_hvmcontext_partial__bufsz,
  xen_domctl_hvmcontext_partial__instance,
  xen_domctl_hvmcontext_partial__type,
  xen_domctl_max_mem__max_memkb,
  xen_domctl_max_vcpus__max,
  xen_domctl_set_target__target,
  xen_domctl_setdomainhandle__handle,
  XEN_DOMINF_blocked,
  XEN_DOMINF_dying,
  XEN_DOMINF_hap,
  XEN_DOMINF_hvm_guest,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
  XEN_DOMINF_shutdownshift,
  XEN_DOMINF_xs_domain,
  sizeof_xen_domctl_getdomaininfo,
} from '../gen/abi';
import {
  XSM_domctl__createdomain,
  XSM_domctl__destroydomain,
  XSM_domctl__getdomaininfo,
  XSM_domctl__getvcpuaffinity,
  XSM_domctl__getvcpucontext,
  XSM_domctl__getvcpuinfo,
  XSM_domctl__sendtrigger,
  XSM_domctl__setvcpuaffinity,
  XSM_domctl__gethvmcontext,
  XSM_domctl__gethvmcontext_partial,
  XSM_domctl__max_mem,
  XSM_domctl__max_vcpus,
  XSM_domctl__pausedomain,
  XSM_domctl__set_target,
  XSM_domctl__soft_reset,
  XSM_domctl__setdomainhandle,
  XSM_domctl__get_address_size,
  XSM_domctl__hypercall_init,
  XSM_domctl__set_address_size,
  XSM_domctl__sethvmcontext,
  XSM_domctl__setvcpucontext,
  XSM_domctl__unpausedomain,
} from '../gen/xsm';
import {
  created,
  Domain,
  domain_add_vcpu,
  domain_create,
  DOMAIN_32BIT,
  DOMAIN_DYING,
  domain_find,
  DOMAIN_HAP,
  DOMAIN_HVM,
  domain_kill,
  domain_pause,
  domain_set_max_pages,
  domain_set_param,
  DOMAIN_SERVICE,
  DOMAIN_SHUTDOWN,
  domain_unpause,
  domain_vcpu,
  DOMAIN_XENSTORE,
  is_pv,
  is_pv32,
  MAX_VCPUS,
} from './domain';
import { ptr_to_mfn } from '../shared/memory';
import { grant_grow } from './grant_table';
import { copy_from_guest, copy_to_guest } from './guest_access';
import {
  context_size,
  descriptor_load,
  descriptor_size,
  descriptor_write,
  next_code,
  next_instance,
  record_next,
  record_save,
  record_size,
} from './hvm_save';
import { hypercall_continue } from './hypercall';
import { log_message } from './log';
import { LOG_CREATED, LOG_DESTROYED } from './log_codes';
import { domain_soft_reset } from './soft_reset';
import { wallclock_publish, time_publish } from './time';
import { vcpu_reset_state } from './vcpu_context';
import { INVALID_MFN, mfn_to_ptr, ptr_to_mfn } from '../shared/memory';
import { hypercall_page_fill } from './hypercall_page';
import { p2m_own_ram } from './p2m';
import { pv_vcpu_init, pv_vcpu_narrow } from './pv/context';
import { m2p_compat_init } from './pv/m2p';
import { vcpu_affinity, vcpu_context_get, vcpu_context_set, vcpu_info_get, vcpu_trigger } from './domctl_vcpu';
import { cpu_of, Vcpu, vcpu_arg, vcpu_domain, VCPU_UP } from './vcpu';
import { xsm_check } from './xsm';

/** The check of an operation that is offered; -1 for one that is not. */
function hook_of(cmd: u32): i32 {
  switch (cmd) {
    case XEN_DOMCTL_createdomain:
      return XSM_domctl__createdomain;
    case XEN_DOMCTL_destroydomain:
      return XSM_domctl__destroydomain;
    case XEN_DOMCTL_pausedomain:
      return XSM_domctl__pausedomain;
    case XEN_DOMCTL_unpausedomain:
      return XSM_domctl__unpausedomain;
    case XEN_DOMCTL_getdomaininfo:
      return XSM_domctl__getdomaininfo;
    case XEN_DOMCTL_max_mem:
      return XSM_domctl__max_mem;
    case XEN_DOMCTL_max_vcpus:
      return XSM_domctl__max_vcpus;
    case XEN_DOMCTL_setdomainhandle:
      return XSM_domctl__setdomainhandle;
    case XEN_DOMCTL_gethvmcontext:
      return XSM_domctl__gethvmcontext;
    case XEN_DOMCTL_gethvmcontext_partial:
      return XSM_domctl__gethvmcontext_partial;
    case XEN_DOMCTL_sethvmcontext:
      return XSM_domctl__sethvmcontext;
    case XEN_DOMCTL_set_target:
      return XSM_domctl__set_target;
    case XEN_DOMCTL_soft_reset:
      return XSM_domctl__soft_reset;
    case XEN_DOMCTL_getvcpuinfo:
      return XSM_domctl__getvcpuinfo;
    case XEN_DOMCTL_sendtrigger:
      return XSM_domctl__sendtrigger;
    case XEN_DOMCTL_getvcpuaffinity:
      return XSM_domctl__getvcpuaffinity;
    case XEN_DOMCTL_setvcpuaffinity:
      return XSM_domctl__setvcpuaffinity;
    case XEN_DOMCTL_getvcpucontext:
      return XSM_domctl__getvcpucontext;
    case XEN_DOMCTL_setvcpucontext:
      return XSM_domctl__setvcpucontext;
    case XEN_DOMCTL_hypercall_init:
      return XSM_domctl__hypercall_init;
    case XEN_DOMCTL_set_address_size:
      return XSM_domctl__set_address_size;
    case XEN_DOMCTL_get_address_size:
      return XSM_domctl__get_address_size;
    default:
      return -1;
  }
}

export function do_domctl(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_domctl)) return -EFAULT;
  if (load<u32>(a, xen_domctl__interface_version) != XEN_DOMCTL_INTERFACE_VERSION) return -EACCES;
  const cmd = load<u32>(a, xen_domctl__cmd);
  const hook = hook_of(cmd);
  // An operation that does not exist here says so to the control domain only.
  if (hook < 0) return xsm_check(XSM_domctl__createdomain, d, null) ? -EPERM : -ENOSYS;
  const u = a + xen_domctl__u;
  let t: Domain | null = null;
  if (cmd != XEN_DOMCTL_createdomain) {
    t = domain_find(load<u16>(a, xen_domctl__domain));
    if (t == null) return -ESRCH;
  }
  let rc: i64 = xsm_check(hook, d, t);
  if (rc) return rc;
  rc = cmd == XEN_DOMCTL_createdomain ? create(a, u) : run(v, changetype<Domain>(t), cmd, u, arg);
  if (rc || v.restart) return rc;
  return copy_to_guest(v, arg, a, sizeof_xen_domctl) ? 0 : -EFAULT;
}

function create(a: usize, u: usize): i64 {
  const flags = load<u32>(u, xen_domctl_createdomain__flags);
  if (flags & ~(XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_xs_domain)) return -EINVAL;
  // Only a translated guest has what HAP is about.
  const hvm = (flags & XEN_DOMCTL_CDF_hvm) != 0;
  if (!hvm && flags & XEN_DOMCTL_CDF_hap) return -EINVAL;
  let kind: u32 = hvm ? DOMAIN_HVM : 0;
  if (flags & XEN_DOMCTL_CDF_hap) kind |= DOMAIN_HAP;
  if (flags & XEN_DOMCTL_CDF_xs_domain) kind |= DOMAIN_XENSTORE;
  const rc = domain_create(
    load<u16>(a, xen_domctl__domain),
    kind,
    load<u32>(u, xen_domctl_createdomain__max_vcpus),
    load<u32>(u, xen_domctl_createdomain__max_evtchn_port),
    load<u32>(u, xen_domctl_createdomain__max_grant_frames),
    load<u32>(u, xen_domctl_createdomain__max_maptrack_frames),
  );
  if (rc) return rc;
  const d = changetype<Domain>(created);
  d.label = load<u32>(u, xen_domctl_createdomain__ssidref);
  memory.copy(changetype<usize>(d) + offsetof<Domain>('handle0'), u + xen_domctl_createdomain__handle, 16);
  domain_set_param(d, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_reboot);
  wallclock_publish(d);
  // As in Xen a guest's grant table begins with one frame.
  if (d.max_grant_frames && !grant_grow(d, 1)) {
    while (domain_kill(d)) {}
    return -ENOMEM;
  }
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const e = domain_add_vcpu(d, i);
    if (e) {
      while (domain_kill(d)) {}
      return e;
    }
    const v = changetype<Vcpu>(domain_vcpu(d, i));
    vcpu_reset_state(cpu_of(v));
    if (!hvm && !pv_vcpu_init(v)) {
      while (domain_kill(d)) {}
      return -ENOMEM;
    }
    time_publish(v);
  }
  store<u16>(a, d.domid, xen_domctl__domain);
  log_message(LOG_CREATED, d.domid, d.max_vcpus, d.label);
  return 0;
}

function run(v: Vcpu, t: Domain, cmd: u32, u: usize, arg: u64): i64 {
  switch (cmd) {
    case XEN_DOMCTL_destroydomain:
      if (t.domid == 0) return -EINVAL;
      if (domain_kill(t)) return hypercall_continue(v, arg, 0, 0);
      log_message(LOG_DESTROYED, load<u16>(u - xen_domctl__u, xen_domctl__domain), 0, 0);
      return 0;
    case XEN_DOMCTL_pausedomain:
      domain_pause(t);
      return 0;
    case XEN_DOMCTL_unpausedomain:
      return domain_unpause(t);
    case XEN_DOMCTL_getdomaininfo:
      domain_info(t, u, vcpu_domain(v));
      return 0;
    case XEN_DOMCTL_max_mem: {
      const pages = load<u64>(u, xen_domctl_max_mem__max_memkb) >> 2;
      domain_set_max_pages(t, pages > 0xfffff ? 0xfffff : <u32>pages);
      return 0;
    }
    case XEN_DOMCTL_max_vcpus: {
      // The vCPUs were made with the domain: the number can only be confirmed.
      const n = load<u32>(u, xen_domctl_max_vcpus__max);
      return n == t.max_vcpus ? 0 : -EINVAL;
    }
    case XEN_DOMCTL_setdomainhandle:
      memory.copy(changetype<usize>(t) + offsetof<Domain>('handle0'), u + xen_domctl_setdomainhandle__handle, 16);
      return 0;
    case XEN_DOMCTL_set_target:
      if (domain_find(load<u16>(u, xen_domctl_set_target__target)) == null) return -ESRCH;
      if (load<u16>(u, xen_domctl_set_target__target) == t.domid) return -EINVAL;
      t.target = load<u16>(u, xen_domctl_set_target__target);
      return 0;
    case XEN_DOMCTL_soft_reset:
      return domain_soft_reset(t);
    case XEN_DOMCTL_getvcpuinfo:
      return vcpu_info_get(v, t, u);
    case XEN_DOMCTL_sendtrigger:
      return vcpu_trigger(t, u);
    case XEN_DOMCTL_getvcpuaffinity:
    case XEN_DOMCTL_setvcpuaffinity:
      return vcpu_affinity(v, t, u, cmd == XEN_DOMCTL_setvcpuaffinity);
    case XEN_DOMCTL_getvcpucontext:
      return vcpu_context_get(v, t, u, arg);
    case XEN_DOMCTL_setvcpucontext:
      return vcpu_context_set(v, t, u, arg);
    case XEN_DOMCTL_hypercall_init:
      return hypercall_init(t, load<u64>(u, xen_domctl_hypercall_init__gmfn));
    case XEN_DOMCTL_set_address_size:
      return set_address_size(t, load<u32>(u, xen_domctl_address_size__size));
    case XEN_DOMCTL_get_address_size:
      store<u32>(u, is_pv32(t) ? 32 : 64, xen_domctl_address_size__size);
      return 0;
    case XEN_DOMCTL_gethvmcontext_partial:
      return get_partial(v, t, u);
    case XEN_DOMCTL_gethvmcontext:
      return get_context(v, t, u);
    default:
      return set_context(v, t, u);
  }
}

/** A PV domain is a 64-bit one; before it gets memory it can become a 32-bit one, which it stays. */
function set_address_size(t: Domain, size: u32): i64 {
  if (!is_pv(t)) return -EINVAL;
  if (size == (is_pv32(t) ? 32 : 64)) return 0;
  if (size != 32) return -EINVAL;
  if (t.tot_pages) return -EACCES;
  if (!m2p_compat_init()) return -ENOMEM;
  t.flags |= DOMAIN_32BIT;
  wallclock_publish(t);
  for (let i: u32 = 0; i < t.max_vcpus; i++) {
    const v = domain_vcpu(t, i);
    if (v == null) continue;
    pv_vcpu_narrow(v);
    time_publish(v);
  }
  return 0;
}

/** Fill the guest's hypercall page: the form for its kind. */
function hypercall_init(t: Domain, gmfn: u64): i64 {
  const mfn = p2m_own_ram(t, gmfn);
  if (mfn == INVALID_MFN) return -EACCES;
  hypercall_page_fill(mfn_to_ptr(mfn), t);
  return 0;
}

/** struct xen_domctl_getdomaininfo. A service runs elsewhere: it has a vCPU, which runs while it asks. */
export function domain_info(t: Domain, u: usize, caller: Domain): void {
  memory.fill(u, 0, sizeof_xen_domctl_getdomaininfo);
  let flags: u32 = 0;
  let online: u32 = 0;
  let time: u64 = 0;
  let blocked = true;
  for (let i: u32 = 0; i < t.max_vcpus; i++) {
    const v = domain_vcpu(t, i);
    if (v == null) continue;
    time += v.time_running;
    if (!(v.flags & VCPU_UP)) continue;
    online++;
    if (!v.blocked) blocked = false;
    if (v.state == RUNSTATE_running) flags |= XEN_DOMINF_running;
  }
  if (t.flags & DOMAIN_SERVICE) {
    online = 1;
    if (t == caller) {
      blocked = false;
      flags |= XEN_DOMINF_running;
    }
  }
  if (blocked) flags |= XEN_DOMINF_blocked;
  if (t.flags & DOMAIN_DYING) flags |= XEN_DOMINF_dying;
  if (t.flags & DOMAIN_HVM) flags |= XEN_DOMINF_hvm_guest;
  if (t.flags & DOMAIN_HAP) flags |= XEN_DOMINF_hap;
  if (t.flags & DOMAIN_XENSTORE) flags |= XEN_DOMINF_xs_domain;
  if (t.pause_count) flags |= XEN_DOMINF_paused;
  if (t.flags & DOMAIN_SHUTDOWN) flags |= XEN_DOMINF_shutdown | (t.shutdown_code << XEN_DOMINF_shutdownshift);
  store<u16>(u, t.domid, xen_domctl_getdomaininfo__domain);
  store<u32>(u, flags, xen_domctl_getdomaininfo__flags);
  store<u64>(u, t.tot_pages, xen_domctl_getdomaininfo__tot_pages);
  store<u64>(u, t.max_pages, xen_domctl_getdomaininfo__max_pages);
  const info = is_pv(t) ? <u64>ptr_to_mfn(t.shared_info) : t.shared_info_gfn;
  store<u64>(u, info, xen_domctl_getdomaininfo__shared_info_frame);
  store<u64>(u, time, xen_domctl_getdomaininfo__cpu_time);
  store<u32>(u, online, xen_domctl_getdomaininfo__nr_online_vcpus);
  store<u32>(u, t.max_vcpus - 1, xen_domctl_getdomaininfo__max_vcpu_id);
  store<u32>(u, t.label, xen_domctl_getdomaininfo__ssidref);
  memory.copy(u + xen_domctl_getdomaininfo__handle, changetype<usize>(t) + offsetof<Domain>('handle0'), 16);
  store<u8>(u, 42, xen_domctl_getdomaininfo__gpaddr_bits);
}

// Records pass through the second half of the argument area; the domctl itself is in the first.
const RECORD_AT: usize = 256;

/** One record's body. */
function get_partial(v: Vcpu, t: Domain, u: usize): i64 {
  const code = load<u32>(u, xen_domctl_hvmcontext_partial__type);
  const size = record_size(code);
  if (!size) return -EINVAL;
  const p = vcpu_arg(v) + RECORD_AT;
  const rc = record_save(t, code, load<u32>(u, xen_domctl_hvmcontext_partial__instance), p);
  if (rc) return rc;
  const buffer = load<u64>(u, xen_domctl_hvmcontext_partial__buffer);
  if (buffer) {
    if (load<u64>(u, xen_domctl_hvmcontext_partial__bufsz) < size) return -ENOSPC;
    if (!copy_to_guest(v, buffer, p, size)) return -EFAULT;
  }
  store<u64>(u, size, xen_domctl_hvmcontext_partial__bufsz);
  return 0;
}

function get_context(v: Vcpu, t: Domain, u: usize): i64 {
  const size = context_size(t);
  const buffer = load<u64>(u, xen_domctl_hvmcontext__buffer);
  if (!buffer) {
    store<u32>(u, size, xen_domctl_hvmcontext__size);
    return 0;
  }
  if (load<u32>(u, xen_domctl_hvmcontext__size) < size) return -ENOSPC;
  const p = vcpu_arg(v) + RECORD_AT;
  let at: u64 = 0;
  let code: u32 = HVM_SAVE_CODE_HEADER;
  let instance: u32 = 0;
  for (;;) {
    descriptor_write(p, code, instance);
    if (code != HVM_SAVE_CODE_END) record_save(t, code, instance, p + sizeof_hvm_save_descriptor);
    const n = record_size(code) + sizeof_hvm_save_descriptor;
    if (!copy_to_guest(v, buffer + at, p, n)) return -EFAULT;
    at += n;
    if (!record_next(t, code, instance)) break;
    code = next_code;
    instance = next_instance;
  }
  store<u32>(u, <u32>at, xen_domctl_hvmcontext__size);
  return 0;
}

/** Load a stream that begins with a header. The domain is paused meanwhile. */
function set_context(v: Vcpu, t: Domain, u: usize): i64 {
  const size = load<u32>(u, xen_domctl_hvmcontext__size);
  const buffer = load<u64>(u, xen_domctl_hvmcontext__buffer);
  if (!t.pause_count) return -EINVAL;
  const p = vcpu_arg(v) + RECORD_AT;
  let first = true;
  for (let at: u32 = 0; at < size; ) {
    if (size - at < <u32>sizeof_hvm_save_descriptor) return -ENODATA;
    if (!copy_from_guest(v, p, buffer + at, sizeof_hvm_save_descriptor)) return -EFAULT;
    at += sizeof_hvm_save_descriptor;
    const code = load<u16>(p);
    if (first && code != <u16>HVM_SAVE_CODE_HEADER) return -EINVAL;
    first = false;
    const n = descriptor_size(p);
    if (n < 0) return n;
    if (code == <u16>HVM_SAVE_CODE_END) return 0;
    if (size - at < <u32>n) return -ENODATA;
    if (!copy_from_guest(v, p + sizeof_hvm_save_descriptor, buffer + at, n)) return -EFAULT;
    at += n;
    const rc = descriptor_load(t, p);
    if (rc) return rc;
  }
  return -ENODATA;
}
