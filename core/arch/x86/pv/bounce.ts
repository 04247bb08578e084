// Exceptions, software interrupts, NMIs and upcalls of a PV vCPU: each becomes a frame on the guest kernel's stack and a jump to the handler that
// the guest has registered (public/arch-x86/xen-x86_64.h, public/callback.h). No lock is taken and guest code is not left for long.
//
// The frame, from its lower end: RCX R11 [DS ES FS GS] [error code] RIP CS RFLAGS RSP SS. The upper half of CS's slot begins with the event mask
// as it was; CS has RPL 0 if the kernel was interrupted; IF in RFLAGS is that mask inverted. The handler pops RCX and R11 itself.
import {
  Cpu,
  EXIT_EXCEPTION,
  EXIT_NONE,
  EXIT_SHUTDOWN,
  PACE_FREE,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  SHADOW_ALL,
  seg,
} from '../cpu';
import { CR0_TS, write_cr0 } from '../control';
import {
  EVENT_ERROR,
  EVENT_EXTERNAL,
  EVENT_INT1,
  EVENT_SOFT,
  EXC_BP,
  EXC_DB,
  EXC_DF,
  EXC_GP,
  EXC_NM,
  EXC_NMI,
  EXC_OF,
  EXC_PF,
  EXC_UD,
  raise,
} from '../exceptions';
import { flags_get, IF, TF } from '../flags';
import { vcpu_info } from '../identity';
import { nmi_deliver, nmi_pending } from '../interrupts';
import { PF_U } from '../mmu/paging';
import { push, push_begin, push_commit } from '../push';
import { run_alone } from '../breakpoints';
import { MODE_WATCH } from '../modes';
import { debug_watches } from '../../../engine/debug';
import { mode_changed, set_flat } from '../segments';
import { CALLBACKTYPE_event, CALLBACKTYPE_failsafe, VMASST_TYPE_architectural_iopl } from '../../../gen/abi';
import { engine_interrupt_taken } from '../../../hypervisor/engine';
import { bounce32 } from './bounce32';
import { emulate_cli, emulate_forced } from './emulate';
import { HYPERCALL_VECTOR, pv_hypercall32 } from './iret32';
import { page_writes_off } from './page_writes';
import { pv_toggle } from './roots';
import { pv_iret } from './syscall';
import {
  cpu_pv32,
  PV_KERNEL,
  PV_32BIT,
  pv_kernel,
  pv_of,
  pv_trap,
  TRAP_ADDRESS,
  TRAP_CS,
  TRAP_DPL,
  TRAP_FLAGS,
  TRAP_MASKS,
} from './state';

/** The hypervisor's flat segments (public/arch-x86/xen-x86_64.h). */
export const FLAT_CS32: u32 = 0xe023;
export const FLAT_SS: u32 = 0xe02b;
export const FLAT_CS64: u32 = 0xe033;
export const CODE64: u16 = 0xafb;
export const DATA: u16 = 0xcf3;

const RFLAGS_NT: u64 = 0x4000;
const RFLAGS_RF: u64 = 0x10000;
const RFLAGS_VM: u64 = 0x20000;
export const RFLAGS_AC: u64 = 0x40000;
export const RFLAGS_IOPL: u64 = 0x3000;
/** What a handler begins without (SDM vol. 3, 6.12.1.2), and AC. */
export const CLEARED: u64 = TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC;

/**
 * Why a PV vCPU cannot go on. crash_info: the vector; the stack's address; the frame's address; 0; the callback's number;
 * SS above 16 bits of CS; the frame's address. */
export const PV_CRASH_NO_HANDLER: u32 = 1;
export const PV_CRASH_STACK: u32 = 2;
export const PV_CRASH_IRET: u32 = 3;
export const PV_CRASH_NO_USER_ROOT: u32 = 4;
export const PV_CRASH_NO_CALLBACK: u32 = 5;
/** Of a 32-bit guest: segments that cannot be loaded, and nobody to tell; an iret to ring 0. */
export const PV_CRASH_SEGMENTS: u32 = 6;
export const PV_CRASH_RING0: u32 = 7;

/** Does entering the guest by this callback (CALLBACKTYPE_*) mask events? */
@inline export function callback_masks(cpu: Cpu, callback: u32): bool {
  return ((pv_of(cpu).callback_masks >> callback) & 1) != 0;
}

/** vcpu_info.evtchn_upcall_mask. */
@inline function mask_at(cpu: Cpu): usize {
  return vcpu_info(cpu) + 1;
}
export function events_masked(cpu: Cpu): bool {
  return atomic.load<u8>(mask_at(cpu)) != 0;
}
export function events_mask(cpu: Cpu, on: bool): void {
  atomic.store<u8>(mask_at(cpu), on ? 1 : 0);
}

/** The vCPU cannot go on: its domain will be crashed. Always EXIT_SHUTDOWN. */
export function pv_crash(cpu: Cpu, reason: u32, info: u64): i32 {
  const pv = pv_of(cpu);
  pv.crash = reason;
  pv.crash_info = info;
  cpu.exit = EXIT_SHUTDOWN;
  return EXIT_SHUTDOWN;
}

