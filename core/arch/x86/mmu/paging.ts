// The page-table walker (Intel SDM vol. 3, chapter 4): no paging, 32-bit, PAE and 4-level. It reads the guest's tables, decides, and
// only then sets accessed and dirty bits, so a walk that faults has changed nothing.
import { Cpu, CPU_WALK } from '../cpu';
import { PHYS_BITS } from '../limits';
import { cpu_pv, cpu_pv32, pv_kernel } from '../pv/state';
import { pv_reserved, pv_window_frame } from '../pv/window';
import { INVALID_MFN, mfn_to_ptr } from '../../../shared/memory';
import { engine_gfn_frame, engine_frame_writable, engine_is_table } from '../../../hypervisor/engine';
import { code_written } from '../../../engine/code_writes';
import { ENTRY_GLOBAL, ENTRY_HUGE, ENTRY_LARGE } from '../../../engine/layout';

/** Page-fault error code (SDM 4.7). */
export const PF_P: u32 = 1;
export const PF_W: u32 = 2;
export const PF_U: u32 = 4;
export const PF_RSVD: u32 = 8;
export const PF_I: u32 = 16;

export const ACCESS_READ: i32 = 0;
export const ACCESS_WRITE: i32 = 1;
export const ACCESS_EXEC: i32 = 2;

/** The TLB's tables, and so the privilege a walk is made for. */
export const TABLE_SUPERVISOR: i32 = 0;
export const TABLE_SUPERVISOR_AC: i32 = 1;
export const TABLE_USER: i32 = 2;

export const PERM_R: i32 = 1;
export const PERM_W: i32 = 2;
export const PERM_X: i32 = 4;

const PTE_P: u64 = 1;
const PTE_RW: u64 = 2;
const PTE_US: u64 = 4;
const PTE_A: u64 = 0x20;
const PTE_D: u64 = 0x40;
const PTE_PS: u64 = 0x80;
const PTE_G: u64 = 0x100;
const PTE_NX: u64 = 1 << 63;
/** Address field of an 8-byte entry, and the part of it that no guest-physical address may use. */
const ADDR_MASK: u64 = 0x000ffffffffff000;
const ADDR_RSVD: u64 = ADDR_MASK & ~(((<u64>1) << PHYS_BITS) - 1);

const CR0_WP: u64 = 0x10000;
const CR0_PG: u64 = 0x80000000;
const CR4_PSE: u64 = 0x10;
const CR4_PAE: u64 = 0x20;
const CR4_PGE: u64 = 0x80;
const CR4_SMEP: u64 = 0x100000;
const CR4_SMAP: u64 = 0x200000;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;

// Result of the last walk; a cache of this pCPU's, valid until the next walk.
/** Error code of the fault when walk() returned false. */
export let walk_error: u32 = 0;
/** Guest-physical address of the byte. */
export let walk_gpa: u64 = 0;
/** What the page allows the privilege asked for: PERM_*, whatever the dirty bit says. */
export let walk_perms: i32 = 0;
/** The leaf's dirty bit (after mark_used, what it has become). */
export let walk_dirty: bool = false;
/** The table of a PV guest's that the leaf is in; else INVALID_MFN. */
export let walk_table_mfn: u32 = INVALID_MFN;
/** ENTRY_* of the leaf (engine/tlb.ts). */
export let walk_flags: u32 = 0;
/** Entries on the path; each is recorded as {address u32, value u64 at +8} at CPU_WALK, the leaf last. */
let path_length: i32 = 0;
let path_wide: bool = false;

/** The walk's entry `depth`, read atomically. An entry outside RAM reads as all ones, as unclaimed bus reads do. */
function read_entry(cpu: Cpu, gpa: u64, wide: bool): u64 {
  const mfn = engine_gfn_frame(cpu, gpa >> 12, false);
  const slot = changetype<usize>(cpu) + CPU_WALK + ((<usize>path_length) << 4);
  path_length++;
  if (mfn == INVALID_MFN) {
    store<u32>(slot, 0);
    return wide ? ~0 : 0xffffffff;
  }
  const p = mfn_to_ptr(mfn) + <usize>(gpa & 0xfff);
  const e = wide ? atomic.load<u64>(p) : <u64>atomic.load<u32>(p);
  // A PV guest's tables are written by the processor though never by the guest.
  store<u32>(slot, engine_frame_writable || cpu_pv(cpu) ? <u32>p : 0);
  store<u64>(slot, e, 8);
  return e;
}

