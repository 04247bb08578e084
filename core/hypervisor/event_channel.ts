// Event channels: ports, their binding and the operations. How a pending port reaches the guest is the back ends' (event_2l, event_fifo).
import {
  EBUSY,
  EINVAL,
  ENOSPC,
  ENOSYS,
  ENOMEM,
  EEXIST,
  EFAULT,
  ENOENT,
  ESRCH,
  EPERM,
  DOMID_SELF,
  EVTCHN_FIFO_NR_CHANNELS,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EVTCHN_FIFO_PRIORITY_MIN,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  NR_VIRQS,
  VIRQ_DEBUG,
  VIRQ_TIMER,
  VIRQ_XENPMU,
  VIRQ_XENOPROF,
  evtchn_status__u__interdomain__dom,
  sizeof_evtchn_status,
  evtchn_status__u__interdomain__port,
  evtchn_status__u__unbound__dom,
  evtchn_status__u__virq,
  evtchn_status__vcpu,
  evtchn_status__status,
} from '../gen/abi';
import { host, host_ring, MAILBOX_SIZE } from '../shared/host';
import { xenheap_alloc, xenheap_free } from '../shared/frame_alloc';
import { XSM_evtchn_interdomain, XSM_evtchn_send, XSM_evtchn_unbound } from '../gen/xsm';
import { Domain, DOMAIN_DYING, DOMAIN_SERVICE, DOMAIN_WORKER, domain_by_id, domain_find, domain_vcpu } from './domain';
import { l2_clear_pending, l2_is_masked, l2_is_pending, l2_ports, l2_set_pending, l2_unmask } from './event_2l';
import {
  fifo_clear_pending,
  fifo_destroy,
  fifo_is_busy,
  fifo_is_masked,
  fifo_is_pending,
  fifo_set_pending,
  fifo_unmask,
} from './event_fifo';
import { ioreq_notified } from './ioreq';
import { trace_event } from './trace';
import { vcpu_unblock } from './sched/core';
import { Vcpu, vcpu_domain, vcpu_virq, VCPU_POLL } from './vcpu';
import { xsm_check } from './xsm';
import { invariant_broken, invariant_page, INVARIANT_PORT, INVARIANT_VIRQ } from './invariants';

@unmanaged
export class Evtchn {
  /** EVTCHNSTAT_* */
  state: u8;
  /** FIFO queue of the port. */
  priority: u8;
  /** FIFO: pending before there was an event word for it. */
  early: u8;
  /** The hypervisor is this end's user: the guest may not send, close or bind it. */
  consumer: u8;
  vcpu: u32;
  remote_dom: u16;
  /** FIFO: queue and vCPU of the last enqueueing. */
  last_priority: u16;
  remote_port: u32;
  virq: u32;
  last_vcpu: u32;
  port: u32;
  reserved: u32;
}

const PER_PAGE: u32 = 128; // ports a page of the domain's directory: 1024 × 128 = all FIFO ports
const SIZE: usize = 32;

/** The structure of `port`, null if the domain has none that high. */
export function evtchn_get(d: Domain, port: u32): Evtchn | null {
  if (port >= d.evtchn_ports) return null;
  const page = load<u32>(<usize>d.evtchn_dir + ((<usize>port / PER_PAGE) << 2));
  return changetype<Evtchn | null>(<usize>page + <usize>(port % PER_PAGE) * SIZE);
}

/** As evtchn_get, for a port that is known to be below evtchn_ports. */
@inline export function evtchn_at(d: Domain, port: u32): Evtchn {
  return changetype<Evtchn>(evtchn_get(d, port));
}

/** A port that is in use, as an operation of the guest names it. */
function used(d: Domain, port: u32): Evtchn | null {
  const e = evtchn_get(d, port);
  return e != null && e.state != EVTCHNSTAT_closed ? e : null;
}

