// Hypercalls as functions, over a service's mailbox: structures of spec/abi in and out, XenError for what the hypervisor refuses.
import * as abi from '../../spec/abi/constants.ts';
import { ERRNO, errnoName } from '../../spec/abi/errno.ts';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { make, view, type Fields, type Struct, type View } from '../../spec/abi/layout.ts';
import { domctl } from '../../spec/abi/structs/domctl.ts';
import { eventChannel } from '../../spec/abi/structs/event_channel.ts';
import { grantTable } from '../../spec/abi/structs/grant_table.ts';
import { hvm } from '../../spec/abi/structs/hvm.ts';
import { memory } from '../../spec/abi/structs/memory.ts';
import { xen } from '../../spec/abi/structs/xen.ts';
import { VERSION } from '../../spec/abi/version.ts';
import type { Mailbox } from '../../platform/mailbox.ts';

export class XenError extends Error {
  readonly errno: number;
  constructor(what: string, errno: number) {
    super(`${what}: ${errnoName(-errno) ?? errno}`);
    this.name = 'XenError';
    this.errno = errno;
  }
}

/** A grant that cannot be used: GNTST_* says why. */
export class GrantError extends Error {
  readonly status: number;
  constructor(ref: number, status: number) {
    super(`grant ${ref} cannot be mapped (status ${status})`);
    this.status = status;
  }
}

/** Numbers of a hypercall and of one of its operations, by their names in Xen's headers. */
function numbers(hypercall: string, op: string): { nr: number; cmd: number } {
  let ops = known.get(hypercall);
  if (!ops) known.set(hypercall, (ops = new Map()));
  let found = ops.get(op);
  if (!found) ops.set(op, (found = search(hypercall, op)));
  return found;
}
const known = new Map<string, Map<string, { nr: number; cmd: number }>>();

function search(hypercall: string, op: string): { nr: number; cmd: number } {
  const row = HYPERCALLS.find((h) => h.name === hypercall);
  const sub = row?.subOps?.ops.find((o) => o.name === op);
  if (!row || !sub) throw new Error(`the hypercall table has no ${hypercall} ${op}`);
  return { nr: row.nr, cmd: sub.nr };
}

/** Extents in one memory hypercall: their list fits the argument area. */
const BATCH = 512;
/** 2 MiB of frames. */
const ROW_ORDER = 9;
const ARGUMENT = 0;
export const LIST = 1024;

/** HYPERVISOR_xen_version and its operations, by their names behind XENVER_. */
export const XENVER = Object.fromEntries(VERSION.ops.map(({ name, nr }) => [name.slice('XENVER_'.length), nr]));
export const XEN_VERSION = HYPERCALLS.find(({ name }) => name === 'xen_version')!.nr;
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '');

export interface NewDomainOptions {
  handle: Uint8Array;
  vcpus: number;
  ssidref: number;
  maxPort?: number;
  pv?: boolean;
}

export class Hypercalls {
  readonly mailbox: Mailbox;
  constructor(mailbox: Mailbox) {
    this.mailbox = mailbox;
  }

  get domid(): number {
    return this.mailbox.domid;
  }

  /** Calls with a structure as the last argument, filled by `fill`; gives the structure as the hypervisor left it. */
  protected op<F extends Fields>(
    hypercall: string,
    op: string,
    s: Struct<F>,
    fill: (v: View<F>, cmd: number) => void,
  ): View<F> {
    const { nr, cmd } = numbers(hypercall, op);
    const { view: v, bytes } = make(s);
    fill(v, cmd);
    const at = this.mailbox.ram.gpa + ARGUMENT;
    this.mailbox.write(at, bytes);
    const inMemory = hypercall === 'domctl' || hypercall === 'sysctl';
    const r = Number(inMemory ? this.mailbox.hypercall(nr, at) : this.mailbox.hypercall(nr, cmd, at));
    if (r < 0) throw new XenError(op, -r);
    const out = this.mailbox.read(at, bytes.length);
    this.result = r;
    return view(s, new DataView(out.buffer, out.byteOffset, out.byteLength));
  }
  /** The last call's return value. */
  result = 0;

