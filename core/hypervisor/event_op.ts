// EVTCHNOP_*: arguments in, event_channel.ts, results out.
import {
  DOMID_SELF,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOSYS,
  ESRCH,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_bind_vcpu,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_reset,
  EVTCHNOP_send,
  EVTCHNOP_set_priority,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
  evtchn_alloc_unbound__dom,
  evtchn_alloc_unbound__port,
  evtchn_alloc_unbound__remote_dom,
  evtchn_bind_interdomain__local_port,
  evtchn_bind_interdomain__remote_dom,
  evtchn_bind_interdomain__remote_port,
  evtchn_bind_ipi__port,
  evtchn_bind_ipi__vcpu,
  evtchn_bind_vcpu__port,
  evtchn_bind_vcpu__vcpu,
  evtchn_bind_virq__port,
  evtchn_bind_virq__vcpu,
  evtchn_bind_virq__virq,
  evtchn_close__port,
  evtchn_expand_array__array_gfn,
  evtchn_init_control__control_gfn,
  evtchn_init_control__link_bits,
  evtchn_init_control__offset,
  evtchn_init_control__vcpu,
  evtchn_reset__dom,
  evtchn_send__port,
  evtchn_set_priority__port,
  evtchn_set_priority__priority,
  evtchn_status__dom,
  evtchn_status__port,
  evtchn_unmask__port,
  sizeof_evtchn_alloc_unbound,
  sizeof_evtchn_bind_interdomain,
  sizeof_evtchn_bind_ipi,
  sizeof_evtchn_bind_vcpu,
  sizeof_evtchn_bind_virq,
  sizeof_evtchn_close,
  sizeof_evtchn_expand_array,
  sizeof_evtchn_init_control,
  sizeof_evtchn_reset,
  sizeof_evtchn_send,
  sizeof_evtchn_set_priority,
  sizeof_evtchn_status,
  sizeof_evtchn_unmask,
} from '../gen/abi';
import { XSM_evtchn_reset, XSM_evtchn_status, XSM_evtchn_unbound } from '../gen/xsm';
import { Domain, domain_by_id, domain_vcpu } from './domain';
import {
  bind_interdomain,
  bind_ipi,
  bind_vcpu,
  bind_virq,
  evtchn_alloc_unbound,
  evtchn_close,
  evtchn_reset,
  evtchn_send,
  evtchn_set_priority,
  evtchn_status,
  evtchn_unmask,
} from './event_channel';
import { fifo_expand_array, fifo_init_control } from './event_fifo';
import { copy_from_guest, copy_to_guest } from './guest_access';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

function size_of(cmd: u32): u32 {
  switch (cmd) {
    case EVTCHNOP_bind_interdomain:
      return sizeof_evtchn_bind_interdomain;
    case EVTCHNOP_bind_virq:
      return sizeof_evtchn_bind_virq;
    case EVTCHNOP_close:
      return sizeof_evtchn_close;
    case EVTCHNOP_send:
      return sizeof_evtchn_send;
    case EVTCHNOP_status:
      return sizeof_evtchn_status;
    case EVTCHNOP_alloc_unbound:
      return sizeof_evtchn_alloc_unbound;
    case EVTCHNOP_bind_ipi:
      return sizeof_evtchn_bind_ipi;
    case EVTCHNOP_bind_vcpu:
      return sizeof_evtchn_bind_vcpu;
    case EVTCHNOP_unmask:
      return sizeof_evtchn_unmask;
    case EVTCHNOP_reset:
      return sizeof_evtchn_reset;
    case EVTCHNOP_init_control:
      return sizeof_evtchn_init_control;
    case EVTCHNOP_expand_array:
      return sizeof_evtchn_expand_array;
    case EVTCHNOP_set_priority:
      return sizeof_evtchn_set_priority;
    default:
      return 0;
  }
}

export function do_event_channel_op(d: Domain, v: Vcpu, cmd: u32, arg: u64): i64 {
  const size = size_of(cmd);
  if (!size) return -ENOSYS;
  const a = vcpu_arg(v);
  if (!copy_from_guest(v, a, arg, size)) return -EFAULT;
  const rc = run(d, cmd, a);
  if (rc) return rc;
  // Only some have results, but the copy is the same bytes for the others' inputs.
  return returns(cmd) && !copy_to_guest(v, arg, a, size) ? -EFAULT : 0;
}

