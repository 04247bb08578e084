// The evaluating builder: V = i64, W = v128; every operation happens at once on the vCPU. `this` is the Cpu.
// Semantics bodies see only the methods that the recording builder has too (record.ts).
import { Cpu, EXIT_RETRY } from '../arch/x86/cpu';
import { MODE_CS64, MODE_VM86 } from '../arch/x86/modes';
import { divide, divide_signed } from '../arch/x86/divide';
import { raise } from '../arch/x86/exceptions';
import { interrupts_on } from '../arch/x86/semantics/system_flags';
import { branch, fault_branch, indirect, indirect_quiet, target_ok_slow } from './branch';
import { counter_get, counter_set, ea_moved, ea_slow, linear, offset_special } from './address';
import { EvalVector } from './eval_vector';
import { BOUNCE_LIMIT, BUS_LOCK } from './layout';
import { commit_slow, probe_slow } from './mem';
import { isCL, isD, isE, isG, isI, isI64, isM, isR, isXe, isXg, isXr, isPe, isPg, isPr, isO } from './operand';
import { stack_add, stack_slow } from './stack';
import { TLB_ADDEND, TLB_R, TLB_W, tlb_entry } from './tlb';
import {
  UOP_LOCK,
  UOP_MEM,
  UOP_SIZE,
  UOP_SPECIAL,
  uop_b,
  uop_disp,
  uop_imm,
  uop_len,
  uop_m,
  uop_pos,
  uop_r,
  uop_x,
} from './uop';
import { cas16_locked, cas_locked } from './atomic';

@final
@unmanaged
export class Eval extends EvalVector {
  // ---- state
  @inline lfr(): i64 {
    return <i64>changetype<Cpu>(this).lfr;
  }
  @inline lfc(): i64 {
    return <i64>changetype<Cpu>(this).lfc;
  }
  @inline set_lfr(v: i64): void {
    changetype<Cpu>(this).lfr = <u64>v;
  }
  @inline set_lfc(v: i64): void {
    changetype<Cpu>(this).lfc = <u64>v;
  }
  /** What the flags come of, and conditions of it: the evaluator takes them as they are. */
  @inline flags_of_sum<T>(x: i64, r: i64): void {}
  @inline flags_of_difference<T>(x: i64, y: i64): void {}
  @inline flag_zero(c: i64): i64 {
    return c;
  }
  @inline flag_below(c: i64): i64 {
    return c;
  }
  @inline flag_below_equal(c: i64): i64 {
    return c;
  }
  @inline flag_sign(c: i64): i64 {
    return c;
  }
  @inline flag_less(c: i64): i64 {
    return c;
  }
  @inline flag_less_equal(c: i64): i64 {
    return c;
  }
  /** RFLAGS' other bits (DF IF …). */
  @inline rflags(): i64 {
    return <i64>changetype<Cpu>(this).rflags;
  }
  @inline set_rflags(v: i64): void {
    changetype<Cpu>(this).rflags = <u64>v;
  }

  @inline interrupts_on(u: usize): i32 {
    return interrupts_on(changetype<Cpu>(this), u);
  }

  @inline cpl(): i64 {
    return <i64>changetype<Cpu>(this).cpl;
  }
  /** Is this virtual-8086 mode? */
  @inline vm86(): bool {
    return (changetype<Cpu>(this).mode & MODE_VM86) != 0;
  }
  /** Divide RDX:RAX, or the parts of them that T means, by d (zero-extended, sign-extended). False = #DE is pending. */
  @inline divide<T>(d: i64): bool {
    return divide<T>(changetype<Cpu>(this), <u64>d);
  }
  @inline divide_signed<T>(d: i64): bool {
    return divide_signed<T>(changetype<Cpu>(this), d);
  }

