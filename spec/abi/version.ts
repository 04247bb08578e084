/** HYPERVISOR_xen_version, public/version.h */
import { array, char, u8 } from './layout.ts';
import { subOps, xsm, xsmFirst } from './op.ts';
import { version as s } from './structs/version.ts';

const asked = (op: string) => xsmFirst(`xen_version__${op}`, 'HOOK');

export const VERSION = subOps('XENVER_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'register' }, [
  [0, 'version', null, asked('version'), 'supported'],
  [1, 'extraversion', array(char, 16), asked('extraversion'), 'supported'],
  [2, 'compile_info', s.xen_compile_info, asked('compile_info'), 'supported'],
  [3, 'capabilities', array(char, 1024), asked('capabilities'), 'supported'],
  [4, 'changeset', array(char, 64), asked('changeset'), 'supported'],
  [5, 'platform_parameters', s.xen_platform_parameters, asked('platform_parameters'), 'supported'],
  [6, 'get_features', s.xen_feature_info, asked('get_features'), 'supported'],
  [7, 'pagesize', null, asked('pagesize'), 'supported'],
  [8, 'guest_handle', array(u8, 16), asked('guest_handle'), 'supported'],
  // The handler asks: to a refused caller Xen answers the text "<denied>", not an error.
  [9, 'commandline', array(char, 1024), xsm('xen_version__commandline', 'PRIV'), 'supported'],
  [10, 'build_id', s.xen_build_id, xsmFirst('xen_version__build_id', 'PRIV'), 'ENODATA'],
]);
