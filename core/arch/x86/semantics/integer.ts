// Arithmetic, logic and moves on general registers and memory (SDM vol. 2). Bodies are generic over the builder: see docs/design/core.md.
import {
  add_carries,
  carries,
  cf,
  flags6,
  flags_add,
  flags_logic,
  flags_mul,
  flags_difference,
  flags_sub,
  flags_sum,
  flags_zf,
  set_flags6,
} from './alu';
import { Xa } from '../../../engine/operand';

@inline export function ADD<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, q);
  const r = b.add(x, y);
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_sum<B, V, T>(b, x, y, r);
  return 0;
}

@inline export function ADC<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, q);
  const r = b.add(b.add(x, y), cf<B, V>(b));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_add<B, V, T>(b, x, y, r);
  return 0;
}

@inline export function SUB<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, q);
  const r = b.sub(x, y);
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_difference<B, V, T>(b, x, y, r);
  return 0;
}

@inline export function SBB<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, q);
  const r = b.sub(b.sub(x, y), cf<B, V>(b));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_sub<B, V, T>(b, x, y, r);
  return 0;
}

@inline export function CMP<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, false);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, q);
  flags_difference<B, V, T>(b, x, y, b.sub(x, y));
  return 0;
}

@inline export function AND<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const r = b.and(x, b.rd<T, S>(u, q));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_logic<B, V, T>(b, r);
  return 0;
}

@inline export function OR<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const r = b.or(x, b.rd<T, S>(u, q));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_logic<B, V, T>(b, r);
  return 0;
}

@inline export function XOR<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, D>(u, p);
  const r = b.xor(x, b.rd<T, S>(u, q));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_logic<B, V, T>(b, r);
  return 0;
}

@inline export function TEST<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, false);
  if (b.bad(p)) return 1;
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  flags_logic<B, V, T>(b, b.and(b.rd<T, D>(u, p), b.rd<T, S>(u, q)));
  return 0;
}

/** INC and DEC leave CF: lfc keeps bit 63, and bit 62 becomes CF xor the new OF. */
@inline function flags_keep_cf<B, V, T>(b: B, r: V, cv: V): void {
  const n = carries<B, V, T>(b, cv);
  const old = b.lfc();
  const ov = b.xor(n, b.shl(n, b.k(1)));
  const cx = b.and(b.shr(b.xor(old, ov), b.k(1)), b.k(0x4000000000000000));
  b.set_lfr(b.sx<T>(r));
  b.set_lfc(b.or(b.or(b.and(old, b.k(0x8000000000000000)), cx), b.and(n, b.k(8))));
}

@inline export function INC<B, V, T, D>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const r = b.add(x, b.k(1));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_keep_cf<B, V, T>(b, r, b.and(x, b.not(r)));
  return 0;
}

@inline export function DEC<B, V, T, D>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const r = b.sub(x, b.k(1));
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  flags_keep_cf<B, V, T>(b, r, b.and(b.not(x), r));
  return 0;
}

@inline export function NOT<B, V, T, D>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  return b.swap<T, D>(u, p, x, b.not(x)) ? 0 : b.retry();
}

@inline export function NEG<B, V, T, D>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const r = b.neg(x);
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  // 0 - x: a borrow out of bit i iff any of x's bits 0..i is set: x | r
  b.set_lfr(b.sx<T>(r));
  b.set_lfc(carries<B, V, T>(b, b.or(x, r)));
  return 0;
}

/** AX, DX:AX, EDX:EAX or RDX:RAX = accumulator × operand. */
@inline export function MUL<B, V, T, S>(b: B, u: usize): i32 {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return 1;
  const x = b.getr<T>(0);
  const y = b.rd<T, S>(u, p);
  const r = b.mul(x, y);
  let high: V;
  if (sizeof<T>() == 8) high = b.umulh(x, y);
  else high = b.shr(r, b.k(8 * sizeof<T>()));
  flags_mul<B, V, T>(b, r, b.xor(b.eqz(high), b.k(1)));
  if (sizeof<T>() == 1) b.setr<u16>(0, r);
  else {
    b.setr<T>(0, r);
    b.setr<T>(16, high);
  }
  return 0;
}

@inline export function IMUL<B, V, T, S>(b: B, u: usize): i32 {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return 1;
  const x = b.sx<T>(b.getr<T>(0));
  const y = b.sx<T>(b.rd<T, S>(u, p));
  const r = b.mul(x, y);
  let high: V;
  if (sizeof<T>() == 8) high = b.smulh(x, y);
  else high = b.sar(r, b.k(8 * sizeof<T>()));
  const fits = b.eq(high, b.sar(b.sx<T>(r), b.k(63)));
  flags_mul<B, V, T>(b, r, b.xor(fits, b.k(1)));
  if (sizeof<T>() == 1) b.setr<u16>(0, r);
  else {
    b.setr<T>(0, r);
    b.setr<T>(16, high);
  }
  return 0;
}

