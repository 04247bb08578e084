// Instructions on segment registers and descriptors (SDM vol. 2; vol. 3, 5.10).
import {
  Cpu,
  CPU_SEGMENTS,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  SHADOW_ALL,
  seg,
} from '../cpu';
import { raise, EXC_GP, EXC_NP, EXC_UD } from '../exceptions';
import { ZF, TF, get_flags6, set_flags6 } from '../flags';
import { MODE_BREAK, MODE_WATCH } from '../modes';
import { canonical } from '../limits';
import { push, push_commit } from '../push';
import * as sg from '../segments';
import { cpl0, gp0, interrupt_waits, leave, long_code, mem_write, peek, peeked, protected_mode } from './system_common';
import { rm_read, stack_begin, stack_set, ud } from './system_common';
import { push_mask } from '../push';
import { write_cr0 } from '../control';
import { ea_slow } from '../../../engine/address';
import { commit, read_ptr, sys_ld, sys_probe, sys_st } from '../../../engine/mem';
import { reg_get, reg_set, uop_b, uop_ismem, uop_r } from '../../../engine/uop';

/** Number of the segment register in the micro-op's `r`. */
@inline function sreg(u: usize): i32 {
  return <i32>(uop_r(u) >> 3);
}

/** After a load of a segment register: a new decoding mode leaves the loop; a load of SS holds interrupts and traps off. */
function loaded(cpu: Cpu, u: usize, i: i32, before: u32, blocks: bool): i32 {
  const seen = (cpu.rflags & (<u64>TF)) != 0 || (cpu.mode & (MODE_BREAK | MODE_WATCH)) != 0;
  if (blocks && i == SEG_SS && (seen || interrupt_waits(cpu))) {
    cpu.shadow = SHADOW_ALL;
    return leave(cpu, u);
  }
  return cpu.mode == before ? 0 : leave(cpu, u);
}

export function PUSH_sreg<T>(cpu: Cpu, u: usize): i32 {
  if (!stack_begin(cpu, sizeof<T>(), 1)) return 1;
  push(cpu, seg(cpu, sreg(u)).selector);
  push_commit(cpu);
  return 0;
}

export function POP_sreg<T>(cpu: Cpu, u: usize): i32 {
  const before = cpu.mode;
  const mask = push_mask(cpu);
  if (!peek<T>(cpu, 0)) return 1;
  if (sg.load_segment(cpu, sreg(u), (<u32>peeked) & 0xffff)) return 1;
  stack_set(cpu, cpu.rsp + sizeof<T>(), mask);
  return loaded(cpu, u, sreg(u), before, true);
}

@inline export function MOV_from_sreg<B, V, T, D>(b: B, u: usize): i32 {
  if (b.guard(b.k(<i64>(sreg(u) > SEG_GS)), EXC_UD)) return 1;
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  b.wr<T, D>(u, p, b.state<u16>(<u32>CPU_SEGMENTS + (sreg(u) << 4)));
  return 0;
}

/** A 16-bit value to memory, or zero-extended to a register of size T. */
function store_word<T>(cpu: Cpu, u: usize, v: u32): i32 {
  if (!uop_ismem(u)) {
    reg_set<T>(cpu, uop_b(u), <T>v);
    return 0;
  }
  const p = mem_write(cpu, u, 2);
  if (p == 0) return 1;
  store<u16>(p, <u16>v);
  commit(cpu, p);
  return 0;
}

export function MOV_sreg(cpu: Cpu, u: usize): i32 {
  const i = sreg(u);
  if (i > SEG_GS || i == SEG_CS) return ud(cpu);
  const p = rm_read(cpu, u, 2);
  if (p == 0) return 1;
  const before = cpu.mode;
  if (sg.load_segment(cpu, i, load<u16>(p))) return 1;
  return loaded(cpu, u, i, before, true);
}

/** Far pointer to segment register `i` and a general register. */
@inline function load_far<T>(cpu: Cpu, u: usize, i: i32): i32 {
  const size = <i32>sizeof<T>() + 2;
  const p = read_ptr(cpu, ea_slow(cpu, u, size, false), size, sizeof<T>());
  if (p == 0) return 1;
  const before = cpu.mode;
  const offset = load<T>(p);
  if (sg.load_segment(cpu, i, load<u16>(p + sizeof<T>()))) return 1;
  reg_set<T>(cpu, uop_r(u), offset);
  return loaded(cpu, u, i, before, false);
}

export function LES<T>(cpu: Cpu, u: usize): i32 {
  return load_far<T>(cpu, u, SEG_ES);
}
export function LDS<T>(cpu: Cpu, u: usize): i32 {
  return load_far<T>(cpu, u, SEG_DS);
}
export function LSS<T>(cpu: Cpu, u: usize): i32 {
  return load_far<T>(cpu, u, SEG_SS);
}
export function LFS<T>(cpu: Cpu, u: usize): i32 {
  return load_far<T>(cpu, u, SEG_FS);
}
export function LGS<T>(cpu: Cpu, u: usize): i32 {
  return load_far<T>(cpu, u, SEG_GS);
}

