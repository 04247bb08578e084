/** HYPERVISOR_grant_table_op(cmd, array, count), public/grant_table.h */
import { own, subOps, xsm } from './op.ts';
import { grantTable as s } from './structs/grant_table.ts';

const self = own("the caller's own table");

// A continued call carries an op-specific index above the low 12 bits.
export const GRANT_TABLE = subOps('GNTTABOP_', { mask: 0xfff, unknown: 'ENOSYS', in: 'register', count: 2 }, [
  [0, 'map_grant_ref', s.gnttab_map_grant_ref, xsm('grant_mapref', 'HOOK'), 'supported', 'continuable'],
  [1, 'unmap_grant_ref', s.gnttab_unmap_grant_ref, xsm('grant_unmapref', 'HOOK'), 'supported', 'continuable'],
  [2, 'setup_table', s.gnttab_setup_table, xsm('grant_setup', 'TARGET'), 'supported'],
  [3, 'dump_table', s.gnttab_dump_table, own('removed from Xen'), 'ENOSYS'],
  [4, 'transfer', s.gnttab_transfer, xsm('grant_transfer', 'HOOK'), 'supported', 'continuable'],
  [5, 'copy', s.gnttab_copy, xsm('grant_copy', 'HOOK'), 'supported', 'continuable'],
  [6, 'query_size', s.gnttab_query_size, xsm('grant_query_size', 'TARGET'), 'supported'],
  [7, 'unmap_and_replace', s.gnttab_unmap_and_replace, xsm('grant_unmapref', 'HOOK'), 'supported', 'continuable'],
  [8, 'set_version', s.gnttab_set_version, self, 'supported'],
  [9, 'get_status_frames', s.gnttab_get_status_frames, xsm('grant_setup', 'TARGET'), 'supported'],
  [10, 'get_version', s.gnttab_get_version, xsm('grant_query_size', 'TARGET'), 'supported'],
  [11, 'swap_grant_ref', s.gnttab_swap_grant_ref, self, 'supported', 'continuable'],
  [12, 'cache_flush', s.gnttab_cache_flush, self, 'supported', 'continuable'],
]);

/** __HYPERVISOR_grant_table_op, for those who need this number alone (services/lib/ring_calls.ts). */
export const GRANT_TABLE_OP_NR = 20;
