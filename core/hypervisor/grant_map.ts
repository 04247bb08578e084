// Grants, the mapping side: a table of mappings (maptrack), whose index is the handle. See grant_table.ts.
import {
  EINVAL,
  GNTMAP_application_map,
  GNTMAP_contains_pte,
  GNTMAP_device_map,
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_address_too_big,
  GNTST_bad_dev_addr,
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
import { Domain, DOMAIN_DYING, domain_find, domain_first, domain_next, is_pv } from './domain';
import { grant_active, grant_begin, grant_end, grant_mfn, grant_shared, grant_uses_left } from './grant_table';
import { invariant_broken, invariant_page, INVARIANT_GRANT_MAPPING, invariant_step } from './invariants';
import { p2m_clear_grant, p2m_get, P2M_GRANT_RO, P2M_GRANT_RW, p2m_mfn, p2m_set, p2m_type } from './p2m';
import { grant_pte_clear, grant_pte_set } from './pv/grant_pte';
import { Vcpu } from './vcpu';
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
/** Its parts: for the processors, for a device. */
const TRACK_HOST: u16 = 4;
const TRACK_DEVICE: u16 = 8;
/** A PV guest has named a page table's entry, not an address. */
const TRACK_PTE: u16 = 16;
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

/** Handle of the last grant_map that succeeded, and the frame that is mapped. */
export let map_handle: u32 = 0;
export let map_mfn: Mfn = 0;

/**
 * GNTTABOP_map_grant_ref: map `ref` of `dom` at the caller's guest-physical `addr`, or in a PV guest's page tables, and (or) let a device of a
 * PV guest's have it. GNTST_*.
 */
export function grant_map(d: Domain, v: Vcpu, addr: u64, flags: u32, ref: u32, dom: u32): i32 {
  if ((flags & (GNTMAP_device_map | GNTMAP_host_map)) == 0) return GNTST_bad_gntref;
  // Device mappings and those by page table entry are PV's.
  if (!is_pv(d) && flags & (GNTMAP_device_map | GNTMAP_application_map | GNTMAP_contains_pte))
    return GNTST_general_error;
  const found = domain_find(dom);
  if (found == null || found.flags & DOMAIN_DYING) return GNTST_bad_domain;
  const rd = found;
  if (xsm_check(XSM_grant_mapref, d, rd)) return GNTST_permission_denied;
  const readonly = (flags & GNTMAP_readonly) != 0;
  const h = track_alloc(d);
  if (h == NO_HANDLE) return GNTST_no_space;
  const rc = map_parts(d, v, track(d, h), addr, flags, ref, rd);
  if (rc == GNTST_okay) map_handle = h;
  else track_free(d, h);
  return rc;
}

/** A use for each part of the mapping: for a device, for the processors. */
function map_parts(d: Domain, v: Vcpu, t: Track, addr: u64, flags: u32, ref: u32, rd: Domain): i32 {
  const readonly = (flags & GNTMAP_readonly) != 0;
  const device = (flags & GNTMAP_device_map) != 0;
  let rc = device ? grant_begin(rd, ref, d.domid, readonly, false) : GNTST_okay;
  if (rc != GNTST_okay) return rc;
  if (flags & GNTMAP_host_map) {
    rc = grant_begin(rd, ref, d.domid, readonly, false);
    if (rc == GNTST_okay) {
      rc = map_host(d, v, addr, flags, grant_mfn);
      if (rc != GNTST_okay) grant_end(rd, ref, readonly);
    }
    if (rc != GNTST_okay) {
      if (device) grant_end(rd, ref, readonly);
      return rc;
    }
  }
  t.ref = ref;
  t.domid = rd.domid;
  t.gfn = <u32>(addr >> 12);
  t.flags = TRACK_USED;
  if (readonly) t.flags |= TRACK_READONLY;
  if (device) t.flags |= TRACK_DEVICE;
  if (flags & GNTMAP_host_map) t.flags |= TRACK_HOST;
  if (flags & GNTMAP_contains_pte) t.flags |= TRACK_PTE;
  map_mfn = grant_mfn;
  return GNTST_okay;
}

function map_host(d: Domain, v: Vcpu, addr: u64, flags: u32, mfn: Mfn): i32 {
  if (is_pv(d)) return grant_pte_set(v, addr, flags, mfn) ? GNTST_okay : GNTST_general_error;
  const e = p2m_set(d, addr >> 12, mfn, flags & GNTMAP_readonly ? P2M_GRANT_RO : P2M_GRANT_RW);
  return e == 0 ? GNTST_okay : e == -EINVAL ? GNTST_address_too_big : GNTST_general_error;
}

/**
 * GNTTABOP_unmap_grant_ref, unmap_and_replace. A PV guest says what it wants to be rid of: the mapping at `addr`, in whose place comes what
 * is mapped at `instead`; the device's, at `bus`. 0 is none.
 */
export function grant_unmap(d: Domain, v: Vcpu, addr: u64, bus: u64, h: u32, instead: u64): i32 {
  if (h >= d.maptrack_frames * TRACKS_PER_PAGE) return GNTST_bad_handle;
  const t = track(d, h);
  if (!(t.flags & TRACK_USED)) return GNTST_bad_handle;
  const pv = is_pv(d);
  if (!pv && addr && addr != (<u64>t.gfn) << 12) return GNTST_bad_virt_addr;
  const rd = domain_find(t.domid);
  if (rd != null && xsm_check(XSM_grant_unmapref, d, rd)) return GNTST_permission_denied;
  if (!pv) {
    // A new place for the mapping's page is PV's: a page table entry.
    if (instead) return GNTST_general_error;
    drop_mapping(d, h);
    return GNTST_okay;
  }
  return rd == null ? GNTST_general_error : unmap_parts(v, d, h, rd, addr, bus, instead);
}

function unmap_parts(v: Vcpu, d: Domain, h: u32, rd: Domain, addr: u64, bus: u64, instead: u64): i32 {
  const t = track(d, h);
  const readonly = (t.flags & TRACK_READONLY) != 0;
  const mfn = grant_active(rd, t.ref).mfn;
  if (bus && bus != (<u64>mfn) << 12) return GNTST_bad_dev_addr;
  if (addr && t.flags & TRACK_HOST) {
    if (!grant_pte_clear(v, addr, (t.flags & TRACK_PTE) != 0, readonly, mfn, instead)) return GNTST_general_error;
    t.flags &= ~TRACK_HOST;
    grant_end(rd, t.ref, readonly);
  }
  if (bus && t.flags & TRACK_DEVICE) {
    t.flags &= ~TRACK_DEVICE;
    grant_end(rd, t.ref, readonly);
  }
  if (!(t.flags & (TRACK_HOST | TRACK_DEVICE))) track_free(d, h);
  return GNTST_okay;
}

/** All of a mapping goes; the entries of a PV guest's page tables go with those. */
function drop_mapping(d: Domain, h: u32): void {
  const t = track(d, h);
  const rd = domain_find(t.domid);
  if (!is_pv(d)) p2m_clear_grant(d, t.gfn);
  for (let parts = uses_of(t); rd != null && parts > 0; parts--) grant_end(rd, t.ref, (t.flags & TRACK_READONLY) != 0);
  track_free(d, h);
}

/** Uses of its grant that a mapping has. */
function uses_of(t: Track): u32 {
  return (t.flags & TRACK_HOST ? 1 : 0) + (t.flags & TRACK_DEVICE ? 1 : 0);
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
  const e = is_pv(d) ? 0 : p2m_get(d, t.gfn);
  const there = is_pv(d) || (p2m_mfn(e) == a.mfn && p2m_type(e) == (readonly ? P2M_GRANT_RO : P2M_GRANT_RW));
  if (a.domid != d.domid || !there || !uses_of(t)) invariant_broken(INVARIANT_GRANT_MAPPING, d.domid, h);
  if (readonly) a.readers += uses_of(t) * invariant_step;
  else a.writers += uses_of(t) * invariant_step;
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