function not_present(): bool {
  walk_error = 0;
  return false;
}

function reserved_bit(): bool {
  walk_error = PF_P | PF_RSVD;
  return false;
}

/** 4-level and PAE. `rights` gathers RW and US of all levels by AND, NX by OR. */
function walk_wide(cpu: Cpu, va: u64, long: bool): bool {
  const nxe = (cpu.efer & EFER_NXE) != 0;
  let reserved = long ? ADDR_RSVD : ADDR_RSVD | 0x7ff0000000000000;
  if (!nxe) reserved |= PTE_NX;
  let rights: u64 = PTE_RW | PTE_US;
  let level = 4;
  let table = cpu.cr3 & ADDR_MASK;
  const pv = cpu_pv(cpu);
  if (!long) {
    // A PDPTE was checked when it was loaded, and has neither rights nor an A bit (SDM 4.4.1).
    const e = load<u64>(changetype<usize>(cpu) + offsetof<Cpu>('pdpte0') + (((<usize>(va >> 30)) & 3) << 3));
    if (!(e & PTE_P)) return not_present();
    table = e & ADDR_MASK;
    level = 2;
  }
  // A 32-bit PV guest's root is an L3 table, of which its addresses reach four entries; they are as those of PAE paging.
  const narrow = cpu_pv32(cpu);
  if (narrow) level = 3;
  for (; level > 0; level--) {
    const shift: u64 = 12 + 9 * <u64>(level - 1);
    // No entry of a PV guest's is trusted: what it names has to be in use as a table of this level, and there are no large pages.
    if (pv && !engine_is_table(cpu, table >> 12, level)) return not_present();
    const e = read_entry(cpu, table | (((va >> shift) & 0x1ff) << 3), true);
    if (!(e & PTE_P)) return not_present();
    if (narrow && level == 3) {
      store<u32>(changetype<usize>(cpu) + CPU_WALK, 0);
      table = e & ADDR_MASK;
      continue;
    }
    let bad = reserved;
    const leaf = level == 1 || (level < 4 && !pv && (e & PTE_PS) != 0);
    if (level == 4 || (pv && level > 1)) bad |= PTE_PS;
    const offset: u64 = ((<u64>1) << shift) - 1;
    // A large page's address is aligned to its size; bit 12 of the entry is PAT.
    if (leaf && level > 1) bad |= offset & ~(<u64>0x1fff);
    if (e & bad) return reserved_bit();
    rights = (rights & e) | ((rights | e) & PTE_NX);
    if (leaf) {
      walk_gpa = (e & ADDR_MASK & ~offset) | (va & offset);
      walk_dirty = (e & PTE_D) != 0;
      leaf_flags(cpu, e, level == 1 ? 0 : level == 2 ? ENTRY_LARGE : ENTRY_HUGE);
      if (pv) {
        // What a PV guest says of GLOBAL means nothing: its kernel's half of the address space is (pv/roots.ts).
        walk_flags = <i64>va < 0 && pv_kernel(cpu) ? ENTRY_GLOBAL : 0;
        walk_table_mfn = <u32>(table >> 12);
      }
      return allow(cpu, rights);
    }
    table = e & ADDR_MASK;
  }
  return not_present();
}

/** 32-bit paging with 4-MiB pages (PSE-36 addresses: bits 13-20 of the entry are bits 32-39). */
function walk_narrow(cpu: Cpu, va: u64): bool {
  const pde = read_entry(cpu, (cpu.cr3 & 0xfffff000) | ((va >> 20) & 0xffc), false);
  if (!(pde & PTE_P)) return not_present();
  if (pde & PTE_PS && cpu.cr4 & CR4_PSE) {
    if (pde & 0x200000) return reserved_bit();
    walk_gpa = (pde & 0xffc00000) | (((pde >> 13) & 0xff) << 32) | (va & 0x3fffff);
    walk_dirty = (pde & PTE_D) != 0;
    leaf_flags(cpu, pde, ENTRY_HUGE); // 4 MiB
    return allow(cpu, pde & (PTE_RW | PTE_US));
  }
  const pte = read_entry(cpu, (pde & 0xfffff000) | ((va >> 10) & 0xffc), false);
  if (!(pte & PTE_P)) return not_present();
  walk_gpa = (pte & 0xfffff000) | (va & 0xfff);
  walk_dirty = (pte & PTE_D) != 0;
  leaf_flags(cpu, pte, 0);
  return allow(cpu, pde & pte & (PTE_RW | PTE_US));
}

