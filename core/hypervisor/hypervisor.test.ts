import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDomain, destroyDomain, Machine, N, type Service } from '../../test/hypervisor.ts';
import { invariants } from '../../test/invariants.ts';

const SELF = 0x7ff0;

/** Control domain and two services of no privilege. */
function three(): { m: Machine; dom0: Service; a: Service; b: Service } {
  const m = new Machine();
  return { m, dom0: m.service(0, 1), a: m.service(5), b: m.service(6) };
}

function alloc(s: Service, remote: number): number {
  const rc = s.op('event_channel_op', 'EVTCHNOP_alloc_unbound', 'evtchn_alloc_unbound', {
    dom: [2, SELF],
    remote_dom: [2, remote],
  });
  return rc < 0 ? rc : s.get('evtchn_alloc_unbound', 'port', 4);
}
function bind(s: Service, dom: number, port: number): number {
  const rc = s.op('event_channel_op', 'EVTCHNOP_bind_interdomain', 'evtchn_bind_interdomain', {
    remote_dom: [2, dom],
    remote_port: [4, port],
  });
  return rc < 0 ? rc : s.get('evtchn_bind_interdomain', 'local_port', 4);
}
const send = (s: Service, port: number) =>
  s.op('event_channel_op', 'EVTCHNOP_send', 'evtchn_send', { port: [4, port] });
const close = (s: Service, port: number) =>
  s.op('event_channel_op', 'EVTCHNOP_close', 'evtchn_close', { port: [4, port] });

/** Make the service's grant table and its shared page, at page 40 of its space. */
function grantTable(s: Service): void {
  const rc = s.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', {
    domid: [2, SELF],
    space: [4, 1],
    idx: [8, 0],
    gpfn: [8, 40],
  });
  assert.equal(rc, 0);
}
function grant(s: Service, ref: number, flags: number, domid: number, gfn: number): void {
  s.write(40 * 4096 + 8 * ref, new Uint8Array(new Uint16Array([flags, domid, gfn & 0xffff, gfn >>> 16]).buffer));
}
const flagsOf = (s: Service, ref: number) => s.u32(40 * 4096 + 8 * ref) & 0xffff;
function map(s: Service, dom: number, ref: number, gfn: number, flags = 2): { status: number; handle: number } {
  const rc = s.op(
    'grant_table_op',
    'GNTTABOP_map_grant_ref',
    'gnttab_map_grant_ref',
    { host_addr: [8, gfn * 4096], flags: [4, flags], ref: [4, ref], dom: [2, dom] },
    1,
  );
  assert.equal(rc, 0);
  return {
    status: s.get('gnttab_map_grant_ref', 'status', 2, true),
    handle: s.get('gnttab_map_grant_ref', 'handle', 4),
  };
}
function unmap(s: Service, handle: number): number {
  s.op(
    'grant_table_op',
    'GNTTABOP_unmap_grant_ref',
    'gnttab_unmap_grant_ref',
    { host_addr: [8, 0], handle: [4, handle] },
    1,
  );
  return s.get('gnttab_unmap_grant_ref', 'status', 2, true);
}

test('events go both ways between two services and stop when a port closes', () => {
  const { a, b } = three();
  const pa = alloc(a, 6);
  assert.ok(pa > 0);
  assert.equal(bind(a, 5, pa), -N.EINVAL, 'only the named remote may bind');
  const pb = bind(b, 5, pa);
  assert.ok(pb > 0);
  assert.deepEqual(b.events(), [pb], 'a fresh binding is pending once');
  assert.equal(send(b, pb), 0);
  assert.equal(send(b, pb), 0);
  assert.deepEqual(a.events(), [pa]);
  assert.deepEqual(a.events(), []);
  assert.equal(send(a, pa), 0);
  assert.deepEqual(b.events(), [pb]);
  assert.equal(close(b, pb), 0);
  assert.equal(send(a, pa), 0, 'nobody listens: no error');
  assert.equal(send(b, pb), -N.EINVAL);
  assert.equal(close(b, pb), -N.EINVAL);
  assert.equal(bind(b, 5, pa), pb, 'the port is unbound again, for the same remote');
});