  // ---- memory
  /** Host pointer for an access of sizeof<T>() bytes at a linear address; bad = exception pending. */
  @inline probe<T>(va: i64, w: bool): i64 {
    return <i64>this.probe_n(va, sizeof<T>(), w);
  }
  @inline probe_n(va: i64, size: i32, w: bool): usize {
    const e = tlb_entry(<usize>changetype<Cpu>(this).tlb, <u64>va);
    if (load<i64>(e + (w ? TLB_W : TLB_R)) == ((va + <i64>(size - 1)) & ~0xfff))
      return <usize>(<u32>va + load<u32>(e, TLB_ADDEND));
    return probe_slow(changetype<Cpu>(this), <u64>va, size, w);
  }
  @inline stp<T>(p: i64, v: i64): void {
    if (sizeof<T>() == 1) store<u8>(<usize>p, <u8>v);
    else if (sizeof<T>() == 2) store<u16>(<usize>p, <u16>v);
    else if (sizeof<T>() == 4) store<u32>(<usize>p, <u32>v);
    else store<i64>(<usize>p, v);
    if (<usize>p < BOUNCE_LIMIT) commit_slow(changetype<Cpu>(this), <usize>p);
  }
  /** Linear address of a memory operand. */
  @inline ea<K>(u: usize): i64 {
    const base = this.getr<u64>(uop_b(u)) + <i64>uop_disp(u);
    if (isD<K>()) return base;
    const m = uop_m(u);
    return base + (this.getr<u64>(uop_x(u)) << (<i64>(m & 3))) + this.getr<u64>(192 + ((m & 0x1c) << 1));
  }
  /** Offset of a memory operand in its segment, for LEA. */
  @inline offset<K>(u: usize): i64 {
    const base = this.getr<u64>(uop_b(u)) + <i64>uop_disp(u);
    if (isD<K>()) return base;
    if (isE<K>() && uop_m(u) & UOP_SPECIAL) return <i64>offset_special(changetype<Cpu>(this), u);
    return base + (this.getr<u64>(uop_x(u)) << (<i64>(uop_m(u) & 3)));
  }

  // ---- operands
  /** Prepare operand K for reading, or for writing too (w): bad = exception pending. */
  @inline at<T, K>(u: usize, w: bool): i64 {
    if (isM<K>() || isD<K>()) return this.probe<T>(this.ea<K>(u), w);
    if (isO<K>()) return this.probe<T>(<i64>linear(changetype<Cpu>(this), u, load<u64>(u, 8), sizeof<T>(), w), w);
    if (isE<K>()) {
      if (!(uop_m(u) & UOP_MEM)) return <i64>(changetype<usize>(this) + uop_b(u));
      return this.probe<T>(<i64>ea_slow(changetype<Cpu>(this), u, sizeof<T>(), w), w);
    }
    return 1;
  }
  /** Value of operand K, zero-extended; `p` from at(). Immediates come sign-extended and cut to T. */
  @inline rd<T, K>(u: usize, p: i64): i64 {
    if (isG<K>()) return this.getr<T>(uop_r(u));
    if (isR<K>()) return this.getr<T>(uop_b(u));
    if (isCL<K>()) return this.getr<u8>(8);
    if (isI<K>()) return this.zx<T>(<i64>uop_imm(u));
    if (isI64<K>()) return load<i64>(u, 8);
    return this.ldp<T>(p);
  }
  /** Write operand K. */
  @inline wr<T, K>(u: usize, p: i64, v: i64): void {
    if (isG<K>()) this.setr<T>(uop_r(u), v);
    else if (isR<K>()) this.setr<T>(uop_b(u), v);
    else if (isE<K>() && !(uop_m(u) & UOP_MEM)) this.setr<T>(uop_b(u), v);
    else this.stp<T>(p, v);
  }
  /** Compare and swap behind a probed pointer: false = it did not hold x. */
  @inline cas<T>(p: i64, x: i64, v: i64): bool {
    return cas_locked<T>(changetype<Cpu>(this), <usize>p, x, v);
  }
  /** If RDX:RAX is in the 16 bytes behind a pointer, RCX:RBX goes there, else they go to RDX:RAX. Gives 1 or 0. */
  @inline cas16(u: usize, p: i64): i64 {
    return cas16_locked(changetype<Cpu>(this), <usize>p);
  }
  /** Replace operand K's value `x`, read before, by `v`; a locked access that lost a race gives false, and the body leaves with retry(). */
  @inline swap<T, K>(u: usize, p: i64, x: i64, v: i64): bool {
    if (isE<K>() && uop_m(u) & UOP_LOCK) return this.cas<T>(p, x, v);
    this.wr<T, K>(u, p, v);
    return true;
  }
  /** Is operand K a register? */
  @inline inreg<K>(u: usize): bool {
    if (isE<K>()) return !(uop_m(u) & UOP_MEM);
    return !(isM<K>() || isD<K>() || isO<K>());
  }
  /** As at(), for a bit test whose bit offset in operand C reaches words around a memory operand, unless it is an immediate. */
  @inline at_bit<T, K, C>(u: usize, w: bool): i64 {
    if (isI<C>() || !isE<K>()) return this.at<T, K>(u, w);
    if (!(uop_m(u) & UOP_MEM)) return <i64>(changetype<usize>(this) + uop_b(u));
    const words =
      (this.sx<T>(this.rd<T, C>(u, 1)) >> (sizeof<T>() == 8 ? 6 : sizeof<T>() == 4 ? 5 : 4)) * <i64>sizeof<T>();
    return this.probe<T>(<i64>ea_moved(changetype<Cpu>(this), u, words, sizeof<T>(), w), w);
  }
  @inline retry(): i32 {
    changetype<Cpu>(this).exit = EXIT_RETRY;
    return 1;
  }
  /** Leave with an exception if c ≠ 0. */
  @inline guard(c: i64, vector: i32): bool {
    if (c != 0) {
      raise(changetype<Cpu>(this), vector, 0);
      return true;
    }
    return false;
  }

