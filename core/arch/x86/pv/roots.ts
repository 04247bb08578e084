// Which page tables a PV vCPU runs on. Each root is an address space of its own to the TLB: a pseudo-PCID in the low bits of CR3, where no guest sees
// it; even ones are for the kernel's roots, odd ones for programs'. So a change between kernel and programs forgets nothing; nor does a change of roots (a
// guest's context switch), nor what the guest asks to be forgotten, as long as nothing is stale: the hypervisor sees every change of an entry and
// forgets its translation (hypervisor/pv/translations.ts) or, where it does not know which, raises a generation of the domain.
//
// What the kernel's half of an address space is translated to outlives a change of the kernel's root, as global pages do elsewhere (SDM vol. 3, 4.10.2.4), for
// as long as the roots name the same tables there.
import { Cpu, CPU_PV } from '../cpu';
import { tlb_enter, tlb_flush, tlb_flush_local, tlb_forget_vcpu, tlb_here } from '../../../engine/tlb_sets';
import { cpu_of, Vcpu } from '../../../hypervisor/vcpu';
import { mfn_to_ptr } from '../../../shared/memory';
import { pt_generation, pt_kernel_generation } from '../identity';
import { PV_KERNEL, pv_of, PV_SPACE_COUNT, PV_SPACES } from './state';

/** The first of the L4 entries above the hypervisor's, and how many there are. */
const HALF_FIRST: usize = 272;
const HALF_END: usize = 512;
const ACCESSED: u64 = 0x20;

/** CR3 of the present mode. */
@inline function select(cpu: Cpu): void {
  const pv = pv_of(cpu);
  const kernel = (pv.flags & PV_KERNEL) != 0;
  const root = <u64>(kernel ? pv.kernel_root : pv.user_root);
  cpu.cr3 = (root << 12) | (<u64>(kernel ? pv.kernel_space : pv.user_space));
}

/** From the kernel to its programs or back: roots and GS bases change places. The CPL is 3 in both. */
export function pv_toggle(cpu: Cpu): void {
  const pv = pv_of(cpu);
  pv.flags ^= PV_KERNEL;
  const gs = cpu.base_gs;
  cpu.base_gs = pv.other_gs;
  pv.other_gs = gs;
  select(cpu);
  tlb_enter(cpu);
}

@inline function slot(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + CPU_PV + PV_SPACES + ((<usize>i) << 3);
}

/** Translations of a pseudo-PCID are void from here on, but for the kernel's half. */
function forget(cpu: Cpu, i: u32, root: u32): void {
  store<u32>(slot(cpu, i), root);
  store<u32>(slot(cpu, i), pt_generation(cpu), 4);
  if (tlb_here()) tlb_flush_local(cpu, false, i);
}

/** Forget them if an entry has changed since that was done last. */
function settle(cpu: Cpu, i: u32, root: u32): void {
  if (load<u32>(slot(cpu, i), 4) != pt_generation(cpu)) forget(cpu, i, root);
}

/** The same of the kernel's half, which all have; the others' translations go with it. */
function settle_half(cpu: Cpu): void {
  const pv = pv_of(cpu);
  const generation = pt_kernel_generation(cpu);
  if (pv.kernel_generation == generation) return;
  pv.kernel_generation = generation;
  if (tlb_here()) tlb_forget_vcpu(cpu);
}

/** The pseudo-PCID of a root that is being loaded: its own, with what is still true of it, or one that the present root does not have. */
function space_of(cpu: Cpu, root: u32, used: u32, kind: u32): u32 {
  for (let i = kind; i < PV_SPACE_COUNT; i += 2) {
    if (load<u32>(slot(cpu, i)) != root) continue;
    settle(cpu, i, root);
    return i;
  }
  const pv = pv_of(cpu);
  let i = (pv.next_space & ~1) | kind;
  do i = (i + 2) & (PV_SPACE_COUNT - 1);
  while (i == used);
  pv.next_space = i;
  forget(cpu, i, root);
  return i;
}

/** Do two roots name the same tables above the hypervisor's slots? */
function same_half(a: u32, b: u32): bool {
  const p = mfn_to_ptr(a);
  const q = mfn_to_ptr(b);
  for (let at = HALF_FIRST << 3; at < HALF_END << 3; at += 8)
    if ((load<u64>(p + at) ^ load<u64>(q + at)) & ~ACCESSED) return false;
  return true;
}

/** Other roots have been set, or the same once more (MMUEXT_NEW_BASEPTR, NEW_USER_BASEPTR, a context); the former ones are still held. */
export function pv_roots_changed(v: Vcpu): void {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  if (pv.half != pv.kernel_root) {
    if (!pv.half || !pv.kernel_root || !same_half(pv.half, pv.kernel_root))
      pv.kernel_generation = ~pt_kernel_generation(cpu);
    pv.half = pv.kernel_root;
  }
  settle_half(cpu);
  if (pv.kernel_root) pv.kernel_space = space_of(cpu, pv.kernel_root, pv.kernel_space, 0);
  if (pv.user_root) pv.user_space = space_of(cpu, pv.user_root, pv.user_space, 1);
  select(cpu);
}

/** Forget what is stale of all that the vCPU knows of its present roots. What it knows of others is looked at when they are loaded. */
export function pv_roots_flush(v: Vcpu): void {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  settle_half(cpu);
  if (pv.kernel_root) settle(cpu, pv.kernel_space, pv.kernel_root);
  if (pv.user_root) settle(cpu, pv.user_space, pv.user_root);
}

/** Is nothing stale of what it knows of them? */
export function pv_roots_settled(v: Vcpu): bool {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  const generation = pt_generation(cpu);
  return (
    pv.kernel_generation == pt_kernel_generation(cpu) &&
    (!pv.kernel_root || load<u32>(slot(cpu, pv.kernel_space), 4) == generation) &&
    (!pv.user_root || load<u32>(slot(cpu, pv.user_space), 4) == generation)
  );
}

/** The root whose translations a pseudo-PCID has, if none of them is stale; 0 = some may be. */
export function pv_space_root(cpu: Cpu, i: u32): u32 {
  return load<u32>(slot(cpu, i), 4) == pt_generation(cpu) ? load<u32>(slot(cpu, i)) : 0;
}

/** The same of the kernel's half. */
export function pv_half_root(cpu: Cpu): u32 {
  const pv = pv_of(cpu);
  return pv.kernel_generation == pt_kernel_generation(cpu) ? pv.half : 0;
}

/** A table is a root no more: what it leads to when it is one again may be anything. */
export function pv_root_gone(v: Vcpu, mfn: u32): void {
  const cpu = cpu_of(v);
  for (let i: u32 = 0; i < PV_SPACE_COUNT; i++) if (load<u32>(slot(cpu, i)) == mfn) store<u32>(slot(cpu, i), 0);
}
