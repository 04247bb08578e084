// Creating a domain: the domain builder's plan carried out by hypercalls, as domain 0.
import {
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_TRIPLE_FAULT_REASON,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  HVM_SAVE_CODE_MTRR,
  SHUTDOWN_crash,
  XEN_HVM_MEMMAP_TYPE_RAM,
} from '../../spec/abi/constants.ts';
import { make } from '../../spec/abi/layout.ts';
import { save } from '../../spec/abi/structs/save.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import type { Plan, PvhPlan, SegmentState } from '../domain_builder/protocol/index.ts';
import { buildPvDomain, checkGuestType } from './create_pv.ts';
import { seedGrants } from './grants.ts';
import { writeAll } from './window.ts';

const PAGE = 4096;

export interface NewDomain {
  domid: number;
  storePort: number;
  consolePort: number;
  /** The two rings' frames, as the guest names them to others: of a PV domain machine frames. */
  storeFrame: number;
  consoleFrame: number;
}

export interface Owners {
  /** Service domains at the other end of the two rings. */
  xenstore: number;
  console: number;
}

export interface NewDomainOptions {
  uuid: Uint8Array;
  vcpus: number;
  ssidref: number;
  /** pages of the largest buffer that a driver of the guest's takes to be machine frames in a row */
  rows?: number;
}

/** What one kind of guest needs beside what all do. */
export type Builder<P extends Plan> = (
  dom0: Hypercalls,
  plan: P,
  domid: number,
  ports: { store: number; console: number },
  rows: number,
) => { storeFrame: number; consoleFrame: number };

export function createDomain(dom0: Hypercalls, plan: Plan, options: NewDomainOptions, owners: Owners): NewDomain {
  const { uuid: handle, vcpus, ssidref, rows = 1 } = options;
  if (plan.type === 'pv') checkGuestType(dom0, plan);
  const domid = dom0.createDomain({ handle, vcpus, ssidref, pv: plan.type === 'pv' });
  try {
    dom0.maxMemory(domid, plan.size);
    dom0.maxVcpus(domid, vcpus);
    const ports = {
      store: dom0.allocUnbound(domid, owners.xenstore),
      console: dom0.allocUnbound(domid, owners.console),
    };
    const frames =
      plan.type === 'pv'
        ? buildPvDomain(dom0, plan, domid, ports, rows)
        : buildPvhDomain(dom0, plan, domid, ports, rows);
    seedGrants(dom0, domid, [
      [owners.console, frames.consoleFrame],
      [owners.xenstore, frames.storeFrame],
    ]);
    return { domid, storePort: ports.store, consolePort: ports.console, ...frames };
  } catch (error) {
    dom0.destroy(domid);
    throw error;
  }
}

const buildPvhDomain: Builder<PvhPlan> = (dom0, plan, domid, ports) => {
  for (const range of [...plan.ram, ...plan.extra]) dom0.populate(domid, range.gpa / PAGE, range.size / PAGE);
  dom0.setMemoryMap(
    domid,
    plan.memmap.map(({ gpa, size, type }) => ({ addr: gpa, size, type: type || XEN_HVM_MEMMAP_TYPE_RAM })),
  );
  writeAll(dom0, domid, plan.writes, (pfn) => pfn);
  for (const [index, value] of plan.hvmParams) dom0.setHvmParam(domid, index, value);
  dom0.setHvmParam(domid, HVM_PARAM_STORE_EVTCHN, ports.store);
  dom0.setHvmParam(domid, HVM_PARAM_CONSOLE_EVTCHN, ports.console);
  // Without this a triple fault is a reboot, as on a PC; here a person wants to know.
  dom0.setHvmParam(domid, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_crash);
  dom0.setHvmContext(domid, context(plan));
  return { storeFrame: plan.specialPages.xenstore, consoleFrame: plan.specialPages.console };
};

/** Save records that describe the first vCPU at its entry: header, CPU, MTRR, end. */
function context(plan: PvhPlan): Uint8Array {
  const cpu = make(save.hvm_hw_cpu);
  const { vcpu } = plan;
  const c = cpu.view;
  c.rip = BigInt(vcpu.rip);
  c.rbx = BigInt(vcpu.rbx);
  c.cr0 = BigInt(vcpu.cr0);
  c.cr4 = BigInt(vcpu.cr4);
  c.rflags = BigInt(vcpu.rflags);
  c.dr6 = BigInt(vcpu.dr6);
  c.dr7 = BigInt(vcpu.dr7);
  const segments: [string, SegmentState][] = [
    ['cs', vcpu.cs],
    ...['ds', 'es', 'ss'].map((s): [string, SegmentState] => [s, vcpu.data]),
    ['tr', vcpu.tr],
  ];
  const fields = c as unknown as Record<string, number | bigint>;
  for (const [name, s] of segments) {
    fields[`${name}_base`] = BigInt(s.base);
    fields[`${name}_limit`] = s.limit;
    fields[`${name}_arbytes`] = s.attributes;
  }
  // flags stay 0: the FPU is as after reset
  const header = make(save.hvm_save_header);
  header.view.magic = HVM_FILE_MAGIC;
  header.view.version = HVM_FILE_VERSION;
  const mtrr = make(save.hvm_hw_mtrr);
  mtrr.view.msr_pat_cr = 0x0007040600070406n;
  mtrr.view.msr_mtrr_def_type = BigInt(vcpu.mtrrDefType);
  return records([
    [HVM_SAVE_CODE_HEADER, header.bytes],
    [HVM_SAVE_CODE_CPU, cpu.bytes],
    [HVM_SAVE_CODE_MTRR, mtrr.bytes],
    [HVM_SAVE_CODE_END, new Uint8Array(0)],
  ]);
}

/** Xen's save records: {typecode u16, instance u16, length u32}, then the body. */
export function records(list: readonly [number, Uint8Array][]): Uint8Array {
  const out = new Uint8Array(list.reduce((sum, [, body]) => sum + 8 + body.length, 0));
  const dv = new DataView(out.buffer);
  let at = 0;
  for (const [type, body] of list) {
    dv.setUint16(at, type, true);
    dv.setUint32(at + 4, body.length, true);
    out.set(body, at + 8);
    at += 8 + body.length;
  }
  return out;
}
