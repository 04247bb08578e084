// A PV domain by hypercalls: its frames are machine frames, so what names them is made once they are known.
import type { Hypercalls } from '../lib/hypercalls.ts';
import { BadImage, type PvPlan } from '../domain_builder/protocol/index.ts';
import type { Builder } from './create.ts';
import { WINDOW_AT, writeAll } from './window.ts';

const PAGE = 4096;
const VCPU_INFO = 64;
/** vcpu_info.evtchn_upcall_mask. */
const UPCALL_MASK = 1;
/** vCPUs with a place in shared_info (XEN_LEGACY_MAX_VCPUS). */
const SHARED_VCPUS = 32;

/** The host's free memory lies in pieces that are too small for what the domain's devices need. */
export class NoRows extends Error {
  override name = 'NoRows';
}

/** Whether each `rows` pages of a number that is a multiple of it (a power of two) lie in machine frames in a row, as Linux gives out buffers. */
function inRows(frames: Uint32Array, rows: number): boolean {
  for (let pfn = 1; pfn < frames.length; pfn++)
    if (pfn % rows !== 0 && frames[pfn] !== frames[pfn - 1]! + 1 && pfn - (pfn % rows) + rows <= frames.length)
      return false;
  return true;
}

/** Does the hypervisor run this kind of guest at all? */
export function checkGuestType(dom0: Hypercalls, { guestType, bits }: PvPlan): void {
  const kinds = dom0.capabilities().split(' ');
  if (kinds.includes(guestType)) return;
  const there = kinds.filter((kind) => kind.startsWith('xen-')).join(', ');
  throw new BadImage(
    `the kernel is a ${bits}-bit PV one (${guestType}), and the hypervisor runs ${there || 'no PV guests'} only; use another kernel.`,
  );
}

export const buildPvDomain: Builder<PvPlan> = (dom0, plan, domid, ports, rows) => {
  if (plan.bits === 32) dom0.setAddressSize(domid, 32);
  const frames = dom0.populateRows(domid, plan.pages);
  if (!inRows(frames, rows)) throw new NoRows();
  const mfn = (pfn: number): number => frames[pfn]!;
  const sharedInfo = dom0.domainInfo(domid).sharedInfoFrame;
  const finish = plan.finish(mfn, { sharedInfo, storePort: ports.store, consolePort: ports.console });
  writeAll(dom0, domid, [...plan.writes, ...finish.writes], mfn);
  if (plan.hypercallPfn !== undefined) dom0.initHypercallPage(domid, mfn(plan.hypercallPfn));
  maskUpcalls(dom0, domid, sharedInfo);
  // From here on nobody can write to the tables but by hypercalls.
  dom0.pinTable(domid, plan.bits === 64 ? 4 : 3, mfn(plan.rootPfn));
  dom0.setVcpuContext(domid, 0, finish.context);
  return { storeFrame: mfn(plan.xenstorePfn), consoleFrame: mfn(plan.consolePfn) };
};

/** A vCPU begins with its events held back. */
function maskUpcalls(dom0: Hypercalls, domid: number, sharedInfo: number): void {
  dom0.mapForeign(domid, sharedInfo, 1, WINDOW_AT);
  try {
    for (let vcpu = 0; vcpu < SHARED_VCPUS; vcpu++)
      dom0.mailbox.write(WINDOW_AT * PAGE + vcpu * VCPU_INFO + UPCALL_MASK, Uint8Array.of(1));
  } finally {
    dom0.unmap(WINDOW_AT, 1);
  }
}
