// IEEE 754 arithmetic for x87 and SSE: one internal form for f32, f64 and f80, one rounding. Rules where IEEE leaves a choice are x86's (SDM vol. 1,
// 4.8.3.5 table 4-7, 4.9, 8.5, 11.5): tininess after rounding; masked underflow reported only if inexact; NaN and invalid operands come before
// division by zero, that before denormal operands, these before what rounding finds.
//
// Operands a and b and the result r are unpacked into module-level scratch (per instance, valid within one operation): class, sign, exponent, and the
// significand with its integer bit at bit 63, whatever the format; r has 64 more bits in r_l, the last of them sticky.
import { mul128, div128, sqrt128, w_lo } from './wide';

export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;
/** Exceptions found before computing; unmasked they suppress the operation. */
export const BEFORE: u32 = IE | DE | ZE;

export const RC_NEAREST: u32 = 0;
export const RC_DOWN: u32 = 1;
export const RC_UP: u32 = 2;
export const RC_ZERO: u32 = 3;

export const ZERO: u32 = 0;
export const FINITE: u32 = 1;
export const INF: u32 = 2;
export const QNAN: u32 = 3;
export const SNAN: u32 = 4;
/** An f80 encoding that no 80387 or later produces: unnormal, pseudo-infinity, pseudo-NaN. */
export const UNSUPPORTED: u32 = 5;

const TOP: u64 = 0x8000000000000000;
const QUIET: u64 = 0x4000000000000000;
/** What an unmasked x87 overflow or underflow adds to the exponent of the register result (SDM vol. 1, 8.5.4). */
const BIAS_ADJUST: i32 = 24576;

// The environment of the present operation, set by sf_sse or sf_x87.
export let sf_flags: u32 = 0; // exceptions raised so far
export let sf_masks: u32 = 0x3f; // masked exceptions
export let sf_rc: u32 = 0;
export let sf_up: bool = false; // the last rounding increased the magnitude (x87 C1)
let sf_prec: i32 = 64; // x87 precision control
let sf_daz: bool = false;
let sf_ftz: bool = false;
let sf_is_x87: bool = false;

export let a_c: u32 = 0;
export let a_s: u32 = 0;
export let a_e: i32 = 0;
export let a_m: u64 = 0;
export let a_d: bool = false; // was denormal
export let b_c: u32 = 0;
export let b_s: u32 = 0;
export let b_e: i32 = 0;
export let b_m: u64 = 0;
export let b_d: bool = false;
export let r_c: u32 = 0;
export let r_s: u32 = 0;
export let r_e: i32 = 0;
export let r_m: u64 = 0;
export let r_l: u64 = 0;

/** Begin an SSE operation under `mxcsr`. */
export function sf_sse(mxcsr: u32): void {
  sf_flags = 0;
  sf_masks = (mxcsr >> 7) & 0x3f;
  sf_rc = (mxcsr >> 13) & 3;
  sf_daz = (mxcsr & 0x40) != 0;
  sf_ftz = (mxcsr & 0x8000) != 0 && (sf_masks & UE) != 0; // flushing needs the underflow exception masked
  sf_is_x87 = false;
}

/** Begin an x87 operation under control word `fcw`. */
export function sf_x87(fcw: u32): void {
  sf_flags = 0;
  sf_masks = fcw & 0x3f;
  sf_rc = (fcw >> 10) & 3;
  const pc = (fcw >> 8) & 3;
  sf_prec = pc == 0 ? 24 : pc == 2 ? 53 : 64; // 1 is reserved and acts as 64 bits
  sf_daz = false;
  sf_ftz = false;
  sf_is_x87 = true;
  sf_up = false;
}

/** Begin an x87 operation that ignores precision control. */
export function sf_x87_full(fcw: u32): void {
  sf_x87(fcw);
  sf_prec = 64;
}

@inline export function sf_raise(flags: u32): void {
  sf_flags |= flags;
}
@inline export function sf_set_rc(rc: u32): void {
  sf_rc = rc;
}
@inline export function sf_clear(flags: u32): void {
  sf_flags &= ~flags;
}

/** The exceptions to report: an unmasked early one hides those of the rounding that did not take place. */
export function sf_result_flags(): u32 {
  return sf_flags & ~sf_masks & BEFORE ? sf_flags & BEFORE : sf_flags;
}

