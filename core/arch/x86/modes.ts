// Bits of cpu.mode: everything about the processor's mode that changes how an instruction is decoded or executed. Together with the
// frame number they are the key of decoded code.
import { watch_mode } from './breakpoints';
import { Cpu, seg, SEG_CS, SEG_SS, SEG_DS, SEG_ES } from './cpu';

export const MODE_CS64: u32 = 1; // 64-bit code
export const MODE_CS32: u32 = 2; // CS.D: 32-bit default operand and address size (neither bit: 16)
export const MODE_SS32: u32 = 4; // SS.B: 32-bit stack pointer (64-bit mode: always 64)
export const MODE_FLAT: u32 = 8; // ES CS SS DS are usable with base 0 and no limit to check (always in 64-bit mode)
export const MODE_LMA: u32 = 16; // long mode active (64-bit or compatibility)
export const MODE_PE: u32 = 32;
export const MODE_VM86: u32 = 64;
export const MODE_USER: u32 = 128; // CPL 3
export const MODE_CPL0: u32 = 256;
export const MODE_X87: u32 = 512; // x87 instructions do not fault (CR0.EM = TS = 0)
export const MODE_SSE: u32 = 1024; // SSE instructions do not fault (CR0.EM = TS = 0, CR4.OSFXSR = 1)
export const MODE_MMX: u32 = 2048; // as MODE_X87, for MMX
// Not part of the key: the loop's slow paths look at these. Code that does not come through them has to stay out while one is set.
export const MODE_BREAK: u32 = 4096; // an instruction breakpoint is armed
export const MODE_WATCH: u32 = 8192; // a data or I/O breakpoint is armed
export const MODE_ALIGN: u32 = 16384; // misaligned accesses are #AC (CR0.AM = RFLAGS.AC = 1, CPL 3)
/** Part of the key of decoded code: how bytes decode and which units fault. Privilege is checked when the instruction runs. */
export const MODE_CODE_KEY: u32 =
  MODE_CS64 | MODE_CS32 | MODE_FLAT | MODE_X87 | MODE_SSE | MODE_SS32 | MODE_PE | MODE_VM86;

const ATTR_DB: u32 = 0x400;
const ATTR_L: u32 = 0x200;
const ATTR_P: u32 = 0x80;

/** A data segment that address generation may ignore: present, writable data (not expand-down), base 0, limit 4 GiB. */
function flat_data(cpu: Cpu, i: i32): bool {
  const s = seg(cpu, i);
  return s.base == 0 && s.limit == 0xffffffff && (s.attr & (ATTR_P | 0x1e)) == (ATTR_P | 0x12);
}

/** Recompute cpu.mode; to be called after any change of CR0, CR4, EFER, DR7, RFLAGS.VM or AC, CS, SS, DS, ES or the CPL. */
export function update_mode(cpu: Cpu): void {
  const cr0 = cpu.cr0;
  const cs = seg(cpu, SEG_CS);
  let m: u32 = 0;
  if (cr0 & 1) m |= MODE_PE;
  if (cpu.rflags & 0x20000) m |= MODE_VM86;
  if (cpu.efer & 0x400) m |= MODE_LMA;
  if (m & MODE_LMA && cs.attr & ATTR_L) m |= MODE_CS64 | MODE_FLAT | MODE_SS32;
  else {
    if (cs.attr & ATTR_DB) m |= MODE_CS32;
    if (seg(cpu, SEG_SS).attr & ATTR_DB) m |= MODE_SS32;
    const flat_cs = cs.base == 0 && cs.limit == 0xffffffff && (cs.attr & (ATTR_P | 0x1a)) == (ATTR_P | 0x1a);
    if (m & MODE_PE && flat_cs && flat_data(cpu, SEG_SS) && flat_data(cpu, SEG_DS) && flat_data(cpu, SEG_ES))
      m |= MODE_FLAT;
  }
  if (cpu.cpl == 3) {
    m |= MODE_USER;
    if (cr0 & 0x40000 && cpu.rflags & 0x40000) m |= MODE_ALIGN;
  }
  if (cpu.cpl == 0) m |= MODE_CPL0;
  if (!(cr0 & 0xc)) {
    m |= MODE_X87;
    if (cpu.cr4 & 0x200) m |= MODE_SSE;
  }
  cpu.mode = m | watch_mode(cpu);
}
