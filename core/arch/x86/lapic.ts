// The local APIC: xAPIC page, x2APIC MSRs, interrupt acceptance, timer (Intel SDM vol. 3, chapter 10). The registers lie at CPU_LAPIC
// as the first 1 KiB of the xAPIC page, which is also Xen's LAPIC_REGS record. Interrupts between vCPUs other than to oneself are
// for the hypervisor to distribute with lapic_ipi_matches and lapic_ipi_accept.
import { Cpu, CPU_APIC, CPU_LAPIC, cpu_kick } from './cpu';
import { apic_id, tsc_khz } from './identity';
import { PHYS_RESERVED } from './limits';
import { nmi_raise } from './interrupts';
import { engine_tsc } from '../../hypervisor/engine';

const ID: usize = 0x20;
const VERSION: usize = 0x30;
const TPR: usize = 0x80;
const PPR: usize = 0xa0;
const EOI: usize = 0xb0;
const LDR: usize = 0xd0;
const DFR: usize = 0xe0;
const SVR: usize = 0xf0;
const ISR: usize = 0x100;
const TMR: usize = 0x180;
const IRR: usize = 0x200;
const ESR: usize = 0x280;
const ICR: usize = 0x300;
const ICR_HIGH: usize = 0x310;
const LVT_TIMER: usize = 0x320;
const LVT_THERMAL: usize = 0x330;
const LVT_COUNTERS: usize = 0x340;
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const LVT_ERROR: usize = 0x370;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;
/** x2APIC only. */
const SELF_IPI: usize = 0x3f0;
const PAGE_END: usize = 0x400;

// At CPU_APIC: u32 bit i = word i of the IRR may hold something; u32 errors not yet latched into ESR; u64 timer deadline in TSC ticks.
const IRR_SUMMARY: usize = 0;
const ERRORS: usize = 4;
const DEADLINE: usize = 8;

/** Version 0x14, six LVT entries. */
const VERSION_VALUE: u32 = 0x50014;
const SVR_ENABLED: u32 = 0x100;
const LVT_MASKED: u32 = 0x10000;
const LVT_PERIODIC: u32 = 0x20000;
const ERROR_SEND_VECTOR: u32 = 0x20;
const ERROR_RECEIVE_VECTOR: u32 = 0x40;

export const APIC_BASE_BSP: u64 = 0x100;
export const APIC_BASE_X2: u64 = 0x400;
export const APIC_BASE_ENABLE: u64 = 0x800;
const APIC_BASE_DEFAULT: u64 = 0xfee00000;
const APIC_BASE_RESERVED: u64 = PHYS_RESERVED | 0x2ff;

/** No timer deadline. */
export const LAPIC_NEVER: u64 = ~0;
/** One timer tick before the divider is 10 ns, as on Xen: TSC ticks = APIC ticks × kHz / 100000. */
const KHZ_PER_TICK: u64 = 100000;

@inline function regs(cpu: Cpu): usize {
  return changetype<usize>(cpu) + CPU_LAPIC;
}

@inline function own(cpu: Cpu): usize {
  return changetype<usize>(cpu) + CPU_APIC;
}

@inline function get(cpu: Cpu, r: usize): u32 {
  return load<u32>(regs(cpu) + r);
}

@inline function put(cpu: Cpu, r: usize, v: u32): void {
  store<u32>(regs(cpu) + r, v);
}

function reset_registers(cpu: Cpu): void {
  memory.fill(regs(cpu), 0, PAGE_END);
  memory.fill(own(cpu), 0, 8);
  store<u64>(own(cpu), LAPIC_NEVER, DEADLINE);
  put(cpu, VERSION, VERSION_VALUE);
  put(cpu, DFR, 0xffffffff);
  put(cpu, SVR, 0xff);
  for (let r = LVT_TIMER; r <= LVT_ERROR; r += 16) put(cpu, r, LVT_MASKED);
  set_id(cpu);
}

function x2apic(cpu: Cpu): bool {
  return (cpu.apic_base & (APIC_BASE_ENABLE | APIC_BASE_X2)) == (APIC_BASE_ENABLE | APIC_BASE_X2);
}

/** ID and, in x2APIC mode, the logical ID that follows from it (SDM 10.12.10.2). */
function set_id(cpu: Cpu): void {
  const id = apic_id(cpu);
  if (x2apic(cpu)) {
    put(cpu, ID, id);
    put(cpu, LDR, ((id >> 4) << 16) | (1 << (id & 15)));
  } else put(cpu, ID, id << 24);
}

