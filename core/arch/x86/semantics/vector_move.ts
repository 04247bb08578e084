// Moves between XMM, MMX and general registers and memory (SDM vol. 2). A body serves both register files where the rows agree.
import { isMmx, isXmm } from '../../../engine/eval_vector';
import { isXe } from '../../../engine/operand';

@inline function isVector<K>(): bool {
  return isMmx<K>() || isXmm<K>();
}

// ---- whole registers
/** D is written as it is: a register whole, memory 16 bytes. */
@inline function move<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 16, false);
  if (b.bad(q)) return 1;
  const p = b.vat<D>(u, 16, true);
  if (b.bad(p)) return 1;
  b.vst(p, b.vld(q));
  return 0;
}

@inline export function MOVUPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVUPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVAPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVAPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVDQA<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVDQU<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVNTPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVNTPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVNTDQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function MOVNTDQA<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}
@inline export function LDDQU<B, V, W, D, S>(b: B, u: usize): i32 {
  return move<B, V, W, D, S>(b, u);
}

// ---- scalars. Register to register keeps the rest of the destination, a load clears it
@inline export function MOVSS<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 4, false);
  if (b.bad(q)) return 1;
  const p = b.vat<D>(u, 4, true);
  if (b.bad(p)) return 1;
  if (isXe<S>()) b.vst(p, b.pair(b.vld32(q), b.k(0)));
  else b.vst32(p, b.vld32(q));
  return 0;
}

@inline export function MOVSD_x<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  if (b.bad(q)) return 1;
  const p = b.vat<D>(u, 8, true);
  if (b.bad(p)) return 1;
  if (isXe<S>()) b.vst(p, b.pair(b.vld64(q), b.k(0)));
  else b.vst64(p, b.vld64(q));
  return 0;
}

/** Between XMM registers the upper half is cleared. */
@inline export function MOVQ_x<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  if (b.bad(q)) return 1;
  const p = b.vat<D>(u, 8, true);
  if (b.bad(p)) return 1;
  const v = b.vld64(q);
  if (b.vinreg<D>(u)) b.vst(p, b.pair(v, b.k(0)));
  else b.vst64(p, v);
  return 0;
}

// ---- halves
/** Half `to` of D is half `from` of S; memory is one half. */
@inline function move_half<B, V, W, D, S>(b: B, u: usize, to: i32, from: i32): i32 {
  const q = b.vat<S>(u, 8, false);
  if (b.bad(q)) return 1;
  const p = b.vat<D>(u, 8, true);
  if (b.bad(p)) return 1;
  const v = b.vld64(isXe<S>() ? q : b.add(q, b.k(from)));
  b.vst64(isXe<D>() ? p : b.add(p, b.k(to)), v);
  return 0;
}

@inline export function MOVLPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move_half<B, V, W, D, S>(b, u, 0, 0);
}
@inline export function MOVLPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return move_half<B, V, W, D, S>(b, u, 0, 0);
}
@inline export function MOVHPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move_half<B, V, W, D, S>(b, u, 8, 8);
}
@inline export function MOVHPD<B, V, W, D, S>(b: B, u: usize): i32 {
  return move_half<B, V, W, D, S>(b, u, 8, 8);
}
@inline export function MOVHLPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move_half<B, V, W, D, S>(b, u, 0, 8);
}
@inline export function MOVLHPS<B, V, W, D, S>(b: B, u: usize): i32 {
  return move_half<B, V, W, D, S>(b, u, 8, 0);
}

@inline export function MOVSLDUP<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vval<S>(q);
  const even = b.even32(x, x);
  return b.vput<D>(u, b.unpack_lo32(even, even));
}

@inline export function MOVSHDUP<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  const x = b.vval<S>(q);
  const odd = b.odd32(x, x);
  return b.vput<D>(u, b.unpack_lo32(odd, odd));
}

@inline export function MOVDDUP<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  return b.bad(q) ? 1 : b.vput<D>(u, b.i64x2_splat(b.vld64(q)));
}

// ---- general registers and MMX
/** To or from a general register or memory of type T. */
@inline export function MOVD<B, V, W, T, D, S>(b: B, u: usize): i32 {
  const r = isVector<D>() ? b.vat<D>(u, 8, true) : b.vat<S>(u, 8, false);
  if (b.bad(r)) return 1;
  if (isVector<D>()) {
    const q = b.at<T, S>(u, false);
    return b.bad(q) ? 1 : b.vput<D>(u, b.pair(b.rd<T, S>(u, q), b.k(0)));
  }
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  b.wr<T, D>(u, p, b.ldp<T>(r));
  b.vused<S>();
  return 0;
}

@inline export function MOVQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  if (b.bad(q)) return 1;
  const p = b.vat<D>(u, 8, true);
  if (b.bad(p)) return 1;
  const v = b.vld64(q);
  if (b.vinreg<D>(u)) return b.vput<D>(u, b.pair(v, b.k(0)));
  b.vst64(p, v);
  b.vused<S>();
  return 0;
}

@inline export function MOVNTQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return MOVQ<B, V, W, D, S>(b, u);
}

@inline export function MOVQ2DQ<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 8, false);
  if (b.bad(q)) return 1;
  b.vused<S>();
  return b.vput<D>(u, b.vval<S>(q));
}

@inline export function MOVDQ2Q<B, V, W, D, S>(b: B, u: usize): i32 {
  if (b.bad(b.vat<D>(u, 8, true))) return 1;
  return b.vput<D>(u, b.vreg<S>(u));
}

// ---- masks
@inline function store_masked<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vsrc<D, S>(u);
  if (b.bad(q)) return 1;
  // a page fault finds the x87 state changed already
  b.vused<D>();
  return b.vst_masked(u, b.vreg<D>(u), b.i8x16_bitmask(b.vval<S>(q)), isMmx<D>() ? 8 : 16);
}

@inline export function MASKMOVDQU<B, V, W, D, S>(b: B, u: usize): i32 {
  return store_masked<B, V, W, D, S>(b, u);
}
@inline export function MASKMOVQ<B, V, W, D, S>(b: B, u: usize): i32 {
  return store_masked<B, V, W, D, S>(b, u);
}

@inline export function PMOVMSKB<B, V, W, D, S>(b: B, u: usize): i32 {
  const q = b.vat<S>(u, 16, false);
  if (b.bad(q)) return 1;
  b.wr<u32, D>(u, q, b.i8x16_bitmask(b.vval<S>(q)));
  b.vused<S>();
  return 0;
}

@inline export function MOVMSKPS<B, V, W, D, S>(b: B, u: usize): i32 {
  b.wr<u32, D>(u, b.k(1), b.i32x4_bitmask(b.vreg<S>(u)));
  return 0;
}

@inline export function MOVMSKPD<B, V, W, D, S>(b: B, u: usize): i32 {
  b.wr<u32, D>(u, b.k(1), b.i64x2_bitmask(b.vreg<S>(u)));
  return 0;
}
