// What has to be forgotten on other pCPUs before the hypervisor goes on.
import { tlb_area } from '../../engine/tlb_sets';
import { host, host_raise_flush, HOST_BASE_FLUSH } from '../../shared/host';
import { pcpu_get, pcpus_passed } from '../../shared/pcpu';
import { Vcpu, vcpu_kick } from '../vcpu';

/** How long is waited for a pCPU, and how often: seconds, as it may have lost its place on the machine below. */
const WAIT_NS: i64 = 100000;
const WAITS: i32 = 50000;

/**
 * No other pCPU runs guest code any more by a translation that it had before. False: one could not be reached. It needs no lock to get
 * there. (This one may be in the middle of an instruction; it forgets all before it enters guest code the next time.)
 */
export function flush_wait(): bool {
  const epoch = host_raise_flush();
  const here = tlb_area();
  for (let i: u32 = 0; i < host().pcpu_count; i++) {
    const v = changetype<Vcpu | null>(<usize>pcpu_get(i).current);
    if (v != null) vcpu_kick(v);
  }
  for (let n = 0; n < WAITS; n++) {
    if (pcpus_passed(epoch, here)) return true;
    atomic.wait<u32>(HOST_BASE_FLUSH, atomic.load<u32>(HOST_BASE_FLUSH), WAIT_NS);
  }
  return false;
}
