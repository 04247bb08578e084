/** Every class of XenAPI that is not removed. */
import type { Class, Message } from './notation.ts';
import { auth } from './auth.ts';
import { blob } from './blob.ts';
import { Bond } from './Bond.ts';
import { Caller } from './Caller.ts';
import { Certificate } from './Certificate.ts';
import { Cluster } from './Cluster.ts';
import { Cluster_host } from './Cluster_host.ts';
import { console } from './console.ts';
import { crashdump } from './crashdump.ts';
import { data_source } from './data_source.ts';
import { Diagnostics } from './Diagnostics.ts';
import { DR_task } from './DR_task.ts';
import { Driver_variant } from './Driver_variant.ts';
import { event } from './event.ts';
import { Feature } from './Feature.ts';
import { GPU_group } from './GPU_group.ts';
import { host } from './host.ts';
import { host_cpu } from './host_cpu.ts';
import { host_crashdump } from './host_crashdump.ts';
import { Host_driver } from './Host_driver.ts';
import { host_metrics } from './host_metrics.ts';
import { host_patch } from './host_patch.ts';
import { LVHD } from './LVHD.ts';
import { message } from './message.ts';
import { network } from './network.ts';
import { network_sriov } from './network_sriov.ts';
import { Observer } from './Observer.ts';
import { PBD } from './PBD.ts';
import { PCI } from './PCI.ts';
import { PGPU } from './PGPU.ts';
import { PIF } from './PIF.ts';
import { PIF_metrics } from './PIF_metrics.ts';
import { pool } from './pool.ts';
import { pool_patch } from './pool_patch.ts';
import { pool_update } from './pool_update.ts';
import { probe_result } from './probe_result.ts';
import { PUSB } from './PUSB.ts';
import { PVS_cache_storage } from './PVS_cache_storage.ts';
import { PVS_proxy } from './PVS_proxy.ts';
import { PVS_server } from './PVS_server.ts';
import { PVS_site } from './PVS_site.ts';
import { Rate_limit } from './Rate_limit.ts';
import { Repository } from './Repository.ts';
import { role } from './role.ts';
import { SDN_controller } from './SDN_controller.ts';
import { secret } from './secret.ts';
import { session } from './session.ts';
import { SM } from './SM.ts';
import { SR } from './SR.ts';
import { sr_stat } from './sr_stat.ts';
import { subject } from './subject.ts';
import { task } from './task.ts';
import { tunnel } from './tunnel.ts';
import { USB_group } from './USB_group.ts';
import { user } from './user.ts';
import { VBD } from './VBD.ts';
import { VDI } from './VDI.ts';
import { vdi_nbd_server_info } from './vdi_nbd_server_info.ts';
import { VGPU } from './VGPU.ts';
import { VGPU_type } from './VGPU_type.ts';
import { VIF } from './VIF.ts';
import { VLAN } from './VLAN.ts';
import { VM } from './VM.ts';
import { VM_appliance } from './VM_appliance.ts';
import { VM_group } from './VM_group.ts';
import { VM_guest_metrics } from './VM_guest_metrics.ts';
import { VM_metrics } from './VM_metrics.ts';
import { VMSS } from './VMSS.ts';
import { VTPM } from './VTPM.ts';
import { VUSB } from './VUSB.ts';

const ALL: Class[] = [
  session,
  auth,
  subject,
  role,
  task,
  event,
  pool,
  pool_patch,
  pool_update,
  VM,
  VM_metrics,
  VM_guest_metrics,
  VMSS,
  VM_appliance,
  DR_task,
  host,
  host_crashdump,
  host_patch,
  host_metrics,
  host_cpu,
  network,
  VIF,
  PIF,
  PIF_metrics,
  Bond,
  VLAN,
  SM,
  SR,
  sr_stat,
  probe_result,
  LVHD,
  VDI,
  VBD,
  PBD,
  crashdump,
  VTPM,
  console,
  user,
  data_source,
  blob,
  message,
  secret,
  tunnel,
  network_sriov,
  PCI,
  PGPU,
  GPU_group,
  VGPU,
  VGPU_type,
  PVS_site,
  PVS_server,
  PVS_proxy,
  PVS_cache_storage,
  Feature,
  SDN_controller,
  vdi_nbd_server_info,
  PUSB,
  USB_group,
  VUSB,
  Cluster,
  Cluster_host,
  Certificate,
  Repository,
  Observer,
  VM_group,
  Host_driver,
  Driver_variant,
  Diagnostics,
  Caller,
  Rate_limit,
];

export const CLASSES: ReadonlyMap<string, Class> = new Map(ALL.map((each) => [each.name, each]));

/** Every message by its full name, as in `VM.start`. */
export const MESSAGES: ReadonlyMap<string, Message> = new Map(
  ALL.flatMap(({ messages }) =>
    [...messages.values()].map((each): [string, Message] => [`${each.class}.${each.name}`, each]),
  ),
);

/** Values of an enum; `update_guidances` and the like are defined by several classes alike. */
export const ENUMS: ReadonlyMap<string, readonly string[]> = new Map(ALL.flatMap(({ enums }) => [...enums]));

export const classOf = (name: string): Class => {
  const found = CLASSES.get(name);
  if (!found) throw new Error(`XenAPI has no class ${name}`);
  return found;
};

/** The version of XenAPI that the tables describe. */
export const API_VERSION = { major: 2, minor: 21 } as const;
