// Grants, the mapping side: a table of mappings (maptrack), whose index is the handle. See grant_table.ts.
import {
  EINVAL,
  GNTMAP_application_map,
  GNTMAP_contains_pte,
  GNTMAP_device_map,
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_address_too_big,
  GNTST_bad_domain,
  GNTST_bad_gntref,
  GNTST_bad_handle,
  GNTST_bad_virt_addr,
  GNTST_general_error,
  GNTST_no_space,
  GNTST_okay,
  GNTST_permission_denied,
} from '../gen/abi';
import { XSM_grant_mapref, XSM_grant_unmapref } from '../gen/xsm';
import { xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { Mfn } from '../shared/memory';
import { Domain, DOMAIN_DYING, domain_find, domain_first, domain_next } from './domain';
import { grant_active, grant_begin, grant_end, grant_mfn, grant_shared, grant_uses_left } from './grant_table';
import { invariant_broken, invariant_page, INVARIANT_GRANT_MAPPING, invariant_step } from './invariants';
import { p2m_clear_grant, p2m_get, P2M_GRANT_RO, P2M_GRANT_RW, p2m_mfn, p2m_set, p2m_type } from './p2m';
import { xsm_check } from './xsm';

/** A mapping, on the mapper's side; its index is the handle. */
@unmanaged
class Track {
  ref: u32;
  domid: u16;
  flags: u16;
  /** Where it is mapped; in a free one the next free handle. */
  gfn: u32;
  reserved: u32;
}

const TRACK_USED: u16 = 1;
const TRACK_READONLY: u16 = 2;
const TRACKS_PER_PAGE: u32 = 256;
const NO_HANDLE: u32 = 0xffffffff;

@inline function track(d: Domain, h: u32): Track {
  return changetype<Track>(
    <usize>load<u32>(<usize>d.maptrack_dir + ((<usize>h / TRACKS_PER_PAGE) << 2)) + (<usize>h % TRACKS_PER_PAGE << 4),
  );
}

function track_alloc(d: Domain): u32 {
  if (d.maptrack_free == NO_HANDLE) {
    if (d.maptrack_frames >= d.max_maptrack_frames) return NO_HANDLE;
    const page = xenheap_alloc(d.domid);
    if (!page) return NO_HANDLE;
    store<u32>(<usize>d.maptrack_dir + ((<usize>d.maptrack_frames) << 2), <u32>page);
    const base = d.maptrack_frames * TRACKS_PER_PAGE;
    d.maptrack_frames++;
    for (let i = TRACKS_PER_PAGE; i-- > 0; ) track_free(d, base + i);
  }
  const h = d.maptrack_free;
  d.maptrack_free = track(d, h).gfn;
  return h;
}

function track_free(d: Domain, h: u32): void {
  const t = track(d, h);
  t.flags = 0;
  t.gfn = d.maptrack_free;
  d.maptrack_free = h;
}

/** Handle of the last grant_map that succeeded. */
export let map_handle: u32 = 0;

/** GNTTABOP_map_grant_ref: map `ref` of `dom` at the caller's guest-physical `addr`. GNTST_*. */
export function grant_map(d: Domain, addr: u64, flags: u32, ref: u32, dom: u32): i32 {
  if ((flags & (GNTMAP_device_map | GNTMAP_host_map)) == 0) return GNTST_bad_gntref;
  // Device mappings and those by page table entry are PV's.
  if (flags & (GNTMAP_device_map | GNTMAP_application_map | GNTMAP_contains_pte)) return GNTST_general_error;
  const found = domain_find(dom);
  if (found == null || found.flags & DOMAIN_DYING) return GNTST_bad_domain;
  const rd = found;
  if (xsm_check(XSM_grant_mapref, d, rd)) return GNTST_permission_denied;
  const readonly = (flags & GNTMAP_readonly) != 0;
  const h = track_alloc(d);
  if (h == NO_HANDLE) return GNTST_no_space;
  let rc = grant_begin(rd, ref, d.domid, readonly, false);
  if (rc == GNTST_okay) {
    const e = p2m_set(d, addr >> 12, grant_mfn, readonly ? P2M_GRANT_RO : P2M_GRANT_RW);
    if (e) {
      rc = e == -EINVAL ? GNTST_address_too_big : GNTST_general_error;
      grant_end(rd, ref, readonly);
    }
  }
  if (rc != GNTST_okay) {
    track_free(d, h);
    return rc;
  }
  const t = track(d, h);
  t.ref = ref;
  t.domid = rd.domid;
  t.flags = readonly ? TRACK_USED | TRACK_READONLY : TRACK_USED;
  t.gfn = <u32>(addr >> 12);
  map_handle = h;
  return GNTST_okay;
}

/** GNTTABOP_unmap_grant_ref. */
export function grant_unmap(d: Domain, addr: u64, h: u32): i32 {
  if (h >= d.maptrack_frames * TRACKS_PER_PAGE) return GNTST_bad_handle;
  const t = track(d, h);
  if (!(t.flags & TRACK_USED)) return GNTST_bad_handle;
  if (addr && addr != (<u64>t.gfn) << 12) return GNTST_bad_virt_addr;
  const rd = domain_find(t.domid);
  if (rd != null && xsm_check(XSM_grant_unmapref, d, rd)) return GNTST_permission_denied;
  drop_mapping(d, h);
  return GNTST_okay;
}

function drop_mapping(d: Domain, h: u32): void {
  const t = track(d, h);
  const rd = domain_find(t.domid);
  p2m_clear_grant(d, t.gfn);
  if (rd != null) grant_end(rd, t.ref, (t.flags & TRACK_READONLY) != 0);
  track_free(d, h);
}

/**
 * The domain ends: undo the mappings that it has. Its own frames stay as long as others map them, and so do the tables' pages, which
 * are what the others' grant_end needs: domain_release frees them.
 */
export function grant_table_destroy(d: Domain): void {
  for (let h: u32 = 0; h < d.maptrack_frames * TRACKS_PER_PAGE; h++) {
    if (track(d, h).flags & TRACK_USED) drop_mapping(d, h);
  }
  for (let i: u32 = 0; i < d.maptrack_frames; i++) xenheap_free(load<u32>(<usize>d.maptrack_dir + ((<usize>i) << 2)));
  d.maptrack_frames = 0;
}

/** The invariant walker's part: the table's pages. */
export function grant_track_holds(d: Domain): void {
  invariant_page(d.maptrack_dir);
  for (let i: u32 = 0; i < d.maptrack_frames; i++) invariant_page(load<u32>(<usize>d.maptrack_dir + ((<usize>i) << 2)));
}

/** Every use of a grant is a mapping that its mapper remembers. As with frames, what is found is subtracted, and added again. */
export function grant_uses(): void {
  for (let d = domain_first(); d != null; d = domain_next(d)) {
    const mapper = changetype<Domain>(d);
    for (let h: u32 = 0; h < mapper.maptrack_frames * TRACKS_PER_PAGE; h++)
      if (track(mapper, h).flags & TRACK_USED) track_use(mapper, h);
  }
  if (invariant_step != 1) grant_uses_left();
}

function track_use(d: Domain, h: u32): void {
  const t = track(d, h);
  const rd = domain_find(t.domid);
  if (rd == null || !grant_shared(rd, t.ref)) {
    invariant_broken(INVARIANT_GRANT_MAPPING, d.domid, h);
    return;
  }
  const a = grant_active(rd, t.ref);
  const readonly = (t.flags & TRACK_READONLY) != 0;
  const e = p2m_get(d, t.gfn);
  if (a.domid != d.domid || p2m_mfn(e) != a.mfn || p2m_type(e) != (readonly ? P2M_GRANT_RO : P2M_GRANT_RW))
    invariant_broken(INVARIANT_GRANT_MAPPING, d.domid, h);
  if (readonly) a.readers += invariant_step;
  else a.writers += invariant_step;
}

/** Has the domain a mapping of `mfn` by a grant, one to write by if asked for? For the invariant walker: it looks at all of them. */
export function grant_maps(d: Domain, mfn: Mfn, write: bool): bool {
  for (let h: u32 = 0; h < d.maptrack_frames * TRACKS_PER_PAGE; h++) {
    const t = track(d, h);
    if (!(t.flags & TRACK_USED) || (write && t.flags & TRACK_READONLY)) continue;
    const rd = domain_find(t.domid);
    if (rd != null && grant_shared(rd, t.ref) && grant_active(rd, t.ref).mfn == mfn) return true;
  }
  return false;
}
