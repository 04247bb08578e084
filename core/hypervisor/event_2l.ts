// The two-level event ABI: bits in shared_info, a selector word in vcpu_info (public/xen.h). Words are the guest's too: atomics only.
import { compat_shared_info__evtchn_mask, compat_vcpu_info__evtchn_pending_sel } from '../gen/compat';
import {
  EVTCHN_2L_NR_CHANNELS,
  shared_info__evtchn_mask,
  shared_info__evtchn_pending,
  vcpu_info__evtchn_pending_sel,
} from '../gen/abi';
import { Domain, DOMAIN_32BIT } from './domain';
import { check_pollers, Evtchn, mark_events_pending } from './event_channel';
import { Vcpu, vcpu_domain } from './vcpu';

// The bitmaps are read as words of 32 bits whatever the guest's: in little-endian memory they are the same bits.
@inline function pending_word(d: Domain, port: u32): usize {
  return <usize>d.shared_info + shared_info__evtchn_pending + (((<usize>port) >>> 5) << 2);
}
@inline function mask_word(d: Domain, port: u32): usize {
  const base = d.flags & DOMAIN_32BIT ? compat_shared_info__evtchn_mask : shared_info__evtchn_mask;
  return <usize>d.shared_info + base + (((<usize>port) >>> 5) << 2);
}
@inline function bit(port: u32): u32 {
  return (<u32>1) << (port & 31);
}

/** Ports that the ABI has room for: a selector's bit for each word of the bitmap. */
export function l2_ports(d: Domain): u32 {
  return d.flags & DOMAIN_32BIT ? 1024 : EVTCHN_2L_NR_CHANNELS;
}

/** Enter the port's word into the vCPU's selector; the upcall follows when it is new there. */
function select(v: Vcpu, port: u32): void {
  let was: bool;
  if (vcpu_domain(v).flags & DOMAIN_32BIT) {
    const b = (<u32>1) << (port >>> 5);
    was = (atomic.or<u32>(<usize>v.info + compat_vcpu_info__evtchn_pending_sel, b) & b) != 0;
  } else {
    const b = (<u64>1) << ((<u64>port) >>> 6);
    was = (atomic.or<u64>(<usize>v.info + vcpu_info__evtchn_pending_sel, b) & b) != 0;
  }
  if (!was) mark_events_pending(v);
}

/** Every word may hold something new: what is pending is looked at again. */
export function l2_select_all(v: Vcpu): void {
  if (vcpu_domain(v).flags & DOMAIN_32BIT) atomic.store<u32>(<usize>v.info + compat_vcpu_info__evtchn_pending_sel, ~0);
  else atomic.store<u64>(<usize>v.info + vcpu_info__evtchn_pending_sel, ~0);
}

export function l2_set_pending(d: Domain, e: Evtchn, v: Vcpu): void {
  const b = bit(e.port);
  // A port from the time before the domain's words became shorter has no bit any more.
  if (e.port >= l2_ports(d) || atomic.or<u32>(pending_word(d, e.port), b) & b) return;
  if (!(atomic.load<u32>(mask_word(d, e.port)) & b)) select(v, e.port);
  check_pollers(d, e.port);
}

export function l2_clear_pending(d: Domain, port: u32): void {
  if (port < l2_ports(d)) atomic.and<u32>(pending_word(d, port), ~bit(port));
}

export function l2_unmask(d: Domain, e: Evtchn, v: Vcpu): void {
  if (e.port >= l2_ports(d)) return;
  const b = bit(e.port);
  const was = atomic.and<u32>(mask_word(d, e.port), ~b) & b;
  if (was && atomic.load<u32>(pending_word(d, e.port)) & b) select(v, e.port);
}

export function l2_is_pending(d: Domain, port: u32): bool {
  return port < l2_ports(d) && (atomic.load<u32>(pending_word(d, port)) & bit(port)) != 0;
}

export function l2_is_masked(d: Domain, port: u32): bool {
  return port < l2_ports(d) && (atomic.load<u32>(mask_word(d, port)) & bit(port)) != 0;
}

/** A service takes its pending ports: up to `max` numbers to `out`; returns how many. Masked ports stay pending. Services are 64-bit. */
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
      atomic.and<u64>(p, ~((<u64>1) << (<u64>b)));
      store<u32>(out + ((<usize>n) << 2), (w << 6) + b);
      n++;
    }
    words &= words - 1;
  }
  return n;
}
