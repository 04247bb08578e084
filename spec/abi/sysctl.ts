/** HYPERVISOR_sysctl, public/sysctl.h, interface version 0x15 (another version gets -EACCES). */
import type { Struct } from './layout.ts';
import { subOps, xsm } from './op.ts';
import { sysctl as s } from './structs/domctl.ts';

const row = (nr: number, op: string, arg: Struct<any> | null = null) =>
  [nr, op, arg, xsm(`sysctl__${op}`, 'PRIV'), 'ENOSYS'] as const;

export const SYSCTL = subOps(
  'XEN_SYSCTL_',
  { mask: 0xffffffff, unknown: 'ENOSYS', in: 'memory', envelope: s.xen_sysctl },
  [
    row(1, 'readconsole', s.xen_sysctl_readconsole),
    row(2, 'tbuf_op'),
    row(3, 'physinfo', s.xen_sysctl_physinfo),
    row(4, 'sched_id', s.xen_sysctl_sched_id),
    row(5, 'perfc_op'),
    row(6, 'getdomaininfolist', s.xen_sysctl_getdomaininfolist),
    row(7, 'debug_keys', s.xen_sysctl_debug_keys),
    row(8, 'getcpuinfo', s.xen_sysctl_getcpuinfo),
    row(9, 'availheap', s.xen_sysctl_availheap),
    row(10, 'get_pmstat'),
    row(11, 'cpu_hotplug'),
    row(12, 'pm_op'),
    row(14, 'page_offline_op'),
    row(15, 'lockprof_op'),
    row(16, 'cputopoinfo'),
    row(17, 'numainfo'),
    row(18, 'cpupool_op'),
    row(19, 'scheduler_op'),
    row(20, 'coverage_op'),
    row(21, 'psr_cmt_op'),
    row(22, 'pcitopoinfo'),
    row(23, 'psr_alloc'),
    row(25, 'get_cpu_levelling_caps'),
    row(26, 'get_cpu_featureset'),
    row(27, 'livepatch_op'),
    row(29, 'get_cpu_policy'),
  ],
);
