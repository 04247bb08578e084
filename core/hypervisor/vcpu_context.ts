// A vCPU's first state, and its state as Xen's HVM save records (public/arch-x86/hvm/save.h): written and read back equal.
import {
  CPU_FCW,
  CPU_FDP,
  CPU_FDS,
  CPU_FIP,
  CPU_FCS,
  CPU_FOP,
  CPU_FPR,
  CPU_FSW,
  CPU_FTW,
  CPU_MXCSR,
  CPU_XMM,
  Cpu,
  seg,
  seg_base,
  set_seg_base,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  Segment,
} from '../arch/x86/cpu';
import { load_pdptes, pae_paging } from '../arch/x86/control';
import { flags_get, flags_set } from '../arch/x86/flags';
import { update_mode } from '../arch/x86/modes';
import { msr_reset } from '../gen/msr';
import { host_raise_flush } from '../shared/host';
import {
  EINVAL,
  hvm_hw_cpu__cr0,
  hvm_hw_cpu__cr2,
  hvm_hw_cpu__cr3,
  hvm_hw_cpu__cr4,
  hvm_hw_cpu__cs_arbytes,
  hvm_hw_cpu__cs_base,
  hvm_hw_cpu__cs_limit,
  hvm_hw_cpu__cs_sel,
  hvm_hw_cpu__dr0,
  hvm_hw_cpu__dr1,
  hvm_hw_cpu__dr2,
  hvm_hw_cpu__dr3,
  hvm_hw_cpu__dr6,
  hvm_hw_cpu__dr7,
  hvm_hw_cpu__error_code,
  hvm_hw_cpu__flags,
  hvm_hw_cpu__gdtr_base,
  hvm_hw_cpu__gdtr_limit,
  hvm_hw_cpu__idtr_base,
  hvm_hw_cpu__idtr_limit,
  hvm_hw_cpu__msr_cstar,
  hvm_hw_cpu__msr_efer,
  hvm_hw_cpu__msr_lstar,
  hvm_hw_cpu__msr_star,
  hvm_hw_cpu__msr_syscall_mask,
  hvm_hw_cpu__msr_tsc_aux,
  hvm_hw_cpu__pending_vector,
  hvm_hw_cpu__rflags,
  hvm_hw_cpu__rip,
  hvm_hw_cpu__shadow_gs,
  hvm_hw_cpu__sysenter_cs,
  hvm_hw_cpu__sysenter_eip,
  hvm_hw_cpu__sysenter_esp,
  hvm_hw_cpu__tsc,
  sizeof_hvm_hw_cpu,
  XEN_X86_FPU_INITIALISED,
  VCPU_HVM_MODE_32B,
  VCPU_HVM_MODE_64B,
  vcpu_hvm_context__cpu_regs,
  vcpu_hvm_context__mode,
  vcpu_hvm_x86_32__cs_ar,
  vcpu_hvm_x86_32__cs_base,
  vcpu_hvm_x86_32__cs_limit,
  vcpu_hvm_x86_32__cr0,
  vcpu_hvm_x86_32__cr3,
  vcpu_hvm_x86_32__cr4,
  vcpu_hvm_x86_32__efer,
  vcpu_hvm_x86_32__eflags,
  vcpu_hvm_x86_32__eip,
  vcpu_hvm_x86_64__cr0,
  vcpu_hvm_x86_64__cr3,
  vcpu_hvm_x86_64__cr4,
  vcpu_hvm_x86_64__efer,
  vcpu_hvm_x86_64__rflags,
  vcpu_hvm_x86_64__rip,
  hvm_hw_cpu__rax,
} from '../gen/abi';
import { domain_tsc_at, system_time, vcpu_tsc } from './time';
import { cpu_of, Vcpu, vcpu_domain } from './vcpu';

/** The record's general registers are in Xen's order: the register number (0 = RAX, 1 = RCX, …) of each 64-bit slot from `rax`. */
@inline function register_at(i: u32): u32 {
  // rax rbx rcx rdx rbp rsi rdi rsp, then r8-r15; four bits each, lowest first
  return i < 8 ? (0x47652130 >>> (i * 4)) & 15 : i;
}

/** The record's segments are cs ds es fs gs ss tr ldtr; our numbers, four bits each. */
@inline function segment_at(i: u32): i32 {
  return (0x67254031 >>> (i * 4)) & 15;
}

@inline function gpr(cpu: Cpu, n: u32): usize {
  return changetype<usize>(cpu) + ((<usize>n) << 3);
}

