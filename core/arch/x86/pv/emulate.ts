// Privileged instructions of a PV guest's kernel. It runs in ring 3, where they fault; those that it may have the effect of come here instead, as
// Xen's emulation of privileged operations has it. Whatever is not here stays #GP: HLT, INVLPG, INVD, LMSW, LGDT and so on.
import { Cpu, CPU_CPUID } from '../cpu';
import * as control from '../control';
import { EXC_GP, EXC_UD, raise } from '../exceptions';
import { TF } from '../flags';
import { canonical } from '../limits';
import { cpuid_leaf_pv } from '../../../gen/cpuid';
import { EINVAL, ENODEV, EPERM, VMASST_TYPE_architectural_iopl } from '../../../gen/abi';
import { ld, probe_range } from '../../../engine/mem';
import { tlb_enter } from '../../../engine/tlb_sets';
import { engine_io_bitmap, engine_new_root } from '../../../hypervisor/engine';
import { cpu_pv32, pv_kernel, pv_of } from './state';

/** CR4 bits that the guest chooses: TSD DE FSGSBASE OSXSAVE; and those it sees set in any case: PAE OSFXSR OSXMMEXCPT. */
const CR4_CHOICE: u64 = 0x5000c;
const CR4_SHOWN: u64 = 0x620;
/** What the processor has of it. PCIDE is the hypervisor's own (roots.ts); OSXSAVE is on, as in Xen, whatever the guest says. */
const CR4_REAL: u64 = 0x1000c;
const CR4_FIXED: u64 = 0x60620;
const CR4_FSGSBASE: u64 = 0x10000;
/** CR0: PE MP ET NE WP AM PG. */
export const PV_CR0: u64 = 0x80050033;
/** Where the hypervisor's part of the address space begins and ends. */
export const HYPERVISOR_START: u64 = 0xffff800000000000;
export const HYPERVISOR_END: u64 = 0xffff880000000000;
/** The same of a 32-bit guest's, up to its end; where the M2P in it may reach to (public/arch-x86/xen-x86_32.h). */
export const HYPERVISOR_COMPAT_START: u64 = 0xf5800000;
export const M2P_COMPAT_END: u64 = 0xffe00000;

function gp(cpu: Cpu): i32 {
  return raise(cpu, EXC_GP, 0);
}

/** Is that an address of the guest's, not the hypervisor's? */
export function guest_address(cpu: Cpu, va: u64): bool {
  if (cpu_pv32(cpu)) return va < HYPERVISOR_COMPAT_START;
  return canonical(va) && (va < HYPERVISOR_START || va >= HYPERVISOR_END);
}

/** CR3 as a guest writes it. Frames beyond 4 GiB do not fit into a 32-bit one: their number is turned round in it (xen_pfn_to_cr3). */
export function pv_cr3_frame(cpu: Cpu, cr3: u64): u64 {
  return cpu_pv32(cpu) ? ((cr3 & 0xfffff000) >> 12) | ((cr3 & 0xfff) << 20) : cr3 >> 12;
}
export function pv_frame_cr3(cpu: Cpu, mfn: u32): u64 {
  return cpu_pv32(cpu) ? <u64>((mfn << 12) | (mfn >>> 20)) : (<u64>mfn) << 12;
}

/** MOV from CR: the value is in pv_value. False = #GP. */
export let pv_value: u64 = 0;
export function pv_read_cr(cpu: Cpu, n: u32): bool {
  const pv = pv_of(cpu);
  if (n == 0) pv_value = cpu.cr0;
  else if (n == 2) pv_value = cpu.cr2;
  else if (n == 3) pv_value = pv_frame_cr3(cpu, pv.kernel_root);
  else if (n == 4) pv_value = pv.cr4;
  else return false;
  return true;
}

/** MOV to CR; 1 = #GP is pending, or the instruction is to begin again. */
export function pv_write_cr(cpu: Cpu, n: u32, v: u64): i32 {
  switch (n) {
    case 0:
      // TS alone is the guest's.
      if ((v ^ cpu.cr0) & ~control.CR0_TS) return gp(cpu);
      return control.write_cr0(cpu, v);
    case 2:
      cpu.cr2 = v;
      return 0;
    case 3: {
      const r = engine_new_root(cpu, pv_cr3_frame(cpu, v));
      if (r < 0) return gp(cpu);
      tlb_enter(cpu);
      cpu.exit = r;
      return r ? 1 : 0;
    }
    case 4:
      pv_set_cr4(cpu, v);
      return 0;
    default:
      return gp(cpu);
  }
}

/** As Xen does, bits that are not the guest's to choose are dropped without a word. */
export function pv_set_cr4(cpu: Cpu, v: u64): void {
  // The bases of FS and GS are 64-bit code's.
  if (cpu_pv32(cpu)) v &= ~CR4_FSGSBASE;
  pv_of(cpu).cr4 = (v & CR4_CHOICE) | CR4_SHOWN;
  cpu.cr4 = (v & CR4_REAL) | CR4_FIXED;
}

export function pv_set_ts(cpu: Cpu, on: bool): void {
  control.write_cr0(cpu, on ? cpu.cr0 | control.CR0_TS : cpu.cr0 & ~control.CR0_TS);
}

