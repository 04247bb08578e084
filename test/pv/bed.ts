// A PV domain made by hand from the control domain's hypercalls: for tests of the hypervisor, which want neither a toolstack nor its devices.
import assert from 'node:assert/strict';
import { consoleText, LogReader } from '../../services/report/log_reader.ts';
import { LOG_CONSOLE } from '../../core/hypervisor/log_codes.ts';
import { loadCore, type CoreImage } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { N, Service } from '../hypervisor.ts';

const PAGE = 4096;
const MIB = 1 << 20;
/** Pages of a guest. */
export const PAGES = 1024;
const P = 1n, W = 2n, U = 4n, A = 0x20n, D = 0x40n; // prettier-ignore

/** Where the guest finds what: the image at its own addresses below, then these. */
const START = 0x300000;
const FREE = 0x301000;
const SHARED = 0x302000;
/** A page for the guest to map and unmap. */
const SCRATCH = 0x303000;
const STACK = 0x306000;
/** Virtual pages below this are mapped. */
const MAPPED = 0x308;
const KERNEL_ONLY = 0x8000000000n;

interface Segment {
  address: number;
  bytes: Uint8Array;
}

/** Entry and loadable segments of an ELF64 image. */
function elf(image: Uint8Array): { entry: bigint; segments: Segment[] } {
  const v = new DataView(image.buffer, image.byteOffset, image.length);
  const table = Number(v.getBigUint64(32, true));
  const segments: Segment[] = [];
  for (let i = 0; i < v.getUint16(56, true); i++) {
    const at = table + i * v.getUint16(54, true);
    if (v.getUint32(at, true) !== 1) continue;
    const from = Number(v.getBigUint64(at + 8, true));
    const bytes = image.slice(from, from + Number(v.getBigUint64(at + 32, true)));
    segments.push({ address: Number(v.getBigUint64(at + 24, true)), bytes });
  }
  return { entry: v.getBigUint64(24, true), segments };
}

export interface PvGuest {
  machine: Machine;
  domid: number;
  cpu: number;
  /** What it has written to its console so far. */
  output: () => string;
  /** It has stopped: SHUTDOWN_*, null while it runs. */
  stopped: () => number | null;
  /** A domctl about it, by the control domain; its vCPU's context is loaded (again), or with null the vCPU is reset. */
  domctl: (cmd: string) => number;
  load: (context: bigint | null) => number;
}

/** Where the control domain has the first vCPU's context. */
export const CONTEXT = 8192n;

/** A machine with a PV domain that has no memory yet. */
export class Bare {
  readonly machine: Machine;
  readonly dom0: Service;
  readonly domid: number;

  constructor(translate: boolean, core: CoreImage, vcpus: number, pages: number) {
    this.machine = new Machine({ memory: 16 * MIB, deterministic: true, translate }, core);
    assert.equal(this.machine.core.service_create(0, 1, 0, 32), 0);
    const x = this.machine.core as unknown as Record<string, (...args: (number | bigint)[]) => number>;
    this.dom0 = new Service({ memory: this.machine.memory, x }, 0);
    this.domid = 0;
    const created = this.domctl('XEN_DOMCTL_createdomain', (u) => {
      u.setUint32(N.xen_domctl_createdomain__max_vcpus!, vcpus, true);
      u.setUint32(N.xen_domctl_createdomain__max_evtchn_port!, 1023, true);
      u.setUint32(N.xen_domctl_createdomain__max_grant_frames!, 4, true);
      u.setUint32(N.xen_domctl_createdomain__max_maptrack_frames!, 4, true);
    });
    assert.equal(created, 0, 'createdomain');
    this.domid = new DataView(this.dom0.read(N.xen_domctl__domain!, 2)!.buffer).getUint16(0, true);
    const limited = this.domctl('XEN_DOMCTL_max_mem', (u) => u.setBigUint64(0, BigInt(4 * pages), true));
    assert.equal(limited, 0, 'max_mem');
  }

  domctl(cmd: string, put: (u: DataView) => void = () => {}): number {
    const bytes = new Uint8Array(N.sizeof_xen_domctl!);
    const v = new DataView(bytes.buffer);
    v.setUint32(0, N[cmd]!, true);
    v.setUint32(4, N.XEN_DOMCTL_INTERFACE_VERSION!, true);
    v.setUint16(N.xen_domctl__domain!, this.domid, true);
    put(new DataView(bytes.buffer, N.xen_domctl__u!));
    this.dom0.write(0, bytes);
    return this.dom0.hypercall(N.__HYPERVISOR_domctl!, 0);
  }

  /** Machine frames of its pages. */
  populate(pages: number): number[] {
    const frames: number[] = [];
    while (frames.length < pages) {
      const list = new BigUint64Array(Array.from({ length: 512 }, (_, i) => BigInt(frames.length + i)));
      this.dom0.write(4096, new Uint8Array(list.buffer));
      const rc = this.dom0.op('memory_op', 'XENMEM_populate_physmap', 'xen_memory_reservation', {
        extent_start: [8, 4096],
        nr_extents: [8, 512],
        domid: [2, this.domid],
      });
      assert.equal(rc, 512, 'populate_physmap');
      const mfns = new BigUint64Array(this.dom0.read(4096, 4096)!.slice().buffer);
      frames.push(...[...mfns].map(Number));
    }
    return frames;
  }

  /** The frame of its shared_info. */
  sharedInfo(): number {
    assert.equal(this.domctl('XEN_DOMCTL_getdomaininfo'), 0);
    const shared = this.dom0.read(N.xen_domctl__u! + N.xen_domctl_getdomaininfo__shared_info_frame!, 8)!;
    return Number(new DataView(shared.buffer, shared.byteOffset).getBigUint64(0, true));
  }

