// Service domains: domains without a vCPU of their own to run, whose code is TypeScript elsewhere. They never see machine memory: a call
// passes bytes through a mailbox, hypercalls are made with the service as the caller, and handles are addresses of its own
// pseudo-physical space, in which foreign pages and granted frames appear when it maps them.
import { EAGAIN, EFAULT, EINVAL, ENOMEM, ENOSPC, ESRCH } from '../gen/abi';
import { HOST_BASE } from '../engine/layout';
import {
  host,
  host_lock,
  host_unlock,
  Host,
  MAILBOX_DATA,
  MAILBOX_HEADER,
  MAILBOX_SIZE,
  MAILBOX_SLOTS,
} from '../shared/host';
import {
  created,
  Domain,
  domain_add_vcpu,
  domain_create,
  domain_find,
  domain_first,
  domain_kill,
  domain_next,
  DOMAIN_PRIVILEGED,
  DOMAIN_SERVICE,
  DOMAIN_WORKER,
  domain_set_max_pages,
  domain_vcpu,
  DOMAIN_XENSTORE,
} from './domain';
import { l2_take } from './event_2l';
import { access_gpa } from './guest_access';
import { hypercall } from './hypercall';
import { populate_one } from './memory_op';
import { p2m_frame } from './p2m';
import { INVALID_MFN } from '../shared/memory';
import { Vcpu } from './vcpu';

/** The mailbox's header: what is asked and answered. Data lies MAILBOX_HEADER further. */
@unmanaged
export class ServiceCall {
  op: u32;
  /** Length of the data in, or room for data out; out: bytes of data. */
  len: u32;
  nr: u32;
  reserved: u32;
  a0: u64;
  a1: u64;
  a2: u64;
  a3: u64;
  a4: u64;
  result: i64;
}

/** result = hypercall `nr` with a0..a4. */
export const SERVICE_HYPERCALL: u32 = 1;
/** `len` bytes at address a0 of the service's space into the data area, `nr` bytes into it. */
export const SERVICE_READ: u32 = 2;
export const SERVICE_WRITE: u32 = 3;
/** Take pending ports, u32 each, into the data area at `nr`; result = how many. */
export const SERVICE_EVENTS: u32 = 4;

/** Pages that a service may use beyond those it was created with, for tables of what it maps. */
const P2M_ROOM: u32 = 4096;
const RETRIES: i32 = 5000;
const RETRY_NS: i64 = 1000000;

/** Make service domain `domid` with `pages` of its own from address 0. flags: 1 privileged, 2 xenstore, 256 with a worker. 0 or an errno. */
export function service_create(domid: u32, flags: u32, label: u32, pages: u32): i32 {
  host_lock();
  const rc = create(domid, flags, label, pages);
  host_unlock();
  return rc;
}

function create(domid: u32, flags: u32, label: u32, pages: u32): i32 {
  const slot = free_slot();
  if (slot < 0) return -ENOSPC;
  const rc = domain_create(
    domid,
    DOMAIN_SERVICE | (flags & (DOMAIN_PRIVILEGED | DOMAIN_XENSTORE | DOMAIN_WORKER)),
    1,
    4095,
    4,
    1024,
  );
  if (rc) return rc;
  const d = changetype<Domain>(created);
  d.label = label;
  d.pause_count = 0;
  d.mailbox = host().mailboxes + <u32>slot * MAILBOX_SIZE;
  domain_set_max_pages(d, pages);
  d.p2m_limit = P2M_ROOM;
  let e = domain_add_vcpu(d, 0);
  for (let i: u32 = 0; i < pages && e == 0; i++) e = populate_one(d, i);
  if (e) while (domain_kill(d)) {}
  return e;
}

function free_slot(): i32 {
  for (let i = 0; i < MAILBOX_SLOTS; i++) {
    const m = host().mailboxes + <u32>i * MAILBOX_SIZE;
    let used = false;
    for (let d = domain_first(); d != null; d = domain_next(d)) if (d.mailbox == m) used = true;
    if (!used) return i;
  }
  return -1;
}

