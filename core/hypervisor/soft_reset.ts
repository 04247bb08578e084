// XEN_DOMCTL_soft_reset: a domain that has shut down for it forgets what it has agreed with the hypervisor and goes on, for a kernel that has
// replaced another in its memory (kexec). What is in its memory and registers stays.
import { EINVAL, ENOMEM } from '../gen/abi';
import { INVALID_MFN, PAGE_SIZE, ptr_to_mfn } from '../shared/memory';
import {
  Domain,
  domain_is_running,
  DOMAIN_32BIT,
  DOMAIN_DYING,
  DOMAIN_SHUTDOWN,
  domain_vcpu,
  is_pv,
  NO_SHUTDOWN_CODE,
} from './domain';
import { argo_destroy } from './argo_ring';
import { evtchn_reset } from './event_channel';
import { populate_one } from './memory_op';
import { p2m_clear, p2m_find, P2M_NO_GFN } from './p2m';
import { page_put_writable } from './pv/page_type';
import { domain_look } from './sched/core';
import { time_publish, wallclock_publish } from './time';
import { NEVER, Vcpu, vcpu_default_info, VCPU_INFO_REGISTERED } from './vcpu';

function forget(d: Domain, v: Vcpu): void {
  v.runstate_gpa = v.time_gpa = NEVER;
  v.singleshot = v.periodic = v.poll_deadline = NEVER;
  v.upcall_vector = v.upcall_raise = v.poll_count = 0;
  if (v.info_mfn != INVALID_MFN) page_put_writable(v.info_mfn);
  v.info_mfn = INVALID_MFN;
  v.info = vcpu_default_info(d, v.id);
  v.flags &= ~VCPU_INFO_REGISTERED;
}

/** Where the guest had shared_info is memory again, as the new kernel believes. */
function shared_info_leaves(d: Domain): i32 {
  let gfn = p2m_find(d, ptr_to_mfn(d.shared_info));
  while (gfn != P2M_NO_GFN) {
    p2m_clear(d, gfn);
    if (populate_one(d, gfn)) return -ENOMEM;
    gfn = p2m_find(d, ptr_to_mfn(d.shared_info));
  }
  return 0;
}

/** 0 or an errno; it runs on unless somebody has paused it. */
export function domain_soft_reset(d: Domain): i32 {
  if (is_pv(d) || !(d.flags & DOMAIN_SHUTDOWN) || d.flags & DOMAIN_DYING || domain_is_running(d)) return -EINVAL;
  if (d.tot_pages >= d.max_pages && p2m_find(d, ptr_to_mfn(d.shared_info)) != P2M_NO_GFN) return -ENOMEM;
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) forget(d, v);
  }
  argo_destroy(d);
  evtchn_reset(d);
  d.watchdog0 = d.watchdog1 = 0;
  d.vm_assist = 0;
  const rc = shared_info_leaves(d);
  if (rc) return rc;
  d.shared_info_gfn = ~0;
  memory.fill(d.shared_info, 0, PAGE_SIZE);
  d.flags &= ~(DOMAIN_SHUTDOWN | DOMAIN_32BIT);
  d.shutdown_code = NO_SHUTDOWN_CODE;
  wallclock_publish(d);
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) time_publish(v);
  }
  domain_look(d);
  return 0;
}
