// Xen Security Modules: every access check goes through here, to the module that the host was started with.
import { Domain } from '../domain';
import { dummy_check } from './dummy';
import { label_deny_check } from './label_deny';
import { host } from '../../shared/host';

export const XSM_MODULE_DUMMY: u32 = 0;
export const XSM_MODULE_LABEL_DENY: u32 = 1;

/** May `subject` do `hook` (XSM_*) to `target` (null: nothing but the caller matters)? 0 or an errno. */
export function xsm_check(hook: i32, subject: Domain, target: Domain | null): i32 {
  switch (host().xsm_module) {
    case XSM_MODULE_LABEL_DENY:
      return label_deny_check(hook, subject, target);
    default:
      return dummy_check(hook, subject, target);
  }
}
