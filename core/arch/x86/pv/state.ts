// What a PV vCPU has beside the processor's registers, in the free part of Cpu. docs/design/pv.md has the whole.
import { Cpu, CPU_PV } from '../cpu';

@unmanaged
export class PvCpu {
  /** PV_* */
  flags: u32;
  /** Frames of the L4 that the kernel and its programs run on; 0 = none (MMUEXT_NEW_BASEPTR, NEW_USER_BASEPTR). */
  kernel_root: u32;
  user_root: u32;
  /** The trap table (HYPERVISOR_set_trap_table): address of a page of 256 × struct trap_info. */
  traps: u32;
  /** HYPERVISOR_stack_switch. */
  kernel_sp: u64;
  kernel_ss: u32;
  /** The guest's I/O privilege level (PHYSDEVOP_set_iopl), 0..3. */
  iopl: u32;
  /** CALLBACKOP_register: addresses, 0 = none; bit n of callback_masks: events are masked on entry of callback n. */
  event: u64;
  failsafe: u64;
  syscall: u64;
  syscall32: u64;
  sysenter: u64;
  callback_masks: u32;
  /** Code selectors of 32-bit callbacks: event, failsafe. */
  event_cs: u16;
  failsafe_cs: u16;
  /** Whichever of the two GS bases is not in use: the program's while the kernel runs, the kernel's while the program does. */
  other_gs: u64;
  /** CR4 as the guest sees it; its CR0 is the processor's. */
  cr4: u64;
  /** Why the vCPU cannot go on (PV_CRASH_* of bounce.ts) and what about: for the crash that EXIT_SHUTDOWN becomes. */
  crash_info: u64;
  crash: u32;
  /** PHYSDEVOP_set_iobitmap: ports that the bitmap at `io_bitmap` has bits for. */
  io_limit: u32;
  io_bitmap: u64;
  /** Pseudo-PCIDs of the two roots, and where to look first for another. */
  kernel_space: u32;
  user_space: u32;
  next_space: u32;
  /** A multicall has come to an iret, which is to be executed before anything else. */
  iret_due: u32;
  /** The domain's vm_assist: what of it the processor looks at. */
  assists: u32;
  /** Descriptors in the GDT's frames, which follow at PV_GDT; the LDT. */
  gdt_entries: u32;
  ldt_entries: u32;
  ldt_base: u64;
  /** Of the others that 32-bit guests have. */
  syscall32_cs: u16;
  sysenter_cs: u16;
  /** Domain.pt_kernel_generation when the global translations were forgotten last. */
  kernel_generation: u32;
  /** The root that kernel_space belongs to: global translations are true of its kernel half. */
  half: u32;
  // PV_GDT: 16 × mfn; PV_LDT: 16 × mfn of the LDT's pages in use, 0 = not yet
}

export const PV_GDT: usize = 192;
export const PV_LDT: usize = 256;
/** What the vCPU's pseudo-PCIDs are bound to: {root u32, pt_generation u32}. */
export const PV_SPACES: usize = 320;
export const PV_SPACE_COUNT: u32 = 8;
export const PV_SIZE: usize = 384;

/**
 * The vCPU is a PV one; its kernel's root is in use; it is a 32-bit guest's, whose kernel is what runs in ring 1: it has one root, and its
 * PV_KERNEL stays.
 */
export const PV_GUEST: u32 = 1;
export const PV_KERNEL: u32 = 2;
export const PV_32BIT: u32 = 4;
/** A table that is not an L1 has been walked as one, by a linear entry. */
export const PV_LINEAR: u32 = 8;

/** An entry of the trap table is a struct trap_info (public/arch-x86/xen.h): flags have the DPL in bits 0-1, bit 2 masks events. */
export const TRAP_SIZE: u32 = 16;
export const TRAP_FLAGS: usize = 1;
export const TRAP_CS: usize = 2;
export const TRAP_ADDRESS: usize = 8;
export const TRAP_DPL: u32 = 3;
export const TRAP_MASKS: u32 = 4;

/** Of PvCpu.assists, which has VMASST_TYPE_* as bits: m2p_strict, whose number is 32. */
export const PV_M2P_STRICT: u32 = 0x80000000;

@inline export function pv_of(cpu: Cpu): PvCpu {
  return changetype<PvCpu>(changetype<usize>(cpu) + CPU_PV);
}

@inline export function cpu_pv(cpu: Cpu): bool {
  return (pv_of(cpu).flags & PV_GUEST) != 0;
}

@inline export function pv_kernel(cpu: Cpu): bool {
  const flags = pv_of(cpu).flags;
  return flags & PV_32BIT ? cpu.cpl == 1 : (flags & (PV_GUEST | PV_KERNEL)) == (PV_GUEST | PV_KERNEL);
}

@inline export function cpu_pv32(cpu: Cpu): bool {
  return (pv_of(cpu).flags & PV_32BIT) != 0;
}

/** A program of a PV guest's runs. */
@inline export function pv_program(cpu: Cpu): bool {
  return (pv_of(cpu).flags & (PV_GUEST | PV_KERNEL)) == PV_GUEST;
}

/** The trap table's entry of a vector. */
@inline export function pv_trap(cpu: Cpu, vector: u32): usize {
  return <usize>pv_of(cpu).traps + <usize>(vector * TRAP_SIZE);
}

@inline export function pv_gdt_frame(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + CPU_PV + PV_GDT + ((<usize>i) << 2);
}

@inline export function pv_ldt_frame(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + CPU_PV + PV_LDT + ((<usize>i) << 2);
}
