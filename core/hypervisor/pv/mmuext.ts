// HYPERVISOR_mmuext_op.
import { guest_address } from '../../arch/x86/pv/emulate';
import { pv_of } from '../../arch/x86/pv/state';
import {
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  EPERM,
  ERESTART,
  ESRCH,
  MMUEXT_CLEAR_PAGE,
  MMUEXT_COPY_PAGE,
  MMUEXT_FLUSH_CACHE,
  MMUEXT_FLUSH_CACHE_GLOBAL,
  MMUEXT_INVLPG_ALL,
  MMUEXT_INVLPG_LOCAL,
  MMUEXT_INVLPG_MULTI,
  MMUEXT_NEW_BASEPTR,
  MMUEXT_NEW_USER_BASEPTR,
  mmuext_op__arg1__mfn,
  mmuext_op__arg2__nr_ents,
  mmuext_op__arg2__src_mfn,
  mmuext_op__arg2__vcpumask,
  mmuext_op__cmd,
  MMUEXT_PIN_L1_TABLE,
  MMUEXT_PIN_L2_TABLE,
  MMUEXT_PIN_L3_TABLE,
  MMUEXT_PIN_L4_TABLE,
  MMUEXT_SET_LDT,
  MMUEXT_TLB_FLUSH_ALL,
  MMUEXT_TLB_FLUSH_LOCAL,
  MMUEXT_TLB_FLUSH_MULTI,
  MMUEXT_UNPIN_TABLE,
} from '../../gen/abi';
import { get_mmuext_op, size_mmuext_op } from '../../gen/compat';
import { gate_mmuext_op } from '../../gen/hypercalls';
import { XSM_mmuext_op } from '../../gen/xsm';
import { frame, frame_written } from '../../shared/frame_table';
import { INVALID_MFN, mfn_to_ptr, PAGE_SIZE } from '../../shared/memory';
import { Domain, is_pv, is_pv32 } from '../domain';
import { cpu_of, Vcpu, vcpu_arg } from '../vcpu';
import { xsm_check } from '../xsm';
import { batch_answer, batch_begin, batch_count, batch_end } from './batch';
import { ldt_drop } from './descriptors';
import { ALL_PAGES, flush_local, flush_many } from './flush_op';
import { pv_owned } from './memory';
import { page_owner } from './owner';
import { PGT_pinned, root_type, table_get, table_level, type_budget, type_open, type_spend } from './page_type';
import { root_set, table_put, user_root_set } from './vcpu';

/** What a request costs beside the tables that it has looked at, in entries of those. */
const COST: i32 = 16;
const LDT_MAX: u32 = 8192;

export function do_mmuext_op(d: Domain, v: Vcpu, uops: u64, count: u32, pdone: u64, foreigndom: u32): i64 {
  if (!batch_begin(v, uops, count, pdone, foreigndom)) return batch_answer;
  const pg = page_owner(d, foreigndom);
  if (pg == null) return -ESRCH;
  if (!is_pv(pg)) return -EINVAL;
  let rc = xsm_check(XSM_mmuext_op, d, pg);
  if (rc) return rc;
  const a = vcpu_arg(v);
  let i: u32 = 0;
  for (; i < batch_count; i++) {
    if (v.pv_old || (i && type_budget <= 0)) rc = -ERESTART;
    else if (!get_mmuext_op(v, a, uops + <u64>i * size_mmuext_op(v))) rc = -EFAULT;
    else rc = request(d, v, pg, a);
    if (rc) break;
    type_spend(COST);
  }
  return batch_end(v, uops + <u64>i * size_mmuext_op(v), i, pdone, rc);
}

