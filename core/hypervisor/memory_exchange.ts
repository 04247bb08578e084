// XENMEM_exchange: memory given back for memory elsewhere, in chunks that are exchanged whole or not at all.
import {
  EFAULT,
  EINVAL,
  EPERM,
  ENOMEM,
  ESRCH,
  xen_memory_exchange__in,
  xen_memory_exchange__nr_exchanged,
  xen_memory_exchange__out,
  xen_memory_reservation__domid,
  xen_memory_reservation__extent_order,
  xen_memory_reservation__extent_start,
  xen_memory_reservation__nr_extents,
  XENMEM_exchange,
} from '../gen/abi';
import { get_xen_memory_exchange, put_xen_memory_exchange } from '../gen/compat';
import { XSM_memory_exchange } from '../gen/xsm';
import { frame } from '../shared/frame_table';
import { INVALID_MFN, Mfn } from '../shared/memory';
import { Domain, domain_by_id, is_privileged, is_pv, page_put } from './domain';
import { get_long, guest_word, put_long } from './guest_access';
import { hypercall_continue } from './hypercall';
import { CONTROL_MAX_ORDER, GUEST_MAX_ORDER, populate_extent } from './memory_op';
import { p2m_clear, p2m_get, P2M_GRANT_RW, P2M_MAX_GFN, p2m_own_ram, p2m_type } from './p2m';
import { pv_allocate, pv_release, pv_sole } from './pv/memory';
import { FRAME_ALLOCATED } from './pv/page_type';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

/** Frames exchanged before the hypercall gives way. */
const BATCH: i64 = 1024;

// The exchange that is being served: where the numbers of what is given and of what is wanted are, and how many extents of what order of each a chunk has.
let list: u64 = 0;
let from_order: u32 = 0;
let given: u64 = 0;
let wanted: u64 = 0;
let to_order: u32 = 0;
let taken: u64 = 0;

/** Total number of frames of a reservation, ~0 if it does not fit 32 bits. */
function frames(r: usize): u64 {
  const extents = load<u64>(r, xen_memory_reservation__nr_extents);
  const order = load<u32>(r, xen_memory_reservation__extent_order);
  return order > 31 || extents > (<u64>0xffffffff) >> order ? ~0 : extents << order;
}

export function memory_exchange(d: Domain, v: Vcpu, arg: u64): i64 {
  const a = vcpu_arg(v);
  if (!get_xen_memory_exchange(v, a, arg)) return -EFAULT;
  const from = a + xen_memory_exchange__in;
  const to = a + xen_memory_exchange__out;
  const most = is_privileged(d) ? CONTROL_MAX_ORDER : GUEST_MAX_ORDER;
  from_order = load<u32>(from, xen_memory_reservation__extent_order);
  to_order = load<u32>(to, xen_memory_reservation__extent_order);
  if (from_order > most || to_order > most) return -EPERM;
  const all = frames(from);
  if (all == ~0 || all != frames(to)) return -EINVAL;
  if (load<u16>(from, xen_memory_reservation__domid) != load<u16>(to, xen_memory_reservation__domid)) return -EINVAL;
  const t = domain_by_id(d, load<u16>(from, xen_memory_reservation__domid));
  if (t == null) return -ESRCH;
  let rc: i64 = xsm_check(XSM_memory_exchange, d, t);
  if (rc) return rc;
  const order = from_order > to_order ? from_order : to_order;
  given = (<u64>1) << (order - from_order);
  taken = (<u64>1) << (order - to_order);
  let done = load<u64>(a, xen_memory_exchange__nr_exchanged);
  const extents = load<u64>(from, xen_memory_reservation__nr_extents);
  if (done > extents || done % given) return -EINVAL;
  list = load<u64>(from, xen_memory_reservation__extent_start);
  wanted = load<u64>(to, xen_memory_reservation__extent_start);
  let budget = BATCH;
  for (; done < extents && rc == 0 && budget > 0; budget -= (<i64>1) << order) {
    const j = (done << from_order) >> to_order;
    rc = is_pv(t) ? chunk_pv(t, v, done, j) : chunk(t, v, done, j);
    if (rc == 0) done += given;
  }
  store<u64>(a, done, xen_memory_exchange__nr_exchanged);
  if (!put_xen_memory_exchange(v, arg, a)) return -EFAULT;
  return rc == 0 && done < extents ? hypercall_continue(v, XENMEM_exchange, arg, 0) : rc;
}

