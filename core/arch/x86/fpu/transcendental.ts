// The x87's transcendental functions (SDM vol. 2, F2XM1 .. FYL2XP1; special cases from its tables): operands a = ST(0) and b = ST(1), result r,
// as in softfloat.ts. Arguments are reduced to where a power series in 128-bit fixed point (gen/x87_series) leaves a relative error
// below 2^-116; what is packed is therefore the exact result rounded as RC says, but for about one case in 2^50.
//
// No value but the ones settled beside the series is a number of 64 bits, so r's last bit is always set: it is inexact, and lies beyond
// what 128 bits show.
import {
  atan_16ths,
  series_artanh,
  series_atan,
  series_cos,
  series_exp,
  series_sin,
  set_ln2,
  set_quarter_pi,
  set_two_log2e,
} from '../../../gen/x87_series';
import {
  FINITE,
  INF,
  ZE,
  ZERO,
  a_c,
  a_e,
  a_m,
  a_s,
  a_to_r,
  b_c,
  b_e,
  b_m,
  b_s,
  denormal1,
  denormal2,
  invalid,
  nan1,
  nan2,
  set_r,
  sf_raise,
} from './softfloat';
import { fraction, mulhi, p_h, p_l, set_p, shift128, w_lo } from './wide';

const TOP: u64 = 0x8000000000000000;

/** The value at work: v_h:v_l × 2^(v_e - 127), bit 127 set. */
let v_h: u64 = 0;
let v_l: u64 = 0;
let v_e: i32 = 0;

/** v = h:l × 2^(e - 127), not 0. */
function set_v(h: u64, l: u64, e: i32): void {
  if (h == 0) {
    h = l;
    l = 0;
    e -= 64;
  }
  const n = clz(h);
  v_h = n ? (h << n) | (l >> (64 - n)) : h;
  v_l = l << n;
  v_e = e - <i32>n;
}

/** r = ±v. */
@inline function v_to_r(s: u32): void {
  set_r(FINITE, s, v_e, v_h, v_l | 1);
}

@inline function zero(s: u32): void {
  set_r(ZERO, s, 0, 0, 0);
}
@inline function infinity(s: u32): void {
  set_r(INF, s, 0, TOP, 0);
}

@inline function below(ah: u64, al: u64, bh: u64, bl: u64): bool {
  return ah < bh || (ah == bh && al < bl);
}

/** v = n / d, both as v is. */
function quotient(nh: u64, nl: u64, ne: i32, dh: u64, dl: u64, de: i32): void {
  let e = ne - de - 1;
  if (!below(nh, nl, dh, dl)) {
    nl = (nl >> 1) | (nh << 63);
    nh >>= 1;
    e++;
  }
  const h = fraction(nh, nl, dh, dl);
  set_v(h, w_lo, e);
}

/** v² as a fraction, for v < 1. */
let z_h: u64 = 0;
let z_l: u64 = 0;
function square(): void {
  const h = mulhi(v_h, v_l, v_h, v_l);
  z_h = shift128(h, w_lo, -2 - 2 * v_e);
  z_l = w_lo;
}

/** p = 1 - z p, below 1. */
function one_less(zh: u64, zl: u64): void {
  const h = mulhi(zh, zl, p_h, p_l);
  const l = w_lo;
  if (h | l) set_p(-h - <u64>(l != 0), -l);
  else set_p(~0, ~0);
}

/** v = v p. */
function times_p(): void {
  const h = mulhi(v_h, v_l, p_h, p_l);
  set_v(h, w_lo, v_e);
}

/** v = v (1 + z p). */
function times_one_more(zh: u64, zl: u64): void {
  let h = mulhi(zh, zl, p_h, p_l);
  h = mulhi(v_h, v_l, h, w_lo);
  h = shift128(h, w_lo, 1);
  const l = w_lo;
  h += shift128(v_h, v_l, 1);
  set_v(h + <u64>(l + w_lo < l), l + w_lo, v_e + 1);
}

// ---- circular functions

/** Processors reduce arguments by pi to 66 bits, 0x3.243F6A8885A308D3 (SDM vol. 1, 8.3.8): these are its bits. */
const PI_H: u64 = 3;
const PI_L: u64 = 0x243f6a8885a308d3;