test('ports run out with -ENOSPC and are reused', () => {
  const { a } = three();
  const ports: number[] = [];
  for (;;) {
    const p = alloc(a, 6);
    if (p < 0) {
      assert.equal(p, -N.ENOSPC);
      break;
    }
    ports.push(p);
  }
  assert.equal(ports.length, 4095);
  assert.equal(close(a, 77), 0);
  assert.equal(alloc(a, 6), 77);
});

test('a granted page is a real mapping of a real frame, and its flags show the use', () => {
  const { a, b } = three();
  grantTable(a);
  a.write(7 * 4096, new TextEncoder().encode('from a'));
  grant(a, 9, 1, 6, 7);
  const { status, handle } = map(b, 5, 9, 50);
  assert.equal(status, 0);
  assert.equal(new TextDecoder().decode(b.read(50 * 4096, 6)!), 'from a');
  b.write(50 * 4096, new TextEncoder().encode('from b'));
  assert.equal(new TextDecoder().decode(a.read(7 * 4096, 6)!), 'from b');
  assert.equal(flagsOf(a, 9), 1 | 8 | 16);
  assert.equal(unmap(b, handle), 0);
  assert.equal(flagsOf(a, 9), 1);
  assert.equal(b.read(50 * 4096, 1), null);
  assert.equal(unmap(b, handle), N.GNTST_bad_handle);
});

test('grants that do not grant: each its status', () => {
  const { a, b } = three();
  grantTable(a);
  grant(a, 1, 1, 5, 7);
  assert.equal(map(b, 5, 1, 50).status, N.GNTST_general_error, 'granted to somebody else');
  grant(a, 2, 1 | 4, 6, 7);
  assert.equal(map(b, 5, 2, 50).status, N.GNTST_general_error, 'read-only, asked for writing');
  const ro = map(b, 5, 2, 50, 2 | 4);
  assert.equal(ro.status, 0);
  assert.equal(b.write(50 * 4096, new Uint8Array(1)), false);
  assert.equal(flagsOf(a, 2), 1 | 4 | 8);
  grant(a, 3, 1, 6, 9999);
  assert.equal(map(b, 5, 3, 51).status, N.GNTST_bad_page);
  assert.equal(flagsOf(a, 3), 1, 'a failed use leaves no mark');
  grant(a, 4, 1, 6, 40);
  assert.equal(map(b, 5, 4, 51).status, N.GNTST_bad_page, 'the hypervisor’s own pages are not to be granted');
  assert.equal(map(b, 5, 5000, 51).status, N.GNTST_bad_gntref);
  assert.equal(
    map(b, 0, 8, 51).status,
    N.GNTST_general_error,
    'a table that was never asked for is empty, not missing',
  );
  assert.equal(map(b, 4321, 1, 51).status, N.GNTST_bad_domain);
  assert.equal(map(b, 5, 2, 51, 1).status, N.GNTST_general_error, 'no device mappings');
  assert.equal(map(b, 5, 2, 51, 0).status, N.GNTST_bad_gntref, 'as Xen calls a map to nowhere');
});

