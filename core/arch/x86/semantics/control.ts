// Stack, near branches and the flag instructions (SDM vol. 2). A branch body returns the next micro-op, 0 after leaving with cpu.rip set.
import { Cpu } from '../cpu';
import { EXC_GP } from '../exceptions';
import { flags6, set_flags6 } from './alu';

const IOPL: i64 = 0x3000;

@inline export function PUSH<B, V, T, S>(b: B, u: usize): i32 {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return 1;
  const x = b.rd<T, S>(u, p);
  const q = b.probe<T>(b.stack<T>(b.k(-(<i64>sizeof<T>()))), true);
  if (b.bad(q)) return 1;
  b.stp<T>(q, x);
  b.stack_move<T>(b.k(-(<i64>sizeof<T>())));
  return 0;
}

/** A memory destination's address is computed with the stack pointer already moved. */
@inline export function POP<B, V, T, D>(b: B, u: usize): i32 {
  const q = b.probe<T>(b.stack<T>(b.k(0)), false);
  if (b.bad(q)) return 1;
  const x = b.ldp<T>(q);
  b.stack_move<T>(b.k(sizeof<T>()));
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) {
    b.stack_move<T>(b.k(-(<i64>sizeof<T>())));
    return 1;
  }
  b.wr<T, D>(u, p, x);
  return 0;
}

/** The stack pointer becomes the frame pointer, which is popped. */
@inline export function LEAVE<B, V, T>(b: B, u: usize): i32 {
  const d = b.sub(b.getr<u64>(40), b.getr<u64>(32));
  const q = b.probe<T>(b.stack<T>(d), false);
  if (b.bad(q)) return 1;
  const x = b.ldp<T>(q);
  b.stack_move<T>(b.add(d, b.k(sizeof<T>())));
  b.setr<T>(40, x);
  return 0;
}

@inline export function JMP_rel<B, V>(b: B, u: usize): usize {
  return b.jump(u);
}

@inline export function JMP_rm<B, V, T, S>(b: B, u: usize): usize {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return b.fault(u);
  const t = b.rd<T, S>(u, p);
  if (!b.target_ok(u, t)) return 0;
  return b.jump_to(u, t);
}

@inline export function CALL_rel<B, V, T>(b: B, u: usize): usize {
  const q = b.probe<T>(b.stack<T>(b.k(-(<i64>sizeof<T>()))), true);
  if (b.bad(q)) return b.fault(u);
  b.stp<T>(q, b.next(u));
  b.stack_move<T>(b.k(-(<i64>sizeof<T>())));
  return b.jump(u);
}

@inline export function CALL_rm<B, V, T, S>(b: B, u: usize): usize {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return b.fault(u);
  const t = b.rd<T, S>(u, p);
  if (!b.target_ok(u, t)) return 0;
  const q = b.probe<T>(b.stack<T>(b.k(-(<i64>sizeof<T>()))), true);
  if (b.bad(q)) return b.fault(u);
  b.stp<T>(q, b.next(u));
  b.stack_move<T>(b.k(-(<i64>sizeof<T>())));
  return b.jump_to(u, t);
}

@inline export function RET<B, V, T>(b: B, u: usize): usize {
  const q = b.probe<T>(b.stack<T>(b.k(0)), false);
  if (b.bad(q)) return b.fault(u);
  const t = b.ldp<T>(q);
  if (!b.target_ok(u, t)) return 0;
  b.stack_move<T>(b.k(sizeof<T>()));
  return b.jump_to(u, t);
}

@inline export function RET_imm<B, V, T, C>(b: B, u: usize): usize {
  const q = b.probe<T>(b.stack<T>(b.k(0)), false);
  if (b.bad(q)) return b.fault(u);
  const t = b.ldp<T>(q);
  if (!b.target_ok(u, t)) return 0;
  b.stack_move<T>(b.add(b.rd<u16, C>(u, b.k(1)), b.k(sizeof<T>())));
  return b.jump_out(u, t);
}

// LOOP, JCXZ: the counter is as wide as addresses are.
@inline export function LOOP<B, V>(b: B, u: usize): usize {
  const n = b.sub(b.counter(u), b.k(1));
  b.set_counter(u, n);
  return b.jcc(u, b.counter(u));
}

