// x87 arithmetic and comparison (SDM vol. 2). Rows: spec/x86/x87.ts. Each returns 1 only for an exception before anything has changed (#MF pending,
// memory); x87 exceptions of its own become pending in the status word.
import { Cpu } from '../cpu';
import { CF, PF, ZF, set_flags6 } from '../flags';
import { uop_b } from '../../../engine/uop';
import * as sf from '../fpu/softfloat';
import {
  begin,
  begin_mem,
  fcw,
  fsw,
  FSW_C0,
  FSW_C1,
  FSW_C2,
  FSW_C3,
  FSW_CC,
  get_a,
  get_b,
  has_st0,
  is_empty,
  pop,
  put_indefinite,
  put_r,
  put_raw,
  room_after_st0,
  set_fsw,
  settle,
  st,
  stack_fault,
  turn,
} from '../fpu/x87_state';

// Operations as ModRM.reg counts them; the reversed ones swap their operands.
const ADD = 0;
const MUL = 1;
const SUB = 4;
const SUBR = 5;
const DIV = 6;
const DIVR = 7;

@inline function sti(u: usize): u32 {
  return (uop_b(u) >> 3) & 7;
}

/** r = a op b. */
@inline function compute(op: i32): void {
  if (op == SUBR || op == DIVR) sf.swap_ab();
  if (op == ADD) sf.sf_add(0);
  else if (op == MUL) sf.sf_mul();
  else if (op == SUB || op == SUBR) sf.sf_add(1);
  else sf.sf_div();
}

/** A memory operand into a: f32, f64, or an integer. */
@inline function load_a<T>(p: usize): void {
  if (isInteger<T>()) sf.unpack_a_int(<i64>load<T>(p));
  else sf.unpack_a<T>(sizeof<T>() == 4 ? <u64>load<u32>(p) : load<u64>(p));
}

@inline function arith_mem<T>(cpu: Cpu, u: usize, op: i32): i32 {
  const p = begin_mem(cpu, u, sizeof<T>(), false);
  if (p == 0) return 1;
  if (!has_st0(cpu)) return 0;
  load_a<T>(p);
  sf.a_to_b();
  get_a(cpu, 0);
  compute(op);
  put_r(cpu, 0);
  return 0;
}

/** ST(d) = ST(d) op ST(s). */
@inline function arith_st(cpu: Cpu, u: usize, op: i32, d: u32, s: u32, pops: bool): i32 {
  if (begin(cpu, u)) return 1;
  if (is_empty(cpu, d) || is_empty(cpu, s)) {
    if (!stack_fault(cpu, false)) return 0;
    put_indefinite(cpu, d);
  } else {
    get_b(cpu, s);
    get_a(cpu, d);
    compute(op);
    if (!put_r(cpu, d)) return 0;
  }
  if (pops) pop(cpu);
  return 0;
}