@inline function leaf_flags(cpu: Cpu, leaf: u64, size: u32): void {
  walk_flags = leaf & PTE_G && cpu.cr4 & CR4_PGE ? size | ENTRY_GLOBAL : size;
}

/** The leaf is no entry of the guest's: its frame is the hypervisor's, which a PV guest may read. */
export let walk_window: bool = false;

/** The hypervisor's slots of a PV guest's address space: the M2P is there to be read, nothing else. */
function window(cpu: Cpu, va: u64): bool {
  const mfn = pv_window_frame(cpu, va);
  if (mfn == INVALID_MFN) return not_present();
  walk_window = true;
  walk_gpa = ((<u64>mfn) << 12) | (va & 0xfff);
  walk_dirty = true;
  walk_flags = 0;
  return allow(cpu, PTE_US | PTE_NX);
}

let walk_table: i32 = 0;
let walk_access: i32 = 0;

/** Access rights (SDM 4.6). True when the access asked for is among them; the page's other rights go to walk_perms. */
function allow(cpu: Cpu, rights: u64): bool {
  const user = (rights & PTE_US) != 0;
  let perms = PERM_R | PERM_W | PERM_X;
  if (rights & PTE_NX) perms &= ~PERM_X;
  if (walk_table == TABLE_USER) {
    if (!user) perms = 0;
    if (!(rights & PTE_RW)) perms &= ~PERM_W;
  } else {
    if (!(rights & PTE_RW) && cpu.cr0 & CR0_WP) perms &= ~PERM_W;
    if (user) {
      if (cpu.cr4 & CR4_SMEP) perms &= ~PERM_X;
      if (cpu.cr4 & CR4_SMAP && walk_table == TABLE_SUPERVISOR) perms &= ~(PERM_R | PERM_W);
    }
  }
  walk_perms = perms;
  walk_error = PF_P;
  return (perms & (1 << walk_access)) != 0;
}

/** Translate `va` for an access. False: page fault, with its error code in walk_error. */
export function walk(cpu: Cpu, va: u64, access: i32, table: i32): bool {
  walk_table = table;
  walk_access = access;
  path_length = 0;
  walk_table_mfn = INVALID_MFN;
  if (!(cpu.cr0 & CR0_PG)) {
    walk_gpa = va & 0xffffffff;
    walk_flags = 0;
    walk_dirty = true;
    walk_perms = PERM_R | PERM_W | PERM_X;
    return true;
  }
  path_wide = (cpu.cr4 & CR4_PAE) != 0;
  walk_window = false;
  if (
    cpu_pv(cpu) && pv_reserved(cpu, va)
      ? window(cpu, va)
      : path_wide
        ? walk_wide(cpu, va, (cpu.efer & EFER_LMA) != 0)
        : walk_narrow(cpu, va)
  )
    return true;
  if (access == ACCESS_WRITE) walk_error |= PF_W;
  if (table == TABLE_USER) walk_error |= PF_U;
  if (access == ACCESS_EXEC && (cpu.cr4 & CR4_SMEP || (path_wide && cpu.efer & EFER_NXE))) walk_error |= PF_I;
  return false;
}

/**
 * Set the accessed bits of the last walk's entries, and the leaf's dirty bit for a write. False when another CPU changed an entry
 * meanwhile: the walk must be made again. Entries in memory the guest may not write are left alone.
 */
export function mark_used(cpu: Cpu): bool {
  for (let i = 0; i < path_length; i++) {
    const slot = changetype<usize>(cpu) + CPU_WALK + ((<usize>i) << 4);
    const p = <usize>load<u32>(slot);
    if (!p) continue;
    const old = load<u64>(slot, 8);
    let value = old | PTE_A;
    if (i == path_length - 1 && walk_access == ACCESS_WRITE) {
      value |= PTE_D;
      walk_dirty = true;
    }
    if (value == old) continue;
    code_written(p, path_wide ? 8 : 4);
    if (path_wide) {
      if (atomic.cmpxchg<u64>(p, old, value) != old) return false;
    } else if (atomic.cmpxchg<u32>(p, <u32>old, <u32>value) != <u32>old) return false;
  }
  return true;
}
