// x86's state and addresses in a recording: which slots are what, and linear addresses for the mode that code was decoded for.
import { Cpu, SEG_DS, SEG_ES, SEG_SS } from '../arch/x86/cpu';
import { MODE_CS64, MODE_FLAT, MODE_VM86 } from '../arch/x86/modes';
import { X_ADDR16 } from './address';
import { Node } from './ir';
import { RecordFlags } from './record_flags';
import { UOP_SPECIAL, uop_b, uop_disp, uop_m, uop_x } from './uop';

// Slots of Cpu (core/arch/x86/cpu.ts).
export const RAX: u32 = 0;
export const RCX: u32 = 1;
export const RDX: u32 = 2;
export const RBX: u32 = 3;
export const RSP: u32 = 4;
const ZERO: u32 = 16;
export const PAGE_VA: u32 = 17;
const RFLAGS: u32 = 23;
const BASE: u32 = 24;
export const BASE_CS: u32 = 25;
export const BASE_SS: u32 = 26;
const BASE_FS: u32 = 28;
const BASE_NONE: u32 = 30;

export const LOW32: i64 = 0xffffffff;
export const GP: i32 = 13;

@unmanaged
export class RecordState extends RecordFlags {
  // ---- state
  /** A slot, 0 where it always is: the absent register, and bases that 64-bit mode does not have. */
  fixed(i: u32): Node {
    if (i == ZERO || i >= BASE_NONE || (i >= BASE && i < BASE_FS && this.mode & MODE_CS64)) return this.k(0);
    return this.slot(i);
  }
  rflags(): Node {
    return this.slot(RFLAGS);
  }
  set_rflags(v: Node): void {
    this.set_slot(RFLAGS, v);
  }

  /** Those that may wait are the interpreter's to look at. */
  interrupts_on(u: usize): i32 {
    this.escape(this.state<u32>(<u32>offsetof<Cpu>('waits')));
    this.set_rflags(this.or(this.rflags(), this.k(0x200)));
    return 0;
  }

  cpl(): Node {
    return this.state<u32>(<u32>offsetof<Cpu>('cpl'));
  }
  vm86(): bool {
    return (this.mode & MODE_VM86) != 0;
  }

  // ---- addresses
  /** Base + index × scale + displacement, cut to the address size. */
  offset_of(u: usize): Node {
    const m = uop_m(u);
    const index = this.shl(this.fixed((uop_x(u) & 0xf8) >>> 3), this.k(m & 3));
    const sum = this.add(this.add(this.fixed(uop_b(u) >>> 3), index), this.k(uop_disp(u)));
    return m & UOP_SPECIAL ? this.and(sum, this.k(uop_x(u) & X_ADDR16 ? 0xffff : LOW32)) : sum;
  }
  /** Linear address of an offset in a segment. */
  linear(base: u32, off: Node): Node {
    const va = this.add(this.fixed(base), off);
    if (this.mode & MODE_CS64) return va;
    // MODE_FLAT speaks of ES CS SS DS, and a code segment may not be written: it, FS and GS are the interpreter's
    const s = base - BASE;
    const flat = this.mode & MODE_FLAT && (s == SEG_ES || s == SEG_SS || s == SEG_DS);
    return flat ? this.and(va, this.k(LOW32)) : this.leave();
  }
  segment(u: usize): u32 {
    return BASE + ((uop_m(u) >>> 2) & 7);
  }
  offset<K>(u: usize): Node {
    return this.offset_of(u);
  }
}