export function FADD_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<f32>(cpu, u, ADD);
}
export function FMUL_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<f32>(cpu, u, MUL);
}
export function FSUB_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<f32>(cpu, u, SUB);
}
export function FSUBR_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<f32>(cpu, u, SUBR);
}
export function FDIV_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<f32>(cpu, u, DIV);
}
export function FDIVR_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<f32>(cpu, u, DIVR);
}
export function FADD_m64(cpu: Cpu, u: usize): i32 {
  return arith_mem<f64>(cpu, u, ADD);
}
export function FMUL_m64(cpu: Cpu, u: usize): i32 {
  return arith_mem<f64>(cpu, u, MUL);
}
export function FSUB_m64(cpu: Cpu, u: usize): i32 {
  return arith_mem<f64>(cpu, u, SUB);
}
export function FSUBR_m64(cpu: Cpu, u: usize): i32 {
  return arith_mem<f64>(cpu, u, SUBR);
}
export function FDIV_m64(cpu: Cpu, u: usize): i32 {
  return arith_mem<f64>(cpu, u, DIV);
}
export function FDIVR_m64(cpu: Cpu, u: usize): i32 {
  return arith_mem<f64>(cpu, u, DIVR);
}
export function FIADD_m16(cpu: Cpu, u: usize): i32 {
  return arith_mem<i16>(cpu, u, ADD);
}
export function FIMUL_m16(cpu: Cpu, u: usize): i32 {
  return arith_mem<i16>(cpu, u, MUL);
}
export function FISUB_m16(cpu: Cpu, u: usize): i32 {
  return arith_mem<i16>(cpu, u, SUB);
}
export function FISUBR_m16(cpu: Cpu, u: usize): i32 {
  return arith_mem<i16>(cpu, u, SUBR);
}
export function FIDIV_m16(cpu: Cpu, u: usize): i32 {
  return arith_mem<i16>(cpu, u, DIV);
}
export function FIDIVR_m16(cpu: Cpu, u: usize): i32 {
  return arith_mem<i16>(cpu, u, DIVR);
}
export function FIADD_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<i32>(cpu, u, ADD);
}
export function FIMUL_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<i32>(cpu, u, MUL);
}
export function FISUB_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<i32>(cpu, u, SUB);
}
export function FISUBR_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<i32>(cpu, u, SUBR);
}
export function FIDIV_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<i32>(cpu, u, DIV);
}
export function FIDIVR_m32(cpu: Cpu, u: usize): i32 {
  return arith_mem<i32>(cpu, u, DIVR);
}
export function FADD_st0_sti(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, ADD, 0, sti(u), false);
}
export function FMUL_st0_sti(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, MUL, 0, sti(u), false);
}
export function FSUB_st0_sti(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, SUB, 0, sti(u), false);
}
export function FSUBR_st0_sti(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, SUBR, 0, sti(u), false);
}
export function FDIV_st0_sti(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, DIV, 0, sti(u), false);
}
export function FDIVR_st0_sti(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, DIVR, 0, sti(u), false);
}
export function FADD_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, ADD, sti(u), 0, false);
}
export function FMUL_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, MUL, sti(u), 0, false);
}
export function FSUB_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, SUB, sti(u), 0, false);
}
export function FSUBR_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, SUBR, sti(u), 0, false);
}
export function FDIV_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, DIV, sti(u), 0, false);
}
export function FDIVR_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, DIVR, sti(u), 0, false);
}
export function FADDP_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, ADD, sti(u), 0, true);
}
export function FMULP_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, MUL, sti(u), 0, true);
}
export function FSUBP_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, SUB, sti(u), 0, true);
}
export function FSUBRP_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, SUBR, sti(u), 0, true);
}
export function FDIVP_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, DIV, sti(u), 0, true);
}
export function FDIVRP_sti_st0(cpu: Cpu, u: usize): i32 {
  return arith_st(cpu, u, DIVR, sti(u), 0, true);
}

// ---- comparisons

/** C3 C2 C0 of a comparison (SDM vol. 2, FCOM): greater 000, less 001, equal 100, unordered 111. */
function condition(order: i32): u32 {
  if (order == sf.GREATER) return 0;
  if (order == sf.LESS) return FSW_C0;
  return order == sf.EQUAL ? FSW_C3 : FSW_C0 | FSW_C2 | FSW_C3;
}

// Processors set the answer of a comparison even if an unmasked exception keeps it from popping.
/** Report a comparison; true = it may pop (no unmasked exception). */
function set_condition(cpu: Cpu, order: i32): bool {
  const ok = settle(cpu);
  set_fsw(cpu, (fsw(cpu) & ~FSW_CC) | condition(order));
  return ok;
}
/** A comparison with an empty register: unordered. */
function compare_fault(cpu: Cpu): bool {
  const ok = stack_fault(cpu, false);
  set_fsw(cpu, (fsw(cpu) & ~FSW_CC) | condition(sf.UNORDERED));
  return ok;
}

@inline function com_mem<T>(cpu: Cpu, u: usize, pops: bool): i32 {
  const p = begin_mem(cpu, u, sizeof<T>(), false);
  if (p == 0) return 1;
  let ok: bool;
  if (is_empty(cpu, 0)) ok = compare_fault(cpu);
  else {
    load_a<T>(p);
    sf.a_to_b();
    get_a(cpu, 0);
    ok = set_condition(cpu, sf.sf_compare(false));
  }
  if (ok && pops) pop(cpu);
  return 0;
}

function com_st(cpu: Cpu, u: usize, i: u32, quiet: bool, pops: i32): i32 {
  if (begin(cpu, u)) return 1;
  let ok: bool;
  if (is_empty(cpu, 0) || is_empty(cpu, i)) ok = compare_fault(cpu);
  else {
    get_b(cpu, i);
    get_a(cpu, 0);
    ok = set_condition(cpu, sf.sf_compare(quiet));
  }
  for (; ok && pops > 0; pops--) pop(cpu);
  return 0;
}

