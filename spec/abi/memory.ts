/** HYPERVISOR_memory_op, public/memory.h */
import { own, subOps, xsm, xsmFirst } from './op.ts';
import { memory as s } from './structs/memory.ts';

const adjust = xsm('memory_adjust_reservation', 'TARGET');
const stat = xsm('memory_stat_reservation', 'TARGET');
const pod = xsmFirst('memory_pod_target', 'PRIV');
const reservation = s.xen_memory_reservation;
const domain = s.xen_memory_domain;

// A continued call carries the first extent that is still to do above the low six bits (MEMOP_EXTENT_SHIFT).
export const MEMORY = subOps('XENMEM_', { mask: 0x3f, unknown: 'ENOSYS', in: 'register' }, [
  [0, 'increase_reservation', reservation, adjust, 'supported', 'continuable'],
  [1, 'decrease_reservation', reservation, adjust, 'supported', 'continuable'],
  [2, 'maximum_ram_page', null, own('the highest machine frame is no secret in Xen'), 'supported'],
  [3, 'current_reservation', domain, stat, 'supported'],
  [4, 'maximum_reservation', domain, stat, 'supported'],
  [5, 'machphys_mfn_list', s.xen_machphys_mfn_list, own('PV: a read-only table of the machine'), 'supported'],
  [6, 'populate_physmap', reservation, adjust, 'supported', 'continuable'],
  [7, 'add_to_physmap', s.xen_add_to_physmap, xsm('add_to_physmap', 'TARGET'), 'supported', 'continuable'],
  [9, 'memory_map', s.xen_memory_map, own("the caller's own map"), 'supported'],
  [10, 'machine_memory_map', s.xen_memory_map, xsmFirst('machine_memory_map', 'PRIV'), 'ENOSYS'],
  [11, 'exchange', s.xen_memory_exchange, xsm('memory_exchange', 'TARGET'), 'supported', 'continuable'],
  [12, 'machphys_mapping', s.xen_machphys_mapping, own('PV: where the table is'), 'supported'],
  [13, 'set_memory_map', s.xen_foreign_memory_map, xsm('domain_memory_map', 'TARGET'), 'supported'],
  [14, 'maximum_gpfn', domain, stat, 'supported'],
  [15, 'remove_from_physmap', s.xen_remove_from_physmap, xsm('remove_from_physmap', 'TARGET'), 'supported'],
  [16, 'set_pod_target', s.xen_pod_target, pod, 'ENOSYS', 'continuable'],
  [17, 'get_pod_target', s.xen_pod_target, pod, 'ENOSYS'],
  [18, 'get_sharing_freed_pages', null, own('two counters of the host'), 'ENOSYS'],
  [19, 'get_sharing_shared_pages', null, own('two counters of the host'), 'ENOSYS'],
  [20, 'paging_op', null, xsm('mem_paging', 'DM_PRIV'), 'ENOSYS'],
  [21, 'access_op', s.xen_mem_access_op, xsm('mem_access', 'DM_PRIV'), 'ENOSYS', 'continuable'],
  [22, 'sharing_op', null, xsm('mem_sharing', 'DM_PRIV'), 'ENOSYS', 'continuable'],
  [23, 'add_to_physmap_batch', s.xen_add_to_physmap_batch, xsm('add_to_physmap', 'TARGET'), 'supported', 'continuable'],
  [24, 'claim_pages', reservation, xsmFirst('claim_pages', 'PRIV'), 'supported'],
  [25, 'machphys_compat_mfn_list', s.xen_machphys_mfn_list, own('PV: a read-only table of the machine'), 'supported'],
  [26, 'get_vnumainfo', s.xen_vnuma_topology_info, xsm('get_vnumainfo', 'TARGET'), 'EOPNOTSUPP'],
  [27, 'reserved_device_memory_map', null, own('regions of the firmware'), 'ENOSYS'],
  [28, 'acquire_resource', s.xen_mem_acquire_resource, xsm('domain_resource_map', 'DM_PRIV'), 'supported'],
]);