function port_limit(d: Domain): u32 {
  const abi: u32 = d.evtchn_fifo ? EVTCHN_FIFO_NR_CHANNELS : l2_ports(d);
  return d.max_port < abi - 1 ? d.max_port : abi - 1;
}

function grow(d: Domain): i32 {
  const page = xenheap_alloc(d.domid);
  if (!page) return -ENOMEM;
  store<u32>(<usize>d.evtchn_dir + ((<usize>d.evtchn_ports / PER_PAGE) << 2), <u32>page);
  for (let i: u32 = 0; i < PER_PAGE; i++) changetype<Evtchn>(page + <usize>i * SIZE).port = d.evtchn_ports + i;
  d.evtchn_ports += PER_PAGE;
  return 0;
}

/** Lowest free port, or an errno. Port 0 is never used. */
export function evtchn_alloc_port(d: Domain): i32 {
  if (d.flags & DOMAIN_DYING) return -EINVAL;
  const limit = port_limit(d);
  for (let port = d.evtchn_next; port <= limit; port++) {
    if (port >= d.evtchn_ports) {
      const rc = grow(d);
      if (rc) return rc;
    }
    const e = evtchn_at(d, port);
    if (e.state != EVTCHNSTAT_closed || (d.evtchn_fifo && fifo_is_busy(d, port))) continue;
    d.evtchn_next = port + 1;
    e.priority = <u8>EVTCHN_FIFO_PRIORITY_DEFAULT;
    e.consumer = 0;
    e.early = 0;
    e.vcpu = 0;
    return port;
  }
  return -ENOSPC;
}

/** A port of `d` that `remote` may bind to; consumer: the hypervisor itself is this end. Port or errno. */
export function evtchn_alloc_unbound(d: Domain, remote: u16, consumer: u8, vcpu: u32): i32 {
  const port = evtchn_alloc_port(d);
  if (port < 0) return port;
  const e = evtchn_at(d, port);
  e.state = <u8>EVTCHNSTAT_unbound;
  e.remote_dom = remote;
  e.consumer = consumer;
  e.vcpu = vcpu;
  return port;
}

/** Make the port pending for its vCPU by the domain's ABI. */
export function evtchn_set_pending(d: Domain, e: Evtchn): void {
  const v = domain_vcpu(d, e.vcpu);
  if (v == null) return;
  trace_event(d, e.port, v.id);
  if (d.evtchn_fifo) fifo_set_pending(d, e, v);
  else l2_set_pending(d, e, v);
}

/** Called by the back ends when the guest has something new to look at. */
export function mark_events_pending(v: Vcpu): void {
  if (atomic.xchg<u8>(<usize>v.info, 1) != 0) return; // vcpu_info.evtchn_upcall_pending
  const d = vcpu_domain(v);
  if (d.flags & DOMAIN_SERVICE) service_ring(d);
  else {
    if (v.upcall_vector) atomic.store<u32>(changetype<usize>(v) + offsetof<Vcpu>('upcall_raise'), 1);
    vcpu_unblock(v);
  }
}

/** The worker of the service with this mailbox is to look: a word outside machine memory, which the platform's code on this thread rings. */
@external('env', 'service_wake')
declare function service_wake(slot: u32): void;

/** A service has something to look at: wake whoever waits for it on the platform's side. */
export function service_ring(d: Domain): void {
  if (d.flags & DOMAIN_WORKER) {
    service_wake((d.mailbox - host().mailboxes) / MAILBOX_SIZE);
    return;
  }
  const bell = changetype<usize>(d) + offsetof<Domain>('service_bell');
  atomic.add<u32>(bell, 1);
  atomic.notify(bell);
  host_ring();
}

/** vCPUs in SCHEDOP_poll on this port go on. */
export function check_pollers(d: Domain, port: u32): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null || !v.poll_count) continue;
    for (let n: u32 = 0; n < v.poll_count; n++) {
      if (load<u32>(changetype<usize>(v) + VCPU_POLL + ((<usize>n) << 2)) != port) continue;
      vcpu_unblock(v);
      break;
    }
  }
}