/** State after power-up: enabled in xAPIC mode, software-disabled, everything masked. */
export function lapic_reset(cpu: Cpu): void {
  cpu.apic_base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (apic_id(cpu) == 0 ? APIC_BASE_BSP : 0);
  reset_registers(cpu);
}

/** WRMSR APIC_BASE; false = #GP. The mode's transitions are those of SDM figure 10-27. */
export function lapic_set_base(cpu: Cpu, v: u64): bool {
  if (v & APIC_BASE_RESERVED) return false;
  const old = cpu.apic_base;
  const enable = (v & APIC_BASE_ENABLE) != 0;
  if (v & APIC_BASE_X2) {
    if (!enable || !(old & APIC_BASE_ENABLE)) return false;
  } else if (enable && x2apic(cpu)) return false;
  cpu.apic_base = (v & ~APIC_BASE_BSP) | (old & APIC_BASE_BSP);
  if ((old ^ v) & APIC_BASE_ENABLE) reset_registers(cpu);
  else if ((old ^ v) & APIC_BASE_X2) set_id(cpu);
  return true;
}

// Acceptance and priority (SDM 10.8)

/** Highest vector of one of the 256-bit registers, -1 if it is empty. */
function highest(cpu: Cpu, r: usize): i32 {
  for (let i = 7; i >= 0; i--) {
    const w = atomic.load<u32>(regs(cpu) + r + ((<usize>i) << 4));
    if (w) return (i << 5) + 31 - <i32>clz(w);
  }
  return -1;
}

function priority(cpu: Cpu): u32 {
  const tpr = get(cpu, TPR);
  const isr = highest(cpu, ISR);
  if (isr < 0 || (tpr & 0xf0) >= ((<u32>isr) & 0xf0)) return tpr;
  return (<u32>isr) & 0xf0;
}

function enabled(cpu: Cpu): bool {
  return (cpu.apic_base & APIC_BASE_ENABLE) != 0 && (get(cpu, SVR) & SVR_ENABLED) != 0;
}

/**
 * Request a fixed, edge-triggered interrupt. Callable from any pCPU; waking a blocked vCPU is the caller's business. False: the APIC
 * is disabled and has not accepted it.
 */
export function lapic_raise(cpu: Cpu, vector: u32): bool {
  if (!enabled(cpu)) return false;
  if (vector < 16) {
    error(cpu, ERROR_RECEIVE_VECTOR);
    return true;
  }
  const word = (vector >> 5) & 7;
  atomic.or<u32>(regs(cpu) + IRR + (word << 4), 1 << (vector & 31));
  atomic.or<u32>(own(cpu) + IRR_SUMMARY, 1 << word);
  cpu_kick(cpu);
  return true;
}

/** Is any interrupt requested, deliverable or not? */
export function lapic_raised(cpu: Cpu): bool {
  return atomic.load<u32>(own(cpu) + IRR_SUMMARY) != 0;
}

/** The vector that would be delivered now if interrupts are enabled, or -1. */
export function lapic_pending(cpu: Cpu): i32 {
  const summary = atomic.load<u32>(own(cpu) + IRR_SUMMARY);
  if (!summary || !enabled(cpu)) return -1;
  const vector = highest(cpu, IRR);
  if (vector < 0 || ((<u32>vector) & 0xf0) <= (priority(cpu) & 0xf0)) return -1;
  return vector;
}

/** `vector`, as lapic_pending gave it, is being delivered: from IRR to ISR. */
export function lapic_ack(cpu: Cpu, vector: u32): void {
  const word = vector >> 5;
  const bit: u32 = 1 << (vector & 31);
  const irr = regs(cpu) + IRR + (word << 4);
  if (atomic.and<u32>(irr, ~bit) == bit) {
    atomic.and<u32>(own(cpu) + IRR_SUMMARY, ~((<u32>1) << word));
    // Somebody may have raised another one in between.
    if (atomic.load<u32>(irr)) atomic.or<u32>(own(cpu) + IRR_SUMMARY, 1 << word);
  }
  const isr = ISR + (word << 4);
  put(cpu, isr, get(cpu, isr) | bit);
}

function eoi(cpu: Cpu): void {
  const vector = highest(cpu, ISR);
  if (vector < 0) return;
  const isr = ISR + ((<usize>(vector >> 5)) << 4);
  put(cpu, isr, get(cpu, isr) & ~((<u32>1) << (vector & 31)));
}

export function lapic_get_tpr(cpu: Cpu): u32 {
  return get(cpu, TPR);
}

