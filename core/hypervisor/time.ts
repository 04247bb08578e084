// Time: nanoseconds of the host's system time, the domain's TSC, and their publication to guests (pvclock).
import { Cpu } from '../arch/x86/cpu';
import {
  RUNSTATE_running,
  SHUTDOWN_watchdog,
  shared_info__wc_nsec,
  shared_info__wc_sec,
  shared_info__wc_sec_hi,
  shared_info__wc_version,
  sizeof_vcpu_runstate_info,
  sizeof_vcpu_time_info,
  vcpu_info__time,
  vcpu_runstate_info__state,
  vcpu_runstate_info__state_entry_time,
  vcpu_runstate_info__time,
  vcpu_time_info__flags,
  vcpu_time_info__system_time,
  vcpu_time_info__tsc_shift,
  vcpu_time_info__tsc_timestamp,
  vcpu_time_info__tsc_to_system_mul,
  vcpu_time_info__version,
  VIRQ_TIMER,
  VMASST_TYPE_runstate_update_flag,
  XEN_PVCLOCK_TSC_STABLE_BIT,
  XEN_RUNSTATE_UPDATE,
} from '../gen/abi';
import { host, Host, HOST_DETERMINISTIC } from '../shared/host';
import { PAGE_SIZE } from '../shared/memory';
import { compat_shared_info__arch__wc_sec_hi, compat_shared_info__wc_version } from '../gen/compat';
import { Domain, DOMAIN_32BIT, domain_shutdown } from './domain';
import { send_vcpu_virq } from './event_channel';
import { access_gpa, handle_to_gpa } from './guest_access';
import { cpu_of, NEVER, Vcpu, vcpu_arg, vcpu_domain } from './vcpu';

// @ts-ignore: decorator
@external('env', 'clock_ns')
declare function clock_ns(): f64;

/** Deterministic mode: an instruction takes this many nanoseconds (as a shift), near the interpreter's real speed. */
export const NS_PER_INSTRUCTION_SHIFT: u64 = 3;

/** The vCPU whose slice is going on here (per pCPU), 0 = none. */
let running: usize = 0;

/** A slice of `v` begins: deterministic time moves with its instructions. */
export function time_slice_begin(v: Vcpu): void {
  v.slice_base = cpu_of(v).retired;
  running = changetype<usize>(v);
}

/** The slice ends: what it took becomes part of the host's virtual time. */
export function time_slice_end(v: Vcpu): void {
  host().virtual_ns += (cpu_of(v).retired - v.slice_base) << NS_PER_INSTRUCTION_SHIFT;
  running = 0;
}

/** Nanoseconds since the host was started. */
export function system_time(): u64 {
  const h = host();
  if (h.frozen_at) return h.frozen_at;
  if (!(h.flags & HOST_DETERMINISTIC)) return <u64>clock_ns() - h.clock_base;
  if (!running) return h.virtual_ns;
  const v = changetype<Vcpu>(running);
  const cpu = cpu_of(v);
  return h.virtual_ns + ((cpu.retired + <u64>cpu.n - v.slice_base) << NS_PER_INSTRUCTION_SHIFT);
}

/** Time stands while a debugger looks around; virtual time stands by itself. */
export function time_freeze(): void {
  const h = host();
  if (!(h.flags & HOST_DETERMINISTIC) && !h.frozen_at) h.frozen_at = system_time();
}

/** Time goes on from where it stood. */
export function time_thaw(): void {
  const h = host();
  if (!h.frozen_at) return;
  h.clock_base = <u64>clock_ns() - h.frozen_at;
  atomic.store<u64>(changetype<usize>(h) + offsetof<Host>('frozen_at'), 0);
}

/** The value of the platform's clock at a system time, both in ns. */
export function time_to_clock(at: u64): f64 {
  return <f64>(at + host().clock_base);
}

/** Everybody is idle in deterministic mode: time jumps to the next deadline. */
export function time_jump(to: u64): void {
  const h = host();
  if (to != NEVER && to > h.virtual_ns) h.virtual_ns = to;
}

