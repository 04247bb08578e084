// What stops a vCPU for a debugger: breakpoints and watchpoints by linear address, in one table that all pCPUs read. Nothing of it
// is looked at while the table is empty but two counts, where code is decoded and where the TLB misses.
//
// A breakpoint is a micro-op of its own before the instruction's (FORM_BRK), put there by the decoder: guest memory stays as it is.
// A watched page never gets a tag for data in the TLB, as with the guest's own (arch/x86/breakpoints.ts): an instruction that comes to it
// runs again alone, notes what it meets, and the vCPU stops behind it.
import { Cpu } from '../arch/x86/cpu';
import { engine_domain } from '../hypervisor/engine';
import { HOST_BASE } from './layout';
import { Host } from '../shared/host';

/** The table: a count, then from DEBUG_ENTRIES on {address u64, length u32, kind u32, domain u32}, 32 bytes each. */
export const DEBUG_ENTRIES: usize = 32;
export const DEBUG_ENTRY: usize = 32;
export const DEBUG_MAX: u32 = 120;
export const DEBUG_BREAK: u32 = 1;
export const DEBUG_WRITE: u32 = 2;
export const DEBUG_READ: u32 = 3;
export const DEBUG_ACCESS: u32 = 4;
/** As a reason: one instruction was asked for. */
export const DEBUG_STEP: u32 = 5;

/** The table's generation this pCPU has seen, and what it held of each sort. */
let seen: u32 = 0;
export let debug_breaks: i32 = 0;
export let debug_watches: i32 = 0;

/** Why the vCPU is to stop (a DEBUG_* of the table), and where; 0 = it is not. Taken by the scheduler at once. */
export let debug_reason: u32 = 0;
export let debug_address: u64 = 0;

export function debug_forget(): void {
  debug_reason = 0;
}

@inline function table(): usize {
  return <usize>load<u32>(HOST_BASE + offsetof<Host>('debug_table'));
}

/** True if the table has changed since this pCPU last looked: whatever was decoded or translated under the old one has to go. */
export function debug_changed(): bool {
  const seq = atomic.load<u32>(HOST_BASE + offsetof<Host>('debug_seq'));
  if (seq == seen) return false;
  seen = seq;
  debug_breaks = debug_watches = 0;
  const t = table();
  const n = t ? load<u32>(t) : 0;
  for (let i: u32 = 0; i < n; i++) {
    if (load<u32>(t + DEBUG_ENTRIES + <usize>i * DEBUG_ENTRY, 12) == DEBUG_BREAK) debug_breaks++;
    else debug_watches++;
  }
  return true;
}

/** Is there a breakpoint at this offset in some page? Asked by the decoder when debug_breaks is not 0, and by the translator. */
export function debug_break_offset(off: u32): bool {
  const t = table();
  const n = t ? load<u32>(t) : 0;
  for (let i: u32 = 0; i < n; i++) {
    const e = t + DEBUG_ENTRIES + <usize>i * DEBUG_ENTRY;
    if (load<u32>(e, 12) == DEBUG_BREAK && (load<u32>(e) & 0xfff) == off) return true;
  }
  return false;
}

/** The decoder's hint is by offset in the page; the address decides. */
export function debug_break_hit(cpu: Cpu, va: u64): bool {
  const t = table();
  const n = load<u32>(t);
  for (let i: u32 = 0; i < n; i++) {
    const e = t + DEBUG_ENTRIES + <usize>i * DEBUG_ENTRY;
    if (load<u32>(e, 12) != DEBUG_BREAK || load<u64>(e) != va || load<u32>(e, 16) != engine_domain(cpu)) continue;
    debug_reason = DEBUG_BREAK;
    debug_address = va;
    return true;
  }
  return false;
}

/** Does a watched range lie on the page of `va`, whosever it is? Asked where the TLB misses when debug_watches is not 0. */
export function debug_page_watched(va: u64): bool {
  const page = va & ~0xfff;
  const t = table();
  const n = load<u32>(t);
  for (let i: u32 = 0; i < n; i++) {
    const e = t + DEBUG_ENTRIES + <usize>i * DEBUG_ENTRY;
    if (load<u32>(e, 12) == DEBUG_BREAK) continue;
    const at = load<u64>(e);
    if ((at & ~0xfff) <= page && at + load<u32>(e, 8) > page) return true;
  }
  return false;
}

/** An access by an instruction that runs alone, or by the processor for itself: does it meet a watched range? */
export function debug_note(cpu: Cpu, va: u64, size: i32, write: bool): void {
  const t = table();
  const n = load<u32>(t);
  for (let i: u32 = 0; i < n; i++) {
    const e = t + DEBUG_ENTRIES + <usize>i * DEBUG_ENTRY;
    const kind = load<u32>(e, 12);
    if (kind == DEBUG_BREAK || kind == (write ? DEBUG_READ : DEBUG_WRITE)) continue;
    const at = load<u64>(e);
    if (va >= at + load<u32>(e, 8) || at >= va + <u64>size || load<u32>(e, 16) != engine_domain(cpu)) continue;
    debug_reason = kind;
    debug_address = va > at ? va : at;
    return;
  }
}