// LDTR and TR

export function SLDT<T = u16>(cpu: Cpu, u: usize): i32 {
  return protected_mode(cpu) ? store_word<T>(cpu, u, seg(cpu, SEG_LDTR).selector) : ud(cpu);
}

export function STR<T = u16>(cpu: Cpu, u: usize): i32 {
  return protected_mode(cpu) ? store_word<T>(cpu, u, seg(cpu, SEG_TR).selector) : ud(cpu);
}

/** Upper half of the base that read_system found. */
let base_high: u64 = 0;

/** Read the descriptor of an LDT or TSS, 16 bytes in long mode, into sg.descriptor and base_high. */
function read_system(cpu: Cpu, selector: u32): bool {
  const long = (cpu.efer & 0x400) != 0;
  base_high = 0;
  const va = sg.descriptor_va(cpu, selector, long ? 16 : 8);
  if (va == ~0 || selector & 4) {
    raise(cpu, EXC_GP, selector & 0xfffc);
    return false;
  }
  if (!sys_probe(cpu, va, long ? 16 : 8, false) || !sg.read_descriptor(cpu, selector, EXC_GP, 0)) return false;
  if (long) {
    const high = sys_ld<u64>(cpu, va + 8);
    base_high = high << 32;
    // Its type field must be 0, and the base canonical.
    if (high & 0x1f0000000000 || !canonical(base_high | (sg.desc_base(sg.descriptor) & 0xffffffff))) {
      raise(cpu, EXC_GP, selector & 0xfffc);
      return false;
    }
  }
  return true;
}

export function LLDT(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  if (!cpl0(cpu)) return gp0(cpu);
  const p = rm_read(cpu, u, 2);
  if (p == 0) return 1;
  const selector = <u32>load<u16>(p);
  if (!(selector & 0xfffc)) {
    sg.set_null(cpu, SEG_LDTR, selector);
    return 0;
  }
  if (!read_system(cpu, selector)) return 1;
  const d = sg.descriptor;
  if (d & sg.DESC_S || sg.desc_type(d) != 2) return raise(cpu, EXC_GP, selector & 0xfffc);
  if (!(d & sg.DESC_P)) return raise(cpu, EXC_NP, selector & 0xfffc);
  sg.set_segment(cpu, SEG_LDTR, selector, d);
  seg(cpu, SEG_LDTR).base |= base_high;
  return 0;
}

export function LTR(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  if (!cpl0(cpu)) return gp0(cpu);
  const p = rm_read(cpu, u, 2);
  if (p == 0) return 1;
  const selector = <u32>load<u16>(p);
  if (!(selector & 0xfffc)) return gp0(cpu);
  if (!read_system(cpu, selector)) return 1;
  const d = sg.descriptor;
  const type = sg.desc_type(d);
  const available = type == 9 || (type == 1 && !(cpu.efer & 0x400));
  if (d & sg.DESC_S || !available) return raise(cpu, EXC_GP, selector & 0xfffc);
  if (!(d & sg.DESC_P)) return raise(cpu, EXC_NP, selector & 0xfffc);
  const busy = sg.descriptor_va(cpu, selector, 8) + 5;
  if (!sys_probe(cpu, busy, 1, true)) return 1;
  sys_st<u8>(cpu, busy, (<u8>(d >> 40)) | 2);
  sg.set_segment(cpu, SEG_TR, selector, d);
  seg(cpu, SEG_TR).base |= base_high;
  seg(cpu, SEG_TR).attr |= 2;
  return 0;
}

// Questions about selectors: the answer is ZF, and only reading the descriptor can fault.

/** What the question found: 0 = no descriptor, 1 = sg.descriptor is it, 2 = exception pending. */
function look_up(cpu: Cpu, selector: u32): i32 {
  if (!(selector & 0xfffc) || !sg.descriptor_inside(cpu, selector)) return 0;
  return sg.read_descriptor(cpu, selector, EXC_GP, 0) ? 1 : 2;
}

function answer(cpu: Cpu, yes: bool): i32 {
  const f = get_flags6(cpu);
  set_flags6(cpu, yes ? f | ZF : f & ~ZF);
  return 0;
}

/** System descriptor types that LAR and LSL accept, a bit each, outside and in long mode (SDM tables 3-54 and 3-58). */
const LAR_TYPES: u32 = 0x1a3e;
const LAR_TYPES_LONG: u32 = 0x1a04;
const LSL_TYPES: u32 = 0x0a0e;
const LSL_TYPES_LONG: u32 = 0x0a04;

function visible(cpu: Cpu, d: u64, selector: u32, types: u32): bool {
  if (!(d & sg.DESC_S)) {
    if (!((types >> sg.desc_type(d)) & 1)) return false;
  } else if ((d & (sg.DESC_CODE | sg.DESC_CONFORMING)) == (sg.DESC_CODE | sg.DESC_CONFORMING)) return true;
  return sg.desc_dpl(d) >= cpu.cpl && sg.desc_dpl(d) >= (selector & 3);
}