export function evtchn_is_pending(d: Domain, port: u32): bool {
  return d.evtchn_fifo ? fifo_is_pending(d, port) : l2_is_pending(d, port);
}

/** Ports below this can exist. */
export function evtchn_max_ports(d: Domain): u32 {
  return d.evtchn_fifo ? EVTCHN_FIFO_NR_CHANNELS : l2_ports(d);
}

export function evtchn_is_masked(d: Domain, port: u32): bool {
  return d.evtchn_fifo ? fifo_is_masked(d, port) : l2_is_masked(d, port);
}

/** Send on the caller's end; a closed remote end is no error. */
export function evtchn_send(d: Domain, port: u32): i32 {
  const e = used(d, port);
  if (e == null || e.consumer) return -EINVAL;
  const rc = xsm_check(XSM_evtchn_send, d, e.state == EVTCHNSTAT_interdomain ? domain_find(e.remote_dom) : null);
  if (rc) return rc;
  switch (e.state) {
    case <u8>EVTCHNSTAT_interdomain:
      notify_remote(e);
      return 0;
    case <u8>EVTCHNSTAT_ipi:
      evtchn_set_pending(d, e);
      return 0;
    case <u8>EVTCHNSTAT_unbound:
      return 0; // nobody listens yet
    default:
      return -EINVAL;
  }
}

/** The domain at the other end of an interdomain port. */
export function evtchn_remote(d: Domain, port: u32): Domain | null {
  const e = used(d, port);
  return e != null && e.state == EVTCHNSTAT_interdomain ? domain_find(e.remote_dom) : null;
}

function notify_remote(e: Evtchn): void {
  const rd = domain_find(e.remote_dom);
  if (rd == null) return;
  const r = evtchn_get(rd, e.remote_port);
  if (r == null) return;
  if (r.consumer) ioreq_notified(rd, r.vcpu);
  else evtchn_set_pending(rd, r);
}

/** The hypervisor sends from its own end `port` of `d`. */
export function evtchn_notify_consumer(d: Domain, port: u32): void {
  const e = used(d, port);
  if (e != null && e.consumer && e.state == EVTCHNSTAT_interdomain) notify_remote(e);
}

export function send_vcpu_virq(v: Vcpu, virq: u32): void {
  const port = load<u32>(vcpu_virq(v, virq));
  if (!port) return;
  const d = vcpu_domain(v);
  const e = used(d, port);
  if (e != null && e.state == EVTCHNSTAT_virq) evtchn_set_pending(d, e);
}

/** VIRQs of the whole host go to the control domain. */
export function send_global_virq(virq: u32): void {
  const d = domain_find(0);
  if (d == null) return;
  const v = domain_vcpu(d, 0);
  if (v != null) send_vcpu_virq(v, virq);
}

function virq_is_global(virq: u32): bool {
  return (
    virq != VIRQ_TIMER &&
    virq != VIRQ_DEBUG &&
    virq != VIRQ_XENOPROF &&
    virq != VIRQ_XENPMU &&
    !(virq >= 16 && virq < 24)
  );
}

export function bind_interdomain(d: Domain, remote_dom: u32, remote_port: u32): i32 {
  const rd = domain_by_id(d, remote_dom);
  if (rd == null) return -ESRCH;
  const port = evtchn_alloc_port(d);
  if (port < 0) return port;
  const e = evtchn_at(d, port);
  const r = used(rd, remote_port);
  let rc = -EINVAL;
  if (r != null && r.state == EVTCHNSTAT_unbound && r.remote_dom == d.domid)
    rc = xsm_check(XSM_evtchn_interdomain, d, rd);
  if (rc) {
    release(d, e);
    return rc;
  }
  e.state = <u8>EVTCHNSTAT_interdomain;
  e.remote_dom = rd.domid;
  e.remote_port = remote_port;
  const remote = changetype<Evtchn>(r);
  remote.state = <u8>EVTCHNSTAT_interdomain;
  remote.remote_dom = d.domid;
  remote.remote_port = port;
  // The remote may have sent before there was anybody to hear it.
  evtchn_set_pending(d, e);
  return port;
}

