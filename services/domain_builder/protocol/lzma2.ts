/**
 * LZMA2 (the LZMA SDK's "lzma-specification"; the chunk layer is described in xz's documents). Decodes straight into
 * the output, which doubles as the dictionary. Range coder state sits in an Int32Array: fields holding 32-bit values
 * would be boxed.
 */
import { BadImage } from './bytes.ts';

// Where each table of probabilities starts. LenCoder: choice, choice2, low[16][8], mid[16][8], high[256].
const IS_MATCH = 0;
const IS_REP = IS_MATCH + 12 * 16;
const IS_REP_G0 = IS_REP + 12;
const IS_REP_G1 = IS_REP_G0 + 12;
const IS_REP_G2 = IS_REP_G1 + 12;
const IS_REP0_LONG = IS_REP_G2 + 12;
const POS_SLOT = IS_REP0_LONG + 12 * 16;
const POS_SPECIAL = POS_SLOT + 4 * 64;
const POS_ALIGN = POS_SPECIAL + 128;
const LEN_CODER = POS_ALIGN + 16;
const LEN_SIZE = 2 + 16 * 8 + 16 * 8 + 256;
const REP_LEN_CODER = LEN_CODER + LEN_SIZE;
const LITERAL = REP_LEN_CODER + LEN_SIZE;
/** LZMA2 demands lc + lp <= 4. */
const PROBABILITIES = LITERAL + (0x300 << 4);

const RANGE = 0;
const CODE = 1;

const corrupt = (): never => {
  throw new BadImage('the xz payload of the bzImage is corrupt (LZMA2 data); fetch the file again.');
};

export class Lzma2 {
  /** Input position; after run() the first byte behind the LZMA2 data. */
  at: number;
  readonly #src: Uint8Array;
  readonly #out: Uint8Array;
  readonly #probs = new Uint16Array(PROBABILITIES);
  readonly #coder = new Int32Array(2);
  readonly #reps = [0, 0, 0, 0];
  #to: number;
  #dictStart: number;
  #state = 0;
  #lc = 0;
  #lpMask = 0;
  #pbMask = 0;

  constructor(src: Uint8Array, at: number, out: Uint8Array, to: number) {
    this.#src = src;
    this.at = at;
    this.#out = out;
    this.#to = to;
    this.#dictStart = to;
  }

  /** Decodes all chunks; returns the end of the output. */
  run(): number {
    const src = this.#src;
    let needsProperties = true;
    for (let first = true; ; first = false) {
      if (this.at + 6 > src.length) corrupt();
      const control = src[this.at]!;
      const size16 = ((src[this.at + 1]! << 8) | src[this.at + 2]!) + 1;
      if (control === 0) {
        this.at += 1;
        return this.#to;
      }
      if (control === 1 || control >= 0xe0) this.#dictStart = this.#to;
      else if (first) corrupt();
      if (control < 0x80) {
        if (control > 2) corrupt();
        this.at += 3;
        this.#copyChunk(size16);
        continue;
      }
      const size = ((control & 0x1f) << 16) + size16;
      const packed = ((src[this.at + 3]! << 8) | src[this.at + 4]!) + 1;
      this.at += 5;
      if (control >= 0xc0) this.#properties(src[this.at++]!);
      else if (needsProperties) corrupt();
      needsProperties = false;
      if (control >= 0xa0) this.#resetState();
      const end = this.at + packed;
      if (end > src.length || this.#to + size > this.#out.length) corrupt();
      this.#lzmaChunk(this.#to + size);
      if (this.at !== end) corrupt();
    }
  }

  #copyChunk(size: number): void {
    if (this.at + size > this.#src.length || this.#to + size > this.#out.length) corrupt();
    this.#out.set(this.#src.subarray(this.at, this.at + size), this.#to);
    this.at += size;
    this.#to += size;
  }

  #properties(byte: number): void {
    const lc = byte % 9;
    const lp = Math.floor(byte / 9) % 5;
    const pb = Math.floor(byte / 45);
    if (pb > 4 || lc + lp > 4) corrupt();
    this.#lc = lc;
    this.#lpMask = (1 << lp) - 1;
    this.#pbMask = (1 << pb) - 1;
  }

