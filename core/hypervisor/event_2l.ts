// The two-level event ABI: bits in shared_info, a selector word in vcpu_info (public/xen.h). Words are the guest's too: atomics only.
import { shared_info__evtchn_mask, shared_info__evtchn_pending, vcpu_info__evtchn_pending_sel } from '../gen/abi';
import { Domain } from './domain';
import { check_pollers, Evtchn, mark_events_pending } from './event_channel';
import { Vcpu } from './vcpu';

@inline function pending_word(d: Domain, port: u32): usize {
  return <usize>d.shared_info + shared_info__evtchn_pending + (((<usize>port) >>> 6) << 3);
}
@inline function mask_word(d: Domain, port: u32): usize {
  return <usize>d.shared_info + shared_info__evtchn_mask + (((<usize>port) >>> 6) << 3);
}
@inline function bit(port: u32): u64 {
  return (<u64>1) << (<u64>(port & 63));
}
@inline function set_bit(p: usize, b: u64): bool {
  return (atomic.or<u64>(p, b) & b) != 0;
}

/** Enter the port's word into the vCPU's selector; the upcall follows when it is new there. */
function select(v: Vcpu, port: u32): void {
  if (!set_bit(<usize>v.info + vcpu_info__evtchn_pending_sel, (<u64>1) << ((<u64>port) >>> 6))) mark_events_pending(v);
}

export function l2_set_pending(d: Domain, e: Evtchn, v: Vcpu): void {
  const b = bit(e.port);
  if (set_bit(pending_word(d, e.port), b)) return;
  if (!(atomic.load<u64>(mask_word(d, e.port)) & b)) select(v, e.port);
  check_pollers(d, e.port);
}

export function l2_clear_pending(d: Domain, port: u32): void {
  atomic.and<u64>(pending_word(d, port), ~bit(port));
}

export function l2_unmask(d: Domain, e: Evtchn, v: Vcpu): void {
  const b = bit(e.port);
  const was = atomic.and<u64>(mask_word(d, e.port), ~b) & b;
  if (was && atomic.load<u64>(pending_word(d, e.port)) & b) select(v, e.port);
}

export function l2_is_pending(d: Domain, port: u32): bool {
  return (atomic.load<u64>(pending_word(d, port)) & bit(port)) != 0;
}

export function l2_is_masked(d: Domain, port: u32): bool {
  return (atomic.load<u64>(mask_word(d, port)) & bit(port)) != 0;
}

/** A service takes its pending ports: up to `max` numbers to `out`; returns how many. Masked ports stay pending. */
export function l2_take(d: Domain, v: Vcpu, out: usize, max: u32): u32 {
  let n: u32 = 0;
  atomic.store<u8>(<usize>v.info, 0);
  const sel = <usize>v.info + vcpu_info__evtchn_pending_sel;
  let words = atomic.xchg<u64>(sel, 0);
  while (words) {
    const w = <u32>ctz(words);
    const p = pending_word(d, w << 6);
    let bits = atomic.load<u64>(p) & ~atomic.load<u64>(mask_word(d, w << 6));
    while (bits) {
      if (n == max) {
        atomic.or<u64>(sel, words);
        atomic.store<u8>(<usize>v.info, 1);
        return n;
      }
      const b = <u32>ctz(bits);
      bits &= bits - 1;
      atomic.and<u64>(p, ~bit(b));
      store<u32>(out + ((<usize>n) << 2), (w << 6) + b);
      n++;
    }
    words &= words - 1;
  }
  return n;
}
