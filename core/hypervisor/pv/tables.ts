// Descriptor tables of PV guests: their frames are typed PGT_seg, so that no descriptor in them can be written but through here.
import { EFAULT, EINVAL, ERESTART } from '../../gen/abi';
import { GDT_ENTRIES } from '../../arch/x86/pv/descriptors';
import { cpu_pv32, pv_gdt_frame, pv_ldt_frame, pv_of } from '../../arch/x86/pv/state';
import { guest_va_to_gpa } from '../../arch/x86/mmu/walk';
import { frame, frame_valid, frame_written } from '../../shared/frame_table';
import { Mfn, mfn_to_ptr } from '../../shared/memory';
import { Domain } from '../domain';
import { get_long, guest_word } from '../guest_access';
import { hypercall_continue } from '../hypercall';
import { cpu_of, Vcpu, vcpu_arg, vcpu_domain } from '../vcpu';
import { descriptor_check, ldt_drop } from './descriptors';
import { PGT_seg, PGT_writable, type_begin, type_get, type_put } from './page_type';

const PAGES: u32 = 16;

/** The vCPU has no GDT any more. */
export function gdt_drop(v: Vcpu): void {
  const cpu = cpu_of(v);
  pv_of(cpu).gdt_entries = 0;
  for (let i: u32 = 0; i < PAGES; i++) {
    const mfn = load<u32>(pv_gdt_frame(cpu, i));
    store<u32>(pv_gdt_frame(cpu, i), 0);
    if (mfn) type_put(mfn);
  }
}

/** Give the vCPU the GDT of `entries` descriptors in the frames listed as u64 at `list`. 0, -ERESTART or another errno, and nothing changed. */
export function pv_set_gdt(caller: Vcpu, v: Vcpu, list: usize, entries: u64): i64 {
  if (entries > GDT_ENTRIES) return -EINVAL;
  const d = vcpu_domain(v);
  const n = <u32>((entries + 511) >> 9);
  type_begin(caller);
  for (let i: u32 = 0; i < n; i++) {
    const mfn = load<u64>(list + ((<usize>i) << 3));
    const rc = mfn <= 0xfffff ? type_get(d, <u32>mfn, PGT_seg) : -EINVAL;
    if (rc == 0) continue;
    while (i-- > 0) type_put(<u32>load<u64>(list + ((<usize>i) << 3)));
    return rc;
  }
  gdt_drop(v);
  const cpu = cpu_of(v);
  pv_of(cpu).gdt_entries = <u32>entries;
  for (let i: u32 = 0; i < n; i++) store<u32>(pv_gdt_frame(cpu, i), load<u32>(list + ((<usize>i) << 3)));
  return 0;
}

export function do_set_gdt(d: Domain, v: Vcpu, list: u64, entries: u32): i64 {
  if (entries > GDT_ENTRIES) return -EINVAL;
  const a = vcpu_arg(v);
  const n = (entries + 511) >> 9;
  for (let i: u32 = 0; i < n; i++) {
    if (!get_long(v, list, i)) return -EFAULT;
    store<u64>(a + ((<usize>i) << 3), guest_word);
  }
  const rc = pv_set_gdt(v, v, a, entries);
  return rc == -ERESTART ? hypercall_continue(v, list, entries, 0) : rc;
}

export function do_update_descriptor(d: Domain, v: Vcpu, ma: u64, desc: u64): i64 {
  const mfn = ma >> 12;
  const a = vcpu_arg(v);
  store<u64>(a, desc);
  if (ma & 7 || mfn > 0xfffff || !frame_valid(<u32>mfn) || !descriptor_check(d, a)) return -EINVAL;
  const m = <Mfn>mfn;
  // Where there are descriptors already, or may be none yet.
  const type = frame(m).pt_type == PGT_seg ? PGT_seg : PGT_writable;
  if (type_get(d, m, type)) return -EINVAL;
  const p = mfn_to_ptr(m) + ((<usize>ma) & 0xfff);
  atomic.store<u64>(p, load<u64>(a));
  frame_written(p, 8);
  type_put(m);
  return 0;
}

/** The page could not be typed yet: another pCPU may still write to it. */
export let pv_ldt_again: bool = false;

/** Type page `i` of the vCPU's LDT, which it needs now. Its frame, 0 if there is none or it cannot hold descriptors. */
export function pv_ldt_map(v: Vcpu, i: u32): u32 {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  pv_ldt_again = false;
  const known = load<u32>(pv_ldt_frame(cpu, i));
  if (known || i >= PAGES || i << 9 >= pv.ldt_entries) return known;
  // The LDT is mapped in the kernel's address space, whoever runs.
  const cr3 = cpu.cr3;
  cpu.cr3 = (<u64>pv.kernel_root) << 12;
  const ma = guest_va_to_gpa(cpu, pv.ldt_base + ((<u64>i) << 12), 0, !cpu_pv32(cpu));
  cpu.cr3 = cr3;
  if (ma == ~(<u64>0) || ma >> 12 > 0xfffff) return 0;
  const mfn = <u32>(ma >> 12);
  type_begin(v);
  const rc = type_get(vcpu_domain(v), mfn, PGT_seg);
  pv_ldt_again = rc == -ERESTART;
  if (rc) return 0;
  store<u32>(pv_ldt_frame(cpu, i), mfn);
  return mfn;
}

/** May a segment register be loaded with this under the host's lock, which what the engine asks for would take again? */
export function pv_selector_ready(v: Vcpu, selector: u32): bool {
  pv_ldt_again = false;
  return !(selector & 4) || pv_ldt_map(v, selector >> 12) != 0;
}

/** MMUEXT_SET_LDT: `entries` descriptors at `base`, which the caller has checked. */
export function pv_set_ldt(v: Vcpu, base: u64, entries: u32): void {
  const pv = pv_of(cpu_of(v));
  ldt_drop(v);
  pv.ldt_base = base;
  pv.ldt_entries = entries;
}