// ---- unpacking

@inline function set_a(c: u32, s: u32, e: i32, m: u64, d: bool): void {
  a_c = c;
  a_s = s;
  a_e = e;
  a_m = m;
  a_d = d;
}

/** f32 or f64 bits into a. */
export function unpack_a<T>(bits: u64): void {
  const fb = sizeof<T>() == 4 ? 23 : 52;
  const field = sizeof<T>() == 4 ? 0xff : 0x7ff;
  const bias = field >> 1;
  const s = <u32>(bits >> (sizeof<T>() * 8 - 1));
  const e = (<i32>(bits >> fb)) & field;
  const f = (bits << (63 - fb)) & (TOP - 1);
  if (e == field) set_a(f == 0 ? INF : f & QUIET ? QNAN : SNAN, s, 0, f | TOP, false);
  else if (e) set_a(FINITE, s, e - bias, f | TOP, false);
  else if (f == 0 || sf_daz) set_a(ZERO, s, 0, 0, false);
  else set_a(FINITE, s, 1 - bias - <i32>clz(f), f << clz(f), true);
}

export function unpack_a80(m: u64, se: u32): void {
  const s = (se >> 15) & 1;
  const e = se & 0x7fff;
  if (e == 0) {
    if (m == 0) set_a(ZERO, s, 0, 0, false);
    else set_a(FINITE, s, -16382 - <i32>clz(m), m << clz(m), true); // pseudo-denormals have the integer bit set
  } else if (!(m & TOP)) set_a(UNSUPPORTED, s, 0, 0, false);
  else if (e == 0x7fff) set_a(m == TOP ? INF : m & QUIET ? QNAN : SNAN, s, 0, m, false);
  else set_a(FINITE, s, <i32>e - 16383, m, false);
}

export function unpack_a_int(v: i64): void {
  if (v == 0) return set_a(ZERO, 0, 0, 0, false);
  const m = v < 0 ? -v : v;
  set_a(FINITE, <u32>(v < 0), 63 - <i32>clz(m), (<u64>m) << clz(m), false);
}

/** b = a. */
export function a_to_b(): void {
  b_c = a_c;
  b_s = a_s;
  b_e = a_e;
  b_m = a_m;
  b_d = a_d;
}
export function swap_ab(): void {
  const c = b_c;
  const s = b_s;
  const e = b_e;
  const m = b_m;
  const d = b_d;
  a_to_b();
  set_a(c, s, e, m, d);
}
/** r = a, quieted if a NaN. */
export function a_to_r(): void {
  set_r(a_c == SNAN ? QNAN : a_c, a_s, a_e, a_c >= QNAN ? a_m | QUIET : a_m, 0);
}
@inline export function set_r(c: u32, s: u32, e: i32, m: u64, l: u64): void {
  r_c = c;
  r_s = s;
  r_e = e;
  r_m = m;
  r_l = l;
}

/** r = the default NaN ("real indefinite"), invalid-operation raised. */
export function invalid(): void {
  sf_flags |= IE;
  set_r(QNAN, 1, 0, TOP | QUIET, 0);
}

/** NaNs and unsupported encodings among two operands: true = r is settled. SDM vol. 1, table 4-7. */
export function nan2(): bool {
  if (a_c < QNAN && b_c < QNAN) return false;
  if (a_c == UNSUPPORTED || b_c == UNSUPPORTED) {
    invalid();
    return true;
  }
  if (a_c == SNAN || b_c == SNAN) sf_flags |= IE;
  let first = a_c >= QNAN;
  if (sf_is_x87 && first && b_c >= QNAN) {
    if (a_c != b_c)
      first = a_c == QNAN; // a quiet NaN wins over a signalling one
    else first = a_m > b_m || (a_m == b_m && a_s < b_s);
  }
  if (!first) set_r(QNAN, b_s, 0, b_m | QUIET, 0);
  else a_to_r();
  return true;
}
/** The same for operand a alone. */
export function nan1(): bool {
  if (a_c < QNAN) return false;
  if (a_c == UNSUPPORTED) invalid();
  else {
    if (a_c == SNAN) sf_flags |= IE;
    a_to_r();
  }
  return true;
}
@inline export function denormal2(): void {
  if (a_d || b_d) sf_flags |= DE;
}
@inline export function denormal1(): void {
  if (a_d) sf_flags |= DE;
}

