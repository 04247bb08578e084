// Control state: CR, DR, XCR0, MSRs, TLB and cache instructions, time stamp, CPUID, segment bases (SDM vol. 2).
import { Cpu, CPU_CPUID, CPU_FSW, EXIT_HYPERCALL } from '../cpu';
import * as control from '../control';
import { raise, EXC_BR, EXC_MF, EXC_NM } from '../exceptions';
import { IF } from '../flags';
import { canonical } from '../limits';
import { pv_cpuid, pv_get_debugreg, pv_read_cr, pv_value, pv_write_cr, pv_write_dr } from '../pv/emulate';
import { cpu_pv, pv_kernel, pv_of } from '../pv/state';
import { cpl0, gp0, interrupt_waits, leave, long_code, next_ip, ud } from './system_common';
import { cpuid_leaf } from '../../../gen/cpuid';
import { msr_read, msr_read_pv, msr_value, msr_write, msr_write_pv } from '../../../gen/msr';
import { ea, ea_slow } from '../../../engine/address';
import { read_ptr } from '../../../engine/mem';
import { tlb_flush, tlb_flush_local, tlb_flush_page, tlb_flush_page_of } from '../../../engine/tlb_sets';
import { reg_get, reg_set, uop_b, uop_r } from '../../../engine/uop';
import { engine_tsc } from '../../../hypervisor/engine';

@inline function number(u: usize): u32 {
  return uop_r(u) >> 3;
}

/** The register that EDX:EAX makes. */
@inline function edx_eax(cpu: Cpu): u64 {
  return (cpu.rdx << 32) | (cpu.rax & 0xffffffff);
}

function set_edx_eax(cpu: Cpu, v: u64): void {
  cpu.rax = v & 0xffffffff;
  cpu.rdx = v >> 32;
}

// Control and debug registers

export function MOV_from_cr<T>(cpu: Cpu, u: usize): i32 {
  if (pv_kernel(cpu)) {
    if (!pv_read_cr(cpu, number(u))) return gp0(cpu);
    reg_set<T>(cpu, uop_b(u), <T>pv_value);
    return 0;
  }
  let v: u64;
  switch (number(u)) {
    case 0:
      v = cpu.cr0;
      break;
    case 2:
      v = cpu.cr2;
      break;
    case 3:
      v = cpu.cr3;
      break;
    case 4:
      v = cpu.cr4;
      break;
    case 8:
      v = control.read_cr8(cpu);
      break;
    default:
      return ud(cpu);
  }
  if (!cpl0(cpu)) return gp0(cpu);
  reg_set<T>(cpu, uop_b(u), <T>v);
  return 0;
}

export function MOV_cr<T>(cpu: Cpu, u: usize): i32 {
  const v = <u64>reg_get<T>(cpu, uop_b(u));
  const n = number(u);
  if (n == 1 || (n > 4 && n != 8)) return ud(cpu);
  if (pv_kernel(cpu)) return pv_write_cr(cpu, n, v) ? 1 : leave(cpu, u);
  if (!cpl0(cpu)) return gp0(cpu);
  switch (n) {
    case 0:
      return control.write_cr0(cpu, v) ? 1 : leave(cpu, u);
    case 3:
      return control.write_cr3(cpu, v) ? 1 : leave(cpu, u);
    case 4:
      return control.write_cr4(cpu, v) ? 1 : leave(cpu, u);
    case 8:
      return control.write_cr8(cpu, v) ? 1 : leave(cpu, u);
    default:
      cpu.cr2 = v;
      return leave(cpu, u);
  }
}

export function MOV_from_dr<T>(cpu: Cpu, u: usize): i32 {
  if (pv_kernel(cpu)) {
    if (!pv_get_debugreg(cpu, number(u))) return ud(cpu);
    reg_set<T>(cpu, uop_b(u), <T>pv_value);
    return 0;
  }
  if (!cpl0(cpu)) return gp0(cpu);
  const n = control.debug_register(cpu, number(u));
  if (n < 0) return 1;
  reg_set<T>(cpu, uop_b(u), <T>control.read_dr(cpu, n));
  return 0;
}

export function MOV_dr<T>(cpu: Cpu, u: usize): i32 {
  if (pv_kernel(cpu)) return pv_write_dr(cpu, number(u), <u64>reg_get<T>(cpu, uop_b(u))) ? 1 : leave(cpu, u);
  if (!cpl0(cpu)) return gp0(cpu);
  const n = control.debug_register(cpu, number(u));
  if (n < 0 || control.write_dr(cpu, n, <u64>reg_get<T>(cpu, uop_b(u)))) return 1;
  return leave(cpu, u);
}

