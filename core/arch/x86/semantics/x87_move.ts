// x87 loads, stores, exchanges and constants (SDM vol. 2). Rows: spec/x86/x87.ts; conventions as in x87_arith.ts.
import { Cpu } from '../cpu';
import { CF, PF, ZF, get_flags6 } from '../flags';
import { commit } from '../../../engine/mem';
import { uop_b } from '../../../engine/uop';
import * as sf from '../fpu/softfloat';
import {
  begin,
  begin_mem,
  fcw,
  fsw,
  FSW_C1,
  is_empty,
  pop,
  push_r,
  push_raw,
  put_indefinite,
  put_raw,
  room,
  set_empty,
  set_fsw,
  settle,
  settle_store,
  st,
  stack_fault,
  turn,
  get_a,
} from '../fpu/x87_state';

const INDEFINITE: u64 = 0xc000000000000000;

@inline function sti(u: usize): u32 {
  return (uop_b(u) >> 3) & 7;
}
@inline function clear_c1(cpu: Cpu): void {
  set_fsw(cpu, fsw(cpu) & ~FSW_C1);
}

// ---- loads

@inline function fld<T>(cpu: Cpu, u: usize): i32 {
  const p = begin_mem(cpu, u, sizeof<T>(), false);
  if (p == 0) return 1;
  if (!room(cpu)) return 0;
  sf.sf_x87_full(fcw(cpu));
  if (isInteger<T>()) {
    sf.unpack_a_int(<i64>load<T>(p));
    sf.a_to_r();
  } else {
    sf.unpack_a<T>(sizeof<T>() == 4 ? <u64>load<u32>(p) : load<u64>(p));
    sf.sf_convert(false);
  }
  push_r(cpu);
  return 0;
}
export function FLD_m32(cpu: Cpu, u: usize): i32 {
  return fld<f32>(cpu, u);
}
export function FLD_m64(cpu: Cpu, u: usize): i32 {
  return fld<f64>(cpu, u);
}
export function FILD_m16(cpu: Cpu, u: usize): i32 {
  return fld<i16>(cpu, u);
}
export function FILD_m32(cpu: Cpu, u: usize): i32 {
  return fld<i32>(cpu, u);
}
export function FILD_m64(cpu: Cpu, u: usize): i32 {
  return fld<i64>(cpu, u);
}

export function FLD_m80(cpu: Cpu, u: usize): i32 {
  const p = begin_mem(cpu, u, 10, false);
  if (p == 0) return 1;
  if (room(cpu)) push_raw(cpu, load<u64>(p), load<u16>(p, 8));
  return 0;
}

export function FLD_sti(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  const i = sti(u);
  if (is_empty(cpu, i)) {
    if (stack_fault(cpu, false)) {
      turn(cpu, 7);
      put_indefinite(cpu, 0);
    }
    return 0;
  }
  if (!room(cpu)) return 0;
  const p = st(cpu, i);
  push_raw(cpu, load<u64>(p), load<u16>(p, 8));
  return 0;
}

/** 18 decimal digits, two a byte, and the sign in the last byte's top bit (SDM vol. 1, 4.7). */
export function FBLD_m80(cpu: Cpu, u: usize): i32 {
  const p = begin_mem(cpu, u, 10, false);
  if (p == 0) return 1;
  if (!room(cpu)) return 0;
  let v: u64 = 0;
  for (let i = 8; i >= 0; i--) {
    const d = <u64>load<u8>(p + i);
    v = v * 100 + (d >> 4) * 10 + (d & 15);
  }
  sf.sf_x87_full(fcw(cpu));
  sf.unpack_a_int(<i64>v);
  sf.set_r(sf.a_c, <u32>(load<u8>(p, 9) >> 7), sf.a_e, sf.a_m, 0);
  push_r(cpu);
  return 0;
}

/** A constant, rounded from its significand and the fraction below it: `below` > 1/2 or not (SDM vol. 2, FLD1 …: rounded by RC). */
function constant(cpu: Cpu, u: usize, m: u64, e: i32, below: u64): i32 {
  if (begin(cpu, u)) return 1;
  if (!room(cpu)) return 0;
  sf.sf_x87_full(fcw(cpu));
  sf.set_r(sf.FINITE, 0, e, m, below);
  const r = sf.pack80();
  push_raw(cpu, r, sf.f80_se); // no inexact result is reported
  return 0;
}
export function FLD1(cpu: Cpu, u: usize): i32 {
  return constant(cpu, u, 0x8000000000000000, 0, 0);
}
export function FLDL2T(cpu: Cpu, u: usize): i32 {
  return constant(cpu, u, 0xd49a784bcd1b8afe, 1, 0x492bf6ff4dafdb4c);
}
export function FLDL2E(cpu: Cpu, u: usize): i32 {
  return constant(cpu, u, 0xb8aa3b295c17f0bb, 0, 0xbe87fed0691d3e88);
}
export function FLDPI(cpu: Cpu, u: usize): i32 {
  return constant(cpu, u, 0xc90fdaa22168c234, 1, 0xc4c6628b80dc1cd1);
}
export function FLDLG2(cpu: Cpu, u: usize): i32 {
  return constant(cpu, u, 0x9a209a84fbcff798, -2, 0x8f8959ac0b7c9178);
}
export function FLDLN2(cpu: Cpu, u: usize): i32 {
  return constant(cpu, u, 0xb17217f7d1cf79ab, -1, 0xc9e3b39803f2f6af);
}
export function FLDZ(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (room(cpu)) push_raw(cpu, 0, 0);
  return 0;
}

