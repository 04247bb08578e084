/**
 * The hypercall table: the one place that says which hypercalls exist, what they take, who may call them and which access check guards
 * them. Dispatch, XSM hook numbers, documentation and the tracer's decoder are made from it. Numbers: public/xen.h.
 */
import { ARGO } from './argo.ts';
import { CONSOLE_IO } from './console_io.ts';
import { DM_OP } from './dm_op.ts';
import { DOMCTL } from './domctl.ts';
import { EVENT_CHANNEL } from './event_channel.ts';
import { GRANT_TABLE, GRANT_TABLE_OP_NR } from './grant_table.ts';
import { HVM } from './hvm.ts';
import { MEMORY } from './memory.ts';
import { MMUEXT } from './mmuext.ts';
import {
  own,
  xsm,
  xsmFirst,
  type ArgType,
  type Check,
  type Guest,
  type Hypercall,
  type Status,
  type SubOps,
  type XsmCheck,
} from './op.ts';
import { PHYSDEV } from './physdev.ts';
import { SCHED } from './sched.ts';
import { SERVICE, SERVICE_OP_NR } from './service.ts';
import { SYSCTL } from './sysctl.ts';
import { VCPU } from './vcpu.ts';
import { VERSION } from './version.ts';
import { XSM } from './xsm.ts';

type What = { ops: SubOps; check?: undefined } | { ops?: undefined; check: Check };
type Rest = { status?: Status; continuable?: boolean };

/** `args`: `name:type` separated by blanks; `guests`: those of `hvm pv arm service` that have it. */
function row(nr: number, name: string, guests: string, args: string, what: What, rest: Rest = {}): Hypercall {
  const pairs = args === '' ? [] : args.split(' ').map((a) => a.split(':') as [string, ArgType]);
  return {
    nr,
    name,
    args: pairs,
    guests: guests.split(' ') as Guest[],
    continuable: rest.continuable ?? what.ops?.ops.some((o) => o.continuable) ?? false,
    check: what.ops ? 'by op' : what.check,
    status: rest.status ?? 'supported',
    subOps: what.ops,
  };
}

const self = own('the calling vCPU or domain');
const pvOnly = own("PV: the caller's own CPU or page tables");
const ENOSYS = { status: 'ENOSYS' } as const;
const EPERM = { status: 'EPERM' } as const;
const pv = (check: Check = pvOnly) => [{ check }, ENOSYS] as const;
const own_cpu = { check: pvOnly } as const;

/** Hooks that a handler asks besides its op's own, about a second object. */
export const FURTHER_CHECKS: readonly XsmCheck[] = [
  // The domain whose frame is mapped by add_to_physmap(_batch).
  xsm('map_gmfn_foreign', 'TARGET'),
  // The other domain of a ring, and of a message.
  xsm('argo_register_single_source', 'HOOK'),
  xsm('argo_send', 'HOOK'),
];