// ---- rounding and packing

/** Shift r right by n >= 0, keeping lost bits sticky. */
function shift_right_r(n: u32): void {
  if (n == 0) return;
  if (n < 64) {
    r_l = (r_l >> n) | (r_m << (64 - n)) | (<u64>(r_l << (64 - n) != 0));
    r_m >>= n;
  } else if (n < 128) {
    r_l = (r_m >> (n - 64)) | (<u64>((r_l | (n > 64 ? r_m << (128 - n) : 0)) != 0));
    r_m = 0;
  } else {
    r_l = <u64>((r_m | r_l) != 0);
    r_m = 0;
  }
}

/** Would rounding away `rest` (a fraction of one unit, 2^63 = half) of a significand with lowest bit `odd` increase the magnitude? */
@inline function rounds_up(rest: u64, odd: bool): bool {
  if (sf_rc == RC_NEAREST) return rest > TOP || (rest == TOP && odd);
  if (sf_rc == RC_ZERO) return false;
  return rest != 0 && (sf_rc == RC_DOWN) == (r_s != 0);
}

/** Round r_m:r_l to its highest p bits; returns true on a carry out of bit 63 (r_m is then 0). */
function round_bits(p: u32): bool {
  const unit: u64 = (<u64>1) << (64 - p);
  const rest = p == 64 ? r_l : (r_m << p) | (<u64>(r_l != 0));
  r_m &= ~(unit - 1);
  if (rest == 0) return false;
  sf_flags |= PE;
  if (!rounds_up(rest, (r_m & unit) != 0)) return false;
  sf_up = true;
  r_m += unit;
  return r_m == 0;
}

/** Does a significand just below a power of two round up to it? Decides whether the value below the smallest normal is tiny. */
@inline function rounds_to_next_power(p: u32): bool {
  const unit: u64 = (<u64>1) << (64 - p);
  if (~r_m & ~(unit - 1)) return false; // some kept bit is 0
  return rounds_up(p == 64 ? r_l : (r_m << p) | (<u64>(r_l != 0)), true);
}

/**
 * Round a finite r (bit 63 of r_m set) to p bits within exponents emin..emax. Afterwards r is ZERO, INF, or FINITE with r_m's low 64 - p bits clear;
 * a denormal has bit 63 clear and exponent emin.
 */
function round_r(p: u32, emin: i32, emax: i32): void {
  if (r_e < emin && !(r_e == emin - 1 && rounds_to_next_power(p))) return round_tiny(p, emin);
  if (r_e < emin) return round_denormal(p, emin);
  if (round_bits(p)) {
    r_m = TOP;
    r_e++;
  }
  if (r_e <= emax) return;
  sf_flags |= OE;
  if (!(sf_masks & OE)) {
    if (!sf_is_x87) return; // there is no result
    r_e -= BIAS_ADJUST;
    if (r_e <= emax) return;
    sf_flags |= PE; // too large even then (FSCALE)
    sf_up = true;
    return set_r(INF, r_s, 0, TOP, 0);
  }
  sf_flags |= PE;
  sf_up = sf_rc == RC_NEAREST || (sf_rc != RC_ZERO && (sf_rc == RC_DOWN) == (r_s != 0));
  if (sf_up) set_r(INF, r_s, 0, TOP, 0);
  else set_r(FINITE, r_s, emax, ~(((<u64>1) << (64 - p)) - 1), 0);
}

function round_tiny(p: u32, emin: i32): void {
  if (!(sf_masks & UE)) {
    sf_flags |= UE;
    if (round_bits(p)) {
      r_m = TOP;
      r_e++;
    }
    r_e += BIAS_ADJUST;
    if (r_e >= emin) return;
    sf_flags |= PE; // too small even then (FSCALE)
    return set_r(ZERO, r_s, 0, 0, 0);
  }
  if (sf_ftz) {
    sf_flags |= UE | PE;
    return set_r(ZERO, r_s, 0, 0, 0);
  }
  const before = sf_flags;
  sf_flags &= ~PE;
  round_denormal(p, emin);
  if (sf_flags & PE) sf_flags |= UE;
  sf_flags |= before;
}

function round_denormal(p: u32, emin: i32): void {
  shift_right_r(emin - r_e);
  r_e = emin;
  round_bits(p);
  if (r_m == 0) r_c = ZERO;
}