function request(d: Domain, v: Vcpu, pg: Domain, a: usize): i32 {
  const cmd = load<i32>(a, mmuext_op__cmd);
  const arg1 = load<u64>(a, mmuext_op__arg1__mfn); // or linear_addr
  const others = cmd <= MMUEXT_UNPIN_TABLE || cmd == MMUEXT_CLEAR_PAGE || cmd == MMUEXT_COPY_PAGE;
  const own = cmd <= MMUEXT_NEW_USER_BASEPTR || cmd == MMUEXT_FLUSH_CACHE_GLOBAL;
  const known = gate_mmuext_op(d, cmd);
  // Of another domain's there are tables and pages, but neither processors nor caches.
  if (pg != d && own && !others && (known == 0 || cmd == MMUEXT_FLUSH_CACHE || cmd == MMUEXT_FLUSH_CACHE_GLOBAL))
    return -EPERM;
  if (known) return known;
  switch (cmd) {
    case MMUEXT_PIN_L1_TABLE:
    case MMUEXT_PIN_L2_TABLE:
    case MMUEXT_PIN_L3_TABLE:
    case MMUEXT_PIN_L4_TABLE:
      return pin(v, pg, arg1, cmd - MMUEXT_PIN_L1_TABLE + 1);
    case MMUEXT_UNPIN_TABLE:
      return unpin(v, pg, arg1);
    case MMUEXT_NEW_BASEPTR:
      return root_set(v, v, arg1);
    case MMUEXT_NEW_USER_BASEPTR:
      if (is_pv32(d)) return -EINVAL; // its programs run on the same tables
      return user_root_set(v, v, arg1);
    case MMUEXT_TLB_FLUSH_LOCAL:
    case MMUEXT_INVLPG_LOCAL:
      flush_local(v, cmd == MMUEXT_TLB_FLUSH_LOCAL ? ALL_PAGES : arg1);
      return 0;
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI: {
      const what = cmd == MMUEXT_TLB_FLUSH_MULTI ? ALL_PAGES : arg1;
      return flush_many(v, false, load<u64>(a, mmuext_op__arg2__vcpumask), what);
    }
    case MMUEXT_TLB_FLUSH_ALL:
    case MMUEXT_INVLPG_ALL:
      return flush_many(v, true, 0, cmd == MMUEXT_TLB_FLUSH_ALL ? ALL_PAGES : arg1);
    case MMUEXT_SET_LDT:
      return set_ldt(v, arg1, load<u32>(a, mmuext_op__arg2__nr_ents));
    default:
      return page_op(pg, arg1, cmd == MMUEXT_COPY_PAGE, load<u64>(a, mmuext_op__arg2__src_mfn));
  }
}

function pin(v: Vcpu, pg: Domain, mfn: u64, level: i32): i32 {
  const root = root_type(pg);
  if (level > table_level(root)) return -EINVAL;
  const type = level == table_level(root) ? root : <u8>level;
  const rc = table_get(v, pg, mfn, type);
  if (rc) return rc;
  const f = frame(<u32>mfn);
  if (f.pt_flags & PGT_pinned) {
    table_put(v, <u32>mfn);
    return -EINVAL;
  }
  f.pt_flags |= PGT_pinned;
  return 0;
}

function unpin(v: Vcpu, pg: Domain, n: u64): i32 {
  const mfn = pv_owned(pg, n);
  if (mfn == INVALID_MFN || !(frame(mfn).pt_flags & PGT_pinned)) return -EINVAL;
  frame(mfn).pt_flags &= ~PGT_pinned;
  table_put(v, mfn);
  return 0;
}

/** The LDT is at a linear address of the guest's, from a page's beginning on. */
function set_ldt(v: Vcpu, address: u64, entries: u32): i32 {
  const base = entries ? address : 0;
  const cpu = cpu_of(v);
  if (base & 0xfff || !guest_address(cpu, base) || entries > LDT_MAX) return -EINVAL;
  const pv = pv_of(cpu);
  if (pv.ldt_base == base && pv.ldt_entries == entries) return 0;
  ldt_drop(v);
  pv.ldt_base = base;
  pv.ldt_entries = entries;
  return 0;
}

/** Clear a page, or copy one into it. */
function page_op(pg: Domain, n: u64, copy: bool, source: u64): i32 {
  const from = copy ? pv_owned(pg, source) : 0;
  const mfn = pv_owned(pg, n);
  if (mfn == INVALID_MFN || from == INVALID_MFN || !type_open(frame(mfn))) return -EINVAL;
  const p = mfn_to_ptr(mfn);
  if (copy) memory.copy(p, mfn_to_ptr(from), PAGE_SIZE);
  else memory.fill(p, 0, PAGE_SIZE);
  frame_written(p, PAGE_SIZE);
  return 0;
}
