// A debugger's hold on a domain, for the platform: stop, step, memory by the vCPU's page tables, breakpoints. Not reachable by guests.
// All of it runs under the host's lock; memory and breakpoints are for a domain that has been stopped.
import { ACCESS_READ, TABLE_SUPERVISOR_AC, walk, walk_gpa } from '../arch/x86/mmu/paging';
import { Cpu, EXIT_IOREQ, seg, set_seg_base, SEG_FS, SEG_GS } from '../arch/x86/cpu';
import { flags_get, flags_set } from '../arch/x86/flags';
import { canonical } from '../arch/x86/limits';
import { update_mode } from '../arch/x86/modes';
import {
  DEBUG_ACCESS,
  debug_address,
  DEBUG_BREAK,
  DEBUG_ENTRIES,
  DEBUG_ENTRY,
  debug_forget,
  DEBUG_MAX,
  debug_reason,
  DEBUG_STEP,
} from '../engine/debug';
import { EINVAL, ENOENT, ENOMEM, ENOSPC, ESRCH, RUNSTATE_running } from '../gen/abi';
import { xenheap_alloc } from '../shared/frame_alloc';
import { host, Host, host_lock, host_ring, host_unlock } from '../shared/host';
import { HOST_BASE } from '../engine/layout';
import { PAGE_SIZE } from '../shared/memory';
import { Domain, domain_find, domain_vcpu } from './domain';
import { access_gpa } from './guest_access';
import { domain_look, vcpu_look } from './sched/core';
import { time_freeze, time_thaw } from './time';
import { cpu_of, Vcpu, vcpu_domain, VCPU_UP } from './vcpu';

/** Bits of Vcpu.debug: it must not run; it is to execute one instruction; it has stopped by itself and nobody has asked why yet. */
export const DEBUG_HELD: u32 = 1;
export const DEBUG_STEPPING: u32 = 2;
export const DEBUG_HIT: u32 = 4;

function find(domid: u32, id: u32): Vcpu | null {
  const d = domain_find(domid);
  return d == null ? null : domain_vcpu(d, id);
}

function hold_all(d: Domain): void {
  time_freeze();
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null) continue;
    v.debug = (v.debug | DEBUG_HELD) & ~DEBUG_STEPPING;
    vcpu_look(v);
  }
}

/** The vCPU has met a breakpoint or watchpoint, or has made its step: its domain stops. The lock is held. */
export function debug_stopped_by(v: Vcpu, reason: u32): void {
  hold_all(vcpu_domain(v));
  v.debug |= DEBUG_HIT;
  v.debug_reason = reason;
  v.debug_address = reason == DEBUG_STEP ? 0 : debug_address;
  debug_forget();
  ring();
}

/** Wake the platform's control thread. */
function ring(): void {
  host_ring();
}

/** After an exit of the vCPU was handled; `why` is the exit. */
export function debug_after(v: Vcpu, why: i32, hit: bool): void {
  if (hit) debug_stopped_by(v, debug_reason);
  else if (v.debug & DEBUG_STEPPING && why != EXIT_IOREQ) debug_stopped_by(v, DEBUG_STEP);
}

/** Hold every vCPU of a domain. The system time of the host stands from now on. */
export function debug_stop(domid: u32): i32 {
  host_lock();
  const d = domain_find(domid);
  if (d != null) hold_all(d);
  host_unlock();
  return d == null ? -ESRCH : 0;
}

/** 1 when no vCPU of the domain runs any more. */
export function debug_is_still(domid: u32): i32 {
  host_lock();
  let still = 1;
  const d = domain_find(domid);
  for (let i: u32 = 0; d != null && i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null && v.state == RUNSTATE_running) still = 0;
  }
  host_unlock();
  return still;
}

/** Let a vCPU go (`step`: for one instruction) at the next debug_go; the others stay held. */
export function debug_release(domid: u32, id: u32, step: i32): i32 {
  host_lock();
  const v = find(domid, id);
  if (v != null) v.debug = step ? DEBUG_STEPPING : 0;
  host_unlock();
  return v == null ? -ESRCH : 0;
}

/** Time goes on, and with it the vCPUs that have been released. */
export function debug_go(domid: u32): void {
  host_lock();
  time_thaw();
  const d = domain_find(domid);
  if (d != null) domain_look(d);
  ring();
  host_unlock();
}

/** A vCPU that has stopped by itself since the last call: its number | reason << 8, or -1. The address is in debug_hit_address. */
export function debug_hit(domid: u32): i32 {
  host_lock();
  let answer = -1;
  const d = domain_find(domid);
  for (let i: u32 = 0; d != null && answer < 0 && i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null || !(v.debug & DEBUG_HIT)) continue;
    v.debug &= ~DEBUG_HIT;
    hit_address = v.debug_address;
    answer = i | (v.debug_reason << 8);
  }
  host_unlock();
  return answer;
}

let hit_address: u64 = 0;
export function debug_hit_address(): u64 {
  return hit_address;
}

