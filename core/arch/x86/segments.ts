// Segment registers: descriptors, their checks and loads (Intel SDM vol. 3, 3.4, 5.2-5.8), and the limit checks of accesses.
import {
  Cpu,
  Segment,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  seg,
  seg_base,
  set_seg_base,
} from './cpu';
import { MODE_CS64, MODE_PE, MODE_VM86, update_mode } from './modes';
import { raise, EXC_GP, EXC_NP, EXC_SS, EXC_TS } from './exceptions';
import { canonical } from './limits';
import { pv_found, pv_inside, pv_read_descriptor, pv_set_accessed } from './pv/descriptors';
import { cpu_pv } from './pv/state';
import { sys_ld, sys_probe, sys_st } from '../../engine/mem';
import { tlb_select } from '../../engine/tlb';

// Bits of an 8-byte descriptor.
export const DESC_ACCESSED: u64 = 1 << 40;
/** Data: writable. Code: readable. */
export const DESC_RW: u64 = 1 << 41;
/** Data: expand-down. Code: conforming. */
export const DESC_CONFORMING: u64 = 1 << 42;
export const DESC_CODE: u64 = 1 << 43;
export const DESC_S: u64 = 1 << 44;
export const DESC_P: u64 = 1 << 47;
export const DESC_L: u64 = 1 << 53;
export const DESC_DB: u64 = 1 << 54;
export const DESC_G: u64 = 1 << 55;

export const ATTR_P: u32 = 0x80;
const ATTR_RW: u32 = 2;
const ATTR_EXPAND_DOWN: u32 = 4;
const ATTR_CODE: u32 = 8;
const ATTR_DB: u32 = 0x400;
/** Present, accessed data, writable, DPL 0; and with DPL 3. */
const ATTR_REAL: u16 = 0x93;
const ATTR_VM86: u16 = 0xf3;

@inline export function desc_base(d: u64): u64 {
  return ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000);
}

@inline export function desc_limit(d: u64): u32 {
  const raw = ((<u32>d) & 0xffff) | ((<u32>(d >> 32)) & 0xf0000);
  return d & DESC_G ? (raw << 12) | 0xfff : raw;
}

@inline export function desc_dpl(d: u64): u32 {
  return (<u32>(d >> 45)) & 3;
}

/** Type of a system descriptor. */
@inline export function desc_type(d: u64): u32 {
  return (<u32>(d >> 40)) & 0xf;
}

@inline export function desc_is_code(d: u64): bool {
  return (d & (DESC_S | DESC_CODE)) == (DESC_S | DESC_CODE);
}

@inline export function desc_is_writable_data(d: u64): bool {
  return (d & (DESC_S | DESC_CODE | DESC_RW)) == (DESC_S | DESC_RW);
}

/** Segment.attr of a descriptor. */
@inline export function desc_attr(d: u64): u16 {
  return <u16>(((d >> 40) & 0xff) | ((d >> 44) & 0xf00));
}

/** What read_descriptor found. */
export let descriptor: u64 = 0;

/** Linear address of a selector's descriptor of `size` bytes, or ~0 when it lies outside its table. */
export function descriptor_va(cpu: Cpu, selector: u32, size: u32): u64 {
  const offset = selector & 0xfff8;
  if (selector & 4) {
    const ldt = seg(cpu, SEG_LDTR);
    if (!(ldt.attr & ATTR_P) || offset + size - 1 > ldt.limit) return ~0;
    return linear(cpu, ldt.base + offset);
  }
  if (offset + size - 1 > cpu.gdt_limit) return ~0;
  return linear(cpu, cpu.gdt_base + offset);
}

@inline function linear(cpu: Cpu, va: u64): u64 {
  return cpu.efer & 0x400 ? va : va & 0xffffffff;
}

/** Is a selector's descriptor inside its table? */
export function descriptor_inside(cpu: Cpu, selector: u32): bool {
  return cpu_pv(cpu) ? pv_inside(cpu, selector) : descriptor_va(cpu, selector, 8) != ~0;
}

/** Read a descriptor into `descriptor`; outside the table: exception `vector` with the selector. False = exception pending. */
export function read_descriptor(cpu: Cpu, selector: u32, vector: u32, ext: u32): bool {
  if (cpu_pv(cpu)) {
    const found = pv_read_descriptor(cpu, selector, vector, ext);
    descriptor = pv_found;
    return found;
  }
  const va = descriptor_va(cpu, selector, 8);
  if (va == ~0) {
    raise(cpu, vector, (selector & 0xfffc) | ext);
    return false;
  }
  if (!sys_probe(cpu, va, 8, false)) return false;
  descriptor = sys_ld<u64>(cpu, va);
  return true;
}

