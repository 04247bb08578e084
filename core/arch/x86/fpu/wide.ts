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

/** High half of (ah:al) × (bh:bl), at most 3 units of its last place low: its high word returned, the low one in w_lo. */
export function mulhi(ah: u64, al: u64, bh: u64, bl: u64): u64 {
  const x = mul128(ah, bl);
  const y = mul128(al, bh);
  const h = mul128(ah, bh);
  const l = w_lo + x;
  const carry = <u64>(l < x);
  w_lo = l + y;
  return h + carry + <u64>(w_lo < y);
}

/** (nh:nl) / (dh:dl) as a 128-bit fraction, for n < d and bit 127 of d set; a remainder shows in the last bit. */
export function fraction(nh: u64, nl: u64, dh: u64, dl: u64): u64 {
  let qh: u64 = 0;
  let ql: u64 = 0;
  for (let i = 0; i < 128; i++) {
    const over = nh >> 63;
    nh = (nh << 1) | (nl >> 63);
    nl <<= 1;
    qh = (qh << 1) | (ql >> 63);
    ql <<= 1;
    if (over || nh > dh || (nh == dh && nl >= dl)) {
      nh -= dh + <u64>(nl < dl);
      nl -= dl;
      ql |= 1;
    }
  }
  w_lo = ql | (<u64>((nh | nl) != 0));
  return qh;
}

/** (h:l) >> n, n >= 0: high word returned, low word in w_lo. */
export function shift128(h: u64, l: u64, n: u32): u64 {
  if (n == 0) {
    w_lo = l;
    return h;
  }
  if (n < 64) {
    w_lo = (l >> n) | (h << (64 - n));
    return h >> n;
  }
  w_lo = n < 128 ? h >> (n - 64) : 0;
  return 0;
}

/** The value of a series or a constant: a 128-bit fraction. */
export let p_h: u64 = 0;
export let p_l: u64 = 0;

export function set_p(h: u64, l: u64): void {
  p_h = h;
  p_l = l;
}

/** One step of a series: p = c + z p, or c - z p. */
export function horner(zh: u64, zl: u64, ch: u64, cl: u64, minus: bool): void {
  const h = mulhi(zh, zl, p_h, p_l);
  const l = w_lo;
  if (minus) {
    p_l = cl - l;
    p_h = ch - h - <u64>(cl < l);
  } else {
    p_l = cl + l;
    p_h = ch + h + <u64>(p_l < l);
  }
}
