// HVMOP_*: parameters, upcall vectors, small questions.
import {
  DOMID_SELF,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  HVM_NR_PARAMS,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_ACPI_S_STATE,
  HVMMEM_mmio_dm,
  HVMMEM_ram_ro,
  HVMMEM_ram_rw,
  HVMOP_flush_tlbs,
  HVMOP_get_mem_type,
  HVMOP_get_param,
  HVMOP_get_time,
  HVMOP_guest_request_vm_event,
  HVMOP_pagetable_dying,
  HVMOP_xentrace,
  sizeof_xen_hvm_xentrace,
  xen_hvm_xentrace__event,
  xen_hvm_xentrace__extra_bytes,
  HVMOP_set_evtchn_upcall_vector,
  HVMOP_set_param,
  HVM_PARAM_TRIPLE_FAULT_REASON,
  HVM_PARAM_X87_FIP_WIDTH,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  sizeof_xen_hvm_evtchn_upcall_vector,
  sizeof_xen_hvm_get_mem_type,
  sizeof_xen_hvm_param,
  xen_hvm_evtchn_upcall_vector__vcpu,
  xen_hvm_evtchn_upcall_vector__vector,
  xen_hvm_get_mem_type__domid,
  xen_hvm_get_mem_type__mem_type,
  xen_hvm_get_mem_type__pfn,
  xen_hvm_param__domid,
  xen_hvm_param__index,
  xen_hvm_param__value,
  SHUTDOWN_MAX,
} from '../gen/abi';
import { XSM_hvm_param } from '../gen/xsm';
import { host_raise_flush } from '../shared/host';
import {
  Domain,
  domain_by_id,
  DOMAIN_HVM,
  domain_param,
  domain_set_param,
  domain_vcpu,
  is_privileged,
  is_pv,
} from './domain';
import { copy_from_guest, copy_to_guest, get_guest, guest_word, put_guest } from './guest_access';
import { p2m_get, P2M_GRANT_RO, P2M_MMIO, P2M_NONE, P2M_RAM_RO, p2m_type } from './p2m';
import { shared_info_latch } from './shared_info';
import { system_time } from './time';
import { vcpu_look } from './sched/core';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

export function do_hvm_op(d: Domain, v: Vcpu, op: u32, arg: u64): i64 {
  switch (op & 0xff) {
    case HVMOP_set_param:
    case HVMOP_get_param:
      return param(d, v, (op & 0xff) == HVMOP_set_param, arg);
    case HVMOP_flush_tlbs:
      if (is_pv(d)) return -EPERM;
      if (arg) return -EINVAL;
      host_raise_flush();
      return 0;
    case HVMOP_get_time:
      return put_guest<u64>(v, arg, system_time()) ? 0 : -EFAULT;
    case HVMOP_pagetable_dying: {
      if (!get_guest<u16>(v, arg)) return -EFAULT;
      return domain_by_id(d, <u32>guest_word) == null ? -ESRCH : -EINVAL;
    }
    case HVMOP_xentrace:
      return xentrace(v, arg);
    case HVMOP_guest_request_vm_event:
      return arg ? -EINVAL : 0; // nobody monitors the domain, so nobody is told
    case HVMOP_get_mem_type:
      return mem_type(d, v, arg);
    case HVMOP_set_evtchn_upcall_vector:
      return upcall_vector(d, v, arg);
    default:
      return -ENOSYS;
  }
}

/** Which parameters the guest itself may write; the rest is the builder's. */
function guest_may_set(i: u32): bool {
  return (
    i == HVM_PARAM_CALLBACK_IRQ ||
    i == HVM_PARAM_VM_GENERATION_ID_ADDR ||
    i == HVM_PARAM_STORE_EVTCHN ||
    i == HVM_PARAM_CONSOLE_EVTCHN ||
    i == HVM_PARAM_X87_FIP_WIDTH ||
    i == HVM_PARAM_STORE_PFN ||
    i == HVM_PARAM_CONSOLE_PFN
  );
}

/** Ring pages and ports of the emulator are not the guest's business. */
function guest_may_get(i: u32): bool {
  return i != HVM_PARAM_IOREQ_SERVER_PFN && i != HVM_PARAM_NR_IOREQ_SERVER_PAGES;
}

