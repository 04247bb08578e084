// The deadlines of vCPUs that sleep, one pairing heap a pCPU (Fredman, Sedgewick, Sleator, Tarjan 1986), linked through the vCPUs: entering
// takes O(1), leaving O(log n) amortised, and no memory. Only who sleeps is in it: a vCPU that runs or could run looks at its own timers.
import { Pcpu } from '../../shared/pcpu';
import { NEVER, Vcpu, vcpu_pcpu } from '../vcpu';

@inline function at(p: u32): Vcpu {
  return changetype<Vcpu>(<usize>p);
}

/** When the first of them is due; NEVER. */
@inline export function timers_first(p: Pcpu): u64 {
  return p.timers ? at(p.timers).timer_at : NEVER;
}

/** Who is due first, if that is at `now` or before: no longer in the heap. */
export function timers_due(p: Pcpu, now: u64): Vcpu | null {
  const v = changetype<Vcpu | null>(<usize>p.timers);
  if (v == null || v.timer_at > now) return null;
  timers_remove(v);
  return v;
}

/** Two heaps become one: the later root becomes the earlier one's first child. */
function meld(a: u32, b: u32): u32 {
  if (!a) return b;
  if (!b) return a;
  if (at(b).timer_at < at(a).timer_at) {
    const t = a;
    a = b;
    b = t;
  }
  const child = at(a).timer_child;
  at(b).timer_prev = a;
  at(b).timer_next = child;
  if (child) at(child).timer_prev = b;
  at(a).timer_child = b;
  at(a).timer_next = at(a).timer_prev = 0;
  return a;
}

/** The children of a root that goes become one heap: pairs from left to right, then all of those from right to left. */
function merge(first: u32): u32 {
  let pairs: u32 = 0;
  while (first) {
    const a = first;
    const b = at(a).timer_next;
    first = b ? at(b).timer_next : 0;
    at(a).timer_next = at(a).timer_prev = 0;
    if (b) at(b).timer_next = at(b).timer_prev = 0;
    const m = meld(a, b);
    at(m).timer_next = pairs;
    pairs = m;
  }
  let root: u32 = 0;
  while (pairs) {
    const next = at(pairs).timer_next;
    at(pairs).timer_next = 0;
    root = meld(root, pairs);
    pairs = next;
  }
  return root;
}

/** The vCPU's deadline is `when`; it may be in the heap with another one. */
export function timers_set(v: Vcpu, when: u64): void {
  if (v.timer_at == when) return;
  timers_remove(v);
  if (when == NEVER) return;
  v.timer_at = when;
  const p = vcpu_pcpu(v);
  p.timers = meld(p.timers, <u32>changetype<usize>(v));
}

export function timers_remove(v: Vcpu): void {
  if (v.timer_at == NEVER) return;
  const p = vcpu_pcpu(v);
  const me = <u32>changetype<usize>(v);
  const below = merge(v.timer_child);
  if (p.timers == me) p.timers = below;
  else {
    const prev = at(v.timer_prev);
    if (prev.timer_child == me) prev.timer_child = v.timer_next;
    else prev.timer_next = v.timer_next;
    if (v.timer_next) at(v.timer_next).timer_prev = v.timer_prev;
    p.timers = meld(p.timers, below);
  }
  v.timer_child = v.timer_next = v.timer_prev = 0;
  v.timer_at = NEVER;
}
