// How results become lazy flags (docs/design/core.md, "Flags"), written once for every builder.

/** lfc from a carry vector: bit i = carry (borrow) out of bit i. */
@inline export function carries<B, V, T>(b: B, cv: V): V {
  if (sizeof<T>() == 8) return b.and(cv, b.k(0xc000000000000008));
  return b.or(b.shl(cv, b.k(64 - 8 * sizeof<T>())), b.and(cv, b.k(8)));
}

@inline export function add_carries<B, V>(b: B, x: V, y: V, r: V): V {
  return b.or(b.and(x, y), b.and(b.or(x, y), b.not(r)));
}

@inline export function sub_borrows<B, V>(b: B, x: V, y: V, r: V): V {
  const nx = b.not(x);
  return b.or(b.and(nx, y), b.and(b.or(nx, y), r));
}

/**
 * lfc of r = x ± y (± a carry) of a type with bits above it, where r has those of the sum: bit i of x ^ y ^ r is the carry, or the borrow, into
 * bit i.
 */
@inline function carries_into<B, V, T>(b: B, x: V, y: V, r: V): V {
  const into = b.xor(b.xor(x, y), r);
  return b.or(b.shl(into, b.k(63 - 8 * sizeof<T>())), b.and(b.shr(into, b.k(1)), b.k(8)));
}

@inline export function flags_add<B, V, T>(b: B, x: V, y: V, r: V): void {
  b.set_lfr(b.sx<T>(r));
  if (sizeof<T>() < 8) b.set_lfc(carries_into<B, V, T>(b, x, y, r));
  else b.set_lfc(carries<B, V, T>(b, add_carries<B, V>(b, x, y, r)));
}

@inline export function flags_sub<B, V, T>(b: B, x: V, y: V, r: V): void {
  b.set_lfr(b.sx<T>(r));
  if (sizeof<T>() < 8) b.set_lfc(carries_into<B, V, T>(b, x, y, r));
  else b.set_lfc(carries<B, V, T>(b, sub_borrows<B, V>(b, x, y, r)));
}

/** Flags of x + y = r and of x - y = r, nothing carried in: conditions of them are comparisons, which a builder may know. */
@inline export function flags_sum<B, V, T>(b: B, x: V, y: V, r: V): void {
  flags_add<B, V, T>(b, x, y, r);
  b.flags_of_sum<T>(x, r);
}

@inline export function flags_difference<B, V, T>(b: B, x: V, y: V, r: V): void {
  flags_sub<B, V, T>(b, x, y, r);
  b.flags_of_difference<T>(x, y);
}

@inline export function flags_logic<B, V, T>(b: B, r: V): void {
  b.set_lfr(b.sx<T>(r));
  b.set_lfc(b.k(0));
}

/** New CF and CF xor OF (0 or 1 each), everything else as it is: rotates. */
@inline export function flags_cf_of<B, V>(b: B, cf: V, cx: V): void {
  const keep = b.and(b.lfc(), b.k(0x3fffffffffffffff));
  b.set_lfc(b.or(keep, b.or(b.shl(cf, b.k(63)), b.shl(b.and(cx, b.k(1)), b.k(62)))));
}

/** CF = OF = c, SF ZF PF from r: multiplications. */
@inline export function flags_mul<B, V, T>(b: B, r: V, c: V): void {
  b.set_lfr(b.sx<T>(r));
  b.set_lfc(b.shl(c, b.k(63)));
}

/** ZF = z (0 or 1), the other five clear. */
@inline export function flags_zf<B, V>(b: B, z: V): void {
  b.set_lfr(b.xor(z, b.k(1)));
  b.set_lfc(b.shl(z, b.k(8)));
}

@inline export function cf<B, V>(b: B): V {
  return b.flag_below(b.shr(b.lfc(), b.k(63)));
}

/** The six flags in RFLAGS' positions. */
@inline export function flags6<B, V>(b: B): V {
  const r = b.lfr();
  const c = b.lfc();
  const cy = b.shr(c, b.k(63));
  const pf = b.and(b.not(b.popcnt(b.and(b.xor(r, b.shr(c, b.k(8))), b.k(0xff)))), b.k(1));
  const sf = b.and(b.xor(b.shr(r, b.k(63)), b.shr(c, b.k(16))), b.k(1));
  const o = b.and(b.xor(cy, b.shr(c, b.k(62))), b.k(1));
  const low = b.or(b.or(cy, b.shl(pf, b.k(2))), b.or(b.shl(b.and(c, b.k(8)), b.k(1)), b.shl(b.eqz(r), b.k(6))));
  return b.or(low, b.or(b.shl(sf, b.k(7)), b.shl(o, b.k(11))));
}

/** Set the six flags from RFLAGS' positions. */
@inline export function set_flags6<B, V>(b: B, f: V): void {
  const zf = b.and(b.shr(f, b.k(6)), b.k(1));
  const pf = b.and(b.shr(f, b.k(2)), b.k(1));
  const cy = b.and(f, b.k(1));
  const cx = b.xor(cy, b.and(b.shr(f, b.k(11)), b.k(1)));
  b.set_lfr(b.xor(zf, b.k(1)));
  const top = b.or(b.shl(cy, b.k(63)), b.shl(cx, b.k(62)));
  const sf = b.shl(b.and(f, b.k(0x80)), b.k(9));
  const low = b.or(b.shr(b.and(f, b.k(0x10)), b.k(1)), b.shl(b.xor(pf, zf), b.k(8)));
  b.set_lfc(b.or(top, b.or(sf, low)));
}
