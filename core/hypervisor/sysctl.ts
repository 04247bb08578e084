// XEN_SYSCTL_*: what of the host's control interface exists.
import {
  EACCES,
  EFAULT,
  ENOSYS,
  sizeof_xen_domctl_getdomaininfo,
  sizeof_xen_sysctl,
  sizeof_xen_sysctl_physinfo,
  XEN_SYSCTL_availheap,
  XEN_SYSCTL_debug_keys,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_INTERFACE_VERSION,
  XEN_SYSCTL_PHYSCAP_gnttab_v1,
  XEN_SYSCTL_PHYSCAP_gnttab_v2,
  XEN_SYSCTL_PHYSCAP_hap,
  XEN_SYSCTL_PHYSCAP_hvm,
  XEN_SYSCTL_PHYSCAP_pv,
  XEN_SYSCTL_physinfo,
  XEN_SYSCTL_readconsole,
  XEN_SYSCTL_sched_id,
  xen_sysctl__cmd,
  xen_sysctl__interface_version,
  xen_sysctl__u,
  xen_sysctl_availheap__avail_bytes,
  xen_sysctl_debug_keys__keys,
  xen_sysctl_debug_keys__nr_keys,
  xen_sysctl_getdomaininfolist__buffer,
  xen_sysctl_getdomaininfolist__first_domain,
  xen_sysctl_getdomaininfolist__max_domains,
  xen_sysctl_getdomaininfolist__num_domains,
  xen_sysctl_physinfo__capabilities,
  xen_sysctl_physinfo__cores_per_socket,
  xen_sysctl_physinfo__cpu_khz,
  xen_sysctl_physinfo__free_pages,
  xen_sysctl_physinfo__hw_cap,
  xen_sysctl_physinfo__max_cpu_id,
  xen_sysctl_physinfo__max_mfn,
  xen_sysctl_physinfo__nr_cpus,
  xen_sysctl_physinfo__nr_nodes,
  xen_sysctl_physinfo__threads_per_core,
  xen_sysctl_physinfo__total_pages,
  xen_sysctl_readconsole__buffer,
  xen_sysctl_readconsole__clear,
  xen_sysctl_readconsole__count,
  xen_sysctl_readconsole__incremental,
  xen_sysctl_readconsole__index,
  xen_sysctl_sched_id__sched_id,
} from '../gen/abi';
import { cpuid_leaf } from '../gen/cpuid';
import {
  XSM_sysctl__availheap,
  XSM_sysctl__debug_keys,
  XSM_sysctl__getdomaininfolist,
  XSM_sysctl__physinfo,
  XSM_sysctl__readconsole,
  XSM_sysctl__sched_id,
} from '../gen/xsm';
import { Cpu } from '../arch/x86/cpu';
import { frames_free } from '../shared/frame_alloc';
import { host } from '../shared/host';
import { console_clear, console_index, console_read } from './console_ring';
import { debug_key } from './debug_keys';
import { Domain, domain_first, domain_next } from './domain';
import { domain_info } from './domctl';
import { copy_from_guest, copy_to_guest } from './guest_access';
import { cpu_of, Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

/** Of the scheduler: none of Xen's, whose numbers begin at 4. */
export const SCHEDULER_OWN: u32 = 0;
const CPU_KHZ: u32 = 1000000;

/** The check of an operation that is offered; -1 for one that is not. */
function hook_of(cmd: u32): i32 {
  switch (cmd) {
    case XEN_SYSCTL_readconsole:
      return XSM_sysctl__readconsole;
    case XEN_SYSCTL_physinfo:
      return XSM_sysctl__physinfo;
    case XEN_SYSCTL_sched_id:
      return XSM_sysctl__sched_id;
    case XEN_SYSCTL_getdomaininfolist:
      return XSM_sysctl__getdomaininfolist;
    case XEN_SYSCTL_debug_keys:
      return XSM_sysctl__debug_keys;
    case XEN_SYSCTL_availheap:
      return XSM_sysctl__availheap;
    default:
      return -1;
  }
}

export function do_sysctl(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_sysctl)) return -EFAULT;
  if (load<u32>(a, xen_sysctl__interface_version) != XEN_SYSCTL_INTERFACE_VERSION) return -EACCES;
  const cmd = load<u32>(a, xen_sysctl__cmd);
  const hook = hook_of(cmd);
  // An operation that does not exist here says so to the control domain only.
  let rc: i64 = xsm_check(hook < 0 ? XSM_sysctl__availheap : hook, d, null);
  if (rc) return rc;
  if (hook < 0) return -ENOSYS;
  rc = run(d, v, cmd, a + xen_sysctl__u);
  if (rc) return rc;
  return copy_to_guest(v, arg, a, sizeof_xen_sysctl) ? 0 : -EFAULT;
}

function run(d: Domain, v: Vcpu, cmd: u32, u: usize): i64 {
  switch (cmd) {
    case XEN_SYSCTL_readconsole:
      return read_console(v, u) ? 0 : -EFAULT;
    case XEN_SYSCTL_physinfo:
      physical_info(cpu_of(v), u);
      return 0;
    case XEN_SYSCTL_sched_id:
      store<u32>(u, SCHEDULER_OWN, xen_sysctl_sched_id__sched_id);
      return 0;
    case XEN_SYSCTL_getdomaininfolist:
      return list_domains(d, v, u) ? 0 : -EFAULT;
    case XEN_SYSCTL_debug_keys:
      return debug_keys(v, u) ? 0 : -EFAULT;
    default:
      store<u64>(u, (<u64>frames_free()) << 12, xen_sysctl_availheap__avail_bytes);
      return 0;
  }
}

