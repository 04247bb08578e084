// SSE4.2 string comparisons (SDM vol. 2, 4.1) and EMMS: rare, so they take the vCPU itself.
import { CPU_FTW, CPU_XMM, Cpu } from '../cpu';
import { set_flags6, CF, OF, SF, ZF } from '../flags';
import { mmx_enter, mmx_ready, vector_memory } from '../../../engine/eval_vector';
import { UOP_MEM, reg_set, uop_b, uop_imm, uop_m, uop_r } from '../../../engine/uop';

// The control byte: element type in bits 0-1, aggregation in 2-3, polarity in 4-5, output in 6.
const WORDS: i32 = 1;
const SIGNED: i32 = 2;
const NEGATE: i32 = 0x10;
const MASKED: i32 = 0x20;
const OUTPUT: i32 = 0x40;
const SLOT_RCX: u32 = 8;

@inline function splat(p: usize, i: i32, imm: i32): v128 {
  return imm & WORDS ? v128.load16_splat(p + ((<usize>i) << 1)) : v128.load8_splat(p + <usize>i);
}

/** One bit an element. */
@inline function bits(x: v128, imm: i32): i32 {
  return imm & WORDS ? i16x8.bitmask(x) : i8x16.bitmask(x);
}

@inline function equal(x: v128, y: v128, imm: i32): i32 {
  return bits(imm & WORDS ? i16x8.eq(x, y) : i8x16.eq(x, y), imm);
}

function not_above(x: v128, y: v128, imm: i32): i32 {
  if (imm & SIGNED) return bits(imm & WORDS ? i16x8.le_s(x, y) : i8x16.le_s(x, y), imm);
  return bits(imm & WORDS ? i16x8.le_u(x, y) : i8x16.le_u(x, y), imm);
}

/** Length of the string at p: elements before the first that is 0. */
function implicit_length(p: usize, imm: i32): i32 {
  const zeros = equal(v128.load(p), i64x2.splat(0), imm) | (imm & WORDS ? 0x100 : 0x10000);
  return ctz<i32>(zeros);
}

/** A length given in a register: its magnitude, at most what fits. */
function explicit_length(v: i64, imm: i32): i32 {
  const most: u64 = imm & WORDS ? 8 : 16;
  const size = <u64>(v < 0 ? -v : v);
  return <i32>(size < most ? size : most);
}

/** The result before the polarity (IntRes1): one bit an element of the second operand. */
function aggregate(p: usize, q: usize, n1: i32, n2: i32, imm: i32): i32 {
  const y = v128.load(q);
  const all = imm & WORDS ? 0xff : 0xffff;
  const valid = (1 << n2) - 1;
  let r = 0;
  switch ((imm >> 2) & 3) {
    case 0: // equal any
      for (let i = 0; i < n1; i++) r |= equal(splat(p, i, imm), y, imm);
      return r & valid;
    case 1: // ranges, each of two elements
      for (let i = 0; i + 1 < n1; i += 2)
        r |= not_above(splat(p, i, imm), y, imm) & not_above(y, splat(p, i + 1, imm), imm);
      return r & valid;
    case 2: {
      // equal each; elements past both ends are equal
      const first = (1 << n1) - 1;
      return (equal(v128.load(p), y, imm) & valid & first) | (all & ~(valid | first));
    }
    default: // equal ordered: where the first string begins in the second, or is cut off by the register's end
      r = all;
      for (let i = 0; i < n1; i++) r &= ((equal(splat(p, i, imm), y, imm) & valid) >> i) | ~(all >> i);
      return r & all;
  }
}

/** The result (IntRes2) and the flags. */
function compare(cpu: Cpu, p: usize, q: usize, n1: i32, n2: i32, imm: i32): i32 {
  const count = imm & WORDS ? 8 : 16;
  let r = aggregate(p, q, n1, n2, imm);
  if (imm & NEGATE) r ^= imm & MASKED ? (1 << n2) - 1 : (1 << count) - 1;
  set_flags6(cpu, (r ? CF : 0) | (n2 < count ? ZF : 0) | (n1 < count ? SF : 0) | (r & 1 ? OF : 0));
  return r;
}

