// The control interface's hypercalls that a toolstack makes: what there is on the host, and what is to be done to a domain.
import * as abi from '../../spec/abi/constants.ts';
import { pv32 } from '../../spec/abi/compat_pv.ts';
import { view, type View } from '../../spec/abi/layout.ts';
import { domctl, sysctl } from '../../spec/abi/structs/domctl.ts';
import { eventChannel } from '../../spec/abi/structs/event_channel.ts';
import { memory } from '../../spec/abi/structs/memory.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';
import { Hypercalls, LIST, textOf, XEN_VERSION, XENVER, XenError } from '../lib/hypercalls.ts';

export interface DomainInfo {
  domid: number;
  /** XEN_DOMINF_* */
  flags: number;
  /** The reason it stopped for, null while it has not. */
  shutdown: number | null;
  pages: number;
  maxPages: number;
  sharedInfoFrame: number;
  /** Nanoseconds. */
  cpuTime: number;
  onlineVcpus: number;
  maxVcpu: number;
  ssidref: number;
  uuid: string;
  cpupool: number;
}

export interface VcpuInfo {
  online: boolean;
  blocked: boolean;
  running: boolean;
  cpuTime: number;
  cpu: number;
}

export interface PhysicalInfo {
  threadsPerCore: number;
  coresPerSocket: number;
  cpus: number;
  maxCpu: number;
  nodes: number;
  khz: number;
  /** XEN_SYSCTL_PHYSCAP_* */
  capabilities: number;
  totalPages: number;
  freePages: number;
  outstandingPages: number;
  hwCaps: number[];
}

export interface VersionInfo {
  major: number;
  minor: number;
  extra: string;
  compiler: string;
  compileBy: string;
  compileDomain: string;
  compileDate: string;
  capabilities: string;
  changeset: string;
  pageSize: number;
  virtStart: string;
  commandline: string;
}

const INFO = domctl.xen_domctl_getdomaininfo;
/** Domains asked for at once: their list fits the argument area. */
const INFOS = 256;

export class ControlCalls extends Hypercalls {
  protected sysctl(op: string, fill: (v: View<typeof sysctl.xen_sysctl.fields>) => void = () => {}) {
    return this.op('sysctl', op, sysctl.xen_sysctl, (v, cmd) => {
      v.cmd = cmd;
      v.interface_version = abi.XEN_SYSCTL_INTERFACE_VERSION;
      fill(v);
    });
  }

  /** All domains from `first` on, dying ones too, in the order of their numbers. */
  domains(first = 0): DomainInfo[] {
    const all: DomainInfo[] = [];
    for (;;) {
      const at = this.listAt;
      const n = this.sysctl('XEN_SYSCTL_getdomaininfolist', (s) => {
        const list = s.u.getdomaininfolist;
        list.first_domain = first;
        list.max_domains = INFOS;
        list.buffer = BigInt(at);
      }).u.getdomaininfolist.num_domains;
      const bytes = this.mailbox.read(at, n * INFO.size);
      const data = new DataView(bytes.buffer, bytes.byteOffset);
      for (let i = 0; i < n; i++) all.push(info(view(INFO, data, i * INFO.size)));
      if (n < INFOS) return all;
      first = all.at(-1)!.domid + 1;
    }
  }

  /** Undefined if there is no such domain. */
  domain(domid: number): DomainInfo | undefined {
    try {
      return info(this.domctl('XEN_DOMCTL_getdomaininfo', domid).u.getdomaininfo);
    } catch (error) {
      if (error instanceof XenError) return undefined;
      throw error;
    }
  }

  vcpu(domid: number, vcpu: number): VcpuInfo | undefined {
    try {
      const v = this.domctl('XEN_DOMCTL_getvcpuinfo', domid, (d) => {
        d.u.getvcpuinfo.vcpu = vcpu;
      }).u.getvcpuinfo;
      const { online, blocked, running, cpu } = v;
      return { online: online !== 0, blocked: blocked !== 0, running: running !== 0, cpuTime: Number(v.cpu_time), cpu };
    } catch (error) {
      if (error instanceof XenError) return undefined;
      throw error;
    }
  }

