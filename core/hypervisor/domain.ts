// A domain: one page of the hypervisor's own. Created and destroyed under the host's lock.
import { EINVAL, DOMID_FIRST_RESERVED, EEXIST, ENOMEM, ESRCH, DOMID_SELF, RUNSTATE_running } from '../gen/abi';
import { frame, FRAME_SHARED, frame_get, frame_put } from '../shared/frame_table';
import { frame_alloc, frame_free, xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { host, host_ring, HOST_DOMAINS } from '../shared/host';
import { INVALID_MFN, Mfn, mfn_to_ptr, ptr_to_mfn } from '../shared/memory';
import { argo_destroy } from './argo_ring';
import { printk } from './console_ring';
import { CON_SHUTDOWN } from './console_text';
import { evtchn_destroy } from './event_channel';
import { grant_table_destroy } from './grant_map';
import { grant_table_init, grant_table_release } from './grant_table';
import { ioreq_destroy } from './ioreq';
import { p2m_destroy, p2m_init } from './p2m';
import { m2p_forget, m2p_init } from './pv/m2p';
import { FRAME_ALLOCATED, is_table } from './pv/page_type';
import { domain_look } from './sched/core';
import { vcpu_destroy, vcpu_create, Vcpu, vcpu_kick } from './vcpu';

@unmanaged
export class Domain {
  domid: u16;
  /** The domain that this one is the device model of (or DOMID_INVALID's lack: 0xffff). */
  target: u16;
  /** DOMAIN_* flags. */
  flags: u32;
  next: u32;
  /** The security label that XSM modules decide by. */
  label: u32;
  handle0: u64;
  handle1: u64;
  pause_count: u32;
  shutdown_code: u32;
  max_vcpus: u32;
  max_pages: u32;
  tot_pages: u32;
  /** Pages of the p2m itself, and their bound. */
  p2m_pages: u32;
  p2m_limit: u32;
  p2m_root: u32;
  /** One above the highest gfn ever mapped. */
  max_gfn: u32;
  shared_info: u32;
  /** vcpu_info of vCPUs beyond the 32 in shared_info that have registered none. */
  dummy_info: u32;
  evtchn_dir: u32;
  /** Ports below this have a structure. */
  evtchn_ports: u32;
  max_port: u32;
  evtchn_fifo: u32;
  evtchn_next: u32;
  grant_frames: u32;
  max_grant_frames: u32;
  maptrack_dir: u32;
  maptrack_frames: u32;
  max_maptrack_frames: u32;
  maptrack_free: u32;
  e820_entries: u32;
  ioreq_servers: u32;
  vm_assist: u32;
  /** VMCALL and VMMCALL are both served; the page's form follows the vendor. */
  tsc_khz: u32;
  mailbox: u32;
  /** Where an interrupted destruction goes on. */
  relinquish: u32;
  /** Events a service has not looked at: the platform waits on it. */
  service_bell: u32;
  crash_reason: u32;
  crash_vcpu: u32;
  emulation_flags: u32;
  crash_info: u64;
  /** Where the guest mapped its shared_info, ~0: nowhere. */
  shared_info_gfn: u64;
  created_at: u64;
  hypercalls: u64;
  watchdog0: u64;
  watchdog1: u64;
  /** 1 or 2; status frames belong to version 2. */
  grant_version: u32;
  status_frames: u32;
  /** Frames set aside for it (XENMEM_claim_pages), not populated yet. */
  claim: u32;
  /** Its rings for messages (argo_ring.ts), and their number. */
  argo_rings: u32;
  argo_count: u32;
  /**
   * Of a PV domain: raised when an entry of its page tables that was present changes, and it is not known which translations came by it
   * (pv/translations.ts): of programs' half of an address space, of the kernel's.
   */
  pt_generation: u32;
  pt_kernel_generation: u32;
}

export const DOMAIN_PRIVILEGED: u32 = 1;
export const DOMAIN_XENSTORE: u32 = 2;
/** A service: no vCPU, handles are addresses of its own pseudo-physical space. */
export const DOMAIN_SERVICE: u32 = 4;
export const DOMAIN_HVM: u32 = 8;
export const DOMAIN_DYING: u32 = 16;
export const DOMAIN_SHUTDOWN: u32 = 32;
/** Its vCPUs may be created and run no more; only frames that others map remain. */
export const DOMAIN_DEAD: u32 = 64;
export const DOMAIN_HAP: u32 = 128;
/** A service whose code is a worker thread of its own: its events ring that worker's bell, not the host's. */
export const DOMAIN_WORKER: u32 = 256;
/** shared_info and vcpu_info have the 32-bit layout: see shared_info_latch; a PV domain with it is a 32-bit one. */
export const DOMAIN_32BIT: u32 = 0x10000;

/** Not stopped, and nothing said about it. */
export const NO_SHUTDOWN_CODE: u32 = 0xffffffff;
export const NO_TARGET: u16 = 0xffff;
export const MAX_VCPUS: u32 = 128;
export const NO_EVENT: u32 = 0;

/** Areas of the domain's page. */
export const DOMAIN_PARAMS: usize = 512; // HVM_NR_PARAMS × u64
export const DOMAIN_VCPUS: usize = 1024; // MAX_VCPUS × address
export const DOMAIN_GRANTS: usize = 1536; // frames of the grant table (mfn)
export const DOMAIN_ACTIVE: usize = 1792; // two pages of active entries a grant frame
export const DOMAIN_E820: usize = 2304; // E820_MAX × 20
export const DOMAIN_STATUS: usize = 3584; // status frames of a grant table of version 2 (mfn)
export const E820_MAX: u32 = 64;
export const GRANT_FRAMES_MAX: u32 = 64;

/** The directory's slot of a domid, or 0 while its page does not exist. */
function slot_of(domid: u32): usize {
  const page = load<u32>(HOST_DOMAINS + (((<usize>domid) >> 10) << 2));
  return page ? <usize>page + (((<usize>domid) & 1023) << 2) : 0;
}

/** The domain with this number, dying ones included; null if there is none. DOMID_SELF is not resolved here. */
export function domain_find(domid: u32): Domain | null {
  if (domid >= <u32>DOMID_FIRST_RESERVED) return null;
  const slot = slot_of(domid);
  return slot ? changetype<Domain | null>(<usize>load<u32>(slot)) : null;
}

/** All domains, the newest first. */
@inline export function domain_first(): Domain | null {
  return changetype<Domain | null>(<usize>host().domain_list);
}
@inline export function domain_next(d: Domain | null): Domain | null {
  return changetype<Domain | null>(<usize>load<u32>(changetype<usize>(d), offsetof<Domain>('next')));
}

/** As domain_find, but a domain that is being destroyed is gone, and DOMID_SELF is the caller. */
export function domain_by_id(caller: Domain, domid: u32): Domain | null {
  if (domid == DOMID_SELF) return caller;
  const d = domain_find(domid);
  return d != null && !(d.flags & DOMAIN_DYING) ? d : null;
}

@inline export function domain_vcpu(d: Domain, id: u32): Vcpu | null {
  return id < d.max_vcpus
    ? changetype<Vcpu | null>(<usize>load<u32>(changetype<usize>(d) + DOMAIN_VCPUS + ((<usize>id) << 2)))
    : null;
}

@inline export function domain_param(d: Domain, i: u32): u64 {
  return load<u64>(changetype<usize>(d) + DOMAIN_PARAMS + ((<usize>i) << 3));
}

@inline export function domain_set_param(d: Domain, i: u32, v: u64): void {
  store<u64>(changetype<usize>(d) + DOMAIN_PARAMS + ((<usize>i) << 3), v);
}

@inline export function is_privileged(d: Domain): bool {
  return (d.flags & DOMAIN_PRIVILEGED) != 0;
}

/** It sees machine frames and has no p2m (docs/design/pv.md). */
@inline export function is_pv(d: Domain): bool {
  return (d.flags & (DOMAIN_HVM | DOMAIN_SERVICE)) == 0;
}

/** And its kernel is 32-bit code in ring 1 (XEN_DOMCTL_set_address_size). */
@inline export function is_pv32(d: Domain): bool {
  return (d.flags & (DOMAIN_HVM | DOMAIN_SERVICE | DOMAIN_32BIT)) == DOMAIN_32BIT;
}

/** First domid at or after the last one used that is free; ids are not reused before they wrap. */
function pick_domid(): i32 {
  const h = host();
  for (let n: u32 = 1; n < <u32>DOMID_FIRST_RESERVED; n++) {
    const id = h.next_domid;
    h.next_domid = id + 1 < <u32>DOMID_FIRST_RESERVED ? id + 1 : 1;
    if (domain_find(id) == null) return id;
  }
  return -1;
}

function enter_directory(d: Domain): bool {
  const p = HOST_DOMAINS + (((<usize>d.domid) >> 10) << 2);
  if (load<u32>(p) == 0) {
    const page = xenheap_alloc(d.domid);
    if (!page) return false;
    store<u32>(p, <u32>page);
  }
  store<u32>(slot_of(d.domid), <u32>changetype<usize>(d));
  const h = host();
  d.next = h.domain_list;
  h.domain_list = <u32>changetype<usize>(d);
  h.domain_count++;
  return true;
}

/** The domain's own pages: shared_info, p2m root, event and grant structures. False: out of memory, domain_release undoes it. */
function build(d: Domain): bool {
  const info = frame_alloc(d.domid, FRAME_SHARED);
  if (info == INVALID_MFN) return false;
  d.shared_info = <u32>mfn_to_ptr(info);
  d.dummy_info = <u32>xenheap_alloc(d.domid);
  d.evtchn_dir = <u32>xenheap_alloc(d.domid);
  return d.dummy_info != 0 && d.evtchn_dir != 0 && (is_pv(d) ? m2p_init() : p2m_init(d)) && grant_table_init(d);
}

/** What the last created domain's address is; domain_create's result is an errno. */
export let created: usize = 0;

/** Create domain `domid` (0: any free one), paused. 0 or an errno. */
export function domain_create(domid: u32, flags: u32, max_vcpus: u32, max_port: u32, grants: u32, maptrack: u32): i32 {
  if (domid >= <u32>DOMID_FIRST_RESERVED || max_vcpus == 0 || max_vcpus > MAX_VCPUS) return -EINVAL;
  if (domid == 0 && host().domain_list != 0) {
    const picked = pick_domid();
    if (picked < 0) return -ENOMEM;
    domid = picked;
  } else if (domain_find(domid) != null) return -EEXIST;
  const p = xenheap_alloc(<u16>domid);
  if (!p) return -ENOMEM;
  const d = changetype<Domain>(p);
  d.domid = <u16>domid;
  d.target = NO_TARGET;
  d.flags = flags;
  d.max_vcpus = max_vcpus;
  d.pause_count = 1;
  d.shutdown_code = NO_SHUTDOWN_CODE;
  d.max_port = max_port;
  d.evtchn_next = 1;
  d.shared_info_gfn = ~0;
  d.tsc_khz = 1000000;
  d.created_at = system_time();
  d.max_grant_frames = grants < GRANT_FRAMES_MAX ? grants : GRANT_FRAMES_MAX;
  d.max_maptrack_frames = maptrack < 1024 ? maptrack : 1024;
  d.maptrack_free = 0xffffffff;
  if (!build(d) || !enter_directory(d)) {
    domain_release(d);
    return -ENOMEM;
  }
  created = p;
  return 0;
}

export function domain_set_max_pages(d: Domain, pages: u32): void {
  d.max_pages = pages;
  // A leaf of the p2m serves 1024 frames; leave room for sparse special pages, but not for a guest that spreads its memory thin.
  d.p2m_limit = 256 + (pages >> 7);
}

/** Give the domain its vCPU `id` if it has none yet. */
export function domain_add_vcpu(d: Domain, id: u32): i32 {
  if (id >= d.max_vcpus) return -EINVAL;
  if (domain_vcpu(d, id) != null) return 0;
  const v = vcpu_create(d, id);
  if (v == null) return -ENOMEM;
  store<u32>(changetype<usize>(d) + DOMAIN_VCPUS + ((<usize>id) << 2), <u32>changetype<usize>(v));
  return 0;
}

/** Those of its vCPUs that run leave guest code soon. */
export function domain_kick(d: Domain): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) vcpu_kick(v);
  }
}

