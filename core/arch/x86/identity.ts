// What the processor layer has to know about who it is: the only place here that looks at the hypervisor's structures.
import { Cpu } from './cpu';
import { vcpu_domain, vcpu_of } from '../../hypervisor/vcpu';

@inline export function vcpu_id(cpu: Cpu): u32 {
  return vcpu_of(cpu).id;
}

/** As Xen numbers them, and as the MADT and CPUID say. */
@inline export function apic_id(cpu: Cpu): u32 {
  return vcpu_id(cpu) * 2;
}

@inline export function domid(cpu: Cpu): u32 {
  return vcpu_domain(vcpu_of(cpu)).domid;
}

@inline export function tsc_khz(cpu: Cpu): u32 {
  return vcpu_domain(vcpu_of(cpu)).tsc_khz;
}

/** What the domain's TSC adds to the host's clock counted at the same rate. */
export function tsc_origin(cpu: Cpu): u64 {
  const d = vcpu_domain(vcpu_of(cpu));
  return 0 - ((d.created_at / 1000000) * d.tsc_khz + ((d.created_at % 1000000) * d.tsc_khz) / 1000000);
}

export function nr_vcpus(cpu: Cpu): u32 {
  return vcpu_domain(vcpu_of(cpu)).max_vcpus;
}

/** Host address of its struct vcpu_info. */
@inline export function vcpu_info(cpu: Cpu): usize {
  return vcpu_of(cpu).info;
}

/** Domain.pt_kernel_generation of a PV vCPU's domain. */
@inline export function pt_kernel_generation(cpu: Cpu): u32 {
  return vcpu_domain(vcpu_of(cpu)).pt_kernel_generation;
}

/** Domain.pt_generation of a PV vCPU's domain. */
@inline export function pt_generation(cpu: Cpu): u32 {
  return vcpu_domain(vcpu_of(cpu)).pt_generation;
}
