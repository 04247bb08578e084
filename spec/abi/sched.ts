/** HYPERVISOR_sched_op, public/sched.h */
import { own, subOps, xsm } from './op.ts';
import { sched as s } from './structs/sched_vcpu.ts';

const self = own('the calling vCPU or its domain');

export const SCHED = subOps('SCHEDOP_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'register' }, [
  [0, 'yield', null, self, 'supported'],
  [1, 'block', null, self, 'supported'],
  [2, 'shutdown', s.sched_shutdown, self, 'supported'],
  [3, 'poll', s.sched_poll, self, 'supported'],
  [4, 'remote_shutdown', s.sched_remote_shutdown, xsm('schedop_shutdown', 'DM_PRIV'), 'supported'],
  [5, 'shutdown_code', s.sched_shutdown, self, 'supported'],
  [6, 'watchdog', s.sched_watchdog, self, 'supported'],
  [7, 'pin_override', s.sched_pin_override, own('Xen asks for the hardware domain, not for XSM'), 'EPERM'],
]);
