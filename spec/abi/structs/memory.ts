/** public/memory.h */
import { domid_t, handle, struct, structs, u16, u32, u64, u8, union, xen_pfn_t, xen_ulong_t } from '../layout.ts';

const base = structs({
  xen_memory_reservation: {
    extent_start: handle,
    nr_extents: xen_ulong_t,
    extent_order: u32,
    mem_flags: u32,
    domid: domid_t,
  },
  xen_memory_map: { nr_entries: u32, buffer: handle },
});

export const memory = {
  ...base,
  ...structs({
    xen_memory_exchange: {
      in: base.xen_memory_reservation,
      out: base.xen_memory_reservation,
      nr_exchanged: xen_ulong_t,
    },
    xen_memory_domain: { domid: domid_t },
    xen_machphys_mfn_list: { max_extents: u32, extent_start: handle, nr_extents: u32 },
    xen_machphys_mapping: { v_start: xen_ulong_t, v_end: xen_ulong_t, max_mfn: xen_ulong_t },
    xen_add_to_physmap: { domid: domid_t, size: u16, space: u32, idx: xen_ulong_t, gpfn: xen_pfn_t },
    xen_add_to_physmap_batch: {
      domid: domid_t,
      space: u16,
      size: u16,
      u: union({ foreign_domid: domid_t, res0: u16 }),
      idxs: handle,
      gpfns: handle,
      errs: handle,
    },
    xen_remove_from_physmap: { domid: domid_t, gpfn: xen_pfn_t },
    xen_foreign_memory_map: { domid: domid_t, map: base.xen_memory_map },
    xen_pod_target: { target_pages: u64, tot_pages: u64, pod_cache_pages: u64, pod_entries: u64, domid: domid_t },
    xen_mem_access_op: { op: u8, access: u8, domid: domid_t, nr: u32, pfn: u64, pfn_list: handle, access_list: handle },
    xen_mem_acquire_resource: {
      domid: domid_t,
      type: u16,
      id: u32,
      nr_frames: u32,
      pad: u32,
      frame: u64,
      frame_list: handle,
    },
    xen_reserved_device_memory: { start_pfn: xen_pfn_t, nr_pages: xen_ulong_t },
    xen_vmemrange: { start: u64, end: u64, flags: u32, nid: u32 },
    xen_vnuma_topology_info: {
      domid: domid_t,
      pad: u16,
      nr_vnodes: u32,
      nr_vcpus: u32,
      nr_vmemranges: u32,
      vdistance: union({ h: handle, pad: u64 }),
      vcpu_to_vnode: union({ h: handle, pad: u64 }),
      vmemrange: union({ h: handle, pad: u64 }),
    },
  }),
};

/** The INT 15h E820 entry that XENMEM_memory_map's buffer holds (ACPI 6.5, 15.1): 20 bytes; in no public header. */
export const e820 = structs({ e820entry: struct({ addr: u64, size: u64, type: u32 }, 4) });
