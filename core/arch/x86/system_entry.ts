// Test build: event delivery, far transfers and system instructions over a little guest memory, driven by system.test.ts.
import { Cpu, CPU_SEGMENTS } from './cpu';
import { deliver_exception, interrupt_deliver } from './exceptions';
import { flags_get, flags_set } from './flags';
import * as apic from './lapic';
import { load_segment, mode_changed } from './segments';
import { INT, SYSCALL, SYSENTER, SYSEXIT, SYSRET } from './semantics/far_interrupt';
import { CALL_far, JMP_far } from './semantics/far';
import { IRET, RET_far } from './semantics/far_return';
import { MOV_cr } from './semantics/system_control';
import { POPF } from './semantics/system_flags';
import { FXRSTOR64, FXSAVE64, XRSTOR64, XSAVE64 } from './semantics/system_state';
import { LAR, LSL, LTR, VERW } from './semantics/system_segment';
import { mem_attach } from '../../engine/mem';
import { tlb_attach, tlb_flush } from '../../engine/tlb_sets';

const cpu = changetype<Cpu>(0x20000);
const uop: usize = 0x30100;

export const RIP: usize = offsetof<Cpu>('rip');
export const RFLAGS: usize = offsetof<Cpu>('rflags');
export const EXC_VECTOR: usize = offsetof<Cpu>('exc_vector');
export const EXC_ERROR: usize = offsetof<Cpu>('exc_error');
export const EXIT: usize = offsetof<Cpu>('exit');
export const CPL: usize = offsetof<Cpu>('cpl');
export const CR0: usize = offsetof<Cpu>('cr0');
export const CR2: usize = offsetof<Cpu>('cr2');
export const CR3: usize = offsetof<Cpu>('cr3');
export const CR4: usize = offsetof<Cpu>('cr4');
export const XCR0: usize = offsetof<Cpu>('xcr0');
export const EFER: usize = offsetof<Cpu>('efer');
export const STAR: usize = offsetof<Cpu>('star');
export const LSTAR: usize = offsetof<Cpu>('lstar');
export const SFMASK: usize = offsetof<Cpu>('sfmask');
export const SYSENTER_CS: usize = offsetof<Cpu>('sysenter_cs');
export const SYSENTER_ESP: usize = offsetof<Cpu>('sysenter_esp');
export const SYSENTER_EIP: usize = offsetof<Cpu>('sysenter_eip');
export const GDT_BASE: usize = offsetof<Cpu>('gdt_base');
export const GDT_LIMIT: usize = offsetof<Cpu>('gdt_limit');
export const IDT_BASE: usize = offsetof<Cpu>('idt_base');
export const IDT_LIMIT: usize = offsetof<Cpu>('idt_limit');
export const APIC_BASE: usize = offsetof<Cpu>('apic_base');
export const PAGE_VA: usize = offsetof<Cpu>('page_va');
export const SEGMENTS: usize = CPU_SEGMENTS;

export function attach(): void {
  tlb_attach(0x300000);
  mem_attach(0);
  apic.lapic_reset(cpu);
}

/** After the test wrote the state by hand. */
export function sync(): void {
  tlb_flush(cpu);
  mode_changed(cpu);
}

export function flags(v: u64): void {
  flags_set(cpu, v);
}

export function exception(vector: u32, error: u32, flags: u32): i32 {
  cpu.exc_vector = vector;
  cpu.exc_error = error;
  cpu.exc_flags = flags;
  return deliver_exception(cpu);
}

export function interrupt(vector: u32): i32 {
  return interrupt_deliver(cpu, vector);
}

export function segment(i: i32, selector: u32): i32 {
  return load_segment(cpu, i, selector);
}

// Instructions; the test has written the micro-op.
export function int(): i32 {
  return INT(cpu, uop);
}
export function syscall(): i32 {
  return SYSCALL(cpu, uop);
}
export function sysret64(): i32 {
  return SYSRET<u64>(cpu, uop);
}
export function sysret32(): i32 {
  return SYSRET<u32>(cpu, uop);
}
export function sysenter(): i32 {
  return SYSENTER(cpu, uop);
}
export function sysexit64(): i32 {
  return SYSEXIT<u64>(cpu, uop);
}
export function iret16(): i32 {
  return IRET<u16>(cpu, uop);
}
export function iret32(): i32 {
  return IRET<u32>(cpu, uop);
}
export function iret64(): i32 {
  return IRET<u64>(cpu, uop);
}
export function retf32(): i32 {
  return RET_far<u32>(cpu, uop);
}
export function callf32(): i32 {
  return CALL_far<u32>(cpu, uop);
}
export function jmpf32(): i32 {
  return JMP_far<u32>(cpu, uop);
}
export function mov_cr(): i32 {
  return MOV_cr<u64>(cpu, uop);
}
export function rflags(): u64 {
  return flags_get(cpu);
}
export function popf64(): i32 {
  return POPF<u64>(cpu, uop);
}
export function fxsave(): i32 {
  return FXSAVE64(cpu, uop);
}
export function fxrstor(): i32 {
  return FXRSTOR64(cpu, uop);
}
export function xsave(): i32 {
  return XSAVE64(cpu, uop);
}
export function xrstor(): i32 {
  return XRSTOR64(cpu, uop);
}
export function lar(): i32 {
  return LAR<u32>(cpu, uop);
}
export function lsl(): i32 {
  return LSL<u32>(cpu, uop);
}
export function ltr(): i32 {
  return LTR(cpu, uop);
}
export function verw(): i32 {
  return VERW(cpu, uop);
}

// The local APIC
export function apic_raise(vector: u32): void {
  apic.lapic_raise(cpu, vector);
}
export function apic_pending(): i32 {
  return apic.lapic_pending(cpu);
}
export function apic_ack(vector: u32): void {
  apic.lapic_ack(cpu, vector);
}
export function apic_set_base(v: u64): bool {
  return apic.lapic_set_base(cpu, v);
}
export function apic_write(msr: u32, v: u64): bool {
  return apic.lapic_write_msr(cpu, msr, v);
}
export function apic_read(msr: u32): u64 {
  return apic.lapic_read_msr(cpu, msr) ? apic.lapic_value : ~0;
}
export function apic_mmio_write(offset: u32, v: u32): void {
  store<u32>(0x30200, v);
  apic.lapic_mmio(cpu, offset, 4, true, 0x30200);
}
export function apic_mmio_read(offset: u32): u32 {
  apic.lapic_mmio(cpu, offset, 4, false, 0x30200);
  return load<u32>(0x30200);
}
export function apic_poll(): void {
  apic.lapic_timer_poll(cpu);
}
export function apic_deadline(): u64 {
  return apic.lapic_timer_deadline(cpu);
}
export function apic_copy(): void {
  apic.lapic_save(cpu, 0x31000);
  apic.lapic_save_regs(cpu, 0x31100);
  apic.lapic_reset(cpu);
  apic.lapic_restore(cpu, 0x31000);
  apic.lapic_restore_regs(cpu, 0x31100);
}