/** FXSAVE image (SDM vol. 1, table 10-2, 64-bit form without REX.W: FCS and FDS kept). Registers are in stack order there. */
export function fpu_save(cpu: Cpu, to: usize): void {
  const c = changetype<usize>(cpu);
  memory.fill(to, 0, 512);
  store<u16>(to, load<u16>(c + CPU_FCW), 0);
  store<u16>(to, load<u16>(c + CPU_FSW), 2);
  store<u8>(to, load<u8>(c + CPU_FTW), 4);
  store<u16>(to, load<u16>(c + CPU_FOP), 6);
  store<u64>(to, load<u64>(c + CPU_FIP), 8);
  store<u64>(to, load<u64>(c + CPU_FDP), 16);
  store<u32>(to, load<u32>(c + CPU_MXCSR), 24);
  store<u32>(to, 0xffff, 28);
  const top = ((<u32>load<u16>(c + CPU_FSW)) >>> 11) & 7;
  for (let i: u32 = 0; i < 8; i++)
    memory.copy(to + 32 + ((<usize>i) << 4), c + CPU_FPR + ((<usize>((top + i) & 7)) << 4), 10);
  memory.copy(to + 160, c + CPU_XMM, 256);
}

export function fpu_load(cpu: Cpu, from: usize): bool {
  const c = changetype<usize>(cpu);
  if (load<u32>(from, 24) & ~(<u32>0xffff)) return false;
  store<u16>(c + CPU_FCW, load<u16>(from, 0));
  store<u16>(c + CPU_FSW, load<u16>(from, 2));
  store<u8>(c + CPU_FTW, load<u8>(from, 4));
  store<u16>(c + CPU_FOP, load<u16>(from, 6));
  store<u64>(c + CPU_FIP, load<u64>(from, 8));
  store<u64>(c + CPU_FDP, load<u64>(from, 16));
  store<u32>(c + CPU_MXCSR, load<u32>(from, 24));
  const top = ((<u32>load<u16>(from, 2)) >>> 11) & 7;
  for (let i: u32 = 0; i < 8; i++) {
    const r = c + CPU_FPR + ((<usize>((top + i) & 7)) << 4);
    memory.fill(r, 0, 16);
    memory.copy(r, from + 32 + ((<usize>i) << 4), 10);
  }
  memory.copy(c + CPU_XMM, from + 160, 256);
  return true;
}

/** struct hvm_hw_cpu of the vCPU at `p`. */
export function cpu_record_save(v: Vcpu, p: usize): void {
  const cpu = cpu_of(v);
  memory.fill(p, 0, sizeof_hvm_hw_cpu);
  fpu_save(cpu, p);
  for (let i: u32 = 0; i < 16; i++)
    store<u64>(p + hvm_hw_cpu__rax + ((<usize>i) << 3), load<u64>(gpr(cpu, register_at(i))));
  store<u64>(p, cpu.rip, hvm_hw_cpu__rip);
  store<u64>(p, flags_get(cpu), hvm_hw_cpu__rflags);
  store<u64>(p, cpu.cr0, hvm_hw_cpu__cr0);
  store<u64>(p, cpu.cr2, hvm_hw_cpu__cr2);
  store<u64>(p, cpu.cr3, hvm_hw_cpu__cr3);
  store<u64>(p, cpu.cr4, hvm_hw_cpu__cr4);
  store<u64>(p, cpu.dr0, hvm_hw_cpu__dr0);
  store<u64>(p, cpu.dr1, hvm_hw_cpu__dr1);
  store<u64>(p, cpu.dr2, hvm_hw_cpu__dr2);
  store<u64>(p, cpu.dr3, hvm_hw_cpu__dr3);
  store<u64>(p, cpu.dr6, hvm_hw_cpu__dr6);
  store<u64>(p, cpu.dr7, hvm_hw_cpu__dr7);
  for (let i: u32 = 0; i < 8; i++) {
    const s = seg(cpu, segment_at(i));
    const at = p + ((<usize>i) << 2);
    store<u32>(at, s.selector, hvm_hw_cpu__cs_sel);
    store<u32>(at, s.limit, hvm_hw_cpu__cs_limit);
    store<u64>(at + ((<usize>i) << 2), seg_base(cpu, segment_at(i)), hvm_hw_cpu__cs_base);
    store<u32>(at, s.attr, hvm_hw_cpu__cs_arbytes);
  }
  store<u64>(p, cpu.idt_base, hvm_hw_cpu__idtr_base);
  store<u64>(p, cpu.gdt_base, hvm_hw_cpu__gdtr_base);
  store<u32>(p, cpu.idt_limit, hvm_hw_cpu__idtr_limit);
  store<u32>(p, cpu.gdt_limit, hvm_hw_cpu__gdtr_limit);
  save_msrs(cpu, p);
  store<u64>(p, vcpu_tsc(v), hvm_hw_cpu__tsc);
  store<u32>(p, XEN_X86_FPU_INITIALISED, hvm_hw_cpu__flags);
}

