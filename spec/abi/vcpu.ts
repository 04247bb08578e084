/** HYPERVISOR_vcpu_op(cmd, vcpu, arg), public/vcpu.h */
import { own, subOps } from './op.ts';
import { vcpu as s } from './structs/sched_vcpu.ts';

const self = own("a vCPU of the caller's domain");

export const VCPU = subOps('VCPUOP_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'register' }, [
  [0, 'initialise', s.vcpu_hvm_context, self, 'supported', 'continuable'],
  [1, 'up', null, self, 'supported'],
  [2, 'down', null, self, 'supported'],
  [3, 'is_up', null, self, 'supported'],
  [4, 'get_runstate_info', s.vcpu_runstate_info, self, 'supported'],
  [5, 'register_runstate_memory_area', s.vcpu_register_runstate_memory_area, self, 'supported'],
  [6, 'set_periodic_timer', s.vcpu_set_periodic_timer, self, 'supported'],
  [7, 'stop_periodic_timer', null, self, 'supported'],
  [8, 'set_singleshot_timer', s.vcpu_set_singleshot_timer, self, 'supported'],
  [9, 'stop_singleshot_timer', null, self, 'supported'],
  [10, 'register_vcpu_info', s.vcpu_register_vcpu_info, self, 'supported'],
  [11, 'send_nmi', null, self, 'supported'],
  [12, 'get_physid', s.vcpu_get_physid, self, 'EINVAL'],
  [13, 'register_vcpu_time_memory_area', s.vcpu_register_time_memory_area, self, 'supported'],
  [14, 'register_runstate_phys_area', s.vcpu_register_runstate_memory_area, self, 'ENOSYS'],
  [15, 'register_vcpu_time_phys_area', s.vcpu_register_time_memory_area, self, 'ENOSYS'],
]);
