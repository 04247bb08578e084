// The run-time values in CPUID leaves: one function for each entry of DYNAMIC in spec/x86/cpuid.ts.
import { Cpu } from './cpu';
import { apic_id, domid, nr_vcpus, tsc_khz, tsc_origin, vcpu_id } from './identity';
import { APIC_BASE_ENABLE } from './lapic';
import { CR4_OSXSAVE } from './control';
import { pvclock_mul, pvclock_shift } from '../../hypervisor/time';

export function cpuid_apic_id(cpu: Cpu): u32 {
  return apic_id(cpu);
}

export function cpuid_nr_vcpus(cpu: Cpu): u32 {
  return nr_vcpus(cpu);
}

export function cpuid_apic_enabled(cpu: Cpu): u32 {
  return cpu.apic_base & APIC_BASE_ENABLE ? 1 : 0;
}

export function cpuid_osxsave(cpu: Cpu): u32 {
  return cpu.cr4 & CR4_OSXSAVE ? 1 : 0;
}

export function cpuid_vcpu_id(cpu: Cpu): u32 {
  return vcpu_id(cpu);
}

export function cpuid_domid(cpu: Cpu): u32 {
  return domid(cpu);
}

export function cpuid_tsc_khz(cpu: Cpu): u32 {
  return tsc_khz(cpu);
}

/** Domains are not restored yet, so each lives its first life. */
export function cpuid_tsc_incarnation(cpu: Cpu): u32 {
  return 0;
}

export function cpuid_tsc_offset_low(cpu: Cpu): u32 {
  return <u32>tsc_origin(cpu);
}

export function cpuid_tsc_offset_high(cpu: Cpu): u32 {
  return <u32>(tsc_origin(cpu) >> 32);
}

export function cpuid_tsc_mul(cpu: Cpu): u32 {
  return pvclock_mul(tsc_khz(cpu));
}

export function cpuid_tsc_shift(cpu: Cpu): u32 {
  pvclock_mul(tsc_khz(cpu));
  return <u32>pvclock_shift;
}

/** The hypervisor's own clock counts nanoseconds; it has no other TSC than the domain's. */
export function cpuid_host_tsc_khz(cpu: Cpu): u32 {
  return tsc_khz(cpu);
}
