// A seeded generator of random numbers, and values biased to the edges where instructions go wrong.

/** FNV-1a, to make a seed from a text. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** The sfc32 generator. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number, stream = 0) {
    this.a = seed | 0;
    this.b = stream | 0;
    this.c = 0x9e3779b9 | 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  u32(): number {
    const t = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    return t >>> 0;
  }

  /** 0 .. n-1 */
  below(n: number): number {
    return this.u32() % n;
  }

  /** low .. high, both included. */
  range(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.u32() < probability * 0x1_0000_0000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
}

/** Writes an integer biased to edges, as 64 bits, to two words. */
export function edge(r: Random, to: Uint32Array, at: number): void {
  let low = r.u32();
  let high = r.u32();
  const width = r.pick([8, 16, 32, 64, 64, 64]);
  const set = (value: number, carry: number) => ((low = value), (high = carry));
  const kind = r.below(20);
  const power = (bit: number) => set(bit < 32 ? 1 << bit : 0, bit < 32 ? 0 : 1 << (bit - 32));
  if (kind < 4) {
    const small = r.range(-3, 3);
    set(small, small < 0 ? -1 : 0);
  } else if (kind < 9) {
    // around 2^bit: sign boundaries, powers of two, all ones
    power(kind < 6 ? width - 1 : r.below(64));
    const step = kind === 8 ? -1 : r.range(-1, 1);
    const sum = (low >>> 0) + step;
    set(sum, high + (sum < 0 ? -1 : sum > 0xffff_ffff ? 1 : 0));
  } else if (kind < 11) set(low & 0xffff, 0);
  else if (kind < 12) set(~low & 0, ~0);
  if (width < 64 && r.chance(0.5)) {
    // an edge of a narrower operand below random upper bits
    const mask = width === 32 ? -1 : (1 << width) - 1;
    set((low & mask) | (r.u32() & ~mask), r.u32());
  }
  to[at] = low;
  to[at + 1] = high;
}

/** A floating-point value of `exponentBits` and `fractionBits` as a bit pattern, without an explicit integer bit. */
export function float(r: Random, exponentBits: number, fractionBits: number): bigint {
  const bias = (1 << (exponentBits - 1)) - 1;
  const top = (1 << exponentBits) - 1;
  const fractionMask = (1n << BigInt(fractionBits)) - 1n;
  const quiet = 1n << BigInt(fractionBits - 1);
  let exponent = r.below(top + 1);
  let fraction = r.u64() & fractionMask;
  const kind = r.below(32);
  if (kind < 3) ((exponent = 0), (fraction = 0n));
  else if (kind < 5) ((exponent = 0), (fraction = r.chance(0.3) ? r.pick([1n, fractionMask, quiet]) : fraction));
  else if (kind < 7) ((exponent = top), (fraction = 0n));
  else if (kind < 9) ((exponent = top), (fraction |= quiet));
  else if (kind < 11) ((exponent = top), (fraction = (fraction & (quiet - 1n)) | 1n));
  else if (kind < 13)
    ((exponent = r.pick([1, 2, top - 1, top - 2])), (fraction = r.pick([0n, 1n, fractionMask, fraction])));
  else if (kind < 23) {
    // near one, integers, halves, the limits of integer conversions
    exponent = bias + r.pick([-2, -1, -1, 0, 0, 0, 1, 2, 3, 6, 14, 15, 30, 30, 31, 31, 32, 62, 63, 63, 64]);
    const keep = r.pick([0, 1, 2, 8, 16, 24, 31, 32, fractionBits]);
    if (keep < fractionBits) fraction &= ~(fractionMask >> BigInt(keep));
    if (r.chance(0.2)) fraction = fractionMask - BigInt(r.below(3));
  } else if (kind < 28) exponent = bias + r.range(-20, 20);
  return (
    (BigInt(r.below(2)) << BigInt(exponentBits + fractionBits)) |
    (BigInt(exponent & top) << BigInt(fractionBits)) |
    fraction
  );
}

/** An 80-bit value: significand in the low 64 bits, sign and exponent above; sometimes an encoding that no processor makes. */
export function float80(r: Random): bigint {
  const value = float(r, 15, 63);
  const exponent = (value >> 63n) & 0x7fffn;
  let significand = (value & ((1n << 63n) - 1n)) | (exponent === 0n ? 0n : 1n << 63n);
  if (r.chance(0.04)) significand ^= 1n << 63n; // pseudo-denormal, unnormal, pseudo-infinity, pseudo-NaN
  return ((value >> 63n) << 64n) | significand;
}
