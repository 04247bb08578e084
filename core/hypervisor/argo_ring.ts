// Argo's rings: memory of the receiver's that only the hypervisor writes messages to. What the receiver does to it meanwhile harms its own ring:
// the end pointer is kept here, the other one is checked each time.
import {
  EAGAIN,
  EBUSY,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  sizeof_xen_argo_ring,
  sizeof_xen_argo_ring_message_header,
  VIRQ_ARGO,
  xen_argo_addr__aport,
  xen_argo_addr__domain_id,
  xen_argo_ring__rx_ptr,
  xen_argo_ring__tx_ptr,
  xen_argo_ring_message_header__len,
  xen_argo_ring_message_header__message_type,
  xen_argo_ring_message_header__source,
} from '../gen/abi';
import { frame_written } from '../shared/frame_table';
import { xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { INVALID_MFN, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain, domain_find, domain_first, domain_next, domain_vcpu } from './domain';
import { send_vcpu_virq } from './event_channel';
import { copy_from_guest, get_guest, guest_word } from './guest_access';
import { invariant_page, invariant_use } from './invariants';
import { p2m_own_ram } from './p2m';
import { page_get_writable, page_put_writable } from './pv/page_type';
import { Vcpu } from './vcpu';

/** A page of the hypervisor's: this, the addresses of the tables of frames, and who waits for room. */
@unmanaged
export class ArgoRing {
  next: u32;
  aport: u32;
  /** The one domain that may send. */
  partner: u32;
  len: u32;
  pages: u32;
  tx: u32;
  waiting: u32;
}

const TABLES: usize = 64; // pages of 1024 frame numbers
const TABLES_MAX: u32 = 5; // 16 MiB and the ring's header
const WAITING: usize = 128; // {domid u32, bytes u32}
const WAITING_MAX: u32 = 32;
export const SLOT: u32 = 16;
const HEADER: u32 = sizeof_xen_argo_ring_message_header;

@inline export function argo_round(n: u32): u32 {
  return (n + SLOT - 1) & ~(SLOT - 1);
}
/** Pages of a ring of `len` bytes of messages. */
@inline export function argo_pages(len: u32): u32 {
  return (len + sizeof_xen_argo_ring + PAGE_SIZE - 1) / PAGE_SIZE;
}
@inline function table(r: ArgoRing, i: u32): usize {
  return changetype<usize>(r) + TABLES + ((<usize>i) << 2);
}
@inline function frame_slot(r: ArgoRing, page: u32): usize {
  return <usize>load<u32>(table(r, page >>> 10)) + (((<usize>page) & 1023) << 2);
}
@inline function waiter(r: ArgoRing, i: u32): usize {
  return changetype<usize>(r) + WAITING + ((<usize>i) << 3);
}
@inline function head_of(r: ArgoRing): usize {
  return mfn_to_ptr(load<u32>(frame_slot(r, 0)));
}
export function argo_next(r: ArgoRing | null): ArgoRing | null {
  return changetype<ArgoRing | null>(<usize>load<u32>(changetype<usize>(r), offsetof<ArgoRing>('next')));
}
export function argo_first(d: Domain): ArgoRing | null {
  return changetype<ArgoRing | null>(<usize>d.argo_rings);
}

export function argo_find(d: Domain, aport: u32, partner: u32): ArgoRing | null {
  let r = argo_first(d);
  while (r != null && (r.aport != aport || r.partner != partner)) r = argo_next(r);
  return r;
}

/** A ring without frames, not yet in the domain's list; null = no memory. */
export function argo_create(d: Domain, aport: u32, partner: u32, len: u32): ArgoRing | null {
  const p = xenheap_alloc(d.domid);
  if (!p) return null;
  const r = changetype<ArgoRing>(p);
  r.aport = aport;
  r.partner = partner;
  r.len = len;
  for (let i: u32 = 0; i <= (argo_pages(len) - 1) >>> 10 && i < TABLES_MAX; i++) {
    const t = xenheap_alloc(d.domid);
    if (!t) {
      argo_free(r);
      return null;
    }
    store<u32>(table(r, i), <u32>t);
  }
  return r;
}

function drop_frames(r: ArgoRing): void {
  for (let i: u32 = 0; i < r.pages; i++) page_put_writable(load<u32>(frame_slot(r, i)));
  r.pages = 0;
}

export function argo_free(r: ArgoRing): void {
  drop_frames(r);
  for (let i: u32 = 0; i < TABLES_MAX; i++) xenheap_free(load<u32>(table(r, i)));
  xenheap_free(changetype<usize>(r));
}

/** Give the ring its frames, whose numbers the guest lists; those that it had go. On an error it has none. */
export function argo_fill(d: Domain, v: Vcpu, r: ArgoRing, gfns: u64): i32 {
  drop_frames(r);
  const n = argo_pages(r.len);
  for (let i: u32 = 0; i < n; i++) {
    let rc = -EFAULT;
    if (get_guest<u64>(v, gfns + ((<u64>i) << 3))) {
      const mfn = p2m_own_ram(d, guest_word);
      rc = -EINVAL;
      if (mfn != INVALID_MFN && page_get_writable(mfn)) {
        store<u32>(frame_slot(r, i), mfn);
        r.pages = i + 1;
        continue;
      }
    }
    drop_frames(r);
    return rc;
  }
  // The guest says where the ring begins and ends; nonsense is an empty ring.
  const rx = atomic.load<u32>(head_of(r) + xen_argo_ring__rx_ptr);
  let tx = atomic.load<u32>(head_of(r) + xen_argo_ring__tx_ptr);
  if (!valid(r, tx)) tx = valid(r, rx) ? rx : 0;
  r.tx = tx;
  atomic.store<u32>(head_of(r) + xen_argo_ring__tx_ptr, tx);
  return 0;
}

@inline function valid(r: ArgoRing, at: u32): bool {
  return at < r.len && (at & (SLOT - 1)) == 0;
}

/** Bytes of one message's payload for which there is room now. */
export function argo_space(r: ArgoRing): u32 {
  const rx = atomic.load<u32>(head_of(r) + xen_argo_ring__rx_ptr);
  if (!valid(r, rx)) return 0;
  // A slot stays free: a full ring would look like an empty one.
  const room = (rx == r.tx ? r.len : rx > r.tx ? rx - r.tx : rx + r.len - r.tx) - SLOT;
  return room > HEADER ? room - HEADER : 0;
}

/** The longest payload that the ring can ever take. */
@inline export function argo_largest(r: ArgoRing): u32 {
  return r.len - SLOT - HEADER;
}

/** `domid` is told when there is room for `bytes`. False: too many wait already. */
export function argo_wait(r: ArgoRing, domid: u32, bytes: u32): bool {
  argo_wait_no_more(r, domid);
  if (r.waiting == WAITING_MAX) return false;
  store<u32>(waiter(r, r.waiting), domid);
  store<u32>(waiter(r, r.waiting), bytes, 4);
  r.waiting++;
  return true;
}

export function argo_wait_no_more(r: ArgoRing, domid: u32): void {
  for (let i: u32 = 0; i < r.waiting; i++) if (load<u32>(waiter(r, i)) == domid) remove_waiter(r, i);
}

function remove_waiter(r: ArgoRing, i: u32): void {
  r.waiting--;
  store<u64>(waiter(r, i), load<u64>(waiter(r, r.waiting)));
}

/** The receiver has made room: who waits for no more than there is now hears of it. */
export function argo_tell(r: ArgoRing): void {
  const room = argo_space(r);
  for (let i: u32 = 0; i < r.waiting; ) {
    if (load<u32>(waiter(r, i), 4) > room) {
      i++;
      continue;
    }
    const d = domain_find(load<u32>(waiter(r, i)));
    remove_waiter(r, i);
    if (d != null) argo_signal(d);
  }
}

export function argo_signal(d: Domain): void {
  const v = domain_vcpu(d, 0);
  if (v != null) send_vcpu_virq(v, VIRQ_ARGO);
}

/** Copy into the ring at offset `at` of its messages, around its end; from the guest's memory, or from the hypervisor's own if v is null. */
function write(r: ArgoRing, at: u32, v: Vcpu | null, from: u64, n: u32): bool {
  while (n) {
    if (at >= r.len) at -= r.len;
    const place = at + sizeof_xen_argo_ring;
    let part: u32 = PAGE_SIZE - (place & 0xfff);
    if (part > n) part = n;
    if (part > r.len - at) part = r.len - at;
    const p = mfn_to_ptr(load<u32>(frame_slot(r, place >>> 12))) + ((<usize>place) & 0xfff);
    if (v != null) {
      if (!copy_from_guest(v, p, from, part)) return false;
    } else memory.copy(p, <usize>from, part);
    frame_written(p, part);
    at += part;
    from += part;
    n -= part;
  }
  return true;
}

/** Begin a message of `bytes` from {aport, domid}: 0, or why there is no room. `scratch`: 16 bytes for its header. */
export function argo_begin(r: ArgoRing, bytes: u32, aport: u32, domid: u32, type: u32, scratch: usize): i32 {
  if (bytes > argo_largest(r)) return -EMSGSIZE;
  if (argo_round(bytes) > argo_space(r)) return argo_wait(r, domid, bytes) ? -EAGAIN : -EBUSY;
  store<u32>(scratch, bytes + HEADER, xen_argo_ring_message_header__len);
  store<u32>(scratch, aport, xen_argo_ring_message_header__source + xen_argo_addr__aport);
  store<u32>(scratch, domid, xen_argo_ring_message_header__source + xen_argo_addr__domain_id);
  store<u32>(scratch, type, xen_argo_ring_message_header__message_type);
  write(r, r.tx, null, scratch, HEADER);
  return 0;
}

/** Put `n` bytes of the guest's at `done` of the payload. */
export function argo_put(r: ArgoRing, v: Vcpu, done: u32, from: u64, n: u32): bool {
  return write(r, r.tx + HEADER + done, v, from, n);
}

/** The message is whole: it is there. */
export function argo_end(r: ArgoRing, bytes: u32): void {
  const tx = r.tx + argo_round(bytes + HEADER);
  r.tx = tx >= r.len ? tx - r.len : tx;
  atomic.store<u32>(head_of(r) + xen_argo_ring__tx_ptr, r.tx);
}

/** Take the ring out of its domain's list. */
export function argo_remove(d: Domain, r: ArgoRing): void {
  let link = changetype<usize>(d) + offsetof<Domain>('argo_rings');
  while (load<u32>(link) != <u32>changetype<usize>(r)) link = <usize>load<u32>(link);
  store<u32>(link, r.next);
  d.argo_count--;
  argo_free(r);
}

/** The domain ends, or begins anew: its rings go, those that only it could send to, and what it waited for. */
export function argo_destroy(d: Domain): void {
  while (d.argo_rings) argo_remove(d, changetype<ArgoRing>(<usize>d.argo_rings));
  for (let other = domain_first(); other != null; other = domain_next(other)) {
    const o = changetype<Domain>(other);
    let r = argo_first(o);
    while (r != null) {
      const one = r;
      r = argo_next(one);
      if (one.partner == <u32>d.domid) argo_remove(o, one);
      else argo_wait_no_more(one, d.domid);
    }
  }
}

/** The invariant walker's part. */
export function argo_holds(d: Domain): void {
  for (let r = argo_first(d); r != null; r = argo_next(r)) {
    invariant_page(changetype<usize>(r));
    for (let i: u32 = 0; i < TABLES_MAX; i++) invariant_page(load<u32>(table(r, i)));
    for (let i: u32 = 0; i < r.pages; i++) invariant_use(load<u32>(frame_slot(r, i)));
  }
}