// ---- stores

/** ST(0) converted to f32 or f64. */
@inline function fst<T>(cpu: Cpu, u: usize, pops: bool): i32 {
  const p = begin_mem(cpu, u, sizeof<T>(), true);
  if (p == 0) return 1;
  let v: u64;
  sf.sf_x87_full(fcw(cpu));
  if (is_empty(cpu, 0)) {
    if (!stack_fault(cpu, false)) return 0;
    v = sizeof<T>() == 4 ? 0xffc00000 : 0xfff8000000000000;
  } else {
    get_a(cpu, 0);
    sf.sf_convert(true);
    v = sf.pack<T>();
    if (!settle_store(cpu)) return 0;
  }
  if (sizeof<T>() == 4) store<u32>(p, <u32>v);
  else store<u64>(p, v);
  commit(cpu, p);
  if (pops) pop(cpu);
  return 0;
}
export function FST_m32(cpu: Cpu, u: usize): i32 {
  return fst<f32>(cpu, u, false);
}
export function FST_m64(cpu: Cpu, u: usize): i32 {
  return fst<f64>(cpu, u, false);
}
export function FSTP_m32(cpu: Cpu, u: usize): i32 {
  return fst<f32>(cpu, u, true);
}
export function FSTP_m64(cpu: Cpu, u: usize): i32 {
  return fst<f64>(cpu, u, true);
}

/** ST(0) rounded to an integer by RC, or truncated. */
@inline function fist<T>(cpu: Cpu, u: usize, pops: bool, truncate: bool): i32 {
  const p = begin_mem(cpu, u, sizeof<T>(), true);
  if (p == 0) return 1;
  let v: i64 = (<i64>-1) << (sizeof<T>() * 8 - 1);
  if (is_empty(cpu, 0)) {
    if (!stack_fault(cpu, false)) return 0;
  } else {
    get_a(cpu, 0);
    v = sf.sf_to_int(sizeof<T>() * 8, truncate ? sf.RC_ZERO : sf.sf_rc);
    if (!settle(cpu)) return 0;
  }
  store<T>(p, <T>v);
  commit(cpu, p);
  if (pops) pop(cpu);
  return 0;
}
export function FIST_m16(cpu: Cpu, u: usize): i32 {
  return fist<i16>(cpu, u, false, false);
}
export function FIST_m32(cpu: Cpu, u: usize): i32 {
  return fist<i32>(cpu, u, false, false);
}
export function FISTP_m16(cpu: Cpu, u: usize): i32 {
  return fist<i16>(cpu, u, true, false);
}
export function FISTP_m32(cpu: Cpu, u: usize): i32 {
  return fist<i32>(cpu, u, true, false);
}
export function FISTP_m64(cpu: Cpu, u: usize): i32 {
  return fist<i64>(cpu, u, true, false);
}
export function FISTTP_m16(cpu: Cpu, u: usize): i32 {
  return fist<i16>(cpu, u, true, true);
}
export function FISTTP_m32(cpu: Cpu, u: usize): i32 {
  return fist<i32>(cpu, u, true, true);
}
export function FISTTP_m64(cpu: Cpu, u: usize): i32 {
  return fist<i64>(cpu, u, true, true);
}

@inline function store80(cpu: Cpu, p: usize, m: u64, se: u32): void {
  store<u64>(p, m);
  store<u16>(p, <u16>se, 8);
  commit(cpu, p);
}

export function FSTP_m80(cpu: Cpu, u: usize): i32 {
  const p = begin_mem(cpu, u, 10, true);
  if (p == 0) return 1;
  if (is_empty(cpu, 0)) {
    if (!stack_fault(cpu, false)) return 0;
    store80(cpu, p, INDEFINITE, 0xffff);
  } else {
    clear_c1(cpu);
    const s = st(cpu, 0);
    store80(cpu, p, load<u64>(s), load<u16>(s, 8));
  }
  pop(cpu);
  return 0;
}

