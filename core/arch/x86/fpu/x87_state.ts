// The x87 register stack and status word (SDM vol. 1, 8.1): what every x87 body begins and ends with.
import { Cpu, CPU_FCS, CPU_FCW, CPU_FDP, CPU_FDS, CPU_FIP, CPU_FPR, CPU_FSW, CPU_FTW, seg, SEG_CS } from '../cpu';
import { MODE_CS64 } from '../modes';
import { raise } from '../exceptions';
import { ea_slow } from '../../../engine/address';
import { read_ptr, write_ptr } from '../../../engine/mem';
import { this_rip, uop_m } from '../../../engine/uop';
import * as sf from './softfloat';

export const FSW_SF: u32 = 0x40;
export const FSW_ES: u32 = 0x80;
export const FSW_C0: u32 = 0x100;
export const FSW_C1: u32 = 0x200;
export const FSW_C2: u32 = 0x400;
export const FSW_C3: u32 = 0x4000;
export const FSW_CC: u32 = FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3;
export const FSW_B: u32 = 0x8000;
const MF: u32 = 16;

@inline export function fcw(cpu: Cpu): u32 {
  return load<u16>(changetype<usize>(cpu) + CPU_FCW);
}
@inline export function set_fcw(cpu: Cpu, v: u32): void {
  store<u16>(changetype<usize>(cpu) + CPU_FCW, <u16>v);
}
@inline export function fsw(cpu: Cpu): u32 {
  return load<u16>(changetype<usize>(cpu) + CPU_FSW);
}
@inline export function set_fsw(cpu: Cpu, v: u32): void {
  store<u16>(changetype<usize>(cpu) + CPU_FSW, <u16>v);
}
@inline export function ftw(cpu: Cpu): u32 {
  return load<u8>(changetype<usize>(cpu) + CPU_FTW);
}
@inline export function set_ftw(cpu: Cpu, v: u32): void {
  store<u8>(changetype<usize>(cpu) + CPU_FTW, <u8>v);
}
@inline export function top(cpu: Cpu): u32 {
  return (fsw(cpu) >> 11) & 7;
}
@inline function physical(cpu: Cpu, i: u32): u32 {
  return (top(cpu) + i) & 7;
}
/** Address of ST(i): significand, then sign and exponent. */
@inline export function st(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + CPU_FPR + ((<usize>physical(cpu, i)) << 4);
}
@inline export function is_empty(cpu: Cpu, i: u32): bool {
  return !((ftw(cpu) >> physical(cpu, i)) & 1);
}
@inline export function set_valid(cpu: Cpu, i: u32): void {
  set_ftw(cpu, ftw(cpu) | (1 << physical(cpu, i)));
}
@inline export function set_empty(cpu: Cpu, i: u32): void {
  set_ftw(cpu, ftw(cpu) & ~(1 << physical(cpu, i)));
}
/** Turn the stack: TOP += n. */
@inline export function turn(cpu: Cpu, n: u32): void {
  const s = fsw(cpu);
  set_fsw(cpu, (s & ~0x3800) | ((s + (n << 11)) & 0x3800));
}
export function pop(cpu: Cpu): void {
  set_empty(cpu, 0);
  turn(cpu, 1);
}

/** Is an unmasked exception pending? Then #MF is raised; every waiting instruction asks first (SDM vol. 1, 8.7). */
@inline export function mf(cpu: Cpu): bool {
  if (!(fsw(cpu) & FSW_ES)) return false;
  raise(cpu, MF, 0);
  return true;
}

/** Keep ES and B in step with the flags and masks. */
export function update_es(cpu: Cpu): void {
  const s = fsw(cpu);
  const pending = s & ~fcw(cpu) & 0x3f;
  set_fsw(cpu, pending ? s | FSW_ES | FSW_B : s & ~(FSW_ES | FSW_B));
}

/** Begin a waiting, non-control instruction: true = #MF pending. */
export function begin(cpu: Cpu, u: usize): bool {
  if (mf(cpu)) return true;
  const p = changetype<usize>(cpu);
  store<u64>(p, this_rip(cpu, u), CPU_FIP);
  store<u16>(p, cpu.mode & MODE_CS64 ? 0 : seg(cpu, SEG_CS).selector, CPU_FCS);
  sf.sf_x87(fcw(cpu));
  return false;
}

