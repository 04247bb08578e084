// Control registers, EFER, XCR0 and debug registers: which values are legal and what a change brings with it (Intel SDM vol. 3, 2.5,
// 2.6, 4.1, 4.10, 9.8.5, 17.2). Each setter returns 0, or 1 with an exception pending and nothing changed.
import { Cpu, SEG_CS, seg } from './cpu';
import { MODE_CS64, update_mode } from './modes';
import { raise, raise_debug, EXC_GP, EXC_UD } from './exceptions';
import { PHYS_RESERVED } from './limits';
import { lapic_get_tpr, lapic_set_tpr } from './lapic';
import { mode_changed } from './segments';
import { INVALID_MFN, mfn_to_ptr } from '../../shared/memory';
import { engine_gfn_frame } from '../../hypervisor/engine';
import { tlb_flush, tlb_forget_page, tlb_load } from '../../engine/tlb_sets';

export const CR0_PE: u64 = 1;
export const CR0_MP: u64 = 2;
export const CR0_EM: u64 = 4;
export const CR0_TS: u64 = 8;
export const CR0_ET: u64 = 0x10;
export const CR0_NE: u64 = 0x20;
export const CR0_WP: u64 = 0x10000;
export const CR0_AM: u64 = 0x40000;
export const CR0_NW: u64 = 0x20000000;
export const CR0_CD: u64 = 0x40000000;
export const CR0_PG: u64 = 0x80000000;
/** Every bit that exists; the others are written as 0 without a fault (bits 32-63: #GP). */
const CR0_BITS: u64 = 0xe005003f;

export const CR4_TSD: u64 = 4;
export const CR4_DE: u64 = 8;
export const CR4_PSE: u64 = 0x10;
export const CR4_PAE: u64 = 0x20;
export const CR4_PGE: u64 = 0x80;
export const CR4_PCE: u64 = 0x100;
export const CR4_OSFXSR: u64 = 0x200;
export const CR4_FSGSBASE: u64 = 0x10000;
export const CR4_PCIDE: u64 = 0x20000;
export const CR4_OSXSAVE: u64 = 0x40000;
export const CR4_SMEP: u64 = 0x100000;
export const CR4_SMAP: u64 = 0x200000;
/** Features of the policy: TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT FSGSBASE PCIDE OSXSAVE SMEP SMAP. */
const CR4_BITS: u64 = 0x3707fc;
/** Bits that change how addresses are translated. */
const CR4_PAGING: u64 = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;

export const EFER_SCE: u64 = 1;
export const EFER_LME: u64 = 0x100;
export const EFER_LMA: u64 = 0x400;
export const EFER_NXE: u64 = 0x800;

/** x87 and SSE state. */
export const XCR0_BITS: u64 = 3;

const DR6_FIXED: u64 = 0xffff0ff0;
const DR6_BITS: u64 = 0xe00f;
const DR6_BD: u32 = 0x2000;
const RFLAGS_RF: u64 = 0x10000;
const DR7_FIXED: u64 = 0x400;
const DR7_BITS: u64 = 0xffff23ff;
const DR7_GD: u64 = 0x2000;

function gp(cpu: Cpu): i32 {
  return raise(cpu, EXC_GP, 0);
}

/**
 * PAE outside long mode: load the four PDPTEs that walks use from now on (SDM 4.4.1). False, and nothing changed: one is present with a
 * reserved bit set, or there is no memory.
 */
export function load_pdptes(cpu: Cpu, cr3: u64): bool {
  const mfn = engine_gfn_frame(cpu, (cr3 & 0xffffffff) >> 12, false);
  if (mfn == INVALID_MFN) return false;
  const p = mfn_to_ptr(mfn) + ((<usize>cr3) & 0xfe0);
  const e0 = atomic.load<u64>(p);
  const e1 = atomic.load<u64>(p + 8);
  const e2 = atomic.load<u64>(p + 16);
  const e3 = atomic.load<u64>(p + 24);
  if (!(pdpte_legal(e0) && pdpte_legal(e1) && pdpte_legal(e2) && pdpte_legal(e3))) return false;
  cpu.pdpte0 = e0;
  cpu.pdpte1 = e1;
  cpu.pdpte2 = e2;
  cpu.pdpte3 = e3;
  return true;
}

@inline function pdpte_legal(e: u64): bool {
  return !(e & 1 && e & (PHYS_RESERVED | 0x1e6));
}

