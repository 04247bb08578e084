// Bounces of 32-bit PV guests (public/arch-x86/xen-x86_32.h). Their kernel runs in ring 1, on the segments that its trap table, callbacks and stack
// switch name; what the hypervisor checks of those is what the processor would by an IRET from ring 0.
//
// The frame, from its lower end: [DS ES FS GS] [error code] EIP CS EFLAGS, and of what was not the kernel ESP SS. Bits 16 to 23 of CS's word have the
// event mask as it was; IF in EFLAGS is that mask inverted.
import {
  Cpu,
  EXIT_EXCEPTION,
  EXIT_NONE,
  EXIT_SHUTDOWN,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  seg,
} from '../cpu';
import { CALLBACKTYPE_failsafe, VMASST_TYPE_architectural_iopl } from '../../../gen/abi';
import { flags_get, IF } from '../flags';
import { push, push_begin, push_commit } from '../push';
import * as sg from '../segments';
import {
  callback_masks,
  CLEARED,
  events_mask,
  events_masked,
  PLAIN,
  PV_CRASH_SEGMENTS,
  PV_CRASH_STACK,
  pv_crash,
  RFLAGS_AC,
  RFLAGS_IOPL,
  WITH_ERROR,
  WITH_SEGMENTS,
} from './bounce';
import { pv_descriptor, pv_found, pv_inside } from './descriptors';
import { page_writes_off } from './page_writes';
import { pv_load_pair } from './syscall';
import { pv_of } from './state';

/** The hypervisor's flat segments for 32-bit guests. */
export const FLAT_RING1_CS: u32 = 0xe019;
export const FLAT_RING1_SS: u32 = 0xe021;
export const FLAT_RING3_CS: u32 = 0xe02b;
export const FLAT_RING3_SS: u32 = 0xe033;
export const CODE_RING1: u16 = 0xcbb;
export const DATA_RING1: u16 = 0xcb3;
export const CODE_RING3: u16 = 0xcfb;
export const DATA_RING3: u16 = 0xcf3;

/** A ring of the guest's own, for the selectors that it gives: its kernel's at least. */
@inline export function ring_fixed(selector: u32): u32 {
  return selector & 3 ? selector : selector | 1;
}

/** Base of the segment that a frame is stored through; whether it may be loaded is seen when it is. False: it is none for that. */
function stack_base(cpu: Cpu, selector: u32): bool {
  base = 0;
  if (selector == FLAT_RING1_SS) return true;
  if (!(selector & 0xfffc) || !pv_inside(cpu, selector) || !pv_descriptor(cpu, selector)) return false;
  base = sg.desc_base(pv_found);
  return sg.desc_is_writable_data(pv_found) && (pv_found & sg.DESC_P) != 0;
}
let base: u64 = 0;

/** As bounce of bounce.ts, to the handler at cs:address. */
export function bounce32(cpu: Cpu, cs: u32, address: u64, mask: bool, kind: u32, error: u32, flags: u64): i32 {
  const pv = pv_of(cpu);
  const kernel = cpu.cpl == 1;
  const ss = kernel ? <u32>seg(cpu, SEG_SS).selector : pv.kernel_ss;
  const sp = (kernel ? cpu.rsp : pv.kernel_sp) & 0xffffffff;
  if (kernel) base = seg(cpu, SEG_SS).base;
  else if (!stack_base(cpu, ss)) return pv_crash(cpu, PV_CRASH_STACK, sp);
  const count = (kernel ? 3 : 5) + (kind == WITH_ERROR ? 1 : kind == WITH_SEGMENTS ? 4 : 0);
  page_writes_off(true);
  // The hypervisor stores it, so the kernel's pages are open whoever runs.
  const room = push_begin(cpu, base, sp, 0xffffffff, 4, count, true);
  page_writes_off(false);
  if (!room) return cpu.exit == EXIT_EXCEPTION ? pv_crash(cpu, PV_CRASH_STACK, sp) : cpu.exit;
  frame(cpu, kernel, kind, error, flags);
  push_commit(cpu);
  if (mask) events_mask(cpu, true);
  cpu.rflags &= ~(CLEARED & ~RFLAGS_AC);
  cpu.rip = address & 0xffffffff;
  cpu.exc_flags = 0;
  // As in enter_kernel of bounce.ts.
  cpu.hits = 0;
  cpu.exit = EXIT_NONE;
  return enter32(cpu, cs, ss, kind == WITH_SEGMENTS);
}

