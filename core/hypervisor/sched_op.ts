// SCHEDOP_*.
import {
  EFAULT,
  EINVAL,
  ENOSYS,
  ENOSPC,
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
  SCHEDOP_watchdog,
  sched_watchdog__id,
  sched_watchdog__timeout,
  sizeof_sched_watchdog,
  SCHEDOP_shutdown_code,
  SCHEDOP_yield,
  sizeof_sched_remote_shutdown,
  EBUSY,
} from '../gen/abi';
import { get_sched_poll } from '../gen/compat';
import { XSM_schedop_shutdown } from '../gen/xsm';
import { domain_crash, CRASH_GUEST } from './crash';
import { Domain, domain_by_id, domain_shutdown, DOMAIN_SHUTDOWN } from './domain';
import { evtchn_get, evtchn_is_pending, evtchn_max_ports } from './event_channel';
import { copy_from_guest, get_guest, guest_word } from './guest_access';
import { system_time } from './time';
import { NEVER, Vcpu, vcpu_arg, VCPU_POLL } from './vcpu';
import { xsm_check } from './xsm';

const POLL_MAX: u32 = 128;

export function do_sched_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  switch (cmd) {
    case SCHEDOP_yield:
      v.yields = 1;
      return 0;
    case SCHEDOP_block:
      atomic.store<u8>(<usize>v.info, 0, 1); // evtchn_upcall_mask
      if (!atomic.load<u8>(<usize>v.info)) v.blocked = 1;
      return 0;
    case SCHEDOP_shutdown:
    case SCHEDOP_shutdown_code: {
      if (!get_guest<u32>(v, arg)) return -EFAULT;
      const code = (<u32>guest_word) & 0xff;
      if (cmd == SCHEDOP_shutdown_code) {
        if (!(d.flags & DOMAIN_SHUTDOWN)) d.shutdown_code = code;
        return 0;
      }
      if (code == SHUTDOWN_crash) domain_crash(d, v, CRASH_GUEST, 0);
      else domain_shutdown(d, code);
      return 0;
    }
    case SCHEDOP_watchdog:
      return watchdog(d, v, arg);
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

/** Two timers a domain; whoever sets one has to set it again in time. 0 asks for a free one and is told its number. */
function watchdog(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, sizeof_sched_watchdog)) return -EFAULT;
  let id = load<u32>(a, sched_watchdog__id);
  const timeout = load<u32>(a, sched_watchdog__timeout);
  const at = system_time() + <u64>timeout * 1000000000;
  if (id > 2) return -EINVAL;
  const fresh = id == 0;
  if (fresh) {
    if (d.watchdog0 && d.watchdog1) return -ENOSPC;
    id = d.watchdog0 ? 2 : 1;
  }
  const slot = changetype<usize>(d) + (id == 1 ? offsetof<Domain>('watchdog0') : offsetof<Domain>('watchdog1'));
  if (!fresh && !load<u64>(slot)) return -EINVAL;
  store<u64>(slot, timeout || fresh ? at : 0);
  return fresh ? id : 0;
}

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
    // A port that nothing has been bound to yet is no mistake: it is not pending.
    if (port >= evtchn_max_ports(d)) return -EINVAL;
    if (evtchn_get(d, port) != null && evtchn_is_pending(d, port)) return 0;
  }
  v.poll_count = n;
  v.poll_deadline = timeout ? timeout : NEVER;
  // Without ports and time it would sleep for ever; Xen lets it, an event then does not wake it but an interrupt does.
  if (n || timeout) v.blocked = 1;
  return 0;
}