test('grant copy: references and own frames, statuses and bounds', () => {
  const { a, b } = three();
  grantTable(a);
  grant(a, 1, 1 | 4, 6, 7);
  grant(a, 2, 1, 6, 8);
  a.write(7 * 4096 + 100, new TextEncoder().encode('payload'));
  const copy = (src: [number, number, number], dst: [number, number, number], len: number, flags: number) => {
    const one = new Uint8Array(N.sizeof_gnttab_copy);
    const v = new DataView(one.buffer);
    for (const [at, [ref, dom, off]] of [
      [N.gnttab_copy__source, src],
      [N.gnttab_copy__dest, dst],
    ] as const) {
      v.setBigUint64(at, BigInt(ref), true);
      v.setUint16(at + 8, dom, true);
      v.setUint16(at + 10, off, true);
    }
    v.setUint16(N.gnttab_copy__len, len, true);
    v.setUint16(N.gnttab_copy__flags, flags, true);
    b.write(0, one);
    assert.equal(b.hypercall(N.__HYPERVISOR_grant_table_op, N.GNTTABOP_copy, 0, 1), 0);
    return b.get('gnttab_copy', 'status', 2, true);
  };
  assert.equal(copy([1, 5, 100], [3, SELF, 5], 7, 1), 0);
  assert.equal(new TextDecoder().decode(b.read(3 * 4096 + 5, 7)!), 'payload');
  assert.equal(copy([3, SELF, 5], [2, 5, 4089], 7, 2), 0);
  assert.equal(new TextDecoder().decode(a.read(8 * 4096 + 4089, 7)!), 'payload');
  assert.equal(copy([3, SELF, 5], [2, 5, 4090], 7, 2), N.GNTST_bad_copy_arg);
  assert.equal(copy([3, SELF, 0], [1, 5, 0], 7, 2), N.GNTST_general_error, 'the destination is read-only');
  assert.equal(copy([7, 5, 0], [3, SELF, 0], 7, 0), N.GNTST_permission_denied, 'no frames of others by number');
  assert.equal(flagsOf(a, 1), 1 | 4);
  assert.equal(flagsOf(a, 2), 1);
});

test('reservations: limits, balloon and errors', () => {
  const { a } = three();
  const reserve = (op: string, gfn: number, n = 1, order = 0) => {
    a.write(4096, new Uint8Array(new BigUint64Array([BigInt(gfn)]).buffer));
    return a.op('memory_op', op, 'xen_memory_reservation', {
      extent_start: [8, 4096],
      nr_extents: [8, n],
      extent_order: [4, order],
      domid: [2, SELF],
    });
  };
  const stat = (op: string) => {
    a.write(0, new Uint8Array([0xf0, 0x7f]));
    return a.hypercall(N.__HYPERVISOR_memory_op, N[op], 0);
  };
  assert.equal(stat('XENMEM_current_reservation'), 32);
  assert.equal(reserve('XENMEM_populate_physmap', 100), 0, 'at the limit nothing is done');
  assert.equal(reserve('XENMEM_decrease_reservation', 20), 1);
  assert.equal(a.read(20 * 4096, 1), null);
  assert.equal(stat('XENMEM_current_reservation'), 31);
  assert.equal(reserve('XENMEM_decrease_reservation', 20), 0);
  assert.equal(reserve('XENMEM_populate_physmap', 100), 1);
  assert.deepEqual(a.read(100 * 4096, 2), new Uint8Array(2));
  assert.equal(stat('XENMEM_maximum_gpfn'), 100);
  assert.equal(reserve('XENMEM_populate_physmap', 0x50000000, 1, 9), 0);
  assert.equal(a.hypercall(N.__HYPERVISOR_memory_op, 63, 0), -N.ENOSYS);
  assert.equal(a.hypercall(N.__HYPERVISOR_memory_op, N.XENMEM_add_to_physmap, 0x7fffffff), -N.EFAULT);
});