function comi(cpu: Cpu, u: usize, quiet: bool, pops: bool): i32 {
  if (begin(cpu, u)) return 1;
  const i = sti(u);
  let order = sf.UNORDERED;
  let ok: bool;
  if (is_empty(cpu, 0) || is_empty(cpu, i)) ok = stack_fault(cpu, false);
  else {
    get_b(cpu, i);
    get_a(cpu, 0);
    order = sf.sf_compare(quiet);
    const c1 = fsw(cpu) & FSW_C1; // cleared by a stack fault only
    ok = settle(cpu);
    set_fsw(cpu, fsw(cpu) | c1);
  }
  set_flags6(cpu, order_flags(order));
  if (ok && pops) pop(cpu);
  return 0;
}
/** ZF PF CF of FCOMI and COMISS. */
export function order_flags(order: i32): u32 {
  if (order == sf.GREATER) return 0;
  if (order == sf.LESS) return CF;
  return order == sf.EQUAL ? ZF : ZF | PF | CF;
}

export function FCOM_m32(cpu: Cpu, u: usize): i32 {
  return com_mem<f32>(cpu, u, false);
}
export function FCOM_m64(cpu: Cpu, u: usize): i32 {
  return com_mem<f64>(cpu, u, false);
}
export function FICOM_m16(cpu: Cpu, u: usize): i32 {
  return com_mem<i16>(cpu, u, false);
}
export function FICOM_m32(cpu: Cpu, u: usize): i32 {
  return com_mem<i32>(cpu, u, false);
}
export function FCOMP_m32(cpu: Cpu, u: usize): i32 {
  return com_mem<f32>(cpu, u, true);
}
export function FCOMP_m64(cpu: Cpu, u: usize): i32 {
  return com_mem<f64>(cpu, u, true);
}
export function FICOMP_m16(cpu: Cpu, u: usize): i32 {
  return com_mem<i16>(cpu, u, true);
}
export function FICOMP_m32(cpu: Cpu, u: usize): i32 {
  return com_mem<i32>(cpu, u, true);
}
export function FCOM_st0_sti(cpu: Cpu, u: usize): i32 {
  return com_st(cpu, u, sti(u), false, 0);
}
export function FCOMP_st0_sti(cpu: Cpu, u: usize): i32 {
  return com_st(cpu, u, sti(u), false, 1);
}
export function FCOMPP(cpu: Cpu, u: usize): i32 {
  return com_st(cpu, u, 1, false, 2);
}
export function FUCOM_sti(cpu: Cpu, u: usize): i32 {
  return com_st(cpu, u, sti(u), true, 0);
}
export function FUCOMP_sti(cpu: Cpu, u: usize): i32 {
  return com_st(cpu, u, sti(u), true, 1);
}
export function FUCOMPP(cpu: Cpu, u: usize): i32 {
  return com_st(cpu, u, 1, true, 2);
}
export function FCOMI_sti(cpu: Cpu, u: usize): i32 {
  return comi(cpu, u, false, false);
}
export function FCOMIP_sti(cpu: Cpu, u: usize): i32 {
  return comi(cpu, u, false, true);
}
export function FUCOMI_sti(cpu: Cpu, u: usize): i32 {
  return comi(cpu, u, true, false);
}
export function FUCOMIP_sti(cpu: Cpu, u: usize): i32 {
  return comi(cpu, u, true, true);
}

export function FTST(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (is_empty(cpu, 0)) compare_fault(cpu);
  else {
    sf.unpack_a_int(0);
    sf.a_to_b();
    get_a(cpu, 0);
    set_condition(cpu, sf.sf_compare(false));
  }
  return 0;
}

export function FXAM(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  get_a(cpu, 0);
  let c = FSW_C3 | FSW_C0; // empty
  if (!is_empty(cpu, 0)) {
    if (sf.a_c == sf.UNSUPPORTED) c = 0;
    else if (sf.a_c >= sf.QNAN) c = FSW_C0;
    else if (sf.a_c == sf.INF) c = FSW_C2 | FSW_C0;
    else if (sf.a_c == sf.ZERO) c = FSW_C3;
    else c = sf.a_d ? FSW_C3 | FSW_C2 : FSW_C2;
  }
  set_fsw(cpu, (fsw(cpu) & ~FSW_CC) | c | (sf.a_s ? FSW_C1 : 0));
  return 0;
}

