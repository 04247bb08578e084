// What page-table entries may say, and the references that they have. (Intel SDM vol. 3, 4.5 for the bits.)
import { EBUSY, EINVAL } from '../../gen/abi';
import { frame, FRAME_RAM, FRAME_SHARED, frame_valid } from '../../shared/frame_table';
import { Mfn } from '../../shared/memory';
import { Domain, domain_find, domain_vcpu, is_pv32, page_get, page_put } from '../domain';
import { ldt_drop } from './descriptors';
import {
  PGT_l1,
  PGT_l2,
  PGT_l4,
  PGT_pae_l3,
  PGT_pae_xen_l2,
  PGT_seg,
  PGT_validated,
  table_level,
  type_get,
  type_put,
  writable_map,
  writable_put,
} from './page_type';

export const PTE_P: u64 = 1;
export const PTE_RW: u64 = 2;
export const PTE_USER: u64 = 4;
export const PTE_A: u64 = 0x20;
export const PTE_D: u64 = 0x40;
export const PTE_GLOBAL: u64 = 0x100;
export const PTE_ADDR: u64 = 0x000ffffffffff000;
/** Bits 9 to 11, 52 to 62 are the guest's. */
export const PTE_AVAIL: u64 = 0x7ff0000000000e00;
export const PTE_NX: u64 = 1 << 63;
/** PWT, PCD, and in an L1 entry PAT, else PS: the caching of memory, and large pages, are not the guest's to choose. */
const CACHE_OR_LARGE: u64 = 0x98;
/** A change of these alone names the same frame with the same rights. */
export const PTE_FREE: u64 = PTE_NX | PTE_AVAIL | PTE_GLOBAL | PTE_D | PTE_A | PTE_USER;

/** An entry of a 32-bit guest's root has none of the free bits but 9 to 11. */
const PAE_ROOT_BAD: u64 = CACHE_OR_LARGE | PTE_GLOBAL | 0x7ff0000000000000 | PTE_NX;

/** The first and last L4 entry that are the hypervisor's. */
const RESERVED_FIRST: u32 = 256;
const RESERVED_LAST: u32 = 271;
/** Entries of a 32-bit guest's root; the last one's L2 table has the hypervisor's part from an entry on (HYPERVISOR_COMPAT_START). */
const PAE_ROOTS: u32 = 4;
const PAE_RESERVED: u32 = 0x1ac;

@inline export function pte_mfn(e: u64): u64 {
  return (e & PTE_ADDR) >> 12;
}

/** Is entry `i` of a table of this type none of the guest's? */
export function slot_reserved(type: u8, i: u32): bool {
  if (type == PGT_l4) return i >= RESERVED_FIRST && i <= RESERVED_LAST;
  return type == PGT_pae_xen_l2 ? i >= PAE_RESERVED : type == PGT_pae_l3 && i >= PAE_ROOTS;
}

/** Must it be present? Where the hypervisor's part of a 32-bit guest's address space is. It cannot be changed afterwards, as in Xen. */
@inline export function slot_needed(type: u8, i: u32): bool {
  return type == PGT_pae_l3 && i == PAE_ROOTS - 1;
}

/** What entry `i` of a table of this type names: the type of the level below. */
export function slot_type(type: u8, i: u32): u8 {
  return slot_needed(type, i) ? PGT_pae_xen_l2 : type == PGT_pae_l3 ? PGT_l2 : <u8>(table_level(type) - 1);
}

/** Bits that a present entry must not have. */
export function entry_bad_bits(type: u8, e: u64): bool {
  return (e & (type == PGT_l1 ? CACHE_OR_LARGE : type == PGT_pae_l3 ? PAE_ROOT_BAD : CACHE_OR_LARGE | PTE_GLOBAL)) != 0;
}

/** A 64-bit guest's kernel and programs both run in ring 3. */
@inline export function entry_adjust(d: Domain, e: u64): u64 {
  return e & PTE_P && !is_pv32(d) ? e | PTE_USER : e;
}

/** The references of entry `i`, `e`, of table `table` of `d`'s. An L1 entry names a frame of `pg`'s. */
export function entry_get(d: Domain, pg: Domain, table: Mfn, i: u32, e: u64): i32 {
  const type = frame(table).pt_type;
  if (!(e & PTE_P) || entry_bad_bits(type, e)) return -EINVAL;
  if (type == PGT_l1) return leaf_get(d, pg, e);
  const rc = type_get(d, pte_mfn(e), slot_type(type, i));
  return rc == -EINVAL && type != PGT_pae_l3 && linear_get(d, table, table_level(type), e) ? 0 : rc;
}

/** Give them back. -ERESTART: the table below it is not yet taken apart; its type says so. */
export function entry_put(table: Mfn, level: i32, e: u64): i32 {
  const mfn = <u32>pte_mfn(e);
  if (level == 1) {
    leaf_put(frame(table).owner, e);
    return 0;
  }
  if (mfn == table) return 0;
  if (table_level(frame(mfn).pt_type) == level) linear_put(table, mfn);
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
  if (c.owner != d.domid || c.type != FRAME_RAM || table_level(c.pt_type) != level || !(c.pt_flags & PGT_validated))
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
