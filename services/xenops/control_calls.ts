// The control interface's hypercalls that a toolstack makes: what there is on the host, and what is to be done to a domain.
import * as abi from '../../spec/abi/constants.ts';
import { view, type View } from '../../spec/abi/layout.ts';
import { domctl, sysctl } from '../../spec/abi/structs/domctl.ts';
import { eventChannel } from '../../spec/abi/structs/event_channel.ts';
import { Hypercalls, LIST, XenError } from '../lib/hypercalls.ts';

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

  /** Where lists and buffers of an operation lie. */
  protected get listAt(): number {
    return this.mailbox.ram.gpa + LIST;
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

  pause(domid: number): void {
    this.domctl('XEN_DOMCTL_pausedomain', domid);
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