function save_msrs(cpu: Cpu, p: usize): void {
  store<u64>(p, cpu.sysenter_cs, hvm_hw_cpu__sysenter_cs);
  store<u64>(p, cpu.sysenter_esp, hvm_hw_cpu__sysenter_esp);
  store<u64>(p, cpu.sysenter_eip, hvm_hw_cpu__sysenter_eip);
  store<u64>(p, cpu.kernel_gs_base, hvm_hw_cpu__shadow_gs);
  store<u64>(p, cpu.lstar, hvm_hw_cpu__msr_lstar);
  store<u64>(p, cpu.star, hvm_hw_cpu__msr_star);
  store<u64>(p, cpu.cstar, hvm_hw_cpu__msr_cstar);
  store<u64>(p, cpu.sfmask, hvm_hw_cpu__msr_syscall_mask);
  store<u64>(p, cpu.efer, hvm_hw_cpu__msr_efer);
  store<u64>(p, cpu.tsc_aux, hvm_hw_cpu__msr_tsc_aux);
}

const EFER_VALID: u64 = 0xd01; // SCE LME LMA NXE
const RFLAGS_VALID: u64 = 0x3f7fd7;

/** Load struct hvm_hw_cpu. Impossible states are refused: the engine relies on the invariants. */
export function cpu_record_load(v: Vcpu, p: usize): i32 {
  const cpu = cpu_of(v);
  const cr0 = load<u64>(p, hvm_hw_cpu__cr0);
  const cr4 = load<u64>(p, hvm_hw_cpu__cr4);
  const efer = load<u64>(p, hvm_hw_cpu__msr_efer);
  const rc = check_control(cr0, cr4, efer);
  if (rc) return rc;
  if (load<u32>(p, hvm_hw_cpu__pending_vector) >>> 31) return -EINVAL; // a saved event in flight: none is ever written here
  if (load<u32>(p, hvm_hw_cpu__flags) & XEN_X86_FPU_INITIALISED) {
    if (!fpu_load(cpu, p)) return -EINVAL;
  } else fpu_reset(cpu);
  for (let i: u32 = 0; i < 16; i++)
    store<u64>(gpr(cpu, register_at(i)), load<u64>(p + hvm_hw_cpu__rax + ((<usize>i) << 3)));
  cpu.rip = load<u64>(p, hvm_hw_cpu__rip);
  flags_set(cpu, (load<u64>(p, hvm_hw_cpu__rflags) & RFLAGS_VALID) | 2);
  cpu.cr0 = cr0 | 0x10;
  cpu.cr2 = load<u64>(p, hvm_hw_cpu__cr2);
  cpu.cr3 = load<u64>(p, hvm_hw_cpu__cr3);
  cpu.cr4 = cr4;
  cpu.efer = efer;
  cpu.dr0 = load<u64>(p, hvm_hw_cpu__dr0);
  cpu.dr1 = load<u64>(p, hvm_hw_cpu__dr1);
  cpu.dr2 = load<u64>(p, hvm_hw_cpu__dr2);
  cpu.dr3 = load<u64>(p, hvm_hw_cpu__dr3);
  cpu.dr6 = (load<u64>(p, hvm_hw_cpu__dr6) & 0xe00f) | 0xffff0ff0;
  cpu.dr7 = (load<u64>(p, hvm_hw_cpu__dr7) & 0xffff23ff) | 0x400;
  for (let i: u32 = 0; i < 8; i++) {
    const at = p + ((<usize>i) << 2);
    set_segment(
      cpu,
      segment_at(i),
      load<u32>(at, hvm_hw_cpu__cs_sel),
      load<u64>(at + ((<usize>i) << 2), hvm_hw_cpu__cs_base),
      load<u32>(at, hvm_hw_cpu__cs_limit),
      load<u32>(at, hvm_hw_cpu__cs_arbytes),
    );
  }
  cpu.idt_base = load<u64>(p, hvm_hw_cpu__idtr_base);
  cpu.gdt_base = load<u64>(p, hvm_hw_cpu__gdtr_base);
  cpu.idt_limit = load<u32>(p, hvm_hw_cpu__idtr_limit);
  cpu.gdt_limit = load<u32>(p, hvm_hw_cpu__gdtr_limit);
  load_msrs(cpu, p);
  cpu.tsc_offset = load<u64>(p, hvm_hw_cpu__tsc) - domain_tsc_at(vcpu_domain(v), system_time());
  return context_loaded(cpu);
}

