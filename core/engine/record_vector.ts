// The recording builder's vector operands. XMM registers are vector slots; a pointer to one is a constant, its offset in the state, one to memory
// a PROBE. MMX registers are the x87's and stay with the interpreter: forms that have them are not recorded.
import { CPU_XMM } from '../arch/x86/cpu';
import { IR_STORE, IR_VLOAD, IR_VSTORE, Node, ref } from './ir';
import { isI, isXa, isXe, isXg, isXr } from './operand';
import { NONE, is_value_any } from './record_base';
import { RecordFloat } from './record_float';
import { GP } from './record_state';
import { UOP_MEM, uop_b, uop_m, uop_r } from './uop';

const XMM: u32 = <u32>CPU_XMM;

@unmanaged
export class RecordVector extends RecordFloat {
  // ---- operands
  vat<K>(u: usize, bytes: i32, write: bool): Node {
    if (isXg<K>()) return this.k(XMM + uop_r(u));
    if (isXr<K>() || ((isXe<K>() || isXa<K>()) && !(uop_m(u) & UOP_MEM))) return this.k(XMM + uop_b(u));
    if (!isXe<K>() && !isXa<K>()) return this.k(1);
    const va = this.linear(this.segment(u), this.offset_of(u));
    if (isXa<K>() && changetype<usize>(va)) this.guard(this.and(va, this.k(15)), GP);
    return this.probe_n(va, bytes, write);
  }
  vsrc<D, S>(u: usize): Node {
    return this.vat<S>(u, 16, false);
  }
  vval<K>(p: Node): Node {
    return this.vld(p);
  }
  vreg<K>(u: usize): Node {
    return this.vslot(XMM + (isXg<K>() ? uop_r(u) : uop_b(u)));
  }
  vput<K>(u: usize, w: Node): i32 {
    this.set_vslot(XMM + (isXg<K>() ? uop_r(u) : uop_b(u)), w);
    return 0;
  }
  vused<K>(): void {}
  vinreg<K>(u: usize): bool {
    if (isXe<K>() || isXa<K>()) return !(uop_m(u) & UOP_MEM);
    return !isI<K>();
  }
  xmm0(): Node {
    return this.vslot(XMM);
  }

  // ---- memory, or parts of registers
  vld(p: Node): Node {
    if (is_value_any(p)) return this.vslot(<u32>p.k);
    return this.emit(IR_VLOAD, 16, ref(p), 0, 0);
  }
  vld64(p: Node): Node {
    return this.ldp<u64>(p);
  }
  vld32(p: Node): Node {
    return this.ldp<u32>(p);
  }
  vld16(p: Node): Node {
    return this.ldp<u16>(p);
  }
  vld8(p: Node): Node {
    return this.ldp<u8>(p);
  }
  vst(p: Node, w: Node): void {
    if (is_value_any(p)) this.set_vslot(<u32>p.k, w);
    else this.emit(IR_VSTORE, 16, ref(p), ref(w), 0);
  }
  vst64(p: Node, v: Node): void {
    this.vst_part(p, v, 8);
  }
  vst32(p: Node, v: Node): void {
    this.vst_part(p, v, 4);
  }
  vst16(p: Node, v: Node): void {
    this.vst_part(p, v, 2);
  }
  vst8(p: Node, v: Node): void {
    this.vst_part(p, v, 1);
  }
  /** A part of a register leaves its other bytes. */
  vst_part(p: Node, v: Node, size: u32): void {
    if (!is_value_any(p)) {
      this.emit(IR_STORE, <u8>size, ref(p), ref(v), 0);
      return;
    }
    const o = <u32>p.k;
    this.set_vslot(o & ~15, this.insert(this.vslot(o & ~15), size, (o & 15) / size, v));
  }
  /** MASKMOVDQU. */
  vst_masked(u: usize, w: Node, mask: Node, bytes: i32): i32 {
    this.leave();
    return 1;
  }

  // ---- lanes that an immediate chooses
  shuffle32(p: Node, q: Node, imm: Node): Node {
    return this.shuffle(this.vld(p), this.vld(q), lanes32(imm.k), lanes32(imm.k >> 4) | 0x1010101010101010);
  }
  shuffle64(p: Node, q: Node, imm: Node): Node {
    const step: i64 = 0x0808080808080808;
    const base: i64 = 0x0706050403020100;
    return this.shuffle(
      this.vld(p),
      this.vld(q),
      base + (imm.k & 1) * step,
      (base + ((imm.k >> 1) & 1) * step) | 0x1010101010101010,
    );
  }
  shuffle16(q: Node, imm: Node, high: bool): Node {
    const x = this.vld(q);
    const words = lanes16(imm.k);
    if (high) return this.shuffle(x, x, 0x0706050403020100, words + 0x0808080808080808);
    return this.shuffle(x, x, words, 0x0f0e0d0c0b0a0908);
  }
}

/** Byte indices of the dwords that bits 0-1 and 2-3 choose. */
function lanes32(imm: i64): i64 {
  return 0x0302010003020100 + ((imm & 3) | ((imm & 12) << 30)) * 0x04040404;
}
/** Of the words that four pairs of bits choose. */
function lanes16(imm: i64): i64 {
  let r: i64 = 0;
  for (let i: i64 = 0; i < 4; i++) r |= (0x100 + ((imm >> (2 * i)) & 3) * 0x202) << (16 * i);
  return r;
}
