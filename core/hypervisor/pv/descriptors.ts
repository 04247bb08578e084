// Segment descriptors of a PV guest (Intel SDM vol. 3, 3.4.5 and 5.8.3): what a page of them may hold, and the LDT's pages.
import { FLAT_RING1_CS } from '../../arch/x86/pv/bounce32';
import { HYPERVISOR_COMPAT_START } from '../../arch/x86/pv/emulate';
import { PV_LDT, pv_of } from '../../arch/x86/pv/state';
import { Domain, is_pv32 } from '../domain';
import { cpu_of, Vcpu } from '../vcpu';
import { ENTRIES, type_put } from './page_type';

const LDT_PAGES: usize = 16;

// Bits of a descriptor's upper half.
const PRESENT: u32 = 0x8000;
const SYSTEM_NOT: u32 = 0x1000;
const TYPE: u32 = 0x0f00;
const CALL_GATE: u32 = 0x0c00;
const DPL: u32 = 0x6000;
const DPL_1: u32 = 0x2000;
/** Of a call gate, in 64-bit mode reserved. */
const GATE_RESERVED: u32 = 0xff;
/** Of a 32-bit guest's they are but for the number of parameters. */
const GATE_RESERVED_32: u32 = 0xe0;
/** The first selector of the hypervisor's own descriptors, behind the guest's 14 pages; its flat 64-bit code segment. */
const FIRST_RESERVED: u32 = 0xe000;
const FLAT_CS64: u32 = 0xe033;
/** 64-bit code, which a 32-bit guest does not have. */
const LONG: u32 = 0x200000;
/** Granularity, and the limit's and the base's bits. */
const GRANULAR: u32 = 0x800000;
const LIMIT_HIGH: u32 = 0xf0000;
const BASE_HIGH: u32 = 0xff0000ff;

/** May a call gate lead there? The guest's GDT, its LDT, or the hypervisor's flat code segment. */
function gate_selector(s: u32, flat: u32): bool {
  return s < FIRST_RESERVED || s >> 3 == flat >> 3 || (s & 4) != 0;
}

/** The limit in bytes of a segment that begins at 0, less one; 0 of another. */
function flat_limit(a: u32, b: u32): u64 {
  if (a >>> 16 || b & BASE_HIGH) return 0;
  const raw = <u64>((a & 0xffff) | (b & LIMIT_HIGH));
  return b & GRANULAR ? (raw << 12) | 0xfff : raw;
}

/**
 * Is the descriptor at `p` harmless? What the guest's ring 0 would own is made ring 3's, where its kernel runs; a call gate's DPL becomes
 * 0 and goes into its selector, so that using it faults. A 32-bit guest's kernel runs in ring 1: 0 becomes 1. Its segments may begin anywhere, for
 * what is the hypervisor's is none of its page tables'; what would be cut off before the M2P's end is made whole, as Xen does for kernels that were built
 * for a smaller one. Its call gates are as such a processor's are: far.ts looks at the selector for the DPL.
 */
export function descriptor_check(d: Domain, p: usize): bool {
  let a = load<u32>(p);
  let b = load<u32>(p, 4);
  if (!(b & PRESENT)) return true;
  const narrow = is_pv32(d);
  if (!narrow) b |= DPL;
  else if (!(b & DPL)) b |= DPL_1;
  if (narrow && b & SYSTEM_NOT) {
    if (b & LONG) return false;
    if (flat_limit(a, b) >= HYPERVISOR_COMPAT_START) {
      a |= 0xffff;
      b |= LIMIT_HIGH;
    }
  }
  if (!(b & SYSTEM_NOT) && b & TYPE) {
    const cs = a >>> 16;
    if ((b & TYPE) != CALL_GATE || !gate_selector(cs, narrow ? FLAT_RING1_CS : FLAT_CS64)) return false;
    const dpl = (load<u32>(p, 4) >>> 13) & 3;
    a = (a & 0xffff) | (((cs & ~3) | (dpl ? dpl : cs & 3 ? cs & 3 : narrow ? 1 : 3)) << 16);
    b &= ~DPL;
    if (b & (narrow ? GATE_RESERVED_32 : GATE_RESERVED)) return false;
  }
  store<u32>(p, a);
  store<u32>(p, b, 4);
  return true;
}

export function descriptors_check(d: Domain, page: usize): bool {
  for (let i: u32 = 0; i < ENTRIES; i++) if (!descriptor_check(d, page + ((<usize>i) << 3))) return false;
  return true;
}

/** The vCPU's LDT pages are used no more; each is typed again when a descriptor of it is wanted. */
export function ldt_drop(v: Vcpu): void {
  const pages = changetype<usize>(pv_of(cpu_of(v))) + PV_LDT;
  for (let p = pages; p < pages + LDT_PAGES * 4; p += 4) {
    const mfn = load<u32>(p);
    if (!mfn) continue;
    store<u32>(p, 0);
    type_put(mfn);
  }
}