function service(domid: u32): Domain | null {
  const d = domain_find(domid);
  return d != null && d.flags & DOMAIN_SERVICE ? d : null;
}

/** Address of the service's mailbox, 0 if there is no such service. */
export function service_mailbox(domid: u32): usize {
  const d = service(domid);
  return d == null ? 0 : d.mailbox;
}
/** Its number: which word the platform rings for it (service_wake). */
export function service_slot(domid: u32): i32 {
  const d = service(domid);
  return d == null ? -1 : <i32>((d.mailbox - host().mailboxes) / MAILBOX_SIZE);
}
export function service_mailbox_data(): u32 {
  return MAILBOX_HEADER;
}
export function service_mailbox_size(): u32 {
  return MAILBOX_DATA;
}

/** Address of a counter that grows with every event for the service; the platform may wait on it. */
export function service_bell(domid: u32): usize {
  const d = service(domid);
  return d == null ? 0 : changetype<usize>(d) + offsetof<Domain>('service_bell');
}

/** Address of a counter that grows whenever any service has an event, or a domain stops. */
export function service_bell_all(): usize {
  return HOST_BASE + offsetof<Host>('service_bell');
}

/** Serve the call in the service's mailbox. 0, or an errno if there is no such service or call. */
export function service_call(domid: u32): i32 {
  host_lock();
  const d = service(domid);
  const v = d != null ? domain_vcpu(d, 0) : null;
  const rc = d == null || v == null ? -ESRCH : serve(d, v, changetype<ServiceCall>(<usize>d.mailbox));
  host_unlock();
  return rc;
}

function serve(d: Domain, v: Vcpu, c: ServiceCall): i32 {
  const len = c.len;
  const at: u32 = c.op == SERVICE_HYPERCALL ? 0 : c.nr;
  if (len > MAILBOX_DATA || at > MAILBOX_DATA - len) return -EINVAL;
  const data = changetype<usize>(c) + MAILBOX_HEADER + at;
  switch (c.op) {
    case SERVICE_HYPERCALL:
      c.result = whole_hypercall(v, c);
      return 0;
    case SERVICE_READ:
    case SERVICE_WRITE:
      c.result = access_gpa(d, c.a0, data, len, c.op == SERVICE_WRITE) ? 0 : -EFAULT;
      return 0;
    case SERVICE_EVENTS:
      c.result = l2_take(d, v, data, len >>> 2);
      c.len = (<u32>c.result) << 2;
      return 0;
    default:
      return -EINVAL;
  }
}

/** A hypercall that gives way is made again until it is done. One that waits for a vCPU to leave its pCPU lets that pCPU have the lock. */
function whole_hypercall(v: Vcpu, c: ServiceCall): i64 {
  let a0 = c.a0;
  let a1 = c.a1;
  let a2 = c.a2;
  let a3 = c.a3;
  let i = 0;
  while (true) {
    i++;
    const r = hypercall(v, c.nr, a0, a1, a2, a3, c.a4);
    if (!v.restart) return r;
    if (v.cont_cmd == a0 && v.cont_arg1 == a1 && v.cont_arg2 == a2 && i > RETRIES) return -EAGAIN;
    a0 = v.cont_cmd;
    a1 = v.cont_arg1;
    a2 = v.cont_arg2;
    if (v.cont_four) a3 = v.cont_arg3;
    host_unlock();
    if (i > 64) atomic.wait<u32>(changetype<usize>(c) + offsetof<ServiceCall>('reserved'), c.reserved, RETRY_NS);
    host_lock();
  }
}

/** The service is gone: its domain ends like any other. */
export function service_destroy(domid: u32): i32 {
  host_lock();
  const d = service(domid);
  let rc = -ESRCH;
  if (d != null) {
    while (domain_kill(d)) {}
    rc = 0;
  }
  host_unlock();
  return rc;
}
