// Grant tables (public/grant_table.h), the granting side: shared entries in pages that the granting domain writes, in one of two versions, and
// active entries and counts here. The mapping side is grant_map.ts. A mapping is a p2m entry of the mapper for the granter's own frame.
import {
  GNTST_bad_gntref,
  GNTST_bad_page,
  GNTST_eagain,
  GNTST_general_error,
  GNTST_okay,
  grant_entry_v2__full_page__frame,
  grant_entry_v2__sub_page__length,
  grant_entry_v2__sub_page__page_off,
  grant_entry_v2__transitive__gref,
  grant_entry_v2__transitive__trans_domid,
  GTF_PAT,
  GTF_PCD,
  GTF_permit_access,
  GTF_PWT,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_transitive,
  GTF_type_mask,
  GTF_writing,
  sizeof_grant_entry_v1,
  sizeof_grant_entry_v2,
} from '../gen/abi';
import { frame, FRAME_RAM, FRAME_SHARED } from '../shared/frame_table';
import { frame_alloc, frame_free, xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { INVALID_MFN, Mfn, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import {
  Domain,
  DOMAIN_ACTIVE,
  DOMAIN_DYING,
  DOMAIN_GRANTS,
  DOMAIN_STATUS,
  domain_find,
  domain_first,
  domain_next,
  page_get,
  page_put,
} from './domain';
import { invariant_broken, invariant_hold, invariant_page, INVARIANT_GRANT_USES } from './invariants';
import { p2m_frame, p2m_get, P2M_RAM_RO, P2M_RAM_RW, p2m_type, p2m_writable } from './p2m';

/** Active side of a shared entry: who uses it and how often, and which frame it meant when the use began. */
@unmanaged
export class Active {
  readers: u32;
  writers: u32;
  mfn: Mfn;
  domid: u16;
  reserved: u16;
}

const ACTIVES_PER_PAGE: u32 = 256;
/** Status words (u16) of version 2 in a frame. */
const STATUS_PER_FRAME: u32 = 2048;

export function grant_table_init(d: Domain): bool {
  d.grant_version = 1;
  d.maptrack_dir = <u32>xenheap_alloc(d.domid);
  return d.maptrack_dir != 0;
}

@inline function entry_size(d: Domain): u32 {
  return d.grant_version == 2 ? sizeof_grant_entry_v2 : sizeof_grant_entry_v1;
}

/** References that a frame of the table holds. */
@inline function per_frame(d: Domain): u32 {
  return PAGE_SIZE / entry_size(d);
}

/** References that the table has now. */
export function grant_entries(d: Domain): u32 {
  return d.grant_frames * per_frame(d);
}

@inline export function grant_frame_mfn(d: Domain, i: u32): Mfn {
  return load<u32>(changetype<usize>(d) + DOMAIN_GRANTS + ((<usize>i) << 2));
}
@inline export function grant_status_mfn(d: Domain, i: u32): Mfn {
  return load<u32>(changetype<usize>(d) + DOMAIN_STATUS + ((<usize>i) << 2));
}

@inline function active_pages(d: Domain, frame: u32): usize {
  return changetype<usize>(d) + DOMAIN_ACTIVE + ((<usize>frame) << 3);
}

/** The shared entry of a reference, 0 if the table is not that long. */
export function grant_shared(d: Domain, ref: u32): usize {
  const n = per_frame(d);
  const f = ref / n;
  return f < d.grant_frames ? mfn_to_ptr(grant_frame_mfn(d, f)) + <usize>(ref % n) * entry_size(d) : 0;
}

/** The word with GTF_reading and GTF_writing: the entry's flags, or in version 2 a word of the status frames. The reference exists. */
export function grant_status(d: Domain, ref: u32): usize {
  if (d.grant_version != 2) return grant_shared(d, ref);
  return mfn_to_ptr(grant_status_mfn(d, ref / STATUS_PER_FRAME)) + ((<usize>(ref % STATUS_PER_FRAME)) << 1);
}

export function grant_active(d: Domain, ref: u32): Active {
  const n = per_frame(d);
  const i = ref % n;
  const page = active_pages(d, ref / n) + ((<usize>i / ACTIVES_PER_PAGE) << 2);
  return changetype<Active>(<usize>load<u32>(page) + ((<usize>(i % ACTIVES_PER_PAGE)) << 4));
}

@inline export function grant_in_use(d: Domain, ref: u32): bool {
  const a = grant_active(d, ref);
  return (a.readers | a.writers) != 0;
}

/** Make the table at least `frames` long. False: more than allowed, or no memory. */
export function grant_grow(d: Domain, frames: u32): bool {
  if (frames > d.max_grant_frames) return false;
  if (d.grant_version == 2 && !grant_grow_status(d, frames)) return false;
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

/** Status frames for a table of version 2 of `frames` frames. False: no memory. */
export function grant_grow_status(d: Domain, frames: u32): bool {
  const n = (frames * (PAGE_SIZE / sizeof_grant_entry_v2) + STATUS_PER_FRAME - 1) / STATUS_PER_FRAME;
  while (d.status_frames < n) {
    const mfn = frame_alloc(d.domid, FRAME_SHARED);
    if (mfn == INVALID_MFN) return false;
    store<u32>(changetype<usize>(d) + DOMAIN_STATUS + ((<usize>d.status_frames) << 2), mfn);
    d.status_frames++;
  }
  return true;
}

/** No status frame is mapped any more: they go. */
export function grant_drop_status(d: Domain): void {
  while (d.status_frames > 0) {
    d.status_frames--;
    page_put(grant_status_mfn(d, d.status_frames));
  }
}

/** Frame `i` of the table (or of the status frames) for the guest to map; the table grows as far. INVALID_MFN: there is none. */
export function grant_map_frame(d: Domain, i: u32, status: bool): Mfn {
  if (!status) {
    if (i >= d.max_grant_frames || (i >= d.grant_frames && !grant_grow(d, i + 1))) return INVALID_MFN;
    return grant_frame_mfn(d, i);
  }
  if (d.grant_version != 2 || i >= d.max_grant_frames) return INVALID_MFN;
  const frames = (i * STATUS_PER_FRAME) / (PAGE_SIZE / sizeof_grant_entry_v2) + 1;
  if (i >= d.status_frames && !grant_grow(d, frames)) return INVALID_MFN;
  return grant_status_mfn(d, i);
}

// What grant_begin found: the frame, held, and the part of it that is granted.
export let grant_mfn: Mfn = 0;
export let grant_offset: u32 = 0;
export let grant_length: u32 = 0;
/** A transitive grant (version 2): the domain and reference that it leads to, whose use is to be ended instead; 0xffff is none. */
export let grant_via: u32 = 0xffff;
export let grant_via_ref: u32 = 0;
export const NOT_TRANSITIVE: u32 = 0xffff;

/**
 * Begin a use of `ref` of `rd` by `user`: set GTF_reading or GTF_writing, atomically with the check that the entry grants what is asked.
 * GNTST_*; on GNTST_okay the frame is held. `copying`: parts of pages and transitive grants will do.
 */
export function grant_begin(rd: Domain, ref: u32, user: u16, readonly: bool, copying: bool): i32 {
  const s = grant_shared(rd, ref);
  // Every domain's table has a first frame; a service's is empty, and comes when it asks for it.
  if (!s) return ref < per_frame(rd) ? GNTST_general_error : GNTST_bad_gntref;
  const a = grant_active(rd, ref);
  grant_offset = 0;
  grant_length = PAGE_SIZE;
  grant_via = NOT_TRANSITIVE;
  if (a.readers | a.writers) {
    // In use: the frame is the one that the first use saw, whatever the guest writes into the entry meanwhile.
    if (a.domid != user) return GNTST_general_error;
    if (!readonly && load<u16>(s) & (<u16>GTF_readonly)) return GNTST_general_error;
    atomic.or<u16>(grant_status(rd, ref), <u16>(readonly ? GTF_reading : GTF_reading | GTF_writing));
  } else {
    const rc = claim(rd, ref, s, a, user, readonly, copying);
    if (rc != GNTST_okay || grant_via != NOT_TRANSITIVE) return rc;
  }
  if (readonly) a.readers++;
  else a.writers++;
  page_get(a.mfn);
  grant_mfn = a.mfn;
  return GNTST_okay;
}

const CLAIM_TRIES: i32 = 5;

/** May `user` use an entry whose first word (flags, domid) is this? */
function permits(rd: Domain, word: u32, user: u16, readonly: bool, copying: bool): bool {
  const flags = word & 0xffff;
  const type = flags & GTF_type_mask;
  const transitive = rd.grant_version == 2 && copying && type == GTF_transitive;
  if ((type != GTF_permit_access && !transitive) || <u16>(word >>> 16) != user) return false;
  // Cache attributes cannot be had by a mapping.
  if (!copying && flags & (GTF_PWT | GTF_PCD | GTF_PAT | GTF_sub_page)) return false;
  return readonly || !(flags & GTF_readonly);
}

/** First use: flags and domid of the entry are one word, claimed by compare-and-swap, or in version 2 looked at again after the claim. */
function claim(rd: Domain, ref: u32, s: usize, a: Active, user: u16, readonly: bool, copying: bool): i32 {
  const use = readonly ? GTF_reading : GTF_reading | GTF_writing;
  const st = grant_status(rd, ref);
  for (let i = 0; i < CLAIM_TRIES; i++) {
    const word = atomic.load<u32>(s);
    if (!permits(rd, word, user, readonly, copying)) return GNTST_general_error;
    if (rd.grant_version == 2) {
      atomic.or<u16>(st, <u16>use);
      if (atomic.load<u32>(s) != word) {
        atomic.and<u16>(st, <u16>~(GTF_reading | GTF_writing));
        continue;
      }
    } else if (atomic.cmpxchg<u32>(s, word, word | use) != word) continue;
    const rc = found(rd, s, word, a, readonly, copying);
    if (rc != GNTST_okay || grant_via != NOT_TRANSITIVE) atomic.and<u16>(st, <u16>~(GTF_reading | GTF_writing));
    else a.domid = user;
    return rc;
  }
  return GNTST_eagain;
}

/** What a claimed entry means: a frame into `a`, or where a transitive grant leads. */
function found(rd: Domain, s: usize, word: u32, a: Active, readonly: bool, copying: bool): i32 {
  let gfn = <u64>atomic.load<u32>(s + 4);
  if (rd.grant_version == 2) {
    if ((word & GTF_type_mask) == GTF_transitive) return transitive(rd, s, readonly);
    gfn = atomic.load<u64>(s + grant_entry_v2__full_page__frame);
    if (word & GTF_sub_page && copying) {
      grant_offset = atomic.load<u16>(s + grant_entry_v2__sub_page__page_off);
      grant_length = atomic.load<u16>(s + grant_entry_v2__sub_page__length);
      if (grant_offset + grant_length > PAGE_SIZE) return GNTST_general_error;
    }
  }
  const type = p2m_type(p2m_get(rd, gfn));
  const mfn = type == P2M_RAM_RW || type == P2M_RAM_RO ? p2m_frame(rd, gfn) : INVALID_MFN;
  if (mfn == INVALID_MFN || frame(mfn).type != FRAME_RAM || (!readonly && !p2m_writable)) return GNTST_bad_page;
  a.mfn = mfn;
  return GNTST_okay;
}

/** One level: what the domain in between has been granted by another, and that not transitively. */
function transitive(rd: Domain, s: usize, readonly: bool): i32 {
  const domid = <u32>atomic.load<u16>(s + grant_entry_v2__transitive__trans_domid);
  const ref = atomic.load<u32>(s + grant_entry_v2__transitive__gref);
  const td = domain_find(domid);
  // A grant that leads to its own domain would hide whose page it is.
  if (td == null || td == rd || td.flags & DOMAIN_DYING) return GNTST_general_error;
  const inner = grant_shared(td, ref);
  if (!inner || (atomic.load<u16>(inner) & (<u16>GTF_type_mask)) == <u16>GTF_transitive) return GNTST_general_error;
  const rc = grant_begin(td, ref, rd.domid, readonly, true);
  if (rc != GNTST_okay) return rc;
  // The guest may have made it transitive in the meantime.
  if (grant_via != NOT_TRANSITIVE) {
    const far = domain_find(grant_via);
    if (far != null) grant_end(far, grant_via_ref, readonly);
    grant_via = NOT_TRANSITIVE;
    return GNTST_general_error;
  }
  grant_via = domid;
  grant_via_ref = ref;
  return GNTST_okay;
}

/** End a use that grant_begin began. */
export function grant_end(rd: Domain, ref: u32, readonly: bool): void {
  const a = grant_active(rd, ref);
  const mfn = a.mfn;
  if (readonly) a.readers--;
  else a.writers--;
  let clear = 0;
  if (!a.writers) clear |= GTF_writing;
  if (!a.writers && !a.readers) clear |= GTF_reading;
  if (clear) atomic.and<u16>(grant_status(rd, ref), <u16>~clear);
  page_put(mfn);
}

/** GNTTABOP_swap_grant_ref: neither may be in use. */
export function grant_swap(d: Domain, a: u32, b: u32): i32 {
  const p = grant_shared(d, a);
  const q = grant_shared(d, b);
  if (!p || !q) return GNTST_bad_gntref;
  if (a == b) return GNTST_okay;
  if (grant_in_use(d, a) || grant_in_use(d, b)) return GNTST_eagain;
  for (let i: usize = 0; i < <usize>entry_size(d); i += 8) {
    const t = atomic.load<u64>(p + i);
    atomic.store<u64>(p + i, atomic.load<u64>(q + i));
    atomic.store<u64>(q + i, t);
  }
  return GNTST_okay;
}

/** Nothing maps the domain's frames any more. */
export function grant_table_release(d: Domain): void {
  for (let i: u32 = 0; i < d.grant_frames; i++) {
    page_put(grant_frame_mfn(d, i));
    xenheap_free(load<u32>(active_pages(d, i), 0));
    xenheap_free(load<u32>(active_pages(d, i), 4));
  }
  d.grant_frames = 0;
  grant_drop_status(d);
}

/** The invariant walker's part: the table's pages, and a hold on its frame for each use of a grant. */
export function grant_holds(d: Domain): void {
  for (let i: u32 = 0; i < d.grant_frames; i++) {
    invariant_hold(grant_frame_mfn(d, i), FRAME_SHARED);
    invariant_page(load<u32>(active_pages(d, i), 0));
    invariant_page(load<u32>(active_pages(d, i), 4));
  }
  for (let i: u32 = 0; i < d.status_frames; i++) invariant_hold(grant_status_mfn(d, i), FRAME_SHARED);
  for (let ref: u32 = 0; ref < grant_entries(d); ref++) {
    const a = grant_active(d, ref);
    for (let n = a.readers + a.writers; n > 0; n--) invariant_hold(a.mfn, FRAME_RAM);
  }
}

/** With the mappings' uses subtracted (grant_map.ts) none is left. */
export function grant_uses_left(): void {
  for (let d = domain_first(); d != null; d = domain_next(d)) {
    const granter = changetype<Domain>(d);
    for (let ref: u32 = 0; ref < grant_entries(granter); ref++) {
      if (grant_in_use(granter, ref)) invariant_broken(INVARIANT_GRANT_USES, granter.domid, ref);
    }
  }
}
