// The hypervisor without an engine: what the tests of this folder compile. The exports below stand in for a guest's instructions.
import { vcpu_of } from './vcpu';
import { engine_port, engine_port_value, engine_upcall_vector } from './engine';
import { Cpu } from '../arch/x86/cpu';
import { hypercall_page_write } from './hypercall_page';
import { hypercall_exit } from './hypercall';
import { domain_cpu } from './inspect';
import { ioreq_waiting } from './ioreq';
import { host_lock, host_unlock } from '../shared/host';

export * from './index';

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
