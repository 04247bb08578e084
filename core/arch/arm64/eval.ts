// The evaluating builder of A64. Memory goes through the same software TLB as on x86; alignment is checked (SCTLR_ELx.A = 1), so no access
// crosses a page. There is no page walker yet: a TLB miss is a translation fault.
import { EvalBase } from '../../engine/eval_base';
import { TLB_ADDEND, TLB_R, TLB_W, tlb_entry } from '../../engine/tlb';
import { UOP_SIZE, uop_disp, uop_pos } from '../../engine/uop';
import {
  DFSC_ALIGNMENT,
  DFSC_TRANSLATION_3,
  EC_DATA_ABORT,
  LEFT_EXCEPTION,
  LEFT_RETRY,
  SLOT_ESR,
  SLOT_FAR,
  SLOT_PAGE,
  SLOT_PC,
  STATE_EXIT,
  STATE_TLB,
} from './state';

@final
@unmanaged
export class Arm64Eval extends EvalBase {
  // ---- memory
  @inline probe<T>(va: i64, w: bool): i64 {
    return <i64>this.probe_n(va, sizeof<T>(), w);
  }
  probe_n(va: i64, size: i32, w: bool): usize {
    if (va & (<i64>(size - 1))) return this.data_abort(va, w, DFSC_ALIGNMENT);
    const e = tlb_entry(<usize>load<u32>(changetype<usize>(this) + STATE_TLB), <u64>va);
    if (load<i64>(e + (w ? TLB_W : TLB_R)) != (va & ~0xfff)) return this.data_abort(va, w, DFSC_TRANSLATION_3);
    return <usize>(<u32>va + load<u32>(e + TLB_ADDEND));
  }
  /** ESR: IL (bit 25), WnR (bit 6). Always 0, a bad pointer. */
  data_abort(va: i64, w: bool, dfsc: u32): usize {
    this.setr<u64>(SLOT_FAR << 3, va);
    this.raise(EC_DATA_ABORT, dfsc | (w ? 0x40 : 0));
    return 0;
  }
  raise(ec: u32, iss: u32): void {
    this.setr<u64>(SLOT_ESR << 3, <i64>((ec << 26) | 0x2000000 | iss));
    store<u32>(changetype<usize>(this) + STATE_EXIT, LEFT_EXCEPTION);
  }
  @inline stp<T>(p: i64, v: i64): void {
    if (sizeof<T>() == 1) store<u8>(<usize>p, <u8>v);
    else if (sizeof<T>() == 2) store<u16>(<usize>p, <u16>v);
    else if (sizeof<T>() == 4) store<u32>(<usize>p, <u32>v);
    else store<i64>(<usize>p, v);
  }
  @inline vst(p: i64, w: v128): void {
    v128.store(<usize>p, w);
  }
  cas<T>(p: i64, x: i64, v: i64): bool {
    if (sizeof<T>() == 1) return atomic.cmpxchg<u8>(<usize>p, <u8>x, <u8>v) == <u8>x;
    if (sizeof<T>() == 2) return atomic.cmpxchg<u16>(<usize>p, <u16>x, <u16>v) == <u16>x;
    if (sizeof<T>() == 4) return atomic.cmpxchg<u32>(<usize>p, <u32>x, <u32>v) == <u32>x;
    return atomic.cmpxchg<i64>(<usize>p, x, v) == x;
  }
  guard(c: i64, ec: i32): bool {
    if (c != 0) this.raise(ec, 0);
    return c != 0;
  }
  /** A sequentially consistent read-modify-write orders what a fence would. */
  fence(): void {
    atomic.or<u32>(changetype<usize>(this) + STATE_EXIT, 0);
  }

  // ---- control: 0 = go on at the program counter, or see STATE_EXIT
  fault(u: usize): usize {
    this.setr<u64>(SLOT_PC << 3, this.getr<u64>(SLOT_PAGE << 3) + <i64>uop_pos(u));
    return 0;
  }
  retry(): i32 {
    store<u32>(changetype<usize>(this) + STATE_EXIT, LEFT_RETRY);
    return 1;
  }
  jcc(u: usize, c: i64): usize {
    return c != 0 ? this.jump(u) : u + UOP_SIZE;
  }
  jump(u: usize): usize {
    return this.jump_to(u, this.getr<u64>(SLOT_PAGE << 3) + <i64>uop_disp(u));
  }
  jump_out(u: usize, target: i64): usize {
    return this.jump_to(u, target);
  }
  jump_to(u: usize, target: i64): usize {
    this.setr<u64>(SLOT_PC << 3, target);
    return 0;
  }
}