export function lapic_set_tpr(cpu: Cpu, v: u32): void {
  put(cpu, TPR, v & 0xff);
}

function error(cpu: Cpu, bit: u32): void {
  const lvt = get(cpu, LVT_ERROR);
  const open = !(lvt & LVT_MASKED);
  const vector = lvt & 0xff;
  // A bad vector of this entry is one more error, which is not reported by it again.
  const more: u32 = open && vector < 16 ? ERROR_RECEIVE_VECTOR : 0;
  store<u32>(own(cpu), load<u32>(own(cpu), ERRORS) | bit | more, ERRORS);
  if (open && vector >= 16) lapic_raise(cpu, vector);
}

// Interrupt commands (SDM 10.6)

const SHORTHAND: u64 = 0xc0000;
const SHORTHAND_SELF: u64 = 0x40000;
const SHORTHAND_ALL: u64 = 0x80000;
const LOGICAL: u64 = 0x800;

/** Is this vCPU a target of command `icr`, which `sender` issued? */
export function lapic_ipi_matches(cpu: Cpu, sender: Cpu, icr: u64): bool {
  const self = cpu == sender;
  const shorthand = icr & SHORTHAND;
  if (shorthand) return shorthand == SHORTHAND_SELF ? self : shorthand == SHORTHAND_ALL || !self;
  const wide = x2apic(sender);
  const to = wide ? <u32>(icr >> 32) : <u32>(icr >> 56);
  if (to == (wide ? <u32>0xffffffff : <u32>0xff)) return true;
  if (!(icr & LOGICAL)) return to == (x2apic(cpu) ? get(cpu, ID) : get(cpu, ID) >> 24);
  const ldr = get(cpu, LDR);
  if (x2apic(cpu)) return to >> 16 == ldr >> 16 && (to & ldr & 0xffff) != 0;
  const logical = ldr >> 24;
  // Flat model, or clusters of four (SDM 10.6.2.2).
  if (get(cpu, DFR) >> 28 == 15) return (to & logical) != 0;
  return to >> 4 == logical >> 4 && (to & logical & 15) != 0;
}

/** Take command `icr` as one of its targets. INIT and start-up commands change no running vCPU here: the hypervisor acts on them. */
export function lapic_ipi_accept(cpu: Cpu, icr: u64): void {
  const mode = (<u32>(icr >> 8)) & 7;
  if (mode <= 1) lapic_raise(cpu, (<u32>icr) & 0xff);
  else if (mode == 4) {
    nmi_raise(cpu);
    cpu_kick(cpu);
  }
}

/** Send a command: to oneself if one is a target. */
export function lapic_ipi(cpu: Cpu, icr: u64): void {
  const mode = (<u32>(icr >> 8)) & 7;
  if (mode <= 1 && ((<u32>icr) & 0xff) < 16) {
    error(cpu, ERROR_SEND_VECTOR);
    return;
  }
  if (lapic_ipi_matches(cpu, cpu, icr)) lapic_ipi_accept(cpu, icr);
}

// Timer (SDM 10.5.4): one-shot and periodic. The deadline is kept, the count is computed from it.

/** TSC ticks of one count: the divider's bits 0, 1 and 3 give 2, 4, ... 128, 1. */
function timer_ticks(cpu: Cpu, counts: u64): u64 {
  const d = get(cpu, TIMER_DIVIDE);
  const shift = (((d & 3) | ((d >> 1) & 4)) + 1) & 7;
  return ((counts << shift) * tsc_khz(cpu)) / KHZ_PER_TICK;
}

function timer_start(cpu: Cpu, counts: u32): void {
  store<u64>(own(cpu), counts ? engine_tsc(cpu) + timer_ticks(cpu, counts) : LAPIC_NEVER, DEADLINE);
}

function timer_current(cpu: Cpu): u32 {
  const deadline = load<u64>(own(cpu), DEADLINE);
  const now = engine_tsc(cpu);
  if (deadline == LAPIC_NEVER || deadline <= now) return 0;
  const tick = timer_ticks(cpu, 1000);
  return tick ? <u32>(((deadline - now) * 1000) / tick) : 0;
}

/** TSC value at which lapic_timer_poll has something to do, or LAPIC_NEVER. */
export function lapic_timer_deadline(cpu: Cpu): u64 {
  return load<u64>(own(cpu), DEADLINE);
}

