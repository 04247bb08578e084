// Grants in a PV guest's page tables (public/grant_table.h): the hypercall writes the L1 entry, with the references of any other. The guest may
// overwrite it like any other, too; then only the use of the grant remains, until the guest ends.
import { GNTMAP_application_map, GNTMAP_contains_pte, _GNTMAP_guest_avail0, GNTMAP_readonly } from '../../gen/abi';
import { frame } from '../../shared/frame_table';
import { host_raise_flush } from '../../shared/host';
import { INVALID_MFN, Mfn, mfn_to_ptr, ptr_to_mfn } from '../../shared/memory';
import { Domain, domain_kick, page_get } from '../domain';
import { Vcpu, vcpu_domain } from '../vcpu';
import { entry_adjust, leaf_put, PTE_A, PTE_D, PTE_P, pte_mfn, PTE_RW, PTE_USER } from './entries';
import { pv_owned } from './memory';
import { PGT_l1, PGT_validated, writable_map } from './page_type';
import { entry_changed } from './translations';
import { entry_write } from './update';
import { l1_index, l1_table } from './walk';

const PTE_AVAIL_SHIFT: u64 = 9;

/** Where the L1 entry is: in a table by its machine address, or the one that maps a linear address. 0: there is none. */
function place(v: Vcpu, address: u64, contains_pte: bool): usize {
  if (!contains_pte) {
    const table = l1_table(v, address);
    return table == INVALID_MFN ? 0 : mfn_to_ptr(table) + ((<usize>l1_index(address)) << 3);
  }
  const mfn = pv_owned(vcpu_domain(v), address >> 12);
  if (mfn == INVALID_MFN || address & 7) return 0;
  const f = frame(mfn);
  if (f.pt_type != PGT_l1 || !(f.pt_flags & PGT_validated)) return 0;
  return mfn_to_ptr(mfn) + ((<usize>address) & 0xfff);
}

/** Map a granted frame. False: not there, or it cannot be written. */
export function grant_pte_set(v: Vcpu, address: u64, flags: u32, mfn: Mfn): bool {
  const p = place(v, address, (flags & GNTMAP_contains_pte) != 0);
  if (!p) return false;
  let e =
    ((<u64>mfn) << 12) | PTE_P | PTE_A | PTE_D | ((<u64>((flags >>> _GNTMAP_guest_avail0) & 7)) << PTE_AVAIL_SHIFT);
  if (!(flags & GNTMAP_readonly)) {
    if (!writable_map(mfn, true)) return false;
    e |= PTE_RW;
  }
  if (flags & GNTMAP_application_map) e |= PTE_USER;
  page_get(mfn);
  const old = entry_write(p, entry_adjust(vcpu_domain(v), e), false);
  changed(v, p, old);
  leaf_put(vcpu_domain(v).domid, old);
  return true;
}

/**
 * Take the mapping out again; what was at `instead` comes in its place, unless that is 0. False: the entry is no such mapping, or there is
 * none for `instead`.
 */
export function grant_pte_clear(
  v: Vcpu,
  address: u64,
  contains_pte: bool,
  readonly: bool,
  mfn: Mfn,
  instead: u64,
): bool {
  const p = place(v, address, contains_pte);
  if (!p) return false;
  const e = atomic.load<u64>(p);
  if (!(e & PTE_P) || pte_mfn(e) != <u64>mfn || ((e & PTE_RW) == 0) != readonly) return false;
  let other: u64 = 0;
  if (instead) {
    const q = contains_pte ? <usize>0 : place(v, instead, false);
    if (!q || q == p) return false;
    other = entry_write(q, 0, false);
    changed(v, q, other);
  }
  const d = vcpu_domain(v);
  const old = entry_write(p, other, false);
  changed(v, p, old);
  leaf_put(d.domid, old);
  forgotten(d);
  return true;
}

function changed(v: Vcpu, p: usize, old: u64): void {
  entry_changed(v, vcpu_domain(v), ptr_to_mfn(p), ((<u32>p) & 0xfff) >>> 3, old);
}

/** The granter may rely on it that nobody goes on using the frame. */
function forgotten(d: Domain): void {
  host_raise_flush();
  domain_kick(d);
}