  /** `pcpus`: bit N for pCPU N. */
  setAffinity(domid: number, vcpu: number, pcpus: bigint, flags: number): void {
    const map = this.listAt;
    for (const at of [map, map + 8]) this.mailbox.write(at, new Uint8Array(new BigUint64Array([pcpus]).buffer));
    this.domctl('XEN_DOMCTL_setvcpuaffinity', domid, (d) => {
      const a = d.u.vcpuaffinity;
      a.vcpu = vcpu;
      a.flags = flags;
      a.cpumap_hard.bitmap = BigInt(map);
      a.cpumap_hard.nr_bits = 64;
      a.cpumap_soft.bitmap = BigInt(map + 8);
      a.cpumap_soft.nr_bits = 64;
    });
  }

  trigger(domid: number, trigger: number, vcpu: number): void {
    this.domctl('XEN_DOMCTL_sendtrigger', domid, (d) => {
      d.u.sendtrigger.trigger = trigger;
      d.u.sendtrigger.vcpu = vcpu;
    });
  }

  /** Ends what mapPresent mapped. */
  unmapPresent(at: number, present: readonly boolean[]): void {
    present.forEach((there, i) => there && this.unmap(at + i, 1));
  }

  /** 32 for a 32-bit PV domain, else 64. */
  addressSize(domid: number): 32 | 64 {
    return this.domctl('XEN_DOMCTL_get_address_size', domid).u.address_size.size === 32 ? 32 : 64;
  }

  /** struct vcpu_guest_context of the domain's width; it stands. */
  vcpuContext(domid: number, vcpu: number, bits: 32 | 64 = 64): Uint8Array {
    const at = this.listAt;
    this.domctl('XEN_DOMCTL_getvcpucontext', domid, (d) => {
      d.u.vcpucontext.vcpu = vcpu;
      d.u.vcpucontext.ctxt = BigInt(at);
    });
    return this.mailbox.read(at, (bits === 32 ? pv32 : STRUCTS).vcpu_guest_context.size);
  }

  /** Of `count` frames, the i-th of them `frame(i)`, maps those that are there at frame `at` and on; says which. */
  mapPresent(domid: number, frame: (i: number) => number, count: number, at: number): boolean[] {
    const list = (value: (i: number) => number, offset: number): number => {
      const words = BigUint64Array.from({ length: count }, (_, i) => BigInt(value(i)));
      this.mailbox.write(this.listAt + offset, new Uint8Array(words.buffer));
      return this.listAt + offset;
    };
    const errors = this.listAt + 16 * count;
    this.op('memory_op', 'XENMEM_add_to_physmap_batch', memory.xen_add_to_physmap_batch, (a) => {
      a.domid = abi.DOMID_SELF;
      a.space = abi.XENMAPSPACE_gmfn_foreign;
      a.size = count;
      a.u.foreign_domid = domid;
      a.idxs = BigInt(list(frame, 0));
      a.gpfns = BigInt(list((i) => at + i, 8 * count));
      a.errs = BigInt(errors);
    });
    return Array.from(new Int32Array(this.mailbox.read(errors, 4 * count).slice().buffer), (error) => error === 0);
  }

  /** One above the highest frame that the domain has had. */
  frames(domid: number): number {
    this.op('memory_op', 'XENMEM_maximum_gpfn', memory.xen_memory_domain, (a) => {
      a.domid = domid;
    });
    return this.result + 1;
  }

  // ---- the host

  physicalInfo(): PhysicalInfo {
    const p = this.sysctl('XEN_SYSCTL_physinfo').u.physinfo;
    return {
      threadsPerCore: p.threads_per_core,
      coresPerSocket: p.cores_per_socket,
      cpus: p.nr_cpus,
      maxCpu: p.max_cpu_id,
      nodes: p.nr_nodes,
      khz: p.cpu_khz,
      capabilities: p.capabilities,
      totalPages: Number(p.total_pages),
      freePages: Number(p.free_pages),
      outstandingPages: Number(p.outstanding_pages),
      hwCaps: Array.from({ length: p.hw_cap.length }, (_, i) => p.hw_cap.get(i)),
    };
  }

