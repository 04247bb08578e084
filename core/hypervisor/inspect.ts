// Exports for reports and statistics: addresses of structures whose layout the platform knows (crash_report.ts), nothing that changes a domain.
import { host, host_lock, host_unlock } from '../shared/host';
import { Domain, DOMAIN_DYING, domain_find, DOMAIN_SHUTDOWN, domain_vcpu } from './domain';
import { cpu_of } from './vcpu';
import { label_deny_add } from './xsm/label_deny';

export function domain_count(): u32 {
  return host().domain_count;
}

/** Address of a vCPU's Cpu (its Vcpu is 4096 further), 0 if there is none. */
export function domain_cpu(domid: u32, id: u32): usize {
  const d = domain_find(domid);
  const v = d != null ? domain_vcpu(d, id) : null;
  return v == null ? 0 : changetype<usize>(cpu_of(v));
}

/** -1 no such domain, -2 dying, -3 alive, else the shutdown code. */
export function domain_state(domid: u32): i32 {
  const d = domain_find(domid);
  if (d == null) return -1;
  if (d.flags & DOMAIN_SHUTDOWN) return d.shutdown_code;
  return d.flags & DOMAIN_DYING ? -2 : -3;
}

/** Address of the domain's page: crash_reason, crash_vcpu, crash_info; 16 bytes at RIP at 832, their number at 848. */
export function domain_crash_page(domid: u32): usize {
  const d = domain_find(domid);
  return d == null ? 0 : changetype<usize>(d);
}

/** Choose the XSM module (XSM_MODULE_*); before domains are made. */
export function host_use_xsm(module: u32): void {
  host().xsm_module = module;
}

/** A rule of the label_deny module. */
export function xsm_deny(label: u32, hook: i32): i32 {
  host_lock();
  const rc = label_deny_add(label, hook);
  host_unlock();
  return rc;
}