export function domain_pause(d: Domain): void {
  d.pause_count++;
  domain_look(d);
}

export function domain_unpause(d: Domain): i32 {
  if (d.pause_count == 0) return -EINVAL;
  if (--d.pause_count == 0) domain_look(d);
  return 0;
}

/** Set what remains of the domain's claim. */
export function domain_claim(d: Domain, pages: u32): void {
  const h = host();
  h.claimed = h.claimed - d.claim + pages;
  d.claim = pages;
}

/** Is a vCPU of it on some pCPU right now? */
export function domain_is_running(d: Domain): bool {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null && v.state == RUNSTATE_running && !(d.flags & DOMAIN_SERVICE)) return true;
  }
  return false;
}

/** Drop a hold on a frame; the last one returns it to the allocator and to its owner's account. */
export function page_put(mfn: Mfn): void {
  const f = frame(mfn);
  const owner = f.owner;
  const shared = f.type == FRAME_SHARED;
  // A page table of a dying PV domain's that nobody holds any more still holds others: it waits for pv_relinquish.
  if (is_table(f.pt_type) && f.refcount == 1) {
    f.pt_flags |= FRAME_ALLOCATED;
    return;
  }
  if (!frame_put(mfn)) return;
  m2p_forget(mfn);
  frame_free(mfn);
  const d = domain_find(owner);
  if (d == null) return;
  if (!shared) d.tot_pages--;
  if (d.flags & DOMAIN_DEAD && d.tot_pages == 0) domain_release(d);
}

