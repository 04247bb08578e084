// Which layout a domain's shared_info has. A guest that may begin in 32-bit code and go on in 64-bit code says which one it means by the
// mode in which it asks for the hypercall page or sets its callback: among the first things that PV drivers do.
import { MODE_CS64 } from '../arch/x86/modes';
import { Domain, DOMAIN_32BIT, domain_vcpu } from './domain';
import { time_publish, wallclock_publish } from './time';
import { cpu_of, Vcpu } from './vcpu';

/** `v` of the domain has done one of those. What lies in the page is not converted; time is published at its new places. */
export function shared_info_latch(d: Domain, v: Vcpu): void {
  const is32 = (cpu_of(v).mode & MODE_CS64) == 0;
  if (is32 == ((d.flags & DOMAIN_32BIT) != 0)) return;
  if (is32) d.flags |= DOMAIN_32BIT;
  else d.flags &= ~DOMAIN_32BIT;
  wallclock_publish(d);
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const other = domain_vcpu(d, i);
    if (other != null) time_publish(other);
  }
}
