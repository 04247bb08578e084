// Frames pushed by interrupts, far calls and gates: the whole range is checked first, then written downwards.
import { Cpu } from './cpu';
import { raise, EXC_SS } from './exceptions';
import { canonical } from './limits';
import { MODE_CS64, MODE_SS32 } from './modes';
import { probe_range, st, sys_probe, sys_st } from '../../engine/mem';

// The frame being pushed, between push_begin and push_commit.
let base: u64 = 0;
let sp: u64 = 0;
let sp_mask: u64 = 0;
let step: i32 = 0;
let by_system: bool = false;

/** Width of the present stack pointer as a mask. */
export function push_mask(cpu: Cpu): u64 {
  if (cpu.mode & MODE_CS64) return ~0;
  return cpu.mode & MODE_SS32 ? 0xffffffff : 0xffff;
}

@inline function linear(off: u64): u64 {
  return sp_mask == ~0 ? off : (base + off) & 0xffffffff;
}

/**
 * Begin a frame of `count` slots of `width` bytes under stack pointer `pointer`; `system`: written with supervisor privilege
 * though the CPL may be 3. False = an exception is pending. Segment limits are the caller's business.
 */
export function push_begin(
  cpu: Cpu,
  ss_base: u64,
  pointer: u64,
  mask: u64,
  width: i32,
  count: i32,
  system: bool,
): bool {
  base = ss_base;
  sp = pointer;
  sp_mask = mask;
  step = width;
  by_system = system;
  const size = width * count;
  const low = (pointer - <u64>size) & mask;
  if (mask == ~0 && !canonical(low)) {
    raise(cpu, EXC_SS, 0);
    return false;
  }
  // A frame that wraps round a 16-bit stack is probed slot by slot.
  if (low + <u64>size - 1 <= mask) return probe(cpu, linear(low), size);
  for (let i = 1; i <= count; i++) {
    if (!probe(cpu, linear((pointer - <u64>(i * width)) & mask), width)) return false;
  }
  return true;
}

function probe(cpu: Cpu, va: u64, size: i32): bool {
  return by_system ? sys_probe(cpu, va, size, true) : probe_range(cpu, va, size, true, step);
}

export function push(cpu: Cpu, value: u64): void {
  sp = (sp - <u64>step) & sp_mask;
  const va = linear(sp);
  if (step == 8) write<u64>(cpu, va, value);
  else if (step == 4) write<u32>(cpu, va, <u32>value);
  else write<u16>(cpu, va, <u16>value);
}

@inline function write<T>(cpu: Cpu, va: u64, value: T): void {
  if (by_system) sys_st<T>(cpu, va, value);
  else st<T>(cpu, va, value);
}

/** Make the frame's lower end the stack pointer. A 16-bit stack keeps the bits above. */
export function push_commit(cpu: Cpu): void {
  if (sp_mask == 0xffff) cpu.rsp = (cpu.rsp & ~(<u64>0xffff)) | sp;
  else cpu.rsp = sp;
}
