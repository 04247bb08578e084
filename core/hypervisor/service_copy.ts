// SERVICEOP_copy: bytes between a front end's granted pages and the service's heap. The heap is no machine memory: the platform, which has both, copies. A part of a
// page takes eight bytes to name here and one copy, by GNTTABOP_copy 64 and two, since that knows machine memory only.
import {
  EACCES,
  EFAULT,
  EINVAL,
  ESRCH,
  GNTST_okay,
  service_copy__count,
  service_copy__domid,
  service_copy__done,
  service_copy__heap,
  service_copy__list,
  service_copy__out,
  service_copy__status,
  service_part__gref,
  service_part__length,
  service_part__offset,
  sizeof_service_copy,
  sizeof_service_part,
} from '../gen/abi';
import { XSM_grant_copy } from '../gen/xsm';
import { PAGE_SIZE } from '../shared/memory';
import { Domain, domain_by_id } from './domain';
import { end_from, end_length, end_ptr, grant_close, grant_open } from './grant_copy';
import { access_gpa, copy_from_guest, copy_to_guest } from './guest_access';
import { hypercall_continue } from './hypercall';
import { Vcpu, vcpu_arg } from './vcpu';
import { xsm_check } from './xsm';

/** Parts of an element, and as many before the hypercall gives way: a vCPU that wants the lock waits for some ten microseconds. */
const PARTS_MAX: u32 = 512;
const BATCH: u32 = 32;
/** In the vCPU's argument area, behind the element: parts, so many at a time. */
const PARTS: usize = 64;
const PARTS_AT_ONCE: u32 = 64;

/** Bytes between machine memory at `ptr` and the heap of the service whose call this is. 0: the heap has no such stretch, or there is none. */
@external('env', 'heap_copy')
declare function heap_copy(ptr: usize, heap: u32, length: u32, out: u32): u32;

export function do_service_copy(d: Domain, v: Vcpu, cmd: u32, uop: u64, count: u32): i64 {
  const a = vcpu_arg(v);
  let parts: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at = uop + <u64>i * sizeof_service_copy;
    if (parts >= BATCH) return hypercall_continue(v, cmd, at, count - i);
    if (!copy_from_guest(v, a, at, sizeof_service_copy)) return -EFAULT;
    store<u32>(a, 0, service_copy__done);
    store<i32>(a, copy_parts(d, a), service_copy__status);
    parts += 1 + load<u32>(a, service_copy__done);
    if (!copy_to_guest(v, at, a, sizeof_service_copy)) return -EFAULT;
  }
  return 0;
}

/** The element at `a`. 0 or an errno. */
function copy_parts(d: Domain, a: usize): i32 {
  const count = load<u32>(a, service_copy__count);
  const list = load<u64>(a, service_copy__list);
  const out = <u32>load<u16>(a, service_copy__out);
  let heap = load<u32>(a, service_copy__heap);
  if (count > PARTS_MAX || out > 1) return -EINVAL;
  const rd = domain_by_id(d, load<u16>(a, service_copy__domid));
  if (rd == null) return -ESRCH;
  if (xsm_check(XSM_grant_copy, d, rd)) return -EACCES;
  for (let i: u32 = 0; i < count; i++) {
    const part = a + PARTS + <usize>(i % PARTS_AT_ONCE) * sizeof_service_part;
    if (i % PARTS_AT_ONCE == 0) {
      const n = count - i < PARTS_AT_ONCE ? count - i : PARTS_AT_ONCE;
      if (!access_gpa(d, list + <u64>i * sizeof_service_part, part, n * sizeof_service_part, false)) return -EFAULT;
    }
    const length = <u32>load<u16>(part, service_part__length);
    const rc = copy_part(d, rd, part, length, heap, out);
    if (rc) return rc;
    heap += length;
    store<u32>(a, i + 1, service_copy__done);
  }
  return 0;
}

function copy_part(d: Domain, rd: Domain, part: usize, length: u32, heap: u32, out: u32): i32 {
  const offset = <u32>load<u16>(part, service_part__offset);
  if (length == 0 || offset + length > PAGE_SIZE) return -EINVAL;
  if (grant_open(d, rd, load<u32>(part, service_part__gref), out != 0) != GNTST_okay) return -EACCES;
  let rc = 0;
  if (offset < end_from || offset + length > end_from + end_length) rc = -EACCES;
  else if (!heap_copy(end_ptr + offset, heap, length, out)) rc = -EFAULT;
  grant_close(out != 0, rc ? 0 : offset, rc ? 0 : length);
  return rc;
}