/** a = quadrant × pi/2 ± t, t at most pi/4. */
let quadrant: u32 = 0;
let t_s: u32 = 0;
let t_h: u64 = 0;
let t_l: u64 = 0;
let t_e: i32 = 0;

/** Is a beyond what the circular functions take? */
export function out_of_range(): bool {
  return a_c == FINITE && a_e >= 63;
}

/** v = |a| modulo pi/2; a finite and in range. In units of 2^-65, the last place of pi/2 to 66 bits, |a| is an integer if it is 1/4 or more. */
function reduce(): void {
  quadrant = 0;
  t_s = a_s;
  set_v(a_m, 0, a_e);
  if (a_e >= -2) {
    let h: u64 = 0;
    let l = a_m;
    let q: u32 = 0;
    for (let i = a_e + 2; i > 0; i--) {
      h = (h << 1) | (l >> 63);
      l <<= 1;
      q <<= 1;
      if (below(h, l, PI_H, PI_L)) continue;
      h -= PI_H + <u64>(l < PI_L);
      l -= PI_L;
      q |= 1;
    }
    const oh = PI_H - h - <u64>(PI_L < l);
    const ol = PI_L - l;
    if (below(oh, ol, h, l)) {
      h = oh;
      l = ol;
      q++;
      t_s ^= 1;
    }
    quadrant = (a_s ? -q : q) & 3;
    set_v(h, l, 62);
  }
  t_h = v_h;
  t_l = v_l;
  t_e = v_e;
}

/** v = sin t. */
function sine(): void {
  v_h = t_h;
  v_l = t_l;
  v_e = t_e;
  square();
  series_sin(z_h, z_l);
  one_less(z_h, z_l);
  times_p();
}

/** v = cos t. */
function cosine(): void {
  v_h = t_h;
  v_l = t_l;
  v_e = t_e;
  square();
  series_cos(z_h, z_l);
  one_less(z_h, z_l);
  set_v(p_h, p_l, -1);
}

/** r = sin(a + n pi/2), or r is settled: a NaN, an infinity, 0. */
function circular(n: u32): void {
  if (nan1()) return;
  if (a_c == INF) return invalid();
  if (a_c == ZERO) return n ? set_r(FINITE, 0, 0, TOP, 0) : zero(a_s);
  denormal1();
  reduce();
  const k = (quadrant + n) & 3;
  if (k & 1) {
    cosine();
    v_to_r(k >> 1);
  } else {
    sine();
    v_to_r(t_s ^ (k >> 1));
  }
}

export function sf_sin(): void {
  circular(0);
}
export function sf_cos(): void {
  circular(1);
}

export function sf_tan(): void {
  if (nan1()) return;
  if (a_c == INF) return invalid();
  if (a_c == ZERO) return zero(a_s);
  denormal1();
  reduce();
  const odd = quadrant & 1;
  // so near 0 the quotient's error could exceed tan t - t
  if (t_e < -56 && !odd) return v_to_r(t_s);
  sine();
  const h = v_h;
  const l = v_l;
  const e = v_e;
  cosine();
  if (odd) quotient(v_h, v_l, v_e, h, l, e);
  else quotient(h, l, e, v_h, v_l, v_e);
  v_to_r(t_s ^ odd);
}

// ---- arctangent

/** r = ±k pi/4. */
function quarters(s: u32, k: u32): void {
  set_quarter_pi();
  if (k == 3) {
    const h = shift128(p_h, p_l, 1);
    const l = w_lo;
    const h2 = shift128(p_h, p_l, 2);
    set_v(h + h2 + <u64>(l + w_lo < l), l + w_lo, 1);
  } else set_v(p_h, p_l, <i32>(k >> 1) - 1);
  v_to_r(s);
}

