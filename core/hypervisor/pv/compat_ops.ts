// The forms that some hypercalls had before Xen 3.0.2, and physdev_op, of which a domain without devices has its I/O privilege only
// (public/xen-compat.h, public/physdev.h, public/event_channel.h, public/sched.h).
import {
  EFAULT,
  EINVAL,
  ENOSYS,
  PHYSDEVOP_set_iobitmap,
  PHYSDEVOP_set_iopl,
  SCHEDOP_block,
  SCHEDOP_shutdown,
  SCHEDOP_yield,
} from '../../gen/abi';
import { gate_event_channel_op, gate_physdev_op } from '../../gen/hypercalls';
import { guest_address } from '../../arch/x86/pv/emulate';
import { pv_of } from '../../arch/x86/pv/state';
import { Domain, domain_shutdown } from '../domain';
import { do_event_channel_op } from '../event_op';
import { copy_from_guest, get_guest, guest_word } from '../guest_access';
import { do_sched_op } from '../sched_op';
import { cpu_of, Vcpu, vcpu_arg } from '../vcpu';

const IOBITMAP_MAX: u32 = 65536;

export function do_physdev_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  const pv = pv_of(cpu_of(v));
  if (cmd == PHYSDEVOP_set_iopl) {
    if (!get_guest<u32>(v, arg)) return -EFAULT;
    const iopl = <u32>guest_word;
    if (iopl > 3) return -EINVAL;
    pv.iopl = iopl;
    return 0;
  }
  if (cmd != PHYSDEVOP_set_iobitmap) return -ENOSYS;
  // struct physdev_set_iobitmap: a pointer and the number of ports
  const a = vcpu_arg(v);
  const wide = !v.compat;
  if (!copy_from_guest(v, a, arg, wide ? 16 : 8)) return -EFAULT;
  const bitmap = wide ? load<u64>(a) : <u64>load<u32>(a);
  const ports = wide ? load<u32>(a, 8) : load<u32>(a, 4);
  if (ports > IOBITMAP_MAX || (ports && !guest_address(cpu_of(v), bitmap))) return -EINVAL;
  pv.io_bitmap = bitmap;
  pv.io_limit = ports;
  return 0;
}

/** struct physdev_op: the command, and at 8 (where longs have 32 bits: 4) what the new form takes. */
export function do_physdev_op_compat(d: Domain, v: Vcpu, op: u64): i64 {
  if (!get_guest<u32>(v, op)) return -EFAULT;
  const cmd = <u32>guest_word;
  const rc = gate_physdev_op(d, cmd);
  return rc ? rc : do_physdev_op(d, v, cmd, op + (v.compat ? 4 : 8));
}

/** The operations that struct evtchn_op had: up to unmask. */
const EVTCHNOP_LAST: u32 = 9;

export function do_event_channel_op_compat(d: Domain, v: Vcpu, op: u64): i64 {
  if (!get_guest<u32>(v, op)) return -EFAULT;
  const cmd = <u32>guest_word;
  if (cmd > EVTCHNOP_LAST) return -ENOSYS;
  const rc = gate_event_channel_op(d, cmd);
  return rc ? rc : do_event_channel_op(d, v, cmd, op + 4);
}

/** SCHEDOP_shutdown's reason was an argument itself. */
export function do_sched_op_compat(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  if (cmd == SCHEDOP_yield || cmd == SCHEDOP_block) return do_sched_op(d, v, cmd, arg);
  if (cmd != SCHEDOP_shutdown) return -ENOSYS;
  domain_shutdown(d, (<u32>arg) & 0xff);
  return 0;
}