/** Ring 0, or a PV guest's kernel, which may have the effect all the same. */
@inline function kernel(cpu: Cpu): bool {
  return cpl0(cpu) || pv_kernel(cpu);
}

export function CLTS(cpu: Cpu, u: usize): i32 {
  if (!kernel(cpu)) return gp0(cpu);
  if (!(cpu.cr0 & control.CR0_TS)) return 0;
  control.write_cr0(cpu, cpu.cr0 & ~control.CR0_TS);
  return leave(cpu, u);
}

export function XGETBV(cpu: Cpu, u: usize): i32 {
  if (!(cpu.cr4 & control.CR4_OSXSAVE)) return ud(cpu);
  if (<u32>cpu.rcx) return gp0(cpu);
  set_edx_eax(cpu, cpu.xcr0);
  return 0;
}

export function XSETBV(cpu: Cpu, u: usize): i32 {
  if (!(cpu.cr4 & control.CR4_OSXSAVE)) return ud(cpu);
  if (!kernel(cpu)) return gp0(cpu);
  // A PV guest asks for it first, though the processor has it on.
  if (cpu_pv(cpu) && !(pv_of(cpu).cr4 & control.CR4_OSXSAVE)) return ud(cpu);
  return control.write_xcr0(cpu, <u32>cpu.rcx, edx_eax(cpu));
}

// Segment bases (64-bit mode only)

@inline function fsgsbase(cpu: Cpu): bool {
  return long_code(cpu) && (cpu.cr4 & control.CR4_FSGSBASE) != 0;
}

export function RDFSBASE<T>(cpu: Cpu, u: usize): i32 {
  if (!fsgsbase(cpu)) return ud(cpu);
  reg_set<T>(cpu, uop_b(u), <T>cpu.base_fs);
  return 0;
}

export function RDGSBASE<T>(cpu: Cpu, u: usize): i32 {
  if (!fsgsbase(cpu)) return ud(cpu);
  reg_set<T>(cpu, uop_b(u), <T>cpu.base_gs);
  return 0;
}

export function WRFSBASE<T>(cpu: Cpu, u: usize): i32 {
  if (!fsgsbase(cpu)) return ud(cpu);
  const v = <u64>reg_get<T>(cpu, uop_b(u));
  if (!canonical(v)) return gp0(cpu);
  cpu.base_fs = v;
  return 0;
}

export function WRGSBASE<T>(cpu: Cpu, u: usize): i32 {
  if (!fsgsbase(cpu)) return ud(cpu);
  const v = <u64>reg_get<T>(cpu, uop_b(u));
  if (!canonical(v)) return gp0(cpu);
  cpu.base_gs = v;
  return 0;
}

// Caches and the TLB. There is no cache to see, so its instructions only check.

export function INVD(cpu: Cpu, u: usize): i32 {
  return cpl0(cpu) ? 0 : gp0(cpu);
}

export function WBINVD(cpu: Cpu, u: usize): i32 {
  return kernel(cpu) ? 0 : gp0(cpu);
}

/** Faults like a load of one byte. */
export function CLFLUSH(cpu: Cpu, u: usize): i32 {
  return read_ptr(cpu, ea_slow(cpu, u, 1, false), 1) ? 0 : 1;
}

/** Neither the page nor, in 64-bit mode, a canonical address is asked for. */
export function INVLPG(cpu: Cpu, u: usize): i32 {
  if (!cpl0(cpu)) return gp0(cpu);
  const va = ea(cpu, u);
  if (long_code(cpu) ? canonical(va) : va <= 0xffffffff) tlb_flush_page(cpu, va);
  return leave(cpu, u);
}

/** Types: 0 address of a PCID, 1 one PCID, 2 all, 3 all but globals. */
export function INVPCID<T>(cpu: Cpu, u: usize): i32 {
  if (!cpl0(cpu)) return gp0(cpu);
  const type = <u64>reg_get<T>(cpu, uop_r(u));
  const p = read_ptr(cpu, ea_slow(cpu, u, 16, false), 16);
  if (p == 0) return 1;
  const pcid = load<u64>(p);
  const va = load<u64>(p, 8);
  if (type > 3) return gp0(cpu);
  if (type <= 1) {
    if (pcid >> 12 || (pcid && !(cpu.cr4 & control.CR4_PCIDE))) return gp0(cpu);
    if (type == 0 && !canonical(va)) return gp0(cpu);
  }
  if (type == 0) tlb_flush_page_of(cpu, va, <u32>pcid);
  else if (type == 2) tlb_flush(cpu);
  else tlb_flush_local(cpu, type == 3, <u32>pcid);
  return leave(cpu, u);
}

