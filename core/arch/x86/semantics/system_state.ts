// FXSAVE, FXRSTOR, XSAVE, XRSTOR, MXCSR (SDM vol. 1, 10.5 and 13.4-13.8). The images are in the standard format: 512 bytes of x87
// and SSE state, then for XSAVE a header of 64 bytes. State components: bit 0 x87, bit 1 SSE.
import {
  Cpu,
  CPU_FCS,
  CPU_FCW,
  CPU_FDP,
  CPU_FDS,
  CPU_FIP,
  CPU_FOP,
  CPU_FPR,
  CPU_FSW,
  CPU_FTW,
  CPU_MXCSR,
  CPU_XMM,
} from '../cpu';
import { CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXSAVE } from '../control';
import { raise, EXC_NM } from '../exceptions';
import { gp0, long_code, mem_write, rm_read, ud } from './system_common';
import { ea_slow, violated } from '../../../engine/address';
import { canonical, commit, ld, misaligned, probe_range, st } from '../../../engine/mem';

const X87: u64 = 1;
const SSE: u64 = 2;
const MXCSR_BITS: u32 = 0xffff;
const XSAVE_HEADER: u64 = 512;
const XSAVE_BYTES: i32 = 576;

/**
 * Address of the image, aligned to `align` and accessible; 0 = exception pending. Bytes `first` and `second` are probed in this order:
 * they lie on all its pages, and a page fault names one of them as it does on a processor.
 */
function image(cpu: Cpu, u: usize, size: i32, align: u64, write: bool, first: u64, second: u64): u64 {
  const va = ea_slow(cpu, u, size, write);
  if (va & (align - 1)) {
    // A segment violation has raised its own exception. Under alignment checking FXSAVE and FXRSTOR may raise #AC instead (SDM vol. 2):
    // a processor does so below a multiple of 4.
    if (!violated(cpu, va) && !(align == 16 && misaligned(cpu, va, 4))) gp0(cpu);
    return 0;
  }
  // Linear address 0 can hold an image, too: bit 0 marks success.
  if (!canonical(va)) return probe_range(cpu, va, size, write) ? va | 1 : 0;
  return probe_range(cpu, va + first, 1, write) && probe_range(cpu, va + second, 1, write) ? va | 1 : 0;
}

/** Physical register of ST(i). */
@inline function st_reg(cpu: Cpu, i: i32): usize {
  const c = changetype<usize>(cpu);
  const top = ((<i32>load<u16>(c + CPU_FSW)) >> 11) & 7;
  return c + CPU_FPR + ((<usize>((top + i) & 7)) << 4);
}

function save_x87(cpu: Cpu, va: u64, wide: bool): void {
  const c = changetype<usize>(cpu);
  st<u16>(cpu, va, load<u16>(c + CPU_FCW));
  st<u16>(cpu, va + 2, load<u16>(c + CPU_FSW));
  st<u16>(cpu, va + 4, load<u8>(c + CPU_FTW));
  st<u16>(cpu, va + 6, load<u16>(c + CPU_FOP));
  if (wide) {
    st<u64>(cpu, va + 8, load<u64>(c + CPU_FIP));
    st<u64>(cpu, va + 16, load<u64>(c + CPU_FDP));
  } else {
    st<u32>(cpu, va + 8, load<u32>(c + CPU_FIP));
    st<u32>(cpu, va + 12, load<u16>(c + CPU_FCS));
    st<u32>(cpu, va + 16, load<u32>(c + CPU_FDP));
    st<u32>(cpu, va + 20, load<u16>(c + CPU_FDS));
  }
  for (let i = 0; i < 8; i++) {
    const at = va + 32 + <u64>(i << 4);
    st<u64>(cpu, at, load<u64>(st_reg(cpu, i)));
    st<u64>(cpu, at + 8, load<u16>(st_reg(cpu, i), 8));
  }
}

