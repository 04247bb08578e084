// Where the hypervisor enters a PV guest's kernel: its trap table and its callbacks (public/xen.h, public/callback.h, public/nmi.h).
import {
  callback_register__address,
  callback_register__flags,
  callback_register__type,
  CALLBACKF_mask_events,
  CALLBACKOP_register,
  CALLBACKOP_unregister,
  CALLBACKTYPE_event,
  CALLBACKTYPE_failsafe,
  CALLBACKTYPE_nmi,
  CALLBACKTYPE_syscall,
  CALLBACKTYPE_syscall32,
  CALLBACKTYPE_sysenter,
  EFAULT,
  EINVAL,
  ENOSYS,
  sizeof_callback_register,
  sizeof_callback_unregister,
  sizeof_trap_info,
  trap_info__address,
  trap_info__cs,
  trap_info__vector,
  XENNMI_register_callback,
  XENNMI_unregister_callback,
} from '../../gen/abi';
import {
  compat_callback_register__address,
  sizeof_compat_callback_register,
  sizeof_compat_trap_info,
} from '../../gen/compat_pv';
import { FLAT_CS64 } from '../../arch/x86/pv/bounce';
import { FLAT_RING1_CS, ring_fixed } from '../../arch/x86/pv/bounce32';
import { EXC_NMI } from '../../arch/x86/exceptions';
import { canonical } from '../../arch/x86/limits';
import { cpu_pv32, PV_32BIT, pv_of, pv_trap, TRAP_FLAGS, TRAP_MASKS, TRAP_SIZE } from '../../arch/x86/pv/state';
import { Domain } from '../domain';
import { copy_from_guest, get_long, guest_word } from '../guest_access';
import { hypercall_continue } from '../hypercall';
import { cpu_of, Vcpu, vcpu_arg } from '../vcpu';
import { trap32 } from './context32';

/** Entries of a trap table that are taken at a time. */
const BATCH: i32 = 256;

export function do_set_trap_table(d: Domain, v: Vcpu, traps: u64): i64 {
  const cpu = cpu_of(v);
  if (!traps) {
    memory.fill(pv_trap(cpu, 0), 0, 256 * TRAP_SIZE);
    return 0;
  }
  const a = vcpu_arg(v);
  const narrow = cpu_pv32(cpu);
  const size: u32 = narrow ? sizeof_compat_trap_info : sizeof_trap_info;
  for (let i = 0; i < BATCH; i++, traps += size) {
    if (!copy_from_guest(v, a, traps, size)) return -EFAULT;
    if (narrow) trap32(a, a);
    const address = load<u64>(a, trap_info__address);
    if (!address) return 0;
    if (!canonical(address)) return -EINVAL;
    if (!narrow) store<u16>(a, load<u16>(a, trap_info__cs) | 3, trap_info__cs);
    memory.copy(pv_trap(cpu, load<u8>(a, trap_info__vector)), a, sizeof_trap_info);
  }
  return hypercall_continue(v, traps, 0, 0);
}

function register_nmi(v: Vcpu, address: u64): i64 {
  if (!canonical(address)) return -EINVAL;
  const t = pv_trap(cpu_of(v), EXC_NMI);
  store<u8>(t, <u8>EXC_NMI, trap_info__vector);
  store<u8>(t, <u8>TRAP_MASKS, TRAP_FLAGS);
  store<u16>(t, <u16>(cpu_pv32(cpu_of(v)) ? FLAT_RING1_CS : FLAT_CS64), trap_info__cs);
  store<u64>(t, address, trap_info__address);
  return 0;
}

function unregister_nmi(v: Vcpu): i64 {
  memory.fill(pv_trap(cpu_of(v), EXC_NMI), 0, TRAP_SIZE);
  return 0;
}

function register(v: Vcpu, type: u32, flags: u32, selector: u32, address: u64): i64 {
  if (!canonical(address)) return -EINVAL;
  const pv = pv_of(cpu_of(v));
  const cs = <u16>ring_fixed(selector);
  switch (type) {
    case CALLBACKTYPE_event:
      pv.event = address; // it always masks events
      pv.event_cs = cs;
      return 0;
    case CALLBACKTYPE_failsafe:
      pv.failsafe = address;
      pv.failsafe_cs = cs;
      break;
    case CALLBACKTYPE_syscall:
      if (pv.flags & PV_32BIT) return -ENOSYS;
      pv.syscall = address;
      break;
    case CALLBACKTYPE_syscall32:
      pv.syscall32 = address;
      pv.syscall32_cs = cs;
      break;
    case CALLBACKTYPE_sysenter:
      pv.sysenter = address;
      pv.sysenter_cs = cs;
      break;
    case CALLBACKTYPE_nmi:
      return register_nmi(v, address);
    default:
      return -ENOSYS;
  }
  const bit: u32 = 1 << type;
  pv.callback_masks = flags & CALLBACKF_mask_events ? pv.callback_masks | bit : pv.callback_masks & ~bit;
  return 0;
}

/** What has been registered can be replaced; only the NMI's can be taken back. */
function unregister(v: Vcpu, type: u32): i64 {
  switch (type) {
    case CALLBACKTYPE_nmi:
      return unregister_nmi(v);
    case CALLBACKTYPE_event:
    case CALLBACKTYPE_failsafe:
    case CALLBACKTYPE_syscall32:
    case CALLBACKTYPE_sysenter:
      return -EINVAL;
    case CALLBACKTYPE_syscall:
      return cpu_pv32(cpu_of(v)) ? -ENOSYS : -EINVAL;
    default:
      return -ENOSYS;
  }
}

export function do_callback_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (cmd == CALLBACKOP_register) {
    const narrow = cpu_pv32(cpu_of(v));
    if (!copy_from_guest(v, a, arg, narrow ? sizeof_compat_callback_register : sizeof_callback_register))
      return -EFAULT;
    const type = load<u16>(a, callback_register__type);
    const flags = load<u16>(a, callback_register__flags);
    if (!narrow) return register(v, type, flags, 0, load<u64>(a, callback_register__address));
    const at = a + <usize>compat_callback_register__address; // struct xen_callback: cs, eip
    return register(v, type, flags, load<u32>(at), load<u32>(at, 4));
  }
  if (cmd != CALLBACKOP_unregister) return -ENOSYS;
  return copy_from_guest(v, a, arg, sizeof_callback_unregister) ? unregister(v, load<u16>(a)) : -EFAULT;
}

/** The older form of it; an address that cannot be one is passed over, as in Xen. A 32-bit guest's have the selectors before them. */
export function do_set_callbacks(d: Domain, v: Vcpu, event: u64, failsafe: u64, syscall: u64, last: u64): i64 {
  if (cpu_pv32(cpu_of(v))) {
    register(v, CALLBACKTYPE_event, 0, <u32>event, failsafe);
    register(v, CALLBACKTYPE_failsafe, 0, <u32>syscall, last);
    return 0;
  }
  register(v, CALLBACKTYPE_event, 0, 0, event);
  register(v, CALLBACKTYPE_failsafe, 0, 0, failsafe);
  register(v, CALLBACKTYPE_syscall, 0, 0, syscall);
  return 0;
}

/** struct xennmi_callback: handler_address, and a pad. */
export function do_nmi_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  if (cmd == XENNMI_unregister_callback) return unregister_nmi(v);
  if (cmd != XENNMI_register_callback) return -ENOSYS;
  return get_long(v, arg, 0) ? register_nmi(v, guest_word) : -EFAULT;
}