@inline export function page_get(mfn: Mfn): void {
  frame_get(mfn);
}

/**
 * One step of a domain's end. 1: not finished, call again (a vCPU still runs, or there is much memory); 0: finished. Frames that
 * other domains map stay until those let go: the number stays taken until then.
 */
export function domain_kill(d: Domain): i32 {
  if (!(d.flags & DOMAIN_DYING)) {
    d.flags |= DOMAIN_DYING;
    domain_claim(d, 0);
    domain_pause(d);
  }
  if (d.flags & DOMAIN_DEAD) return 0;
  if (domain_is_running(d)) return 1;
  if (d.relinquish == 0) {
    argo_destroy(d);
    evtchn_destroy(d);
    ioreq_destroy(d);
    grant_table_destroy(d);
    for (let i: u32 = 0; i < d.max_vcpus; i++) {
      const v = domain_vcpu(d, i);
      if (v != null) vcpu_destroy(v);
      store<u32>(changetype<usize>(d) + DOMAIN_VCPUS + ((<usize>i) << 2), 0);
    }
  }
  if (!p2m_destroy(d)) return 1;
  d.flags |= DOMAIN_DEAD;
  if (d.tot_pages == 0) domain_release(d);
  return 0;
}

function unlink(d: Domain): void {
  const h = host();
  const p = <u32>changetype<usize>(d);
  if (slot_of(d.domid) && load<u32>(slot_of(d.domid)) == p) store<u32>(slot_of(d.domid), 0);
  else return;
  h.domain_count--;
  if (h.domain_list == p) {
    h.domain_list = d.next;
    return;
  }
  for (let q = domain_first(); q != null; q = domain_next(q)) {
    if (q.next == p) {
      q.next = d.next;
      return;
    }
  }
}