  /** A u64 list in the argument area, `at` bytes into it: `count` values by their index, each a frame number below 2^53. */
  #list(count: number, value: (i: number) => number, at = LIST): number {
    const words = new Uint32Array(2 * count);
    for (let i = 0; i < count; i++) {
      const v = value(i);
      words[2 * i] = v;
      words[2 * i + 1] = v / 2 ** 32;
    }
    this.mailbox.write(this.mailbox.ram.gpa + at, new Uint8Array(words.buffer));
    return this.mailbox.ram.gpa + at;
  }

  /** Where lists and buffers of an operation lie. */
  protected get listAt(): number {
    return this.mailbox.ram.gpa + LIST;
  }

  /** What an operation of xen_version writes; its answer may be shorter than its place. */
  protected versionBytes(op: string, size: number): Uint8Array {
    this.mailbox.write(this.listAt, new Uint8Array(size));
    this.mailbox.hypercall(XEN_VERSION, XENVER[op]!, this.listAt);
    return this.mailbox.read(this.listAt, size);
  }

  /** The kinds of guests that there can be: `xen-3.0-x86_64 hvm-3.0-…`. */
  capabilities(): string {
    return textOf(this.versionBytes('capabilities', abi.XEN_CAPABILITIES_INFO_LEN));
  }

  // ---- event channels
  allocUnbound(domid: number, remote: number): number {
    const v = this.op('event_channel_op', 'EVTCHNOP_alloc_unbound', eventChannel.evtchn_alloc_unbound, (a) => {
      a.dom = domid;
      a.remote_dom = remote;
    });
    return v.port;
  }

  bindInterdomain(remote: number, port: number): number {
    const v = this.op('event_channel_op', 'EVTCHNOP_bind_interdomain', eventChannel.evtchn_bind_interdomain, (a) => {
      a.remote_dom = remote;
      a.remote_port = port;
    });
    return v.local_port;
  }

  /** Gives up an end of a channel. */
  closePort(port: number): void {
    this.op('event_channel_op', 'EVTCHNOP_close', eventChannel.evtchn_close, (a) => {
      a.port = port;
    });
  }
  notify(port: number): void {
    this.op('event_channel_op', 'EVTCHNOP_send', eventChannel.evtchn_send, (a) => {
      a.port = port;
    });
  }

  // ---- grants
  /** Maps a page that a domain has granted to this one; its handle. */
  mapGrant(domid: number, ref: number, frame: number): number {
    const { nr, cmd } = numbers('grant_table_op', 'GNTTABOP_map_grant_ref');
    const { view: v, bytes } = make(grantTable.gnttab_map_grant_ref);
    v.host_addr = BigInt(frame) * 4096n;
    v.flags = abi.GNTMAP_host_map;
    v.ref = ref;
    v.dom = domid;
    const at = this.mailbox.ram.gpa + ARGUMENT;
    this.mailbox.write(at, bytes);
    const r = Number(this.mailbox.hypercall(nr, cmd, at, 1));
    if (r < 0) throw new XenError('GNTTABOP_map_grant_ref', -r);
    const out = this.mailbox.read(at, bytes.length);
    const done = view(grantTable.gnttab_map_grant_ref, new DataView(out.buffer, out.byteOffset, out.byteLength));
    if (done.status !== abi.GNTST_okay) throw new GrantError(ref, done.status);
    return done.handle;
  }

  unmapGrant(handle: number): void {
    const { nr, cmd } = numbers('grant_table_op', 'GNTTABOP_unmap_grant_ref');
    const { view: v, bytes } = make(grantTable.gnttab_unmap_grant_ref);
    v.handle = handle;
    const at = this.mailbox.ram.gpa + ARGUMENT;
    this.mailbox.write(at, bytes);
    const r = Number(this.mailbox.hypercall(nr, cmd, at, 1));
    if (r < 0) throw new XenError('GNTTABOP_unmap_grant_ref', -r);
  }

  // ---- domains
  protected domctl(op: string, domid: number, fill: (v: View<typeof domctl.xen_domctl.fields>) => void = () => {}) {
    return this.op('domctl', op, domctl.xen_domctl, (v, cmd) => {
      v.cmd = cmd;
      v.interface_version = abi.XEN_DOMCTL_INTERFACE_VERSION;
      v.domain = domid;
      fill(v);
    });
  }

  createDomain(options: NewDomainOptions): number {
    const v = this.domctl('XEN_DOMCTL_createdomain', 0, (d) => {
      const c = d.u.createdomain;
      c.ssidref = options.ssidref;
      options.handle.forEach((byte, i) => c.handle.set(i, byte));
      const { pv = false } = options;
      c.flags = pv ? 0 : abi.XEN_DOMCTL_CDF_hvm | abi.XEN_DOMCTL_CDF_hap;
      c.max_vcpus = options.vcpus;
      c.max_evtchn_port = options.maxPort ?? 1023;
      c.max_grant_frames = 64;
      c.max_maptrack_frames = 1024;
      c.grant_opts = 1;
      c.arch.emulation_flags = pv ? 0 : 1; // XEN_X86_EMU_LAPIC: all a PVH domain has
    });
    return v.domain;
  }

  maxMemory(domid: number, bytes: number): void {
    this.domctl('XEN_DOMCTL_max_mem', domid, (d) => {
      d.u.max_mem.max_memkb = BigInt(bytes >>> 10);
    });
  }

  maxVcpus(domid: number, vcpus: number): void {
    this.domctl('XEN_DOMCTL_max_vcpus', domid, (d) => {
      d.u.max_vcpus.max = vcpus;
    });
  }

  setHvmContext(domid: number, records: Uint8Array): void {
    const at = this.mailbox.ram.gpa + LIST;
    this.mailbox.write(at, records);
    this.domctl('XEN_DOMCTL_sethvmcontext', domid, (d) => {
      d.u.hvmcontext.size = records.length;
      d.u.hvmcontext.buffer = BigInt(at);
    });
  }

  /** A PV domain's vCPU: struct vcpu_guest_context of the domain's width. */
  setVcpuContext(domid: number, vcpu: number, context: Uint8Array): void {
    const at = this.mailbox.ram.gpa + LIST;
    this.mailbox.write(at, context);
    this.domctl('XEN_DOMCTL_setvcpucontext', domid, (d) => {
      d.u.vcpucontext.vcpu = vcpu;
      d.u.vcpucontext.ctxt = BigInt(at);
    });
  }

  /** 32 or 64: how wide a PV domain's addresses are. */
  setAddressSize(domid: number, bits: number): void {
    this.domctl('XEN_DOMCTL_set_address_size', domid, (d) => {
      d.u.address_size.size = bits;
    });
  }

  /** Has the hypervisor write its hypercall page into one of the domain's frames. */
  initHypercallPage(domid: number, frame: number): void {
    this.domctl('XEN_DOMCTL_hypercall_init', domid, (d) => {
      d.u.hypercall_init.gmfn = BigInt(frame);
    });
  }

  pause(domid: number): void {
    this.domctl('XEN_DOMCTL_pausedomain', domid);
  }

  unpause(domid: number): void {
    this.domctl('XEN_DOMCTL_unpausedomain', domid);
  }

  /** A big domain goes in parts: the call says -ERESTART until all is given back. */
  destroy(domid: number): void {
    for (;;) {
      try {
        this.domctl('XEN_DOMCTL_destroydomain', domid);
        return;
      } catch (error) {
        if (!(error instanceof XenError) || errnoName(-error.errno) !== 'ERESTART') throw error;
      }
    }
  }

  domainInfo(domid: number): {
    flags: number;
    shutdown: number | null;
    pages: number;
    cpuTime: bigint;
    sharedInfoFrame: number;
  } {
    const d = this.domctl('XEN_DOMCTL_getdomaininfo', domid).u.getdomaininfo;
    const { flags, tot_pages: pages, cpu_time: cpuTime } = d;
    const down = flags & abi.XEN_DOMINF_shutdown;
    const code = (flags >>> abi.XEN_DOMINF_shutdownshift) & abi.XEN_DOMINF_shutdownmask;
    return {
      flags,
      shutdown: down ? code : null,
      pages: Number(pages),
      cpuTime,
      sharedInfoFrame: Number(d.shared_info_frame),
    };
  }

  // ---- memory
  /** Gives the domain RAM at `count` frames from `first`. `frames`: takes the machine frames, which a PV domain gets to know. */
  populate(domid: number, first: number, count: number, frames?: Uint32Array): void {
    for (let done = 0; done < count; ) {
      const n = Math.min(BATCH, count - done);
      const list = this.#populate(domid, n, 0, (i) => first + done + i);
      if (this.result !== n) throw new XenError('XENMEM_populate_physmap', ERRNO.ENOMEM);
      if (frames) {
        const words = new Uint32Array(this.mailbox.read(list, 8 * n).slice().buffer);
        for (let i = 0; i < n; i++) frames[done + i] = words[2 * i]!;
      }
      done += n;
    }
  }

  /**
   * A PV domain's whole memory, and which machine frames it is: in a row by 2 MiB, as Xen's own builder asks for it, and once there are no
   * such rows by less.
   */
  populateRows(domid: number, count: number): Uint32Array {
    const frames = new Uint32Array(count);
    let most = ROW_ORDER;
    for (let pfn = 0; pfn < count; ) {
      const order = Math.min(most, 31 - Math.clz32(count - pfn));
      if (order === 0) {
        this.populate(domid, pfn, count - pfn, frames.subarray(pfn));
        break;
      }
      const list = this.#populate(domid, 1, order, () => pfn);
      if (this.result !== 1) {
        most = order - 1;
        continue;
      }
      const mfn = new Uint32Array(this.mailbox.read(list, 4).slice().buffer)[0]!;
      for (const end = pfn + (1 << order), first = mfn - pfn; pfn < end; pfn++) frames[pfn] = first + pfn;
    }
    return frames;
  }

  /** Gives where the list is; `result` is how many extents were made. */
  #populate(domid: number, extents: number, order: number, pfn: (i: number) => number): number {
    const list = this.#list(extents, pfn);
    this.op('memory_op', 'XENMEM_populate_physmap', memory.xen_memory_reservation, (r) => {
      r.extent_start = BigInt(list);
      r.nr_extents = BigInt(extents);
      r.extent_order = order;
      r.domid = domid;
    });
    return list;
  }

  /** Maps `count` frames of another domain, from `first`, at frame `at` of this one's pseudo-physical space; what was there goes. */
  mapForeign(domid: number, first: number, count: number, at: number): void {
    this.mapForeignFrames(domid, (i) => first + i, count, at);
  }

  /** The same for frames that are in no order. */
  mapForeignFrames(domid: number, frame: (i: number) => number, count: number, at: number): void {
    for (let done = 0; done < count; done += BATCH) {
      const n = Math.min(BATCH, count - done);
      const idxs = this.#list(n, (i) => frame(done + i));
      const gpfns = this.#list(n, (i) => at + done + i, LIST + 8 * BATCH);
      const errs = this.#list(n, () => 0, LIST + 16 * BATCH);
      this.op('memory_op', 'XENMEM_add_to_physmap_batch', memory.xen_add_to_physmap_batch, (a) => {
        a.domid = abi.DOMID_SELF;
        a.space = abi.XENMAPSPACE_gmfn_foreign;
        a.size = n;
        a.u.foreign_domid = domid;
        a.idxs = BigInt(idxs);
        a.gpfns = BigInt(gpfns);
        a.errs = BigInt(errs);
      });
      const errors = new Int32Array(this.mailbox.read(errs, 4 * n).slice().buffer);
      const bad = errors.find((e) => e !== 0);
      if (bad !== undefined) throw new XenError('XENMEM_add_to_physmap_batch', -bad);
    }
  }

  unmap(first: number, count: number): void {
    for (let i = 0; i < count; i++)
      this.op('memory_op', 'XENMEM_remove_from_physmap', memory.xen_remove_from_physmap, (r) => {
        r.domid = abi.DOMID_SELF;
        r.gpfn = BigInt(first + i);
      });
  }

  /** Maps the first frame of a domain's grant table at frame `at` of this one's space. */
  mapGrantTable(domid: number, at: number): void {
    const list = this.#list(1, () => at);
    this.op('memory_op', 'XENMEM_acquire_resource', memory.xen_mem_acquire_resource, (r) => {
      r.domid = domid;
      r.type = abi.XENMEM_resource_grant_table;
      r.id = abi.XENMEM_resource_grant_table_id_shared;
      r.nr_frames = 1;
      r.frame_list = BigInt(list);
    });
  }

  /** Has the hypervisor check and keep a page table of another domain's: `level` 1 to 4. */
  pinTable(domid: number, level: number, frame: number): void {
    const at = this.mailbox.ram.gpa + ARGUMENT;
    const op = `MMUEXT_PIN_L${level}_TABLE`;
    const { nr, cmd } = numbers('mmuext_op', op);
    const { view: v, bytes } = make(xen.mmuext_op);
    v.cmd = cmd;
    v.arg1.mfn = BigInt(frame);
    this.mailbox.write(at, bytes);
    const r = Number(this.mailbox.hypercall(nr, at, 1, 0, domid));
    if (r < 0) throw new XenError(op, -r);
  }

  setMemoryMap(domid: number, entries: readonly { addr: number; size: number; type: number }[]): void {
    const bytes = new Uint8Array(20 * entries.length);
    const dv = new DataView(bytes.buffer);
    entries.forEach((e, i) => {
      dv.setBigUint64(20 * i, BigInt(e.addr), true);
      dv.setBigUint64(20 * i + 8, BigInt(e.size), true);
      dv.setUint32(20 * i + 16, e.type, true);
    });
    const at = this.mailbox.ram.gpa + LIST;
    this.mailbox.write(at, bytes);
    this.op('memory_op', 'XENMEM_set_memory_map', memory.xen_foreign_memory_map, (m) => {
      m.domid = domid;
      m.map.nr_entries = entries.length;
      m.map.buffer = BigInt(at);
    });
  }

  setHvmParam(domid: number, index: number, value: number | bigint): void {
    this.op('hvm_op', 'HVMOP_set_param', hvm.xen_hvm_param, (p) => {
      p.domid = domid;
      p.index = index;
      p.value = BigInt(value);
    });
  }
}