/** Round r to f32 or f64 and return the bits. */
export function pack<T>(): u64 {
  const fb = sizeof<T>() == 4 ? 23 : 52;
  const bias = sizeof<T>() == 4 ? 127 : 1023;
  if (r_c == FINITE) round_r(fb + 1, 1 - bias, bias);
  let e: u64 = 2 * bias + 1;
  if (r_c == ZERO) e = 0;
  else if (r_c == FINITE) e = r_m & TOP ? r_e + bias : 0;
  const f = r_c == ZERO || r_c == INF ? 0 : (r_m << 1) >> (64 - fb);
  return ((<u64>r_s) << (sizeof<T>() * 8 - 1)) | (e << fb) | f;
}

/** Round r to f80 with the precision control in force: significand returned, sign and exponent in f80_se. */
export let f80_se: u32 = 0;
export function pack80(): u64 {
  if (r_c == FINITE) round_r(sf_prec, -16382, 16383);
  const s = r_s << 15;
  if (r_c == ZERO) {
    f80_se = s;
    return 0;
  }
  if (r_c == FINITE) f80_se = s | (r_m & TOP ? r_e + 16383 : 0);
  else f80_se = s | 0x7fff;
  return r_m;
}

// ---- arithmetic: r = a op b, to be packed by the caller

/** Normalise r_m:r_l (not 0). */
function normalise_r(): void {
  if (r_m == 0) {
    r_m = r_l;
    r_l = 0;
    r_e -= 64;
  }
  const n = clz(r_m);
  if (n) {
    r_m = (r_m << n) | (r_l >> (64 - n));
    r_l <<= n;
    r_e -= <i32>n;
  }
}

/** a + b, or a - b with `subtract` = 1. */
export function sf_add(subtract: u32): void {
  if (nan2()) return;
  const bs = b_s ^ subtract;
  if (a_c == INF && b_c == INF && a_s != bs) return invalid();
  denormal2();
  if (a_c == INF) return set_r(INF, a_s, 0, TOP, 0);
  if (b_c == INF) return set_r(INF, bs, 0, TOP, 0);
  if (a_c == ZERO) {
    if (b_c == ZERO) return set_r(ZERO, a_s == bs ? bs : <u32>(sf_rc == RC_DOWN), 0, 0, 0);
    return set_r(FINITE, bs, b_e, b_m, 0);
  }
  if (b_c == ZERO) return set_r(FINITE, a_s, a_e, a_m, 0);
  const swap = b_e > a_e || (b_e == a_e && b_m > a_m);
  const hi_m = swap ? b_m : a_m;
  const hi_e = swap ? b_e : a_e;
  set_r(FINITE, 0, 0, swap ? a_m : b_m, 0); // the smaller one, aligned to the larger
  shift_right_r(hi_e - (swap ? a_e : b_e));
  const s = swap ? bs : a_s;
  if (a_s == bs) {
    const sum = hi_m + r_m;
    const carry = sum < hi_m;
    set_r(FINITE, s, hi_e, sum, r_l);
    if (!carry) return;
    shift_right_r(1);
    r_m |= TOP;
    r_e++;
    return;
  }
  set_r(FINITE, s, hi_e, hi_m - r_m - <u64>(r_l != 0), -r_l);
  if ((r_m | r_l) == 0) return set_r(ZERO, <u32>(sf_rc == RC_DOWN), 0, 0, 0);
  normalise_r();
}

export function sf_mul(): void {
  if (nan2()) return;
  const s = a_s ^ b_s;
  if ((a_c == INF && b_c == ZERO) || (a_c == ZERO && b_c == INF)) return invalid();
  denormal2();
  if (a_c == INF || b_c == INF) return set_r(INF, s, 0, TOP, 0);
  if (a_c == ZERO || b_c == ZERO) return set_r(ZERO, s, 0, 0, 0);
  const h = mul128(a_m, b_m);
  set_r(FINITE, s, a_e + b_e + 1, h, w_lo);
  normalise_r();
}

