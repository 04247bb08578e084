// Shifts, rotates and bit tests (SDM vol. 2). A count of 0 after masking changes no flag.
import { flags_cf_of } from './alu';

@inline function count<B, V, T, C>(b: B, u: usize): V {
  return b.and(b.rd<u8, C>(u, b.k(1)), b.k(sizeof<T>() == 8 ? 63 : 31));
}

/** Result and flags of a shift unless the count is 0. `c` is bit 63 CF, bit 62 CF xor OF. */
@inline function commit_shift<B, V, T>(b: B, n: V, r: V, c: V): void {
  b.set_lfr(b.sel(n, b.sx<T>(r), b.lfr()));
  b.set_lfc(b.sel(n, b.and(c, b.k(0xc000000000000000)), b.lfc()));
}

@inline export function SHL<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const n = count<B, V, T, C>(b, u);
  const r = b.shl(x, n);
  b.wr<T, D>(u, p, r);
  // CF is the last bit out; OF (defined for a count of 1) = CF xor the result's sign, so bit 62 is that sign
  if (sizeof<T>() == 8) {
    const out = b.shl(b.shr(x, b.sub(b.k(64), n)), b.k(63));
    commit_shift<B, V, T>(b, n, r, b.or(out, b.shl(b.shr(r, b.k(63)), b.k(62))));
  } else commit_shift<B, V, T>(b, n, r, b.shl(r, b.k(63 - 8 * sizeof<T>())));
  return 0;
}

@inline export function SHR<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const n = count<B, V, T, C>(b, u);
  const r = b.shr(x, n);
  b.wr<T, D>(u, p, r);
  // OF (count 1) = the operand's sign
  const cy = b.shl(b.shr(x, b.sub(n, b.k(1))), b.k(63));
  const sign = b.shl(b.sx<T>(x), b.k(0));
  const ov = b.and(sign, b.k(0x8000000000000000));
  commit_shift<B, V, T>(b, n, r, b.or(cy, b.shr(b.xor(cy, ov), b.k(1))));
  return 0;
}

@inline export function SAR<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.sx<T>(b.rd<T, D>(u, p));
  const n = count<B, V, T, C>(b, u);
  const r = b.sar(x, n);
  b.wr<T, D>(u, p, r);
  const cy = b.shl(b.sar(x, b.sub(n, b.k(1))), b.k(63));
  commit_shift<B, V, T>(b, n, r, b.or(cy, b.shr(cy, b.k(1))));
  return 0;
}

/** x rotated left by n (taken modulo the width), zero-extended. */
@inline function rotate<B, V, T>(b: B, x: V, n: V): V {
  const w = 8 * sizeof<T>();
  const k = b.and(n, b.k(w - 1));
  if (sizeof<T>() == 8) return b.or(b.shl(x, k), b.shr(x, b.and(b.neg(k), b.k(63))));
  return b.zx<T>(b.or(b.shl(x, k), b.shr(x, b.sub(b.k(w), k))));
}

@inline export function ROL<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const n = count<B, V, T, C>(b, u);
  const r = rotate<B, V, T>(b, b.rd<T, D>(u, p), n);
  b.wr<T, D>(u, p, r);
  const old = b.lfc();
  flags_cf_of<B, V>(b, r, b.shr(r, b.k(8 * sizeof<T>() - 1)));
  b.set_lfc(b.sel(n, b.lfc(), old));
  return 0;
}

@inline export function ROR<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const n = count<B, V, T, C>(b, u);
  const r = rotate<B, V, T>(b, b.rd<T, D>(u, p), b.neg(n));
  b.wr<T, D>(u, p, r);
  const old = b.lfc();
  flags_cf_of<B, V>(b, b.shr(r, b.k(8 * sizeof<T>() - 1)), b.shr(r, b.k(8 * sizeof<T>() - 2)));
  b.set_lfc(b.sel(n, b.lfc(), old));
  return 0;
}

