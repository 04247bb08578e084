/** HYPERVISOR_event_channel_op, public/event_channel.h */
import { own, subOps, xsm } from './op.ts';
import { eventChannel as s } from './structs/event_channel.ts';

const self = own('a port or a vCPU of the caller');

export const EVENT_CHANNEL = subOps('EVTCHNOP_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'register' }, [
  [0, 'bind_interdomain', s.evtchn_bind_interdomain, xsm('evtchn_interdomain', 'HOOK'), 'supported'],
  [1, 'bind_virq', s.evtchn_bind_virq, self, 'supported'],
  [2, 'bind_pirq', s.evtchn_bind_pirq, self, 'EINVAL'],
  [3, 'close', s.evtchn_close, self, 'supported'],
  [4, 'send', s.evtchn_send, xsm('evtchn_send', 'HOOK'), 'supported'],
  [5, 'status', s.evtchn_status, xsm('evtchn_status', 'TARGET'), 'supported'],
  [6, 'alloc_unbound', s.evtchn_alloc_unbound, xsm('evtchn_unbound', 'TARGET'), 'supported'],
  [7, 'bind_ipi', s.evtchn_bind_ipi, self, 'supported'],
  [8, 'bind_vcpu', s.evtchn_bind_vcpu, self, 'supported'],
  [9, 'unmask', s.evtchn_unmask, self, 'supported'],
  [10, 'reset', s.evtchn_reset, xsm('evtchn_reset', 'TARGET'), 'supported', 'continuable'],
  [11, 'init_control', s.evtchn_init_control, self, 'supported'],
  [12, 'expand_array', s.evtchn_expand_array, self, 'supported'],
  [13, 'set_priority', s.evtchn_set_priority, self, 'supported'],
]);
