// RET far and IRET in every mode (SDM vol. 2). Entering virtual-8086 mode and returning from a nested task are not supported: #GP(0).
import { Cpu, SEG_CS, SEG_SS, seg } from '../cpu';
import { raise, EXC_GP, EXC_SS } from '../exceptions';
import { flags_get, flags_set } from '../flags';
import { nmi_unblock } from '../interrupts';
import { push_mask } from '../push';
import * as sg from '../segments';
import { check_code, enter } from './far';
import { flags_writable } from './system_flags';
import { go, gp0, iopl, long_code, peek, peeked, protected_mode, stack_set } from './system_common';
import { uop_imm } from '../../../engine/uop';

const NT: u64 = 0x4000;
const RF: u64 = 0x10000;
const VM: u64 = 0x20000;

let ret_ip: u64 = 0;
let ret_cs: u32 = 0;
let ret_flags: u64 = 0;

@inline function pop_ip_cs<T>(cpu: Cpu): bool {
  if (!peek<T>(cpu, 0)) return false;
  ret_ip = peeked;
  if (!peek<T>(cpu, sizeof<T>())) return false;
  ret_cs = (<u32>peeked) & 0xffff;
  return true;
}

export function RET_far<T>(cpu: Cpu, u: usize): i32 {
  return ret_far<T>(cpu, 0);
}

export function RET_far_imm<T>(cpu: Cpu, u: usize): i32 {
  return ret_far<T>(cpu, uop_imm(u) & 0xffff);
}

function ret_far<T>(cpu: Cpu, release: i32): i32 {
  const size = <i32>sizeof<T>();
  if (!pop_ip_cs<T>(cpu)) return 1;
  if (!protected_mode(cpu)) {
    if (ret_ip > <u64>seg(cpu, SEG_CS).limit) return gp0(cpu);
    stack_set(cpu, cpu.rsp + 2 * size + release, push_mask(cpu));
    return real_cs(cpu);
  }
  if (!check_return(cpu)) return 1;
  const code = sg.descriptor;
  const cpl = ret_cs & 3;
  if (cpl == cpu.cpl) {
    stack_set(cpu, cpu.rsp + 2 * size + release, push_mask(cpu));
    return enter(cpu, ret_cs, code, cpl, ret_ip);
  }
  if (!pop_outer<T>(cpu, 2 * size + release, code, cpl)) return 1;
  return to_outer(cpu, code, cpl, release);
}

function real_cs(cpu: Cpu): i32 {
  sg.set_real(cpu, SEG_CS, <u16>ret_cs);
  sg.mode_changed(cpu);
  return go(cpu, ret_ip);
}

/** Is ret_cs:ret_ip a legal place to return to? Its descriptor is then in sg.descriptor. */
function check_return(cpu: Cpu): bool {
  const rpl = ret_cs & 3;
  if (!(ret_cs & 0xfffc)) {
    gp0(cpu);
    return false;
  }
  if (!sg.read_descriptor(cpu, ret_cs, EXC_GP, 0)) return false;
  const d = sg.descriptor;
  const dpl = sg.desc_dpl(d);
  const allowed = rpl >= cpu.cpl && (d & sg.DESC_CONFORMING ? dpl <= rpl : dpl == rpl);
  return check_code(cpu, ret_cs, d, allowed, ret_ip);
}

// The stack that a return goes to.
let new_ss: u32 = 0;
let new_sp: u64 = 0;
let new_ss_desc: u64 = 0;

/** Pop and check SS:rSP at `offset`, for privilege `cpl` and code segment `code`. */
function pop_outer<T>(cpu: Cpu, offset: i32, code: u64, cpl: u32): bool {
  if (!peek<T>(cpu, offset)) return false;
  new_sp = peeked;
  if (!peek<T>(cpu, offset + sizeof<T>())) return false;
  new_ss = (<u32>peeked) & 0xffff;
  new_ss_desc = 0;
  if (!(new_ss & 0xfffc)) {
    // Null is a stack segment for 64-bit code below privilege 3.
    const to_long = (cpu.efer & 0x400) != 0 && (code & sg.DESC_L) != 0;
    if (to_long && cpl != 3 && (new_ss & 3) == cpl) return true;
    gp0(cpu);
    return false;
  }
  if (!sg.read_descriptor(cpu, new_ss, EXC_GP, 0)) return false;
  const d = sg.descriptor;
  const error = new_ss & 0xfffc;
  if ((new_ss & 3) != cpl || sg.desc_dpl(d) != cpl || !sg.desc_is_writable_data(d)) {
    raise(cpu, EXC_GP, error);
    return false;
  }
  if (!(d & sg.DESC_P)) {
    raise(cpu, EXC_SS, error);
    return false;
  }
  new_ss_desc = d;
  return sg.set_accessed(cpu, new_ss, d);
}

/** Commit a return that loads SS:rSP. */
function to_outer(cpu: Cpu, code: u64, cpl: u32, release: i32): i32 {
  const lower = cpl > cpu.cpl;
  if (new_ss_desc) sg.set_segment(cpu, SEG_SS, new_ss, new_ss_desc);
  else sg.set_null_ss(cpu, cpl);
  const to_long = (cpu.efer & 0x400) != 0 && (code & sg.DESC_L) != 0;
  const mask: u64 = to_long ? ~0 : new_ss_desc & sg.DESC_DB ? 0xffffffff : 0xffff;
  stack_set(cpu, new_sp + <u64>release, mask);
  const r = enter(cpu, ret_cs, code, cpl, ret_ip);
  if (lower) {
    sg.drop_privileged_segments(cpu);
    sg.mode_changed(cpu);
  }
  return r;
}

/** A 16-bit image has no RF: then it stays (it is 0, the instruction itself having begun). */
function set_flags(cpu: Cpu, mask: u64): void {
  const all = mask > 0xffff ? mask | RF : mask;
  flags_set(cpu, (flags_get(cpu) & ~all) | (ret_flags & all));
}

export function IRET<T>(cpu: Cpu, u: usize): i32 {
  const size = <i32>sizeof<T>();
  const vm86 = (cpu.rflags & VM) != 0;
  if (vm86 && iopl(cpu) < 3) return gp0(cpu);
  if (protected_mode(cpu) && cpu.rflags & NT) return gp0(cpu);
  if (!pop_ip_cs<T>(cpu) || !peek<T>(cpu, 2 * size)) return 1;
  ret_flags = peeked;
  const mask = flags_writable(cpu, size);
  if (!protected_mode(cpu)) {
    if (ret_ip > <u64>seg(cpu, SEG_CS).limit) return gp0(cpu);
    stack_set(cpu, cpu.rsp + 3 * size, push_mask(cpu));
    set_flags(cpu, vm86 ? mask & ~(<u64>0x3000) : mask);
    nmi_unblock(cpu);
    return real_cs(cpu);
  }
  if (ret_flags & VM && cpu.cpl == 0 && !(cpu.efer & 0x400) && size == 4) return gp0(cpu);
  if (!check_return(cpu)) return 1;
  const code = sg.descriptor;
  const cpl = ret_cs & 3;
  const outer = long_code(cpu) || cpl != cpu.cpl;
  if (outer && !pop_outer<T>(cpu, 3 * size, code, cpl)) return 1;
  nmi_unblock(cpu);
  set_flags(cpu, mask);
  if (outer) return to_outer(cpu, code, cpl, 0);
  stack_set(cpu, cpu.rsp + 3 * size, push_mask(cpu));
  return enter(cpu, ret_cs, code, cpl, ret_ip);
}
