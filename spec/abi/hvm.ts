/** HYPERVISOR_hvm_op, public/hvm/hvm_op.h */
import { own, subOps, xsm } from './op.ts';
import { hvm as s } from './structs/hvm.ts';

const param = xsm('hvm_param', 'TARGET');
const self = own('the calling domain');

export const HVM = subOps('HVMOP_', { mask: 0xff, unknown: 'ENOSYS', in: 'register' }, [
  [0, 'set_param', s.xen_hvm_param, param, 'supported'],
  [1, 'get_param', s.xen_hvm_param, param, 'supported'],
  [5, 'flush_tlbs', null, self, 'supported', 'continuable'],
  // For shadow paging, which there is none of: -EINVAL, as Xen says under hardware paging.
  [9, 'pagetable_dying', s.xen_hvm_pagetable_dying, self, 'supported'],
  [10, 'get_time', s.xen_hvm_get_time, self, 'supported'],
  [11, 'xentrace', s.xen_hvm_xentrace, self, 'supported'],
  [15, 'get_mem_type', s.xen_hvm_get_mem_type, param, 'supported'],
  [23, 'set_evtchn_upcall_vector', s.xen_hvm_evtchn_upcall_vector, self, 'supported'],
  [24, 'guest_request_vm_event', null, self, 'supported'],
  [25, 'altp2m', null, xsm('hvm_altp2mhvm_op', 'OTHER'), 'EOPNOTSUPP', 'continuable'],
]);
