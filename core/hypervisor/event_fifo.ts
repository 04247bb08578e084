// The FIFO event ABI (public/event_channel.h and Xen's design note "FIFO event channels"): one word a port in pages of the guest,
// sixteen queues a vCPU linked through the words, heads in the vCPU's control block. The guest may write anything there at any time:
// only our own queue tails are trusted, and every retry is bounded.
import {
  EINVAL,
  ENOSYS,
  ENOMEM,
  ENOSPC,
  ENOENT,
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_LINK_MASK,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  evtchn_fifo_control_block__head,
  evtchn_fifo_control_block__ready,
  sizeof_evtchn_fifo_control_block,
} from '../gen/abi';
import { INVALID_MFN, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { Domain, domain_vcpu } from './domain';
import { check_pollers, Evtchn, evtchn_at, mark_events_pending } from './event_channel';
import { l2_is_pending, l2_ports } from './event_2l';
import { p2m_own_ram } from './p2m';
import { page_get_writable, page_put_writable } from './pv/page_type';
import { Vcpu, VCPU_FIFO } from './vcpu';
import { invariant_page, invariant_use } from './invariants';

const PENDING: u32 = (<u32>1) << EVTCHN_FIFO_PENDING;
const MASKED: u32 = (<u32>1) << EVTCHN_FIFO_MASKED;
const LINKED: u32 = (<u32>1) << EVTCHN_FIFO_LINKED;
const BUSY: u32 = (<u32>1) << EVTCHN_FIFO_BUSY;
const LINK: u32 = EVTCHN_FIFO_LINK_MASK;
const WORDS_PER_PAGE: u32 = 1024;
const MAX_PAGES: u32 = 128;
const LINK_TRIES: i32 = 4;

// The domain's FIFO page: number of array pages at 0, their mfns from 4.
@inline function pages(d: Domain): u32 {
  return load<u32>(<usize>d.evtchn_fifo);
}
@inline function page_mfn(d: Domain, i: u32): usize {
  return <usize>d.evtchn_fifo + 4 + ((<usize>i) << 2);
}

/** Address of the port's event word, 0 if its page has not been given. */
function word_of(d: Domain, port: u32): usize {
  const i = port / WORDS_PER_PAGE;
  return i < pages(d) ? mfn_to_ptr(load<u32>(page_mfn(d, i))) + (<usize>port % WORDS_PER_PAGE << 2) : 0;
}

/** Tail of the vCPU's queue. */
@inline function tail_of(v: Vcpu, queue: u32): usize {
  return changetype<usize>(v) + VCPU_FIFO + ((<usize>queue) << 3);
}

export function fifo_is_pending(d: Domain, port: u32): bool {
  const w = word_of(d, port);
  return w != 0 && (atomic.load<u32>(w) & PENDING) != 0;
}

export function fifo_is_masked(d: Domain, port: u32): bool {
  const w = word_of(d, port);
  return !w || (atomic.load<u32>(w) & MASKED) != 0;
}

/** Still linked from its former life: the port cannot be given out again. */
export function fifo_is_busy(d: Domain, port: u32): bool {
  const w = word_of(d, port);
  return w != 0 && (atomic.load<u32>(w) & LINKED) != 0;
}

/** A port closes. It stays linked if it is; the guest skips words that are not pending. */
export function fifo_clear_pending(d: Domain, port: u32): void {
  const w = word_of(d, port);
  if (w) atomic.and<u32>(w, ~PENDING);
}

/** Set the link field if the word is (still) linked. 1 done, 0 the guest has unlinked it, -1 it changed meanwhile. */
function try_link(w: usize, link: u32): i32 {
  const old = atomic.load<u32>(w);
  if (!(old & LINKED)) return 0;
  return atomic.cmpxchg<u32>(w, old, (old & ~LINK) | link) == old ? 1 : -1;
}

/** Append `link` to the tail word; false if the tail had been consumed, so that the event becomes the head. */
function set_link(w: usize, link: u32): bool {
  for (let i = 0; i < LINK_TRIES; i++) {
    const r = try_link(w, link);
    if (r >= 0) return r == 1;
  }
  // BUSY asks the guest to leave the word alone for a moment. If it does not, its queue is its own loss: start a new one.
  atomic.or<u32>(w, BUSY);
  let done = false;
  for (let i = 0; i < LINK_TRIES * 4 && !done; i++) {
    const r = try_link(w, link);
    if (r == 0) break;
    done = r == 1;
  }
  atomic.and<u32>(w, ~BUSY);
  return done;
}

export function fifo_set_pending(d: Domain, e: Evtchn, v: Vcpu): void {
  const w = word_of(d, e.port);
  if (!w) {
    e.early = 1;
    return;
  }
  const was = atomic.or<u32>(w, PENDING);
  if (!(was & (MASKED | LINKED))) enqueue(d, e, v, w);
  if (!(was & PENDING)) check_pollers(d, e.port);
}

function enqueue(d: Domain, e: Evtchn, v: Vcpu, w: usize): void {
  if (!v.fifo_control) return;
  if (atomic.or<u32>(w, LINKED) & LINKED) return;
  // It may have been the tail of the queue that it was last on.
  const old = domain_vcpu(d, e.last_vcpu);
  if (old != null && load<u32>(tail_of(old, e.last_priority)) == e.port) store<u32>(tail_of(old, e.last_priority), 0);
  const queue: u32 = e.priority;
  e.last_priority = <u16>queue;
  e.last_vcpu = v.id;
  atomic.and<u32>(w, ~LINK);
  const tail = tail_of(v, queue);
  const last = load<u32>(tail);
  const last_word = last ? word_of(d, last) : 0;
  const linked = last_word ? set_link(last_word, e.port) : false;
  store<u32>(tail, e.port);
  if (linked) return;
  const c = <usize>v.fifo_control;
  atomic.store<u32>(c + evtchn_fifo_control_block__head + ((<usize>queue) << 2), e.port);
  const b = (<u32>1) << queue;
  if (!(atomic.or<u32>(c + evtchn_fifo_control_block__ready, b) & b)) mark_events_pending(v);
}

export function fifo_unmask(d: Domain, e: Evtchn, v: Vcpu): void {
  const w = word_of(d, e.port);
  if (!w) return;
  if (atomic.and<u32>(w, ~MASKED) & PENDING) fifo_set_pending(d, e, v);
}

/** EVTCHNOP_init_control: give vCPU `v` its control block; the first call moves the domain from two levels to FIFO. */
export function fifo_init_control(d: Domain, v: Vcpu, gfn: u64, offset: u32): i32 {
  if (offset > PAGE_SIZE - sizeof_evtchn_fifo_control_block || offset & 7) return -EINVAL;
  if (v.fifo_control) return -EINVAL;
  const mfn = p2m_own_ram(d, gfn);
  if (mfn == INVALID_MFN || !page_get_writable(mfn)) return -EINVAL;
  if (!d.evtchn_fifo) {
    d.evtchn_fifo = <u32>xenheap_alloc(d.domid);
    if (!d.evtchn_fifo) {
      page_put_writable(mfn);
      return -ENOMEM;
    }
    take_over(d);
  }
  v.fifo_mfn = mfn;
  v.fifo_control = <u32>mfn_to_ptr(mfn) + offset;
  memory.fill(changetype<usize>(v) + VCPU_FIFO, 0, 128);
  return 0;
}

/** Ports pending in shared_info become pending when their words appear. */
function take_over(d: Domain): void {
  for (let port: u32 = 1; port < d.evtchn_ports && port < l2_ports(d); port++) {
    const e = evtchn_at(d, port);
    e.priority = <u8>EVTCHN_FIFO_PRIORITY_DEFAULT;
    if (l2_is_pending(d, port)) e.early = 1;
  }
}

/** EVTCHNOP_expand_array: the next page of event words. */
export function fifo_expand_array(d: Domain, gfn: u64): i32 {
  if (!d.evtchn_fifo) return -ENOSYS;
  const n = pages(d);
  if (n >= MAX_PAGES) return -ENOSPC;
  const mfn = p2m_own_ram(d, gfn);
  if (mfn == INVALID_MFN || !page_get_writable(mfn)) return -EINVAL;
  store<u32>(page_mfn(d, n), mfn);
  store<u32>(<usize>d.evtchn_fifo, n + 1);
  const end = (n + 1) * WORDS_PER_PAGE;
  for (let port = n * WORDS_PER_PAGE; port < end && port < d.evtchn_ports; port++) {
    const e = evtchn_at(d, port);
    const v = domain_vcpu(d, e.vcpu);
    if (!e.early || v == null) continue;
    e.early = 0;
    fifo_set_pending(d, e, v);
  }
  return 0;
}

/** Back to two levels: every hold on the guest's pages goes. */
export function fifo_destroy(d: Domain): void {
  const n = pages(d);
  const page = <usize>d.evtchn_fifo;
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null || !v.fifo_control) continue;
    v.fifo_control = 0;
    page_put_writable(v.fifo_mfn);
    v.fifo_mfn = INVALID_MFN;
  }
  for (let i: u32 = 0; i < n; i++) page_put_writable(load<u32>(page_mfn(d, i)));
  d.evtchn_fifo = 0;
  xenheap_free(page);
}

/** The invariant walker's part. */
export function fifo_holds(d: Domain): void {
  invariant_page(d.evtchn_fifo);
  for (let i: u32 = 0; i < pages(d); i++) invariant_use(load<u32>(page_mfn(d, i)));
}
