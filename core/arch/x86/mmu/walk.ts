// Translation of a guest virtual address for the hypervisor: same rules as the guest's own access, but nothing is raised.
import { Cpu } from '../cpu';
import { canonical } from '../limits';
import * as paging from './paging';

/** Page-fault error code of the last guest_va_to_gpa that found no translation. */
export let walk_error: u32 = 0;

/** A walk repeats when another CPU changes an entry under it; after this many times the entry is taken as last read. */
export const WALK_RETRIES: i32 = 1024;

/**
 * Guest-physical address of `va`, or ~0 when the access (0 read, 1 write, 2 execute) would fault. With `mark` the accessed and dirty
 * bits are set as the guest's own access would.
 */
export function guest_va_to_gpa(cpu: Cpu, va: u64, access: i32, user: bool, mark: bool = false): u64 {
  walk_error = 0;
  if (!canonical(va)) return ~0;
  let table = paging.TABLE_USER;
  if (!user) table = cpu.rflags & 0x40000 ? paging.TABLE_SUPERVISOR_AC : paging.TABLE_SUPERVISOR;
  for (let i = 0; i < WALK_RETRIES; i++) {
    if (!paging.walk(cpu, va, access, table)) {
      walk_error = paging.walk_error;
      return ~0;
    }
    if (!mark || paging.mark_used(cpu)) break;
  }
  return paging.walk_gpa;
}