/** arctan(b / a) in the quadrant of the point (a, b). */
export function sf_atan(): void {
  if (nan2()) return;
  denormal2();
  const s = b_s;
  if (a_c == INF && b_c == INF) return quarters(s, a_s ? 3 : 1);
  if (b_c == ZERO || a_c == INF) return a_s ? quarters(s, 4) : zero(s);
  if (a_c == ZERO || b_c == INF) return quarters(s, 2);
  const steep = b_e > a_e || (b_e == a_e && b_m > a_m);
  if (steep) slope(a_m, a_e, b_m, b_e);
  else slope(b_m, b_e, a_m, a_e);
  if (steep || a_s) {
    // here bit 127 is 2, and pi/4's digits are pi's
    let h = shift128(v_h, v_l, 1 - v_e);
    let l = w_lo;
    set_quarter_pi();
    if (steep) {
      const half = shift128(p_h, p_l, 1);
      h = half - h - <u64>(w_lo < l);
      l = w_lo - l;
    }
    if (a_s) {
      h = p_h - h - <u64>(p_l < l);
      l = p_l - l;
    }
    set_v(h, l, 1);
  }
  v_to_r(s);
}

/** v = arctan(n / d) for n <= d: the nearest 16th k/16 is taken out, arctan x = arctan k/16 + arctan((16 x - k) / (16 + k x)). */
function slope(n: u64, ne: i32, d: u64, de: i32): void {
  const far = de - ne;
  const k = far > 5 ? 0 : <u64>((<f64>n / <f64>d) * <f64>(1 << (5 - far)) * 0.5 + 0.5);
  if (k == 0) {
    quotient(n, 0, ne, d, 0, de);
    return arctan_v();
  }
  // 16 n and k d, 16 d and k n in units of n's last place
  const dh = far ? d >> (64 - far) : 0;
  const dl = d << far;
  const kd_l = dl * k;
  const kd_h = dh * k + carry(dl, k);
  let h = (n >> 60) - kd_h - <u64>(n << 4 < kd_l);
  let l = (n << 4) - kd_l;
  const negative = <i64>h < 0;
  if (negative) {
    h = ~h + <u64>(l == 0);
    l = -l;
  }
  if (h | l) {
    const low = (dl << 4) + n * k;
    const high = ((dh << 4) | (dl >> 60)) + carry(n, k) + <u64>(low < n * k);
    set_v(high, low, 0);
    const vh = v_h;
    const vl = v_l;
    const ve = v_e;
    set_v(h, l, 0);
    quotient(v_h, v_l, v_e, vh, vl, ve);
    arctan_v();
    h = shift128(v_h, v_l, -1 - v_e);
    l = w_lo;
  }
  atan_16ths(<i32>k);
  if (negative) set_v(p_h - h - <u64>(p_l < l), p_l - l, -1);
  else set_v(p_h + h + <u64>(p_l + l < l), p_l + l, -1);
}

/** High half of x × k for a small k. */
@inline function carry(x: u64, k: u64): u64 {
  return ((x >> 32) * k + (((x & 0xffffffff) * k) >> 32)) >> 32;
}

/** v = arctan v, v at most about 1/32. */
function arctan_v(): void {
  if (v_e < -64) {
    // less than v by less than any bit shown, which a quotient that is not exact already says
    if (v_l == 0) set_v(v_h - 1, ~0, v_e);
    return;
  }
  square();
  series_atan(z_h, z_l);
  one_less(z_h, z_l);
  times_p();
}

// ---- logarithms

/** The square root of 2, as v_h. */
const ROOT: u64 = 0xb504f333f9de6484;

/** Is v all of the logarithm? */
let exact: bool = false;

/** b × log2 a. */
export function sf_yl2x(): void {
  if (nan2()) return;
  if (a_s && a_c != ZERO) return invalid();
  const one = a_c == FINITE && a_e == 0 && a_m == TOP;
  const falls = a_c == ZERO || (a_c == FINITE && a_e < 0);
  if (b_c == ZERO ? a_c == ZERO || a_c == INF : b_c == INF && one) return invalid();
  const s = b_s ^ (<u32>falls);
  if (a_c == ZERO && b_c == FINITE) {
    sf_raise(ZE);
    return infinity(s);
  }
  denormal2();
  if (one || b_c == ZERO) return zero(s);
  if (a_c != FINITE || b_c == INF) return infinity(s);
  times_b(log2_of(a_m, 0, a_e));
}