/** What bounce pushes besides the registers. */
export const PLAIN: u32 = 0;
export const WITH_ERROR: u32 = 1;
export const WITH_SEGMENTS: u32 = 2;

/**
 * Push a frame of the present state, with these flags, and go on at `address` in the guest's kernel (a 32-bit one's: in segment `cs`). EXIT_NONE; or what else is to be done, and
 * nothing has changed: EXIT_SHUTDOWN, or EXIT_RETRY for an instruction that has to run alone.
 */
function bounce(cpu: Cpu, cs: u32, address: u64, mask: bool, kind: u32, error: u32, flags: u64): i32 {
  const pv = pv_of(cpu);
  if (pv.flags & PV_32BIT) return bounce32(cpu, cs, address, mask, kind, error, flags);
  const from_kernel = (pv.flags & PV_KERNEL) != 0;
  const masked = events_masked(cpu);
  const rsp = cpu.rsp;
  if (!from_kernel) pv_toggle(cpu);
  const sp = (from_kernel ? rsp : pv.kernel_sp) & ~(<u64>15);
  const count = 7 + (kind == WITH_ERROR ? 1 : kind == WITH_SEGMENTS ? 4 : 0);
  page_writes_off(true);
  const room = push_begin(cpu, 0, sp, ~0, 8, count, false);
  page_writes_off(false);
  if (!room) {
    if (!from_kernel) pv_toggle(cpu);
    return cpu.exit == EXIT_EXCEPTION ? pv_crash(cpu, PV_CRASH_STACK, sp) : cpu.exit;
  }
  let code = <u64>seg(cpu, SEG_CS).selector;
  if (from_kernel) code &= ~(<u64>3);
  if (masked) {
    code |= (<u64>1) << 32;
    flags &= ~(<u64>IF);
  } else flags |= <u64>IF;
  push(cpu, seg(cpu, SEG_SS).selector);
  push(cpu, rsp);
  flags &= ~RFLAGS_IOPL;
  push(cpu, pv.assists & (1 << VMASST_TYPE_architectural_iopl) ? flags | ((<u64>pv.iopl) << 12) : flags);
  push(cpu, code);
  push(cpu, cpu.rip);
  if (kind == WITH_ERROR) push(cpu, error);
  else if (kind == WITH_SEGMENTS) {
    push(cpu, seg(cpu, SEG_GS).selector);
    push(cpu, seg(cpu, SEG_FS).selector);
    push(cpu, seg(cpu, SEG_ES).selector);
    push(cpu, seg(cpu, SEG_DS).selector);
  }
  push(cpu, cpu.r11);
  push(cpu, cpu.rcx);
  push_commit(cpu);
  if (mask) events_mask(cpu, true);
  enter_kernel(cpu, address);
  return EXIT_NONE;
}

/** The state in which a handler begins. */
function enter_kernel(cpu: Cpu, address: u64): void {
  const cs = seg(cpu, SEG_CS);
  const same = cs.attr == CODE64 && !(cpu.rflags & RFLAGS_AC);
  cpu.rflags &= ~CLEARED;
  cpu.rip = address;
  set_flat(cpu, SEG_CS, FLAT_CS64, CODE64);
  set_flat(cpu, SEG_SS, FLAT_SS, DATA);
  if (!same) mode_changed(cpu);
  cpu.exc_flags = 0;
  // A debug trap that MOV SS has put off, or that the frame's own stores make, comes in the hypervisor and is not passed on.
  cpu.hits = 0;
  cpu.exit = EXIT_NONE;
}

/** By the trap table, with cpu.rip as the address to return to. As bounce. */
function trap(cpu: Cpu, vector: u32, kind: u32, error: u32, flags: u64): i32 {
  const t = pv_trap(cpu, vector);
  const address = load<u64>(t, TRAP_ADDRESS);
  if (!address) return pv_crash(cpu, PV_CRASH_NO_HANDLER, vector);
  const mask = (load<u8>(t, TRAP_FLAGS) & (<u8>TRAP_MASKS)) != 0;
  return bounce(cpu, load<u16>(t, TRAP_CS), address, mask, kind, error, flags);
}

/** Deliver an exception, an NMI or INT1: the PV half of deliver() in exceptions.ts, whose results it has. */
export function pv_deliver(cpu: Cpu, vector: u32, error: u32, kind: u32): i32 {
  const hardware = !(kind & (EVENT_SOFT | EVENT_EXTERNAL | EVENT_INT1));
  if (hardware && ((vector == EXC_GP && !error && emulate_cli(cpu)) || (vector == EXC_UD && emulate_forced(cpu)))) {
    cpu.exc_flags = 0;
    cpu.exit = EXIT_NONE;
    return EXIT_NONE;
  }
  if (vector == EXC_NMI && !load<u64>(pv_trap(cpu, vector), TRAP_ADDRESS)) return EXIT_NONE; // nobody has asked for it
  let code = error;
  if (vector == EXC_PF) {
    // The kernel runs in ring 3 and is told of itself as of a supervisor.
    code = pv_kernel(cpu) ? error & ~PF_U : error | PF_U;
    store_cr2(cpu, cpu.cr2);
  }
  // Faults save RF as 1, so that the instruction runs again without its breakpoint (SDM vol. 3, 18.3.1.1).
  const flags = hardware && vector != EXC_DB && vector != EXC_DF ? flags_get(cpu) | RFLAGS_RF : flags_get(cpu);
  const r = trap(cpu, vector, kind & EVENT_ERROR ? WITH_ERROR : PLAIN, code, flags);
  // Whoever is told of #NM finds the unit his (public/xen.h, fpu_taskswitch).
  if (r == EXIT_NONE && vector == EXC_NM && cpu.cr0 & CR0_TS) write_cr0(cpu, cpu.cr0 & ~CR0_TS);
  return r;
}

