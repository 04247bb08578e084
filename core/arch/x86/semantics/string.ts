// String instructions (SDM vol. 1, 7.3.9). A repetition commits element by element or a page's part at a time, so a fault or an
// interrupt finds RSI, RDI and RCX telling how far it got; the instruction then begins again. It retires once.
import { Cpu, EXIT_RETRY, SEG_ES } from '../cpu';
import { DF } from '../flags';
import { MODE_CS64, MODE_FLAT } from '../modes';
import { seg_check } from '../segments';
import { FAULT_ADDRESS, address_width_mask, linear, width_merge } from '../../../engine/address';
import { Eval } from '../../../engine/eval';
import { BOUNCE_LIMIT } from '../../../engine/layout';
import { commit, read_ptr, write_ptr } from '../../../engine/mem';
import { uop_disp } from '../../../engine/uop';
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

@inline function count_down(cpu: Cpu, u: usize, by: u64): void {
  cpu.rcx = width_merge(cpu.rcx, cpu.rcx - by, address_width_mask(u));
}

@inline function step<T>(cpu: Cpu): i64 {
  return cpu.rflags & (<u64>DF) ? -(<i64>sizeof<T>()) : <i64>sizeof<T>();
}

/** Has somebody asked for the vCPU's attention? Then a repetition stops between elements. */
@inline function kicked(cpu: Cpu): bool {
  return atomic.load<i32>(changetype<usize>(cpu) + offsetof<Cpu>('limit')) == 0;
}

@inline function pause(cpu: Cpu): i32 {
  cpu.exit = EXIT_RETRY;
  return 1;
}

/** Elements from `va` to the end of its page, forwards, at most `n` and at most what fits without wrapping the address size. */
@inline function in_page<T>(va: u64, n: u64): u64 {
  const room = (0x1000 - (va & 0xfff)) / sizeof<T>();
  return n < room ? n : room;
}

/** Runs of elements may be moved at once when addresses do not wrap below 64 bits and no limit is checked. */
@inline function runs(cpu: Cpu): bool {
  return (cpu.mode & MODE_CS64) != 0 && !(cpu.rflags & (<u64>DF));
}

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
    if (rep && runs(cpu) && p >= BOUNCE_LIMIT && q >= BOUNCE_LIMIT)
      n = in_page<T>(s, in_page<T>(d, count_left(cpu, u)));
    if (n > 1 && address_width_mask(u) == ~0) {
      copy_up<T>(q, p, <usize>n * sizeof<T>());
      const by = <i64>(n * sizeof<T>());
      move_si(cpu, u, by);
      move_di(cpu, u, by);
    } else {
      n = 1;
      store<T>(q, load<T>(p));
      commit(cpu, q);
      move_si(cpu, u, step<T>(cpu));
      move_di(cpu, u, step<T>(cpu));
    }
    if (!rep) return 0;
    count_down(cpu, u, n);
    if (count_left(cpu, u) == 0) return 0;
    if (kicked(cpu)) return pause(cpu);
  }
}

/** Copy upwards element by element in effect: a destination shortly above the source repeats a pattern. */
@inline function copy_up<T>(to: usize, from: usize, bytes: usize): void {
  if (to - from >= bytes) memory.copy(to, from, bytes);
  else for (let i: usize = 0; i < bytes; i += sizeof<T>()) store<T>(to + i, load<T>(from + i));
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
    if (rep && runs(cpu) && q >= BOUNCE_LIMIT && address_width_mask(u) == ~0) n = in_page<T>(d, count_left(cpu, u));
    if (n > 1) {
      const bytes = <usize>n * sizeof<T>();
      if (sizeof<T>() == 1 || v == 0) memory.fill(q, <u8>v, bytes);
      else for (let i: usize = 0; i < bytes; i += sizeof<T>()) store<T>(q + i, v);
      move_di(cpu, u, <i64>bytes);
    } else {
      n = 1;
      store<T>(q, v);
      commit(cpu, q);
      move_di(cpu, u, step<T>(cpu));
    }
    if (!rep) return 0;
    count_down(cpu, u, n);
    if (count_left(cpu, u) == 0) return 0;
    if (kicked(cpu)) return pause(cpu);
  }
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
    count_down(cpu, u, 1);
    if (count_left(cpu, u) == 0) return 0;
    if (kicked(cpu)) return pause(cpu);
  }
}

/** Does the repetition end after a comparison with this outcome? F3 goes on while equal, F2 while different. */
@inline function ends(rep: i32, equal: bool): bool {
  return equal == (rep == REPNZ);
}

export function CMPS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u);
  if (rep && count_left(cpu, u) == 0) return 0;
  const b = changetype<Eval>(cpu);
  while (true) {
    // processors read the second operand first: a fault names its address
    const q = read_ptr(cpu, destination(cpu, u, sizeof<T>(), false), sizeof<T>());
    if (q == 0) return 1;
    const y = b.zx<T>(<i64>load<T>(q));
    const p = read_ptr(cpu, source(cpu, u, sizeof<T>()), sizeof<T>());
    if (p == 0) return 1;
    const x = b.zx<T>(<i64>load<T>(p));
    move_si(cpu, u, step<T>(cpu));
    move_di(cpu, u, step<T>(cpu));
    flags_sub<Eval, i64, T>(b, x, y, x - y);
    if (!rep) return 0;
    count_down(cpu, u, 1);
    if (count_left(cpu, u) == 0 || ends(rep, x == y)) return 0;
    if (kicked(cpu)) return pause(cpu);
  }
}

export function SCAS<T>(cpu: Cpu, u: usize): i32 {
  const rep = uop_disp(u);
  if (rep && count_left(cpu, u) == 0) return 0;
  const b = changetype<Eval>(cpu);
  while (true) {
    const q = read_ptr(cpu, destination(cpu, u, sizeof<T>(), false), sizeof<T>());
    if (q == 0) return 1;
    const y = b.zx<T>(<i64>load<T>(q));
    const x = b.getr<T>(0);
    move_di(cpu, u, step<T>(cpu));
    flags_sub<Eval, i64, T>(b, x, y, x - y);
    if (!rep) return 0;
    count_down(cpu, u, 1);
    if (count_left(cpu, u) == 0 || ends(rep, x == y)) return 0;
    if (kicked(cpu)) return pause(cpu);
  }
}
