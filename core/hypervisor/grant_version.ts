// GNTTABOP_set_version: a domain's table changes between entries of 8 bytes and of 16 with status words of their own.
import {
  EBUSY,
  ENOMEM,
  GNTTAB_NR_RESERVED_ENTRIES,
  grant_entry_v1__frame,
  grant_entry_v2__full_page__frame,
  GTF_permit_access,
  GTF_reading,
  GTF_type_mask,
  GTF_writing,
  sizeof_grant_entry_v1,
  sizeof_grant_entry_v2,
} from '../gen/abi';
import { frame } from '../shared/frame_table';
import { mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain } from './domain';
import {
  grant_drop_status,
  grant_entries,
  grant_frame_mfn,
  grant_grow_status,
  grant_in_use,
  grant_shared,
  grant_status,
  grant_status_mfn,
} from './grant_table';

const USE: u32 = GTF_reading | GTF_writing;

/** A status frame that the guest still sees. */
function status_mapped(d: Domain): bool {
  for (let i: u32 = 0; i < d.status_frames; i++) if (frame(grant_status_mfn(d, i)).refcount > 1) return true;
  return false;
}

/** Change to version 1 or 2. The reserved entries stay (the builder's xenstore and console), all others are cleared. 0 or an errno. */
export function grant_set_version(d: Domain, version: u32): i32 {
  if (d.grant_version == version) return 0;
  const entries = grant_entries(d);
  for (let ref: u32 = GNTTAB_NR_RESERVED_ENTRIES; ref < entries; ref++) if (grant_in_use(d, ref)) return -EBUSY;
  if (version == 2) {
    if (!grant_grow_status(d, d.grant_frames)) {
      grant_drop_status(d);
      return -ENOMEM;
    }
  } else if (status_mapped(d)) return -EBUSY;
  if (d.grant_frames) {
    const first = mfn_to_ptr(grant_frame_mfn(d, 0));
    if (version == 2) {
      widen(first);
      for (let ref: u32 = 0; ref < <u32>GNTTAB_NR_RESERVED_ENTRIES; ref++) {
        const e = first + <usize>ref * sizeof_grant_entry_v2;
        const status = mfn_to_ptr(grant_status_mfn(d, 0)) + ((<usize>ref) << 1);
        store<u16>(status, <u16>(load<u16>(e) & (<u16>USE)));
        store<u16>(e, load<u16>(e) & (<u16>~USE));
      }
    } else shrink(d, first);
    for (let i: u32 = 1; i < d.grant_frames; i++) memory.fill(mfn_to_ptr(grant_frame_mfn(d, i)), 0, PAGE_SIZE);
  }
  d.grant_version = version;
  if (version == 1) grant_drop_status(d);
  return 0;
}

/** The reserved entries of version 1 at `first` become ones of version 2; the last one is moved first. */
function widen(first: usize): void {
  for (let i = GNTTAB_NR_RESERVED_ENTRIES; i-- > 0; ) {
    const from = first + <usize>i * sizeof_grant_entry_v1;
    const head = load<u32>(from);
    const gfn = <u64>load<u32>(from, grant_entry_v1__frame);
    const to = first + <usize>i * sizeof_grant_entry_v2;
    store<u64>(to, head);
    store<u64>(to, gfn, grant_entry_v2__full_page__frame);
  }
  const end = <usize>GNTTAB_NR_RESERVED_ENTRIES * sizeof_grant_entry_v2;
  memory.fill(first + end, 0, <usize>PAGE_SIZE - end);
}

/** The way back: what version 1 cannot say is dropped. */
function shrink(d: Domain, first: usize): void {
  for (let ref: u32 = 0; ref < <u32>GNTTAB_NR_RESERVED_ENTRIES; ref++) {
    const from = grant_shared(d, ref);
    let head = load<u32>(from);
    let gfn = <u32>load<u64>(from, grant_entry_v2__full_page__frame);
    if ((head & GTF_type_mask) == GTF_permit_access) head |= load<u16>(grant_status(d, ref)) & (<u16>USE);
    else head = gfn = 0;
    store<u32>(first + <usize>ref * sizeof_grant_entry_v1, head);
    store<u32>(first + <usize>ref * sizeof_grant_entry_v1, gfn, grant_entry_v1__frame);
  }
  const end = <usize>GNTTAB_NR_RESERVED_ENTRIES * sizeof_grant_entry_v1;
  memory.fill(first + end, 0, <usize>PAGE_SIZE - end);
}
