/** HYPERVISOR_xsm_op, public/xsm/flask_op.h. Without a FLASK policy there is no such hypercall: -ENOSYS for everyone. */
import { subOps, xsm } from './op.ts';

const row = (nr: number, op: string) => [nr, op, null, xsm(`xsm_op__${op.toLowerCase()}`, 'OTHER'), 'ENOSYS'] as const;

export const XSM = subOps('FLASK_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'memory' }, [
  row(1, 'LOAD'),
  row(2, 'GETENFORCE'),
  row(3, 'SETENFORCE'),
  row(4, 'CONTEXT_TO_SID'),
  row(5, 'SID_TO_CONTEXT'),
  row(6, 'ACCESS'),
  row(7, 'CREATE'),
  row(8, 'RELABEL'),
  row(10, 'POLICYVERS'),
  row(11, 'GETBOOL'),
  row(12, 'SETBOOL'),
  row(13, 'COMMITBOOLS'),
  row(14, 'MLS'),
  row(16, 'GETAVC_THRESHOLD'),
  row(17, 'SETAVC_THRESHOLD'),
  row(18, 'AVC_HASHSTATS'),
  row(19, 'AVC_CACHESTATS'),
  row(20, 'MEMBER'),
  row(21, 'ADD_OCONTEXT'),
  row(22, 'DEL_OCONTEXT'),
  row(23, 'GET_PEER_SID'),
  row(24, 'RELABEL_DOMAIN'),
  row(25, 'DEVICETREE_LABEL'),
]);
