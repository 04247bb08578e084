// Stores of a PV guest's kernel to its L1 tables, which are mapped for reading only (VMASST_TYPE_writable_pagetables). Such an access works on a bounce
// buffer as one to a device does, so every instruction works, and its commit is an update of the entry (hypervisor/pv/update.ts). The instruction runs alone:
// where the update is refused, the registers go back to what they were, and the instruction raises the page fault that it would have raised without the assist.
import { Cpu, CPU_FREE, EXIT_RETRY, PACE_FREE } from '../cpu';
import { VMASST_TYPE_writable_pagetables } from '../../../gen/abi';
import { raise_pf } from '../exceptions';
import { PF_P, PF_U, PF_W } from '../mmu/paging';
import { engine_is_table, engine_store_entry } from '../../../hypervisor/engine';
import { mfn_to_ptr } from '../../../shared/memory';
import { run_alone } from '../breakpoints';
import { pv_kernel, pv_of } from './state';

/** General registers and flags, as they were before the instruction: in the free part of Cpu. */
const SAVED: usize = CPU_FREE;
const SAVED_SIZE: usize = 176;

const REFUSED: u32 = 1;
/** The entry has changed meanwhile: the instruction is to be executed again. */
const LOST: u32 = 2;
/** What became of the store; address of the access. */
let outcome: u32 = 0;
let store_va: u64 = 0;
/** The hypervisor itself is writing: frames do not go into tables. */
let off: bool = false;

export function page_writes_off(on: bool): void {
  off = on;
}

/** Is the access that has just failed, at machine address `ma` of a page that is there, one that is done so? */
export function writes_table(cpu: Cpu, ma: u64): bool {
  return (
    !off &&
    pv_kernel(cpu) &&
    (pv_of(cpu).assists & (1 << VMASST_TYPE_writable_pagetables)) != 0 &&
    engine_is_table(cpu, ma >> 12, 1)
  );
}

/** Begin a store of `size` bytes at `ma`, mapped at `va`. The buffer's contents at `s`; false = the instruction leaves. */
export function store_begin(cpu: Cpu, va: u64, ma: u64, size: i32, s: usize): bool {
  if (cpu.pace == PACE_FREE) return run_alone(cpu);
  if (outcome || ((<i32>ma) & 7) + size > 8) {
    raise_pf(cpu, va, PF_P | PF_W | PF_U);
    return false;
  }
  memory.copy(changetype<usize>(cpu) + SAVED, changetype<usize>(cpu), SAVED_SIZE);
  store_va = va;
  store<u64>(s, load<u64>(mfn_to_ptr(<u32>(ma >> 12)) + ((<usize>ma) & 0xff8)) >> ((ma & 7) << 3));
  return true;
}

/** Finish it; `old` is what store_begin has found, `value` what the instruction made of it. */
export function store_commit(cpu: Cpu, ma: u64, size: i32, old: u64, value: u64): void {
  const shift: u64 = (ma & 7) << 3;
  const mask: u64 = (size == 8 ? ~(<u64>0) : ((<u64>1) << (<u64>(8 * size))) - 1) << shift;
  const word = engine_store_entry(cpu, ma & ~7, mask, old << shift, value << shift);
  if (word < 0) outcome = REFUSED;
  else if (word > 0) outcome = LOST;
}

/** An instruction has run alone. True: it has not happened after all, and the reason is pending; cpu.rip is the caller's to set back. */
export function store_undone(cpu: Cpu): bool {
  if (!outcome) return false;
  memory.copy(changetype<usize>(cpu), changetype<usize>(cpu) + SAVED, SAVED_SIZE);
  if (outcome == REFUSED) raise_pf(cpu, store_va, PF_P | PF_W | PF_U);
  else cpu.exit = EXIT_RETRY;
  outcome = 0;
  return true;
}