@inline function product<B, V, T>(b: B, x: V, y: V): V {
  const r = b.mul(x, y);
  let fits: V;
  if (sizeof<T>() == 8) fits = b.eq(b.smulh(x, y), b.sar(r, b.k(63)));
  else fits = b.eq(b.sx<T>(r), r);
  flags_mul<B, V, T>(b, r, b.xor(fits, b.k(1)));
  return r;
}

@inline export function DIV<B, V, T, S>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  return b.divide<T>(b.rd<T, S>(u, q)) ? 0 : 1;
}

@inline export function IDIV<B, V, T, S>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  return b.divide_signed<T>(b.sx<T>(b.rd<T, S>(u, q))) ? 0 : 1;
}

@inline export function IMUL2<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return 1;
  b.wr<T, D>(u, b.k(1), product<B, V, T>(b, b.sx<T>(b.rd<T, D>(u, b.k(1))), b.sx<T>(b.rd<T, S>(u, p))));
  return 0;
}

@inline export function IMUL3<B, V, T, D, S, C>(b: B, u: usize): i32 {
  const p = b.at<T, S>(u, false);
  if (b.bad(p)) return 1;
  b.wr<T, D>(u, b.k(1), product<B, V, T>(b, b.sx<T>(b.rd<T, S>(u, p)), b.sx<T>(b.rd<T, C>(u, b.k(1)))));
  return 0;
}

/** CBW, CWDE, CDQE. */
@inline export function CBW<B, V, T>(b: B, u: usize): i32 {
  if (sizeof<T>() == 2) b.setr<T>(0, b.sx<u8>(b.getr<u8>(0)));
  else if (sizeof<T>() == 4) b.setr<T>(0, b.sx<u16>(b.getr<u16>(0)));
  else b.setr<T>(0, b.sx<u32>(b.getr<u32>(0)));
  return 0;
}

/** CWD, CDQ, CQO. */
@inline export function CWD<B, V, T>(b: B, u: usize): i32 {
  b.setr<T>(16, b.sar(b.sx<T>(b.getr<T>(0)), b.k(63)));
  return 0;
}

@inline export function MOV<B, V, T, D, S>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  b.wr<T, D>(u, p, b.rd<T, S>(u, q));
  return 0;
}

@inline export function MOV_moffs<B, V, T, D, S>(b: B, u: usize): i32 {
  return MOV<B, V, T, D, S>(b, u);
}

@inline export function MOVNTI<B, V, T, D, S>(b: B, u: usize): i32 {
  return MOV<B, V, T, D, S>(b, u);
}

@inline export function MOVZX<B, V, T, S, D, K>(b: B, u: usize): i32 {
  const q = b.at<S, K>(u, false);
  if (b.bad(q)) return 1;
  b.wr<T, D>(u, b.k(1), b.rd<S, K>(u, q));
  return 0;
}

@inline export function MOVSX<B, V, T, S, D, K>(b: B, u: usize): i32 {
  const q = b.at<S, K>(u, false);
  if (b.bad(q)) return 1;
  b.wr<T, D>(u, b.k(1), b.sx<S>(b.rd<S, K>(u, q)));
  return 0;
}

@inline export function MOVSXD<B, V, T, S, D, K>(b: B, u: usize): i32 {
  return MOVSX<B, V, T, S, D, K>(b, u);
}

@inline export function LEA<B, V, T, D, K>(b: B, u: usize): i32 {
  b.wr<T, D>(u, b.k(1), b.offset<K>(u));
  return 0;
}

/** With memory it is locked, prefix or not. */
@inline export function XCHG<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, b.k(1));
  if (!b.swap<T, D>(u, p, x, y)) return b.retry();
  b.wr<T, S>(u, b.k(1), x);
  return 0;
}

@inline export function XADD<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const y = b.rd<T, S>(u, b.k(1));
  const r = b.add(x, y);
  // with one register for both the sum stays, so the source is written first; with memory only after the swap succeeded
  if (b.inreg<D>(u)) b.wr<T, S>(u, b.k(1), x);
  if (!b.swap<T, D>(u, p, x, r)) return b.retry();
  if (!b.inreg<D>(u)) b.wr<T, S>(u, b.k(1), x);
  flags_add<B, V, T>(b, x, y, r);
  return 0;
}

