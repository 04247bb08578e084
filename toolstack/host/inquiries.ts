// What the hypervisor says of the host and of vCPUs, and the few things it does when told.
import { hostname, machine, release, version as systemVersion } from 'node:os';
import { XenError } from '../../services/lib/hypercalls.ts';
import type { PhysicalInfo, VcpuInfo, VersionInfo } from '../../services/xenops/control_calls.ts';
import { XEN_VCPUAFFINITY_HARD, XEN_VCPUAFFINITY_SOFT } from '../../spec/abi/constants.ts';
import { ERROR, Refused } from '../control/refused.ts';
import type { Domains } from './domains.ts';

export interface HostInfo {
  physical: PhysicalInfo;
  version: VersionInfo;
  /** XEN_SCHEDULER_*, 0: the host's own. */
  scheduler: number;
  /** Of the machine that the host runs on. */
  system: { host: string; release: string; version: string; machine: string };
  /** Seconds since the host began. */
  uptime: number;
}

export function hostInfo(domains: Domains): HostInfo {
  const { calls } = domains;
  return {
    physical: calls.physicalInfo(),
    version: calls.version(),
    scheduler: calls.scheduler(),
    system: { host: hostname(), release: release(), version: systemVersion(), machine: machine() },
    uptime: domains.host.machine.now() / 1e9,
  };
}

export interface VcpuRow extends VcpuInfo {
  domid: number;
  name: string | null;
  vcpu: number;
}

/** All vCPUs of the domains; of all of them without `domid`. */
export function vcpus(domains: Domains, domid: number | undefined): VcpuRow[] {
  const rows: VcpuRow[] = [];
  for (const info of domains.list()) {
    if (domid !== undefined && info.domid !== domid) continue;
    for (let vcpu = 0; vcpu <= info.maxVcpu; vcpu++) {
      const found = domains.calls.vcpu(info.domid, vcpu);
      if (found) rows.push({ domid: info.domid, name: info.name, vcpu, ...found });
    }
  }
  return rows;
}

function told(what: string, call: () => void): void {
  try {
    call();
  } catch (error) {
    throw error instanceof XenError ? new Refused(`${what}: ${error.message}.`, ERROR.FAIL) : error;
  }
}

export function sendTrigger(domains: Domains, domid: number, trigger: number, vcpu: number): void {
  domains.find(domid);
  told('the trigger is not sent', () => domains.calls.trigger(domid, trigger, vcpu));
  domains.host.machine.ring();
}

/** Bit N of a mask for pCPU N; null: as it is. */
export function pinVcpu(domains: Domains, domid: number, vcpu: number, hard: number | null, soft: number | null): void {
  domains.find(domid);
  const set = (mask: number | null, flag: number): void => {
    if (mask !== null) domains.calls.setAffinity(domid, vcpu, BigInt(mask), flag);
  };
  told(`vCPU ${vcpu} cannot run on these pCPUs only`, () => {
    set(hard, XEN_VCPUAFFINITY_HARD);
    set(soft, XEN_VCPUAFFINITY_SOFT);
  });
}
