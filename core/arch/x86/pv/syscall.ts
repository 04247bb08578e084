// SYSCALL and SYSENTER of PV guests, and the way back: HYPERVISOR_iret. The guest's kernel makes hypercalls by SYSCALL; its programs call the
// kernel by it. What does not need the hypervisor stays inside the engine.
import { Cpu, EXIT_EXCEPTION, EXIT_HYPERCALL, EXIT_NONE, SEG_CS, SEG_SS, seg } from '../cpu';
import {
  CALLBACKTYPE_syscall,
  CALLBACKTYPE_sysenter,
  VGCF_in_syscall,
  VMASST_TYPE_architectural_iopl,
  __HYPERVISOR_iret,
} from '../../../gen/abi';
import { EXC_GP, EXC_SS, EXC_UD, raise } from '../exceptions';
import { DF, flags_get, flags_set, IF, TF } from '../flags';
import { nmi_unblock } from '../interrupts';
import { canonical } from '../limits';
import { MODE_CS64 } from '../modes';
import * as sg from '../segments';
import { ld, probe_range } from '../../../engine/mem';
import {
  CODE64,
  DATA,
  events_mask,
  FLAT_CS64,
  FLAT_SS,
  PV_CRASH_IRET,
  PV_CRASH_NO_USER_ROOT,
  pv_callback,
  pv_crash,
  pv_failsafe,
  run_alone_first,
  stepped,
} from './bounce';
import { FLAT_RING3_SS } from './bounce32';
import { pv_iret32 } from './iret32';
import { pv_toggle } from './roots';
import { cpu_pv32, pv_kernel, PV_KERNEL, pv_of } from './state';

const RF: u64 = 0x10000;
/** All of RFLAGS that a return may set: not VM, IOPL and what is reserved. */
export const IRET_FLAGS: u64 = 0x254dd5;
const IOPL: u64 = 0x3000;
const AC: u64 = 0x40000;

/** SYSCALL; `next` is the instruction behind it. Always 1, the body's "leave". */
export function pv_syscall(cpu: Cpu, next: u64): i32 {
  // An Intel processor has it in 64-bit code only.
  if (!(cpu.mode & MODE_CS64)) return raise(cpu, EXC_UD, 0);
  const pv = pv_of(cpu);
  if (pv.flags & PV_KERNEL) {
    // What MOV SS has put off comes where the hypervisor is, which does not pass it on.
    cpu.hits = 0;
    if (cpu.rax == <u64>__HYPERVISOR_iret) return pv_iret(cpu);
    hypercall_segments(cpu);
    cpu.rcx = next;
    cpu.r11 = flags_get(cpu);
    cpu.rip = next;
    cpu.exit = EXIT_HYPERCALL;
    return 1;
  }
  if (!pv.syscall) return raise(cpu, EXC_UD, 0);
  if (run_alone_first(cpu)) return 1;
  const flags = flags_get(cpu) & ~RF;
  const before = cpu.rflags;
  const rip = cpu.rip;
  const rcx = cpu.rcx;
  const r11 = cpu.r11;
  cpu.rip = cpu.rcx = next;
  cpu.r11 = flags;
  flat(cpu);
  if (pv_callback(cpu, CALLBACKTYPE_syscall, 0, pv.syscall, flags) == EXIT_NONE) {
    cpu.rflags &= ~(<u64>DF);
    stepped(cpu, before);
    return 1;
  }
  cpu.rip = rip;
  cpu.rcx = rcx;
  cpu.r11 = r11;
  return 1;
}

/** The selectors that the processor's SYSCALL would save are the hypervisor's, whatever the program's own are. */
function flat(cpu: Cpu): void {
  seg(cpu, SEG_CS).selector = <u16>FLAT_CS64;
  seg(cpu, SEG_SS).selector = <u16>FLAT_SS;
}

/** A hypercall comes back to the flat segments, whatever it came from: SYSCALL saves none (SDM vol. 2). */
function hypercall_segments(cpu: Cpu): void {
  if (seg(cpu, SEG_CS).selector == <u16>FLAT_CS64 && seg(cpu, SEG_SS).selector == <u16>FLAT_SS) return;
  sg.set_flat(cpu, SEG_CS, FLAT_CS64, CODE64);
  sg.set_flat(cpu, SEG_SS, FLAT_SS, DATA);
  sg.mode_changed(cpu);
}

/** SYSENTER saves nothing: the frame says RIP 0, RSP 0, and a null CS of ring 3. */
export function pv_sysenter(cpu: Cpu): i32 {
  const pv = pv_of(cpu);
  if (!pv.sysenter) return raise(cpu, EXC_GP, 0);
  if (run_alone_first(cpu)) return 1;
  const before = cpu.rflags;
  const rip = cpu.rip;
  const rsp = cpu.rsp;
  const kernel = pv_kernel(cpu);
  // To a 32-bit kernel it always comes from a program: it has no stack of its own to go on with.
  const cpl = cpu.cpl;
  const outside = !kernel || cpu_pv32(cpu);
  cpu.cpl = 3;
  const cs = seg(cpu, SEG_CS).selector;
  const ss = seg(cpu, SEG_SS).selector;
  seg(cpu, SEG_CS).selector = 3;
  seg(cpu, SEG_SS).selector = <u16>(cpu_pv32(cpu) ? FLAT_RING3_SS : FLAT_SS);
  cpu.rip = 0;
  if (outside) cpu.rsp = 0;
  if (pv_callback(cpu, CALLBACKTYPE_sysenter, pv.sysenter_cs, pv.sysenter, flags_get(cpu) & ~RF) == EXIT_NONE) {
    stepped(cpu, before);
    return 1;
  }
  cpu.cpl = cpl;
  seg(cpu, SEG_CS).selector = cs;
  seg(cpu, SEG_SS).selector = ss;
  cpu.rip = rip;
  cpu.rsp = rsp;
  return 1;
}