  scheduler(): number {
    return this.sysctl('XEN_SYSCTL_sched_id').u.sched_id.sched_id;
  }

  /** The hypervisor's console from its oldest byte on. */
  readConsole(clear: boolean): Buffer {
    const parts: Uint8Array[] = [];
    const room = this.mailbox.ram.size - LIST;
    for (let index = 0, incremental = 0; ; incremental = 1) {
      const v = this.sysctl('XEN_SYSCTL_readconsole', (s) => {
        const r = s.u.readconsole;
        r.clear = clear ? 1 : 0;
        r.incremental = incremental;
        r.index = index;
        r.buffer = BigInt(this.listAt);
        r.count = room;
      }).u.readconsole;
      if (v.count === 0) return Buffer.concat(parts);
      parts.push(this.mailbox.read(this.listAt, v.count));
      index = v.index;
    }
  }

  debugKeys(keys: string): void {
    const bytes = Buffer.from(keys, 'latin1');
    this.mailbox.write(this.listAt, bytes);
    this.sysctl('XEN_SYSCTL_debug_keys', (s) => {
      s.u.debug_keys.keys = BigInt(this.listAt);
      s.u.debug_keys.nr_keys = bytes.length;
    });
  }

  /** What XENVER_* says. */
  version(): VersionInfo {
    const call = (op: string, size: number): Uint8Array => this.versionBytes(op, size);
    const text = textOf;
    const number = Number(this.mailbox.hypercall(XEN_VERSION, XENVER.version!, 0));
    const compile = call('compile_info', STRUCTS.xen_compile_info.size);
    return {
      major: number >>> 16,
      minor: number & 0xffff,
      extra: text(call('extraversion', abi.XEN_EXTRAVERSION_LEN)),
      compiler: text(compile.subarray(0, 64)),
      compileBy: text(compile.subarray(64, 80)),
      compileDomain: text(compile.subarray(80, 112)),
      compileDate: text(compile.subarray(112, 144)),
      capabilities: this.capabilities(),
      changeset: text(call('changeset', abi.XEN_CHANGESET_INFO_LEN)),
      pageSize: Number(this.mailbox.hypercall(XEN_VERSION, XENVER.pagesize!, 0)),
      virtStart: Buffer.from(call('platform_parameters', 8)).readBigUInt64LE().toString(16),
      commandline: text(call('commandline', 1024)),
    };
  }

  freeBytes(): number {
    const v = this.sysctl('XEN_SYSCTL_availheap', (s) => {
      s.u.availheap.node = -1;
    });
    return Number(v.u.availheap.avail_bytes);
  }

  /** The port on which one of the hypervisor's own events comes. */
  bindVirq(virq: number, vcpu = 0): number {
    return this.op('event_channel_op', 'EVTCHNOP_bind_virq', eventChannel.evtchn_bind_virq, (a) => {
      a.virq = virq;
      a.vcpu = vcpu;
    }).port;
  }
}

function info(d: View<typeof INFO.fields>): DomainInfo {
  const hex = Buffer.from(d.handle.bytes()).toString('hex');
  const stopped = (d.flags & abi.XEN_DOMINF_shutdown) !== 0;
  return {
    domid: d.domain,
    flags: d.flags,
    shutdown: stopped ? (d.flags >>> abi.XEN_DOMINF_shutdownshift) & abi.XEN_DOMINF_shutdownmask : null,
    pages: Number(d.tot_pages),
    maxPages: Number(d.max_pages),
    sharedInfoFrame: Number(d.shared_info_frame),
    cpuTime: Number(d.cpu_time),
    onlineVcpus: d.nr_online_vcpus,
    maxVcpu: d.max_vcpu_id,
    ssidref: d.ssidref,
    uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    cpupool: d.cpupool,
  };
}