  #resetState(): void {
    this.#probs.fill(1024);
    this.#reps.fill(0);
    this.#state = 0;
  }

  #normalize(): void {
    const coder = this.#coder;
    if (coder[RANGE]! >>> 0 < 0x1000000) {
      coder[RANGE] = coder[RANGE]! << 8;
      coder[CODE] = (coder[CODE]! << 8) | this.#src[this.at++]!;
    }
  }

  #bit(index: number): number {
    const probs = this.#probs;
    const coder = this.#coder;
    this.#normalize();
    const p = probs[index]!;
    const bound = Math.imul(coder[RANGE]! >>> 11, p);
    if (coder[CODE]! >>> 0 < bound >>> 0) {
      coder[RANGE] = bound;
      probs[index] = p + ((2048 - p) >> 5);
      return 0;
    }
    coder[RANGE] = coder[RANGE]! - bound;
    coder[CODE] = coder[CODE]! - bound;
    probs[index] = p - (p >> 5);
    return 1;
  }

  #direct(count: number): number {
    const coder = this.#coder;
    let value = 0;
    for (; count > 0; count--) {
      this.#normalize();
      const half = coder[RANGE]! >>> 1;
      coder[RANGE] = half;
      const taken = coder[CODE]! >>> 0 >= half ? 1 : 0;
      if (taken) coder[CODE] = coder[CODE]! - half;
      value = (value << 1) | taken;
    }
    return value >>> 0;
  }

  /** A bit tree of `bits` levels, most significant bit first. */
  #tree(base: number, bits: number): number {
    let node = 1;
    for (let i = 0; i < bits; i++) node = (node << 1) | this.#bit(base + node);
    return node - (1 << bits);
  }

  #reverseTree(base: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(base + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #length(base: number, posState: number): number {
    if (!this.#bit(base)) return 2 + this.#tree(base + 2 + posState * 8, 3);
    if (!this.#bit(base + 1)) return 10 + this.#tree(base + 2 + 128 + posState * 8, 3);
    return 18 + this.#tree(base + 2 + 256, 8);
  }

  #distance(length: number): number {
    const slot = this.#tree(POS_SLOT + Math.min(length - 2, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const high = ((2 | (slot & 1)) << bits) >>> 0;
    // The 14 slots' trees overlap so that each starts at its first distance; node numbers start at 1.
    if (slot < 14) return high + this.#reverseTree(POS_SPECIAL + high - slot, bits);
    return high + this.#direct(bits - 4) * 16 + this.#reverseTree(POS_ALIGN, 4);
  }

  #literal(to: number): void {
    const out = this.#out;
    const before = to > this.#dictStart ? out[to - 1]! : 0;
    const position = to - this.#dictStart;
    const base = LITERAL + 0x300 * (((position & this.#lpMask) << this.#lc) + (before >> (8 - this.#lc)));
    let symbol = 1;
    if (this.#state >= 7) {
      let match = out[to - this.#reps[0]! - 1]!;
      do {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = this.#bit(base + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (matchBit !== bit) break;
      } while (symbol < 0x100);
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol);
    out[to] = symbol & 0xff;
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  /** A match or a repeated one: updates the state and the last distances; returns the length. */
  #match(posState: number): number {
    const reps = this.#reps;
    const state = this.#state;
    if (!this.#bit(IS_REP + state)) {
      reps[3] = reps[2]!;
      reps[2] = reps[1]!;
      reps[1] = reps[0]!;
      const length = this.#length(LEN_CODER, posState);
      reps[0] = this.#distance(length);
      this.#state = state < 7 ? 7 : 10;
      return length;
    }
    if (!this.#bit(IS_REP_G0 + state)) {
      if (!this.#bit(IS_REP0_LONG + state * 16 + posState)) {
        this.#state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      const which = !this.#bit(IS_REP_G1 + state) ? 1 : 2 + this.#bit(IS_REP_G2 + state);
      const distance = reps[which]!;
      for (let i = which; i > 0; i--) reps[i] = reps[i - 1]!;
      reps[0] = distance;
    }
    this.#state = state < 7 ? 8 : 11;
    return this.#length(REP_LEN_CODER, posState);
  }

  #lzmaChunk(end: number): void {
    const src = this.#src;
    const out = this.#out;
    const at = this.at;
    if (src[at] !== 0) corrupt();
    this.#coder[RANGE] = -1;
    this.#coder[CODE] = (src[at + 1]! << 24) | (src[at + 2]! << 16) | (src[at + 3]! << 8) | src[at + 4]!;
    this.at = at + 5;
    let to = this.#to;
    while (to < end) {
      const posState = (to - this.#dictStart) & this.#pbMask;
      if (!this.#bit(IS_MATCH + this.#state * 16 + posState)) {
        this.#literal(to++);
        continue;
      }
      const length = this.#match(posState);
      const distance = this.#reps[0]! + 1;
      if (distance > to - this.#dictStart || to + length > end) corrupt();
      for (const stop = to + length; to < stop; to++) out[to] = out[to - distance]!;
    }
    this.#normalize();
    this.#to = end;
  }
}
