/** HYPERVISOR_argo_op(cmd, arg1, arg2, arg3, arg4), public/argo.h: messages between domains through rings that the hypervisor writes. */
import { subOps, xsmFirst } from './op.ts';
import { argo as s } from './structs/argo.ts';

const enabled = xsmFirst('argo_enable', 'HOOK');

export const ARGO = subOps('XEN_ARGO_OP_', { mask: 0xffffffff, unknown: 'EOPNOTSUPP', in: 'register' }, [
  [1, 'register_ring', s.xen_argo_register_ring, enabled, 'supported'],
  [2, 'unregister_ring', s.xen_argo_unregister_ring, enabled, 'supported'],
  [3, 'sendv', s.xen_argo_send_addr, enabled, 'supported'],
  [4, 'notify', s.xen_argo_ring_data, enabled, 'supported'],
]);