/** The words, from the upper end down. */
function frame(cpu: Cpu, kernel: bool, kind: u32, error: u32, flags: u64): void {
  const pv = pv_of(cpu);
  if (!kernel) {
    push(cpu, seg(cpu, SEG_SS).selector);
    push(cpu, cpu.rsp);
  }
  let cs = <u64>seg(cpu, SEG_CS).selector;
  flags &= ~(RFLAGS_IOPL | (<u64>IF));
  if (events_masked(cpu)) cs |= 1 << 16;
  else flags |= <u64>IF;
  push(cpu, pv.assists & (1 << VMASST_TYPE_architectural_iopl) ? flags | ((<u64>pv.iopl) << 12) : flags);
  push(cpu, cs);
  push(cpu, cpu.rip);
  if (kind == WITH_ERROR) push(cpu, error);
  else if (kind == WITH_SEGMENTS) {
    push(cpu, seg(cpu, SEG_GS).selector);
    push(cpu, seg(cpu, SEG_FS).selector);
    push(cpu, seg(cpu, SEG_ES).selector);
    push(cpu, seg(cpu, SEG_DS).selector);
  }
}

/**
 * Go on at cs:rip with the stack ss:rsp. The failsafe callback is told of segments that cannot be loaded; if they are its own the guest cannot
 * go on.
 */
export function enter32(cpu: Cpu, cs: u32, ss: u32, failsafe: bool): i32 {
  if (cs == FLAT_RING1_CS && ss == FLAT_RING1_SS) {
    sg.set_flat(cpu, SEG_CS, cs, CODE_RING1);
    sg.set_flat(cpu, SEG_SS, ss, DATA_RING1);
    cpu.cpl = 1;
    sg.mode_changed(cpu);
    return EXIT_NONE;
  }
  if (cs == FLAT_RING3_CS && ss == FLAT_RING3_SS) {
    sg.set_flat(cpu, SEG_CS, cs, CODE_RING3);
    sg.set_flat(cpu, SEG_SS, ss, DATA_RING3);
    cpu.cpl = 3;
  } else if (!pv_load_pair(cpu, cs, ss)) {
    if (cpu.exit != EXIT_EXCEPTION) return cpu.exit;
    cpu.exit = EXIT_NONE;
    return failsafe ? pv_crash(cpu, PV_CRASH_SEGMENTS, ((<u64>ss) << 16) | (<u64>cs)) : not_loaded(cpu, cs, ss);
  }
  sg.drop_privileged_segments(cpu);
  sg.mode_changed(cpu);
  return EXIT_NONE;
}

/** The frame for the failsafe callback says where the guest was to go on. */
function not_loaded(cpu: Cpu, cs: u32, ss: u32): i32 {
  const pv = pv_of(cpu);
  if (!pv.failsafe) return pv_crash(cpu, PV_CRASH_SEGMENTS, ((<u64>ss) << 16) | (<u64>cs));
  seg(cpu, SEG_CS).selector = <u16>cs;
  if (!(cs & 3)) return pv_crash(cpu, PV_CRASH_SEGMENTS, ((<u64>ss) << 16) | (<u64>cs));
  cpu.cpl = cs & 3;
  // Who was to go on in ring 1 has the stack that it would have had there.
  if (cpu.cpl != 1) seg(cpu, SEG_SS).selector = <u16>ss;
  else if (<u32>seg(cpu, SEG_SS).selector != ss) {
    if (!stack_base(cpu, ss)) return pv_crash(cpu, PV_CRASH_STACK, cpu.rsp);
    seg(cpu, SEG_SS).selector = <u16>ss;
    seg(cpu, SEG_SS).base = base;
  }
  const masks = callback_masks(cpu, CALLBACKTYPE_failsafe);
  return bounce32(cpu, pv.failsafe_cs, pv.failsafe, masks, WITH_SEGMENTS, 0, flags_get(cpu));
}