/** Do these values select PAE paging outside long mode? */
export function pae_paging(cr0: u64, cr4: u64, efer: u64): bool {
  return (cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && !(efer & EFER_LME);
}

export function write_cr0(cpu: Cpu, value: u64): i32 {
  if (value >> 32) return gp(cpu);
  const v = (value & CR0_BITS) | CR0_ET;
  if ((v & (CR0_PG | CR0_PE)) == CR0_PG || (v & (CR0_NW | CR0_CD)) == CR0_NW) return gp(cpu);
  const changed = v ^ cpu.cr0;
  let efer = cpu.efer;
  if (changed & CR0_PG) {
    if (v & CR0_PG) {
      if (efer & EFER_LME) {
        if (!(cpu.cr4 & CR4_PAE) || seg(cpu, SEG_CS).attr & 0x200) return gp(cpu);
        efer |= EFER_LMA;
      }
    } else {
      if (cpu.mode & MODE_CS64 || cpu.cr4 & CR4_PCIDE) return gp(cpu);
      efer &= ~EFER_LMA;
    }
  }
  if (changed & (CR0_PG | CR0_CD | CR0_NW) && pae_paging(v, cpu.cr4, efer) && !load_pdptes(cpu, cpu.cr3))
    return gp(cpu);
  cpu.cr0 = v;
  cpu.efer = efer;
  if (changed & (CR0_PG | CR0_PE | CR0_WP)) tlb_flush(cpu);
  mode_changed(cpu);
  return 0;
}

export function write_cr3(cpu: Cpu, value: u64): i32 {
  // With PCIDs bit 63 asks to keep the new one's translations.
  const keep = (cpu.cr4 & CR4_PCIDE) != 0 && <i64>value < 0;
  const v = keep ? value & ~((<u64>1) << 63) : value;
  if (cpu.efer & EFER_LMA) {
    if (v & PHYS_RESERVED) return gp(cpu);
  } else if (pae_paging(cpu.cr0, cpu.cr4, cpu.efer) && !load_pdptes(cpu, v)) return gp(cpu);
  cpu.cr3 = v;
  tlb_load(cpu, keep);
  return 0;
}

export function write_cr4(cpu: Cpu, v: u64): i32 {
  if (v & ~CR4_BITS) return gp(cpu);
  const changed = v ^ cpu.cr4;
  if (cpu.efer & EFER_LMA) {
    if (!(v & CR4_PAE)) return gp(cpu);
    if (changed & v & CR4_PCIDE && cpu.cr3 & 0xfff) return gp(cpu);
  } else if (v & CR4_PCIDE) return gp(cpu);
  const reload = CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP;
  if (changed & reload && pae_paging(cpu.cr0, v, cpu.efer) && !load_pdptes(cpu, cpu.cr3)) return gp(cpu);
  cpu.cr4 = v;
  if (changed & CR4_PAGING) tlb_flush(cpu);
  mode_changed(cpu);
  return 0;
}

/** CR8 is the task priority's upper half. */
export function read_cr8(cpu: Cpu): u64 {
  return lapic_get_tpr(cpu) >> 4;
}

export function write_cr8(cpu: Cpu, v: u64): i32 {
  if (v >> 4) return gp(cpu);
  lapic_set_tpr(cpu, (<u32>v) << 4);
  return 0;
}

/** LMA is read-only: a written value is ignored. */
export function write_efer(cpu: Cpu, value: u64): i32 {
  const v = value & ~EFER_LMA;
  if (v & ~(EFER_SCE | EFER_LME | EFER_NXE)) return gp(cpu);
  const changed = v ^ cpu.efer;
  if (changed & EFER_LME && cpu.cr0 & CR0_PG) return gp(cpu);
  cpu.efer = v | (cpu.efer & EFER_LMA);
  if (changed & EFER_NXE) tlb_flush(cpu);
  mode_changed(cpu);
  return 0;
}

export function write_xcr0(cpu: Cpu, index: u32, v: u64): i32 {
  if (index != 0 || v & ~XCR0_BITS || !(v & 1)) return gp(cpu);
  cpu.xcr0 = v;
  return 0;
}

/** DR7.GD: any access to a debug register is a debug exception, before it happens (SDM 17.2.4): a fault, which saves RF as 1. */
function general_detect(cpu: Cpu): bool {
  if (!(cpu.dr7 & DR7_GD)) return false;
  cpu.rflags |= RFLAGS_RF;
  raise_debug(cpu, DR6_BD);
  return true;
}

/** The register that number `n` means: 4 and 5 are other names of 6 and 7, unless CR4.DE makes them #UD. -1 = exception pending. */
export function debug_register(cpu: Cpu, n: u32): i32 {
  if (n > 7 || (cpu.cr4 & CR4_DE && (n == 4 || n == 5))) {
    raise(cpu, EXC_UD, 0);
    return -1;
  }
  if (general_detect(cpu)) return -1;
  return n == 4 || n == 5 ? <i32>n + 2 : <i32>n;
}

/** `n` as debug_register gave it. */
export function read_dr(cpu: Cpu, n: i32): u64 {
  if (n == 6) return cpu.dr6;
  if (n == 7) return cpu.dr7;
  return load<u64>(dr(cpu, n));
}

/** Pages with an armed breakpoint lose their translations: the TLB must not let accesses to them through. */
export function write_dr(cpu: Cpu, n: i32, v: u64): i32 {
  if (n >= 6 && v >> 32) return gp(cpu);
  if (n == 6) {
    cpu.dr6 = (v & DR6_BITS) | DR6_FIXED;
    return 0;
  }
  if (n == 7) cpu.dr7 = (v & DR7_BITS) | DR7_FIXED;
  else store<u64>(dr(cpu, n), v);
  for (let i = 0; i < 4; i++) if (cpu.dr7 & (3 << (2 * i))) tlb_forget_page(cpu, load<u64>(dr(cpu, i)));
  update_mode(cpu);
  return 0;
}

@inline function dr(cpu: Cpu, n: i32): usize {
  return changetype<usize>(cpu) + offsetof<Cpu>('dr0') + ((<usize>n) << 3);
}
