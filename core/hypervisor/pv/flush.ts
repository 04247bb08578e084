// What has to be forgotten on other pCPUs before the hypervisor goes on.
import { tlb_area } from '../../engine/tlb_sets';
import { host, host_raise_flush, HOST_BASE_FLUSH } from '../../shared/host';
import { pcpu_get, pcpus_passed } from '../../shared/pcpu';
import { Vcpu, vcpu_kick } from '../vcpu';

const WAIT_NS: i64 = 100000;
/** How often is waited for a pCPU: two milliseconds, for nobody else gets the lock meanwhile. */
const WAITS: i32 = 20;

/**
 * No other pCPU runs guest code any more by a translation that it had before. False: one is not there yet. It may be in the middle of an
 * instruction that waits for the lock that the caller holds, so the caller gives the lock up and tries again. (This pCPU may
 * be in the middle of an instruction; it forgets all before it enters guest code the next time.)
 */
export function flush_wait(): bool {
  const epoch = host_raise_flush();
  const here = tlb_area();
  for (let i: u32 = 0; i < host().pcpu_count; i++) {
    const v = changetype<Vcpu | null>(<usize>pcpu_get(i).current);
    if (v != null) vcpu_kick(v);
  }
  for (let n = WAITS; n > 0; n--) {
    if (pcpus_passed(epoch, here)) return true;
    atomic.wait<u32>(HOST_BASE_FLUSH, atomic.load<u32>(HOST_BASE_FLUSH), WAIT_NS);
  }
  return false;
}
