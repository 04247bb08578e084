// The hypervisor without an engine: what the tests of this folder compile. The exports below stand in for a guest's instructions.
import { vcpu_of } from './vcpu';
import { engine_port, engine_port_value, engine_upcall_vector } from './engine';
import { Cpu } from '../arch/x86/cpu';
import { hypercall_page_write } from './hypercall_page';
import { hypercall_exit } from './hypercall';
import { domain_cpu } from './inspect';
import { ioreq_waiting } from './ioreq';
import { host_lock, host_unlock } from '../shared/host';

import { frame, FRAME_FREE } from '../shared/frame_table';
import { xenheap_alloc } from '../shared/frame_alloc';
import { Domain, DOMAIN_ACTIVE, domain_find } from './domain';
import { bind_ipi, evtchn_at } from './event_channel';
import { EVTCHNSTAT_interdomain } from '../gen/abi';
import { Active } from './grant_table';
import { p2m_get, p2m_mfn } from './p2m';

export * from './index';

/** Do to the host what only a wrong core would: the invariant walker has to find it. */
export function test_plant(domid: u32, what: i32): void {
  const d = changetype<Domain>(domain_find(domid));
  const mfn = p2m_mfn(p2m_get(d, 5));
  switch (what) {
    case 0:
      frame(mfn).refcount++;
      return;
    case 1:
      frame(mfn).refcount--;
      return;
    case 2:
      d.tot_pages++;
      return;
    case 3:
      xenheap_alloc(d.domid);
      return;
    case 4: {
      const leaf = <usize>load<u32>(<usize>load<u32>(d.p2m_root));
      store<u32>(leaf + 20, p2m_get(changetype<Domain>(domain_find(0)), 5));
      return;
    }
    case 5: {
      const e = evtchn_at(d, bind_ipi(d, 0));
      e.state = <u8>EVTCHNSTAT_interdomain;
      return;
    }
    case 6: {
      const a = changetype<Active>(<usize>load<u32>(changetype<usize>(d) + DOMAIN_ACTIVE) + 9 * 16);
      a.readers = 1;
      a.mfn = mfn;
      frame(mfn).refcount++;
      return;
    }
    default:
      frame(mfn).type = FRAME_FREE;
  }
}

/** IN or OUT of vCPU 0: 0 done, else an EXIT_*. */
export function test_port(domid: u32, port: u32, size: i32, write: bool, value: u32): i32 {
  return engine_port(changetype<Cpu>(domain_cpu(domid, 0)), port, size, write, value);
}
export function test_port_value(): u32 {
  return engine_port_value;
}
export function test_waiting(domid: u32): bool {
  return ioreq_waiting(vcpu_of(changetype<Cpu>(domain_cpu(domid, 0))));
}
export function test_upcall_vector(domid: u32): i32 {
  return engine_upcall_vector(changetype<Cpu>(domain_cpu(domid, 0)));
}
export function test_hypercall_page(domid: u32, value: u64): bool {
  return hypercall_page_write(changetype<Cpu>(domain_cpu(domid, 0)), value);
}
/** VMCALL with what is in the registers. */
export function test_vmcall(domid: u32): void {
  host_lock();
  hypercall_exit(vcpu_of(changetype<Cpu>(domain_cpu(domid, 0))));
  host_unlock();
}