/** Let a timer that has run out raise its interrupt. */
export function lapic_timer_poll(cpu: Cpu): void {
  const deadline = load<u64>(own(cpu), DEADLINE);
  if (deadline == LAPIC_NEVER) return;
  const now = engine_tsc(cpu);
  if (now < deadline) return;
  const lvt = get(cpu, LVT_TIMER);
  let next = LAPIC_NEVER;
  if (lvt & LVT_PERIODIC) {
    // Periods that nobody was there to see are one interrupt, as with a masked line.
    const period = timer_ticks(cpu, get(cpu, TIMER_INITIAL));
    if (period) next = deadline + ((now - deadline) / period + 1) * period;
  }
  store<u64>(own(cpu), next, DEADLINE);
  if (!(lvt & LVT_MASKED)) lapic_raise(cpu, lvt & 0xff);
}

// Registers

/** Writable bits of the LVT entries; a timer mode of TSC deadline is not offered. */
function lvt_mask(r: usize): u32 {
  if (r == LVT_TIMER) return 0x300ff;
  if (r == LVT_LINT0 || r == LVT_LINT1) return 0x1a7ff;
  if (r == LVT_ERROR) return 0x100ff;
  return 0x107ff;
}

function read(cpu: Cpu, r: usize): u32 {
  if (r == PPR) return priority(cpu);
  if (r == TIMER_CURRENT) return timer_current(cpu);
  return get(cpu, r);
}

function write(cpu: Cpu, r: usize, v: u32): void {
  switch (<u32>r) {
    case <u32>TPR:
      lapic_set_tpr(cpu, v);
      break;
    case <u32>EOI:
      eoi(cpu);
      break;
    case <u32>LDR:
      put(cpu, LDR, v & 0xff000000);
      break;
    case <u32>DFR:
      put(cpu, DFR, v | 0x0fffffff);
      break;
    case <u32>SVR:
      put(cpu, SVR, v & 0x1ff);
      if (!(v & SVR_ENABLED)) for (let l = LVT_TIMER; l <= LVT_ERROR; l += 16) put(cpu, l, get(cpu, l) | LVT_MASKED);
      break;
    case <u32>ESR:
      put(cpu, ESR, load<u32>(own(cpu), ERRORS));
      store<u32>(own(cpu), 0, ERRORS);
      break;
    case <u32>ICR:
      put(cpu, ICR, v & 0xcdfff & ~(<u32>0x1000));
      lapic_ipi(cpu, (<u64>get(cpu, ICR)) | ((<u64>get(cpu, ICR_HIGH)) << 32));
      break;
    case <u32>ICR_HIGH:
      put(cpu, ICR_HIGH, v & 0xff000000);
      break;
    case <u32>LVT_TIMER:
    case <u32>LVT_THERMAL:
    case <u32>LVT_COUNTERS:
    case <u32>LVT_LINT0:
    case <u32>LVT_LINT1:
    case <u32>LVT_ERROR:
      put(cpu, r, (v & lvt_mask(r)) | (get(cpu, SVR) & SVR_ENABLED ? 0 : LVT_MASKED));
      break;
    case <u32>TIMER_INITIAL:
      put(cpu, TIMER_INITIAL, v);
      timer_start(cpu, v);
      break;
    case <u32>TIMER_DIVIDE: {
      const left = timer_current(cpu);
      put(cpu, TIMER_DIVIDE, v & 11);
      if (left) timer_start(cpu, left);
      break;
    }
    default:
      break;
  }
}

/**
 * An access to the xAPIC page. Registers are 32 bits at multiples of 16 and written whole; other bytes read as 0. In x2APIC mode or
 * when disabled nothing is there.
 */
export function lapic_mmio(cpu: Cpu, offset: u32, size: i32, write_: bool, data: usize): i32 {
  if (!(cpu.apic_base & APIC_BASE_ENABLE) || x2apic(cpu)) {
    if (!write_) memory.fill(data, 0xff, size);
    return 0;
  }
  const r = (<usize>offset) & 0xff0;
  if (write_) {
    if (size == 4 && !(offset & 15) && r < PAGE_END) write(cpu, r, load<u32>(data));
    return 0;
  }
  memory.fill(data, 0, size);
  if (r < PAGE_END && (offset & 15) < 4) {
    const left = 4 - <i32>(offset & 3);
    store<u32>(own(cpu) + 16, read(cpu, r));
    memory.copy(data, own(cpu) + 16 + (offset & 3), size < left ? size : left);
  }
  return 0;
}

/** What lapic_read_msr read. */
export let lapic_value: u64 = 0;