/** Written once by whoever builds the domain; a guest may not change them afterwards (-EEXIST). */
function written_once(i: u32): bool {
  return (
    i == HVM_PARAM_STORE_PFN ||
    i == HVM_PARAM_STORE_EVTCHN ||
    i == HVM_PARAM_CONSOLE_PFN ||
    i == HVM_PARAM_CONSOLE_EVTCHN ||
    i == HVM_PARAM_IOREQ_SERVER_PFN ||
    i == HVM_PARAM_NR_IOREQ_SERVER_PAGES
  );
}

function param(d: Domain, v: Vcpu, set: bool, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_hvm_param)) return -EFAULT;
  const i = load<u32>(a, xen_hvm_param__index);
  if (i >= <u32>HVM_NR_PARAMS) return -EINVAL;
  const t = domain_by_id(d, load<u16>(a, xen_hvm_param__domid));
  if (t == null) return -ESRCH;
  if (!(t.flags & DOMAIN_HVM)) return -EINVAL;
  const rc = xsm_check(XSM_hvm_param, d, t);
  if (rc) return rc;
  if (!set) {
    if (d == t && !guest_may_get(i)) return -EPERM;
    store<u64>(a, domain_param(t, i), xen_hvm_param__value);
    return copy_to_guest(v, arg, a, sizeof_xen_hvm_param) ? 0 : -EFAULT;
  }
  if (d == t && !guest_may_set(i)) return -EPERM;
  if (d == t && i == HVM_PARAM_CALLBACK_IRQ) shared_info_latch(d, v);
  return set_param(d, t, i, load<u64>(a, xen_hvm_param__value));
}

function set_param(d: Domain, t: Domain, i: u32, value: u64): i64 {
  if (written_once(i)) {
    const now = domain_param(t, i);
    if (now && now != value) return -EEXIST;
  }
  if (i == HVM_PARAM_TRIPLE_FAULT_REASON && value > <u64>SHUTDOWN_MAX) return -EINVAL;
  if (i == HVM_PARAM_X87_FIP_WIDTH && value != 0 && value != 4 && value != 8) return -EINVAL;
  domain_set_param(t, i, value);
  if (i == HVM_PARAM_CALLBACK_IRQ) {
    const v0 = domain_vcpu(t, 0);
    if (v0 != null) vcpu_look(v0);
  }
  return 0;
}

function upcall_vector(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_hvm_evtchn_upcall_vector)) return -EFAULT;
  const vector = <u32>load<u8>(a, xen_hvm_evtchn_upcall_vector__vector);
  if (!(d.flags & DOMAIN_HVM) || vector < 0x10) return -EINVAL;
  const t = domain_vcpu(d, load<u32>(a, xen_hvm_evtchn_upcall_vector__vcpu));
  if (t == null) return -ENOENT;
  t.upcall_vector = vector;
  // What was pending before is raised again, in case it was lost with the old vector.
  if (atomic.load<u8>(<usize>t.info)) {
    t.upcall_raise = 1;
    vcpu_look(t);
  }
  return 0;
}

/** A trace record of the guest's: checked, and then lost, as in Xen while no trace buffer is on. */
function xentrace(v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_hvm_xentrace)) return -EFAULT;
  const event = load<u16>(a, xen_hvm_xentrace__event);
  const extra = load<u16>(a, xen_hvm_xentrace__extra_bytes);
  return event >= 0x1000 || extra > XENTRACE_EXTRA ? -EINVAL : 0;
}
const XENTRACE_EXTRA: u16 = 28;

function mem_type(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_xen_hvm_get_mem_type)) return -EFAULT;
  const t = domain_by_id(d, load<u16>(a, xen_hvm_get_mem_type__domid));
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_hvm_param, d, t);
  if (rc) return rc;
  if (!(t.flags & DOMAIN_HVM)) return -EINVAL;
  const type = p2m_type(p2m_get(t, load<u64>(a, xen_hvm_get_mem_type__pfn)));
  let answer = HVMMEM_ram_rw;
  if (type == P2M_NONE || type == P2M_MMIO) answer = HVMMEM_mmio_dm;
  else if (type == P2M_RAM_RO || type == P2M_GRANT_RO) answer = HVMMEM_ram_ro;
  store<u16>(a, <u16>answer, xen_hvm_get_mem_type__mem_type);
  return copy_to_guest(v, arg, a, sizeof_xen_hvm_get_mem_type) ? 0 : -EFAULT;
}