/** a × b ÷ 10^6 without losing the product's high bits for a below 2^54. */
@inline function scale(ns: u64, khz: u32): u64 {
  if (khz == 1000000) return ns;
  return (ns / 1000000) * khz + ((ns % 1000000) * khz) / 1000000;
}

/** The domain's TSC at a system time, before the guest's own offset. It belongs to the domain: a fixed rate whatever the host's. */
export function domain_tsc_at(d: Domain, now: u64): u64 {
  return scale(now - d.created_at, d.tsc_khz);
}

/** The vCPU's TSC as RDTSC reads it. */
export function vcpu_tsc(v: Vcpu): u64 {
  return domain_tsc_at(vcpu_domain(v), system_time()) + cpu_of(v).tsc_offset;
}

/** pvclock's multiplier and shift (public/xen.h, vcpu_time_info): ns = (ticks << shift) × mul >> 32. */
export let pvclock_shift: i32 = 0;
export function pvclock_mul(khz: u32): u32 {
  let rate = <u64>khz * 1000;
  let shift = 0;
  while (rate > 2000000000) {
    rate >>= 1;
    shift--;
  }
  while (rate <= 1000000000) {
    rate <<= 1;
    shift++;
  }
  pvclock_shift = shift;
  return <u32>(((<u64>1000000000) << 32) / rate);
}

/** Write one vcpu_time_info; the version is odd while it changes. */
function write_time_info(p: usize, v: Vcpu, now: u64): void {
  const d = vcpu_domain(v);
  const version = load<u32>(p, vcpu_time_info__version) | 1;
  atomic.store<u32>(p, version, vcpu_time_info__version);
  store<u64>(p, scale(now - d.created_at, d.tsc_khz) + cpu_of(v).tsc_offset, vcpu_time_info__tsc_timestamp);
  store<u64>(p, now, vcpu_time_info__system_time);
  store<u32>(p, pvclock_mul(d.tsc_khz), vcpu_time_info__tsc_to_system_mul);
  store<i8>(p, <i8>pvclock_shift, vcpu_time_info__tsc_shift);
  store<u8>(p, <u8>XEN_PVCLOCK_TSC_STABLE_BIT, vcpu_time_info__flags);
  atomic.store<u32>(p, version + 1, vcpu_time_info__version);
}

/** Publish the vCPU's time: in vcpu_info and, if registered, in the area that user space may map. */
export function time_publish(v: Vcpu): void {
  const now = system_time();
  v.published_offset = cpu_of(v).tsc_offset;
  const info = <usize>v.info + vcpu_info__time;
  write_time_info(info, v, now);
  if (v.time_gpa != NEVER) area_write(v, v.time_gpa, v.time_gpa2, info, sizeof_vcpu_time_info);
}

/** Write a registered area, which may cross a page. An area that went away is ignored, as Xen does. */
function area_write(v: Vcpu, gpa: u64, gpa2: u64, from: usize, len: u32): void {
  const d = vcpu_domain(v);
  const first = PAGE_SIZE - ((<u32>gpa) & 0xfff);
  if (first >= len) {
    access_gpa(d, gpa, from, len, true);
    return;
  }
  if (access_gpa(d, gpa, from, first, true)) access_gpa(d, gpa2, from + first, len - first, true);
}

/** Last translation of area_second(): the page after the one that an area begins on. */
export function area_second(v: Vcpu, va: u64, len: u32): u64 {
  if ((va & 0xfff) + len <= PAGE_SIZE) return 0;
  return handle_to_gpa(v, (va & ~0xfff) + PAGE_SIZE, true);
}

/** Publish the run state. With the guest's assist the update is flagged while it goes on (public/vcpu.h). */
export function runstate_publish(v: Vcpu): void {
  if (v.runstate_gpa == NEVER) return;
  const p = vcpu_arg(v) + 1024;
  runstate_fill(v, p);
  const d = vcpu_domain(v);
  const assist = (d.vm_assist >>> VMASST_TYPE_runstate_update_flag) & 1;
  if (assist) {
    store<u64>(p, v.state_entry | XEN_RUNSTATE_UPDATE, vcpu_runstate_info__state_entry_time);
    runstate_write(v, p);
    store<u64>(p, v.state_entry, vcpu_runstate_info__state_entry_time);
  }
  runstate_write(v, p);
}