function load_msrs(cpu: Cpu, p: usize): void {
  cpu.sysenter_cs = load<u64>(p, hvm_hw_cpu__sysenter_cs);
  cpu.sysenter_esp = load<u64>(p, hvm_hw_cpu__sysenter_esp);
  cpu.sysenter_eip = load<u64>(p, hvm_hw_cpu__sysenter_eip);
  cpu.kernel_gs_base = load<u64>(p, hvm_hw_cpu__shadow_gs);
  cpu.lstar = load<u64>(p, hvm_hw_cpu__msr_lstar);
  cpu.star = load<u64>(p, hvm_hw_cpu__msr_star);
  cpu.cstar = load<u64>(p, hvm_hw_cpu__msr_cstar);
  cpu.sfmask = load<u64>(p, hvm_hw_cpu__msr_syscall_mask);
  cpu.tsc_aux = load<u64>(p, hvm_hw_cpu__msr_tsc_aux);
}

/** Control registers that hang together as the processor would have it (SDM vol. 3, 2.5, 4.1.1, 9.8.5). */
function check_control(cr0: u64, cr4: u64, efer: u64): i32 {
  const pe = (cr0 & 1) != 0;
  const pg = (cr0 & 0x80000000) != 0;
  const lme = (efer & 0x100) != 0;
  const lma = (efer & 0x400) != 0;
  if (cr0 >> 32 || efer & ~EFER_VALID) return -EINVAL;
  if ((pg && !pe) || (cr0 & 0x60000000) == 0x20000000) return -EINVAL;
  if (lma != (lme && pg) || (lma && !(cr4 & 0x20))) return -EINVAL;
  return cr4 & 0x20000 && !lma ? -EINVAL : 0; // PCIDE needs long mode
}

function set_segment(cpu: Cpu, i: i32, selector: u32, base: u64, limit: u32, attr: u32): void {
  const s = seg(cpu, i);
  s.selector = <u16>selector;
  set_seg_base(cpu, i, base);
  s.limit = limit;
  // Some tools write the granularity bit apart, as in the descriptor (bits 12-15 there): Xen's layout has them at 8-11.
  s.attr = <u16>(attr > 0xfff ? (attr & 0xff) | ((attr >>> 4) & 0xf00) : attr);
}

/** Everything derived from what was loaded; -EINVAL when PAE paging is on over page-directory pointers that no CR3 load accepts. */
function context_loaded(cpu: Cpu): i32 {
  cpu.zero = 0;
  cpu.plus4g = 0x100000000;
  cpu.minus4g = 0 - <u64>0x100000000;
  cpu.cpl = (seg(cpu, SEG_SS).attr >>> 5) & 3;
  cpu.shadow = 0;
  cpu.exc_flags = 0;
  cpu.hits = cpu.alone = cpu.pace = 0;
  if (!cpu.xcr0) cpu.xcr0 = 1;
  const long = (cpu.efer & 0x400) != 0 && (seg(cpu, SEG_CS).attr & 0x200) != 0;
  cpu.base_es = long ? 0 : seg(cpu, SEG_ES).base;
  cpu.base_cs = long ? 0 : seg(cpu, SEG_CS).base;
  cpu.base_ss = long ? 0 : seg(cpu, SEG_SS).base;
  cpu.base_ds = long ? 0 : seg(cpu, SEG_DS).base;
  cpu.base_none = cpu.base_none2 = 0;
  update_mode(cpu);
  host_raise_flush();
  return pae_paging(cpu.cr0, cpu.cr4, cpu.efer) && !load_pdptes(cpu, cpu.cr3) ? -EINVAL : 0;
}

/** As a processor that starts has it. */
export function fpu_reset(cpu: Cpu): void {
  const c = changetype<usize>(cpu);
  memory.fill(c + CPU_FCW, 0, CPU_XMM + 256 - CPU_FCW);
  store<u16>(c + CPU_FCW, 0x37f);
  store<u32>(c + CPU_MXCSR, 0x1f80);
}