function put_index(cpu: Cpu, r: i32, imm: i32): i32 {
  const count = imm & WORDS ? 8 : 16;
  const at = imm & OUTPUT ? 31 - clz<i32>(r) : ctz<i32>(r);
  reg_set<u32>(cpu, SLOT_RCX, r ? at : count);
  return 0;
}

/** XMM0: the bits, or elements of all ones. */
function put_mask(cpu: Cpu, r: i32, imm: i32): i32 {
  let w: v128;
  if (!(imm & OUTPUT)) w = i64x2.replace_lane(i64x2.splat(0), 0, <i64>r);
  else if (imm & WORDS) {
    const lanes = i16x8(1, 2, 4, 8, 16, 32, 64, 128);
    w = i16x8.eq(v128.and(i16x8.splat(<i16>r), lanes), lanes);
  } else {
    const lanes = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
    // each byte of r in the eight lanes that its bits belong to
    const both = i8x16.swizzle(i16x8.splat(<i16>r), i64x2(0, 0x101010101010101));
    w = i8x16.eq(v128.and(both, lanes), lanes);
  }
  v128.store(changetype<usize>(cpu) + CPU_XMM, w);
  return 0;
}

@inline function first(cpu: Cpu, u: usize): usize {
  return changetype<usize>(cpu) + CPU_XMM + uop_r(u);
}

/** Memory need not be aligned. 0 = exception pending. */
function second(cpu: Cpu, u: usize): usize {
  return uop_m(u) & UOP_MEM ? vector_memory(cpu, u, 16, false) : changetype<usize>(cpu) + CPU_XMM + uop_b(u);
}

/** Lengths in RAX and RDX, T wide. */
@inline function with_lengths<T>(cpu: Cpu, u: usize, q: usize): i32 {
  const imm = uop_imm(u);
  const n1 = explicit_length(sizeof<T>() == 8 ? <i64>cpu.rax : <i64>(<i32>cpu.rax), imm);
  const n2 = explicit_length(sizeof<T>() == 8 ? <i64>cpu.rdx : <i64>(<i32>cpu.rdx), imm);
  return compare(cpu, first(cpu, u), q, n1, n2, imm);
}

function with_ends(cpu: Cpu, u: usize, q: usize): i32 {
  const imm = uop_imm(u);
  const p = first(cpu, u);
  return compare(cpu, p, q, implicit_length(p, imm), implicit_length(q, imm), imm);
}

export function PCMPESTRI<T>(cpu: Cpu, u: usize): i32 {
  const q = second(cpu, u);
  return q ? put_index(cpu, with_lengths<T>(cpu, u, q), uop_imm(u)) : 1;
}

export function PCMPESTRM<T>(cpu: Cpu, u: usize): i32 {
  const q = second(cpu, u);
  return q ? put_mask(cpu, with_lengths<T>(cpu, u, q), uop_imm(u)) : 1;
}

export function PCMPISTRI(cpu: Cpu, u: usize): i32 {
  const q = second(cpu, u);
  return q ? put_index(cpu, with_ends(cpu, u, q), uop_imm(u)) : 1;
}

export function PCMPISTRM(cpu: Cpu, u: usize): i32 {
  const q = second(cpu, u);
  return q ? put_mask(cpu, with_ends(cpu, u, q), uop_imm(u)) : 1;
}

/** All x87 registers become empty. */
export function EMMS(cpu: Cpu, u: usize): i32 {
  if (!mmx_ready(cpu)) return 1;
  mmx_enter(cpu); // TOP = 0, as after every MMX instruction
  store<u8>(changetype<usize>(cpu), 0, CPU_FTW);
  return 0;
}
