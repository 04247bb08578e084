/** public/grant_table.h */
import {
  array,
  domid_t,
  grant_ref_t,
  handle,
  i16,
  struct,
  structs,
  u16,
  u32,
  u64,
  union,
  xen_pfn_t,
} from '../layout.ts';

const entries = structs({
  grant_entry_v1: { flags: u16, domid: domid_t, frame: u32 },
  grant_entry_header: { flags: u16, domid: domid_t },
  gnttab_copy_ptr: { u: union({ ref: grant_ref_t, gmfn: xen_pfn_t }), domid: domid_t, offset: u16 },
});
const hdr = entries.grant_entry_header;

export const grantTable = {
  ...entries,
  ...structs({
    grant_entry_v2: union({
      hdr,
      full_page: struct({ hdr, pad0: u32, frame: u64 }),
      sub_page: struct({ hdr, page_off: u16, length: u16, frame: u64 }),
      transitive: struct({ hdr, trans_domid: domid_t, pad0: u16, gref: grant_ref_t }),
      __spacer: array(u32, 4),
    }),
    gnttab_map_grant_ref: {
      host_addr: u64,
      flags: u32,
      ref: grant_ref_t,
      dom: domid_t,
      status: i16,
      handle: u32,
      dev_bus_addr: u64,
    },
    gnttab_unmap_grant_ref: { host_addr: u64, dev_bus_addr: u64, handle: u32, status: i16 },
    gnttab_setup_table: { dom: domid_t, nr_frames: u32, status: i16, frame_list: handle },
    gnttab_dump_table: { dom: domid_t, status: i16 },
    gnttab_transfer: { mfn: xen_pfn_t, domid: domid_t, ref: grant_ref_t, status: i16 },
    gnttab_copy: { source: entries.gnttab_copy_ptr, dest: entries.gnttab_copy_ptr, len: u16, flags: u16, status: i16 },
    gnttab_query_size: { dom: domid_t, nr_frames: u32, max_nr_frames: u32, status: i16 },
    gnttab_unmap_and_replace: { host_addr: u64, new_addr: u64, handle: u32, status: i16 },
    gnttab_set_version: { version: u32 },
    gnttab_get_status_frames: { nr_frames: u32, dom: domid_t, status: i16, frame_list: handle },
    gnttab_get_version: { dom: domid_t, pad: u16, version: u32 },
    gnttab_swap_grant_ref: { ref_a: grant_ref_t, ref_b: grant_ref_t, status: i16 },
    gnttab_cache_flush: { a: union({ dev_bus_addr: u64, ref: grant_ref_t }), offset: u16, length: u16, op: u32 },
  }),
};