/** Exchange extents from `i` of the list for those from `j` of what is wanted. */
function chunk(t: Domain, v: Vcpu, i: u64, j: u64): i64 {
  for (let k: u64 = 0; k < given; k++) {
    if (!get_long(v, list, i + k)) return -EFAULT;
    if (!exchangeable(t, guest_word, (<u64>1) << from_order)) return -EINVAL;
  }
  for (let k: u64 = 0; k < taken; k++) {
    if (!get_long(v, wanted, j + k)) return -EFAULT;
    if (!free_place(t, guest_word, (<u64>1) << to_order)) return -EINVAL;
  }
  // The lists are read again: a guest that changes them meanwhile has what it then gets.
  for (let k: u64 = 0; k < given; k++) {
    if (!get_long(v, list, i + k)) return -EFAULT;
    for (let n: u64 = 0; n < (<u64>1) << from_order; n++) {
      if (p2m_own_ram(t, guest_word + n) != INVALID_MFN) p2m_clear(t, guest_word + n);
    }
  }
  for (let k: u64 = 0; k < taken; k++) {
    if (!get_long(v, wanted, j + k)) return -EFAULT;
    if (!populate_extent(t, guest_word, to_order)) return -ENOMEM;
  }
  return 0;
}

// A PV domain's exchange: frames that nothing else names for others. Both kinds hang in a chain (Frame.link) until all are there.
let given_head: Mfn = INVALID_MFN;
let taken_head: Mfn = INVALID_MFN;
let taken_tail: Mfn = INVALID_MFN;

function chunk_pv(t: Domain, v: Vcpu, i: u64, j: u64): i64 {
  given_head = taken_head = taken_tail = INVALID_MFN;
  let told = true;
  let rc = give(t, v, i);
  if (rc == 0) rc = take(t, v, j);
  while (given_head != INVALID_MFN) {
    const mfn = given_head;
    const f = frame(mfn);
    given_head = f.link;
    f.link = INVALID_MFN;
    if (rc) f.pt_flags |= FRAME_ALLOCATED;
    else page_put(mfn);
  }
  for (let k: u64 = 0; taken_head != INVALID_MFN; k++) {
    const mfn = taken_head;
    taken_head = frame(mfn).link;
    frame(mfn).link = INVALID_MFN;
    if (rc) for (let n: u32 = 0; n < (<u32>1) << to_order; n++) pv_release(t, mfn + n);
    else if (!put_long(v, wanted, j + k, mfn)) told = false;
  }
  return told ? rc : -EFAULT;
}

/** Take the frames from the domain; their allocation's hold is the chain's. */
function give(t: Domain, v: Vcpu, i: u64): i64 {
  for (let k: u64 = 0; k < given; k++) {
    if (!get_long(v, list, i + k)) return -EFAULT;
    const first = guest_word;
    for (let m: u64 = 0; m < (<u64>1) << from_order; m++) {
      if (!pv_sole(t, first + m)) return -EINVAL;
      const f = frame(<u32>(first + m));
      f.pt_flags &= ~FRAME_ALLOCATED;
      f.link = given_head;
      given_head = <u32>(first + m);
    }
  }
  return 0;
}

function take(t: Domain, v: Vcpu, j: u64): i64 {
  for (let k: u64 = 0; k < taken; k++) {
    if (!get_long(v, wanted, j + k)) return -EFAULT;
    const mfn = pv_allocate(t, guest_word, to_order);
    if (mfn == INVALID_MFN) return -ENOMEM;
    if (taken_tail == INVALID_MFN) taken_head = mfn;
    else frame(taken_tail).link = mfn;
    taken_tail = mfn;
  }
  return 0;
}

/** The domain's own memory, and nobody else's for the moment. */
function exchangeable(t: Domain, gfn: u64, n: u64): bool {
  for (let i: u64 = 0; i < n; i++) {
    const mfn = p2m_own_ram(t, gfn + i);
    if (mfn == INVALID_MFN || frame(mfn).refcount != 1) return false;
  }
  return true;
}

/** Places that memory may be put at; the mapping of a grant is none. */
function free_place(t: Domain, gfn: u64, n: u64): bool {
  if (gfn > P2M_MAX_GFN - n) return false;
  for (let i: u64 = 0; i < n; i++) if (p2m_type(p2m_get(t, gfn + i)) >= P2M_GRANT_RW) return false;
  return true;
}
