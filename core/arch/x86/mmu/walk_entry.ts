// Test build: the page walker over a little guest memory, driven by walk.test.ts.
import { Cpu } from '../cpu';
import { mark_used, walk, walk_dirty, walk_error, walk_gpa, walk_perms } from './paging';

const cpu = changetype<Cpu>(0x20000);

export function configure(cr0: u64, cr3: u64, cr4: u64, efer: u64): void {
  cpu.cr0 = cr0;
  cpu.cr3 = cr3;
  cpu.cr4 = cr4;
  cpu.efer = efer;
}

/** What a CR3 load has read. */
export function pdptes(e0: u64, e1: u64, e2: u64, e3: u64): void {
  cpu.pdpte0 = e0;
  cpu.pdpte1 = e1;
  cpu.pdpte2 = e2;
  cpu.pdpte3 = e3;
}

/** A walk and, when it succeeds, its accessed and dirty bits, as tlb_fill makes them. 1 = translated. */
export function translate(va: u64, access: i32, table: i32): i32 {
  // An entry that a walk meets at two levels changes between them: the second try finds it settled.
  for (let i = 0; i < 4; i++) {
    if (!walk(cpu, va, access, table)) return 0;
    if (mark_used(cpu)) return 1;
  }
  return -1;
}

export function error(): u32 {
  return walk_error;
}
export function gpa(): u64 {
  return walk_gpa;
}
export function perms(): i32 {
  return walk_perms;
}
export function dirty(): bool {
  return walk_dirty;
}
