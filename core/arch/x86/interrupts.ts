// Transfer of control through the IVT or the IDT: interrupts, exceptions, INT n (Intel SDM vol. 3, 6.11-6.14 and 20.1.4).
import { Cpu, CPU_NMI, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS, seg } from './cpu';
import { MODE_PE } from './modes';
import { deliver, raise, EVENT_ERROR, EVENT_EXTERNAL, EVENT_INT1, EVENT_SOFT } from './exceptions';
import { EXC_DB, EXC_DF, EXC_GP, EXC_NMI, EXC_NP, EXC_SS } from './exceptions';
import { canonical } from './limits';
import { flags_get } from './flags';
import * as sg from './segments';
import { tss_stack, tss_ist, tss_ss, tss_sp } from './tss';
import { push_begin, push, push_commit, push_mask } from './push';
import { sys_ld, sys_probe } from '../../engine/mem';

const RFLAGS_TF: u64 = 0x100;
const RFLAGS_IF: u64 = 0x200;
const RFLAGS_NT: u64 = 0x4000;
const RFLAGS_RF: u64 = 0x10000;
const RFLAGS_VM: u64 = 0x20000;
const RFLAGS_AC: u64 = 0x40000;
const DR7_GD: u64 = 0x2000;

export const NMI_PENDING: u32 = 1;
/** From the delivery of an NMI to the next IRET. */
export const NMI_BLOCKED: u32 = 2;

export function nmi_raise(cpu: Cpu): void {
  atomic.or<u32>(changetype<usize>(cpu) + CPU_NMI, NMI_PENDING);
}

export function nmi_raised(cpu: Cpu): bool {
  return (atomic.load<u32>(changetype<usize>(cpu) + CPU_NMI) & NMI_PENDING) != 0;
}

export function nmi_pending(cpu: Cpu): bool {
  return load<u32>(changetype<usize>(cpu) + CPU_NMI) == NMI_PENDING;
}

export function nmi_unblock(cpu: Cpu): void {
  atomic.and<u32>(changetype<usize>(cpu) + CPU_NMI, ~NMI_BLOCKED);
}

/** Deliver the pending NMI; as interrupt_deliver. */
export function nmi_deliver(cpu: Cpu): i32 {
  atomic.store<u32>(changetype<usize>(cpu) + CPU_NMI, NMI_BLOCKED);
  return deliver(cpu, EXC_NMI, 0, EVENT_EXTERNAL);
}

/**
 * One event, `rip` being the return address it pushes. 0 = done, cpu.rip is the handler's; 1 = another exception is pending and
 * nothing has changed.
 */
export function deliver_event(cpu: Cpu, vector: u32, error: u32, flags: u32, rip: u64): i32 {
  const r = cpu.mode & MODE_PE ? deliver_protected(cpu, vector, error, flags, rip) : deliver_real(cpu, vector, rip);
  // A debug exception's handler finds DR7.GD clear (SDM vol. 3, 18.2.4).
  if (r == 0 && vector == EXC_DB && !(flags & EVENT_SOFT)) cpu.dr7 &= ~DR7_GD;
  return r;
}

function deliver_real(cpu: Cpu, vector: u32, rip: u64): i32 {
  if (vector * 4 + 3 > cpu.idt_limit) return raise(cpu, EXC_GP, 0);
  const entry = cpu.idt_base + <u64>(vector * 4);
  if (!sys_probe(cpu, entry, 4, false)) return 1;
  const target = sys_ld<u32>(cpu, entry);
  if (!push_begin(cpu, seg(cpu, SEG_SS).base, cpu.rsp, 0xffff, 2, 3, false)) return 1;
  push(cpu, flags_get(cpu));
  push(cpu, seg(cpu, SEG_CS).selector);
  push(cpu, rip);
  push_commit(cpu);
  cpu.rflags &= ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
  sg.set_real(cpu, SEG_CS, <u16>(target >> 16));
  cpu.rip = target & 0xffff;
  sg.mode_changed(cpu);
  return 0;
}

/** RFLAGS as pushed: RF is 1 for faults, so that the instruction runs again without an instruction breakpoint (SDM 17.3.1.1). */
function pushed_flags(cpu: Cpu, vector: u32, flags: u32): u64 {
  const fault = !(flags & (EVENT_SOFT | EVENT_EXTERNAL | EVENT_INT1)) && vector != EXC_DB && vector != EXC_DF;
  return fault ? flags_get(cpu) | RFLAGS_RF : flags_get(cpu);
}