// ---- operations on ST(0) alone

function change_sign(cpu: Cpu, u: usize, keep: u32, flip: u32): i32 {
  if (begin(cpu, u)) return 1;
  if (!has_st0(cpu)) return 0;
  const p = st(cpu, 0);
  store<u16>(p, <u16>((load<u16>(p, 8) & keep) ^ flip), 8);
  set_fsw(cpu, fsw(cpu) & ~FSW_C1);
  return 0;
}
export function FCHS(cpu: Cpu, u: usize): i32 {
  return change_sign(cpu, u, 0xffff, 0x8000);
}
export function FABS(cpu: Cpu, u: usize): i32 {
  return change_sign(cpu, u, 0x7fff, 0);
}

export function FSQRT(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!has_st0(cpu)) return 0;
  get_a(cpu, 0);
  sf.sf_sqrt();
  put_r(cpu, 0);
  return 0;
}

/** Begin an operation on ST(0) alone that ignores precision control; false: dealt with. */
@inline function unary_full(cpu: Cpu): bool {
  if (!has_st0(cpu)) return false;
  sf.sf_x87_full(fcw(cpu));
  get_a(cpu, 0);
  return true;
}

export function FRNDINT(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!unary_full(cpu)) return 0;
  sf.sf_round_int(sf.sf_rc);
  put_r(cpu, 0);
  return 0;
}

/** Both operands of a two-operand stack instruction are there; a masked underflow gives the default NaN in ST(0). */
function has_both(cpu: Cpu): bool {
  if (!is_empty(cpu, 0) && !is_empty(cpu, 1)) return true;
  if (stack_fault(cpu, false)) put_indefinite(cpu, 0);
  return false;
}

export function FSCALE(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!has_both(cpu)) return 0;
  sf.sf_x87_full(fcw(cpu));
  get_b(cpu, 1);
  get_a(cpu, 0);
  sf.sf_scale();
  put_r(cpu, 0);
  return 0;
}

export function FXTRACT(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!room_after_st0(cpu)) return 0;
  sf.sf_x87_full(fcw(cpu));
  get_a(cpu, 0);
  const sig_m = load<u64>(st(cpu, 0));
  const se = <u32>load<u16>(st(cpu, 0), 8);
  const c = sf.a_c;
  if (!sf.nan1()) sf.sf_extract_exponent();
  const m = sf.pack80();
  const e = sf.f80_se;
  if (!settle(cpu)) return 0;
  put_raw(cpu, 0, m, e);
  turn(cpu, 7);
  if (c == sf.FINITE) put_raw(cpu, 0, sf.a_m, (se & 0x8000) | 0x3fff);
  else if (c >= sf.QNAN) put_raw(cpu, 0, m, e);
  else put_raw(cpu, 0, sig_m, se);
  return 0;
}

/** C3 C1 C0: the quotient's low bits (bit 1, bit 0, bit 2); C2: reduction incomplete. */
function remainder(cpu: Cpu, u: usize, nearest: bool): i32 {
  if (begin(cpu, u)) return 1;
  set_fsw(cpu, fsw(cpu) & ~FSW_C2);
  if (!has_both(cpu)) return 0;
  sf.sf_x87_full(fcw(cpu));
  get_b(cpu, 1);
  get_a(cpu, 0);
  const q = sf.sf_rem(nearest);
  if (!put_r(cpu, 0) || sf.r_c == sf.QNAN) return 0;
  let c: u32 = 0;
  if (q < 0) c = FSW_C2;
  else {
    if (q & 1) c |= FSW_C1;
    if (q & 2) c |= FSW_C3;
    if (q & 4) c |= FSW_C0;
  }
  set_fsw(cpu, (fsw(cpu) & ~FSW_CC) | c);
  return 0;
}
export function FPREM(cpu: Cpu, u: usize): i32 {
  return remainder(cpu, u, false);
}
export function FPREM1(cpu: Cpu, u: usize): i32 {
  return remainder(cpu, u, true);
}
