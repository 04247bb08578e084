// Port and MMIO accesses as Xen's ioreq structures: a server (a service domain or a guest that is a device model) claims ranges; the
// request goes into the server's shared page, an event tells it, and the vCPU waits until the answer is there (public/hvm/ioreq.h).
import {
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  ioreq__addr,
  ioreq__count,
  ioreq__data,
  ioreq__dir__shift,
  ioreq__size,
  ioreq__state,
  ioreq__type,
  ioreq__vp_eport,
  IOREQ_READ,
  IOREQ_WRITE,
  sizeof_ioreq,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PORT,
  IOREQ_TYPE_PIO,
} from '../gen/abi';
import { xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../shared/memory';
import { Domain, domain_param, domain_vcpu } from './domain';
import { evtchn_alloc_unbound, evtchn_close, evtchn_notify_consumer } from './event_channel';
import { p2m_own_ram } from './p2m';
import { page_get_writable, page_put_writable } from './pv/page_type';
import { vcpu_unblock } from './sched/core';
import { Vcpu, vcpu_domain } from './vcpu';
import { invariant_page, invariant_use } from './invariants';

@unmanaged
export class IoreqServer {
  next: u32;
  id: u16;
  /** The domain that answers. */
  emulator: u16;
  enabled: u32;
  mfn: Mfn;
  gfn: u32;
  ranges: u32;
}

/** In the server's page: ports of the vCPUs, then ranges {type u32, -, start u64, end u64}. */
const PORTS: usize = 64;
const RANGES: usize = 1024;
const RANGE_SIZE: usize = 24;
const RANGES_MAX: u32 = 128;
const SERVERS_MAX: u16 = 8;

/** vCPU: 0 no request, 1 waiting. */
const WAITING: u32 = 1;

@inline function range(s: IoreqServer, i: u32): usize {
  return changetype<usize>(s) + RANGES + <usize>i * RANGE_SIZE;
}
@inline function port_slot(s: IoreqServer, vcpu: u32): usize {
  return changetype<usize>(s) + PORTS + ((<usize>vcpu) << 2);
}
@inline function next_of(s: IoreqServer | null): IoreqServer | null {
  return changetype<IoreqServer | null>(<usize>load<u32>(changetype<usize>(s), offsetof<IoreqServer>('next')));
}

export function ioreq_find(d: Domain, id: u16): IoreqServer | null {
  let s = changetype<IoreqServer | null>(<usize>d.ioreq_servers);
  while (s != null && s.id != id) s = next_of(s);
  return s;
}

/** Create a server for `emulator`; its number or an errno. */
export function ioreq_create(d: Domain, emulator: u16): i32 {
  let id: u16 = 0;
  while (id < SERVERS_MAX && ioreq_find(d, id) != null) id++;
  if (id == SERVERS_MAX) return -ENOSPC;
  const p = xenheap_alloc(d.domid);
  if (!p) return -ENOMEM;
  const s = changetype<IoreqServer>(p);
  s.id = id;
  s.emulator = emulator;
  s.mfn = INVALID_MFN;
  s.next = d.ioreq_servers;
  d.ioreq_servers = <u32>p;
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const port = evtchn_alloc_unbound(d, emulator, 1, i);
    if (port < 0) {
      ioreq_remove(d, id);
      return port;
    }
    store<u32>(port_slot(s, i), port);
  }
  return id;
}

/** Give the server its page, from the frames that the builder set aside. 0 or an errno. */
export function ioreq_page(d: Domain, s: IoreqServer): i32 {
  if (s.mfn != INVALID_MFN) return 0;
  const base = domain_param(d, HVM_PARAM_IOREQ_SERVER_PFN);
  const n = domain_param(d, HVM_PARAM_NR_IOREQ_SERVER_PAGES);
  for (let i: u64 = 0; i < n && i < <u64>SERVERS_MAX; i++) {
    let used = false;
    for (let o = changetype<IoreqServer | null>(<usize>d.ioreq_servers); o != null; o = next_of(o))
      if (o.mfn != INVALID_MFN && o.gfn == <u32>(base + i)) used = true;
    if (used) continue;
    const mfn = p2m_own_ram(d, base + i);
    if (mfn == INVALID_MFN || !page_get_writable(mfn)) return -EINVAL;
    s.mfn = mfn;
    s.gfn = <u32>(base + i);
    memory.fill(mfn_to_ptr(mfn), 0, 4096);
    for (let v: u32 = 0; v < d.max_vcpus; v++) store<u32>(slot(s, v), load<u32>(port_slot(s, v)), ioreq__vp_eport);
    return 0;
  }
  return -ENOMEM;
}

@inline function slot(s: IoreqServer, vcpu: u32): usize {
  return mfn_to_ptr(s.mfn) + <usize>vcpu * sizeof_ioreq;
}

export function ioreq_remove(d: Domain, id: u16): i32 {
  let link = changetype<usize>(d) + offsetof<Domain>('ioreq_servers');
  while (load<u32>(link)) {
    const s = changetype<IoreqServer>(<usize>load<u32>(link));
    if (s.id != id) {
      link = changetype<usize>(s) + offsetof<IoreqServer>('next');
      continue;
    }
    store<u32>(link, s.next);
    for (let i: u32 = 0; i < d.max_vcpus; i++) {
      const port = load<u32>(port_slot(s, i));
      if (port) evtchn_close(d, port, false);
    }
    if (s.mfn != INVALID_MFN) page_put_writable(s.mfn);
    xenheap_free(changetype<usize>(s));
    wake_all(d); // whoever waits for it finds it gone and reads all ones
    return 0;
  }
  return -ENOENT;
}

