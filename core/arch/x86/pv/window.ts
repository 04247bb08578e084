// L4 slots 256 to 271 belong to the hypervisor in every PV guest's address space; in a 32-bit one's, the end. They exist here, not in the guest's page: at their beginning the
// read-only M2P, nothing else.
import { Cpu } from '../cpu';
import { INVALID_MFN, Mfn } from '../../../shared/memory';
import { engine_m2p_compat_frame, engine_m2p_frame } from '../../../hypervisor/engine';
import { HYPERVISOR_COMPAT_START, HYPERVISOR_END, HYPERVISOR_START } from './emulate';
import { cpu_pv32, PV_KERNEL, PV_M2P_STRICT, pv_of } from './state';

@inline export function pv_reserved(cpu: Cpu, va: u64): bool {
  return cpu_pv32(cpu) ? va >= HYPERVISOR_COMPAT_START : va >= HYPERVISOR_START && va < HYPERVISOR_END;
}

/** The frame that is read at an address of the hypervisor's; INVALID_MFN if nothing is there. Programs see it unless the guest says so (m2p_strict). */
export function pv_window_frame(cpu: Cpu, va: u64): Mfn {
  if (cpu_pv32(cpu)) return engine_m2p_compat_frame((va - HYPERVISOR_COMPAT_START) >> 12);
  const pv = pv_of(cpu);
  if (pv.assists & PV_M2P_STRICT && !(pv.flags & PV_KERNEL)) return INVALID_MFN;
  return engine_m2p_frame((va - HYPERVISOR_START) >> 12);
}
