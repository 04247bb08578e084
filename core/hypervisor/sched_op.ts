// SCHEDOP_*.
import {
  EFAULT,
  EINVAL,
  ENOSYS,
  EPERM,
  ESRCH,
  sched_poll__nr_ports,
  sched_poll__ports,
  sched_poll__timeout,
  sched_remote_shutdown__domain_id,
  sched_remote_shutdown__reason,
  SCHEDOP_block,
  SCHEDOP_poll,
  SCHEDOP_remote_shutdown,
  SCHEDOP_shutdown,
  SCHEDOP_shutdown_code,
  SCHEDOP_yield,
  SHUTDOWN_MAX,
  sizeof_sched_remote_shutdown,
  EBUSY,
} from '../gen/abi';
import { get_sched_poll } from '../gen/compat';
import { XSM_schedop_shutdown } from '../gen/xsm';
import { domain_crash, CRASH_GUEST } from './crash';
import { Domain, domain_by_id, domain_shutdown } from './domain';
import { evtchn_get, evtchn_is_pending } from './event_channel';
import { copy_from_guest, get_guest, guest_word } from './guest_access';
import { NEVER, Vcpu, vcpu_arg, VCPU_POLL } from './vcpu';
import { xsm_check } from './xsm';

const POLL_MAX: u32 = 128;

export function do_sched_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  switch (cmd) {
    case SCHEDOP_yield:
      return 0; // the scheduler looks around after every slice anyway; a hypercall ends one
    case SCHEDOP_block:
      atomic.store<u8>(<usize>v.info, 0, 1); // evtchn_upcall_mask
      if (!atomic.load<u8>(<usize>v.info)) v.blocked = 1;
      return 0;
    case SCHEDOP_shutdown:
    case SCHEDOP_shutdown_code: {
      if (!get_guest<u32>(v, arg)) return -EFAULT;
      const code = <u32>guest_word;
      if (code > <u32>SHUTDOWN_MAX) return -EINVAL;
      if (cmd == SCHEDOP_shutdown_code) {
        d.shutdown_code = code;
        return 0;
      }
      if (code == SHUTDOWN_crash) domain_crash(d, v, CRASH_GUEST, 0);
      else domain_shutdown(d, code);
      return 0;
    }
    case SCHEDOP_poll:
      return poll(d, v, arg);
    case SCHEDOP_remote_shutdown: {
      const a = vcpu_arg(v);
      if (!copy_from_guest(v, a, arg, sizeof_sched_remote_shutdown)) return -EFAULT;
      const t = domain_by_id(d, load<u16>(a, sched_remote_shutdown__domain_id));
      if (t == null) return -ESRCH;
      const rc = xsm_check(XSM_schedop_shutdown, d, t);
      if (rc == 0) domain_shutdown(t, load<u32>(a, sched_remote_shutdown__reason) & 0xff);
      return rc;
    }
    default:
      return -ENOSYS;
  }
}
import { SHUTDOWN_crash } from '../gen/abi';

/** Block until one of the ports is pending or the time comes. */
function poll(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_sched_poll(v, a, arg)) return -EFAULT;
  const n = load<u32>(a, sched_poll__nr_ports);
  const ports = load<u64>(a, sched_poll__ports);
  const timeout = load<u64>(a, sched_poll__timeout);
  if (n > POLL_MAX) return -EINVAL;
  const list = changetype<usize>(v) + VCPU_POLL;
  if (n && !copy_from_guest(v, list, ports, n * 4)) return -EFAULT;
  for (let i: u32 = 0; i < n; i++) {
    const port = load<u32>(list + ((<usize>i) << 2));
    if (evtchn_get(d, port) == null) return -EINVAL;
    if (evtchn_is_pending(d, port)) return 0;
  }
  v.poll_count = n;
  v.poll_deadline = timeout ? timeout : NEVER;
  // Without ports and time it would sleep for ever; Xen lets it, an event then does not wake it but an interrupt does.
  if (n || timeout) v.blocked = 1;
  return 0;
}