function restore_x87(cpu: Cpu, va: u64, wide: bool): void {
  const c = changetype<usize>(cpu);
  store<u16>(c + CPU_FCW, (ld<u16>(cpu, va) & 0x1f3f) | 0x40);
  const unmasked = ld<u16>(cpu, va + 2) & ~ld<u16>(cpu, va) & 0x3f;
  // ES and B follow from the exceptions that are pending and not masked.
  store<u16>(c + CPU_FSW, (ld<u16>(cpu, va + 2) & 0x7f7f) | (unmasked ? 0x8080 : 0));
  store<u8>(c + CPU_FTW, ld<u8>(cpu, va + 4));
  store<u16>(c + CPU_FOP, ld<u16>(cpu, va + 6) & 0x7ff);
  if (wide) {
    store<u64>(c + CPU_FIP, ld<u64>(cpu, va + 8));
    store<u64>(c + CPU_FDP, ld<u64>(cpu, va + 16));
    store<u16>(c + CPU_FCS, 0);
    store<u16>(c + CPU_FDS, 0);
  } else {
    store<u64>(c + CPU_FIP, ld<u32>(cpu, va + 8));
    store<u16>(c + CPU_FCS, ld<u16>(cpu, va + 12));
    store<u64>(c + CPU_FDP, ld<u32>(cpu, va + 16));
    store<u16>(c + CPU_FDS, ld<u16>(cpu, va + 20));
  }
  for (let i = 0; i < 8; i++) {
    const at = va + 32 + <u64>(i << 4);
    store<u64>(st_reg(cpu, i), ld<u64>(cpu, at));
    store<u64>(st_reg(cpu, i), ld<u16>(cpu, at + 8), 8);
  }
}

function init_x87(cpu: Cpu): void {
  const c = changetype<usize>(cpu);
  memory.fill(c + CPU_FCW, 0, CPU_MXCSR - CPU_FCW);
  memory.fill(c + CPU_FCS, 0, 4);
  memory.fill(c + CPU_FPR, 0, 128);
  store<u16>(c + CPU_FCW, 0x37f);
}

/** XMM8-15 exist in 64-bit mode only; elsewhere their part of an image is left alone. */
function save_xmm(cpu: Cpu, va: u64): void {
  const n: usize = long_code(cpu) ? 256 : 128;
  for (let i: usize = 0; i < n; i += 8) st<u64>(cpu, va + 160 + i, load<u64>(changetype<usize>(cpu) + CPU_XMM + i));
}

function restore_xmm(cpu: Cpu, va: u64): void {
  const n: usize = long_code(cpu) ? 256 : 128;
  for (let i: usize = 0; i < n; i += 8) store<u64>(changetype<usize>(cpu) + CPU_XMM + i, ld<u64>(cpu, va + 160 + i));
}

function save_mxcsr(cpu: Cpu, va: u64): void {
  st<u32>(cpu, va + 24, load<u32>(changetype<usize>(cpu) + CPU_MXCSR));
  st<u32>(cpu, va + 28, MXCSR_BITS);
}

function fxsave(cpu: Cpu, u: usize, wide: bool): i32 {
  if (cpu.cr0 & (CR0_EM | CR0_TS)) return raise(cpu, EXC_NM, 0);
  let va = image(cpu, u, 512, 16, true, 511, 0);
  if (!va) return 1;
  va &= ~(<u64>1);
  save_x87(cpu, va, wide);
  save_mxcsr(cpu, va);
  if (cpu.cr4 & CR4_OSFXSR) save_xmm(cpu, va);
  return 0;
}

function fxrstor(cpu: Cpu, u: usize, wide: bool): i32 {
  if (cpu.cr0 & (CR0_EM | CR0_TS)) return raise(cpu, EXC_NM, 0);
  let va = image(cpu, u, 512, 16, false, 511, 0);
  if (!va) return 1;
  va &= ~(<u64>1);
  const mxcsr = ld<u32>(cpu, va + 24);
  if (mxcsr & ~MXCSR_BITS) return gp0(cpu);
  restore_x87(cpu, va, wide);
  if (cpu.cr4 & CR4_OSFXSR) {
    store<u32>(changetype<usize>(cpu) + CPU_MXCSR, mxcsr);
    restore_xmm(cpu, va);
  }
  return 0;
}

export function FXSAVE(cpu: Cpu, u: usize): i32 {
  return fxsave(cpu, u, false);
}
export function FXSAVE64(cpu: Cpu, u: usize): i32 {
  return fxsave(cpu, u, true);
}
export function FXRSTOR(cpu: Cpu, u: usize): i32 {
  return fxrstor(cpu, u, false);
}
export function FXRSTOR64(cpu: Cpu, u: usize): i32 {
  return fxrstor(cpu, u, true);
}

