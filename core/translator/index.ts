// Exports of translator.wasm: an instance of its own over machine memory, on a thread of its own, that turns requests into modules.
import { pcpu_ring } from '../shared/pcpu';
import { analyse, analyse_uses } from './analyse';
import { BLOCK_ENTRY, block, blocks, blocks_find, weight } from './blocks';
import {
  AREA_EMPTY,
  AREA_FAILED,
  AREA_READY,
  MAX_ENTRIES,
  REQUEST_SLOTS,
  SLOT_DONE,
  SLOT_FREE,
  SLOT_READY,
  request_entry,
  request_slot,
  translator_area,
} from './layout';
import { float_runs } from './float_checks';
import { lower_attach, lower_begin, reach } from './lower';
import { seen_note } from './shared_code';
import { page_mfn } from './pages';
import { locals_begin } from './locals';
import { write_module } from './module';
import { work_module, work_scratch } from './work';

/** A futex: how many requests there have been. */
export function translator_posted(): usize {
  return translator_area();
}

/** Slot of a request that waits, or -1. */
export function translator_next(): i32 {
  for (let i: u32 = 0; i < REQUEST_SLOTS; i++) {
    if (atomic.load<u32>(changetype<usize>(request_slot(i))) == SLOT_READY) return i;
  }
  return -1;
}

/** Translate the request in slot `i`: bytes of the module at translator_module(), 0 = there is nothing to translate. */
export function translator_run(i: u32): u32 {
  const r = request_slot(i);
  lower_attach(work_scratch() + 0x200);
  locals_begin();
  lower_begin();
  r.bytes = 0;
  if (blocks_find(r, MAX_ENTRIES)) {
    for (let n: u32 = 0; n < blocks; n++) {
      float_runs(block(n));
      analyse_uses(block(n));
    }
    for (let n: u32 = 0; n < blocks; n++) analyse(block(n));
    r.entries = 0;
    for (let n: u32 = 0; n < blocks; n++) {
      const b = block(n);
      if (b.flags & BLOCK_ENTRY) store<u32>(request_entry(r, r.entries++), (b.page << 12) | b.offset);
    }
    r.weight = weight;
    r.blocks = blocks;
    r.bytes = write_module();
    r.reach = reach;
    for (let n: u32 = 0; r.bytes && n < blocks; n++) seen_note(r, page_mfn(block(n).page), block(n).offset);
  }
  const bytes = r.bytes;
  if (bytes == 0) atomic.add<u32>(translator_area() + AREA_EMPTY, 1);
  atomic.store<u32>(changetype<usize>(r), bytes ? SLOT_DONE : SLOT_FREE);
  return bytes;
}

export function translator_module(): usize {
  return work_module();
}
export function translator_pcpu(i: u32): u32 {
  return request_slot(i).pcpu;
}

/** An answer is on its way to a pCPU. One that sleeps has to wake for it: until it has looked, the answer holds a slot. */
export function translator_answer(pcpu: u32): void {
  atomic.add<u32>(translator_area() + AREA_READY + ((<usize>pcpu) << 2), 1);
  pcpu_ring(pcpu);
}

/** The request in slot `i` came to nothing: its code stays with the interpreter, and the slot is free. */
export function translator_drop(i: u32): void {
  atomic.add<u32>(translator_area() + AREA_FAILED, 1);
  atomic.store<u32>(changetype<usize>(request_slot(i)), SLOT_FREE);
}