function returns(cmd: u32): bool {
  return (
    cmd <= <u32>EVTCHNOP_bind_virq ||
    cmd == EVTCHNOP_status ||
    cmd == EVTCHNOP_alloc_unbound ||
    cmd == EVTCHNOP_bind_ipi ||
    cmd == EVTCHNOP_init_control
  );
}

/** Store a port that an allocation gave, or pass its errno on. */
function give(a: usize, offset: usize, port: i32): i32 {
  if (port < 0) return port;
  store<u32>(a + offset, port);
  return 0;
}

function run(d: Domain, cmd: u32, a: usize): i32 {
  switch (cmd) {
    case EVTCHNOP_bind_interdomain:
      return give(
        a,
        evtchn_bind_interdomain__local_port,
        bind_interdomain(
          d,
          load<u16>(a, evtchn_bind_interdomain__remote_dom),
          load<u32>(a, evtchn_bind_interdomain__remote_port),
        ),
      );
    case EVTCHNOP_bind_virq:
      return give(
        a,
        evtchn_bind_virq__port,
        bind_virq(d, load<u32>(a, evtchn_bind_virq__virq), load<u32>(a, evtchn_bind_virq__vcpu)),
      );
    case EVTCHNOP_close:
      return evtchn_close(d, load<u32>(a, evtchn_close__port), true);
    case EVTCHNOP_send:
      return evtchn_send(d, load<u32>(a, evtchn_send__port));
    case EVTCHNOP_status: {
      const t = domain_by_id(d, load<u16>(a, evtchn_status__dom));
      if (t == null) return -ESRCH;
      const rc = xsm_check(XSM_evtchn_status, d, t);
      return rc ? rc : evtchn_status(t, load<u32>(a, evtchn_status__port), a);
    }
    case EVTCHNOP_alloc_unbound:
      return alloc_unbound(d, a);
    case EVTCHNOP_bind_ipi:
      return give(a, evtchn_bind_ipi__port, bind_ipi(d, load<u32>(a, evtchn_bind_ipi__vcpu)));
    case EVTCHNOP_bind_vcpu:
      return bind_vcpu(d, load<u32>(a, evtchn_bind_vcpu__port), load<u32>(a, evtchn_bind_vcpu__vcpu));
    case EVTCHNOP_unmask:
      return evtchn_unmask(d, load<u32>(a, evtchn_unmask__port));
    case EVTCHNOP_reset: {
      const t = domain_by_id(d, load<u16>(a, evtchn_reset__dom));
      if (t == null) return -ESRCH;
      const rc = xsm_check(XSM_evtchn_reset, d, t);
      if (rc == 0) evtchn_reset(t);
      return rc;
    }
    case EVTCHNOP_init_control: {
      const v = domain_vcpu(d, load<u32>(a, evtchn_init_control__vcpu));
      if (v == null) return -ENOENT;
      store<u8>(a, <u8>EVTCHN_FIFO_LINK_BITS, evtchn_init_control__link_bits);
      return fifo_init_control(
        d,
        v,
        load<u64>(a, evtchn_init_control__control_gfn),
        load<u32>(a, evtchn_init_control__offset),
      );
    }
    case EVTCHNOP_expand_array:
      return fifo_expand_array(d, load<u64>(a, evtchn_expand_array__array_gfn));
    default:
      return evtchn_set_priority(
        d,
        load<u32>(a, evtchn_set_priority__port),
        load<u32>(a, evtchn_set_priority__priority),
      );
  }
}

function alloc_unbound(d: Domain, a: usize): i32 {
  const t = domain_by_id(d, load<u16>(a, evtchn_alloc_unbound__dom));
  if (t == null) return -ESRCH;
  const rc = xsm_check(XSM_evtchn_unbound, d, t);
  if (rc) return rc;
  const remote = load<u16>(a, evtchn_alloc_unbound__remote_dom);
  return give(
    a,
    evtchn_alloc_unbound__port,
    evtchn_alloc_unbound(t, remote == <u16>DOMID_SELF ? d.domid : remote, 0, 0),
  );
}