export function sf_div(): void {
  if (nan2()) return;
  const s = a_s ^ b_s;
  if (a_c == b_c && a_c != FINITE) return invalid(); // 0/0, inf/inf
  if (b_c == ZERO && a_c == FINITE) {
    sf_flags |= ZE;
    return set_r(INF, s, 0, TOP, 0);
  }
  denormal2();
  if (a_c == INF || b_c == ZERO) return set_r(INF, s, 0, TOP, 0);
  if (a_c == ZERO || b_c == INF) return set_r(ZERO, s, 0, 0, 0);
  const big = a_m >= b_m;
  const q = big ? div128(a_m >> 1, a_m << 63, b_m) : div128(a_m, 0, b_m);
  const rem = w_lo;
  // What is below the quotient's last bit matters to rounding only as: nothing, less than half, half, more.
  const l: u64 = rem == 0 ? 0 : rem < b_m - rem ? 1 : TOP | (<u64>(rem > b_m - rem));
  set_r(FINITE, s, a_e - b_e - <i32>!big, q, l);
}

/** Square root of a. */
export function sf_sqrt(): void {
  if (nan1()) return;
  if (a_c == ZERO) return set_r(ZERO, a_s, 0, 0, 0);
  if (a_s) return invalid();
  denormal1();
  if (a_c == INF) return set_r(INF, 0, 0, TOP, 0);
  const odd = a_e & 1;
  const root = odd ? sqrt128(a_m, 0) : sqrt128(a_m >> 1, a_m << 63);
  const l: u64 = w_lo == 0 ? 0 : w_lo == 1 ? 1 : TOP | 1;
  set_r(FINITE, 0, a_e >> 1, root, l);
}

export const LESS: i32 = -1;
export const EQUAL: i32 = 0;
export const GREATER: i32 = 1;
export const UNORDERED: i32 = 2;

/** Compare a with b; a quiet NaN raises invalid-operation unless `quiet`. */
export function sf_compare(quiet: bool): i32 {
  if (a_c >= QNAN || b_c >= QNAN) {
    if (!quiet || a_c >= SNAN || b_c >= SNAN) sf_flags |= IE;
    return UNORDERED;
  }
  denormal2();
  if (a_c == ZERO && b_c == ZERO) return EQUAL;
  if (a_c == ZERO) return b_s ? GREATER : LESS;
  if (b_c == ZERO || a_s != b_s) return a_s ? LESS : GREATER;
  let order: i32;
  if (a_c == INF || b_c == INF) order = <i32>(a_c == INF) - <i32>(b_c == INF);
  else if (a_e != b_e) order = a_e > b_e ? 1 : -1;
  else order = <i32>(a_m > b_m) - <i32>(a_m < b_m);
  return a_s ? -order : order;
}

// ---- conversions

/** Format conversion: r = a (the caller packs), signalling NaNs quieted. x87 stores do not report denormal operands, all others do. */
export function sf_convert(store: bool): void {
  if (nan1()) return;
  if (!store) denormal1();
  a_to_r();
}

/**
 * a to a signed integer of `bits` bits, rounding mode `rc`: out of range raises only invalid-operation and gives the "integer indefinite" (the smallest
 * number), otherwise a lost fraction raises inexact. Denormal operands raise nothing (SDM vol. 1, 4.8.3 and the tables of CVT* and FIST).
 */
export function sf_to_int(bits: u32, rc: u32): i64 {
  const least: u64 = (<u64>1) << (bits - 1);
  sf_up = false;
  if (a_c == ZERO) return 0;
  if (a_c != FINITE || a_e > 63) {
    sf_flags |= IE;
    return -(<i64>least);
  }
  const before = sf_flags;
  const v = round_a_to_unit(rc);
  if (v > least - <u64>(a_s == 0)) {
    sf_flags = before | IE;
    sf_up = false;
    return -(<i64>least);
  }
  return a_s ? -v : v;
}

/** |a| rounded to an integer in mode rc, for finite a with a_e <= 63 (no carry: there is a fraction only below 2^63). */
function round_a_to_unit(rc: u32): u64 {
  const saved = sf_rc;
  sf_rc = rc;
  set_r(FINITE, a_s, 0, a_m, 0);
  shift_right_r(63 - a_e);
  round_bits(64);
  sf_rc = saved;
  return r_m;
}

