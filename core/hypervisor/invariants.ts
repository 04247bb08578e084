// The invariant walker: after any operation, every hold on a frame has a reason that can be found again, and every reason has its hold.
// It needs no memory of its own: what is found is subtracted from the counts themselves, which must then all be zero; a second walk adds it
// again. Nobody else looks at a count without the host's lock. For tests and for whoever destroys domains; guests cannot reach it.
import {
  frame,
  FRAME_FREE,
  FRAME_LIMBO,
  FRAME_RAM,
  FRAME_SHARED,
  FRAME_XENHEAP,
  frame_valid,
} from '../shared/frame_table';
import { host, HOST_DOMAINS, host_lock, host_unlock } from '../shared/host';
import { INVALID_MFN, Mfn, ptr_to_mfn } from '../shared/memory';
import { Domain, domain_find, domain_first, domain_next, domain_vcpu, is_pv } from './domain';
import { argo_holds } from './argo_ring';
import { evtchn_invariants, evtchn_pages } from './event_channel';
import { fifo_holds } from './event_fifo';
import { grant_track_holds, grant_uses } from './grant_map';
import { grant_holds } from './grant_table';
import { ioreq_holds } from './ioreq';
import { p2m_holds } from './p2m';
import { pv_holds, pv_vcpu_holds } from './pv/invariants';
import { m2p_holds } from './pv/m2p';
import { pv_translations } from './pv/tlb_invariants';
import { PGT_writable } from './pv/page_type';
import { VCPU_OFFSET } from './vcpu';

/** What can be wrong; the texts are the tests' (test/invariants.ts). a and b say where. */
export const INVARIANT_NO_FRAME: i32 = 1;
export const INVARIANT_COUNT: i32 = 2;
export const INVARIANT_TYPE: i32 = 3;
export const INVARIANT_OWNER: i32 = 4;
export const INVARIANT_ACCOUNT: i32 = 5;
export const INVARIANT_FREE_LIST: i32 = 6;
export const INVARIANT_LIMBO_LIST: i32 = 7;
export const INVARIANT_DIRECTORY: i32 = 8;
export const INVARIANT_P2M_ENTRY: i32 = 9;
export const INVARIANT_P2M_PAGES: i32 = 10;
export const INVARIANT_GRANT_USES: i32 = 11;
export const INVARIANT_GRANT_MAPPING: i32 = 12;
export const INVARIANT_PORT: i32 = 13;
export const INVARIANT_VIRQ: i32 = 14;
export const INVARIANT_CLAIM: i32 = 15;
export const INVARIANT_PAGE_TYPE: i32 = 16;
export const INVARIANT_USES: i32 = 17;
export const INVARIANT_PTE: i32 = 18;
export const INVARIANT_PTE_FOREIGN: i32 = 19;
export const INVARIANT_DESCRIPTOR: i32 = 20;
export const INVARIANT_TRANSLATION: i32 = 21;

let found: i32 = 0;
let where_a: u32 = 0;
let where_b: u32 = 0;

/** Note the first thing that is wrong. */
export function invariant_broken(code: i32, a: u32, b: u32): void {
  if (found) return;
  found = code;
  where_a = a;
  where_b = b;
}

/** What is added to a count for each reason that is found: -1 in the first walk, 1 in the second. */
export let invariant_step: u32 = 0;

/** One reason for a hold on `mfn`, which must be of `type`. */
export function invariant_hold(mfn: Mfn, type: u8): void {
  if (!frame_valid(mfn)) {
    invariant_broken(INVARIANT_NO_FRAME, mfn, type);
    return;
  }
  const f = frame(mfn);
  if (f.type != type) invariant_broken(INVARIANT_TYPE, mfn, f.type);
  if (f.type == FRAME_RAM || f.type == FRAME_SHARED || f.type == FRAME_XENHEAP) f.refcount += invariant_step;
}

/** One reason for a use of `mfn` as writable memory. */
export function invariant_writable(mfn: Mfn): void {
  const f = frame(mfn);
  if (f.pt_type != PGT_writable) invariant_broken(INVARIANT_PAGE_TYPE, mfn, f.pt_type);
  else f.pt_count += invariant_step;
}

/** Memory of a guest's that the hypervisor holds to write it. */
export function invariant_use(mfn: Mfn): void {
  invariant_hold(mfn, FRAME_RAM);
  invariant_writable(mfn);
}

/** A page of the hypervisor's own; each hangs off exactly one place. 0 is none. */
export function invariant_page(p: usize): void {
  if (p) invariant_hold(ptr_to_mfn(p), FRAME_XENHEAP);
}