test('only the control domain may map foreign memory and control domains', () => {
  const { dom0, a } = three();
  const id = createDomain(dom0, 64);
  const foreign = (s: Service) => {
    s.write(4096, new Uint8Array(new BigUint64Array([3n]).buffer));
    s.write(4104, new Uint8Array(new BigUint64Array([60n]).buffer));
    const rc = s.op('memory_op', 'XENMEM_add_to_physmap_batch', 'xen_add_to_physmap_batch', {
      domid: [2, SELF],
      space: [2, 4],
      size: [2, 1],
      u__foreign_domid: [2, id],
      idxs: [8, 4096],
      gpfns: [8, 4104],
      errs: [8, 4112],
    });
    assert.equal(rc, 0);
    return s.u32(4112) | 0;
  };
  assert.equal(foreign(a), -N.EPERM);
  assert.equal(foreign(dom0), 0);
  assert.ok(dom0.write(60 * 4096, new Uint8Array([1, 2, 3])));
  assert.equal(destroyDomain(a, id), -N.EPERM);
  assert.equal(destroyDomain(dom0, id), 0);
  assert.deepEqual(dom0.read(60 * 4096, 3), new Uint8Array([1, 2, 3]), 'the frame lives as long as the mapping');
  assert.equal(dom0.machine.x.domain_state(id), -2, 'and its owner’s number stays taken');
  assert.equal(
    dom0.op('memory_op', 'XENMEM_remove_from_physmap', 'xen_remove_from_physmap', { domid: [2, SELF], gpfn: [8, 60] }),
    0,
  );
  assert.equal(dom0.machine.x.domain_state(id), -1);
});

test('domains come and go without growth', () => {
  const { m, dom0 } = three();
  const free: number[] = [];
  for (let i = 0; i < 10; i++) {
    const id = createDomain(dom0, 3000);
    assert.equal(destroyDomain(dom0, id), 0);
    free.push(m.x.frames_free());
  }
  // A page of the domain directory stays: once.
  assert.equal(new Set(free).size, 1, free.join(' '));
});

test('a vCPU written as a save record reads back equal', () => {
  const { dom0 } = three();
  const id = createDomain(dom0, 16);
  const size = N.sizeof_hvm_hw_cpu;
  const get = (type: number, at: number) => {
    dom0.put(0, 'xen_domctl', {
      cmd: [4, N.XEN_DOMCTL_gethvmcontext_partial],
      interface_version: [4, 0x15],
      domain: [2, id],
    });
    dom0.setU32(16, type);
    dom0.setU32(24, 4096);
    dom0.setU32(32, at);
    return dom0.hypercall(N.__HYPERVISOR_domctl, 0);
  };
  assert.equal(get(2, 4096), 0);
  const record = dom0.read(4096, size)!;
  const v = new DataView(record.buffer);
  for (let i = 0; i < 16; i++) v.setBigUint64(N.hvm_hw_cpu__rax + 8 * i, 0x1111111111111111n * BigInt(i), true);
  for (let i = 0; i < 256; i++) record[160 + i] = i;
  v.setUint16(2, 3 << 11, true); // TOP
  for (let i = 0; i < 80; i++) record[32 + 16 * Math.floor(i / 10) + (i % 10)] = i + 1;
  v.setBigUint64(N.hvm_hw_cpu__rflags, 0x246n, true);
  for (let i = 0; i < 8; i++) {
    v.setUint32(N.hvm_hw_cpu__cs_sel + 4 * i, 8 * i, true);
    v.setUint32(N.hvm_hw_cpu__cs_limit + 4 * i, 0xffffff00 + i, true);
    v.setBigUint64(N.hvm_hw_cpu__cs_base + 8 * i, 0x100000n * BigInt(i), true);
    v.setUint32(N.hvm_hw_cpu__cs_arbytes + 4 * i, i === 0 ? 0xa9b : 0xc93, true);
  }
  // Everything else as a 64-bit system has it, each field different.
  const words = 'rip cr2 cr3 dr0 dr1 dr2 dr3 idtr_base gdtr_base sysenter_cs sysenter_esp sysenter_eip shadow_gs'.split(
    ' ',
  );
  for (const [i, name] of [...words, 'msr_lstar', 'msr_star', 'msr_cstar', 'msr_syscall_mask', 'msr_tsc_aux'].entries())
    v.setBigUint64(N[`hvm_hw_cpu__${name}`], 0x1000n * BigInt(i + 1) + 0x55n, true);
  for (const [i, name] of ['idtr_limit', 'gdtr_limit'].entries())
    v.setUint32(N[`hvm_hw_cpu__${name}`], 0xff0 + i, true);
  const fixed = { cr0: 0x80000011n, cr4: 0x6a0n, msr_efer: 0xd01n, dr6: 0xffff4ff1n, dr7: 0x455n };
  for (const [name, value] of Object.entries(fixed)) v.setBigUint64(N[`hvm_hw_cpu__${name}`], value, true);
  const descriptor = (type: number, len: number) => new Uint8Array(new Uint32Array([type, len]).buffer);
  const header = new Uint8Array(N.sizeof_hvm_save_header);
  new DataView(header.buffer).setUint32(0, N.HVM_FILE_MAGIC, true);
  new DataView(header.buffer).setUint32(4, 1, true);
  const load = (body: Uint8Array) => {
    const stream = Buffer.concat([descriptor(1, header.length), header, descriptor(2, size), body, descriptor(0, 0)]);
    dom0.write(8192, stream);
    dom0.put(0, 'xen_domctl', { cmd: [4, N.XEN_DOMCTL_sethvmcontext], interface_version: [4, 0x15], domain: [2, id] });
    dom0.setU32(16, stream.length);
    dom0.setU32(24, 8192);
    return dom0.hypercall(N.__HYPERVISOR_domctl, 0);
  };
  assert.equal(load(record), 0);
  assert.equal(get(2, 4096), 0);
  assert.deepEqual(dom0.read(4096, size)!.slice(), record);
  v.setBigUint64(N.hvm_hw_cpu__cr0, 0x80000000n, true);
  assert.equal(load(record), -N.EINVAL, 'paging without protection');
});