/** Begin an instruction with a memory operand: its host pointer, 0 = exception pending. */
export function begin_mem(cpu: Cpu, u: usize, size: i32, write: bool): usize {
  if (mf(cpu)) return 0;
  const va = ea_slow(cpu, u, size, write);
  const p = write ? write_ptr(cpu, va, size) : read_ptr(cpu, va, size);
  if (p == 0) return 0;
  begin(cpu, u);
  const s = (uop_m(u) >>> 2) & 7;
  const c = changetype<usize>(cpu);
  const offset = va - load<u64>(c + 192 + ((<usize>s) << 3));
  const long = (cpu.mode & MODE_CS64) != 0;
  store<u64>(c, long ? offset : offset & 0xffffffff, CPU_FDP);
  store<u16>(c, long ? 0 : seg(cpu, <i32>s).selector, CPU_FDS);
  return p;
}

/** Report the operation's exceptions and C1; false = an unmasked one forbids the result. */
export function settle(cpu: Cpu): bool {
  const flags = sf.sf_result_flags();
  const blocked = (flags & ~sf.sf_masks & sf.BEFORE) != 0;
  let s = (fsw(cpu) & ~FSW_C1) | flags;
  if (sf.sf_up && !blocked) s |= FSW_C1;
  if (flags & ~sf.sf_masks) s |= FSW_ES | FSW_B;
  set_fsw(cpu, s);
  return !blocked;
}
/** As settle() for a store to memory: unmasked overflow and underflow forbid it, too (SDM vol. 1, 8.5.4 and 8.5.5), before any rounding. */
export function settle_store(cpu: Cpu): bool {
  const forbidden = (sf.sf_flags & ~sf.sf_masks & (sf.OE | sf.UE)) != 0;
  if (forbidden) sf.sf_unrounded();
  return settle(cpu) && !forbidden;
}

/** A stack fault: IE, SF, and C1 set for overflow; true = masked, the response takes place. */
export function stack_fault(cpu: Cpu, overflow: bool): bool {
  let s = (fsw(cpu) & ~FSW_C1) | sf.IE | FSW_SF;
  if (overflow) s |= FSW_C1;
  const masked = (fcw(cpu) & sf.IE) != 0;
  if (!masked) s |= FSW_ES | FSW_B;
  set_fsw(cpu, s);
  return masked;
}

@inline export function put_raw(cpu: Cpu, i: u32, m: u64, se: u32): void {
  const p = st(cpu, i);
  store<u64>(p, m);
  store<u16>(p, <u16>se, 8);
  set_valid(cpu, i);
}
/** ST(i) = the default NaN. */
export function put_indefinite(cpu: Cpu, i: u32): void {
  put_raw(cpu, i, 0xc000000000000000, 0xffff);
}
@inline export function get_a(cpu: Cpu, i: u32): void {
  const p = st(cpu, i);
  sf.unpack_a80(load<u64>(p), load<u16>(p, 8));
}
@inline export function get_b(cpu: Cpu, i: u32): void {
  get_a(cpu, i);
  sf.a_to_b();
}

/** Round r into ST(i) and report; false = unmasked, nothing stored. */
export function put_r(cpu: Cpu, i: u32): bool {
  const m = sf.pack80();
  const se = sf.f80_se;
  if (!settle(cpu)) return false;
  put_raw(cpu, i, m, se);
  return true;
}

/** Check that a push finds room; false = overflow dealt with (a masked one has pushed the default NaN). */
export function room(cpu: Cpu): bool {
  if (is_empty(cpu, 7)) return true;
  if (stack_fault(cpu, true)) {
    turn(cpu, 7);
    put_indefinite(cpu, 0);
  }
  return false;
}
/** Is ST(0) there and room for a push? A masked stack fault answers with two default NaNs. */
export function room_after_st0(cpu: Cpu): bool {
  const there = !is_empty(cpu, 0);
  if (there && is_empty(cpu, 7)) return true;
  if (stack_fault(cpu, there)) {
    put_indefinite(cpu, 0);
    turn(cpu, 7);
    put_indefinite(cpu, 0);
  }
  return false;
}
/** Push r, a converted operand; room() has been checked. Unmasked, an invalid one stays away, a denormal one is pushed all the same. */
export function push_r(cpu: Cpu): void {
  const m = sf.pack80();
  const se = sf.f80_se;
  if (!settle(cpu) && sf.sf_flags & sf.IE) return;
  turn(cpu, 7);
  put_raw(cpu, 0, m, se);
}
export function push_raw(cpu: Cpu, m: u64, se: u32): void {
  set_fsw(cpu, fsw(cpu) & ~FSW_C1);
  turn(cpu, 7);
  put_raw(cpu, 0, m, se);
}

/** Is ST(0) there? A masked underflow answers with the default NaN in ST(0). */
export function has_st0(cpu: Cpu): bool {
  if (!is_empty(cpu, 0)) return true;
  if (stack_fault(cpu, false)) put_indefinite(cpu, 0);
  return false;
}
