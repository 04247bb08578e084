/**
 * Relations that both sides tell: a field that refers to one object, and the set on the other side, which follows from it. Only
 * references are kept; sets are worked out. `many`: sets on both sides; the first one named is kept.
 */
export interface Link {
  class: string;
  field: string;
  to: string;
  /** The set at the other end. */
  back: string;
  many: boolean;
}

const ONE = `
  Bond.master PIF.bond_master_of
  Certificate.host host.certificates
  Cluster_host.cluster Cluster.cluster_hosts
  Driver_variant.driver Host_driver.variants
  Feature.host host.features
  PBD.SR SR.PBDs
  PBD.host host.PBDs
  PCI.host host.PCIs
  PGPU.GPU_group GPU_group.PGPUs
  PGPU.host host.PGPUs
  PIF.bond_slave_of Bond.slaves
  PIF.host host.PIFs
  PIF.network network.PIFs
  PUSB.USB_group USB_group.PUSBs
  PUSB.host host.PUSBs
  PVS_cache_storage.site PVS_site.cache_storage
  PVS_proxy.site PVS_site.proxies
  PVS_server.site PVS_site.servers
  SR.introduced_by DR_task.introduced_SRs
  VBD.VDI VDI.VBDs
  VBD.VM VM.VBDs
  VDI.SR SR.VDIs
  VDI.metadata_of_pool pool.metadata_VDIs
  VDI.snapshot_of VDI.snapshots
  VGPU.GPU_group GPU_group.VGPUs
  VGPU.VM VM.VGPUs
  VGPU.resident_on PGPU.resident_VGPUs
  VGPU.type VGPU_type.VGPUs
  VIF.VM VM.VIFs
  VIF.network network.VIFs
  VLAN.tagged_PIF PIF.VLAN_slave_of
  VM.appliance VM_appliance.VMs
  VM.parent VM.children
  VM.resident_on host.resident_VMs
  VM.snapshot_of VM.snapshots
  VM.snapshot_schedule VMSS.VMs
  VTPM.VM VM.VTPMs
  VUSB.USB_group USB_group.VUSBs
  VUSB.VM VM.VUSBs
  console.VM VM.consoles
  crashdump.VDI VDI.crash_dumps
  crashdump.VM VM.crash_dumps
  host_cpu.host host.host_CPUs
  host_crashdump.host host.crashdumps
  host_patch.host host.patches
  host_patch.pool_patch pool_patch.host_patches
  network_sriov.logical_PIF PIF.sriov_logical_PIF_of
  network_sriov.physical_PIF PIF.sriov_physical_PIF_of
  task.subtask_of task.subtasks
  tunnel.access_PIF PIF.tunnel_access_PIF_of
  tunnel.transport_PIF PIF.tunnel_transport_PIF_of
`;

const MANY = `
  GPU_group.enabled_VGPU_types VGPU_type.enabled_on_GPU_groups
  GPU_group.supported_VGPU_types VGPU_type.supported_on_GPU_groups
  PGPU.enabled_VGPU_types VGPU_type.enabled_on_PGPUs
  PGPU.supported_VGPU_types VGPU_type.supported_on_PGPUs
  VM.groups VM_group.VMs
  host.updates pool_update.hosts
`;

const read = (table: string, many: boolean): Link[] =>
  [...table.matchAll(/(\w+)\.(\w+) (\w+)\.(\w+)/g)].map(([, name, field, to, back]) => {
    return { class: name, field, to, back, many };
  });

export const LINKS: readonly Link[] = [...read(ONE, false), ...read(MANY, true)];
