// Binary floating point by its definition: numbers are exact rationals in BigInt, rounded to a format.
// What the arithmetic in core/ is tested against.

export const [DE, ZE, OE, UE, PE] = [2, 4, 8, 16, 32];

/** A binary format: precision, exponent bits; f80 has no hidden bit. */
export interface Format {
  p: number;
  eb: number;
  explicit: boolean;
}
export const F32: Format = { p: 24, eb: 8, explicit: false };
export const F64: Format = { p: 53, eb: 11, explicit: false };
export const F80: Format = { p: 64, eb: 15, explicit: true };
export const bias = (f: Format): number => (1 << (f.eb - 1)) - 1;
export const size = (n: bigint): number => n.toString(2).length;
export const shift = (n: bigint, by: number): bigint => (by >= 0 ? n << BigInt(by) : n >> BigInt(-by));

/** An exact value s·n/d·2^e; n = 0 is a zero. */
export interface Exact {
  s: number;
  n: bigint;
  d: bigint;
  e: number;
}
export interface Rounded {
  bits: bigint; // f80: significand | se << 64
  flags: number;
  up: boolean;
}

/** floor(n/d·2^k) and what is left: 0 nothing, 1 below half, 2 half, 3 above. */
export function scaled(x: Exact, k: number): [bigint, number] {
  const n = x.n << BigInt(Math.max(0, k + x.e));
  const d = x.d << BigInt(Math.max(0, -k - x.e));
  const q = n / d;
  const twice = 2n * (n - q * d);
  return [q, twice === 0n ? 0 : twice < d ? 1 : twice === d ? 2 : 3];
}
export function nearestStep(q: bigint, rest: number, s: number, rc: number): boolean {
  if (rc === 0) return rest === 3 || (rest === 2 && (q & 1n) === 1n);
  return rest !== 0 && ((rc === 1 && s === 1) || (rc === 2 && s === 0));
}

export function pack(f: Format, s: number, field: number, fraction: bigint): bigint {
  const fb = BigInt(f.explicit ? 64 : f.p - 1);
  const mask = (1n << fb) - 1n;
  return (BigInt(s) << (fb + BigInt(f.eb))) | (BigInt(field) << fb) | (fraction & mask);
}

/** Round by the definition: to p bits of format f, in mode rc, masked exceptions. */
export function round(x: Exact, f: Format, rc: number, ftz = false, p = f.p): Rounded {
  const top = (1 << f.eb) - 1;
  const wide = (m: bigint): bigint => (f.explicit ? m << BigInt(f.p - p) : m);
  if (x.n === 0n) return { bits: pack(f, x.s, 0, 0n), flags: 0, up: false };
  let e = size(x.n) - size(x.d) + x.e; // floor(log2) or one more
  if (scaled(x, -e)[0] === 0n) e--;
  const free = scaled(x, p - 1 - e);
  const freeUp = nearestStep(free[0], free[1], x.s, rc);
  const freeE = e + (size(free[0] + BigInt(freeUp)) > p ? 1 : 0);
  const emin = 1 - bias(f);
  const tiny = freeE < emin;
  if (tiny && ftz) return { bits: pack(f, x.s, 0, 0n), flags: UE | PE, up: false };
  const quantum = Math.max(e, emin) - (p - 1);
  const [q, rest] = scaled(x, -quantum);
  const up = nearestStep(q, rest, x.s, rc);
  const m = q + BigInt(up);
  const flags = (rest ? PE : 0) | (tiny && rest ? UE : 0);
  const field = m === 0n ? 0 : size(m) - 1 + quantum + bias(f);
  if (size(m) < p) return { bits: pack(f, x.s, 0, wide(m)), flags, up };
  if (field < top) return { bits: pack(f, x.s, field, wide(size(m) > p ? m >> 1n : m)), flags, up };
  const inf = rc === 0 || (rc === 1 && x.s === 1) || (rc === 2 && x.s === 0);
  if (inf) return { bits: pack(f, x.s, top, f.explicit ? 1n << 63n : 0n), flags: OE | PE, up: true };
  return { bits: pack(f, x.s, top - 1, wide((1n << BigInt(p)) - 1n)), flags: OE | PE, up: false };
}

/** Value of finite bits. */
export function value(f: Format, bits: bigint): Exact & { denormal: boolean } {
  const fb = f.explicit ? 64 : f.p - 1;
  const field = Number((bits >> BigInt(fb)) & BigInt((1 << f.eb) - 1));
  const m = (bits & ((1n << BigInt(fb)) - 1n)) | (field && !f.explicit ? 1n << BigInt(fb) : 0n);
  const s = Number(bits >> BigInt(fb + f.eb));
  return { s, n: m, d: 1n, e: Math.max(field, 1) - bias(f) - (f.p - 1), denormal: field === 0 && m !== 0n };
}

// ---- random numbers: xorshift

export const M64 = (1n << 64n) - 1n;
let state = 0x9e3779b97f4a7c15n;
export function random(): bigint {
  state ^= (state << 13n) & M64;
  state ^= state >> 7n;
  state ^= (state << 17n) & M64;
  return state;
}
export const pick = (n: number): number => Number(random() % BigInt(n));