/** 0 if XSAVE and its like may run, 1 with #UD or #NM pending. */
function xsave_refused(cpu: Cpu): i32 {
  if (!(cpu.cr4 & CR4_OSXSAVE)) return ud(cpu);
  return cpu.cr0 & CR0_TS ? raise(cpu, EXC_NM, 0) : 0;
}

/** Components asked for by EDX:EAX and enabled in XCR0. */
@inline function requested(cpu: Cpu): u64 {
  return ((cpu.rdx << 32) | (cpu.rax & 0xffffffff)) & cpu.xcr0;
}

/** XINUSE is reported as all ones: no state is tracked as being initial, so XSTATE_BV gets every component that is written. */
function xsave(cpu: Cpu, u: usize, wide: bool): i32 {
  if (xsave_refused(cpu)) return 1;
  let va = image(cpu, u, XSAVE_BYTES, 64, true, 0, XSAVE_BYTES - 1);
  if (!va) return 1;
  va &= ~(<u64>1);
  const what = requested(cpu);
  if (what & X87) save_x87(cpu, va, wide);
  if (what & SSE) {
    save_mxcsr(cpu, va);
    save_xmm(cpu, va);
  }
  st<u64>(cpu, va + XSAVE_HEADER, (ld<u64>(cpu, va + XSAVE_HEADER) & ~what) | what);
  return 0;
}

/** Standard form: XCOMP_BV and the rest of the header are 0, XSTATE_BV has no bit that XCR0 lacks (SDM vol. 1, 13.8.1). */
function header_legal(cpu: Cpu, va: u64): bool {
  if (ld<u64>(cpu, va + XSAVE_HEADER) & ~cpu.xcr0) return false;
  return ld<u64>(cpu, va + XSAVE_HEADER + 8) == 0 && ld<u64>(cpu, va + XSAVE_HEADER + 16) == 0;
}

function xrstor(cpu: Cpu, u: usize, wide: bool): i32 {
  if (xsave_refused(cpu)) return 1;
  let va = image(cpu, u, XSAVE_BYTES, 64, false, 0, XSAVE_HEADER);
  if (!va) return 1;
  va &= ~(<u64>1);
  if (!header_legal(cpu, va)) return gp0(cpu);
  const what = requested(cpu);
  const present = ld<u64>(cpu, va + XSAVE_HEADER);
  const mxcsr = ld<u32>(cpu, va + 24);
  // MXCSR comes from the image whenever SSE is asked for, even if XSTATE_BV says that the registers are initial.
  if (what & SSE && mxcsr & ~MXCSR_BITS) return gp0(cpu);
  if (what & X87) {
    if (present & X87) restore_x87(cpu, va, wide);
    else init_x87(cpu);
  }
  if (what & SSE) {
    store<u32>(changetype<usize>(cpu) + CPU_MXCSR, mxcsr);
    if (present & SSE) restore_xmm(cpu, va);
    else memory.fill(changetype<usize>(cpu) + CPU_XMM, 0, long_code(cpu) ? 256 : 128);
  }
  return 0;
}

export function XSAVE(cpu: Cpu, u: usize): i32 {
  return xsave(cpu, u, false);
}
export function XSAVE64(cpu: Cpu, u: usize): i32 {
  return xsave(cpu, u, true);
}
export function XRSTOR(cpu: Cpu, u: usize): i32 {
  return xrstor(cpu, u, false);
}
export function XRSTOR64(cpu: Cpu, u: usize): i32 {
  return xrstor(cpu, u, true);
}

export function LDMXCSR(cpu: Cpu, u: usize): i32 {
  const p = rm_read(cpu, u, 4);
  if (p == 0) return 1;
  const v = load<u32>(p);
  if (v & ~MXCSR_BITS) return gp0(cpu);
  store<u32>(changetype<usize>(cpu) + CPU_MXCSR, v);
  return 0;
}

export function STMXCSR(cpu: Cpu, u: usize): i32 {
  const p = mem_write(cpu, u, 4);
  if (p == 0) return 1;
  store<u32>(p, load<u32>(changetype<usize>(cpu) + CPU_MXCSR));
  commit(cpu, p);
  return 0;
}
