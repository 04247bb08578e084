// What page-table entries may say, and the references that they have. (Intel SDM vol. 3, 4.5 for the bits.)
import { EBUSY, EINVAL } from '../../gen/abi';
import { frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../../shared/frame_table';
import { Mfn } from '../../shared/memory';
import { Domain, domain_find, domain_vcpu, page_get, page_put } from '../domain';
import { ldt_drop } from './descriptors';
import { PGT_seg, PGT_validated, type_get, type_put, writable_map, writable_put } from './page_type';

export const PTE_P: u64 = 1;
export const PTE_RW: u64 = 2;
export const PTE_USER: u64 = 4;
export const PTE_A: u64 = 0x20;
export const PTE_D: u64 = 0x40;
export const PTE_GLOBAL: u64 = 0x100;
export const PTE_ADDR: u64 = 0x000ffffffffff000;
/** Bits 9 to 11, 52 to 62 are the guest's. */
export const PTE_AVAIL: u64 = 0x7ff0000000000e00;
const PTE_NX: u64 = 1 << 63;
/** PWT, PCD, and in an L1 entry PAT, else PS: the caching of memory, and large pages, are not the guest's to choose. */
const CACHE_OR_LARGE: u64 = 0x98;
/** A change of these alone names the same frame with the same rights. */
export const PTE_FREE: u64 = PTE_NX | PTE_AVAIL | PTE_GLOBAL | PTE_D | PTE_A | PTE_USER;

/** The first and last L4 entry that are the hypervisor's. */
const RESERVED_FIRST: u32 = 256;
const RESERVED_LAST: u32 = 271;

@inline export function pte_mfn(e: u64): u64 {
  return (e & PTE_ADDR) >> 12;
}

@inline export function slot_reserved(level: i32, i: u32): bool {
  return level == 4 && i >= RESERVED_FIRST && i <= RESERVED_LAST;
}

/** Bits that a present entry must not have. */
export function entry_bad_bits(level: i32, e: u64): bool {
  return (e & (level == 1 ? CACHE_OR_LARGE : CACHE_OR_LARGE | PTE_GLOBAL)) != 0;
}

/** Kernel and programs both run in ring 3. */
@inline export function entry_adjust(e: u64): u64 {
  return e & PTE_P ? e | PTE_USER : e;
}

/** The references of a present entry in table `table` of `d`'s. An L1 entry names a frame of `pg`'s. */
export function entry_get(d: Domain, pg: Domain, table: Mfn, level: i32, e: u64): i32 {
  if (entry_bad_bits(level, e)) return -EINVAL;
  if (level == 1) return leaf_get(d, pg, e);
  const rc = type_get(d, pte_mfn(e), <u8>(level - 1));
  return rc == -EINVAL && linear_get(d, table, level, e) ? 0 : rc;
}

/** Give them back. -ERESTART: the table below it is not yet taken apart; its type says so. */
export function entry_put(table: Mfn, level: i32, e: u64): i32 {
  const mfn = <u32>pte_mfn(e);
  if (level == 1) {
    leaf_put(frame(table).owner, e);
    return 0;
  }
  if (mfn == table) return 0;
  if (<i32>frame(mfn).pt_type == level) linear_put(table, mfn);
  return type_put(mfn);
}

function leaf_get(d: Domain, pg: Domain, e: u64): i32 {
  const n = pte_mfn(e);
  if (n > 0xfffff || !frame_valid(<u32>n)) return -EINVAL;
  const mfn = <u32>n;
  const f = frame(mfn);
  if ((f.type != FRAME_RAM && f.type != FRAME_SHARED) || f.owner != pg.domid) return -EBUSY;
  if (e & PTE_RW) {
    if (!writable_map(mfn, pg != d)) return -EBUSY;
  }
  page_get(mfn);
  return 0;
}

/** A leaf that grants made has its references like any other. */
export function leaf_put(owner: u16, e: u64): void {
  if (!(e & PTE_P)) return;
  const mfn = <u32>pte_mfn(e);
  const f = frame(mfn);
  if (e & PTE_RW) writable_put(mfn);
  else if (f.pt_type == PGT_seg && f.owner == owner) drop_ldts(owner);
  page_put(mfn);
}

/** The guest takes a descriptor page out of its address space: as in Xen the LDTs' pages are forgotten, so that it can be written again. */
function drop_ldts(domid: u16): void {
  const d = domain_find(domid);
  if (d == null) return;
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) ldt_drop(v);
  }
}

// Linear page tables: a table as one of the level below, read-only. One that others name so names none itself, so that taking one apart
// ends. `link` of a frame in use counts, from INVALID_MFN (-1) on: up its linear entries, down who names it by one.

function linear_get(d: Domain, table: Mfn, level: i32, e: u64): bool {
  const n = pte_mfn(e);
  if (e & PTE_RW) return false;
  if (n == <u64>table) return true;
  if (n > 0xfffff || !frame_valid(<u32>n)) return false;
  const c = frame(<u32>n);
  const t = frame(table);
  if (c.owner != d.domid || c.type != FRAME_RAM || <i32>c.pt_type != level || !(c.pt_flags & PGT_validated))
    return false;
  if (<i32>c.link > -1 || <i32>t.link < -1 || c.pt_count == 0xffffffff) return false;
  c.link--;
  t.link++;
  c.pt_count++;
  page_get(<u32>n);
  return true;
}

function linear_put(table: Mfn, child: Mfn): void {
  frame(child).link++;
  frame(table).link--;
}