/** Set the accessed bit of a code or data descriptor in its table. False = exception pending. */
export function set_accessed(cpu: Cpu, selector: u32, d: u64): bool {
  if (d & DESC_ACCESSED) return true;
  if (cpu_pv(cpu)) return pv_set_accessed(cpu, selector);
  const va = descriptor_va(cpu, selector, 8) + 5;
  if (!sys_probe(cpu, va, 1, true)) return false;
  sys_st<u8>(cpu, va, (<u8>(d >> 40)) | 1);
  return true;
}

/** Fill a segment register's hidden part. The caller ends with mode_changed. */
export function set_segment(cpu: Cpu, i: i32, selector: u32, d: u64): void {
  const s = seg(cpu, i);
  s.selector = <u16>selector;
  s.attr = desc_attr(d | (d & DESC_S ? DESC_ACCESSED : 0));
  s.limit = desc_limit(d);
  set_seg_base(cpu, i, desc_base(d));
}

export function set_null(cpu: Cpu, i: i32, selector: u32): void {
  const s = seg(cpu, i);
  s.selector = <u16>selector;
  s.attr = 0;
  s.limit = 0;
  set_seg_base(cpu, i, 0);
}

/** SS as a change of privilege in long mode leaves it: null, with RPL and DPL of the new CPL (SDM vol. 3, 6.14.4). */
export function set_null_ss(cpu: Cpu, cpl: u32): void {
  set_null(cpu, SEG_SS, cpl);
  seg(cpu, SEG_SS).attr = <u16>(cpl << 5);
}

/** A flat segment as SYSCALL and its like load: base 0, limit 4 GiB, `attr` given. */
export function set_flat(cpu: Cpu, i: i32, selector: u32, attr: u16): void {
  const s = seg(cpu, i);
  s.selector = <u16>selector;
  s.attr = attr;
  s.limit = 0xffffffff;
  s.base = 0;
}

/** Real-address and virtual-8086 mode: base = selector × 16. Real mode keeps the limit of before ("unreal" mode works). */
export function set_real(cpu: Cpu, i: i32, selector: u16): void {
  const s = seg(cpu, i);
  s.selector = selector;
  set_seg_base(cpu, i, (<u64>selector) << 4);
  if (cpu.mode & MODE_VM86) {
    s.limit = 0xffff;
    s.attr = ATTR_VM86;
  } else s.attr = (s.attr & 0xf00 & ~(<u16>0x200)) | ATTR_REAL;
}

/** To be called after a change of CPL, segments, CR0, CR4, EFER or RFLAGS.VM/AC: everything derived follows. */
export function mode_changed(cpu: Cpu): void {
  update_mode(cpu);
  const long = (cpu.mode & MODE_CS64) != 0;
  cpu.base_es = long ? 0 : seg(cpu, SEG_ES).base;
  cpu.base_cs = long ? 0 : seg(cpu, SEG_CS).base;
  cpu.base_ss = long ? 0 : seg(cpu, SEG_SS).base;
  cpu.base_ds = long ? 0 : seg(cpu, SEG_DS).base;
  tlb_select(cpu);
}

function fault(cpu: Cpu, vector: u32, error: u32): bool {
  raise(cpu, vector, error);
  return false;
}

/** Checks of a stack segment that a gate or TSS names (#TS) for privilege `cpl`; its descriptor goes to `descriptor`. */
export function check_stack_segment(cpu: Cpu, selector: u32, cpl: u32, ext: u32): bool {
  const error = (selector & 0xfffc) | ext;
  if (!(selector & 0xfffc)) return fault(cpu, EXC_TS, ext);
  if (!read_descriptor(cpu, selector, EXC_TS, ext)) return false;
  const d = descriptor;
  if ((selector & 3) != cpl || desc_dpl(d) != cpl || !desc_is_writable_data(d)) return fault(cpu, EXC_TS, error);
  return d & DESC_P ? true : fault(cpu, EXC_SS, error);
}

/** Load ES, SS, DS, FS or GS (MOV, POP, LDS...). 0 = done, derived state included; 1 = exception pending. */
export function load_segment(cpu: Cpu, i: i32, selector: u32): i32 {
  if (!(cpu.mode & MODE_PE) || cpu.mode & MODE_VM86) set_real(cpu, i, <u16>selector);
  else if (!(selector & 0xfffc)) {
    if (i == SEG_SS) {
      // Null SS is allowed in 64-bit mode below CPL 3 with a matching RPL.
      if (!(cpu.mode & MODE_CS64) || cpu.cpl == 3 || (selector & 3) != cpu.cpl) return raise(cpu, EXC_GP, 0);
      set_null_ss(cpu, cpu.cpl);
    } else set_null(cpu, i, selector);
  } else {
    if (!check_load(cpu, i, selector)) return 1;
    const d = descriptor;
    if (!set_accessed(cpu, selector, d)) return 1;
    set_segment(cpu, i, selector, d);
  }
  mode_changed(cpu);
  return 0;
}

