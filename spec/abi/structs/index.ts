/** Every structure of the ABI by its tag. */
import { argo } from './argo.ts';
import { dmOp, hvm, ioreq, startInfo } from './hvm.ts';
import { domctl, sysctl } from './domctl.ts';
import { e820, memory } from './memory.ts';
import { eventChannel } from './event_channel.ts';
import { grantTable } from './grant_table.ts';
import { io } from './io.ts';
import { service } from './service.ts';
import { netif } from './netif.ts';
import { save } from './save.ts';
import { sched, vcpu } from './sched_vcpu.ts';
import { version } from './version.ts';
import { xen } from './xen.ts';

export const STRUCTS = {
  ...xen,
  ...eventChannel,
  ...grantTable,
  ...memory,
  ...e820,
  ...sched,
  ...vcpu,
  ...version,
  ...hvm,
  ...startInfo,
  ...ioreq,
  ...dmOp,
  ...save,
  ...domctl,
  ...sysctl,
  ...io,
  ...netif,
  ...argo,
  ...service,
};