/** Bind a VIRQ; `wanted` is a port or 0. */
export function bind_virq(d: Domain, virq: u32, vcpu: u32): i32 {
  if (virq >= <u32>NR_VIRQS) return -EINVAL;
  if (virq_is_global(virq) && vcpu != 0) return -EINVAL;
  const v = domain_vcpu(d, vcpu);
  if (v == null) return -ENOENT;
  if (load<u32>(vcpu_virq(v, virq))) return -EEXIST;
  const port = evtchn_alloc_port(d);
  if (port < 0) return port;
  const e = evtchn_at(d, port);
  e.state = <u8>EVTCHNSTAT_virq;
  e.vcpu = vcpu;
  e.virq = virq;
  store<u32>(vcpu_virq(v, virq), port);
  return port;
}

export function bind_ipi(d: Domain, vcpu: u32): i32 {
  if (domain_vcpu(d, vcpu) == null) return -ENOENT;
  const port = evtchn_alloc_port(d);
  if (port < 0) return port;
  const e = evtchn_at(d, port);
  e.state = <u8>EVTCHNSTAT_ipi;
  e.vcpu = vcpu;
  return port;
}

export function bind_vcpu(d: Domain, port: u32, vcpu: u32): i32 {
  const v = domain_vcpu(d, vcpu);
  if (v == null) return -ENOENT;
  const e = used(d, port);
  if (e == null || e.consumer) return -EINVAL;
  if (e.state == EVTCHNSTAT_ipi) return -EINVAL;
  if (e.state == EVTCHNSTAT_virq && !virq_is_global(e.virq)) return -EINVAL;
  e.vcpu = vcpu;
  return 0;
}

function release(d: Domain, e: Evtchn): void {
  if (d.evtchn_fifo) fifo_clear_pending(d, e.port);
  else l2_clear_pending(d, e.port);
  e.state = <u8>EVTCHNSTAT_closed;
  e.consumer = 0;
  e.early = 0;
  if (e.port < d.evtchn_next) d.evtchn_next = e.port;
}

/** Close a port; the remote end becomes unbound again. guest: ends that the hypervisor uses are refused. */
export function evtchn_close(d: Domain, port: u32, guest: bool): i32 {
  const e = used(d, port);
  if (e == null || (guest && e.consumer)) return -EINVAL;
  if (e.state == EVTCHNSTAT_virq) {
    for (let i: u32 = 0; i < d.max_vcpus; i++) {
      const v = domain_vcpu(d, i);
      if (v != null && load<u32>(vcpu_virq(v, e.virq)) == port) store<u32>(vcpu_virq(v, e.virq), 0);
    }
  } else if (e.state == EVTCHNSTAT_interdomain) {
    const rd = domain_find(e.remote_dom);
    const r = rd != null ? evtchn_get(rd, e.remote_port) : null;
    if (r != null && r.state == EVTCHNSTAT_interdomain && r.remote_dom == d.domid && r.remote_port == port) {
      r.state = <u8>EVTCHNSTAT_unbound;
      r.remote_dom = d.domid;
    }
  }
  release(d, e);
  return 0;
}

export function evtchn_unmask(d: Domain, port: u32): i32 {
  const e = evtchn_get(d, port);
  if (e == null) return -EINVAL;
  const v = domain_vcpu(d, e.vcpu);
  if (v == null) return -EINVAL;
  if (d.evtchn_fifo) fifo_unmask(d, e, v);
  else l2_unmask(d, e, v);
  return 0;
}

