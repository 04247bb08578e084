// Conditions and the instructions that test one (SDM vol. 1, appendix B). A condition is 0 or 1. A builder that knows what the flags come of
// may put a comparison in the place of some (b.flag_*).
import { cf } from './alu';

@inline function cO<B, V>(b: B): V {
  return b.xor(b.shr(b.lfc(), b.k(63)), b.and(b.shr(b.lfc(), b.k(62)), b.k(1)));
}

@inline function cNO<B, V>(b: B): V {
  return b.xor(cO<B, V>(b), b.k(1));
}

@inline function cB<B, V>(b: B): V {
  return cf<B, V>(b);
}

@inline function cNB<B, V>(b: B): V {
  return b.xor(cB<B, V>(b), b.k(1));
}

@inline function cZ<B, V>(b: B): V {
  return b.flag_zero(b.eqz(b.lfr()));
}

@inline function cNZ<B, V>(b: B): V {
  return b.xor(cZ<B, V>(b), b.k(1));
}

@inline function cBE<B, V>(b: B): V {
  return b.flag_below_equal(b.or(cB<B, V>(b), cZ<B, V>(b)));
}

@inline function cNBE<B, V>(b: B): V {
  return b.xor(cBE<B, V>(b), b.k(1));
}

@inline function cS<B, V>(b: B): V {
  return b.flag_sign(b.and(b.xor(b.shr(b.lfr(), b.k(63)), b.shr(b.lfc(), b.k(16))), b.k(1)));
}

@inline function cNS<B, V>(b: B): V {
  return b.xor(cS<B, V>(b), b.k(1));
}

@inline function cP<B, V>(b: B): V {
  return b.and(b.not(b.popcnt(b.and(b.xor(b.lfr(), b.shr(b.lfc(), b.k(8))), b.k(0xff)))), b.k(1));
}

@inline function cNP<B, V>(b: B): V {
  return b.xor(cP<B, V>(b), b.k(1));
}

@inline function cL<B, V>(b: B): V {
  return b.flag_less(b.xor(cS<B, V>(b), cO<B, V>(b)));
}

@inline function cNL<B, V>(b: B): V {
  return b.xor(cL<B, V>(b), b.k(1));
}

@inline function cLE<B, V>(b: B): V {
  return b.flag_less_equal(b.or(cL<B, V>(b), cZ<B, V>(b)));
}

@inline function cNLE<B, V>(b: B): V {
  return b.xor(cLE<B, V>(b), b.k(1));
}

@inline function set<B, V, T, D>(b: B, u: usize, c: V): i32 {
  const p = b.at<T, D>(u, true);
  if (b.bad(p)) return 1;
  b.wr<T, D>(u, p, c);
  return 0;
}

/** The source is read, and may fault, whatever the condition; a 32-bit destination's upper half is cleared in both cases. */
@inline function move<B, V, T, D, S>(b: B, u: usize, c: V): i32 {
  const q = b.at<T, S>(u, false);
  if (b.bad(q)) return 1;
  b.wr<T, D>(u, b.k(1), b.sel(c, b.rd<T, S>(u, q), b.rd<T, D>(u, b.k(1))));
  return 0;
}

@inline export function JO<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cO<B, V>(b));
}
@inline export function SETO<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cO<B, V>(b));
}
@inline export function CMOVO<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cO<B, V>(b));
}

@inline export function JNO<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNO<B, V>(b));
}
@inline export function SETNO<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNO<B, V>(b));
}
@inline export function CMOVNO<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNO<B, V>(b));
}

@inline export function JB<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cB<B, V>(b));
}
@inline export function SETB<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cB<B, V>(b));
}
@inline export function CMOVB<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cB<B, V>(b));
}

@inline export function JNB<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNB<B, V>(b));
}
@inline export function SETNB<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNB<B, V>(b));
}
@inline export function CMOVNB<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNB<B, V>(b));
}

@inline export function JZ<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cZ<B, V>(b));
}
@inline export function SETZ<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cZ<B, V>(b));
}
@inline export function CMOVZ<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cZ<B, V>(b));
}

@inline export function JNZ<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNZ<B, V>(b));
}
@inline export function SETNZ<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNZ<B, V>(b));
}
@inline export function CMOVNZ<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNZ<B, V>(b));
}

@inline export function JBE<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cBE<B, V>(b));
}
@inline export function SETBE<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cBE<B, V>(b));
}
@inline export function CMOVBE<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cBE<B, V>(b));
}

@inline export function JNBE<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNBE<B, V>(b));
}
@inline export function SETNBE<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNBE<B, V>(b));
}
@inline export function CMOVNBE<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNBE<B, V>(b));
}

@inline export function JS<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cS<B, V>(b));
}
@inline export function SETS<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cS<B, V>(b));
}
@inline export function CMOVS<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cS<B, V>(b));
}

@inline export function JNS<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNS<B, V>(b));
}
@inline export function SETNS<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNS<B, V>(b));
}
@inline export function CMOVNS<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNS<B, V>(b));
}

@inline export function JP<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cP<B, V>(b));
}
@inline export function SETP<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cP<B, V>(b));
}
@inline export function CMOVP<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cP<B, V>(b));
}

@inline export function JNP<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNP<B, V>(b));
}
@inline export function SETNP<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNP<B, V>(b));
}
@inline export function CMOVNP<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNP<B, V>(b));
}

@inline export function JL<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cL<B, V>(b));
}
@inline export function SETL<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cL<B, V>(b));
}
@inline export function CMOVL<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cL<B, V>(b));
}

@inline export function JNL<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNL<B, V>(b));
}
@inline export function SETNL<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNL<B, V>(b));
}
@inline export function CMOVNL<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNL<B, V>(b));
}

@inline export function JLE<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cLE<B, V>(b));
}
@inline export function SETLE<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cLE<B, V>(b));
}
@inline export function CMOVLE<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cLE<B, V>(b));
}

@inline export function JNLE<B, V>(b: B, u: usize): usize {
  return b.jcc(u, cNLE<B, V>(b));
}
@inline export function SETNLE<B, V, T, D>(b: B, u: usize): i32 {
  return set<B, V, T, D>(b, u, cNLE<B, V>(b));
}
@inline export function CMOVNLE<B, V, T, D, S>(b: B, u: usize): i32 {
  return move<B, V, T, D, S>(b, u, cNLE<B, V>(b));
}