/** struct iret_context (public/arch-x86/xen-x86_64.h). */
const FRAME: i32 = 72;

/** HYPERVISOR_iret: leave the kernel for what the frame at RSP says. Always 1. */
export function pv_iret(cpu: Cpu): i32 {
  if (cpu_pv32(cpu)) return pv_iret32(cpu);
  if (run_alone_first(cpu)) return 1;
  const pv = pv_of(cpu);
  const at = cpu.rsp;
  if (!probe_range(cpu, at, FRAME, false)) {
    if (cpu.exit == EXIT_EXCEPTION) pv_crash(cpu, PV_CRASH_IRET, at);
    return 1;
  }
  const rax = ld<u64>(cpu, at);
  const r11 = ld<u64>(cpu, at + 8);
  const rcx = ld<u64>(cpu, at + 16);
  const how = ld<u64>(cpu, at + 24);
  const rip = ld<u64>(cpu, at + 32);
  const cs = (<u32>ld<u64>(cpu, at + 40)) & 0xffff;
  const flags = ld<u64>(cpu, at + 48);
  const rsp = ld<u64>(cpu, at + 56);
  const ss = (<u32>ld<u64>(cpu, at + 64)) & 0xffff;
  if ((cs & 3) == 3) {
    if (!pv.user_root) {
      pv_crash(cpu, PV_CRASH_NO_USER_ROOT, 0);
      return 1;
    }
    pv_toggle(cpu);
  }
  const before = cpu.rflags;
  if (pv.assists & (1 << VMASST_TYPE_architectural_iopl)) pv.iopl = (<u32>(flags >> 12)) & 3;
  flags_set(cpu, (flags & IRET_FLAGS) | (<u64>IF) | 2);
  events_mask(cpu, !(flags & (<u64>IF)));
  nmi_unblock(cpu);
  cpu.rip = rip;
  cpu.rsp = rsp;
  cpu.rax = rax;
  if (how & VGCF_in_syscall) {
    cpu.rcx = rip;
    cpu.r11 = flags_get(cpu);
    if (canonical(rip)) return resume(cpu, FLAT_CS64, FLAT_SS, before);
  } else {
    cpu.rcx = rcx;
    cpu.r11 = r11;
  }
  return resume(cpu, cs | 3, ss | 3, before);
}

/** Load CS and SS and go on; the failsafe callback is told of what cannot be loaded. */
function resume(cpu: Cpu, cs: u32, ss: u32, before: u64): i32 {
  cpu.exit = EXIT_NONE;
  const changed = cpu.rflags ^ before;
  if (cs == FLAT_CS64 && ss == FLAT_SS && canonical(cpu.rip)) {
    const same = seg(cpu, SEG_CS).attr == CODE64 && !(changed & AC);
    sg.set_flat(cpu, SEG_CS, cs, CODE64);
    sg.set_flat(cpu, SEG_SS, ss, DATA);
    if (!same) sg.mode_changed(cpu);
    return 1;
  }
  if (pv_load_pair(cpu, cs, ss)) {
    sg.mode_changed(cpu);
    return 1;
  }
  if (cpu.exit != EXIT_EXCEPTION) return 1;
  seg(cpu, SEG_CS).selector = <u16>cs;
  seg(cpu, SEG_SS).selector = <u16>ss;
  pv_failsafe(cpu);
  return 1;
}

/** As IRET from ring 0 to the ring that `cs` names loads CS and SS (SDM vol. 2), and the CPL. False = an exception is pending, and neither is loaded. */
export function pv_load_pair(cpu: Cpu, cs: u32, ss: u32): bool {
  if (!sg.read_descriptor(cpu, cs, EXC_GP, 0)) return false;
  const code = sg.descriptor;
  const dpl = sg.desc_dpl(code);
  const both = sg.DESC_L | sg.DESC_DB;
  const ring = cs & 3;
  const allowed = code & sg.DESC_CONFORMING ? dpl <= ring : dpl == ring;
  if (!(cs & 0xfffc) || !sg.desc_is_code(code) || !allowed || (code & both) == both || !(code & sg.DESC_P))
    return refused(cpu, EXC_GP);
  if (code & sg.DESC_L ? !canonical(cpu.rip) : cpu.rip > <u64>sg.desc_limit(code)) return refused(cpu, EXC_GP);
  if (!(ss & 0xfffc)) return refused(cpu, EXC_GP);
  if (!sg.read_descriptor(cpu, ss, EXC_GP, 0)) return false;
  const stack = sg.descriptor;
  if ((ss & 3) != ring || sg.desc_dpl(stack) != ring || !sg.desc_is_writable_data(stack)) return refused(cpu, EXC_GP);
  if (!(stack & sg.DESC_P)) return refused(cpu, EXC_SS);
  if (!sg.set_accessed(cpu, cs, code) || !sg.set_accessed(cpu, ss, stack)) return false;
  sg.set_segment(cpu, SEG_CS, cs, code);
  sg.set_segment(cpu, SEG_SS, ss, stack);
  cpu.cpl = ring;
  if (!(code & sg.DESC_L)) cpu.rsp &= 0xffffffff;
  return true;
}

function refused(cpu: Cpu, vector: u32): bool {
  raise(cpu, vector, 0);
  return false;
}