/** 1 if the vCPU exists and has been brought up. */
export function debug_vcpu_up(domid: u32, id: u32): i32 {
  const v = find(domid, id);
  return v != null && v.flags & VCPU_UP ? 1 : 0;
}

/** Address of the buffer (a page) that debug_memory copies to and from; 0 = out of memory. */
export function debug_buffer(): usize {
  const h = host();
  host_lock();
  if (!h.debug_buffer) h.debug_buffer = <u32>xenheap_alloc(0);
  host_unlock();
  return h.debug_buffer;
}

/**
 * Copy up to a page at linear address `va`, as the vCPU's supervisor would see it, to the buffer or (`write`) from it. Nothing is
 * marked accessed or dirty, no protection but the absence of memory is heeded. Returns how many bytes were copied.
 */
export function debug_memory(domid: u32, id: u32, va: u64, len: u32, write: i32): i32 {
  const buffer = debug_buffer();
  if (!buffer || len > PAGE_SIZE) return -EINVAL;
  host_lock();
  const v = find(domid, id);
  let done: u32 = 0;
  while (v != null && done < len) {
    const at = va + done;
    const left = PAGE_SIZE - ((<u32>at) & 0xfff);
    const n = len - done < left ? len - done : left;
    if (!canonical(at) || !walk(cpu_of(v), at, ACCESS_READ, TABLE_SUPERVISOR_AC)) break;
    if (!access_gpa(vcpu_domain(v), walk_gpa, buffer + done, n, write != 0)) break;
    done += n;
  }
  host_unlock();
  return done;
}

/** Enter (`on`) or remove a breakpoint (kind DEBUG_BREAK) or a watchpoint of `len` bytes. 0 or -errno. */
export function debug_point(domid: u32, kind: u32, va: u64, len: u32, on: i32): i32 {
  if (kind < DEBUG_BREAK || kind > DEBUG_ACCESS || len == 0 || len > PAGE_SIZE || va + len < va) return -EINVAL;
  host_lock();
  const rc = on ? point_add(domid, kind, va, len) : point_remove(domid, kind, va, len);
  if (rc == 0) atomic.add<u32>(HOST_BASE + offsetof<Host>('debug_seq'), 1);
  host_unlock();
  return rc;
}

@inline function entry(i: u32): usize {
  return <usize>host().debug_table + DEBUG_ENTRIES + <usize>i * DEBUG_ENTRY;
}

function point_find(domid: u32, kind: u32, va: u64, len: u32): i32 {
  const n = host().debug_table ? load<u32>(host().debug_table) : 0;
  for (let i: u32 = 0; i < n; i++) {
    const e = entry(i);
    if (load<u64>(e) == va && load<u32>(e, 8) == len && load<u32>(e, 12) == kind && load<u32>(e, 16) == domid) return i;
  }
  return -1;
}

/** Setting one twice is no error and makes one. */
function point_add(domid: u32, kind: u32, va: u64, len: u32): i32 {
  const h = host();
  if (!h.debug_table) h.debug_table = <u32>xenheap_alloc(0);
  if (!h.debug_table) return -ENOMEM;
  const n = load<u32>(h.debug_table);
  if (point_find(domid, kind, va, len) >= 0) return 0;
  if (n >= DEBUG_MAX) return -ENOSPC;
  const e = entry(n);
  store<u64>(e, va);
  store<u32>(e, len, 8);
  store<u32>(e, kind, 12);
  store<u32>(e, domid, 16);
  store<u32>(h.debug_table, n + 1);
  return 0;
}

function point_remove(domid: u32, kind: u32, va: u64, len: u32): i32 {
  const i = point_find(domid, kind, va, len);
  if (i < 0) return -ENOENT;
  const n = load<u32>(host().debug_table) - 1;
  memory.copy(entry(i), entry(n), DEBUG_ENTRY);
  store<u32>(host().debug_table, n);
  return 0;
}

/** RFLAGS, whose arithmetic bits are kept elsewhere. */
export function debug_flags(domid: u32, id: u32): u64 {
  const v = find(domid, id);
  return v == null ? 0 : flags_get(cpu_of(v));
}

/** Bits a debugger may change: the arithmetic flags, TF IF DF, RF, NT, AC, ID. */
const FLAGS: u64 = 0x254dd5;

export function debug_set_flags(domid: u32, id: u32, value: u64): i32 {
  host_lock();
  const v = find(domid, id);
  if (v != null) {
    const cpu = cpu_of(v);
    flags_set(cpu, (value & FLAGS) | (flags_get(cpu) & ~FLAGS));
    update_mode(cpu);
  }
  host_unlock();
  return v == null ? -ESRCH : 0;
}

/** The base of FS (0) or GS (1). One that is not canonical is refused. */
export function debug_set_base(domid: u32, id: u32, which: i32, base: u64): i32 {
  if (!canonical(base)) return -EINVAL;
  const v = find(domid, id);
  if (v == null) return -ESRCH;
  const cpu: Cpu = cpu_of(v);
  set_seg_base(cpu, which ? SEG_GS : SEG_FS, base);
  return 0;
}
