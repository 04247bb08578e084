// What the platform calls of the hypervisor.
export { host_init, host_set_flags, host_tables, host_text } from '../shared/host';
export { frames_free } from '../shared/frame_alloc';
export { pcpu_area, pcpu_doorbell, pcpu_ring } from '../shared/pcpu';
export { console_start } from './console_start';
export { log_head, log_ring, log_ring_size } from './log';
export {
  service_bell,
  service_bell_all,
  service_call,
  service_create,
  service_destroy,
  service_mailbox,
  service_mailbox_data,
  service_mailbox_size,
  service_slot,
} from './service';
export { domain_count, domain_cpu, domain_crash_page, domain_state, host_use_xsm, xsm_deny } from './inspect';
export {
  debug_buffer,
  debug_flags,
  debug_go,
  debug_hit,
  debug_hit_address,
  debug_is_still,
  debug_memory,
  debug_point,
  debug_release,
  debug_set_base,
  debug_set_flags,
  debug_stop,
  debug_vcpu_up,
} from './debug';
export { invariants_a, invariants_b, invariants_check } from './invariants';
export { profile_period, profile_tick } from './profile';
