/** HYPERVISOR_console_io(cmd, count, buffer), public/xen.h */
import { char } from './layout.ts';
import { subOps, xsmFirst } from './op.ts';

// A guest's writes go to the hypervisor log, as in a Xen built with verbose debugging; input is the control domain's.
export const CONSOLE_IO = subOps('CONSOLEIO_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'register', count: 1 }, [
  [0, 'write', char, xsmFirst('console_io__write', 'HOOK'), 'supported', 'continuable'],
  [1, 'read', char, xsmFirst('console_io__read', 'PRIV'), 'supported'],
]);
