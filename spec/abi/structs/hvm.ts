/** public/hvm/hvm_op.h, public/arch-x86/hvm/start_info.h, public/hvm/ioreq.h, public/hvm/dm_op.h */
import {
  array,
  bits,
  domid_t,
  evtchn_port_t,
  handle,
  structs,
  u16,
  u32,
  u64,
  u8,
  union,
  xen_ulong_t,
} from '../layout.ts';

export const hvm = structs({
  xen_hvm_param: { domid: domid_t, pad: u16, index: u32, value: u64 },
  xen_hvm_pagetable_dying: { domid: domid_t, pad: array(u16, 3), gpa: u64 },
  xen_hvm_get_time: { now: u64 },
  xen_hvm_xentrace: { event: u16, extra_bytes: u16, extra: array(u8, 28) },
  xen_hvm_get_mem_type: { domid: domid_t, mem_type: u16, pad: array(u16, 2), pfn: u64 },
  xen_hvm_evtchn_upcall_vector: { vcpu: u32, vector: u8 },
});

export const startInfo = structs({
  hvm_start_info: {
    magic: u32,
    version: u32,
    flags: u32,
    nr_modules: u32,
    modlist_paddr: u64,
    cmdline_paddr: u64,
    rsdp_paddr: u64,
    memmap_paddr: u64,
    memmap_entries: u32,
    reserved: u32,
  },
  hvm_modlist_entry: { paddr: u64, size: u64, cmdline_paddr: u64, reserved: u64 },
  hvm_memmap_table_entry: { addr: u64, size: u64, type: u32, reserved: u32 },
});

const requests = structs({
  ioreq: {
    addr: u64,
    data: u64,
    count: u32,
    size: u32,
    vp_eport: u32,
    _pad0: u16,
    $bits: bits(u8, { state: 4, data_is_ptr: 1, dir: 1, df: 1, _pad1: 1 }),
    type: u8,
  },
  buf_ioreq: { $bits: bits(u32, { type: 8, pad: 1, dir: 1, size: 2, addr: 20 }), data: u32 },
});

export const ioreq = {
  ...requests,
  ...structs({
    shared_iopage: { vcpu_ioreq: array(requests.ioreq, 1) },
    buffered_iopage: { read_pointer: u32, write_pointer: u32, buf_ioreq: array(requests.buf_ioreq, 511) },
  }),
};

const ioservid_t = u16;
const ops = structs({
  xen_dm_op_create_ioreq_server: { handle_bufioreq: u8, pad: array(u8, 3), id: ioservid_t },
  xen_dm_op_get_ioreq_server_info: {
    id: ioservid_t,
    flags: u16,
    bufioreq_port: evtchn_port_t,
    ioreq_gfn: u64,
    bufioreq_gfn: u64,
  },
  xen_dm_op_ioreq_server_range: { id: ioservid_t, pad: u16, type: u32, start: u64, end: u64 },
  xen_dm_op_set_ioreq_server_state: { id: ioservid_t, enabled: u8, pad: u8 },
  xen_dm_op_destroy_ioreq_server: { id: ioservid_t, pad: u16 },
  xen_dm_op_track_dirty_vram: { nr: u32, pad: u32, first_pfn: u64 },
  xen_dm_op_set_pci_intx_level: { domain: u16, bus: u8, device: u8, intx: u8, level: u8 },
  xen_dm_op_set_isa_irq_level: { isa_irq: u8, level: u8 },
  xen_dm_op_set_pci_link_route: { link: u8, isa_irq: u8 },
  xen_dm_op_modified_memory: { nr_extents: u32, opaque: u32 },
  xen_dm_op_set_mem_type: { nr: u32, mem_type: u16, pad: u16, first_pfn: u64 },
  xen_dm_op_inject_event: {
    vcpuid: u32,
    vector: u8,
    type: u8,
    insn_len: u8,
    pad0: u8,
    error_code: u32,
    pad1: u32,
    cr2: u64,
  },
  xen_dm_op_inject_msi: { data: u32, pad: u32, addr: u64 },
  xen_dm_op_map_mem_type_to_ioreq_server: { id: ioservid_t, type: u16, flags: u32, opaque: u64 },
  xen_dm_op_remote_shutdown: { reason: u32 },
  xen_dm_op_relocate_memory: { size: u32, pad: u32, src_gfn: u64, dst_gfn: u64 },
  xen_dm_op_pin_memory_cacheattr: { start: u64, end: u64, type: u32, pad: u32 },
  xen_dm_op_set_irq_level: { irq: u32, level: u8, pad: array(u8, 3) },
  xen_dm_op_nr_vcpus: { vcpus: u32 },
});

export const dmOp = {
  ...ops,
  ...structs({
    xen_dm_op_modified_memory_extent: { nr: u32, pad: u32, first_pfn: u64 },
    xen_dm_op: {
      op: u32,
      pad: u32,
      u: union({
        create_ioreq_server: ops.xen_dm_op_create_ioreq_server,
        get_ioreq_server_info: ops.xen_dm_op_get_ioreq_server_info,
        map_io_range_to_ioreq_server: ops.xen_dm_op_ioreq_server_range,
        unmap_io_range_from_ioreq_server: ops.xen_dm_op_ioreq_server_range,
        set_ioreq_server_state: ops.xen_dm_op_set_ioreq_server_state,
        destroy_ioreq_server: ops.xen_dm_op_destroy_ioreq_server,
        track_dirty_vram: ops.xen_dm_op_track_dirty_vram,
        set_pci_intx_level: ops.xen_dm_op_set_pci_intx_level,
        set_isa_irq_level: ops.xen_dm_op_set_isa_irq_level,
        set_irq_level: ops.xen_dm_op_set_irq_level,
        set_pci_link_route: ops.xen_dm_op_set_pci_link_route,
        modified_memory: ops.xen_dm_op_modified_memory,
        set_mem_type: ops.xen_dm_op_set_mem_type,
        inject_event: ops.xen_dm_op_inject_event,
        inject_msi: ops.xen_dm_op_inject_msi,
        map_mem_type_to_ioreq_server: ops.xen_dm_op_map_mem_type_to_ioreq_server,
        remote_shutdown: ops.xen_dm_op_remote_shutdown,
        relocate_memory: ops.xen_dm_op_relocate_memory,
        pin_memory_cacheattr: ops.xen_dm_op_pin_memory_cacheattr,
        nr_vcpus: ops.xen_dm_op_nr_vcpus,
      }),
    },
    xen_dm_op_buf: { h: handle, size: xen_ulong_t },
  }),
};
