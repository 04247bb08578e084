/** HYPERVISOR_mmuext_op(uops, count, pdone, foreigndom), public/xen.h. Guests that are not PV may pin and unpin others' tables only. */
import { subOps, xsm } from './op.ts';
import { xen } from './structs/xen.ts';

const s = xen.mmuext_op;
const check = xsm('mmuext_op', 'TARGET');

export const MMUEXT = subOps('MMUEXT_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'memory', envelope: s, count: 1 }, [
  [0, 'PIN_L1_TABLE', s, check, 'supported', 'continuable'],
  [1, 'PIN_L2_TABLE', s, check, 'supported', 'continuable'],
  [2, 'PIN_L3_TABLE', s, check, 'supported', 'continuable'],
  [3, 'PIN_L4_TABLE', s, check, 'supported', 'continuable'],
  [4, 'UNPIN_TABLE', s, check, 'supported', 'continuable'],
  [5, 'NEW_BASEPTR', s, check, 'supported', 'continuable pv'],
  [6, 'TLB_FLUSH_LOCAL', null, check, 'supported', 'pv'],
  [7, 'INVLPG_LOCAL', s, check, 'supported', 'pv'],
  [8, 'TLB_FLUSH_MULTI', s, check, 'supported', 'pv'],
  [9, 'INVLPG_MULTI', s, check, 'supported', 'pv'],
  [10, 'TLB_FLUSH_ALL', null, check, 'supported', 'pv'],
  [11, 'INVLPG_ALL', s, check, 'supported', 'pv'],
  // For domains with a device of the machine's.
  [12, 'FLUSH_CACHE', null, check, 'EACCES'],
  [13, 'SET_LDT', s, check, 'supported', 'pv'],
  [15, 'NEW_USER_BASEPTR', s, check, 'supported', 'continuable pv'],
  [16, 'CLEAR_PAGE', s, check, 'supported', 'pv'],
  [17, 'COPY_PAGE', s, check, 'supported', 'pv'],
  [18, 'FLUSH_CACHE_GLOBAL', null, check, 'EACCES'],
  // Superpages, which Xen gave up.
  [19, 'MARK_SUPER', s, check, 'EOPNOTSUPP'],
  [20, 'UNMARK_SUPER', s, check, 'EOPNOTSUPP'],
]);
