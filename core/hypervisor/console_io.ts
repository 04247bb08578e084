// CONSOLEIO_*: what guests say goes to the hypervisor's log, in bounded pieces.
import { CONSOLEIO_read, CONSOLEIO_write, EFAULT, EINVAL, ENOSYS } from '../gen/abi';
import { Domain } from './domain';
import { copy_from_guest } from './guest_access';
import { hypercall_continue } from './hypercall';
import { log_console, LOG_TEXT_MAX } from './log';
import { Vcpu, vcpu_arg } from './vcpu';

/** Bytes taken before the hypercall gives way. */
const BATCH: u32 = 4096;

export function do_console_io(d: Domain, v: Vcpu, cmd: u32, count: u32, buffer: u64): i64 {
  // Xen takes lengths as signed.
  if (<i32>count < 0) return -EINVAL;
  if (cmd == CONSOLEIO_read) return 0; // nobody types on the host's own console
  if (cmd != CONSOLEIO_write) return -ENOSYS;
  const a = vcpu_arg(v);
  for (let done: u32 = 0; done < count; ) {
    if (done >= BATCH) return hypercall_continue(v, cmd, count - done, buffer + done);
    const n = count - done < LOG_TEXT_MAX ? count - done : LOG_TEXT_MAX;
    if (!copy_from_guest(v, a, buffer + done, n)) return -EFAULT;
    log_console(d.domid, a, n);
    done += n;
  }
  return 0;
}