/** EVTCHNOP_status into the structure at `a`. */
export function evtchn_status(d: Domain, port: u32, a: usize): i32 {
  const e = evtchn_get(d, port);
  if (e == null) return -EINVAL;
  store<u32>(a, e.state, evtchn_status__status);
  store<u32>(a, e.vcpu, evtchn_status__vcpu);
  switch (e.state) {
    case <u8>EVTCHNSTAT_unbound:
      store<u16>(a, e.remote_dom, evtchn_status__u__unbound__dom);
      break;
    case <u8>EVTCHNSTAT_interdomain:
      store<u16>(a, e.remote_dom, evtchn_status__u__interdomain__dom);
      store<u32>(a, e.remote_port, evtchn_status__u__interdomain__port);
      break;
    case <u8>EVTCHNSTAT_virq:
      store<u32>(a, e.virq, evtchn_status__u__virq);
      break;
  }
  return 0;
}

export function evtchn_set_priority(d: Domain, port: u32, priority: u32): i32 {
  if (!d.evtchn_fifo) return -ENOSYS;
  if (priority > <u32>EVTCHN_FIFO_PRIORITY_MIN) return -EINVAL;
  const e = used(d, port);
  if (e == null) return -EINVAL;
  e.priority = <u8>priority;
  return 0;
}

/** Close the ports that the guest may close, and go back to two levels. */
export function evtchn_reset(d: Domain): void {
  for (let port: u32 = 1; port < d.evtchn_ports; port++) evtchn_close(d, port, true);
  if (d.evtchn_fifo) fifo_destroy(d);
  d.evtchn_next = 1;
}

/** The domain ends: every port goes, and the pages that described them. */
export function evtchn_destroy(d: Domain): void {
  for (let port: u32 = 1; port < d.evtchn_ports; port++) evtchn_close(d, port, false);
  if (d.evtchn_fifo) fifo_destroy(d);
  for (let i: u32 = 0; i < d.evtchn_ports / PER_PAGE; i++)
    xenheap_free(load<u32>(<usize>d.evtchn_dir + ((<usize>i) << 2)));
  d.evtchn_ports = 0;
}

/** The invariant walker's part: the pages that describe ports. */
export function evtchn_pages(d: Domain): void {
  invariant_page(d.evtchn_dir);
  for (let i: u32 = 0; i < d.evtchn_ports / PER_PAGE; i++)
    invariant_page(load<u32>(<usize>d.evtchn_dir + ((<usize>i) << 2)));
}

/** Both ends of a channel know each other, and a VIRQ's port and its vCPU. */
export function evtchn_invariants(d: Domain): void {
  for (let port: u32 = 0; port < d.evtchn_ports; port++) {
    const e = evtchn_at(d, port);
    let good = e.port == port;
    if (e.state == EVTCHNSTAT_interdomain) {
      const rd = domain_find(e.remote_dom);
      const r = rd != null ? evtchn_get(rd, e.remote_port) : null;
      good =
        good &&
        r != null &&
        r.state == EVTCHNSTAT_interdomain &&
        r.remote_dom == d.domid &&
        r.remote_port == port &&
        !(r.consumer && e.consumer);
    } else if (e.state == EVTCHNSTAT_virq) {
      const v = domain_vcpu(d, virq_is_global(e.virq) ? 0 : e.vcpu);
      good = good && v != null && e.virq < <u32>NR_VIRQS && load<u32>(vcpu_virq(v, e.virq)) == port;
    } else if (e.state == EVTCHNSTAT_closed) good = good && !e.consumer;
    else good = good && (e.state == EVTCHNSTAT_unbound || e.state == EVTCHNSTAT_ipi);
    if (!good) invariant_broken(INVARIANT_PORT, d.domid, port);
  }
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    for (let virq: u32 = 0; v != null && virq < <u32>NR_VIRQS; virq++) {
      const port = load<u32>(vcpu_virq(v, virq));
      const e = evtchn_get(d, port);
      if (port && (e == null || e.state != EVTCHNSTAT_virq || e.virq != virq))
        invariant_broken(INVARIANT_VIRQ, d.domid, virq);
    }
  }
}