/** r = a rounded to an integral value in mode rc (FRNDINT reports denormal operands, ROUNDSD does not). */
export function sf_round_int(rc: u32): void {
  sf_up = false;
  if (nan1()) return;
  if (sf_is_x87) denormal1();
  if (a_c != FINITE || a_e >= 63) return a_to_r();
  const v = round_a_to_unit(rc);
  if (v == 0) set_r(ZERO, a_s, 0, 0, 0);
  else set_r(FINITE, a_s, 63 - <i32>clz(v), v << clz(v), 0);
}

// ---- scaling and remainders (x87)

/** a × 2^trunc(b). */
export function sf_scale(): void {
  if (nan2()) return;
  if (b_c == INF && (b_s ? a_c == INF : a_c == ZERO)) return invalid();
  denormal2();
  if (a_c != FINITE) return a_to_r();
  if (b_c == INF) return set_r(b_s ? ZERO : INF, a_s, 0, b_s ? 0 : TOP, 0);
  let n: i32 = 0;
  if (b_c == FINITE && b_e >= 0) n = b_e > 16 ? 0x20000 : <i32>(b_m >> (63 - b_e));
  set_r(FINITE, a_s, a_e + (b_s ? -n : n), a_m, 0);
}

/** r = the exponent of a as a number (not a NaN); a zero divides by zero. */
export function sf_extract_exponent(): void {
  if (a_c == INF) return set_r(INF, 0, 0, TOP, 0);
  if (a_c == ZERO) {
    sf_flags |= ZE;
    return set_r(INF, 1, 0, TOP, 0);
  }
  denormal1();
  const e = a_e;
  if (e == 0) return set_r(ZERO, 0, 0, 0, 0);
  const m = <u64>(e < 0 ? -e : e);
  set_r(FINITE, <u32>(e < 0), 63 - <i32>clz(m), m << clz(m), 0);
}

/**
 * r = a - b × quotient, exact; the quotient truncated (FPREM) or to nearest (FPREM1). Returns its low 3 bits, or -1 if the exponents differ by 64 or
 * more: then r is a partial remainder (SDM vol. 2, FPREM; how far one step reduces is the processor's choice between 32 and 63 bits).
 */
export function sf_rem(nearest: bool): i32 {
  if (nan2()) return 0;
  if (a_c == INF || b_c == ZERO) {
    invalid();
    return 0;
  }
  denormal2();
  if (a_c == ZERO || b_c == INF) {
    a_to_r();
    return 0;
  }
  const d = a_e - b_e;
  if (d < -1 || (d < 0 && !nearest)) {
    a_to_r();
    return 0;
  }
  const partial = d >= 64;
  const steps = partial ? (d & 31) | 32 : d;
  let rem = a_m;
  let e = a_e;
  let q: u64 = 0;
  let carry = false;
  if (d < 0) {
    // |a| < |b|: nearest may still round the quotient 0 up to 1; align a one place down, its last bit in r_l's place
    return nearest_below_one();
  }
  for (let i = 0; ; i++) {
    q <<= 1;
    if (carry || rem >= b_m) {
      rem -= b_m;
      q |= 1;
    }
    if (i == steps) break;
    carry = (rem & TOP) != 0;
    rem <<= 1;
    e--;
  }
  let s = a_s;
  if (nearest && !partial && (rem > b_m - rem || (rem == b_m - rem && q & 1))) {
    rem = b_m - rem;
    q++;
    s ^= 1;
  }
  if (rem == 0) set_r(ZERO, a_s, 0, 0, 0);
  else set_r(FINITE, s, e - <i32>clz(rem), rem << clz(rem), 0);
  return partial ? -1 : (<i32>q) & 7;
}

/** FPREM1 with |b|/4 <= ... |a| < |b|, exponents one apart: a stays, or becomes a - b where |a| > |b|/2. */
function nearest_below_one(): i32 {
  if (a_m <= b_m) {
    a_to_r();
    return 0;
  }
  // |b| - |a| in units of a's last place: 2 b_m - a_m, below b_m
  const m = (b_m << 1) - a_m;
  set_r(FINITE, a_s ^ 1, a_e - <i32>clz(m), m << clz(m), 0);
  return 1;
}

/** No rounding took place after all. */
export function sf_unrounded(): void {
  sf_flags &= ~PE;
  sf_up = false;
}

/** A result that does not fit its integer format after all: only invalid-operation counts. */
export function sf_only_invalid(): void {
  sf_flags = IE;
  sf_up = false;
}
