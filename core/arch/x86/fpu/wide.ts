// 128-bit integer helpers for the floating-point units: a value is a pair of u64; the low half or the remainder comes back in `w_lo`.

/** Low half of the last product, or remainder of the last division. */
export let w_lo: u64 = 0;

/** a × b: high half returned, low half in w_lo. */
export function mul128(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const ll = al * bl;
  const m = ah * bl + (ll >> 32);
  const n = al * bh + (m & 0xffffffff);
  w_lo = (n << 32) | (ll & 0xffffffff);
  return ah * bh + (m >> 32) + (n >> 32);
}

/** One digit of the schoolbook division in base 2^32: (u1:d) / v for u1 < v, v >= 2^63; remainder in w_lo. */
function digit(u1: u64, d: u64, v: u64): u64 {
  const vh = v >> 32;
  const vl = v & 0xffffffff;
  let q = u1 / vh;
  let r = u1 - q * vh;
  while (q >> 32 || q * vl > ((r << 32) | d)) {
    q--;
    r += vh;
    if (r >> 32) break;
  }
  w_lo = ((u1 << 32) | d) - q * v;
  return q;
}

/** (hi:lo) / v for hi < v, v >= 2^63 (Knuth, algorithm D, two digits): quotient returned, remainder in w_lo. */
export function div128(hi: u64, lo: u64, v: u64): u64 {
  const q1 = digit(hi, lo >> 32, v);
  const q0 = digit(w_lo, lo & 0xffffffff, v);
  return (q1 << 32) | q0;
}

/** Integer square root of (hi:lo), hi >= 2^62: root returned; w_lo: 0 exact, 1 below root + 1/2, 2 above (a tie is impossible). */
export function sqrt128(hi: u64, lo: u64): u64 {
  let root: u64 = 0;
  let rh: u64 = 0; // remainder, at most 66 bits: rh:rl
  let rl: u64 = 0;
  for (let i = 0; i < 64; i++) {
    rh = (rh << 2) | (rl >> 62);
    rl = (rl << 2) | (hi >> 62);
    hi = (hi << 2) | (lo >> 62);
    lo <<= 2;
    const th = root >> 62; // trial subtrahend 4 root + 1
    const tl = (root << 2) | 1;
    root <<= 1;
    if (rh > th || (rh == th && rl >= tl)) {
      rh -= th + <u64>(rl < tl);
      rl -= tl;
      root |= 1;
    }
  }
  w_lo = rh | rl ? (rh || rl > root ? 2 : 1) : 0;
  return root;
}