// MSRs, time, identification

export function RDMSR(cpu: Cpu, u: usize): i32 {
  const nr = <u32>cpu.rcx;
  if (!(cpl0(cpu) ? msr_read(cpu, nr) : pv_kernel(cpu) && msr_read_pv(cpu, nr))) return gp0(cpu);
  set_edx_eax(cpu, msr_value);
  return 0;
}

export function WRMSR(cpu: Cpu, u: usize): i32 {
  const nr = <u32>cpu.rcx;
  const v = edx_eax(cpu);
  if (!(cpl0(cpu) ? msr_write(cpu, nr, v) : pv_kernel(cpu) && msr_write_pv(cpu, nr, v))) return gp0(cpu);
  // The write may have been an interrupt to oneself, or have lowered the priority under a waiting one.
  return cpu.rflags & (<u64>IF) && interrupt_waits(cpu) ? leave(cpu, u) : 0;
}

function tsc_refused(cpu: Cpu): bool {
  return (cpu.cr4 & control.CR4_TSD) != 0 && cpu.cpl != 0 && !pv_kernel(cpu);
}

export function RDTSC(cpu: Cpu, u: usize): i32 {
  if (tsc_refused(cpu)) return gp0(cpu);
  set_edx_eax(cpu, engine_tsc(cpu));
  return 0;
}

export function RDTSCP(cpu: Cpu, u: usize): i32 {
  if (tsc_refused(cpu)) return gp0(cpu);
  set_edx_eax(cpu, engine_tsc(cpu));
  cpu.rcx = cpu.tsc_aux & 0xffffffff;
  return 0;
}

/** There are no performance counters: every index is an illegal one. */
export function RDPMC(cpu: Cpu, u: usize): i32 {
  return gp0(cpu);
}

export function CPUID(cpu: Cpu, u: usize): i32 {
  if (cpu_pv(cpu)) {
    pv_cpuid(cpu);
    return 0;
  }
  const out = changetype<usize>(cpu) + CPU_CPUID;
  cpuid_leaf(cpu, <u32>cpu.rax, <u32>cpu.rcx, out);
  cpu.rax = load<u32>(out);
  cpu.rbx = load<u32>(out, 4);
  cpu.rcx = load<u32>(out, 8);
  cpu.rdx = load<u32>(out, 12);
  return 0;
}

// Hypercalls: either vendor's instruction, from kernel or user mode; the hypervisor decides who may (Xen asks for CPL 0).

function hypercall(cpu: Cpu, u: usize): i32 {
  if (cpu_pv(cpu)) return ud(cpu); // its way is SYSCALL
  cpu.rip = next_ip(cpu, u);
  cpu.exit = EXIT_HYPERCALL;
  return 1;
}

export function VMCALL(cpu: Cpu, u: usize): i32 {
  return hypercall(cpu, u);
}

export function VMMCALL(cpu: Cpu, u: usize): i32 {
  return hypercall(cpu, u);
}

// Odds and ends that only fault

export function UD0(cpu: Cpu, u: usize): i32 {
  return ud(cpu);
}
export function UD1(cpu: Cpu, u: usize): i32 {
  return ud(cpu);
}
export function UD2(cpu: Cpu, u: usize): i32 {
  return ud(cpu);
}

/** WAIT: #NM when both MP and TS are set, then pending x87 exceptions. */
export function FWAIT(cpu: Cpu, u: usize): i32 {
  const both = control.CR0_MP | control.CR0_TS;
  if ((cpu.cr0 & both) == both) return raise(cpu, EXC_NM, 0);
  return load<u16>(changetype<usize>(cpu) + CPU_FSW) & 0x80 ? raise(cpu, EXC_MF, 0) : 0;
}

/** Signed index against two bounds of the operand size. */
export function BOUND<T>(cpu: Cpu, u: usize): i32 {
  const n = <i32>sizeof<T>();
  const p = read_ptr(cpu, ea_slow(cpu, u, 2 * n, false), 2 * n, n);
  if (p == 0) return 1;
  const index = signed<T>(reg_get<T>(cpu, uop_r(u)));
  const inside = index >= signed<T>(load<T>(p)) && index <= signed<T>(load<T>(p + n));
  return inside ? 0 : raise(cpu, EXC_BR, 0);
}

@inline function signed<T>(v: T): i32 {
  return sizeof<T>() == 2 ? <i32>(<i16>v) : <i32>v;
}
