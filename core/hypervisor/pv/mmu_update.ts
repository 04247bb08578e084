// HYPERVISOR_mmu_update and HYPERVISOR_update_va_mapping(_otherdomain).
import {
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOSYS,
  EPERM,
  ERESTART,
  ESRCH,
  MMU_MACHPHYS_UPDATE,
  MMU_NORMAL_PT_UPDATE,
  MMU_PT_UPDATE_NO_TRANSLATE,
  MMU_PT_UPDATE_PRESERVE_AD,
  mmu_update__ptr,
  mmu_update__val,
  sizeof_mmu_update,
  UVMF_ALL,
  UVMF_FLUSHTYPE_MASK,
  UVMF_INVLPG,
  UVMF_TLB_FLUSH,
} from '../../gen/abi';
import { XSM_mmu_update, XSM_update_va_mapping } from '../../gen/xsm';
import { frame } from '../../shared/frame_table';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../../shared/memory';
import { Domain, domain_by_id, is_pv } from '../domain';
import { copy_from_guest } from '../guest_access';
import { hypercall_continue, hypercall_continue4 } from '../hypercall';
import { Vcpu, vcpu_arg } from '../vcpu';
import { xsm_check } from '../xsm';
import { batch_begin, batch_answer, batch_count, batch_end } from './batch';
import { entry_adjust, PTE_A, PTE_D } from './entries';
import { ALL_PAGES, flush_local, flush_many } from './flush_op';
import { m2p_set } from './m2p';
import { pv_owned } from './memory';
import { page_owner } from './owner';
import { is_table, PGT_l1, PGT_validated, type_begin, type_budget, type_open, type_spend } from './page_type';
import { entry_update, entry_write } from './update';
import { l1_index, l1_table } from './walk';

/** What a request costs beside the tables that it has looked at, in entries of those. */
const COST: i32 = 4;

export function do_mmu_update(d: Domain, v: Vcpu, ureqs: u64, count: u32, pdone: u64, foreigndom: u32): i64 {
  if (!batch_begin(v, ureqs, count, pdone, foreigndom)) return batch_answer;
  // Bits 16 and up: whose tables, plus one.
  let pt: Domain = d;
  if (foreigndom >>> 16) {
    const found = domain_by_id(d, (foreigndom >>> 16) - 1);
    if (found == null || !is_pv(found)) return -EINVAL;
    pt = found;
  }
  const pg = page_owner(d, foreigndom & 0xffff);
  if (pg == null) return -ESRCH;
  const a = vcpu_arg(v);
  let rc = 0;
  let i: u32 = 0;
  for (; i < batch_count; i++) {
    if (v.pv_old || (i && type_budget <= 0)) rc = -ERESTART;
    else if (!copy_from_guest(v, a, ureqs + <u64>i * sizeof_mmu_update, sizeof_mmu_update)) rc = -EFAULT;
    else rc = request(d, v, pt, pg, load<u64>(a, mmu_update__ptr), load<u64>(a, mmu_update__val));
    if (rc) break;
    type_spend(COST);
  }
  return batch_end(v, ureqs + <u64>i * sizeof_mmu_update, i, pdone, rc);
}

function request(d: Domain, v: Vcpu, pt: Domain, pg: Domain, ptr: u64, value: u64): i32 {
  const cmd = (<i32>ptr) & 7;
  switch (cmd) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_PRESERVE_AD:
    case MMU_PT_UPDATE_NO_TRANSLATE: {
      let rc = xsm_check(XSM_mmu_update, d, pt);
      if (rc == 0) rc = xsm_check(XSM_mmu_update, d, pg);
      return rc ? rc : word_update(v, pt, pg, ptr - cmd, value, cmd == MMU_PT_UPDATE_PRESERVE_AD);
    }
    case MMU_MACHPHYS_UPDATE: {
      if (pt != d) return -EPERM;
      if (!is_pv(pg)) return -EINVAL;
      const rc = xsm_check(XSM_mmu_update, d, pg);
      if (rc) return rc;
      const mfn = pv_owned(pg, ptr >> 12);
      if (mfn == INVALID_MFN) return -EINVAL;
      return m2p_set(mfn, value) ? 0 : -ENOMEM;
    }
    default:
      return -ENOSYS;
  }
}

