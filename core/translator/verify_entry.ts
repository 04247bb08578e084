// The translator with a mistake in what it lowers: for the test that such a mistake stops it.
import { IR_CAS, IR_STORE, IR_VSTORE, NODE_SIZE, NODE_WRITE, Node, node } from '../engine/ir';
import { analyse } from './analyse';
import { block, blocks, blocks_find } from './blocks';
import { MAX_ENTRIES, request_slot } from './layout';
import { locals_begin } from './locals';
import { lower_attach, lower_begin } from './lower';
import { write_module } from './module';
import { work_scratch } from './work';

export { translator_next } from './index';

/** None; an access of more bytes than were probed; one through what is no probe; a probe for reading before a write. */
const NONE: u32 = 0;
const LARGER: u32 = 1;
const ADDRESS: u32 = 2;
const READING: u32 = 3;

/** Nodes that the last run has changed. */
export let changed: u32 = 0;

function damage(n: Node, how: u32): void {
  const probe = node(n.a);
  if (how == LARGER) n.size = probe.size << 1;
  else if (how == ADDRESS) n.a = probe.a;
  else if (how == READING && (n.op == IR_STORE || n.op == IR_VSTORE || n.op == IR_CAS)) probe.flags &= ~NODE_WRITE;
  else return;
  changed++;
}

/** translator_run, with nodes `op` damaged. */
export function run(slot: u32, op: u8, how: u32): u32 {
  const r = request_slot(slot);
  lower_attach(work_scratch() + 0x200);
  locals_begin();
  lower_begin();
  changed = 0;
  if (!blocks_find(r, MAX_ENTRIES)) return 0;
  for (let i: u32 = 0; i < blocks; i++) {
    const b = block(i);
    for (let p = <usize>b.first; p < <usize>b.end; p += NODE_SIZE) {
      if (changetype<Node>(p).op == op && how != NONE) damage(changetype<Node>(p), how);
    }
    analyse(b);
  }
  return write_module();
}
