// Model-specific registers that are more than a field of the vCPU: the `read` and `write` entries of spec/x86/msr.ts. False raises #GP.
import { Cpu, SEG_FS, SEG_GS, seg } from './cpu';
import { write_efer } from './control';
import { lapic_read_msr, lapic_set_base, lapic_value, lapic_write_msr } from './lapic';
import { canonical } from './limits';
import { cpu_pv32, pv_of } from './pv/state';
import { engine_tsc } from '../../hypervisor/engine';
import { hypercall_page_write } from '../../hypervisor/hypercall_page';

/** What the last msr_read_* read. */
export let special_value: u64 = 0;

/** The TSC with the guest's own offset in it. */
export function msr_read_tsc(cpu: Cpu, nr: u32): bool {
  special_value = engine_tsc(cpu);
  return true;
}

export function msr_write_tsc(cpu: Cpu, nr: u32, v: u64): bool {
  cpu.tsc_offset += v - engine_tsc(cpu);
  return true;
}

export function msr_write_apic_base(cpu: Cpu, nr: u32, v: u64): bool {
  return lapic_set_base(cpu, v);
}

export function msr_read_x2apic(cpu: Cpu, nr: u32): bool {
  const ok = lapic_read_msr(cpu, nr);
  special_value = lapic_value;
  return ok;
}

export function msr_write_x2apic(cpu: Cpu, nr: u32, v: u64): bool {
  return lapic_write_msr(cpu, nr, v);
}

export function msr_write_efer(cpu: Cpu, nr: u32, v: u64): bool {
  return write_efer(cpu, v) == 0;
}

export function msr_write_hypercall_page(cpu: Cpu, nr: u32, v: u64): bool {
  return hypercall_page_write(cpu, v);
}

// The bases are 64-bit code's: to a 32-bit PV guest these registers do not exist.

export function msr_read_fs_base(cpu: Cpu, nr: u32): bool {
  if (cpu_pv32(cpu)) return false;
  special_value = cpu.base_fs;
  return true;
}

export function msr_read_gs_base(cpu: Cpu, nr: u32): bool {
  if (cpu_pv32(cpu)) return false;
  special_value = cpu.base_gs;
  return true;
}

export function msr_write_fs_base(cpu: Cpu, nr: u32, v: u64): bool {
  if (cpu_pv32(cpu) || !canonical(v)) return false;
  cpu.base_fs = v;
  return true;
}

export function msr_write_gs_base(cpu: Cpu, nr: u32, v: u64): bool {
  if (cpu_pv32(cpu) || !canonical(v)) return false;
  cpu.base_gs = v;
  return true;
}

/** A PV guest may write back what it has read. */
export function msr_write_efer_pv(cpu: Cpu, nr: u32, v: u64): bool {
  return v == cpu.efer;
}

/** The GS base that is not in use: to a PV guest's kernel, its programs'. */
export function msr_read_other_gs(cpu: Cpu, nr: u32): bool {
  if (cpu_pv32(cpu)) return false;
  special_value = pv_of(cpu).other_gs;
  return true;
}

export function msr_write_other_gs(cpu: Cpu, nr: u32, v: u64): bool {
  if (cpu_pv32(cpu) || !canonical(v)) return false;
  pv_of(cpu).other_gs = v;
  return true;
}
