// String instructions (SDM vol. 1, 7.3.9). A repetition commits element by element or a page's part at a time, so a fault or an
// interrupt finds RSI, RDI and RCX telling how far it got; the instruction then begins again. It retires once.
import { Cpu, EXIT_REPEAT, PACE_STEP, SEG_ES, SEG_FS } from '../cpu';
import { DF } from '../flags';
import { MODE_CS64, MODE_FLAT } from '../modes';
import { seg_check } from '../segments';
import { FAULT_ADDRESS, address_width_mask, linear, width_merge } from '../../../engine/address';
import { Eval } from '../../../engine/eval';
import { code_written } from '../../../engine/code_writes';
import { BOUNCE_LIMIT } from '../../../engine/layout';
import { commit, read_ptr, write_ptr } from '../../../engine/mem';
import { uop_disp, uop_m } from '../../../engine/uop';
import { work_done, work_may_go_on } from '../../../engine/work';
import { flags_sub } from './alu';

const REPNZ: i32 = 2;

@inline function source(cpu: Cpu, u: usize, size: i32): u64 {
  return linear(cpu, u, cpu.rsi & address_width_mask(u), size, false);
}

/** ES:rDI; ES cannot be overridden. */
@inline function destination(cpu: Cpu, u: usize, size: i32, write: bool): u64 {
  const off = cpu.rdi & address_width_mask(u);
  if (cpu.mode & MODE_CS64) return off;
  if (!(cpu.mode & MODE_FLAT) && !seg_check(cpu, SEG_ES, off, size, write)) return FAULT_ADDRESS;
  return (cpu.base_es + off) & 0xffffffff;
}

@inline function move_si(cpu: Cpu, u: usize, by: i64): void {
  cpu.rsi = width_merge(cpu.rsi, cpu.rsi + <u64>by, address_width_mask(u));
}

@inline function move_di(cpu: Cpu, u: usize, by: i64): void {
  cpu.rdi = width_merge(cpu.rdi, cpu.rdi + <u64>by, address_width_mask(u));
}

@inline function count_left(cpu: Cpu, u: usize): u64 {
  return cpu.rcx & address_width_mask(u);
}

@inline function step<T>(cpu: Cpu): i64 {
  return cpu.rflags & (<u64>DF) ? -(<i64>sizeof<T>()) : <i64>sizeof<T>();
}

/**
 * How many elements of a repetition may be taken at once, `off` and `va` being the next one's offset and address: forwards, as far as its page
 * reaches and the offset does not wrap, where no limit is checked and nobody
 * counts them. 1: element by element; that one may reach over the page's end.
 */
@inline function run<T>(cpu: Cpu, u: usize, n: u64, off: u64, va: u64, seg: i32): u64 {
  if (cpu.rflags & (<u64>DF) || cpu.pace == PACE_STEP) return 1;
  if (!(cpu.mode & MODE_CS64) && (!(cpu.mode & MODE_FLAT) || seg >= SEG_FS)) return 1;
  n = min(n, (0x1000 - (va & 0xfff)) / sizeof<T>());
  const mask = address_width_mask(u);
  if (mask != ~0) n = min(n, (mask + 1 - off) / sizeof<T>());
  return max(n, 1);
}

@inline function source_segment(u: usize): i32 {
  return <i32>((uop_m(u) >>> 2) & 7);
}

/** `n` elements are done: 0 = they were the last, 1 = leave, for somebody wants the vCPU's attention, 2 = go on. */
@inline function next(cpu: Cpu, u: usize, n: u64, work: u32, ended: bool): i32 {
  const mask = address_width_mask(u);
  cpu.rcx = width_merge(cpu.rcx, cpu.rcx - n, mask);
  work_done(cpu, work);
  if (ended || (cpu.rcx & mask) == 0) return 0;
  if (work_may_go_on(cpu)) return 2;
  cpu.exit = EXIT_REPEAT;
  return 1;
}

/** Bytes moved in the time of an instruction, as a shift. */
const BULK: u32 = 6;

export function MOVS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u) != 0;
  if (rep && count_left(cpu, u) == 0) return 0;
  while (true) {
    const s = source(cpu, u, sizeof<T>());
    const p = read_ptr(cpu, s, sizeof<T>());
    if (p == 0) return 1;
    const d = destination(cpu, u, sizeof<T>(), true);
    const q = write_ptr(cpu, d, sizeof<T>());
    if (q == 0) return 1;
    let n: u64 = 1;
    if (rep && p >= BOUNCE_LIMIT && q >= BOUNCE_LIMIT) {
      const mask = address_width_mask(u);
      n = run<T>(cpu, u, count_left(cpu, u), cpu.rsi & mask, s, source_segment(u));
      n = run<T>(cpu, u, n, cpu.rdi & mask, d, SEG_ES);
    }
    if (n > 1) {
      const bytes = <usize>n * sizeof<T>();
      code_written(q, <u32>bytes);
      copy_up<T>(q, p, bytes);
      move_si(cpu, u, bytes);
      move_di(cpu, u, bytes);
    } else {
      store<T>(q, load<T>(p));
      commit(cpu, q);
      move_si(cpu, u, step<T>(cpu));
      move_di(cpu, u, step<T>(cpu));
      if (!rep) return 0;
    }
    const r = next(cpu, u, n, n > 1 ? (<u32>n * sizeof<T>()) >> BULK : 1, false);
    if (r < 2) return r;
  }
}

/** Copy upwards element by element in effect: a destination shortly above the source repeats what lies between them. */
@inline function copy_up<T>(to: usize, from: usize, bytes: usize): void {
  const period = to - from;
  if (period >= bytes) memory.copy(to, from, bytes);
  else if (period < sizeof<T>())
    for (let i: usize = 0; i < bytes; i += sizeof<T>()) store<T>(to + i, load<T>(from + i));
  else repeat(to, from, period, bytes);
}