function deliver_protected(cpu: Cpu, vector: u32, error: u32, flags: u32, rip: u64): i32 {
  const long = (cpu.efer & 0x400) != 0;
  const soft = (flags & EVENT_SOFT) != 0;
  // EXT: the event is not a software interrupt (SDM 6.13).
  const ext: u32 = soft ? 0 : 1;
  const idt_error = vector * 8 + 2 + ext;
  const size: u32 = long ? 16 : 8;
  if (vector * size + size - 1 > cpu.idt_limit) return raise(cpu, EXC_GP, idt_error);
  const entry = cpu.idt_base + <u64>(vector * size);
  if (!sys_probe(cpu, entry, size, false)) return 1;
  const gate = sys_ld<u64>(cpu, entry);
  const type = (<u32>(gate >> 40)) & 0x1f;
  // Gates: 5 task, 6 and 7 16-bit, 14 and 15 32-bit (in long mode 64-bit, the only ones). Task gates are not supported: #GP.
  if (type != 14 && type != 15 && (long || (type != 6 && type != 7))) return raise(cpu, EXC_GP, idt_error);
  if (soft && ((<u32>(gate >> 45)) & 3) < cpu.cpl) return raise(cpu, EXC_GP, idt_error);
  if (!((gate >> 47) & 1)) return raise(cpu, EXC_NP, idt_error);
  let target = (gate & 0xffff) | ((gate >> 32) & 0xffff0000);
  if (long) target |= sys_ld<u64>(cpu, entry + 8) << 32;
  else if (type < 8) target &= 0xffff;

  const selector = (<u32>(gate >> 16)) & 0xffff;
  if (!(selector & 0xfffc)) return raise(cpu, EXC_GP, ext);
  if (!sg.read_descriptor(cpu, selector, EXC_GP, ext)) return 1;
  const code = sg.descriptor;
  const dpl = sg.desc_dpl(code);
  const conforming = (code & sg.DESC_CONFORMING) != 0;
  const sel_error = (selector & 0xfffc) | ext;
  if (!sg.desc_is_code(code) || dpl > cpu.cpl) return raise(cpu, EXC_GP, sel_error);
  if (long && (code & (sg.DESC_L | sg.DESC_DB)) != sg.DESC_L) return raise(cpu, EXC_GP, sel_error);
  const vm86 = (cpu.rflags & RFLAGS_VM) != 0;
  if (vm86 && (conforming || dpl != 0)) return raise(cpu, EXC_GP, sel_error);
  if (!(code & sg.DESC_P)) return raise(cpu, EXC_NP, sel_error);
  const cpl: u32 = conforming ? cpu.cpl : dpl;
  if (long ? !canonical(target) : target > <u64>sg.desc_limit(code)) return raise(cpu, EXC_GP, ext);
  if (!sg.set_accessed(cpu, selector, code)) return 1;

  const frame = pushed_flags(cpu, vector, flags);
  const has_error = (flags & EVENT_ERROR) != 0;
  const inner = cpl < cpu.cpl;
  const old_ss = seg(cpu, SEG_SS).selector;
  const old_cs = seg(cpu, SEG_CS).selector;
  if (long) {
    const ist = (<u32>(gate >> 32)) & 7;
    let sp = cpu.rsp;
    if (ist) {
      if (!tss_ist(cpu, ist, ext)) return 1;
      sp = tss_sp;
    } else if (inner) {
      if (!tss_stack(cpu, cpl, ext)) return 1;
      sp = tss_sp;
    }
    sp &= ~(<u64>15);
    if (!canonical(sp)) return raise(cpu, EXC_SS, ext);
    if (!push_begin(cpu, 0, sp, ~0, 8, has_error ? 6 : 5, inner)) return 1;
    push(cpu, old_ss);
    push(cpu, cpu.rsp);
    push(cpu, frame);
    push(cpu, old_cs);
    push(cpu, rip);
    if (has_error) push(cpu, error);
    push_commit(cpu);
    if (inner) sg.set_null_ss(cpu, cpl);
  } else {
    const width = type < 8 ? 2 : 4;
    let count = has_error ? 4 : 3;
    if (inner) {
      count += vm86 ? 6 : 2;
      if (!tss_stack(cpu, cpl, ext)) return 1;
      if (!sg.check_stack_segment(cpu, tss_ss, cpl, ext)) return 1;
      const ss = sg.descriptor;
      const mask: u64 = ss & sg.DESC_DB ? 0xffffffff : 0xffff;
      if (!sg.stack_room(ss, tss_sp & mask, <u32>(count * width))) return raise(cpu, EXC_SS, (tss_ss & 0xfffc) | ext);
      if (!sg.set_accessed(cpu, tss_ss, ss)) return 1;
      if (!push_begin(cpu, sg.desc_base(ss), tss_sp, mask, width, count, true)) return 1;
      if (vm86) {
        push(cpu, seg(cpu, SEG_GS).selector);
        push(cpu, seg(cpu, SEG_FS).selector);
        push(cpu, seg(cpu, SEG_DS).selector);
        push(cpu, seg(cpu, SEG_ES).selector);
      }
      push(cpu, old_ss);
      push(cpu, cpu.rsp);
      const ss_selector = tss_ss;
      push_event(cpu, frame, old_cs, rip, has_error, error);
      sg.set_segment(cpu, SEG_SS, (ss_selector & 0xfffc) | cpl, ss);
      if (vm86) {
        for (let i = SEG_ES; i <= SEG_GS; i++) if (i != SEG_CS && i != SEG_SS) sg.set_null(cpu, i, 0);
      }
    } else {
      const mask = push_mask(cpu);
      const off = (cpu.rsp - <u64>(count * width)) & mask;
      if (!sg.seg_check(cpu, SEG_SS, off, count * width, true)) return raise(cpu, EXC_SS, ext);
      if (!push_begin(cpu, seg(cpu, SEG_SS).base, cpu.rsp, mask, width, count, false)) return 1;
      push_event(cpu, frame, old_cs, rip, has_error, error);
    }
  }
  sg.set_segment(cpu, SEG_CS, (selector & 0xfffc) | cpl, code);
  cpu.cpl = cpl;
  cpu.rip = target;
  cpu.rflags &= ~(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
  if (!(type & 1)) cpu.rflags &= ~RFLAGS_IF;
  sg.mode_changed(cpu);
  return 0;
}

function push_event(cpu: Cpu, flags: u64, cs: u16, rip: u64, has_error: bool, error: u32): void {
  push(cpu, flags);
  push(cpu, cs);
  push(cpu, rip);
  if (has_error) push(cpu, error);
  push_commit(cpu);
}