/** What is not in any context: the state after INIT that a vCPU starts with (SDM vol. 3, table 9-1). */
export function vcpu_reset_state(cpu: Cpu): void {
  fpu_reset(cpu);
  cpu.dr6 = 0xffff0ff0;
  cpu.dr7 = 0x400;
  cpu.cr0 = 0x10;
  cpu.xcr0 = 1;
  cpu.rflags = 2;
  msr_reset(cpu);
  context_loaded(cpu);
}

/** VCPUOP_initialise: struct vcpu_hvm_context. */
export function vcpu_initialise(v: Vcpu, a: usize): i32 {
  const mode = load<u32>(a, vcpu_hvm_context__mode);
  const r = a + vcpu_hvm_context__cpu_regs;
  const cpu = cpu_of(v);
  if (mode == VCPU_HVM_MODE_64B) {
    const rc = check_control(
      load<u64>(r, vcpu_hvm_x86_64__cr0),
      load<u64>(r, vcpu_hvm_x86_64__cr4),
      load<u64>(r, vcpu_hvm_x86_64__efer),
    );
    if (rc) return rc;
    // rax rcx rdx rbx rsp rbp rsi rdi, the registers' own order
    memory.copy(changetype<usize>(cpu), r, 64);
    cpu.rip = load<u64>(r, vcpu_hvm_x86_64__rip);
    flags_set(cpu, (load<u64>(r, vcpu_hvm_x86_64__rflags) & RFLAGS_VALID) | 2);
    cpu.cr0 = load<u64>(r, vcpu_hvm_x86_64__cr0) | 0x10;
    cpu.cr3 = load<u64>(r, vcpu_hvm_x86_64__cr3);
    cpu.cr4 = load<u64>(r, vcpu_hvm_x86_64__cr4);
    cpu.efer = load<u64>(r, vcpu_hvm_x86_64__efer);
    set_segment(cpu, SEG_CS, 0, 0, 0xffffffff, 0xa9b);
    for (let i = 0; i < 4; i++) set_segment(cpu, data_segment(i), 0, 0, 0xffffffff, 0xc93);
    set_segment(cpu, SEG_TR, 0, 0, 0x67, 0x8b);
  } else if (mode == VCPU_HVM_MODE_32B) {
    const rc = check_control(
      load<u32>(r, vcpu_hvm_x86_32__cr0),
      load<u32>(r, vcpu_hvm_x86_32__cr4),
      load<u64>(r, vcpu_hvm_x86_32__efer),
    );
    if (rc) return rc;
    initialise_32(cpu, r);
  } else return -EINVAL;
  return context_loaded(cpu);
}

@inline function data_segment(i: i32): i32 {
  return i == 0 ? SEG_DS : i == 1 ? SEG_SS : i == 2 ? SEG_ES : SEG_FS;
}

function initialise_32(cpu: Cpu, r: usize): void {
  // eax ecx edx ebx esp ebp esi edi
  for (let i: u32 = 0; i < 8; i++) store<u64>(gpr(cpu, i), load<u32>(r + ((<usize>i) << 2)));
  cpu.rip = load<u32>(r, vcpu_hvm_x86_32__eip);
  flags_set(cpu, ((<u64>load<u32>(r, vcpu_hvm_x86_32__eflags)) & RFLAGS_VALID) | 2);
  cpu.cr0 = (<u64>load<u32>(r, vcpu_hvm_x86_32__cr0)) | 0x10;
  cpu.cr3 = load<u32>(r, vcpu_hvm_x86_32__cr3);
  cpu.cr4 = load<u32>(r, vcpu_hvm_x86_32__cr4);
  cpu.efer = load<u64>(r, vcpu_hvm_x86_32__efer);
  // base, limit and attributes each come as cs ds ss es tr
  for (let i: u32 = 0; i < 5; i++) {
    const n = i == 0 ? SEG_CS : i == 4 ? SEG_TR : data_segment(i - 1);
    const at = r + ((<usize>i) << 2);
    set_segment(
      cpu,
      n,
      0,
      load<u32>(at, vcpu_hvm_x86_32__cs_base),
      load<u32>(at, vcpu_hvm_x86_32__cs_limit),
      load<u16>(r + ((<usize>i) << 1), vcpu_hvm_x86_32__cs_ar),
    );
  }
}