/** From `from` to `to` and what has been written behind it are whole periods: each copy may be as long as all of them. */
function repeat(to: usize, from: usize, period: usize, bytes: usize): void {
  for (let done: usize = 0; done < bytes; ) {
    const n = min(period + done, bytes - done);
    memory.copy(to + done, from, n);
    done += n;
  }
}

export function STOS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u) != 0;
  if (rep && count_left(cpu, u) == 0) return 0;
  const v = load<T>(changetype<usize>(cpu));
  while (true) {
    const d = destination(cpu, u, sizeof<T>(), true);
    const q = write_ptr(cpu, d, sizeof<T>());
    if (q == 0) return 1;
    let n: u64 = 1;
    if (rep && q >= BOUNCE_LIMIT) n = run<T>(cpu, u, count_left(cpu, u), cpu.rdi & address_width_mask(u), d, SEG_ES);
    if (n > 1) {
      const bytes = <usize>n * sizeof<T>();
      code_written(q, <u32>bytes);
      fill_up<T>(q, v, bytes);
      move_di(cpu, u, bytes);
    } else {
      store<T>(q, v);
      commit(cpu, q);
      move_di(cpu, u, step<T>(cpu));
      if (!rep) return 0;
    }
    const r = next(cpu, u, n, n > 1 ? (<u32>n * sizeof<T>()) >> BULK : 1, false);
    if (r < 2) return r;
  }
}

@inline function fill_up<T>(to: usize, v: T, bytes: usize): void {
  if (sizeof<T>() == 1 || v == rotl<T>(v, 8)) return memory.fill(to, <u8>v, bytes);
  store<T>(to, v);
  if (bytes > sizeof<T>()) repeat(to + sizeof<T>(), to, sizeof<T>(), bytes - sizeof<T>());
}

export function LODS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u) != 0;
  if (rep && count_left(cpu, u) == 0) return 0;
  while (true) {
    const p = read_ptr(cpu, source(cpu, u, sizeof<T>()), sizeof<T>());
    if (p == 0) return 1;
    const b = changetype<Eval>(cpu);
    b.setr<T>(0, <i64>load<T>(p));
    move_si(cpu, u, step<T>(cpu));
    if (!rep) return 0;
    const r = next(cpu, u, 1, 1, false);
    if (r < 2) return r;
  }
}

/** Does the repetition end after a comparison with this outcome? F3 goes on while equal, F2 while different. */
@inline function ends(rep: i32, equal: bool): bool {
  return equal == (rep == REPNZ);
}

/** Elements compared in the time of an instruction, as a shift. */
const SCAN: u32 = 2;

export function CMPS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u);
  if (rep && count_left(cpu, u) == 0) return 0;
  const b = changetype<Eval>(cpu);
  while (true) {
    // processors read the second operand first: a fault names its address
    const d = destination(cpu, u, sizeof<T>(), false);
    const q = read_ptr(cpu, d, sizeof<T>());
    if (q == 0) return 1;
    let y = load<T>(q);
    const s = source(cpu, u, sizeof<T>());
    const p = read_ptr(cpu, s, sizeof<T>());
    if (p == 0) return 1;
    let x = load<T>(p);
    let n: u64 = 1;
    if (rep && !ends(rep, x == y) && p >= BOUNCE_LIMIT && q >= BOUNCE_LIMIT) {
      const mask = address_width_mask(u);
      let most = run<T>(cpu, u, count_left(cpu, u), cpu.rsi & mask, s, source_segment(u));
      most = run<T>(cpu, u, most, cpu.rdi & mask, d, SEG_ES);
      while (n < most && !ends(rep, x == y)) {
        x = load<T>(p + <usize>n * sizeof<T>());
        y = load<T>(q + <usize>n * sizeof<T>());
        n++;
      }
    }
    const by = <i64>n * step<T>(cpu);
    move_si(cpu, u, by);
    move_di(cpu, u, by);
    const left = b.zx<T>(<i64>x);
    const right = b.zx<T>(<i64>y);
    flags_sub<Eval, i64, T>(b, left, right, left - right);
    if (!rep) return 0;
    const r = next(cpu, u, n, 1 + ((<u32>n) >> SCAN), ends(rep, x == y));
    if (r < 2) return r;
  }
}

export function SCAS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u);
  if (rep && count_left(cpu, u) == 0) return 0;
  const b = changetype<Eval>(cpu);
  const x = load<T>(changetype<usize>(cpu));
  while (true) {
    const d = destination(cpu, u, sizeof<T>(), false);
    const q = read_ptr(cpu, d, sizeof<T>());
    if (q == 0) return 1;
    let y = load<T>(q);
    let n: u64 = 1;
    if (rep && !ends(rep, x == y) && q >= BOUNCE_LIMIT) {
      const most = run<T>(cpu, u, count_left(cpu, u), cpu.rdi & address_width_mask(u), d, SEG_ES);
      while (n < most && !ends(rep, x == y)) {
        y = load<T>(q + <usize>n * sizeof<T>());
        n++;
      }
    }
    move_di(cpu, u, <i64>n * step<T>(cpu));
    const left = b.zx<T>(<i64>x);
    const right = b.zx<T>(<i64>y);
    flags_sub<Eval, i64, T>(b, left, right, left - right);
    if (!rep) return 0;
    const r = next(cpu, u, n, 1 + ((<u32>n) >> SCAN), ends(rep, x == y));
    if (r < 2) return r;
  }
}
