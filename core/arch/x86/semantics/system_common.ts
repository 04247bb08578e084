// What the bodies of system instructions share: privilege, operands by address, leaving the loop.
import { Cpu, EXIT_NONE, SEG_SS, seg } from '../cpu';
import { MODE_CPL0, MODE_CS64, MODE_FLAT, MODE_PE, MODE_VM86 } from '../modes';
import { raise, EXC_GP, EXC_UD } from '../exceptions';
import { nmi_pending } from '../interrupts';
import { lapic_pending } from '../lapic';
import { push_begin, push_mask } from '../push';
import { seg_check } from '../segments';
import { ea_slow } from '../../../engine/address';
import { read_ptr, write_ptr } from '../../../engine/mem';
import { next_rip, uop_b, uop_ismem } from '../../../engine/uop';
import { engine_upcall_vector } from '../../../hypervisor/engine';

export function gp0(cpu: Cpu): i32 {
  return raise(cpu, EXC_GP, 0);
}

export function ud(cpu: Cpu): i32 {
  return raise(cpu, EXC_UD, 0);
}

@inline export function cpl0(cpu: Cpu): bool {
  return (cpu.mode & MODE_CPL0) != 0;
}

@inline export function long_code(cpu: Cpu): bool {
  return (cpu.mode & MODE_CS64) != 0;
}

/** Protected mode proper: selectors name descriptors. */
@inline export function protected_mode(cpu: Cpu): bool {
  return (cpu.mode & (MODE_PE | MODE_VM86)) == MODE_PE;
}

@inline export function iopl(cpu: Cpu): u32 {
  return (<u32>(cpu.rflags >> 12)) & 3;
}

/** The next instruction's offset in CS. */
export function next_ip(cpu: Cpu, u: usize): u64 {
  const ip = next_rip(cpu, u);
  return long_code(cpu) ? ip : ip & 0xffffffff;
}

/** Go on at `ip` through the outer loop: what code means, or who may interrupt it, has changed. */
export function go(cpu: Cpu, ip: u64): i32 {
  cpu.rip = ip;
  cpu.exit = EXIT_NONE;
  return 1;
}

/** Retire and leave, so that the outer loop looks at the new state. */
export function leave(cpu: Cpu, u: usize): i32 {
  return go(cpu, next_ip(cpu, u));
}

/** The operand's bytes for reading: a register is memory of Cpu. 0 = exception pending. */
export function rm_read(cpu: Cpu, u: usize, size: i32): usize {
  if (!uop_ismem(u)) return changetype<usize>(cpu) + uop_b(u);
  return read_ptr(cpu, ea_slow(cpu, u, size, false), size);
}

/** Memory operand for writing; commit() afterwards. */
export function mem_write(cpu: Cpu, u: usize, size: i32, align: i32 = 0): usize {
  return write_ptr(cpu, ea_slow(cpu, u, size, true), size, align);
}

/** Is an interrupt waiting that only the interrupt flag or the priority held back? */
export function interrupt_waits(cpu: Cpu): bool {
  return engine_upcall_vector(cpu) >= 0 || lapic_pending(cpu) >= 0 || nmi_pending(cpu);
}

/** Begin pushing `count` slots of `width` bytes on the present stack with the present privilege. */
export function stack_begin(cpu: Cpu, width: i32, count: i32): bool {
  const mask = push_mask(cpu);
  const size = width * count;
  if (!(cpu.mode & MODE_FLAT) && !seg_check(cpu, SEG_SS, (cpu.rsp - <u64>size) & mask, size, true)) return false;
  return push_begin(cpu, long_code(cpu) ? 0 : seg(cpu, SEG_SS).base, cpu.rsp, mask, width, count, false);
}

/** What peek read. */
export let peeked: u64 = 0;

/** Read a slot of the stack, `offset` bytes above the stack pointer. False = exception pending. */
export function peek<T>(cpu: Cpu, offset: i32): bool {
  const off = (cpu.rsp + <u64>offset) & push_mask(cpu);
  let va = off;
  if (!long_code(cpu)) {
    if (!(cpu.mode & MODE_FLAT) && !seg_check(cpu, SEG_SS, off, sizeof<T>(), false)) return false;
    va = (cpu.base_ss + off) & 0xffffffff;
  }
  const p = read_ptr(cpu, va, sizeof<T>());
  if (p == 0) return false;
  peeked = <u64>load<T>(p);
  return true;
}

/** Move the stack pointer by `n`, as wide as the present stack is. */
export function stack_move(cpu: Cpu, n: i32): void {
  stack_set(cpu, cpu.rsp + <u64>n, push_mask(cpu));
}

export function stack_set(cpu: Cpu, sp: u64, mask: u64): void {
  cpu.rsp = mask == 0xffff ? (cpu.rsp & ~(<u64>0xffff)) | (sp & 0xffff) : sp & mask;
}
