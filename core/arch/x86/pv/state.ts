// What a PV vCPU has beside the processor's registers, in the free part of Cpu. docs/design/pv.md has the whole.
import { Cpu, CPU_PV } from '../cpu';

@unmanaged
export class PvCpu {
  /** PV_* */
  flags: u32;
  /** Frames of the L4 that the kernel and its programs run on; 0 = none (MMUEXT_NEW_BASEPTR, NEW_USER_BASEPTR). */
  kernel_root: u32;
  user_root: u32;
  /** The trap table (HYPERVISOR_set_trap_table): address of a page of 256 × {address u64, cs u16, flags u8}. */
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
  /** CR0 and CR4 as the guest sees them. */
  cr0: u64;
  cr4: u64;
  /** Descriptors in the GDT's frames, which follow at PV_GDT; the LDT. */
  gdt_entries: u32;
  ldt_entries: u32;
  ldt_base: u64;
  // PV_GDT: 16 × mfn; PV_LDT: 16 × mfn of the LDT's pages in use, 0 = not yet
}

export const PV_GDT: usize = 160;
export const PV_LDT: usize = 224;
export const PV_SIZE: usize = 288;

/** The vCPU is a PV one; its kernel runs, not a program; with 32-bit code. */
export const PV_GUEST: u32 = 1;
export const PV_KERNEL: u32 = 2;
export const PV_32BIT: u32 = 4;

@inline export function pv_of(cpu: Cpu): PvCpu {
  return changetype<PvCpu>(changetype<usize>(cpu) + CPU_PV);
}

@inline export function cpu_pv(cpu: Cpu): bool {
  return (pv_of(cpu).flags & PV_GUEST) != 0;
}
