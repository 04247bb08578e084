// Lists of vCPUs, linked through the vCPUs themselves. A list is two words, the first and the last one's address; a vCPU is on one at most
// and knows which (`sched_list`).
import { Vcpu } from '../vcpu';

@inline function first(list: usize): Vcpu | null {
  return changetype<Vcpu | null>(<usize>load<u32>(list));
}

@inline function at(p: u32): Vcpu {
  return changetype<Vcpu>(<usize>p);
}

@inline export function list_empty(list: usize): bool {
  return load<u32>(list) == 0;
}

export function list_push(list: usize, v: Vcpu): void {
  const me = <u32>changetype<usize>(v);
  const last = load<u32>(list, 4);
  v.sched_list = <u32>list;
  v.sched_next = 0;
  v.sched_prev = last;
  if (last) at(last).sched_next = me;
  else store<u32>(list, me);
  store<u32>(list, me, 4);
}

export function list_push_front(list: usize, v: Vcpu): void {
  const me = <u32>changetype<usize>(v);
  const next = load<u32>(list);
  v.sched_list = <u32>list;
  v.sched_next = next;
  v.sched_prev = 0;
  if (next) at(next).sched_prev = me;
  else store<u32>(list, me, 4);
  store<u32>(list, me);
}

/** Take the vCPU off the list that it is on, if any. */
export function list_remove(v: Vcpu): void {
  const list = <usize>v.sched_list;
  if (!list) return;
  if (v.sched_prev) at(v.sched_prev).sched_next = v.sched_next;
  else store<u32>(list, v.sched_next);
  if (v.sched_next) at(v.sched_next).sched_prev = v.sched_prev;
  else store<u32>(list, v.sched_prev, 4);
  v.sched_list = v.sched_next = v.sched_prev = 0;
}

export function list_pop(list: usize): Vcpu | null {
  const v = first(list);
  if (v != null) list_remove(v);
  return v;
}
