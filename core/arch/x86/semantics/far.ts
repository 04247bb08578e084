// Far jumps and calls, also through call gates (SDM vol. 3, 5.8). Task gates and TSS selectors would switch tasks, which is not
// supported: #GP with the selector.
import { Cpu, SEG_CS, SEG_SS, seg } from '../cpu';
import { raise, EXC_GP, EXC_NP, EXC_SS } from '../exceptions';
import { canonical } from '../limits';
import { cpu_pv, cpu_pv32 } from '../pv/state';
import { push, push_begin, push_commit } from '../push';
import * as sg from '../segments';
import { tss_sp, tss_ss, tss_stack } from '../tss';
import { go, gp0, next_ip, protected_mode, stack_begin } from './system_common';
import { ea_slow } from '../../../engine/address';
import { read_ptr, sys_ld, sys_probe } from '../../../engine/mem';
import { uop_disp, uop_imm, uop_ismem } from '../../../engine/uop';

let to_selector: u32 = 0;
let to_offset: u64 = 0;

/** The target, from memory or from the instruction (offset in disp, selector in imm). */
@inline function read_target<T>(cpu: Cpu, u: usize): bool {
  if (!uop_ismem(u)) {
    to_selector = (<u32>uop_imm(u)) & 0xffff;
    to_offset = <u64>(<T>uop_disp(u));
    return true;
  }
  const p = read_ptr(cpu, ea_slow(cpu, u, sizeof<T>() + 2, false), sizeof<T>() + 2, sizeof<T>());
  if (p == 0) return false;
  to_offset = <u64>load<T>(p);
  to_selector = load<u16>(p + sizeof<T>());
  return true;
}

/** CS and RIP of the caller. False = exception pending. */
function push_return(cpu: Cpu, u: usize, width: i32): bool {
  if (!stack_begin(cpu, width, 2)) return false;
  push(cpu, seg(cpu, SEG_CS).selector);
  push(cpu, next_ip(cpu, u));
  push_commit(cpu);
  return true;
}

export function JMP_far<T = u32>(cpu: Cpu, u: usize): i32 {
  return read_target<T>(cpu, u) ? transfer(cpu, u, false, sizeof<T>()) : 1;
}

export function CALL_far<T = u32>(cpu: Cpu, u: usize): i32 {
  return read_target<T>(cpu, u) ? transfer(cpu, u, true, sizeof<T>()) : 1;
}

function transfer(cpu: Cpu, u: usize, call: bool, width: i32): i32 {
  if (!protected_mode(cpu)) {
    if (to_offset > <u64>seg(cpu, SEG_CS).limit) return gp0(cpu);
    const ip = to_offset;
    if (call && !push_return(cpu, u, width)) return 1;
    sg.set_real(cpu, SEG_CS, <u16>to_selector);
    sg.mode_changed(cpu);
    return go(cpu, ip);
  }
  const selector = to_selector;
  if (!(selector & 0xfffc)) return gp0(cpu);
  if (!sg.read_descriptor(cpu, selector, EXC_GP, 0)) return 1;
  const d = sg.descriptor;
  if (!(d & sg.DESC_S)) return gate(cpu, u, selector, d, call);
  const conforming = (d & sg.DESC_CONFORMING) != 0;
  const allowed = conforming ? sg.desc_dpl(d) <= cpu.cpl : (selector & 3) <= cpu.cpl && sg.desc_dpl(d) == cpu.cpl;
  if (!check_code(cpu, selector, d, allowed, to_offset)) return 1;
  if (call && !push_return(cpu, u, width)) return 1;
  return enter(cpu, selector, d, cpu.cpl, to_offset);
}

/** Common checks of a target code segment: false = #GP, #NP or a page fault is pending. */
export function check_code(cpu: Cpu, selector: u32, d: u64, allowed: bool, ip: u64): bool {
  const error = selector & 0xfffc;
  const long = (cpu.efer & 0x400) != 0;
  const both = sg.DESC_L | sg.DESC_DB;
  if (!sg.desc_is_code(d) || !allowed || (long && (d & both) == both)) raise(cpu, EXC_GP, error);
  else if (!(d & sg.DESC_P)) raise(cpu, EXC_NP, error);
  else if (long && d & sg.DESC_L ? !canonical(ip) : ip > <u64>sg.desc_limit(d)) gp0(cpu);
  else return sg.set_accessed(cpu, selector, d);
  return false;
}

/** Load CS, set the CPL and go. */
export function enter(cpu: Cpu, selector: u32, d: u64, cpl: u32, ip: u64): i32 {
  sg.set_segment(cpu, SEG_CS, (selector & 0xfffc) | cpl, d);
  cpu.cpl = cpl;
  sg.mode_changed(cpu);
  return go(cpu, ip);
}