@inline export function CMPXCHG<B, V, T, D, S>(b: B, u: usize): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  const x = b.rd<T, D>(u, p);
  const a = b.getr<T>(0);
  const same = b.eq(x, a);
  const y = b.rd<T, S>(u, b.k(1));
  // Only one of the two is written in a register: a 32-bit write clears the upper half. The destination may be the accumulator itself.
  if (sizeof<T>() == 4 && b.inreg<D>(u)) b.wr<u64, D>(u, p, b.sel(same, y, b.rd<u64, D>(u, p)));
  else if (!b.swap<T, D>(u, p, x, b.sel(same, y, x))) return b.retry();
  if (sizeof<T>() == 4) b.setr<u64>(0, b.sel(same, b.getr<u64>(0), x));
  else b.setr<T>(0, b.sel(same, b.getr<T>(0), x));
  flags_difference<B, V, T>(b, a, x, b.sub(a, x));
  return 0;
}

/** The operand is memory, 16-byte aligned. */
@inline export function CMPXCHG16B<B, V, K>(b: B, u: usize): i32 {
  const p = b.vat<Xa>(u, 16, true);
  if (b.bad(p)) return 1;
  const same = b.cas16(u, p);
  set_flags6<B, V>(b, b.or(b.and(flags6<B, V>(b), b.k(~0x40)), b.shl(same, b.k(6))));
  return 0;
}

@inline function rotate<B, V>(b: B, x: V, n: i32): V {
  return b.or(b.shl(x, b.k(n)), b.shr(x, b.k(64 - n)));
}

/** A byte's way is an odd number of bytes, and two go the same one: four rotations, side by side. */
@inline function swap8<B, V>(b: B, x: V): V {
  const ends = b.or(
    b.and(rotate<B, V>(b, x, 56), b.k(0xff000000ff000000)),
    b.and(rotate<B, V>(b, x, 8), b.k(0x000000ff000000ff)),
  );
  const middle = b.or(
    b.and(rotate<B, V>(b, x, 24), b.k(0x0000ff000000ff00)),
    b.and(rotate<B, V>(b, x, 40), b.k(0x00ff000000ff0000)),
  );
  return b.or(ends, middle);
}

@inline function swap4<B, V>(b: B, x: V): V {
  const m = b.k(0x00ff00ff);
  const pairs = b.or(b.and(b.shr(x, b.k(8)), m), b.shl(b.and(x, m), b.k(8)));
  return b.or(b.shr(pairs, b.k(16)), b.shl(pairs, b.k(16)));
}

@inline export function BSWAP<B, V, T, D>(b: B, u: usize): i32 {
  const x = b.rd<T, D>(u, b.k(1));
  b.wr<T, D>(u, b.k(1), sizeof<T>() == 8 ? swap8<B, V>(b, x) : swap4<B, V>(b, x));
  return 0;
}

@inline export function POPCNT<B, V, T, D, S>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const r = b.popcnt(b.rd<T, S>(u, q));
  b.wr<T, D>(u, b.k(1), r);
  flags_zf<B, V>(b, b.eqz(r));
  return 0;
}

/** A zero source leaves the destination as it is, as on AMD's processors; the manual leaves it undefined. */
@inline export function BSF<B, V, T, D, S>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, S>(u, q);
  const zero = b.eqz(x);
  bit_index<B, V, T, D>(b, u, zero, b.ctz(x));
  return 0;
}

@inline export function BSR<B, V, T, D, S>(b: B, u: usize): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  const x = b.rd<T, S>(u, q);
  const zero = b.eqz(x);
  bit_index<B, V, T, D>(b, u, zero, b.sub(b.k(63), b.clz(x)));
  return 0;
}

@inline function bit_index<B, V, T, D>(b: B, u: usize, zero: V, r: V): void {
  if (sizeof<T>() == 4) b.wr<u64, D>(u, b.k(1), b.sel(zero, b.rd<u64, D>(u, b.k(1)), r));
  else b.wr<T, D>(u, b.k(1), b.sel(zero, b.rd<T, D>(u, b.k(1)), r));
  flags_zf<B, V>(b, zero);
}

@inline export function NOP<B, V>(b: B, u: usize): i32 {
  return 0;
}
@inline export function PAUSE<B, V>(b: B, u: usize): i32 {
  return 0;
}
@inline export function NOP_rm<B, V, T, K>(b: B, u: usize): i32 {
  return 0;
}
/** Fences: Wasm's plain accesses on one thread are in order, and locked ones are sequentially consistent. */
@inline export function LFENCE<B, V>(b: B, u: usize): i32 {
  return 0;
}
@inline export function MFENCE<B, V>(b: B, u: usize): i32 {
  b.fence();
  return 0;
}
@inline export function SFENCE<B, V>(b: B, u: usize): i32 {
  return 0;
}
