/** HYPERVISOR_dm_op(domid, nr_bufs, bufs), public/hvm/dm_op.h. The op is the first word of buffer 0. */
import { subOps, xsm } from './op.ts';
import { dmOp as s } from './structs/hvm.ts';

const dm = xsm('dm_op', 'DM_PRIV');
const range = s.xen_dm_op_ioreq_server_range;

export const DM_OP = subOps(
  'XEN_DMOP_',
  { mask: 0xffffffff, unknown: 'EOPNOTSUPP', in: 'memory', envelope: s.xen_dm_op },
  [
    [1, 'create_ioreq_server', s.xen_dm_op_create_ioreq_server, dm, 'EOPNOTSUPP'],
    [2, 'get_ioreq_server_info', s.xen_dm_op_get_ioreq_server_info, dm, 'EOPNOTSUPP'],
    [3, 'map_io_range_to_ioreq_server', range, dm, 'EOPNOTSUPP'],
    [4, 'unmap_io_range_from_ioreq_server', range, dm, 'EOPNOTSUPP'],
    [5, 'set_ioreq_server_state', s.xen_dm_op_set_ioreq_server_state, dm, 'EOPNOTSUPP'],
    [6, 'destroy_ioreq_server', s.xen_dm_op_destroy_ioreq_server, dm, 'EOPNOTSUPP'],
    [7, 'track_dirty_vram', s.xen_dm_op_track_dirty_vram, dm, 'EOPNOTSUPP'],
    [8, 'set_pci_intx_level', s.xen_dm_op_set_pci_intx_level, dm, 'EOPNOTSUPP'],
    [9, 'set_isa_irq_level', s.xen_dm_op_set_isa_irq_level, dm, 'EOPNOTSUPP'],
    [10, 'set_pci_link_route', s.xen_dm_op_set_pci_link_route, dm, 'EOPNOTSUPP'],
    [11, 'modified_memory', s.xen_dm_op_modified_memory, dm, 'EOPNOTSUPP', 'continuable'],
    [12, 'set_mem_type', s.xen_dm_op_set_mem_type, dm, 'EOPNOTSUPP', 'continuable'],
    [13, 'inject_event', s.xen_dm_op_inject_event, dm, 'EOPNOTSUPP'],
    [14, 'inject_msi', s.xen_dm_op_inject_msi, dm, 'EOPNOTSUPP'],
    [15, 'map_mem_type_to_ioreq_server', s.xen_dm_op_map_mem_type_to_ioreq_server, dm, 'EOPNOTSUPP', 'continuable'],
    [16, 'remote_shutdown', s.xen_dm_op_remote_shutdown, dm, 'EOPNOTSUPP'],
    [17, 'relocate_memory', s.xen_dm_op_relocate_memory, dm, 'EOPNOTSUPP', 'continuable'],
    [18, 'pin_memory_cacheattr', s.xen_dm_op_pin_memory_cacheattr, dm, 'EOPNOTSUPP'],
    [19, 'set_irq_level', s.xen_dm_op_set_irq_level, dm, 'EOPNOTSUPP'],
    [20, 'nr_vcpus', s.xen_dm_op_nr_vcpus, dm, 'EOPNOTSUPP'],
  ],
);
