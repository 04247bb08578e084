// The default module: Xen's rules without a policy, by the hook's class in the hypercall table.
import { EPERM } from '../../gen/abi';
import {
  XSM_CLASS_DM_PRIV,
  XSM_CLASS_HOOK,
  XSM_CLASS_PRIV,
  XSM_CLASS_TARGET,
  XSM_CLASS_XS_PRIV,
  xsm_class,
} from '../../gen/xsm';
import { Domain, DOMAIN_XENSTORE, is_privileged } from '../domain';

export function dummy_check(hook: i32, subject: Domain, target: Domain | null): i32 {
  switch (xsm_class(hook)) {
    case XSM_CLASS_HOOK:
      return 0;
    case XSM_CLASS_TARGET:
      if (target == null || target == subject) return 0;
      return device_model_or_privileged(subject, target);
    case XSM_CLASS_DM_PRIV:
      return device_model_or_privileged(subject, target);
    case XSM_CLASS_XS_PRIV:
      if (subject.flags & DOMAIN_XENSTORE) return 0;
      return is_privileged(subject) ? 0 : -EPERM;
    default:
      // PRIV; and OTHER, whose operations decide more finely when they exist: until then the control domain only.
      return is_privileged(subject) ? 0 : -EPERM;
  }
}

function device_model_or_privileged(subject: Domain, target: Domain | null): i32 {
  if (target != null && subject.target == target.domid) return 0;
  return is_privileged(subject) ? 0 : -EPERM;
}