/** A 32-bit guest's breakpoints may lie in what it reads of the hypervisor's. */
function debug_address(cpu: Cpu, va: u64): bool {
  return cpu_pv32(cpu) || (guest_address(cpu, va) && guest_address(cpu, va + 7));
}

/** HYPERVISOR_set_debugreg, and MOV to DR: 0 or an errno. */
export function pv_set_debugreg(cpu: Cpu, n: u32, v: u64): i32 {
  if (n > 7 || ((n == 4 || n == 5) && pv_of(cpu).cr4 & control.CR4_DE)) return -ENODEV;
  if (n < 4) return !debug_address(cpu, v) ? -EPERM : control.write_dr(cpu, n, v);
  if (v >> 32) return -EINVAL;
  const wanted = n == 4 || n == 5 ? n + 2 : n;
  if (wanted == 7) {
    if (v & 0x2000) return -EPERM; // general detect
    const active = (v & 0xff) != 0;
    for (let i: u64 = 0; active && i < 4; i++)
      if (((v >> (16 + 4 * i)) & 3) == 2 && !(pv_of(cpu).cr4 & control.CR4_DE)) return -EPERM; // I/O
  }
  return control.write_dr(cpu, wanted, v);
}

/** HYPERVISOR_get_debugreg, and MOV from DR: in pv_value. False: there is no such register. */
export function pv_get_debugreg(cpu: Cpu, n: u32): bool {
  if (n > 7 || ((n == 4 || n == 5) && pv_of(cpu).cr4 & control.CR4_DE)) return false;
  pv_value = control.read_dr(cpu, n == 4 || n == 5 ? n + 2 : n);
  return true;
}

/** MOV to DR; 1 = an exception is pending. */
export function pv_write_dr(cpu: Cpu, n: u32, v: u64): i32 {
  const r = pv_set_debugreg(cpu, n, v);
  return r == 0 ? 0 : raise(cpu, r == -ENODEV ? EXC_UD : EXC_GP, 0);
}

/** Is the guest's I/O privilege level enough? Its kernel stands in ring 1 for it, unless it has asked for the architecture's ring 0. */
function iopl_enough(cpu: Cpu): bool {
  const pv = pv_of(cpu);
  const ring: u32 = !pv_kernel(cpu) ? 3 : pv.assists & (1 << VMASST_TYPE_architectural_iopl) ? 0 : 1;
  return ring <= pv.iopl;
}

/** May the present code access `size` ports from `port`? False = an exception is pending. */
export function pv_io_check(cpu: Cpu, port: u32, size: i32): bool {
  if (iopl_enough(cpu)) return true;
  const pv = pv_of(cpu);
  if (pv.io_limit > port + <u32>size) {
    const bits = engine_io_bitmap(cpu, pv.io_bitmap + (port >> 3)) >> (port & 7);
    if (!(bits & ((1 << size) - 1))) return true;
  }
  gp(cpu);
  return false;
}

/** The next bytes of code, up to 8, if they can be read. */
function code_is(cpu: Cpu, length: i32, bytes: u64): bool {
  let va = cpu.rip + cpu.base_cs;
  if (cpu_pv32(cpu)) va &= 0xffffffff;
  if (!probe_range(cpu, va, length, false)) return false;
  for (let i = 0; i < length; i++) if (ld<u8>(cpu, va + i) != <u8>(bytes >> (8 * i))) return false;
  return true;
}

/** CLI and STI do nothing where they are allowed: what masks events is in vcpu_info. */
export function emulate_cli(cpu: Cpu): bool {
  if (!iopl_enough(cpu)) return false;
  const error = cpu.cr2;
  const found = code_is(cpu, 1, 0xfa) || code_is(cpu, 1, 0xfb);
  cpu.cr2 = error;
  if (found) passed(cpu, 1);
  return found;
}

/** UD2, "xen", CPUID: the instruction as the hypervisor answers it even where processors answer it themselves. */
export function emulate_forced(cpu: Cpu): bool {
  if (!code_is(cpu, 7, 0xa20f6e65780b0f)) return false;
  pv_cpuid(cpu);
  passed(cpu, 7);
  return true;
}

const LONG_MODE: u32 = 0x20000800;

/** The instruction of `length` bytes at RIP has been carried out. */
function passed(cpu: Cpu, length: u64): void {
  cpu.rip += length;
  if (cpu.rflags & (<u64>TF)) cpu.hits |= 0x4000; // DR6.BS
}

export function pv_cpuid(cpu: Cpu): void {
  const out = changetype<usize>(cpu) + CPU_CPUID;
  const leaf = <u32>cpu.rax;
  cpuid_leaf_pv(cpu, leaf, <u32>cpu.rcx, out);
  // 64-bit mode, and SYSCALL outside of it, are not there for a 32-bit guest.
  if (leaf == 0x80000001 && cpu_pv32(cpu)) store<u32>(out, load<u32>(out, 12) & ~LONG_MODE, 12);
  cpu.rax = load<u32>(out);
  cpu.rbx = load<u32>(out, 4);
  cpu.rcx = load<u32>(out, 8);
  cpu.rdx = load<u32>(out, 12);
}
