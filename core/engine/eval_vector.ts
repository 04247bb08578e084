// The evaluating builder's vector operations: W = v128. See docs/design/core.md, "Spec rows".
// Bodies: moves, shuffles, integer operations and MMX in semantics/vector_*.ts and semantics/mmx.ts; everything that rounds, compares or
// converts floating point (and DPPS, ROUND, RCP, RSQRT, CVT*, COMI) in semantics/sse_float*.ts with soft floats, which add their own methods here.
import { CPU_XMM } from '../arch/x86/cpu';
import { uop_b, uop_r } from './uop';

@unmanaged
export class EvalVector {
  /** Host address of the XMM register named by `r` and by `b`. */
  @inline vg(u: usize): usize { return changetype<usize>(this) + CPU_XMM + uop_r(u); }
  @inline vr(u: usize): usize { return changetype<usize>(this) + CPU_XMM + uop_b(u); }
}