/** Read the operand and find its descriptor; as look_up, with 2 also for a fault of the operand. */
function question(cpu: Cpu, u: usize): i32 {
  const p = rm_read(cpu, u, 2);
  if (p == 0) return 2;
  asked = load<u16>(p);
  return look_up(cpu, asked);
}

let asked: u32 = 0;

export function LAR<T>(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  const found = question(cpu, u);
  if (found == 2) return 1;
  if (!found || !visible(cpu, sg.descriptor, asked, cpu.efer & 0x400 ? LAR_TYPES_LONG : LAR_TYPES))
    return answer(cpu, false);
  reg_set<T>(cpu, uop_r(u), <T>((sg.descriptor >> 32) & 0xf0ff00));
  return answer(cpu, true);
}

export function LSL<T>(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  const found = question(cpu, u);
  if (found == 2) return 1;
  if (!found || !visible(cpu, sg.descriptor, asked, cpu.efer & 0x400 ? LSL_TYPES_LONG : LSL_TYPES))
    return answer(cpu, false);
  reg_set<T>(cpu, uop_r(u), <T>sg.desc_limit(sg.descriptor));
  return answer(cpu, true);
}

export function VERR(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  const found = question(cpu, u);
  return found == 2 ? 1 : answer(cpu, found == 1 && sg.readable_at(sg.descriptor, cpu.cpl, asked & 3));
}

export function VERW(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  const found = question(cpu, u);
  if (found == 2) return 1;
  const d = sg.descriptor;
  return answer(cpu, found == 1 && sg.desc_is_writable_data(d) && sg.readable_at(d, cpu.cpl, asked & 3));
}

/** Raise the destination selector's RPL to the source's. */
export function ARPL(cpu: Cpu, u: usize): i32 {
  if (!protected_mode(cpu)) return ud(cpu);
  let p = rm_read(cpu, u, 2);
  if (p == 0) return 1;
  const selector = <u32>load<u16>(p);
  const rpl = (<u32>reg_get<u16>(cpu, uop_r(u))) & 3;
  if ((selector & 3) >= rpl) return answer(cpu, false);
  if (uop_ismem(u)) {
    p = mem_write(cpu, u, 2);
    if (p == 0) return 1;
  }
  store<u16>(p, <u16>((selector & 0xfffc) | rpl));
  if (uop_ismem(u)) commit(cpu, p);
  return answer(cpu, true);
}

// Descriptor table registers and the machine status word

function store_table(cpu: Cpu, u: usize, limit: u32, base: u64): i32 {
  const wide = long_code(cpu);
  const p = mem_write(cpu, u, wide ? 10 : 6, 4);
  if (p == 0) return 1;
  store<u16>(p, <u16>limit);
  if (wide) store<u64>(p, base, 2);
  else store<u32>(p, <u32>base, 2);
  commit(cpu, p);
  return 0;
}

export function SGDT(cpu: Cpu, u: usize): i32 {
  return store_table(cpu, u, cpu.gdt_limit, cpu.gdt_base);
}

export function SIDT(cpu: Cpu, u: usize): i32 {
  return store_table(cpu, u, cpu.idt_limit, cpu.idt_base);
}

let table_limit: u32 = 0;
let table_base: u64 = 0;

/** A 16-bit operand size takes 24 bits of base. */
@inline function load_table<T>(cpu: Cpu, u: usize): bool {
  if (!cpl0(cpu)) {
    gp0(cpu);
    return false;
  }
  const wide = long_code(cpu);
  const size = wide ? 10 : 6;
  const p = read_ptr(cpu, ea_slow(cpu, u, size, false), size);
  if (p == 0) return false;
  table_limit = load<u16>(p);
  table_base = wide ? load<u64>(p, 2) : <u64>(load<u32>(p, 2) & (sizeof<T>() == 2 ? 0xffffff : 0xffffffff));
  if (canonical(table_base)) return true;
  gp0(cpu);
  return false;
}

export function LGDT<T = u32>(cpu: Cpu, u: usize): i32 {
  if (!load_table<T>(cpu, u)) return 1;
  cpu.gdt_limit = table_limit;
  cpu.gdt_base = table_base;
  return 0;
}

export function LIDT<T = u32>(cpu: Cpu, u: usize): i32 {
  if (!load_table<T>(cpu, u)) return 1;
  cpu.idt_limit = table_limit;
  cpu.idt_base = table_base;
  return 0;
}

export function SMSW<T = u16>(cpu: Cpu, u: usize): i32 {
  if (uop_ismem(u)) return store_word<T>(cpu, u, <u32>cpu.cr0);
  reg_set<T>(cpu, uop_b(u), <T>cpu.cr0);
  return 0;
}

/** PE can be set this way, not cleared. */
export function LMSW(cpu: Cpu, u: usize): i32 {
  if (!cpl0(cpu)) return gp0(cpu);
  const p = rm_read(cpu, u, 2);
  if (p == 0) return 1;
  const v = (<u64>load<u16>(p)) & 15;
  if (write_cr0(cpu, (cpu.cr0 & ~(<u64>14)) | v)) return 1;
  return leave(cpu, u);
}
