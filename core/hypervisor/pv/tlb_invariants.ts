// The invariant walker's part about what this pCPU's TLB has of PV guests: what the hypervisor does not know as stale is what the page tables say.
import { Cpu } from '../../arch/x86/cpu';
import { pv_half_root, pv_space_root } from '../../arch/x86/pv/roots';
import { pv_reserved } from '../../arch/x86/pv/window';
import { TABLE_USER, TLB_ADDEND, TLB_CHECKED, TLB_R, TLB_W, TLB_X } from '../../engine/tlb';
import {
  ENTRY_GLOBAL,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXEC_ENTRIES,
  TLB_SETS,
  TLB_TABLE_SIZE,
} from '../../engine/layout';
import { set_flags_at, tlb_area, tlb_set_pcid, tlb_set_tables } from '../../engine/tlb_sets';
import { Mfn, mfn_to_ptr } from '../../shared/memory';
import { pcpu_area } from '../../shared/pcpu';
import { Domain, domain_vcpu, is_pv32 } from '../domain';
import { invariant_broken, INVARIANT_TRANSLATION } from '../invariants';
import { cpu_of } from '../vcpu';
import { PTE_A, PTE_NX, PTE_P, pte_mfn, PTE_RW } from './entries';

const PAGE: u64 = ~(<u64>0xfff);

/** Of those vCPUs whose pCPU this is. */
export function pv_translations(d: Domain): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null || !tlb_area() || pcpu_area(v.pcpu) != tlb_area()) continue;
    for (let k = 0; k < TLB_SETS; k++) set(d, cpu_of(v), k);
  }
}

function set(d: Domain, cpu: Cpu, k: i32): void {
  const tables = tlb_set_tables(cpu, k);
  if (!tables) return;
  const own = pv_space_root(cpu, tlb_set_pcid(k));
  const half = pv_half_root(cpu);
  const first = tables + <usize>TABLE_USER * TLB_TABLE_SIZE;
  for (let n: u32 = 0; n < TLB_ENTRIES + TLB_EXEC_ENTRIES; n++) {
    const e = first + <usize>n * TLB_ENTRY_SIZE;
    const root = load<u8>(set_flags_at(tables, e)) & ENTRY_GLOBAL ? half : own;
    if (!root || !half) continue;
    entry(cpu, d, root, e, load<u64>(e, TLB_R), 0);
    entry(cpu, d, root, e, load<u64>(e, TLB_W) & ~TLB_CHECKED, PTE_RW);
    entry(cpu, d, root, e, load<u64>(e, TLB_X), PTE_NX);
  }
}

/** The tag is one that page tables must give; 0 and what is no page's address are none. */
function entry(cpu: Cpu, d: Domain, root: Mfn, e: usize, tag: u64, right: u64): void {
  if (!tag || tag & ~PAGE || pv_reserved(cpu, tag)) return;
  const mfn = (<u32>tag + load<u32>(e, TLB_ADDEND)) >>> 12;
  let table = root;
  const narrow = is_pv32(d);
  for (let level: u64 = narrow ? 3 : 4; level > 0; level--) {
    const x = load<u64>(mfn_to_ptr(table) + (((<usize>(tag >> (3 + 9 * level))) & 511) << 3));
    // A 32-bit guest's uppermost entries have neither rights nor accessed bit.
    const plain = narrow && level == 3;
    const used = plain ? PTE_P : PTE_P | PTE_A;
    const allowed = plain || (right == PTE_NX ? !(x & PTE_NX) : (x & right) == right);
    if ((x & used) != used || !allowed) {
      invariant_broken(INVARIANT_TRANSLATION, d.domid, <u32>(tag >> 12));
      return;
    }
    table = <u32>pte_mfn(x);
  }
  if (mfn_to_ptr(table) != mfn_to_ptr(mfn)) invariant_broken(INVARIANT_TRANSLATION, d.domid, <u32>(tag >> 12));
}
