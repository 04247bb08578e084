/**
 * HYPERVISOR_service_op(cmd, array, count): Xenolith's own, for service domains alone; guests get -ENOSYS. A service does not see the memory it
 * shares with a front end, so the hypervisor works on the ring (public/io/ring.h) for it: one call takes what is new, one puts answers; and it copies between
 * granted pages and the service's heap, which is no machine memory.
 */
import { own, subOps, xsm } from './op.ts';
import { service as s } from './structs/service.ts';

const self = own(
  "the ring is one that the service has mapped, the journal its own memory; sending has EVTCHNOP_send's check",
);

export const SERVICE = subOps('SERVICEOP_', { mask: 0xff, unknown: 'ENOSYS', in: 'register', count: 2 }, [
  [0, 'ring_take', s.service_ring_take, self, 'supported'],
  [1, 'ring_put', s.service_ring_put, self, 'supported'],
  [2, 'copy', s.service_copy, xsm('grant_copy', 'HOOK'), 'supported', 'continuable'],
]);

/** Beyond Xen's numbers, which end at 63. */
export const SERVICE_OP_NR = 0x4000;