/** The word at a machine address of `pt`'s: an entry of a table, or memory like other. */
function word_update(v: Vcpu, pt: Domain, pg: Domain, ma: u64, value: u64, preserve: bool): i32 {
  const mfn = pv_owned(pt, ma >> 12);
  if (mfn == INVALID_MFN) return -EINVAL;
  const f = frame(mfn);
  if (is_table(f.pt_type) && f.pt_flags & PGT_validated) {
    if (f.pt_type != PGT_l1 && pg != pt) return -EINVAL;
    return entry_update(v, pt, pg, mfn, ((<u32>ma) & 0xfff) >>> 3, value, preserve);
  }
  if (!type_open(f)) return -EINVAL;
  entry_write(mfn_to_ptr(mfn) + ((<usize>ma) & 0xff8), value, false);
  return 0;
}

/** The call is made again as it was. 32-bit code has the value in two arguments. */
function again(v: Vcpu, va: u64, value: u64, flags: u64): i64 {
  if (v.compat) return hypercall_continue4(v, va, value & 0xffffffff, value >> 32, flags);
  return hypercall_continue(v, va, value, flags);
}

export function do_update_va_mapping(d: Domain, v: Vcpu, va: u64, value: u64, flags: u64): i64 {
  const rc = va_mapping(d, v, d, va, value, flags);
  return rc == -ERESTART ? again(v, va, value, flags) : rc;
}

export function do_update_va_mapping_otherdomain(d: Domain, v: Vcpu, va: u64, value: u64, flags: u64, domid: u32): i64 {
  const pg = page_owner(d, domid);
  if (pg == null) return -ESRCH;
  const rc = va_mapping(d, v, pg, va, value, flags);
  return rc == -ERESTART ? again(v, va, value, flags) : rc;
}

/** The L1 entry that maps `va` for the calling vCPU. -ERESTART: it is written, and some pCPU has not forgotten the old one. */
function va_mapping(d: Domain, v: Vcpu, pg: Domain, va: u64, value: u64, flags: u64): i32 {
  const rc = xsm_check(XSM_update_va_mapping, d, pg);
  if (rc) return rc;
  type_begin(v);
  const table = l1_table(v, va);
  if (table == INVALID_MFN) return -EINVAL;
  const page = (va & ~(<u64>0xfff)) | 1;
  const written = v.pv_flush_page == page && holds(d, table, l1_index(va), value);
  if (v.pv_flush_page == page) v.pv_flush_page = 0;
  const e = written ? 0 : entry_update(v, d, pg, table, l1_index(va), value, false);
  if (e) return e;
  const f = va_flush(v, va, flags);
  if (f == -ERESTART) v.pv_flush_page = page;
  return f;
}

/** Is the entry `value`, whatever the processor has noted in it since? */
function holds(d: Domain, table: Mfn, i: u32, value: u64): bool {
  return ((load<u64>(mfn_to_ptr(table) + ((<usize>i) << 3)) ^ entry_adjust(d, value)) & ~(PTE_A | PTE_D)) == 0;
}

function va_flush(v: Vcpu, va: u64, flags: u64): i32 {
  const mask = flags & ~(<u64>UVMF_FLUSHTYPE_MASK);
  const kind = <i32>(flags & UVMF_FLUSHTYPE_MASK);
  if (kind != UVMF_TLB_FLUSH && kind != UVMF_INVLPG) return 0;
  const what = kind == UVMF_INVLPG ? va : ALL_PAGES;
  if (mask) {
    const rc = flush_many(v, mask == UVMF_ALL, mask, what);
    return rc == -EINVAL ? -EFAULT : rc;
  }
  flush_local(v, what);
  return 0;
}
