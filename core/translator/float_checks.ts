// Checks of floating point, put off: what the recorder checks after each operation is looked at once for a run of them, by one comparison of the
// largest of all magnitudes, and exactly only if that says that something may be wrong. Whatever leaves in between leaves at the run's
// first micro-op, so nothing that was computed on trust is ever seen. Docs: translator.md, "Floating point".
import {
  IR_CAS,
  IR_ESCAPE,
  IR_FCHECK,
  IR_FENCE,
  IR_OR,
  IR_STORE,
  IR_VSTORE,
  NODE_LIVE,
  NODE_SIZE,
  Node,
  ir_can_leave,
  ir_is_end,
  node,
} from '../engine/ir';
import { Block } from './blocks';

/** An ESCAPE that is looked at later. */
export const NODE_DEFERRED: u8 = 0x80;
/** Before this node the run's checks are made: it cannot be taken back, or what is checked changes its kind. */
export const NODE_CLOSES: u8 = 0x08;

/** Find a block's runs: what leaves in one leaves at its first micro-op. */
export function float_runs(b: Block): void {
  let open: i64 = 0;
  let kind: u32 = 0;
  for (let p = <usize>b.first; ; p += NODE_SIZE) {
    const n = changetype<Node>(p);
    const here = n.op == IR_ESCAPE && n.flags & NODE_LIVE ? check_kind(n.a) : 0;
    if (open && (ir_is_end(n.op) || cannot_be_undone(n.op) || (here && here != kind))) {
      n.flags |= NODE_CLOSES;
      open = 0;
    }
    if (ir_is_end(n.op)) return;
    if (here) {
      if (!open) open = n.k;
      kind = here;
      n.flags |= NODE_DEFERRED;
    }
    if (open && ir_can_leave(n.op)) n.k = open;
  }
}

function cannot_be_undone(op: u8): bool {
  return op == IR_STORE || op == IR_VSTORE || op == IR_CAS || op == IR_FENCE;
}

/** Width and lanes of the FCHECKs in a condition, 0 if there is none or they differ. */
function check_kind(p: u32): u32 {
  const n = node(p);
  if (n.op == IR_FCHECK) return ((<u32>n.size) << 8) | ((<u32>n.k) & 0xff);
  if (n.op != IR_OR) return 0;
  const a = check_kind(n.a);
  const b = check_kind(n.b);
  if (a == 0 || b == 0) return a | b;
  return a == b ? a : 0;
}