/** A system descriptor as target: call gates of type 4 (16-bit) and 12 (32-bit; in long mode 64-bit, the only one). */
function gate(cpu: Cpu, u: usize, selector: u32, d: u64, call: bool): i32 {
  // Those of a 32-bit PV guest are 32-bit ones, and have their DPL in the selector that they name (hypervisor/pv/descriptors.ts).
  const narrow = cpu_pv32(cpu);
  const long = !narrow && (cpu.efer & 0x400) != 0;
  const type = sg.desc_type(d);
  const error = selector & 0xfffc;
  // A 64-bit PV guest's gates would lead to rings that it does not have.
  if (cpu_pv(cpu) && !narrow) return raise(cpu, EXC_GP, error);
  if (type != 12 && (long || type != 4)) return raise(cpu, EXC_GP, error);
  const gate_dpl = narrow ? (<u32>(d >> 16)) & 3 : sg.desc_dpl(d);
  if (gate_dpl < cpu.cpl || gate_dpl < (selector & 3)) return raise(cpu, EXC_GP, error);
  if (!(d & sg.DESC_P)) return raise(cpu, EXC_NP, error);
  let ip = (d & 0xffff) | ((d >> 32) & 0xffff0000);
  if (type == 4) ip &= 0xffff;
  if (long) {
    const va = sg.descriptor_va(cpu, selector, 16);
    if (va == ~0) return raise(cpu, EXC_GP, error);
    if (!sys_probe(cpu, va + 8, 8, false)) return 1;
    const high = sys_ld<u64>(cpu, va + 8);
    if (high & 0x1f0000000000) return raise(cpu, EXC_GP, error);
    ip |= high << 32;
  }
  const code = (<u32>(d >> 16)) & 0xffff;
  if (!(code & 0xfffc)) return gp0(cpu);
  if (!sg.read_descriptor(cpu, code, EXC_GP, 0)) return 1;
  const cd = sg.descriptor;
  const conforming = (cd & sg.DESC_CONFORMING) != 0;
  const dpl = sg.desc_dpl(cd);
  const allowed = call || conforming ? dpl <= cpu.cpl : dpl == cpu.cpl;
  if (long && (cd & (sg.DESC_L | sg.DESC_DB)) != sg.DESC_L) return raise(cpu, EXC_GP, code & 0xfffc);
  if (!check_code(cpu, code, cd, allowed, ip)) return 1;
  const width = long ? 8 : type == 4 ? 2 : 4;
  const cpl = conforming ? cpu.cpl : dpl;
  if (call) {
    if (cpl == cpu.cpl) {
      if (!push_return(cpu, u, width)) return 1;
    } else if (!(long ? push_inner_long(cpu, u, cpl) : push_inner(cpu, u, cpl, width, (<i32>(d >> 32)) & 31))) return 1;
  }
  return enter(cpu, code, cd, cpl, ip);
}

/** Frame on the stack of privilege `cpl` in long mode: SS RSP CS RIP, no parameters. */
function push_inner_long(cpu: Cpu, u: usize, cpl: u32): bool {
  if (!tss_stack(cpu, cpl, 0) || !push_begin(cpu, 0, tss_sp, ~0, 8, 4, true)) return false;
  push(cpu, seg(cpu, SEG_SS).selector);
  push(cpu, cpu.rsp);
  push(cpu, seg(cpu, SEG_CS).selector);
  push(cpu, next_ip(cpu, u));
  push_commit(cpu);
  sg.set_null_ss(cpu, cpl);
  return true;
}

/** The same outside long mode, with `count` parameters copied from the caller's stack. */
function push_inner(cpu: Cpu, u: usize, cpl: u32, width: i32, count: i32): bool {
  if (!tss_stack(cpu, cpl, 0) || !sg.check_stack_segment(cpu, tss_ss, cpl, 0)) return false;
  const selector = tss_ss;
  const ss = sg.descriptor;
  const mask: u64 = ss & sg.DESC_DB ? 0xffffffff : 0xffff;
  const old = seg(cpu, SEG_SS);
  const old_mask: u64 = old.attr & 0x400 ? 0xffffffff : 0xffff;
  if (!sg.stack_room(ss, tss_sp & mask, <u32>((4 + count) * width))) {
    raise(cpu, EXC_SS, selector & 0xfffc);
    return false;
  }
  if (count && !sg.seg_check(cpu, SEG_SS, cpu.rsp & old_mask, count * width, false)) return false;
  const params = (old.base + (cpu.rsp & old_mask)) & 0xffffffff;
  if (count && !sys_probe(cpu, params, count * width, false)) return false;
  if (!sg.set_accessed(cpu, selector, ss)) return false;
  if (!push_begin(cpu, sg.desc_base(ss), tss_sp, mask, width, 4 + count, true)) return false;
  push(cpu, old.selector);
  push(cpu, cpu.rsp & old_mask);
  for (let i = count - 1; i >= 0; i--) {
    const va = params + <u64>(i * width);
    push(cpu, width == 2 ? <u64>sys_ld<u16>(cpu, va) : <u64>sys_ld<u32>(cpu, va));
  }
  push(cpu, seg(cpu, SEG_CS).selector);
  push(cpu, next_ip(cpu, u));
  push_commit(cpu);
  sg.set_segment(cpu, SEG_SS, (selector & 0xfffc) | cpl, ss);
  return true;
}
