// Lists of page-table operations (mmu_update, mmuext_op): how they give way and say how much was done.
import { ERESTART } from '../../gen/abi';
import { get_guest, guest_word, put_guest } from '../guest_access';
import { hypercall_continue, hypercall_continue4 } from '../hypercall';
import { Vcpu } from '../vcpu';
import { old_finish, type_begin } from './page_type';

/** In the count: the call is continued. With no list: all is done but what was left behind, and the answer is in the fourth argument. */
const PREEMPTED: u32 = 0x80000000;

/** What the call answers if batch_begin says that there is nothing more to do for it. */
export let batch_answer: i64 = 0;
/** Requests of the list that are still to do, and that were done before. */
export let batch_count: u32 = 0;
let batch_done: u32 = 0;

/** First what the vCPU's last such operation has left behind. True: the list's turn has come. */
export function batch_begin(v: Vcpu, list: u64, count: u32, done: u64, last: u32): bool {
  type_begin(v);
  if (old_finish(v)) {
    batch_answer = hypercall_continue(v, list, count, done);
    return false;
  }
  if (count == PREEMPTED && !list) {
    batch_answer = <i64>(<i32>last);
    return false;
  }
  batch_done = 0;
  if (count & PREEMPTED && done && get_guest<u32>(v, done)) batch_done = <u32>guest_word;
  batch_count = count & ~PREEMPTED;
  return true;
}

/** `i` requests were done, `list` is the next one; `rc` stopped it. */
export function batch_end(v: Vcpu, list: u64, i: u32, done: u64, rc: i32): i64 {
  // A place that cannot be written is the guest's own loss, as in Xen.
  if (done) put_guest<u32>(v, done, batch_done + i);
  if (rc == -ERESTART) return hypercall_continue(v, list, (batch_count - i) | PREEMPTED, done);
  if (v.pv_old && old_finish(v)) return hypercall_continue4(v, 0, PREEMPTED, 0, <u64>(<u32>rc));
  return rc;
}