@inline export function SHLD<B, V, T, D, S, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const w = 8 * sizeof<T>();
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, b.k(1));
  const n = count<B, V, T, C>(b, u);
  let r: V;
  if (sizeof<T>() == 8) r = b.or(b.shl(x, n), b.sel(n, b.shr(y, b.sub(b.k(64), n)), b.k(0)));
  else if (sizeof<T>() == 4) r = b.shr(b.shl(b.or(b.shl(x, b.k(32)), y), n), b.k(32));
  else {
    // 16 bits: counts over 16 (undefined) go on with the destination's bits, as processors do
    const t = b.or(b.or(b.shl(x, b.k(32)), b.shl(y, b.k(16))), x);
    r = b.zx<T>(b.shr(b.shl(t, n), b.k(32)));
  }
  b.wr<T, D>(u, p, r);
  const cy = b.shl(b.shr(x, b.and(b.sub(b.k(w), n), b.k(63))), b.k(63));
  const ov = b.xor(b.sx<T>(x), b.sx<T>(r));
  const of63 = b.and(ov, b.k(0x8000000000000000));
  commit_shift<B, V, T>(b, n, r, b.or(cy, b.shr(b.xor(cy, of63), b.k(1))));
  return 0;
}

@inline export function SHRD<B, V, T, D, S, C>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, b.k(1));
  const n = count<B, V, T, C>(b, u);
  let r: V;
  if (sizeof<T>() == 8) r = b.or(b.shr(x, n), b.sel(n, b.shl(y, b.sub(b.k(64), n)), b.k(0)));
  else if (sizeof<T>() == 4) r = b.zx<T>(b.shr(b.or(x, b.shl(y, b.k(32))), n));
  else r = b.zx<T>(b.shr(b.or(b.or(x, b.shl(y, b.k(16))), b.shl(x, b.k(32))), n));
  b.wr<T, D>(u, p, r);
  const cy = b.shl(b.shr(x, b.and(b.sub(n, b.k(1)), b.k(63))), b.k(63));
  const ov = b.and(b.xor(b.sx<T>(x), b.sx<T>(r)), b.k(0x8000000000000000));
  commit_shift<B, V, T>(b, n, r, b.or(cy, b.shr(b.xor(cy, ov), b.k(1))));
  return 0;
}

// Bit tests: a register offset reaches any word of memory around the operand, an immediate one stays inside it. CF is the bit; ZF is
// unchanged, OF SF AF PF are undefined and unchanged here.
@inline function bit<B, V, T, C>(b: B, u: usize): V {
  return b.and(b.rd<T, C>(u, b.k(1)), b.k(8 * sizeof<T>() - 1));
}

@inline function carry_bit<B, V>(b: B, x: V, n: V): void {
  const c = b.and(b.shr(x, n), b.k(1));
  const ov = b.xor(b.shr(b.lfc(), b.k(63)), b.shr(b.lfc(), b.k(62)));
  flags_cf_of<B, V>(b, c, b.xor(c, ov));
}

@inline export function BT<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at_bit<T, D, C>(u, false);
  if (b.bad(p)) return 1;
  carry_bit<B, V>(b, b.rd<T, D>(u, p), bit<B, V, T, C>(b, u));
  return 0;
}

@inline export function BTS<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at_bit<T, D, C>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const n = bit<B, V, T, C>(b, u);
  if (!b.swap<T, D>(u, p, x, b.or(x, b.shl(b.k(1), n)))) return b.retry();
  carry_bit<B, V>(b, x, n);
  return 0;
}

@inline export function BTR<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at_bit<T, D, C>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const n = bit<B, V, T, C>(b, u);
  if (!b.swap<T, D>(u, p, x, b.and(x, b.not(b.shl(b.k(1), n))))) return b.retry();
  carry_bit<B, V>(b, x, n);
  return 0;
}

@inline export function BTC<B, V, T, D, C>(b: B, u: usize): i32 {
  const p = b.at_bit<T, D, C>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const n = bit<B, V, T, C>(b, u);
  if (!b.swap<T, D>(u, p, x, b.xor(x, b.shl(b.k(1), n)))) return b.retry();
  carry_bit<B, V>(b, x, n);
  return 0;
}
