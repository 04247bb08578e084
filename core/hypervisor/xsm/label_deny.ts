// A small policy: the default rules, and a table of (label, hook) that are denied whatever the default says.
import { EACCES, EINVAL, ENOSPC } from '../../gen/abi';
import { XSM_NR_HOOKS } from '../../gen/xsm';
import { xenheap_alloc } from '../../shared/frame_alloc';
import { host } from '../../shared/host';
import { DOMID_XEN } from '../../gen/abi';
import { Domain } from '../domain';
import { dummy_check } from './dummy';

const RULES_MAX: u32 = 511; // a page: count, then {label, hook}

export function label_deny_check(hook: i32, subject: Domain, target: Domain | null): i32 {
  const page = <usize>host().xsm_rules;
  const n = page ? load<u32>(page) : 0;
  for (let i: u32 = 0; i < n; i++) {
    const r = page + 8 + ((<usize>i) << 3);
    if (load<u32>(r) == subject.label && load<i32>(r, 4) == hook) return -EACCES;
  }
  return dummy_check(hook, subject, target);
}

/** Add a rule. */
export function label_deny_add(label: u32, hook: i32): i32 {
  if (<u32>hook >= <u32>XSM_NR_HOOKS) return -EINVAL;
  const h = host();
  if (!h.xsm_rules) h.xsm_rules = <u32>xenheap_alloc(<u16>DOMID_XEN);
  const page = <usize>h.xsm_rules;
  const n = page ? load<u32>(page) : RULES_MAX;
  if (n >= RULES_MAX) return -ENOSPC;
  store<u32>(page + 8 + ((<usize>n) << 3), label);
  store<i32>(page + 12 + ((<usize>n) << 3), hook);
  store<u32>(page, n + 1);
  return 0;
}
