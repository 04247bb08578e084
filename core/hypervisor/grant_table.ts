// Grant tables, version 1 (public/grant_table.h): shared entries in pages the granting domain writes, active entries and counts here,
// a maptrack table for the mapping side. A mapping is a p2m entry of the mapper for the granter's own frame.
import {
  DOMID_SELF,
  EINVAL,
  ENOMEM,
  GNTMAP_application_map,
  GNTMAP_contains_pte,
  GNTMAP_device_map,
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_address_too_big,
  GNTST_bad_domain,
  GNTST_bad_gntref,
  GNTST_bad_handle,
  GNTST_bad_page,
  GNTST_bad_virt_addr,
  GNTST_eagain,
  GNTST_general_error,
  GNTST_no_device_space,
  GNTST_no_space,
  GNTST_okay,
  GNTST_permission_denied,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_type_mask,
  GTF_writing,
  GTF_PAT,
  GTF_PCD,
  GTF_PWT,
  GNTTAB_NR_RESERVED_ENTRIES,
} from '../gen/abi';
import { XSM_grant_mapref, XSM_grant_unmapref } from '../gen/xsm';
import { frame, FRAME_RAM, FRAME_SHARED } from '../shared/frame_table';
import { frame_alloc, frame_free, xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../shared/memory';
import {
  Domain,
  DOMAIN_ACTIVE,
  DOMAIN_DYING,
  DOMAIN_GRANTS,
  GRANT_FRAMES_MAX,
  domain_by_id,
  domain_find,
  domain_first,
  domain_next,
  page_get,
  page_put,
} from './domain';
import {
  p2m_clear_grant,
  p2m_frame,
  p2m_get,
  P2M_GRANT_RO,
  P2M_GRANT_RW,
  p2m_mfn,
  p2m_set,
  p2m_type,
  p2m_writable,
  P2M_RAM_RO,
  P2M_RAM_RW,
} from './p2m';
import { xsm_check } from './xsm';
import {
  invariant_broken,
  invariant_hold,
  invariant_page,
  INVARIANT_GRANT_MAPPING,
  INVARIANT_GRANT_USES,
  invariant_step,
} from './invariants';

export const GRANTS_PER_FRAME: u32 = 512;

/** Active side of a shared entry: who uses it and how often, and which frame it meant when the use began. */
@unmanaged
export class Active {
  readers: u32;
  writers: u32;
  mfn: Mfn;
  domid: u16;
  reserved: u16;
}

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

export function grant_table_init(d: Domain): bool {
  d.maptrack_dir = <u32>xenheap_alloc(d.domid);
  return d.maptrack_dir != 0;
}

@inline export function grant_frame_mfn(d: Domain, i: u32): Mfn {
  return load<u32>(changetype<usize>(d) + DOMAIN_GRANTS + ((<usize>i) << 2));
}

@inline function active_pages(d: Domain, frame: u32): usize {
  return changetype<usize>(d) + DOMAIN_ACTIVE + ((<usize>frame) << 3);
}

/** The shared entry of a reference, 0 if the table is not that long. */
export function grant_shared(d: Domain, ref: u32): usize {
  const f = ref / GRANTS_PER_FRAME;
  return f < d.grant_frames ? mfn_to_ptr(grant_frame_mfn(d, f)) + (<usize>ref % GRANTS_PER_FRAME << 3) : 0;
}

function active_of(d: Domain, ref: u32): Active {
  const f = ref / GRANTS_PER_FRAME;
  const i = ref % GRANTS_PER_FRAME;
  return changetype<Active>(
    <usize>load<u32>(active_pages(d, f) + (((<usize>i) >>> 8) << 2)) + (((<usize>i) & 255) << 4),
  );
}

/** Make the table at least `frames` long. False: more than allowed, or no memory. */
export function grant_grow(d: Domain, frames: u32): bool {
  if (frames > d.max_grant_frames) return false;
  while (d.grant_frames < frames) {
    const i = d.grant_frames;
    const mfn = frame_alloc(d.domid, FRAME_SHARED);
    const a = xenheap_alloc(d.domid);
    const b = xenheap_alloc(d.domid);
    if (mfn == INVALID_MFN || !a || !b) {
      if (mfn != INVALID_MFN) frame_free(mfn);
      xenheap_free(a);
      xenheap_free(b);
      return false;
    }
    store<u32>(changetype<usize>(d) + DOMAIN_GRANTS + ((<usize>i) << 2), mfn);
    store<u32>(active_pages(d, i), <u32>a, 0);
    store<u32>(active_pages(d, i), <u32>b, 4);
    d.grant_frames = i + 1;
  }
  return true;
}

/** The frame of the domain's memory that grant_begin pinned. */
export let grant_mfn: Mfn = 0;

/**
 * Begin a use of `ref` of `rd` by `user`: set GTF_reading or GTF_writing in the shared entry, atomically with the check that it grants
 * what is asked. GNTST_*; on GNTST_okay the frame is held and in grant_mfn.
 */
export function grant_begin(rd: Domain, ref: u32, user: u16, readonly: bool): i32 {
  const s = grant_shared(rd, ref);
  if (!s) return GNTST_bad_gntref;
  const a = active_of(rd, ref);
  if (a.readers + a.writers) {
    // In use: the frame is the one that the first use saw, whatever the guest writes into the entry meanwhile.
    if (a.domid != user) return GNTST_general_error;
    if (!readonly && load<u16>(s) & (<u16>GTF_readonly)) return GNTST_general_error;
    if (!readonly) atomic.or<u16>(s, <u16>GTF_writing);
  } else {
    const rc = grant_claim(rd, s, a, user, readonly);
    if (rc != GNTST_okay) return rc;
  }
  if (readonly) a.readers++;
  else a.writers++;
  page_get(a.mfn);
  grant_mfn = a.mfn;
  return GNTST_okay;
}

const CLAIM_TRIES: i32 = 5;

/** First use: flags and domid of the entry are one word, claimed by compare-and-swap. */
function grant_claim(rd: Domain, s: usize, a: Active, user: u16, readonly: bool): i32 {
  for (let i = 0; i < CLAIM_TRIES; i++) {
    const word = atomic.load<u32>(s);
    const flags = <u16>word;
    if ((flags & (<u16>GTF_type_mask)) != <u16>GTF_permit_access || <u16>(word >>> 16) != user)
      return GNTST_general_error;
    if (flags & (<u16>(GTF_PWT | GTF_PCD | GTF_PAT | GTF_sub_page))) return GNTST_general_error;
    if (!readonly && flags & (<u16>GTF_readonly)) return GNTST_general_error;
    const use = readonly ? GTF_reading : GTF_reading | GTF_writing;
    if (atomic.cmpxchg<u32>(s, word, word | use) != word) continue;
    const gfn = <u64>atomic.load<u32>(s + 4);
    const e = p2m_get(rd, gfn);
    const type = p2m_type(e);
    const mfn = type == P2M_RAM_RW || type == P2M_RAM_RO ? p2m_frame(rd, gfn) : INVALID_MFN;
    if (mfn == INVALID_MFN || frame(mfn).type != FRAME_RAM || (!readonly && !p2m_writable)) {
      atomic.and<u16>(s, <u16>~(GTF_reading | GTF_writing));
      return GNTST_bad_page;
    }
    a.mfn = mfn;
    a.domid = user;
    return GNTST_okay;
  }
  return GNTST_eagain;
}

/** End a use that grant_begin began. */
export function grant_end(rd: Domain, ref: u32, readonly: bool): void {
  const s = grant_shared(rd, ref);
  const a = active_of(rd, ref);
  const mfn = a.mfn;
  if (readonly) a.readers--;
  else a.writers--;
  let clear = 0;
  if (!a.writers) clear |= GTF_writing;
  if (!a.writers && !a.readers) clear |= GTF_reading;
  if (clear) atomic.and<u16>(s, <u16>~clear);
  page_put(mfn);
}

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
  // There is no I/O page table, so a device mapping cannot be had; mappings by PTE are PV's.
  if ((flags & (GNTMAP_device_map | GNTMAP_host_map)) == 0) return GNTST_general_error;
  if (flags & GNTMAP_device_map) return GNTST_no_device_space;
  if (flags & (GNTMAP_application_map | GNTMAP_contains_pte)) return GNTST_general_error;
  if (addr & 0xfff) return GNTST_bad_virt_addr;
  const rd = domain_by_id(d, dom);
  if (rd == null) return GNTST_bad_domain;
  if (xsm_check(XSM_grant_mapref, d, rd)) return GNTST_permission_denied;
  const readonly = (flags & GNTMAP_readonly) != 0;
  const h = track_alloc(d);
  if (h == NO_HANDLE) return GNTST_no_space;
  let rc = grant_begin(rd, ref, d.domid, readonly);
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

/** GNTTABOP_swap_grant_ref: neither may be in use. */
export function grant_swap(d: Domain, a: u32, b: u32): i32 {
  const p = grant_shared(d, a);
  const q = grant_shared(d, b);
  if (!p || !q) return GNTST_bad_gntref;
  const x = active_of(d, a);
  const y = active_of(d, b);
  if (x.readers + x.writers + y.readers + y.writers) return GNTST_eagain;
  const t = atomic.load<u64>(p);
  atomic.store<u64>(p, atomic.load<u64>(q));
  atomic.store<u64>(q, t);
  return GNTST_okay;
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

/** Nothing maps the domain's frames any more. */
export function grant_table_release(d: Domain): void {
  for (let i: u32 = 0; i < d.grant_frames; i++) {
    page_put(grant_frame_mfn(d, i));
    xenheap_free(load<u32>(active_pages(d, i), 0));
    xenheap_free(load<u32>(active_pages(d, i), 4));
  }
  d.grant_frames = 0;
}

/** The invariant walker's part: the tables' pages, and a hold on its frame for each use of a grant. */
export function grant_holds(d: Domain): void {
  for (let i: u32 = 0; i < d.grant_frames; i++) {
    invariant_hold(grant_frame_mfn(d, i), FRAME_SHARED);
    invariant_page(load<u32>(active_pages(d, i), 0));
    invariant_page(load<u32>(active_pages(d, i), 4));
  }
  for (let ref: u32 = 0; ref < d.grant_frames * GRANTS_PER_FRAME; ref++) {
    const a = active_of(d, ref);
    for (let n = a.readers + a.writers; n > 0; n--) invariant_hold(a.mfn, FRAME_RAM);
  }
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
  if (invariant_step == 1) return;
  for (let d = domain_first(); d != null; d = domain_next(d)) {
    const granter = changetype<Domain>(d);
    for (let ref: u32 = 0; ref < granter.grant_frames * GRANTS_PER_FRAME; ref++) {
      const a = active_of(granter, ref);
      if (a.readers | a.writers) invariant_broken(INVARIANT_GRANT_USES, granter.domid, ref);
    }
  }
}

function track_use(d: Domain, h: u32): void {
  const t = track(d, h);
  const rd = domain_find(t.domid);
  if (rd == null || !grant_shared(rd, t.ref)) {
    invariant_broken(INVARIANT_GRANT_MAPPING, d.domid, h);
    return;
  }
  const a = active_of(rd, t.ref);
  const readonly = (t.flags & TRACK_READONLY) != 0;
  const e = p2m_get(d, t.gfn);
  if (a.domid != d.domid || p2m_mfn(e) != a.mfn || p2m_type(e) != (readonly ? P2M_GRANT_RO : P2M_GRANT_RW))
    invariant_broken(INVARIANT_GRANT_MAPPING, d.domid, h);
  if (readonly) a.readers += invariant_step;
  else a.writers += invariant_step;
}
