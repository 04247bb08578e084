// What a guest's vCPU meets without the engine running it: I/O requests, the hypercall page, hypercall registers, upcalls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDomain, destroyDomain, foreign, Machine, N, type Service } from '../../test/hypervisor.ts';
import { invariants } from '../../test/invariants.ts';

const SELF = 0x7ff0;
const EXIT_IOREQ = 4;

function guest(): { m: Machine; dom0: Service; id: number } {
  const m = new Machine();
  const dom0 = m.service(0, 1);
  return { m, dom0, id: createDomain(dom0, 64) };
}
function setParam(s: Service, domid: number, index: number, value: number | bigint): void {
  assert.equal(
    s.op('hvm_op', 'HVMOP_set_param', 'xen_hvm_param', { domid: [2, domid], index: [4, index], value: [8, value] }),
    0,
  );
}
/** Map guest frame `gfn` at page `at` of the service. */
function dmOp(s: Service, domid: number, op: string, put: (v: DataView) => void): { rc: number; out: DataView } {
  const bytes = new Uint8Array(N.sizeof_xen_dm_op);
  const v = new DataView(bytes.buffer);
  v.setUint32(0, N[op], true);
  put(new DataView(bytes.buffer, 8));
  s.write(2048, bytes);
  s.write(1024, new Uint8Array(new BigUint64Array([2048n, BigInt(bytes.length)]).buffer));
  const rc = s.hypercall(N.__HYPERVISOR_dm_op, domid, 1, 1024);
  return { rc, out: new DataView(s.read(2048 + 8, bytes.length - 8)!.buffer) };
}

test('a port access becomes an ioreq, the server answers, the same access takes the answer', () => {
  const { m, dom0, id } = guest();
  const port = (write: boolean, value = 0) => m.x.test_port(id, 0x3f8, 1, write ? 1 : 0, value);
  assert.equal(port(false), 0);
  assert.equal(m.x.test_port_value() >>> 0, 0xffffffff, 'nobody there: all ones');

  setParam(dom0, id, N.HVM_PARAM_IOREQ_SERVER_PFN, 20);
  setParam(dom0, id, N.HVM_PARAM_NR_IOREQ_SERVER_PAGES, 1);
  assert.equal(
    dmOp(dom0, id, 'XEN_DMOP_create_ioreq_server', (v) => v.setUint8(0, 1)).rc,
    -N.EOPNOTSUPP,
    'no buffered requests',
  );
  const server = dmOp(dom0, id, 'XEN_DMOP_create_ioreq_server', () => {});
  assert.equal(server.rc, 0);
  const range = (v: DataView) => {
    v.setBigUint64(8, 0x3f8n, true);
    v.setBigUint64(16, 0x3ffn, true);
  };
  assert.equal(dmOp(dom0, id, 'XEN_DMOP_map_io_range_to_ioreq_server', range).rc, 0);
  assert.equal(dmOp(dom0, id, 'XEN_DMOP_map_io_range_to_ioreq_server', range).rc, -N.EEXIST);
  const info = dmOp(dom0, id, 'XEN_DMOP_get_ioreq_server_info', () => {});
  assert.equal(info.rc, 0);
  assert.equal(info.out.getBigUint64(8, true), 20n);
  assert.equal(port(false), 0, 'not yet enabled');
  assert.equal(dmOp(dom0, id, 'XEN_DMOP_set_ioreq_server_state', (v) => v.setUint8(2, 1)).rc, 0);
  foreign(dom0, id, 20, 60);
  const at = 60 * 4096;
  const eport = dom0.u32(at + N.ioreq__vp_eport);
  assert.equal(
    dom0.op('event_channel_op', 'EVTCHNOP_bind_interdomain', 'evtchn_bind_interdomain', {
      remote_dom: [2, id],
      remote_port: [4, eport],
    }),
    0,
  );
  const local = dom0.get('evtchn_bind_interdomain', 'local_port', 4);
  dom0.events();

  const state = () => dom0.read(at + N.ioreq__state, 1)![0];
  assert.equal(port(true, 0x41), EXIT_IOREQ);
  assert.deepEqual(dom0.events(), [local]);
  assert.equal(dom0.u32(at + N.ioreq__addr), 0x3f8);
  assert.equal(dom0.u32(at + N.ioreq__data), 0x41);
  assert.equal(dom0.u32(at + N.ioreq__size), 1);
  assert.equal(state(), N.STATE_IOREQ_READY, 'a write, ready');
  assert.equal(port(true, 0x41), EXIT_IOREQ, 'still waiting');
  dom0.write(at + N.ioreq__state, new Uint8Array([N.STATE_IORESP_READY]));
  assert.equal(m.x.test_waiting(id), 0);
  assert.equal(port(true, 0x41), 0);
  assert.equal(state(), N.STATE_IOREQ_NONE);

  assert.equal(port(false), EXIT_IOREQ);
  assert.equal(state(), N.STATE_IOREQ_READY | (N.IOREQ_READ << N.ioreq__dir__shift));
  dom0.setU32(at + N.ioreq__data, 0x7b);
  dom0.write(at + N.ioreq__state, new Uint8Array([N.STATE_IORESP_READY]));
  assert.equal(port(false), 0);
  assert.equal(m.x.test_port_value() & 0xff, 0x7b);

  assert.equal(port(false), EXIT_IOREQ);
  assert.equal(dmOp(dom0, id, 'XEN_DMOP_destroy_ioreq_server', () => {}).rc, 0);
  assert.equal(port(false), 0, 'the server went away: the vCPU does not hang');
  assert.equal(m.x.test_port_value() >>> 0, 0xffffffff);
  assert.equal(destroyDomain(dom0, id), 0);
});

