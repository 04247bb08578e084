// The recording builder of x86: V = W = Node. Method by method what Eval does, decided from the micro-op and the mode that code was decoded for;
// what depends on more (segments that are not flat) leaves the block.
import { MODE_CS64, MODE_FLAT, MODE_SS32 } from '../arch/x86/modes';
import { address_width_mask } from './address';
import { IR_DIVS, IR_DIVU, IR_REMS, IR_REMU, Node } from './ir';
import { isCL, isE, isG, isI, isI64, isO, isR } from './operand';
import { BASE_CS, BASE_SS, GP, LOW32, PAGE_VA, RAX, RBX, RCX, RDX, RSP } from './record_state';
import { RecordVector } from './record_vector';
import { UOP_LOCK, UOP_MEM, UOP_SPECIAL, uop_b, uop_imm, uop_len, uop_m, uop_pos, uop_r } from './uop';

@final
@unmanaged
export class Record extends RecordVector {
  // ---- operands
  memory<K>(u: usize): bool {
    return isO<K>() || (isE<K>() && (uop_m(u) & UOP_MEM) != 0);
  }
  at<T, K>(u: usize, w: bool): Node {
    if (!this.memory<K>(u)) return this.k(1);
    const off = isO<K>() ? this.k(load<i64>(u, 8)) : this.offset_of(u);
    return this.probe<T>(this.linear(this.segment(u), off), w);
  }
  at_bit<T, K, C>(u: usize, w: bool): Node {
    if (isI<C>() || !this.memory<K>(u)) return this.at<T, K>(u, w);
    const words = this.sar(
      this.sx<T>(this.rd<T, C>(u, this.k(1))),
      this.k(sizeof<T>() == 8 ? 6 : sizeof<T>() == 4 ? 5 : 4),
    );
    const by = this.mul(words, this.k(sizeof<T>()));
    let off = this.add(this.offset_of(u), by);
    if (uop_m(u) & UOP_SPECIAL) off = this.and(off, this.k(address_width_mask(u)));
    return this.probe<T>(this.linear(this.segment(u), off), w);
  }
  rd<T, K>(u: usize, p: Node): Node {
    if (isG<K>()) return this.getr<T>(uop_r(u));
    if (isR<K>()) return this.getr<T>(uop_b(u));
    if (isCL<K>()) return this.getr<u8>(8);
    if (isI<K>()) return this.zx<T>(this.k(uop_imm(u)));
    if (isI64<K>()) return this.k(load<i64>(u, 8));
    return this.memory<K>(u) ? this.ldp<T>(p) : this.getr<T>(uop_b(u));
  }
  wr<T, K>(u: usize, p: Node, v: Node): void {
    if (isG<K>()) this.setr<T>(uop_r(u), v);
    else if (this.memory<K>(u)) this.stp<T>(p, v);
    else this.setr<T>(uop_b(u), v);
  }
  swap<T, K>(u: usize, p: Node, x: Node, v: Node): bool {
    if (isE<K>() && uop_m(u) & UOP_LOCK) return this.cas<T>(p, x, v);
    this.wr<T, K>(u, p, v);
    return true;
  }
  inreg<K>(u: usize): bool {
    return !this.memory<K>(u);
  }

  /** With LOCK, the interpreter's: there is no compare-and-swap of 16 bytes. */
  cas16(u: usize, p: Node): Node {
    if (uop_m(u) & UOP_LOCK) return this.leave();
    const w = this.vld(p);
    const lo = this.half(w, 0);
    const hi = this.half(w, 1);
    const same = this.and(this.eq(lo, this.slot(RAX)), this.eq(hi, this.slot(RDX)));
    this.vst(p, this.pair(this.sel(same, this.slot(RBX), lo), this.sel(same, this.slot(RCX), hi)));
    this.set_slot(RAX, this.sel(same, this.slot(RAX), lo));
    this.set_slot(RDX, this.sel(same, this.slot(RDX), hi));
    return same;
  }

  // ---- division: what has no quotient of 64 bits by plain means escapes
  divide<T>(d: Node): bool {
    const wide = sizeof<T>() == 8;
    const hi = this.high_part<T>();
    this.escape(wide ? this.or(hi, this.eqz(d)) : this.eqz(this.ltu(hi, d)));
    const n = wide ? this.slot(RAX) : this.or(this.shl(hi, this.k(8 * sizeof<T>())), this.getr<T>(RAX << 3));
    this.put<T>(this.two(IR_DIVU, n, d), this.two(IR_REMU, n, d));
    return true;
  }
  divide_signed<T>(d: Node): bool {
    const wide = sizeof<T>() == 8;
    const lo = this.getr<T>(RAX << 3);
    const hi = this.sx<T>(this.high_part<T>());
    // 0 and -1; a dividend that is no sign-extended i64
    const without = this.ltu(this.add(d, this.k(1)), this.k(2));
    this.escape(wide ? this.or(without, this.xor(hi, this.sar(lo, this.k(63)))) : without);
    const n = wide ? lo : this.or(this.shl(hi, this.k(8 * sizeof<T>())), lo);
    const q = this.two(IR_DIVS, n, d);
    if (!wide) this.escape(this.xor(this.sx<T>(q), q));
    this.put<T>(q, this.two(IR_REMS, n, d));
    return true;
  }
  /** AH or RDX. */
  high_part<T>(): Node {
    return this.getr<T>(sizeof<T>() == 1 ? 1 : RDX << 3);
  }
  put<T>(q: Node, r: Node): void {
    this.setr<T>(RAX << 3, q);
    this.setr<T>(sizeof<T>() == 1 ? 1 : RDX << 3, r);
  }

  // ---- the stack
  stack_mask(): i64 {
    return this.mode & MODE_CS64 ? -1 : this.mode & MODE_SS32 ? LOW32 : 0xffff;
  }
  stack<T>(n: Node): Node {
    return this.linear(BASE_SS, this.and(this.add(this.slot(RSP), n), this.k(this.stack_mask())));
  }
  stack_move<T>(n: Node): void {
    this.set_width(RSP, this.add(this.slot(RSP), n), this.stack_mask());
  }
  /** Write a register as wide as addresses are: 16 bits keep the rest. */
  set_width(i: u32, v: Node, width: i64): void {
    const low = this.and(v, this.k(width));
    this.set_slot(i, width == 0xffff ? this.or(this.and(this.slot(i), this.k(~width)), low) : low);
  }

  // ---- control
  target_ok(u: usize, t: Node): bool {
    if (this.mode & MODE_CS64) {
      const n = this.k(16);
      this.guard_target(this.xor(this.eq(this.sar(this.shl(t, n), n), t), this.k(1)), GP, t);
      return true;
    }
    if (!(this.mode & MODE_FLAT)) this.leave();
    return (this.mode & MODE_FLAT) != 0;
  }
  counter(u: usize): Node {
    return this.and(this.slot(RCX), this.k(address_width_mask(u)));
  }
  set_counter(u: usize, v: Node): void {
    this.set_width(RCX, v, address_width_mask(u));
  }
  next(u: usize): Node {
    return this.sub(this.add(this.slot(PAGE_VA), this.k(uop_pos(u) + uop_len(u))), this.fixed(BASE_CS));
  }
}