export const HYPERCALLS: readonly Hypercall[] = [
  row(0, 'set_trap_table', 'pv', 'traps:ptr', own_cpu, { continuable: true }),
  row(
    1,
    'mmu_update',
    'pv',
    'ureqs:ptr count:u32 pdone:ptr foreigndom:u32',
    { check: xsm('mmu_update', 'TARGET') },
    { continuable: true },
  ),
  row(2, 'set_gdt', 'pv', 'frame_list:ptr entries:u32', own_cpu),
  row(3, 'stack_switch', 'pv', 'ss:u64 esp:u64', own_cpu),
  row(4, 'set_callbacks', 'pv', 'event:u64 failsafe:u64 syscall:u64 last:u64', own_cpu),
  row(5, 'fpu_taskswitch', 'pv', 'set:u32', own_cpu),
  row(6, 'sched_op_compat', 'pv', 'cmd:u32 arg:u64', own_cpu),
  row(7, 'platform_op', 'hvm pv arm', 'op:ptr', { check: xsmFirst('platform_op', 'PRIV') }, ENOSYS),
  row(8, 'set_debugreg', 'pv', 'reg:u32 value:u64', own_cpu),
  row(9, 'get_debugreg', 'pv', 'reg:u32', own_cpu),
  row(10, 'update_descriptor', 'pv', 'ma:u64 desc:u64', own_cpu),
  row(12, 'memory_op', 'hvm pv arm', 'cmd:op arg:ptr', { ops: MEMORY }),
  row(
    13,
    'multicall',
    'hvm pv arm',
    'call_list:ptr nr_calls:u32',
    { check: own('each entry is checked') },
    { continuable: true },
  ),
  row(14, 'update_va_mapping', 'pv', 'va:u64 val:u64 flags:u64', { check: xsm('update_va_mapping', 'TARGET') }),
  row(15, 'set_timer_op', 'hvm pv', 'timeout:i64', { check: self }),
  row(16, 'event_channel_op_compat', 'pv', 'op:ptr', own_cpu),
  row(17, 'xen_version', 'hvm pv arm', 'cmd:op arg:ptr', { ops: VERSION }),
  row(18, 'console_io', 'hvm pv arm', 'cmd:op count:u32 buffer:ptr', { ops: CONSOLE_IO }),
  row(19, 'physdev_op_compat', 'pv', 'op:ptr', own_cpu),
  row(GRANT_TABLE_OP_NR, 'grant_table_op', 'hvm pv arm', 'cmd:op uop:ptr count:u32', { ops: GRANT_TABLE }),
  row(21, 'vm_assist', 'hvm pv arm', 'cmd:u32 type:u32', { check: self }),
  row(22, 'update_va_mapping_otherdomain', 'pv', 'va:u64 val:u64 flags:u64 domid:domid', {
    check: xsm('update_va_mapping', 'TARGET'),
  }),
  // Never dispatched: the engine does it, and a multicall ends with it.
  row(23, 'iret', 'pv', '', ...pv()),
  row(24, 'vcpu_op', 'hvm pv arm', 'cmd:op vcpuid:u32 arg:ptr', { ops: VCPU }),
  row(25, 'set_segment_base', 'pv', 'which:u32 base:u64', own_cpu),
  row(26, 'mmuext_op', 'hvm pv', 'uops:ptr count:u32 pdone:ptr foreigndom:u32', { ops: MMUEXT }),
  row(27, 'xsm_op', 'hvm pv arm', 'op:ptr', { ops: XSM }, ENOSYS),
  row(28, 'nmi_op', 'pv', 'cmd:u32 arg:ptr', own_cpu),
  row(29, 'sched_op', 'hvm pv arm', 'cmd:op arg:ptr', { ops: SCHED }),
  row(30, 'callback_op', 'pv', 'cmd:u32 arg:ptr', own_cpu),
  row(32, 'event_channel_op', 'hvm pv arm', 'cmd:op arg:ptr', { ops: EVENT_CHANNEL }),
  // Of an HVM guest without passed-through interrupts Xen refuses it whole.
  row(33, 'physdev_op', 'pv', 'cmd:op arg:ptr', { ops: PHYSDEV }),
  row(34, 'hvm_op', 'hvm pv arm', 'op:op arg:ptr', { ops: HVM }),
  row(35, 'sysctl', 'hvm pv arm', 'u_sysctl:ptr', { ops: SYSCTL }, EPERM),
  row(36, 'domctl', 'hvm pv arm', 'u_domctl:ptr', { ops: DOMCTL }, EPERM),
  row(37, 'kexec_op', 'pv', 'op:u32 arg:ptr', { check: xsmFirst('kexec', 'PRIV') }, ENOSYS),
  row(39, 'argo_op', 'hvm pv arm', 'cmd:op arg1:ptr arg2:ptr arg3:u64 arg4:u64', { ops: ARGO }),
  // Without a virtual PMU Xen says so before it asks who wants to know.
  row(40, 'xenpmu_op', 'hvm pv', 'op:u32 arg:ptr', { check: xsm('pmu_op', 'OTHER') }, { status: 'EOPNOTSUPP' }),
  row(41, 'dm_op', 'hvm pv arm', 'domid:domid nr_bufs:u32 bufs:ptr', { ops: DM_OP }, EPERM),
  row(
    42,
    'hypfs_op',
    'hvm pv arm',
    'cmd:u32 arg1:ptr arg2:u64 arg3:ptr arg4:u64',
    { check: xsmFirst('hypfs_op', 'PRIV') },
    ENOSYS,
  ),
  row(48, 'mca', 'hvm pv', 'u_xen_mc:ptr', { check: xsmFirst('do_mca', 'PRIV') }, ENOSYS),
  row(SERVICE_OP_NR, 'service_op', 'service', 'cmd:op uop:ptr count:u32', { ops: SERVICE }),
];