/** b × log2(1 + a). Outside -(1 - sqrt 1/2) .. sqrt 2 - 1 the manual leaves the result undefined: here it goes on, but for 1 + a <= 0. */
export function sf_yl2xp1(): void {
  if (nan2()) return;
  if (a_s && (a_c == INF || (a_c == FINITE && a_e >= 0))) return invalid();
  if (b_c == ZERO ? a_c == INF : b_c == INF && a_c == ZERO) return invalid();
  denormal2();
  const s = a_s ^ b_s;
  if (a_c == ZERO || b_c == ZERO) return zero(s);
  if (a_c == INF || b_c == INF) return infinity(s);
  if (a_e >= -2) {
    const e = max(a_e, 0) + 1;
    const h = shift128(a_m, 0, e - a_e);
    const l = w_lo;
    const oh = shift128(TOP, 0, e);
    const ol = w_lo;
    if (a_s) set_v(oh - h - <u64>(ol < l), ol - l, e);
    else set_v(oh + h + <u64>(ol + l < l), ol + l, e);
    return times_b(log2_of(v_h, v_l, v_e));
  }
  // log2(1 + x) = 2 artanh(x / (2 + x)) / ln 2; bit 127 of the divisor is 2
  const h = shift128(a_m, 0, 1 - a_e);
  const l = w_lo;
  if (a_s) set_v(TOP - h - <u64>(l != 0), -l, 1);
  else set_v(TOP + h, l, 1);
  quotient(a_m, 0, a_e, v_h, v_l, v_e);
  log2_v();
  times_b(a_s);
}

/** v = 2 artanh v / ln 2, v at most sqrt 2 - 1 over sqrt 2 + 1. */
function log2_v(): void {
  exact = false;
  square();
  series_artanh(z_h, z_l, false);
  times_one_more(z_h, z_l);
  set_two_log2e();
  times_p();
  v_e += 2;
}

/** v = |log2 x|, the sign returned, for x = h:l × 2^(e - 127), not 1. */
function log2_of(h: u64, l: u64, e: i32): u32 {
  exact = h == TOP && l == 0;
  let s: u32 = 0;
  if (!exact) {
    // with m between sqrt 1/2 and sqrt 2: log2 x = e + 2 artanh((m - 1) / (m + 1)) / ln 2
    const dh = h >> 1;
    const dl = (l >> 1) | (h << 63);
    if (h >= ROOT) {
      s = 1;
      e++;
      set_v(-h - <u64>(l != 0), -l, -1);
      quotient(v_h, v_l, v_e, TOP | dh, dl, 0);
    } else {
      set_v(h - TOP, l, 0);
      const n_h = v_h;
      const n_l = v_l;
      const n_e = v_e;
      set_v((TOP >> 1) + dh, dl, 1);
      quotient(n_h, n_l, n_e, v_h, v_l, v_e);
    }
    log2_v();
    if (e == 0) return s;
  }
  // bit 127 is 2^15
  const whole = (<u64>(e < 0 ? -e : e)) << 48;
  if (exact) set_v(whole, 0, 15);
  else {
    const fh = shift128(v_h, v_l, 15 - v_e);
    const fl = w_lo;
    if ((s != 0) == e < 0) set_v(whole + fh, fl, 15);
    else set_v(whole - fh - <u64>(fl != 0), -fl, 15);
  }
  return <u32>(e < 0);
}

/** r = b × ±v. */
function times_b(s: u32): void {
  const h = mulhi(v_h, v_l, b_m, 0);
  set_v(h, w_lo, v_e + b_e + 1);
  if (exact) set_r(FINITE, s ^ b_s, v_e, v_h, v_l);
  else v_to_r(s ^ b_s);
}

// ---- exponential

/** 2^a - 1. Outside -1 .. 1 the manual leaves the result undefined: a stays. */
export function sf_2xm1(): void {
  if (nan1()) return;
  if (a_c == INF && a_s) return set_r(FINITE, 1, 0, TOP, 0);
  if (a_c != FINITE) return a_to_r();
  denormal1();
  if (a_e >= 0) {
    if (a_s && a_e == 0 && a_m == TOP) return set_r(FINITE, 1, -1, TOP, 0);
    return a_to_r();
  }
  set_ln2();
  set_v(a_m, 0, a_e);
  times_p();
  const yh = shift128(v_h, v_l, -1 - v_e);
  const yl = w_lo;
  series_exp(yh, yl, a_s != 0);
  if (a_s) {
    one_less(yh, yl);
    times_p();
  } else times_one_more(yh, yl);
  v_to_r(a_s);
}
