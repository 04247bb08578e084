// Descriptors of a PV guest. Its GDT is up to 14 frames of its own, behind which come the hypervisor's flat segments; its LDT's pages are typed
// when they are first used. Nothing of both has a linear address that the guest could reach.
import { Cpu } from '../cpu';
import { EXC_GP, raise, raise_pf } from '../exceptions';
import { PF_U } from '../mmu/paging';
import { frame_written } from '../../../shared/frame_table';
import { mfn_to_ptr } from '../../../shared/memory';
import { engine_ldt_page } from '../../../hypervisor/engine';
import { PV_32BIT, pv_gdt_frame, pv_kernel, pv_ldt_frame, pv_of } from './state';

/** Descriptors of a GDT that are the guest's, and where the hypervisor's begin. */
export const GDT_ENTRIES: u32 = 14 * 512;
const RESERVED: u32 = GDT_ENTRIES * 8;
const RESERVED_LIMIT: u32 = RESERVED + 0x6f;

/** What pv_descriptor found: the descriptor, and where its bytes are (0 = it is the hypervisor's). */
export let pv_found: u64 = 0;
let found_at: usize = 0;

/** The hypervisor's flat segments; the offsets are those of public/arch-x86/xen-x86_64.h and xen-x86_32.h. */
function flat(cpu: Cpu, offset: u32): u64 {
  const narrow = (pv_of(cpu).flags & PV_32BIT) != 0;
  switch (offset - RESERVED) {
    case 0x08: // the hypervisor's own, of ring 0
      return 0x00af9b000000ffff;
    case 0x10:
      return 0x00cf93000000ffff;
    case 0x18: // ring 1 of 32-bit guests
      return narrow ? 0x00cfbb000000ffff : 0;
    case 0x20:
      return narrow ? 0x00cfb3000000ffff : 0x00cffb000000ffff;
    case 0x28:
      return narrow ? 0x00cffb000000ffff : 0x00cff3000000ffff;
    case 0x30:
      return narrow ? 0x00cff3000000ffff : 0x00affb000000ffff;
    case 0x38:
      return 0x00cf9b000000ffff;
    default:
      return 0;
  }
}

/** Is the selector's descriptor inside its table? */
export function pv_inside(cpu: Cpu, selector: u32): bool {
  const offset = selector & 0xfff8;
  return selector & 4 ? offset >> 3 < pv_of(cpu).ldt_entries : offset < RESERVED_LIMIT;
}

/** Find a selector's descriptor, which is inside its table. False = a page fault of the LDT is pending. */
export function pv_descriptor(cpu: Cpu, selector: u32): bool {
  const offset = selector & 0xfff8;
  const page = offset >> 12;
  found_at = 0;
  let mfn: u32;
  if (selector & 4) {
    mfn = load<u32>(pv_ldt_frame(cpu, page));
    if (!mfn) mfn = engine_ldt_page(cpu, page);
    if (!mfn) {
      raise_pf(cpu, pv_of(cpu).ldt_base + offset, pv_kernel(cpu) ? 0 : PF_U);
      return false;
    }
  } else {
    if (offset >= RESERVED) {
      pv_found = flat(cpu, offset);
      return true;
    }
    mfn = load<u32>(pv_gdt_frame(cpu, page));
    if (!mfn) {
      pv_found = 0;
      return true;
    }
  }
  found_at = mfn_to_ptr(mfn) + (offset & 0xfff);
  pv_found = atomic.load<u64>(found_at);
  return true;
}

/** As read_descriptor of segments.ts. */
export function pv_read_descriptor(cpu: Cpu, selector: u32, vector: u32, ext: u32): bool {
  if (pv_inside(cpu, selector)) return pv_descriptor(cpu, selector);
  raise(cpu, vector, (selector & 0xfffc) | ext);
  return false;
}

/** As set_accessed there: the guest's own tables are written by the processor, as ever. */
export function pv_set_accessed(cpu: Cpu, selector: u32): bool {
  if (!pv_descriptor(cpu, selector)) return false;
  if (found_at) {
    frame_written(found_at + 5, 1);
    atomic.or<u8>(found_at + 5, 1);
  }
  return true;
}

/** Where SGDT says that the GDT lies: in the hypervisor's part, one place a vCPU. */
const PERDOMAIN: u64 = 0xffff820000000000;
export function pv_table_registers(cpu: Cpu, vcpu: u32): void {
  cpu.gdt_base = PERDOMAIN + ((<u64>vcpu) << 17);
  cpu.gdt_limit = RESERVED_LIMIT;
  cpu.idt_base = 0xffff830000000000;
  cpu.idt_limit = 0xfff;
}