function check_load(cpu: Cpu, i: i32, selector: u32): bool {
  if (!read_descriptor(cpu, selector, EXC_GP, 0)) return false;
  const d = descriptor;
  const error = selector & 0xfffc;
  const rpl = selector & 3;
  if (i == SEG_SS) {
    if (rpl != cpu.cpl || desc_dpl(d) != cpu.cpl || !desc_is_writable_data(d)) return fault(cpu, EXC_GP, error);
    return d & DESC_P ? true : fault(cpu, EXC_SS, error);
  }
  if (!readable_at(d, cpu.cpl, rpl)) return fault(cpu, EXC_GP, error);
  return d & DESC_P ? true : fault(cpu, EXC_NP, error);
}

/** Data or readable code that privilege `cpl` may use through a selector with `rpl`. Conforming code passes at any privilege. */
export function readable_at(d: u64, cpl: u32, rpl: u32): bool {
  if (!(d & DESC_S) || (d & (DESC_CODE | DESC_RW)) == DESC_CODE) return false;
  if ((d & (DESC_CODE | DESC_CONFORMING)) == (DESC_CODE | DESC_CONFORMING)) return true;
  return desc_dpl(d) >= cpl && desc_dpl(d) >= rpl;
}

/** A return to an outer privilege clears the data segments that it may no longer use (SDM vol. 2, RET and IRET). */
export function drop_privileged_segments(cpu: Cpu): void {
  for (let i = SEG_ES; i <= SEG_GS; i++) {
    if (i == SEG_CS || i == SEG_SS) continue;
    const s = seg(cpu, i);
    const conforming = (s.attr & (ATTR_CODE | ATTR_EXPAND_DOWN)) == (ATTR_CODE | ATTR_EXPAND_DOWN);
    // A null selector points to no segment: a base that was written to it stays.
    if (s.selector & 0xfffc && !conforming && (((<u32>s.attr) >> 5) & 3) < cpu.cpl) set_null(cpu, i, 0);
  }
}

/** Does a segment with these attributes and limit hold `size` bytes at `offset`? */
function in_limit(attr: u32, limit: u32, offset: u64, size: u32): bool {
  const last = offset + size - 1;
  if ((attr & (ATTR_CODE | ATTR_EXPAND_DOWN)) == ATTR_EXPAND_DOWN) {
    return offset > limit && last <= (attr & ATTR_DB ? <u64>0xffffffff : <u64>0xffff);
  }
  return last <= limit;
}

/** Is there room for `size` bytes below stack pointer `sp` in a stack segment? */
export function stack_room(d: u64, sp: u64, size: u32): bool {
  const mask: u64 = d & DESC_DB ? 0xffffffff : 0xffff;
  return in_limit(desc_attr(d), desc_limit(d), (sp - size) & mask, size);
}

/**
 * May `size` bytes at `offset` of a segment be accessed? False = #GP(0), or #SS(0) for the stack segment, is pending. In 64-bit mode
 * the linear address has to be canonical, nothing else is checked.
 */
export function seg_check(cpu: Cpu, segno: i32, offset: u64, size: i32, write: bool): bool {
  const vector = segno == SEG_SS ? EXC_SS : EXC_GP;
  const s: Segment = seg(cpu, segno);
  if (cpu.mode & MODE_CS64) {
    const va = segno == SEG_FS || segno == SEG_GS ? offset + seg_base(cpu, segno) : offset;
    return canonical(va) && canonical(va + <u64>(size - 1)) ? true : fault(cpu, vector, 0);
  }
  const attr: u32 = s.attr;
  if (!(attr & ATTR_P)) return fault(cpu, vector, 0);
  if (cpu.mode & MODE_PE) {
    // Code is never writable and readable only with its bit; data is always readable (SDM vol. 3, 3.4.5.1).
    const refused = attr & ATTR_CODE ? write || !(attr & ATTR_RW) : write && !(attr & ATTR_RW);
    if (refused) return fault(cpu, EXC_GP, 0);
  }
  return in_limit(attr, s.limit, offset, <u32>size) ? true : fault(cpu, vector, 0);
}