/** 32-bit code has the times right behind the state. */
function runstate_write(v: Vcpu, p: usize): void {
  const q = p + 64;
  store<u32>(q, load<u32>(p));
  memory.copy(q + 4, p + vcpu_runstate_info__state_entry_time, 40);
  const is32 = (vcpu_domain(v).flags & DOMAIN_32BIT) != 0;
  area_write(v, v.runstate_gpa, v.runstate_gpa2, is32 ? q : p, runstate_size(v));
}

/** Bytes of the registered area. */
export function runstate_size(v: Vcpu): u32 {
  return vcpu_domain(v).flags & DOMAIN_32BIT ? 44 : sizeof_vcpu_runstate_info;
}

/** vcpu_runstate_info as of now at `p`. */
export function runstate_fill(v: Vcpu, p: usize): void {
  memory.fill(p, 0, sizeof_vcpu_runstate_info);
  store<u32>(p, v.state, vcpu_runstate_info__state);
  store<u64>(p, v.state_entry, vcpu_runstate_info__state_entry_time);
  memory.copy(p + vcpu_runstate_info__time, changetype<usize>(v) + offsetof<Vcpu>('time_running'), 32);
  const now = system_time();
  const at = p + vcpu_runstate_info__time + ((<usize>v.state) << 3);
  if (now > v.state_entry) store<u64>(at, load<u64>(at) + (now - v.state_entry));
}

/** The wall clock at system time 0, in shared_info. */
export function wallclock_publish(d: Domain): void {
  const is32 = (d.flags & DOMAIN_32BIT) != 0;
  // version, sec, nsec in a row; the upper half of sec follows only in the 64-bit layout.
  const p = <usize>d.shared_info + (is32 ? compat_shared_info__wc_version : shared_info__wc_version);
  const high = <usize>d.shared_info + (is32 ? compat_shared_info__arch__wc_sec_hi : shared_info__wc_sec_hi);
  const wall = host().wallclock;
  const version = load<u32>(p) | 1;
  atomic.store<u32>(p, version);
  store<u32>(p, <u32>(wall / 1000000000), shared_info__wc_sec - shared_info__wc_version);
  store<u32>(p, <u32>(wall % 1000000000), shared_info__wc_nsec - shared_info__wc_version);
  store<u32>(high, <u32>((wall / 1000000000) >> 32));
  atomic.store<u32>(p, version + 1);
}

/** When the vCPU's next timer fires, NEVER if none is set. */
export function timer_deadline(v: Vcpu): u64 {
  let t = v.singleshot < v.periodic ? v.singleshot : v.periodic;
  if (v.poll_deadline < t) t = v.poll_deadline;
  // The domain's watchdogs are looked at by whichever vCPU comes first.
  const d = vcpu_domain(v);
  if (d.watchdog0 && d.watchdog0 < t) t = d.watchdog0;
  if (d.watchdog1 && d.watchdog1 < t) t = d.watchdog1;
  return t;
}

/** Fire what is due. */
export function timers_run(v: Vcpu, now: u64): void {
  const d = vcpu_domain(v);
  if ((d.watchdog0 && d.watchdog0 <= now) || (d.watchdog1 && d.watchdog1 <= now)) {
    d.watchdog0 = d.watchdog1 = 0;
    domain_shutdown(d, SHUTDOWN_watchdog);
  }
  if (v.singleshot <= now) {
    v.singleshot = NEVER;
    send_vcpu_virq(v, VIRQ_TIMER);
  }
  if (v.periodic <= now) {
    // Ticks that were missed are not made up for, as in Xen's periodic timer after a late run.
    v.periodic += ((now - v.periodic) / v.period + 1) * v.period;
    send_vcpu_virq(v, VIRQ_TIMER);
  }
}