function wake_all(d: Domain): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) ioreq_notified(d, i);
}

export function ioreq_destroy(d: Domain): void {
  while (d.ioreq_servers) ioreq_remove(d, changetype<IoreqServer>(<usize>d.ioreq_servers).id);
}

export function ioreq_add_range(d: Domain, s: IoreqServer, type: u32, start: u64, end: u64): i32 {
  if ((type != XEN_DMOP_IO_RANGE_PORT && type != XEN_DMOP_IO_RANGE_MEMORY) || start > end) return -EINVAL;
  for (let i: u32 = 0; i < s.ranges; i++) {
    const r = range(s, i);
    if (load<u32>(r) == type && start <= load<u64>(r, 16) && end >= load<u64>(r, 8)) return -EEXIST;
  }
  if (s.ranges >= RANGES_MAX) return -ENOSPC;
  const r = range(s, s.ranges++);
  store<u32>(r, type);
  store<u64>(r, start, 8);
  store<u64>(r, end, 16);
  return 0;
}

export function ioreq_remove_range(s: IoreqServer, type: u32, start: u64, end: u64): i32 {
  for (let i: u32 = 0; i < s.ranges; i++) {
    const r = range(s, i);
    if (load<u32>(r) != type || load<u64>(r, 8) != start || load<u64>(r, 16) != end) continue;
    memory.copy(r, range(s, --s.ranges), RANGE_SIZE);
    return 0;
  }
  return -ENOENT;
}

/** The enabled server that claims all of an access. */
function claims(d: Domain, type: u32, addr: u64, size: i32): IoreqServer | null {
  const kind = type == IOREQ_TYPE_PIO ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY;
  for (let s = changetype<IoreqServer | null>(<usize>d.ioreq_servers); s != null; s = next_of(s)) {
    if (!s.enabled || s.mfn == INVALID_MFN) continue;
    for (let i: u32 = 0; i < s.ranges; i++) {
      const r = range(s, i);
      if (load<u32>(r) == <u32>kind && addr >= load<u64>(r, 8) && addr + <u64>(size - 1) <= load<u64>(r, 16)) return s;
    }
  }
  return null;
}

/** What the last finished read gave. */
export let io_data: u64 = 0;

/**
 * One access of at most eight bytes. False: done, a read's value in io_data (all ones where nobody answers). True: a server has been
 * asked; the same access is to be made again when the vCPU goes on, and then takes the answer.
 */
export function io_access(v: Vcpu, type: u32, addr: u64, size: i32, write: bool, value: u64): bool {
  const d = vcpu_domain(v);
  io_data = ~0;
  if (v.ioreq_state == WAITING) {
    const s = ioreq_find(d, <u16>v.ioreq_server);
    if (s == null || s.mfn == INVALID_MFN) {
      v.ioreq_state = 0;
      return false;
    }
    const p = slot(s, v.id);
    if ((atomic.load<u8>(p + ioreq__state) & 15) != <u8>STATE_IORESP_READY) return true;
    io_data = load<u64>(p, ioreq__data);
    atomic.store<u8>(p + ioreq__state, <u8>STATE_IOREQ_NONE);
    v.ioreq_state = 0;
    return false;
  }
  const s = claims(d, type, addr, size);
  if (s == null) return false;
  ask(d, v, s, type, addr, size, write, value);
  return true;
}

function ask(d: Domain, v: Vcpu, s: IoreqServer, type: u32, addr: u64, size: i32, write: bool, value: u64): void {
  const p = slot(s, v.id);
  store<u64>(p, addr, ioreq__addr);
  store<u64>(p, value, ioreq__data);
  store<u32>(p, 1, ioreq__count);
  store<u32>(p, size, ioreq__size);
  store<u8>(p, <u8>type, ioreq__type);
  const dir = write ? IOREQ_WRITE : IOREQ_READ;
  atomic.store<u8>(p + ioreq__state, <u8>(STATE_IOREQ_READY | (dir << ioreq__dir__shift)));
  v.ioreq_state = WAITING;
  v.ioreq_server = s.id;
  evtchn_notify_consumer(d, load<u32>(port_slot(s, v.id)));
}

/** A request is out and not yet answered. */
export function ioreq_waiting(v: Vcpu): bool {
  if (v.ioreq_state != WAITING) return false;
  const s = ioreq_find(vcpu_domain(v), <u16>v.ioreq_server);
  return (
    s != null && s.mfn != INVALID_MFN && (atomic.load<u8>(slot(s, v.id) + ioreq__state) & 15) != <u8>STATE_IORESP_READY
  );
}

/** The server has sent its event for vCPU `id`. */
export function ioreq_notified(d: Domain, id: u32): void {
  const v = domain_vcpu(d, id);
  if (v != null && v.ioreq_state == WAITING && !ioreq_waiting(v)) vcpu_unblock(v);
}

/** The invariant walker's part. */
export function ioreq_holds(d: Domain): void {
  for (let s = changetype<IoreqServer | null>(<usize>d.ioreq_servers); s != null; s = next_of(s)) {
    invariant_page(changetype<usize>(s));
    if (s.mfn != INVALID_MFN) invariant_use(s.mfn);
  }
}
