// Conditions in a recording. Where the flags of a block come of a sum or a difference, a condition of them is one comparison; what the lazy
// flags (arch/x86/flags.ts) would say of it is then computed for exits only.
import { Node, node } from './ir';
import { is_zero } from './record_base';
import { RecordLanes } from './record_lanes';

export const LFR: u32 = 20;
export const LFC: u32 = 21;

const DIFFERENCE: u32 = 1;
const SUM: u32 = 2;

@unmanaged
export class RecordFlags extends RecordLanes {
  // What the value `flags_lfc` of LFC comes of, as flags_kind says: x - y, or x + something = y; bytes of the operands.
  flags_size: u32;
  flags_x: u32;
  flags_y: u32;
  flags_lfc: u32;

  lfr(): Node {
    return this.slot(LFR);
  }
  lfc(): Node {
    return this.slot(LFC);
  }
  set_lfr(v: Node): void {
    this.set_slot(LFR, v);
  }
  set_lfc(v: Node): void {
    this.set_slot(LFC, v);
    this.flags_kind = 0;
  }

  flags_of_difference<T>(x: Node, y: Node): void {
    this.flags_of(DIFFERENCE, sizeof<T>(), x, y);
  }
  flags_of_sum<T>(x: Node, r: Node): void {
    this.flags_of(SUM, sizeof<T>(), x, r);
  }
  flags_of(kind: u32, size: u32, x: Node, y: Node): void {
    if (changetype<usize>(x) == 0 || changetype<usize>(y) == 0) return;
    this.flags_kind = kind;
    this.flags_size = size;
    this.flags_x = <u32>changetype<usize>(x);
    this.flags_y = <u32>changetype<usize>(y);
    this.flags_lfc = <u32>changetype<usize>(this.lfc());
  }
  /** Do the present flags come of this? */
  come_of(kind: u32): bool {
    return this.flags_kind == kind && this.flags_lfc == <u32>changetype<usize>(this.lfc());
  }
  unsigned(p: u32): Node {
    return this.flags_size == 8 ? node(p) : this.and(node(p), this.k(((<i64>1) << (<i64>this.flags_size * 8)) - 1));
  }
  signed(p: u32): Node {
    if (this.flags_size == 8) return node(p);
    return this.extend(node(p), this.flags_size);
  }

  flag_below(c: Node): Node {
    if (this.come_of(DIFFERENCE)) return this.ltu(this.unsigned(this.flags_x), this.unsigned(this.flags_y));
    if (this.come_of(SUM)) return this.ltu(this.unsigned(this.flags_y), this.unsigned(this.flags_x));
    return c;
  }
  flag_zero(c: Node): Node {
    return this.come_of(DIFFERENCE) ? this.eq(this.unsigned(this.flags_x), this.unsigned(this.flags_y)) : c;
  }
  flag_below_equal(c: Node): Node {
    if (!this.come_of(DIFFERENCE)) return c;
    return this.xor(this.ltu(this.unsigned(this.flags_y), this.unsigned(this.flags_x)), this.k(1));
  }
  /** Neither kind changes the sign of the result (LFC bit 16), nor does LFC = 0. */
  flag_sign(c: Node): Node {
    const plain = this.come_of(DIFFERENCE) || this.come_of(SUM) || is_zero(this.lfc());
    return plain ? this.lts(this.lfr(), this.k(0)) : c;
  }
  flag_less(c: Node): Node {
    if (this.come_of(DIFFERENCE)) return this.lts(this.signed(this.flags_x), this.signed(this.flags_y));
    return is_zero(this.lfc()) ? this.lts(this.lfr(), this.k(0)) : c;
  }
  flag_less_equal(c: Node): Node {
    if (this.come_of(DIFFERENCE))
      return this.xor(this.lts(this.signed(this.flags_y), this.signed(this.flags_x)), this.k(1));
    return is_zero(this.lfc()) ? this.lts(this.lfr(), this.k(1)) : c;
  }
}