/** RDMSR 0x800..0x8ff (SDM table 10-6); false = #GP. */
export function lapic_read_msr(cpu: Cpu, msr: u32): bool {
  const r = (<usize>(msr & 0xff)) << 4;
  if (!x2apic(cpu)) return false;
  const readable =
    r == ID ||
    r == VERSION ||
    r == TPR ||
    r == PPR ||
    r == LDR ||
    r == SVR ||
    (r >= ISR && r <= ESR) ||
    r == ICR ||
    (r >= LVT_TIMER && r <= TIMER_CURRENT) ||
    r == TIMER_DIVIDE;
  if (!readable) return false;
  lapic_value = read(cpu, r);
  if (r == ICR) lapic_value |= (<u64>get(cpu, ICR_HIGH)) << 32;
  return true;
}

/** WRMSR 0x800..0x8ff; false = #GP (reserved bits, read-only registers). */
export function lapic_write_msr(cpu: Cpu, msr: u32, v: u64): bool {
  const r = (<usize>(msr & 0xff)) << 4;
  if (!x2apic(cpu)) return false;
  let legal: u64 = 0;
  if (r == TPR || r == SELF_IPI) legal = 0xff;
  else if (r == EOI || r == ESR) legal = 0;
  else if (r == SVR) legal = 0x1ff;
  else if (r == ICR) legal = 0xffffffff000ccfff;
  else if (r >= LVT_TIMER && r <= LVT_ERROR) legal = (<u64>lvt_mask(r)) | 0x5000;
  else if (r == TIMER_INITIAL) legal = 0xffffffff;
  else if (r == TIMER_DIVIDE) legal = 11;
  else return false;
  if (v & ~legal) return false;
  if (r == SELF_IPI) lapic_ipi(cpu, SHORTHAND_SELF | v);
  else {
    if (r == ICR) put(cpu, ICR_HIGH, <u32>(v >> 32));
    write(cpu, r, <u32>v);
  }
  return true;
}

// Xen's save records LAPIC (base u64, disabled u32, timer divisor u32, TSC deadline u64) and LAPIC_REGS (1 KiB of registers).

export const LAPIC_RECORD_SIZE: u32 = 24;
export const LAPIC_REGS_RECORD_SIZE: u32 = 1024;

export function lapic_save(cpu: Cpu, out: usize): void {
  store<u64>(out, cpu.apic_base);
  store<u32>(out, enabled(cpu) ? 0 : cpu.apic_base & APIC_BASE_ENABLE ? 1 : 3, 8);
  store<u32>(out, <u32>timer_ticks(cpu, 1), 12);
  store<u64>(out, 0, 16);
}

export function lapic_save_regs(cpu: Cpu, out: usize): void {
  put(cpu, PPR, priority(cpu));
  put(cpu, TIMER_CURRENT, timer_current(cpu));
  memory.copy(out, regs(cpu), PAGE_END);
}

/** Restore the LAPIC record; false if the base makes no sense. To be followed by lapic_restore_regs. */
export function lapic_restore(cpu: Cpu, from: usize): bool {
  const base = load<u64>(from);
  if (base & APIC_BASE_RESERVED || (base & (APIC_BASE_X2 | APIC_BASE_ENABLE)) == APIC_BASE_X2) return false;
  cpu.apic_base = base;
  return true;
}

/** Restore the registers; those with fixed bits are put right whatever the record says. */
export function lapic_restore_regs(cpu: Cpu, from: usize): void {
  memory.copy(regs(cpu), from, PAGE_END);
  memory.fill(own(cpu), 0, 8);
  const ldr = get(cpu, LDR);
  put(cpu, VERSION, VERSION_VALUE);
  set_id(cpu);
  if (!x2apic(cpu)) put(cpu, LDR, ldr & 0xff000000);
  put(cpu, TPR, get(cpu, TPR) & 0xff);
  put(cpu, SVR, get(cpu, SVR) & 0x1ff);
  put(cpu, TIMER_DIVIDE, get(cpu, TIMER_DIVIDE) & 11);
  for (let r = LVT_TIMER; r <= LVT_ERROR; r += 16) put(cpu, r, get(cpu, r) & lvt_mask(r));
  // Vectors 0-15 do not exist.
  for (let r = ISR; r < ESR; r += 0x80) put(cpu, r, get(cpu, r) & 0xffff0000);
  let summary: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) if (get(cpu, IRR + ((<usize>i) << 4))) summary |= 1 << i;
  atomic.store<u32>(own(cpu) + IRR_SUMMARY, summary);
  timer_start(cpu, get(cpu, TIMER_CURRENT));
}
