// Transcendental instructions (SDM vol. 2). All ignore precision control.
import { Cpu } from '../cpu';
import * as sf from '../fpu/softfloat';
import { out_of_range, sf_2xm1, sf_atan, sf_cos, sf_sin, sf_tan, sf_yl2x, sf_yl2xp1 } from '../fpu/transcendental';
import {
  begin,
  fcw,
  fsw,
  FSW_C1,
  FSW_C2,
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
  stack_fault,
  turn,
} from '../fpu/x87_state';

export function F2XM1(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!has_st0(cpu)) return 0;
  sf.sf_x87_full(fcw(cpu));
  get_a(cpu, 0);
  sf_2xm1();
  put_r(cpu, 0);
  return 0;
}

/** Load ST(0) and ST(1), whose function replaces both; false: dealt with. */
function both(cpu: Cpu): bool {
  if (is_empty(cpu, 0) || is_empty(cpu, 1)) {
    if (stack_fault(cpu, false)) {
      put_indefinite(cpu, 1);
      pop(cpu);
    }
    return false;
  }
  sf.sf_x87_full(fcw(cpu));
  get_b(cpu, 1);
  get_a(cpu, 0);
  return true;
}
function replace_both(cpu: Cpu): i32 {
  if (put_r(cpu, 1)) pop(cpu);
  return 0;
}

export function FYL2X(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!both(cpu)) return 0;
  sf_yl2x();
  return replace_both(cpu);
}
export function FYL2XP1(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!both(cpu)) return 0;
  sf_yl2xp1();
  return replace_both(cpu);
}
export function FPATAN(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!both(cpu)) return 0;
  sf_atan();
  return replace_both(cpu);
}

// ---- circular functions: C2 says that the operand is out of range, and nothing else happens then

/** Load ST(0), `pushes`: the instruction also pushes; false: dealt with. */
function angle(cpu: Cpu, pushes: bool): bool {
  set_fsw(cpu, fsw(cpu) & ~FSW_C2);
  if (!(pushes ? room_after_st0(cpu) : has_st0(cpu))) return false;
  sf.sf_x87_full(fcw(cpu));
  get_a(cpu, 0);
  if (!out_of_range()) return true;
  set_fsw(cpu, (fsw(cpu) & ~FSW_C1) | FSW_C2);
  return false;
}

export function FSIN(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!angle(cpu, false)) return 0;
  sf_sin();
  put_r(cpu, 0);
  return 0;
}
export function FCOS(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!angle(cpu, false)) return 0;
  sf_cos();
  put_r(cpu, 0);
  return 0;
}

/** The sine, then the cosine; C1 is the sine's. */
export function FSINCOS(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!angle(cpu, true)) return 0;
  sf_sin();
  const sin_m = sf.pack80();
  const sin_se = sf.f80_se;
  const c1 = sf.sf_up ? FSW_C1 : 0;
  sf_cos();
  const m = sf.pack80();
  const se = sf.f80_se;
  if (!settle(cpu)) return 0;
  set_fsw(cpu, (fsw(cpu) & ~FSW_C1) | c1);
  put_raw(cpu, 0, sin_m, sin_se);
  turn(cpu, 7);
  put_raw(cpu, 0, m, se);
  return 0;
}

/** The tangent, then 1, or the same NaN again. */
export function FPTAN(cpu: Cpu, u: usize): i32 {
  if (begin(cpu, u)) return 1;
  if (!angle(cpu, true)) return 0;
  sf_tan();
  const m = sf.pack80();
  const se = sf.f80_se;
  if (!settle(cpu)) return 0;
  const nan = sf.r_c >= sf.QNAN;
  put_raw(cpu, 0, m, se);
  turn(cpu, 7);
  put_raw(cpu, 0, nan ? m : 0x8000000000000000, nan ? se : 0x3fff);
  return 0;
}