  // ---- the stack. T = u64 is only used in 64-bit mode
  /** Linear address of the operand of a push of T (below) or a pop (at), `n` bytes from the stack pointer. */
  @inline stack<T>(n: i64): i64 {
    if (sizeof<T>() == 8) return <i64>changetype<Cpu>(this).rsp + n;
    return <i64>stack_slow(changetype<Cpu>(this), n, sizeof<T>());
  }
  /** Move the stack pointer by n bytes. */
  @inline stack_move<T>(n: i64): void {
    const cpu = changetype<Cpu>(this);
    if (sizeof<T>() == 8) cpu.rsp += <u64>n;
    else stack_add(cpu, n);
  }

  // ---- control
  /** Leave a branch body with the exception that is pending. */
  @inline fault(u: usize): usize {
    return fault_branch(changetype<Cpu>(this), u);
  }
  /** Check an indirect target before anything is changed: canonical, inside CS. False: #GP(0) is pending and cpu.rip set. */
  @inline target_ok(u: usize, t: i64): bool {
    if ((t << 16) >> 16 == t && changetype<Cpu>(this).mode & MODE_CS64) return true;
    return target_ok_slow(changetype<Cpu>(this), u, <u64>t);
  }
  /** CX, ECX or RCX by the address size. */
  @inline counter(u: usize): i64 {
    return counter_get(changetype<Cpu>(this), u);
  }
  @inline set_counter(u: usize, v: i64): void {
    counter_set(changetype<Cpu>(this), u, v);
  }
  /** Any atomic read-modify-write orders all accesses. */
  @inline fence(): void {
    atomic.add<u32>(BUS_LOCK, 0);
  }
  /** Offset in CS of the next instruction. */
  @inline next(u: usize): i64 {
    const cpu = changetype<Cpu>(this);
    return <i64>(cpu.page_va + <u64>(uop_pos(u) + uop_len(u)) - cpu.base_cs);
  }
  /** Conditional direct branch: the next micro-op. */
  @inline jcc(u: usize, c: i64): usize {
    if (c != 0) return this.jump(u);
    return u + UOP_SIZE;
  }
  /** Direct branch to the micro-op's target. */
  @inline jump(u: usize): usize {
    const t = <usize>load<u32>(u, 12);
    if (t) return t;
    return branch(changetype<Cpu>(this), u);
  }
  /** Branch to an offset in CS. */
  @inline jump_to(u: usize, target: i64): usize {
    return indirect(changetype<Cpu>(this), u, <u64>target);
  }
  /** The same for a form with an immediate. */
  @inline jump_out(u: usize, target: i64): usize {
    return indirect_quiet(changetype<Cpu>(this), u, <u64>target);
  }
}
