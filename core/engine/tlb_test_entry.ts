// Test build: the TLB's sets without a processor, driven by tlb.test.ts.
import { Cpu } from '../arch/x86/cpu';
import { tlb_entry, tlb_insert, tlb_pointer, TLB_ADDEND, TLB_CHECKED, TLB_CODE, TLB_R, TLB_W } from './tlb';
import * as sets from './tlb_sets';

const AREA: usize = 0x20000;
const CPUS: usize = 0x10000;

@inline function cpu_at(vcpu: u32): Cpu {
  return changetype<Cpu>(CPUS + <usize>vcpu * 4096);
}

export function attach(): void {
  sets.tlb_attach(AREA);
}
/** The vCPU is the one that runs, in a PCID; ~0 = CR4.PCIDE is 0. */
export function enter(vcpu: u32, pcid: u32): void {
  set_pcid(vcpu, pcid);
  sets.tlb_enter(cpu_at(vcpu));
}
export function load_cr3(vcpu: u32, pcid: u32, keep: bool): void {
  set_pcid(vcpu, pcid);
  sets.tlb_load(cpu_at(vcpu), keep);
}
function set_pcid(vcpu: u32, pcid: u32): void {
  const cpu = cpu_at(vcpu);
  cpu.cr4 = pcid == ~0 ? 0 : 0x20000;
  cpu.cr3 = 0x1000 | (pcid & 0xfff);
}
export function flush(vcpu: u32): void {
  sets.tlb_flush(cpu_at(vcpu));
}
export function flush_all(vcpu: u32): void {
  sets.tlb_flush_all();
  sets.tlb_enter(cpu_at(vcpu));
}
export function flush_local(vcpu: u32, all: bool, pcid: u32): void {
  sets.tlb_flush_local(cpu_at(vcpu), all, pcid);
}
export function flush_page(vcpu: u32, va: u64): void {
  sets.tlb_flush_page(cpu_at(vcpu), va);
}
export function flush_page_of(vcpu: u32, va: u64, pcid: u32): void {
  sets.tlb_flush_page_of(cpu_at(vcpu), va, pcid);
}
export function forget_page(vcpu: u32, va: u64): void {
  sets.tlb_forget_page(cpu_at(vcpu), va);
}
export function protect(mfn: u32): void {
  sets.tlb_protect_frame(mfn);
}
export function revoke(mfn: u32): void {
  sets.tlb_revoke_write(mfn);
}
/** May a store go there, whatever has to be said about it then? */
export function stores(table: i32, va: u64): bool {
  return (load<u64>(tlb_entry(tlb_pointer(table), va), TLB_W) & ~TLB_CHECKED) == (va & ~0xfff);
}
export function forget_code(): void {
  sets.tlb_forget_code();
}
export function insert(vcpu: u32, table: i32, va: u64, mfn: u32, flags: u32): void {
  tlb_insert(cpu_at(vcpu), table, va, mfn, 3, flags);
  store<u32>(tlb_entry(tlb_pointer(table), va), 0x1234, TLB_CODE);
}
/** Frame that the present set's table gives for a read (write: bit 31 of the answer set if it may be written); -1 = none. */
export function find(table: i32, va: u64): i32 {
  const e = tlb_entry(tlb_pointer(table), va);
  if (load<u64>(e, TLB_R) != (va & ~0xfff)) return -1;
  const mfn = (<u32>va + load<u32>(e, TLB_ADDEND)) >>> 12;
  return <i32>(
    (mfn | (load<u64>(e, TLB_W) == (va & ~0xfff) ? 0x40000000 : 0) | (load<u32>(e, TLB_CODE) ? 0x20000000 : 0))
  );
}
/** Would an access of 4 bytes at `va` be let through? */
export function hit(table: i32, va: u64): bool {
  return load<u64>(tlb_entry(tlb_pointer(table), va), TLB_R) == ((va + 3) & ~0xfff);
}
