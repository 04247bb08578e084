// Segment descriptors of a PV guest (Intel SDM vol. 3, 3.4.5 and 5.8.3): what a page of them may hold, and the LDT's pages.
import { PV_LDT, pv_of } from '../../arch/x86/pv/state';
import { Domain } from '../domain';
import { cpu_of, Vcpu } from '../vcpu';
import { ENTRIES, type_put } from './page_type';

const LDT_PAGES: usize = 16;

// Bits of a descriptor's upper half.
const PRESENT: u32 = 0x8000;
const SYSTEM_NOT: u32 = 0x1000;
const TYPE: u32 = 0x0f00;
const CALL_GATE: u32 = 0x0c00;
const DPL: u32 = 0x6000;
/** Of a call gate, in 64-bit mode reserved. */
const GATE_RESERVED: u32 = 0xff;
/** The first selector of the hypervisor's own descriptors, behind the guest's 14 pages; its flat 64-bit code segment. */
const FIRST_RESERVED: u32 = 0xe000;
const FLAT_CS64: u32 = 0xe033;

/** May a call gate lead there? The guest's GDT, its LDT, or the hypervisor's flat code segment. */
function gate_selector(s: u32): bool {
  return s < FIRST_RESERVED || s == FLAT_CS64 || (s & 4) != 0;
}

/**
 * Is the descriptor at `p` harmless? What the guest's ring 0 would own is made ring 3's, where its kernel runs; a call gate's DPL becomes
 * 0 and goes into its selector, so that using it faults.
 */
export function descriptor_check(d: Domain, p: usize): bool {
  let a = load<u32>(p);
  let b = load<u32>(p, 4);
  if (!(b & PRESENT)) return true;
  b |= DPL;
  if (!(b & SYSTEM_NOT) && b & TYPE) {
    const cs = a >>> 16;
    if ((b & TYPE) != CALL_GATE || !gate_selector(cs)) return false;
    const dpl = (load<u32>(p, 4) >>> 13) & 3;
    a = (a & 0xffff) | (((cs & ~3) | (dpl ? dpl : 3)) << 16);
    b &= ~DPL;
    if (b & GATE_RESERVED) return false;
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