test('the hypercall page', () => {
  const { m, dom0, id } = guest();
  const write = (value: bigint) => m.x.test_hypercall_page(id, value);
  assert.equal(write(0x5001n), 0, 'there is one page');
  assert.equal(write(0x500000n), 0, 'no memory there');
  assert.equal(write(0x5000n), 1);
  foreign(dom0, id, 5, 60);
  assert.deepEqual([...dom0.read(60 * 4096 + 32 * 17, 9)!], [0xb8, 17, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3]);
  assert.deepEqual([...dom0.read(60 * 4096 + 32 * 23, 2)!], [0x0f, 0x0b]);
});

test('registers of a hypercall, 32-bit and 64-bit, and rings other than 0', () => {
  const { m, id } = guest();
  const cpu = m.x.domain_cpu(id, 0) >>> 0;
  const v = new DataView(m.memory.buffer);
  const [RAX, RBX, RDI, CPL, MODE] = [0, 24, 56, 292, 296];
  const call = (mode: number, cpl: number, nr: bigint) => {
    v.setUint32(cpu + MODE, mode, true);
    v.setUint32(cpu + CPL, cpl, true);
    v.setBigUint64(cpu + RAX, nr, true);
    m.x.test_vmcall(id);
    return v.getBigInt64(cpu + RAX, true);
  };
  assert.equal(call(32 | 1, 0, 17n), 0x40011n);
  assert.equal(call(32 | 1, 3, 17n), BigInt(-N.EPERM));
  assert.equal(call(0, 0, 17n), BigInt(-N.EPERM), 'real mode');
  assert.equal(call(32 | 1, 0, 99n), BigInt(-N.ENOSYS));
  assert.equal(call(32 | 1, 0, 1n), BigInt(-N.ENOSYS), 'PV only');
  v.setBigUint64(cpu + RBX, 7n, true);
  assert.equal(call(32 | 2, 0, 17n), 4096n, '32-bit: the argument is EBX');
  v.setBigUint64(cpu + RDI, 7n, true);
  assert.equal(call(32 | 1, 0, 17n), 4096n);
});

