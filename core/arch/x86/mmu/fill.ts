// The TLB's miss path, the only place that gives an entry to it: what a guest may touch is decided here and in engine_gfn_frame.
import { watch_perms } from '../breakpoints';
import { Cpu } from '../cpu';
import { canonical } from '../limits';
import { raise, raise_pf, EXC_GP } from '../exceptions';
import { MODE_BREAK, MODE_WATCH } from '../modes';
import { writes_table } from '../pv/page_writes';
import { cpu_pv } from '../pv/state';
import {
  walk,
  mark_used,
  walk_error,
  walk_flags,
  walk_gpa,
  walk_perms,
  walk_dirty,
  walk_table_mfn,
  walk_window,
  PF_P,
  PF_U,
  PF_W,
  ACCESS_WRITE,
  ACCESS_EXEC,
  PERM_W,
  PERM_X,
} from './paging';
import { WALK_RETRIES } from './walk';
import { INVALID_MFN } from '../../../shared/memory';
import { engine_gfn_frame, engine_frame_writable, engine_table_walked } from '../../../hypervisor/engine';
import { code_in } from '../../../engine/code_writes';
import { debug_page_watched, debug_watches } from '../../../engine/debug';
import { tlb_insert } from '../../../engine/tlb';

/** Guest-physical address of the access when tlb_fill returned FILL_MMIO. */
export let mmio_gpa: u64 = 0;

export const FILL_DONE: i32 = 0;
export const FILL_FAULT: i32 = 1;
export const FILL_MMIO: i32 = 2;
/** A PV guest's kernel writes to a page table: see pv/page_writes.ts. */
export const FILL_TABLE: i32 = 3;

/** Give `table` an entry for `va` that allows the access (0 read, 1 write, 2 execute). */
export function tlb_fill(cpu: Cpu, va: u64, access: i32, table: i32): i32 {
  if (!canonical(va)) return raise(cpu, EXC_GP, 0);
  for (let i = 0; i < WALK_RETRIES; i++) {
    if (!walk(cpu, va, access, table)) {
      if (access == ACCESS_WRITE && cpu_pv(cpu) && (walk_error & ~PF_U) == (PF_P | PF_W) && !walk_window) {
        mmio_gpa = walk_gpa;
        if (writes_table(cpu, walk_gpa)) return FILL_TABLE;
      }
      return raise_pf(cpu, va, walk_error);
    }
    if (mark_used(cpu)) break;
  }
  const write = access == ACCESS_WRITE;
  const mfn = walk_window ? <u32>(walk_gpa >> 12) : engine_gfn_frame(cpu, walk_gpa >> 12, write);
  if (mfn == INVALID_MFN) {
    // A PV guest's entry for what it may not have, or not write: none of those that it has made, so the guest cannot do anything about it.
    if (cpu_pv(cpu)) return raise_pf(cpu, va, PF_P | (write ? PF_W : 0) | (cpu.cpl == 3 ? PF_U : 0));
    mmio_gpa = walk_gpa;
    return FILL_MMIO;
  }
  let perms = walk_perms;
  // The first write must come back here: to set the dirty bit, or to be refused.
  if (!write && (!walk_dirty || !engine_frame_writable)) perms &= ~PERM_W;
  if (access != ACCESS_EXEC) perms &= ~PERM_X;
  if (cpu.mode & (MODE_BREAK | MODE_WATCH)) perms = watch_perms(cpu, va, perms);
  if (debug_watches && debug_page_watched(va)) perms &= PERM_X;
  cpu.tlb_fills++;
  if (walk_table_mfn != INVALID_MFN) engine_table_walked(cpu, walk_table_mfn, va);
  const checked = (perms & PERM_W) != 0 && code_in(mfn);
  tlb_insert(cpu, table, va, mfn, perms, walk_flags, access == ACCESS_EXEC, checked);
  return FILL_DONE;
}