function vcpus(d: Domain): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null) continue;
    invariant_page(changetype<usize>(v) - VCPU_OFFSET);
    invariant_page(changetype<usize>(v));
    if (v.info_mfn != INVALID_MFN) invariant_use(v.info_mfn);
    if (v.fifo_mfn != INVALID_MFN) invariant_use(v.fifo_mfn);
    pv_vcpu_holds(v);
  }
}

function domain(d: Domain): void {
  invariant_page(changetype<usize>(d));
  if (d.shared_info) invariant_hold(ptr_to_mfn(d.shared_info), FRAME_SHARED);
  invariant_page(d.dummy_info);
  evtchn_pages(d);
  if (d.evtchn_fifo) fifo_holds(d);
  grant_holds(d);
  grant_track_holds(d);
  ioreq_holds(d);
  argo_holds(d);
  vcpus(d);
  if (is_pv(d)) {
    pv_holds(d);
    pv_translations(d);
  } else p2m_holds(d);
}

/** Everything that the host itself or one of its domains holds. */
function walk(): void {
  const h = host();
  for (let i: usize = 0; i < 32; i++) invariant_page(load<u32>(HOST_DOMAINS + (i << 2)));
  invariant_page(h.xsm_rules);
  invariant_page(h.debug_table);
  invariant_page(h.debug_buffer);
  m2p_holds();
  for (let mfn = h.pair_head; mfn != INVALID_MFN; mfn = frame(mfn).link) {
    invariant_hold(mfn, FRAME_XENHEAP);
    invariant_hold(mfn + 1, FRAME_XENHEAP);
  }
  let n: u32 = 0;
  let claimed: u32 = 0;
  for (let d = domain_first(); d != null; d = domain_next(d)) {
    const one = changetype<Domain>(d);
    if (domain_find(one.domid) != one) invariant_broken(INVARIANT_DIRECTORY, one.domid, n);
    domain(one);
    n++;
    claimed += one.claim;
  }
  if (claimed != h.claimed) invariant_broken(INVARIANT_CLAIM, claimed, h.claimed);
  if (n != h.domain_count) invariant_broken(INVARIANT_DIRECTORY, n, h.domain_count);
}

/** Frames of `type` in the table are those on the list. */
function list(head: Mfn, count: u32, type: u8, code: i32): void {
  let n: u32 = 0;
  for (let mfn = head; mfn != INVALID_MFN && n <= count; mfn = frame(mfn).link) {
    if (!frame_valid(mfn) || frame(mfn).type != type) {
      invariant_broken(code, mfn, n);
      return;
    }
    n++;
  }
  let of_type: u32 = 0;
  for (let mfn = host().first_frame; mfn < host().next_fresh; mfn++) if (frame(mfn).type == type) of_type++;
  if (n != count || n != of_type) invariant_broken(code, n, of_type);
}

/** With everything subtracted: no count is left over, and each frame of memory is in its owner's account. */
function counts(): void {
  const h = host();
  for (let mfn = h.first_frame; mfn < h.next_fresh; mfn++) {
    const f = frame(mfn);
    if (f.type == FRAME_FREE || f.type == FRAME_LIMBO) continue;
    if (f.refcount) invariant_broken(INVARIANT_COUNT, mfn, f.refcount);
    if (f.pt_count) invariant_broken(INVARIANT_USES, mfn, f.pt_count);
    if (f.type != FRAME_RAM) continue;
    const owner = domain_find(f.owner);
    if (owner == null) invariant_broken(INVARIANT_OWNER, mfn, f.owner);
    else owner.tot_pages -= 1;
  }
  for (let d = domain_first(); d != null; d = domain_next(d)) {
    const one = changetype<Domain>(d);
    if (one.tot_pages) invariant_broken(INVARIANT_ACCOUNT, one.domid, one.tot_pages);
  }
  for (let mfn = h.first_frame; mfn < h.next_fresh; mfn++) {
    const f = frame(mfn);
    const owner = f.type == FRAME_RAM ? domain_find(f.owner) : null;
    if (owner != null) owner.tot_pages += 1;
  }
}

/** 0 if all invariants hold, else an INVARIANT_*; invariants_a and _b say where. Takes the host's lock. */
export function invariants_check(): i32 {
  host_lock();
  found = 0;
  const h = host();
  list(h.free_head, h.free_count, FRAME_FREE, INVARIANT_FREE_LIST);
  list(h.limbo_head, h.limbo_count, FRAME_LIMBO, INVARIANT_LIMBO_LIST);
  invariant_step = ~0;
  walk();
  grant_uses();
  counts();
  invariant_step = 1;
  grant_uses(); // before the walk, which counts the uses
  walk();
  for (let d = domain_first(); d != null; d = domain_next(d)) evtchn_invariants(changetype<Domain>(d));
  host_unlock();
  return found;
}
export function invariants_a(): u32 {
  return where_a;
}
export function invariants_b(): u32 {
  return where_b;
}