test('the callback vector is asked for while an event is pending', () => {
  const { m, dom0, id } = guest();
  assert.equal(m.x.test_upcall_vector(id), -1);
  setParam(dom0, id, N.HVM_PARAM_CALLBACK_IRQ, (2n << 56n) | 0xf3n);
  assert.equal(m.x.test_upcall_vector(id), -1, 'nothing pending');
  const rc = dom0.op('event_channel_op', 'EVTCHNOP_alloc_unbound', 'evtchn_alloc_unbound', {
    dom: [2, id],
    remote_dom: [2, 0],
  });
  assert.equal(rc, 0);
  const port = dom0.get('evtchn_alloc_unbound', 'port', 4);
  assert.equal(
    dom0.op('event_channel_op', 'EVTCHNOP_bind_interdomain', 'evtchn_bind_interdomain', {
      remote_dom: [2, id],
      remote_port: [4, port],
    }),
    0,
  );
  const local = dom0.get('evtchn_bind_interdomain', 'local_port', 4);
  assert.equal(dom0.op('event_channel_op', 'EVTCHNOP_send', 'evtchn_send', { port: [4, local] }), 0);
  assert.equal(m.x.test_upcall_vector(id), 0xf3);
});

test('a soft reset: agreements are forgotten, memory and registers stay', () => {
  const { m, dom0, id } = guest();
  const domctl = (cmd: string) => {
    dom0.put(0, 'xen_domctl', { cmd: [4, N[cmd]], interface_version: [4, 0x15], domain: [2, id] });
    return dom0.hypercall(N.__HYPERVISOR_domctl, 0);
  };
  const cpu = m.x.domain_cpu(id, 0) >>> 0;
  const v = new DataView(m.memory.buffer);
  /** A hypercall of the guest's in 64-bit code without paging in its way: its own pages 8 and 9 are seen at 60 and 61. */
  for (const i of [0, 1]) foreign(dom0, id, 8 + i, 60 + i);
  const call = (nr: number, a0: number, a1: number, a2 = 0): number => {
    v.setUint32(cpu + 296, 32 | 2, true); // 32-bit mode: addresses are physical
    v.setUint32(cpu + 292, 0, true);
    for (const [at, value] of [
      [0, nr],
      [24, a0],
      [8, a1],
      [16, a2],
    ] as const)
      v.setBigUint64(cpu + at, BigInt(value), true);
    m.x.test_vmcall(id);
    return v.getInt32(cpu, true);
  };
  const put = (...words: number[]) => dom0.write(60 * 4096, new Uint8Array(Uint32Array.from(words).buffer));
  put(0x7ff0, 0, 0, 30); // xen_add_to_physmap: shared_info at 30
  assert.equal(call(N.__HYPERVISOR_memory_op, N.XENMEM_add_to_physmap, 8 * 4096), 0);
  put(9, 0, 128, 0); // register_vcpu_info
  assert.equal(call(N.__HYPERVISOR_vcpu_op, N.VCPUOP_register_vcpu_info, 0, 8 * 4096), 0);
  assert.equal(call(N.__HYPERVISOR_vcpu_op, N.VCPUOP_register_vcpu_info, 0, 8 * 4096), -N.EINVAL);
  put(0);
  assert.equal(call(N.__HYPERVISOR_event_channel_op, N.EVTCHNOP_bind_ipi, 8 * 4096), 0);
  const pages = m.x.domain_state(id);
  assert.equal(pages, -3);
  assert.equal(domctl('XEN_DOMCTL_soft_reset'), -N.EINVAL, 'not while it runs');
  put(N.SHUTDOWN_soft_reset);
  assert.equal(call(N.__HYPERVISOR_sched_op, N.SCHEDOP_shutdown, 8 * 4096), 0);
  assert.equal(m.x.domain_state(id), N.SHUTDOWN_soft_reset);
  assert.equal(domctl('XEN_DOMCTL_soft_reset'), 0);
  assert.equal(m.x.domain_state(id), -3, 'it goes on');
  put(9, 0, 128, 0);
  assert.equal(call(N.__HYPERVISOR_vcpu_op, N.VCPUOP_register_vcpu_info, 0, 8 * 4096), 0, 'once more');
  put(0);
  assert.equal(call(N.__HYPERVISOR_event_channel_op, N.EVTCHNOP_bind_ipi, 8 * 4096), 0);
  assert.equal(dom0.u32(60 * 4096 + 4), 1, 'the ports begin anew');
  assert.equal(invariants(m.x), null);
});