@inline export function LOOPZ<B, V>(b: B, u: usize): usize {
  const n = b.sub(b.counter(u), b.k(1));
  b.set_counter(u, n);
  return b.jcc(u, b.sel(b.lfr(), b.k(0), b.counter(u)));
}

@inline export function LOOPNZ<B, V>(b: B, u: usize): usize {
  const n = b.sub(b.counter(u), b.k(1));
  b.set_counter(u, n);
  return b.jcc(u, b.sel(b.lfr(), b.counter(u), b.k(0)));
}

@inline export function JCXZ<B, V>(b: B, u: usize): usize {
  return b.jcc(u, b.eqz(b.counter(u)));
}

const TOP2: u64 = 0xc000000000000000;

/** CF alone: bits 63 and 62 of lfc change together, so that OF stays. */
@inline export function CMC<B, V>(b: B, u: usize): i32 {
  b.set_lfc(b.xor(b.lfc(), b.k(TOP2)));
  return 0;
}

@inline export function CLC<B, V>(b: B, u: usize): i32 {
  b.set_lfc(b.xor(b.lfc(), b.and(b.sar(b.lfc(), b.k(63)), b.k(TOP2))));
  return 0;
}

@inline export function STC<B, V>(b: B, u: usize): i32 {
  b.set_lfc(b.xor(b.lfc(), b.and(b.not(b.sar(b.lfc(), b.k(63))), b.k(TOP2))));
  return 0;
}

@inline export function CLD<B, V>(b: B, u: usize): i32 {
  b.set_rflags(b.and(b.rflags(), b.k(~0x400)));
  return 0;
}

@inline export function STD<B, V>(b: B, u: usize): i32 {
  b.set_rflags(b.or(b.rflags(), b.k(0x400)));
  return 0;
}

/** VM and RF are never pushed. In virtual-8086 mode the flags are the monitor's unless IOPL is 3. */
@inline export function PUSHF<B, V, T>(b: B, u: usize): i32 {
  const other = b.rflags();
  if (b.vm86() && b.guard(b.ltu(b.and(other, b.k(IOPL)), b.k(IOPL)), EXC_GP)) return 1;
  const q = b.probe<T>(b.stack<T>(b.k(-(<i64>sizeof<T>()))), true);
  if (b.bad(q)) return 1;
  b.stp<T>(q, b.and(b.or(b.or(other, flags6<B, V>(b)), b.k(2)), b.k(0xfcffff)));
  b.stack_move<T>(b.k(-(<i64>sizeof<T>())));
  return 0;
}

/** CLI and STI follow IOPL (real mode has CPL 0); VME and PVI are not offered. */
@inline function iopl_refuses<B, V>(b: B): bool {
  return b.guard(b.ltu(b.and(b.shr(b.rflags(), b.k(12)), b.k(3)), b.cpl()), EXC_GP);
}

@inline export function STI<B, V>(b: B, u: usize): i32 {
  return iopl_refuses<B, V>(b) ? 1 : b.interrupts_on(u);
}

@inline export function CLI<B, V>(b: B, u: usize): i32 {
  if (iopl_refuses<B, V>(b)) return 1;
  b.set_rflags(b.and(b.rflags(), b.k(~0x200)));
  return 0;
}

/** 64-bit mode only. */
@inline export function SWAPGS<B, V>(b: B, u: usize): i32 {
  if (b.guard(b.cpl(), EXC_GP)) return 1;
  const gs = b.getr<u64>(<u32>offsetof<Cpu>('base_gs'));
  b.setr<u64>(<u32>offsetof<Cpu>('base_gs'), b.getr<u64>(<u32>offsetof<Cpu>('kernel_gs_base')));
  b.setr<u64>(<u32>offsetof<Cpu>('kernel_gs_base'), gs);
  return 0;
}

/** AH = SF ZF 0 AF 0 PF 1 CF. */
@inline export function LAHF<B, V>(b: B, u: usize): i32 {
  b.setr<u8>(1, b.or(b.and(flags6<B, V>(b), b.k(0xd5)), b.k(2)));
  return 0;
}

@inline export function SAHF<B, V>(b: B, u: usize): i32 {
  const keep = b.and(flags6<B, V>(b), b.k(0x800));
  set_flags6<B, V>(b, b.or(keep, b.and(b.getr<u8>(1), b.k(0xd5))));
  return 0;
}