/** Behind the operation's own structure. */
const BUFFER_AT: usize = 512;
const BUFFER: u32 = 1008;

function read_console(v: Vcpu, u: usize): bool {
  const room = load<u32>(u, xen_sysctl_readconsole__count);
  const to = load<u64>(u, xen_sysctl_readconsole__buffer);
  const p = vcpu_arg(v) + BUFFER_AT;
  let incremental = load<u8>(u, xen_sysctl_readconsole__incremental) != 0;
  let index = load<u32>(u, xen_sysctl_readconsole__index);
  let done: u32 = 0;
  while (done < room) {
    const n = console_read(index, incremental, p, room - done < BUFFER ? room - done : BUFFER);
    if (n && !copy_to_guest(v, to + done, p, n)) return false;
    index = console_index;
    incremental = true;
    done += n;
    if (n == 0) break;
  }
  if (load<u8>(u, xen_sysctl_readconsole__clear)) console_clear(index);
  store<u32>(u, done, xen_sysctl_readconsole__count);
  store<u32>(u, index, xen_sysctl_readconsole__index);
  return true;
}

/** Keys at once, as many as Xen takes. */
const KEYS: u32 = 32;

function debug_keys(v: Vcpu, u: usize): bool {
  const n = load<u32>(u, xen_sysctl_debug_keys__nr_keys);
  const from = load<u64>(u, xen_sysctl_debug_keys__keys);
  const p = vcpu_arg(v) + BUFFER_AT;
  for (let i: u32 = 0; i < n && i < KEYS; i++) {
    if (!copy_from_guest(v, p, from + i, 1)) return false;
    debug_key(load<u8>(p));
  }
  return true;
}

/** The words of Xen's feature set (cpufeatureset.h): what the domains' CPU has is what the host has. */
function capabilities(cpu: Cpu, to: usize, leaf: u32, subleaf: u32, from: usize, word: usize): void {
  const p = to + 64;
  cpuid_leaf(cpu, leaf, subleaf, p);
  store<u32>(to + (word << 2), load<u32>(p + from));
}

function physical_info(cpu: Cpu, u: usize): void {
  const h = host();
  const pcpus = h.pcpu_count;
  memory.fill(u, 0, sizeof_xen_sysctl_physinfo);
  store<u32>(u, 1, xen_sysctl_physinfo__threads_per_core);
  store<u32>(u, pcpus, xen_sysctl_physinfo__cores_per_socket);
  store<u32>(u, pcpus, xen_sysctl_physinfo__nr_cpus);
  store<u32>(u, pcpus - 1, xen_sysctl_physinfo__max_cpu_id);
  store<u32>(u, 1, xen_sysctl_physinfo__nr_nodes);
  store<u32>(u, CPU_KHZ, xen_sysctl_physinfo__cpu_khz);
  store<u32>(
    u,
    XEN_SYSCTL_PHYSCAP_pv |
      XEN_SYSCTL_PHYSCAP_hvm |
      XEN_SYSCTL_PHYSCAP_hap |
      XEN_SYSCTL_PHYSCAP_gnttab_v1 |
      XEN_SYSCTL_PHYSCAP_gnttab_v2,
    xen_sysctl_physinfo__capabilities,
  );
  store<u64>(u, h.memory_frames - h.first_frame, xen_sysctl_physinfo__total_pages);
  store<u64>(u, frames_free(), xen_sysctl_physinfo__free_pages);
  store<u64>(u, h.memory_frames - 1, xen_sysctl_physinfo__max_mfn);
  const caps = u + xen_sysctl_physinfo__hw_cap;
  const EDX: usize = 12;
  const ECX: usize = 8;
  const EBX: usize = 4;
  capabilities(cpu, caps, 1, 0, EDX, 0);
  capabilities(cpu, caps, 1, 0, ECX, 1);
  capabilities(cpu, caps, 0x80000001, 0, EDX, 2);
  capabilities(cpu, caps, 0x80000001, 0, ECX, 3);
  capabilities(cpu, caps, 0xd, 1, 0, 4);
  capabilities(cpu, caps, 7, 0, EBX, 5);
  capabilities(cpu, caps, 7, 0, ECX, 6);
  capabilities(cpu, caps, 0x80000007, 0, EDX, 7);
  memory.fill(caps + 64, 0, 16);
}

/** In the order of their numbers, from first_domain on. */
function list_domains(d: Domain, v: Vcpu, u: usize): bool {
  const max = load<u32>(u, xen_sysctl_getdomaininfolist__max_domains);
  const buffer = load<u64>(u, xen_sysctl_getdomaininfolist__buffer);
  let from: i32 = load<u16>(u, xen_sysctl_getdomaininfolist__first_domain);
  const p = vcpu_arg(v) + BUFFER_AT;
  let n: u32 = 0;
  while (n < max) {
    const t = first_from(from);
    if (t == null) break;
    domain_info(t, p, d);
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