test('the second XSM module denies one hypercall by label', () => {
  const m = new Machine();
  m.x.host_use_xsm(1);
  const a = m.service(5, 0, 7);
  const b = m.service(6, 0, 8);
  const version = (s: Service) => s.hypercall(N.__HYPERVISOR_xen_version, N.XENVER_version);
  assert.equal(version(a), 0x40011);
  assert.equal(m.x.xsm_deny(7, N.XSM_xen_version__version), 0);
  assert.equal(version(a), -N.EACCES);
  assert.equal(version(b), 0x40011);
});

test('HVM parameters: who may write what', () => {
  const { dom0, a } = three();
  const id = createDomain(dom0, 16);
  const set = (s: Service, dom: number, index: number, value: number) =>
    s.op('hvm_op', 'HVMOP_set_param', 'xen_hvm_param', { domid: [2, dom], index: [4, index], value: [8, value] });
  assert.equal(set(dom0, id, N.HVM_PARAM_STORE_PFN, 0xfeffc), 0);
  assert.equal(set(dom0, id, N.HVM_PARAM_STORE_PFN, 5), -N.EEXIST);
  assert.equal(set(dom0, id, 39, 5), -N.EINVAL);
  assert.equal(set(a, id, N.HVM_PARAM_STORE_PFN, 5), -N.EPERM);
  assert.equal(set(a, SELF, 0, 5), -N.EINVAL, 'a service has none');
  assert.equal(dom0.op('hvm_op', 'HVMOP_get_param', 'xen_hvm_param', { domid: [2, id], index: [4, 1] }), 0);
  assert.equal(dom0.get('xen_hvm_param', 'value', 8), 0xfeffc);
});

test('a special page has one place: mapping it anew takes it from the old one', () => {
  const { m, a } = three();
  const place = (idx: number, gpfn: number) =>
    a.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', {
      domid: [2, SELF],
      space: [4, 1],
      idx: [8, idx],
      gpfn: [8, gpfn],
    });
  assert.equal(place(0, 40), 0);
  a.setU32(40 * 4096, 0x1234);
  assert.equal(place(0, 5000), 0);
  assert.equal(a.u32(5000 * 4096), 0x1234);
  assert.equal(a.read(40 * 4096, 1), null);
  assert.equal(place(0, 5000), 0);
  assert.equal(a.u32(5000 * 4096), 0x1234);
  assert.equal(invariants(m.x), null);
});