  start(context: Uint8Array): PvGuest {
    const { machine, dom0, domid } = this;
    dom0.write(Number(CONTEXT), context);
    const load = (at: bigint | null): number =>
      this.domctl('XEN_DOMCTL_setvcpucontext', (u) => u.setBigUint64(N.xen_domctl_vcpucontext__ctxt!, at ?? 0n, true));
    assert.equal(load(CONTEXT), 0, 'setvcpucontext');
    assert.equal(this.domctl('XEN_DOMCTL_unpausedomain'), 0);
    const log = new LogReader(machine);
    let text = '';
    const output = (): string => {
      for (const r of log.read()) if (r?.type === LOG_CONSOLE && r.domid === domid) text += consoleText(r);
      return text;
    };
    const stopped = (): number | null => {
      assert.equal(this.domctl('XEN_DOMCTL_getdomaininfo'), 0);
      const flags = dom0.u32(N.xen_domctl__u! + N.xen_domctl_getdomaininfo__flags!);
      return flags & N.XEN_DOMINF_shutdown! ? (flags >>> N.XEN_DOMINF_shutdownshift!) & 0xff : null;
    };
    const cpu = machine.core.domain_cpu(domid, 0) >>> 0;
    return { machine, domid, cpu, output, stopped, domctl: (cmd) => this.domctl(cmd), load };
  }
}

/** A machine with one PV guest that is ready to run; `how` is what it is to do: 0 its tests, else how to end (guests/pv/crashes.c). */
export function pvGuest(
  image: Uint8Array,
  translate: boolean,
  core: CoreImage = loadCore(),
  how = 0,
  vcpus = 2,
): PvGuest {
  const b = new Bare(translate, core, vcpus, PAGES);
  const { machine } = b;
  const view = new DataView(machine.memory.buffer);
  const frames = b.populate(PAGES);
  const sharedMfn = b.sharedInfo();

  const { entry, segments } = elf(image);
  const put = (va: number, bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; ) {
      const n = Math.min(bytes.length - i, PAGE - ((va + i) % PAGE));
      new Uint8Array(machine.memory.buffer).set(
        bytes.subarray(i, i + n),
        frames[(va + i) >>> 12]! * PAGE + ((va + i) % PAGE),
      );
      i += n;
    }
  };
  for (const { address, bytes } of segments) put(address, bytes);

  // Tables: page n of the domain from MAPPED on; the programs' root has all but one slot.
  let next = MAPPED;
  const table = (): number => frames[next++]!;
  const set = (mfn: number, i: number, value: bigint): void => view.setBigUint64(mfn * PAGE + 8 * i, value, true);
  const to = (mfn: number, flags: bigint): bigint => (BigInt(mfn) << 12n) | flags;
  const [root, userRoot, l3, kernelL3, l2, kernelL2, kernelL1] = Array.from({ length: 7 }, table) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const all = P | W | U | A;
  for (const r of [root, userRoot]) set(r, 0, to(l3, all));
  set(root, 1, to(kernelL3, all));
  set(l3, 0, to(l2, all));
  set(kernelL3, 0, to(kernelL2, all));
  set(kernelL2, 0, to(kernelL1, all));
  set(kernelL1, 0, to(frames[0x307]!, all | D));
  const l1s = [table(), table()];
  l1s.forEach((l1, i) => set(l2, i, to(l1, all)));
  const last = next;
  for (let page = 1; page < last; page++) {
    const mfn = page === SHARED >>> 12 ? sharedMfn : frames[page]!;
    // Page tables, and the page that is to become a table of descriptors, may be seen only.
    const only = page === FREE >>> 12 || page >= MAPPED;
    set(l1s[page >>> 9]!, page % 512, to(mfn, only ? P | U : all | D));
  }
  // The tables' own addresses: those of the pages that they are.
  const seen = (mfn: number): number => frames.indexOf(mfn) * PAGE;
  const start = new BigUint64Array(
    [
      ...[SHARED, userRoot, frames[FREE >>> 12]!, FREE, KERNEL_ONLY, seen(l1s[1]!), l1s[1]!, seen(l2)],
      ...[SCRATCH, frames[SCRATCH >>> 12]!, how],
    ].map(BigInt),
  );
  put(START, new Uint8Array(start.buffer));

  const context = new Uint8Array(N.sizeof_vcpu_guest_context!);
  const c = new DataView(context.buffer);
  const field = (name: string, value: bigint, more = 0): void =>
    c.setBigUint64(N[`vcpu_guest_context__${name}`]! + more, value, true);
  field('flags', BigInt(N.VGCF_in_kernel! | N.VGCF_online!));
  const regs = (name: string, value: bigint): void => field('user_regs', value, N[`cpu_user_regs__${name}`]!);
  regs('rip', entry);
  regs('rsp', BigInt(STACK));
  regs('rsi', BigInt(START));
  regs('cs', 0xe033n);
  regs('ss', 0xe02bn);
  regs('rflags', 0x200n);
  field('kernel_ss', 0xe02bn);
  field('kernel_sp', BigInt(STACK));
  field('ctrlreg', to(root, 0n), 24);
  field('ctrlreg', to(userRoot, 0n), 8);
  return b.start(context);
}

/** Run it to its end, or for so many turns. */
export function run(guest: PvGuest, turns = 100_000): number | null {
  for (let i = 0; i < turns; i++) {
    const stopped = guest.stopped();
    if (stopped !== null) return stopped;
    guest.machine.step();
  }
  return null;
}
