// Elementary functions to 320 bits after the point, as BigInt fixed point: where constants of the x87 functions come from, and what their
// results are tested against. Each is its Taylor series after a reduction that makes the terms fall fast.

/** Bits after the point. */
export const BITS = 320;
export const ONE = 1n << BigInt(BITS);

export const mul = (a: bigint, b: bigint): bigint => (a * b) >> BigInt(BITS);
export const div = (a: bigint, b: bigint): bigint => (a << BigInt(BITS)) / b;

/** The sum of terms that end by becoming 0. */
function series(
  first: bigint,
  next: (term: bigint, n: bigint) => bigint,
  part: (term: bigint, n: bigint) => bigint,
): bigint {
  let sum = 0n;
  for (let n = 0n, term = first; term !== 0n && term !== -1n; term = next(term, n), n++) sum += part(term, n);
  return sum;
}

/** arctan of |x| < 1. */
function atanSmall(x: bigint): bigint {
  const square = mul(x, x);
  return series(
    x,
    (term) => -mul(term, square),
    (term, n) => term / (2n * n + 1n),
  );
}

/** Machin: pi/4 = 4 arctan 1/5 - arctan 1/239. */
export const PI = 4n * (4n * atanSmall(ONE / 5n) - atanSmall(ONE / 239n));

export function sqrt(x: bigint): bigint {
  const n = x << BigInt(BITS);
  let root = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** arctan: halved twice by arctan x = 2 arctan(x / (1 + sqrt(1 + x²))). */
export function atan(x: bigint): bigint {
  if (x < 0n) return -atan(-x);
  const half = (v: bigint): bigint => div(v, ONE + sqrt(ONE + mul(v, v)));
  return 4n * atanSmall(half(half(x)));
}

/** ln x = 2 artanh((x - 1) / (x + 1)), for x near 1. */
function lnNear(x: bigint): bigint {
  const s = div(x - ONE, x + ONE);
  const square = mul(s, s);
  return series(
    2n * s,
    (term) => mul(term, square),
    (term, n) => term / (2n * n + 1n),
  );
}
export const LN2 = lnNear(2n * ONE);

/** log2 of x > 0. */
export function log2(x: bigint): bigint {
  const e = x.toString(2).length - 1 - BITS;
  const m = e >= 0 ? x >> BigInt(e) : x << BigInt(-e);
  return BigInt(e) * ONE + div(lnNear(m), LN2);
}

/** 2^x - 1 for |x| <= 1. */
export function exp2m1(x: bigint): bigint {
  const y = mul(x, LN2);
  return series(
    y,
    (term, n) => mul(term, y) / (n + 2n),
    (term) => term,
  );
}

export function sin(x: bigint): bigint {
  const square = mul(x, x);
  return series(
    x,
    (term, n) => -mul(term, square) / ((2n * n + 2n) * (2n * n + 3n)),
    (term) => term,
  );
}
export function cos(x: bigint): bigint {
  const square = mul(x, x);
  return series(
    ONE,
    (term, n) => -mul(term, square) / ((2n * n + 1n) * (2n * n + 2n)),
    (term) => term,
  );
}
