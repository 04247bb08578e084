// XENVER_*, VMASST_*: who we say we are. Texts are written by the platform into the host's text area (version_text.ts).
import {
  EFAULT,
  EINVAL,
  ENODATA,
  ENOSYS,
  sizeof_xen_compile_info,
  sizeof_xen_feature_info,
  VMASST_CMD_disable,
  VMASST_CMD_enable,
  VMASST_TYPE_m2p_strict,
  VMASST_TYPE_pae_extended_cr3,
  VMASST_TYPE_runstate_update_flag,
  XEN_CAPABILITIES_INFO_LEN,
  XEN_CHANGESET_INFO_LEN,
  XEN_EXTRAVERSION_LEN,
  xen_feature_info__submap,
  xen_feature_info__submap_idx,
  XENFEAT_auto_translated_physmap,
  XENFEAT_direct_mapped,
  XENFEAT_dom0,
  XENFEAT_gnttab_map_avail_bits,
  XENFEAT_highmem_assist,
  XENFEAT_hvm_callback_vector,
  XENFEAT_hvm_safe_pvclock,
  XENFEAT_memory_op_vnode_supported,
  XENFEAT_mmu_pt_update_preserve_ad,
  XENFEAT_not_direct_mapped,
  XENFEAT_pae_pgdir_above_4gb,
  XENFEAT_writable_page_tables,
  XENVER_capabilities,
  XENVER_changeset,
  XENVER_commandline,
  XENVER_compile_info,
  XENVER_extraversion,
  XENVER_get_features,
  XENVER_guest_handle,
  XENVER_pagesize,
  XENVER_platform_parameters,
  XENVER_version,
} from '../gen/abi';
import { XSM_xen_version__commandline } from '../gen/xsm';
import { xsm_check } from './xsm';
import { HOST_TEXT } from '../shared/host';
import { PAGE_SIZE } from '../shared/memory';
import { HYPERVISOR_COMPAT_START, HYPERVISOR_START } from '../arch/x86/pv/emulate';
import { PV_M2P_STRICT } from '../arch/x86/pv/state';
import { host_raise_flush } from '../shared/host';
import { Domain, domain_kick, is_privileged, is_pv, is_pv32 } from './domain';
import { pv_assists } from './pv/context';
import { copy_from_guest, copy_to_guest, put_long } from './guest_access';
import { Vcpu, vcpu_arg } from './vcpu';

export const XEN_MAJOR: u32 = 4;
export const XEN_MINOR: u32 = 17;

/** Places in the text area. */
export const TEXT_EXTRAVERSION: usize = 0;
export const TEXT_COMPILE_INFO: usize = 16;
export const TEXT_CHANGESET: usize = 160;
export const TEXT_CAPABILITIES: usize = 224;
export const TEXT_COMMANDLINE: usize = 1248;
const COMMANDLINE_LEN: u32 = 1024;

function text(v: Vcpu, arg: u64, at: usize, len: u32): i64 {
  return copy_to_guest(v, arg, HOST_TEXT + at, len) ? 0 : -EFAULT;
}

/** "<denied>" in a zeroed text. */
function denied(v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  memory.fill(a, 0, COMMANDLINE_LEN);
  store<u64>(a, 0x3e6465696e65643c);
  return copy_to_guest(v, arg, a, COMMANDLINE_LEN) ? 0 : -EFAULT;
}

/** XENFEAT_* by kind of guest. */
function features(d: Domain): u32 {
  let f: u32 = 1 << XENFEAT_memory_op_vnode_supported;
  if (is_pv(d)) {
    f |=
      (1 << XENFEAT_mmu_pt_update_preserve_ad) |
      (1 << XENFEAT_highmem_assist) |
      (1 << XENFEAT_gnttab_map_avail_bits) |
      (1 << XENFEAT_direct_mapped);
    if (d.vm_assist & (1 << VMASST_TYPE_pae_extended_cr3)) f |= 1 << XENFEAT_pae_pgdir_above_4gb;
  } else
    f |=
      (1 << XENFEAT_writable_page_tables) |
      (1 << XENFEAT_auto_translated_physmap) |
      (1 << XENFEAT_hvm_callback_vector) |
      (1 << XENFEAT_hvm_safe_pvclock) |
      (1 << XENFEAT_not_direct_mapped);
  if (is_privileged(d)) f |= 1 << XENFEAT_dom0;
  return f;
}

export function do_xen_version(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  switch (cmd) {
    case XENVER_version:
      return (XEN_MAJOR << 16) | XEN_MINOR;
    case XENVER_extraversion:
      return text(v, arg, TEXT_EXTRAVERSION, XEN_EXTRAVERSION_LEN);
    case XENVER_compile_info:
      return text(v, arg, TEXT_COMPILE_INFO, sizeof_xen_compile_info);
    case XENVER_capabilities:
      return text(v, arg, TEXT_CAPABILITIES, XEN_CAPABILITIES_INFO_LEN);
    case XENVER_changeset:
      return text(v, arg, TEXT_CHANGESET, XEN_CHANGESET_INFO_LEN);
    case XENVER_commandline:
      // Who may not know it is told so in its place.
      if (xsm_check(XSM_xen_version__commandline, d, null)) return denied(v, arg);
      return text(v, arg, TEXT_COMMANDLINE, COMMANDLINE_LEN);
    case XENVER_platform_parameters:
      // Where the hypervisor's own virtual addresses start: a translated guest shares its address space with nobody.
      return put_long(v, arg, 0, is_pv32(d) ? HYPERVISOR_COMPAT_START : is_pv(d) ? HYPERVISOR_START : 0) ? 0 : -EFAULT;
    case XENVER_get_features: {
      const a = vcpu_arg(v);
      if (!copy_from_guest(v, a, arg, sizeof_xen_feature_info)) return -EFAULT;
      if (load<u32>(a, xen_feature_info__submap_idx) != 0) return -EINVAL;
      store<u32>(a, features(d), xen_feature_info__submap);
      return copy_to_guest(v, arg, a, sizeof_xen_feature_info) ? 0 : -EFAULT;
    }
    case XENVER_pagesize:
      return PAGE_SIZE;
    case XENVER_guest_handle:
      return copy_to_guest(v, arg, changetype<usize>(d) + offsetof<Domain>('handle0'), 16) ? 0 : -EFAULT;
    default:
      return -ENOSYS;
  }
}

/** Of the assists a translated guest has one. m2p_strict, whose number is 32, is the last bit of Domain.vm_assist. */
export function do_vm_assist(d: Domain, v: Vcpu, cmd: u32, type: u32): i64 {
  const strict = type == VMASST_TYPE_m2p_strict && !is_pv32(d); // a 32-bit guest's has no such number
  const known = is_pv(d)
    ? type <= <u32>VMASST_TYPE_runstate_update_flag || strict
    : type == VMASST_TYPE_runstate_update_flag;
  if (!known) return -EINVAL;
  const bit: u32 = strict ? PV_M2P_STRICT : 1 << type;
  if (cmd == VMASST_CMD_enable) d.vm_assist |= bit;
  else if (cmd == VMASST_CMD_disable) d.vm_assist &= ~bit;
  else return -ENOSYS;
  if (is_pv(d)) pv_assists(d);
  if (strict) {
    // Programs may see the table no more, or again.
    host_raise_flush();
    domain_kick(d);
  }
  return 0;
}