export function FBSTP_m80(cpu: Cpu, u: usize): i32 {
  const p = begin_mem(cpu, u, 10, true);
  if (p == 0) return 1;
  if (is_empty(cpu, 0)) {
    if (!stack_fault(cpu, false)) return 0;
    store80(cpu, p, INDEFINITE, 0xffff);
    pop(cpu);
    return 0;
  }
  get_a(cpu, 0);
  const s = sf.a_s;
  let v = sf.sf_to_int(64, sf.sf_rc);
  if (v < 0) v = -v;
  const fits = <u64>v < 1000000000000000000;
  if (!fits) sf.sf_only_invalid();
  if (!settle(cpu)) return 0;
  if (!fits) store80(cpu, p, INDEFINITE, 0xffff);
  else {
    for (let i = 0; i < 9; i++) {
      const d = v % 100;
      v /= 100;
      store<u8>(p + i, <u8>(((d / 10) << 4) | d % 10));
    }
    store<u8>(p, s ? 0x80 : 0, 9);
    commit(cpu, p);
  }
  pop(cpu);
  return 0;
}

function fst_sti(cpu: Cpu, u: usize, pops: bool): i32 {
  if (begin(cpu, u)) return 1;
  const i = sti(u);
  if (is_empty(cpu, 0)) {
    if (!stack_fault(cpu, false)) return 0;
    put_indefinite(cpu, i);
  } else {
    clear_c1(cpu);
    const s = st(cpu, 0);
    put_raw(cpu, i, load<u64>(s), load<u16>(s, 8));
  }
  if (pops) pop(cpu);
  return 0;
}
export function FST_sti(cpu: Cpu, u: usize): i32 {
  return fst_sti(cpu, u, false);
}
export function FSTP_sti(cpu: Cpu, u: usize): i32 {
  return fst_sti(cpu, u, true);
}

/** The alias of FSTP ST(i) that checks for no stack underflow. */
export function FSTPNCE_sti(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  clear_c1(cpu);
  if (!is_empty(cpu, 0)) {
    const s = st(cpu, 0);
    put_raw(cpu, sti(u), load<u64>(s), load<u16>(s, 8));
  }
  pop(cpu);
  return 0;
}

export function FXCH_sti(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  const i = sti(u);
  if (is_empty(cpu, 0) || is_empty(cpu, i)) {
    if (!stack_fault(cpu, false)) return 0;
    if (is_empty(cpu, 0)) put_indefinite(cpu, 0);
    if (is_empty(cpu, i)) put_indefinite(cpu, i);
  } else clear_c1(cpu);
  const a = st(cpu, 0);
  const b = st(cpu, i);
  const m = load<u64>(a);
  const se = load<u16>(a, 8);
  put_raw(cpu, 0, load<u64>(b), load<u16>(b, 8));
  put_raw(cpu, i, m, se);
  return 0;
}

// ---- conditional moves

function cmov(cpu: Cpu, u: usize, flags: u32, wanted: bool): i32 {
  if (begin(cpu, u)) return 1;
  const i = sti(u);
  if (is_empty(cpu, 0) || is_empty(cpu, i)) {
    if (stack_fault(cpu, false)) put_indefinite(cpu, 0);
    return 0;
  }
  if (((get_flags6(cpu) & flags) != 0) == wanted) {
    const s = st(cpu, i);
    put_raw(cpu, 0, load<u64>(s), load<u16>(s, 8));
  }
  return 0;
}
export function FCMOVB(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, CF, true);
}
export function FCMOVE(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, ZF, true);
}
export function FCMOVBE(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, CF | ZF, true);
}
export function FCMOVU(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, PF, true);
}
export function FCMOVNB(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, CF, false);
}
export function FCMOVNE(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, ZF, false);
}
export function FCMOVNBE(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, CF | ZF, false);
}
export function FCMOVNU(cpu: Cpu, u: usize): i32 {
  return cmov(cpu, u, PF, false);
}

// ---- the stack itself

function rotate(cpu: Cpu, u: usize, n: u32): i32 {
  if (begin(cpu, u)) return 1;
  clear_c1(cpu);
  turn(cpu, n);
  return 0;
}
export function FINCSTP(cpu: Cpu, u: usize): i32 {
  return rotate(cpu, u, 1);
}
export function FDECSTP(cpu: Cpu, u: usize): i32 {
  return rotate(cpu, u, 7);
}

export function FFREE_sti(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  clear_c1(cpu);
  set_empty(cpu, sti(u));
  return 0;
}
export function FFREEP_sti(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  clear_c1(cpu);
  set_empty(cpu, sti(u));
  pop(cpu);
  return 0;
}