/** Return the hypervisor's pages of a domain that nothing refers to any more. */
function domain_release(d: Domain): void {
  unlink(d);
  grant_table_release(d);
  if (d.shared_info && frame_put(ptr_to_mfn(d.shared_info))) frame_free(ptr_to_mfn(d.shared_info));
  xenheap_free(d.dummy_info);
  xenheap_free(d.evtchn_dir);
  xenheap_free(d.p2m_root);
  xenheap_free(d.maptrack_dir);
  xenheap_free(changetype<usize>(d));
}

/** Record that the domain stopped and tell the control domain. `code` is SHUTDOWN_*. */
export function domain_shutdown(d: Domain, code: u32): void {
  if (d.flags & DOMAIN_SHUTDOWN) return;
  d.flags |= DOMAIN_SHUTDOWN;
  // SCHEDOP_shutdown_code has said before what the next one is to be called.
  if (d.shutdown_code == NO_SHUTDOWN_CODE) d.shutdown_code = code & 0xff;
  printk(CON_SHUTDOWN, d.domid, d.shutdown_code);
  domain_look(d);
  send_global_virq(VIRQ_DOM_EXC);
  host_ring();
}
import { VIRQ_DOM_EXC } from '../gen/abi';
import { system_time } from './time';
import { send_global_virq } from './event_channel';
