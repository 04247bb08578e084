// What a PV vCPU holds of its domain's frames: the roots of its page tables, and its descriptor tables' pages.
import { PV_GDT, pv_of } from '../../arch/x86/pv/state';
import { pv_roots_changed } from '../../arch/x86/pv/roots';
import { ERESTART } from '../../gen/abi';
import { frame } from '../../shared/frame_table';
import { host_raise_flush } from '../../shared/host';
import { Mfn } from '../../shared/memory';
import { page_put } from '../domain';
import { cpu_of, Vcpu, vcpu_domain } from '../vcpu';
import { ldt_drop } from './descriptors';
import { old_finish, old_table, root_type, table_get, type_begin, type_put } from './page_type';
import { gdt_drop } from './tables';

const GDT_PAGES: usize = 16;

/** A table that something held is let go by an operation of `v`, which remembers what is left to do. */
export function table_put(v: Vcpu, mfn: Mfn): void {
  if (type_put(mfn)) old_table(v, mfn);
}

/** MMUEXT_NEW_BASEPTR for the calling vCPU, and the toolstack's for one that does not run. */
export function root_set(v: Vcpu, t: Vcpu, mfn: u64): i32 {
  const pv = pv_of(cpu_of(t));
  const old = pv.kernel_root;
  if (<u64>old != mfn || !mfn) {
    const rc = table_get(v, vcpu_domain(t), mfn, root_type(vcpu_domain(t)));
    if (rc) return rc;
    pv.kernel_root = <u32>mfn;
  }
  ldt_drop(t);
  pv_roots_changed(t);
  if (old && <u64>old != mfn) table_put(v, old);
  return 0;
}

/** MMUEXT_NEW_USER_BASEPTR; 0 is none. */
export function user_root_set(v: Vcpu, t: Vcpu, mfn: u64): i32 {
  const pv = pv_of(cpu_of(t));
  const old = pv.user_root;
  if (<u64>old == mfn) return 0;
  if (mfn) {
    const rc = table_get(v, vcpu_domain(t), mfn, root_type(vcpu_domain(t)));
    if (rc) return rc;
  }
  pv.user_root = <u32>mfn;
  pv_roots_changed(t);
  if (old) table_put(v, old);
  return 0;
}

/**
 * A vCPU that does not run lets its domain's frames go, for `caller`, and has nothing to run. 0 or -ERESTART: the root that it has let go is not
 * yet taken apart.
 */
export function pv_vcpu_reset(caller: Vcpu, v: Vcpu): i32 {
  const pv = pv_of(cpu_of(v));
  type_begin(caller);
  if (old_finish(caller)) return -ERESTART;
  ldt_drop(v);
  gdt_drop(v);
  const kernel = pv.kernel_root;
  const user = pv.user_root;
  pv.kernel_root = pv.user_root = 0;
  pv_roots_changed(v);
  host_raise_flush();
  // One at a time: the caller remembers one that is half taken apart.
  if (kernel) table_put(caller, kernel);
  if (user && caller.pv_old) pv.user_root = user;
  else if (user) table_put(caller, user);
  return old_finish(caller);
}

/** The vCPU ends with its domain, whose page tables are wiped afterwards: holds go, types stay as they are. */
export function pv_vcpu_release(v: Vcpu): void {
  if (v.pv_old) page_put(v.pv_old);
  v.pv_old = 0;
  const pv = pv_of(cpu_of(v));
  ldt_drop(v);
  const pages = changetype<usize>(pv) + PV_GDT;
  for (let p = pages; p < pages + GDT_PAGES * 4; p += 4) {
    const mfn = load<u32>(p);
    if (mfn) type_put(mfn);
    store<u32>(p, 0);
  }
  root_release(pv.kernel_root);
  root_release(pv.user_root);
  pv.kernel_root = pv.user_root = 0;
}

function root_release(mfn: Mfn): void {
  if (!mfn) return;
  frame(mfn).pt_count--;
  page_put(mfn);
}
