// The handlers that the generated dispatcher calls.
export { do_argo_op } from './argo_op';
export { do_console_io } from './console_io';
export { do_event_channel_op } from './event_op';
export { do_grant_table_op } from './grant_op';
export { do_multicall } from './hypercall';
export { do_hvm_op } from './hvm_op';
export { do_memory_op } from './memory_op';
export { do_sched_op } from './sched_op';
export { do_service_op } from './service_ring';
export { do_set_timer_op, do_vcpu_op } from './vcpu_op';
export { do_vm_assist, do_xen_version } from './version_op';
export { do_mmu_update, do_update_va_mapping, do_update_va_mapping_otherdomain } from './pv/mmu_update';
export { do_mmuext_op } from './pv/mmuext';
export { do_callback_op, do_nmi_op, do_set_callbacks, do_set_trap_table } from './pv/callbacks';
export { do_event_channel_op_compat, do_physdev_op, do_physdev_op_compat, do_sched_op_compat } from './pv/compat_ops';
export {
  do_fpu_taskswitch,
  do_get_debugreg,
  do_set_debugreg,
  do_set_segment_base,
  do_stack_switch,
} from './pv/processor';
export { do_set_gdt, do_update_descriptor } from './pv/tables';