/** vcpu_info.arch.cr2: at 16, in the 32-bit layout at 8. */
function store_cr2(cpu: Cpu, va: u64): void {
  const info = vcpu_info(cpu);
  if (pv_of(cpu).flags & PV_32BIT) store<u32>(info, <u32>va, 8);
  else store<u64>(info, va, 16);
}

/** INT n, INT3, INTO, INT1 at an instruction that ends at `next`. Always 1, the body's "leave". */
export function pv_interrupt(cpu: Cpu, vector: u32, kind: u32, next: u64): i32 {
  const kernel = pv_kernel(cpu);
  if (vector == HYPERCALL_VECTOR && kernel && cpu_pv32(cpu)) return pv_hypercall32(cpu, next);
  // The hypervisor's own gates of 3 and 4 are open to all; the guest's kernel stands in ring 1 (a 32-bit one does stand there) for what is checked (public/xen.h, trap_info).
  const open = vector == EXC_BP || vector == EXC_OF || kind == EVENT_INT1;
  const dpl = (<u32>load<u8>(pv_trap(cpu, vector), TRAP_FLAGS)) & TRAP_DPL;
  const ring: u32 = kernel ? 1 : 3;
  if (!open && ring > dpl) return raise(cpu, EXC_GP, vector * 8 + 2);
  if (run_alone_first(cpu)) return 1;
  const before = cpu.rflags;
  const rip = cpu.rip;
  cpu.rip = next;
  const r = trap(cpu, vector, PLAIN, 0, flags_get(cpu));
  if (r == EXIT_NONE) stepped(cpu, before);
  else cpu.rip = rip;
  return 1;
}

/** A watched stack: inside the loop an instruction that pushes a frame has to run alone, and to begin again so (EXIT_RETRY). */
export function run_alone_first(cpu: Cpu): bool {
  if (cpu.pace != PACE_FREE || !(cpu.mode & MODE_WATCH || debug_watches)) return false;
  run_alone(cpu);
  return true;
}

/** An instruction that has cleared TF on its way into a handler is not followed by its own single-step trap. */
export function stepped(cpu: Cpu, before: u64): void {
  if (before & ~cpu.rflags & (<u64>TF)) cpu.shadow = SHADOW_ALL;
}

/** SYSCALL and SYSENTER of a program, the state being what the frame is to hold. As bounce. */
export function pv_callback(cpu: Cpu, callback: u32, cs: u32, address: u64, flags: u64): i32 {
  return bounce(cpu, cs, address, callback_masks(cpu, callback), PLAIN, 0, flags);
}

/** Segments that the guest wants to return to cannot be loaded: they are in the selectors of CS and SS. As bounce. */
export function pv_failsafe(cpu: Cpu): i32 {
  const pv = pv_of(cpu);
  if (!pv.failsafe) return pv_crash(cpu, PV_CRASH_NO_CALLBACK, CALLBACKTYPE_failsafe);
  return bounce(
    cpu,
    pv.failsafe_cs,
    pv.failsafe,
    callback_masks(cpu, CALLBACKTYPE_failsafe),
    WITH_SEGMENTS,
    0,
    flags_get(cpu),
  );
}

/** Is an upcall due: vcpu_info.evtchn_upcall_pending without the mask? */
export function pv_upcall_due(cpu: Cpu): bool {
  const info = vcpu_info(cpu);
  return atomic.load<u8>(info) != 0 && atomic.load<u8>(info, 1) == 0;
}

/** Deliver what is pending between two instructions. EXIT_NONE, or why it could not be. */
export function pv_events(cpu: Cpu): i32 {
  const pv = pv_of(cpu);
  if (pv.iret_due) {
    pv.iret_due = 0;
    pv_iret(cpu);
    if (cpu.exit != EXIT_NONE) return cpu.exit;
  }
  if (nmi_pending(cpu) && !cpu.shadow) {
    engine_interrupt_taken(cpu, EXC_NMI);
    const r = nmi_deliver(cpu);
    if (r != EXIT_NONE) return r;
  }
  if (cpu.shadow || !pv_upcall_due(cpu)) return EXIT_NONE;
  engine_interrupt_taken(cpu, 0);
  const address = pv.event;
  if (!address) return pv_crash(cpu, PV_CRASH_NO_CALLBACK, CALLBACKTYPE_event);
  return bounce(cpu, pv.event_cs, address, true, PLAIN, 0, flags_get(cpu));
}
