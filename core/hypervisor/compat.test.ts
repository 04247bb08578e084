// Hypercalls of 32-bit code: registers, structures and shared_info in the layouts of spec/abi/compat.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { COMPAT_STRUCTS, createDomain, foreign, Machine, N, type Service } from '../../test/hypervisor.ts';

const SELF = 0x7ff0;
const [RAX, RCX, RDX, RBX, RSI, RDI, CPL, MODE] = [0, 8, 16, 24, 48, 56, 292, 296];
const MODE_32 = 32 | 2;
const MODE_64 = 32 | 1;
/** The guest's pages from here on are seen by domain 0 from WINDOW on. */
const FIRST = 8;
const WINDOW = 60;
const A = FIRST * 4096;

function guest() {
  const m = new Machine();
  const dom0 = m.service(0, 1);
  const id = createDomain(dom0, 64);
  for (let i = 0; i < 8; i++) foreign(dom0, id, FIRST + i, WINDOW + i);
  const cpu = m.x.domain_cpu(id, 0) >>> 0;
  const v = new DataView(m.memory.buffer);
  const mode = (value: number) => v.setUint32(cpu + MODE, value, true);
  mode(MODE_32);
  v.setUint32(cpu + CPL, 0, true);
  const call = (nr: number, ...args: number[]): number => {
    v.setBigUint64(cpu + RAX, BigInt(nr), true);
    // What lies above 32 bits in the registers means nothing to 32-bit code.
    [RBX, RCX, RDX, RSI, RDI].forEach((r, i) =>
      v.setBigUint64(cpu + r, (0xdeadn << 32n) | BigInt.asUintN(32, BigInt(args[i] ?? 0)), true),
    );
    m.x.test_vmcall(id);
    assert.equal(v.getUint32(cpu + RAX + 4, true), 0, 'EAX is written as 32-bit code writes it');
    return v.getInt32(cpu + RAX, true);
  };
  return { m, dom0, id, mode, call, see: new Memory(dom0) };
}

/** The guest's pages through domain 0's window, and structures in the 32-bit layout in them. */
class Memory {
  readonly #dom0: Service;
  constructor(dom0: Service) {
    this.#dom0 = dom0;
  }
  #at(gpa: number): number {
    return gpa - A + WINDOW * 4096;
  }
  u32(gpa: number): number {
    return this.#dom0.u32(this.#at(gpa));
  }
  words(gpa: number, ...words: number[]): void {
    this.#dom0.write(this.#at(gpa), new Uint8Array(Uint32Array.from(words, (w) => w >>> 0).buffer));
  }
  put(gpa: number, name: string, fields: Record<string, number>): void {
    const s = COMPAT_STRUCTS[name];
    const bytes = new Uint8Array(s.size);
    const v = new DataView(bytes.buffer);
    for (const [key, value] of Object.entries(fields)) {
      const at = s.offsets[key];
      if (s.fields[key].size === 2) v.setUint16(at, value, true);
      else v.setUint32(at, value >>> 0, true);
    }
    this.#dom0.write(this.#at(gpa), bytes);
  }
}
const offset = (name: string, field: string): number => COMPAT_STRUCTS[name].offsets[field];

test('memory operations: reservations, places, the memory map', () => {
  const { m, id, dom0, call, see } = guest();
  const memory = (op: string, at = A) => call(N.__HYPERVISOR_memory_op, N[op], at);
  see.words(A + 256, 20, 21);
  see.put(A, 'xen_memory_reservation', { extent_start: A + 256, nr_extents: 2, domid: SELF });
  assert.equal(memory('XENMEM_decrease_reservation'), 2);
  assert.equal(memory('XENMEM_populate_physmap'), 2);
  see.words(A + 512, SELF);
  assert.equal(memory('XENMEM_current_reservation', A + 512), 64);
  see.put(A, 'xen_add_to_physmap', { domid: SELF, space: 0, idx: 0, gpfn: 30 });
  assert.equal(memory('XENMEM_add_to_physmap'), 0);
  see.put(A, 'xen_remove_from_physmap', { domid: SELF, gpfn: 30 });
  assert.equal(memory('XENMEM_remove_from_physmap'), 0);
  assert.equal(memory('XENMEM_remove_from_physmap'), -N.ENOENT);
  see.words(A + 256, 0, 40);
  see.words(A + 272, 7, 7);
  see.put(A, 'xen_add_to_physmap_batch', {
    domid: SELF,
    space: 1,
    size: 1,
    idxs: A + 256,
    gpfns: A + 260,
    errs: A + 272,
  });
  assert.equal(memory('XENMEM_add_to_physmap_batch'), 0);
  assert.deepEqual([see.u32(A + 272), see.u32(A + 276)], [0, 7]);

  dom0.put(0, 'xen_foreign_memory_map', { domid: [2, id] });
  dom0.setU32(N.xen_foreign_memory_map__map, 1);
  dom0.write(N.xen_foreign_memory_map__map + 8, new Uint8Array(new BigUint64Array([8192n]).buffer));
  dom0.write(8192, new Uint8Array([0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0]));
  assert.equal(dom0.hypercall(N.__HYPERVISOR_memory_op, N.XENMEM_set_memory_map, 0), 0);
  see.put(A, 'xen_memory_map', { nr_entries: 3, buffer: A + 1024 });
  assert.equal(memory('XENMEM_memory_map'), 0);
  assert.equal(see.u32(A), 1);
  assert.deepEqual([see.u32(A + 1024), see.u32(A + 1032), see.u32(A + 1040)], [0x1000, 0x40000, 1]);
  assert.equal(memory('XENMEM_memory_map', 0x7ffff000), -N.EFAULT);
  assert.equal(invariants(m.x), null);
});

test('grants: the table, copies', () => {
  const { id, call, see } = guest();
  const grant = (op: string, n = 1) => call(N.__HYPERVISOR_grant_table_op, N[op], A, n);
  see.words(A + 256, 0, 0x55);
  see.put(A, 'gnttab_setup_table', { dom: SELF, nr_frames: 1, frame_list: A + 256 });
  assert.equal(grant('GNTTABOP_setup_table'), 0);
  assert.notEqual(see.u32(A + 256), 0);
  assert.equal(see.u32(A + 260), 0x55, 'frame numbers have four bytes');
  see.words(A + 4096, 0x1234abcd);
  const size = COMPAT_STRUCTS.gnttab_copy.size;
  // Two elements: the second one lies where the first one's 32-bit layout ends.
  for (const i of [0, 1]) {
    const at = A + i * size;
    see.words(at, FIRST + 1, SELF, FIRST + 2, SELF | ((64 * i) << 16), 4, 0);
  }
  assert.equal(grant('GNTTABOP_copy', 2), 0);
  assert.equal(see.u32(A + offset('gnttab_copy', 'status')) & 0xffff, 0);
  assert.equal(see.u32(A + 8192), 0x1234abcd);
  assert.equal(see.u32(A + 8192 + 64), 0x1234abcd);
  assert.ok(id > 0);
});

test('multicalls, and a timer whose 64 bits are two registers', () => {
  const { call, see, m } = guest();
  const size = COMPAT_STRUCTS.multicall_entry.size;
  see.words(A, N.__HYPERVISOR_xen_version, 1, N.XENVER_version);
  see.words(A + size, N.__HYPERVISOR_set_timer_op, 1, 5, 0);
  see.words(A + 2 * size, 99, 1);
  assert.equal(call(N.__HYPERVISOR_multicall, A, 3), 0);
  assert.deepEqual(
    [0, 1, 2].map((i) => see.u32(A + i * size + 4) | 0),
    [0x40011, 0, -N.ENOSYS],
  );
  assert.equal(call(N.__HYPERVISOR_set_timer_op, 0x1000, 1), 0);
  assert.equal(invariants(m.x), null);
});

test('polling, and what a vCPU asks about itself', () => {
  const { call, see } = guest();
  see.words(A + 256, 5000);
  see.put(A, 'sched_poll', { ports: A + 256, nr_ports: 1 });
  assert.equal(call(N.__HYPERVISOR_sched_op, N.SCHEDOP_poll, A), -N.EINVAL, 'no such port');
  see.words(A + 64, 0x77);
  assert.equal(call(N.__HYPERVISOR_vcpu_op, N.VCPUOP_get_runstate_info, 0, A), 0);
  assert.equal(see.u32(A), N.RUNSTATE_offline);
  const timer = COMPAT_STRUCTS.vcpu_set_singleshot_timer;
  assert.equal(timer.size, 12);
  see.words(A, 0, 1, 0, 0x77);
  assert.equal(call(N.__HYPERVISOR_vcpu_op, N.VCPUOP_set_singleshot_timer, 0, A), 0);
});

test('shared_info has the layout of the mode in which the hypercall page was asked for', () => {
  const { m, dom0, id, mode, call, see } = guest();
  see.put(A, 'xen_add_to_physmap', { domid: SELF, space: 0, idx: 0, gpfn: 40 });
  assert.equal(call(N.__HYPERVISOR_memory_op, N.XENMEM_add_to_physmap, A), 0);
  foreign(dom0, id, 40, 80);
  const shared = (at: number): number => dom0.u32(80 * 4096 + at);
  const dom0Port = (): number => {
    assert.equal(
      dom0.op('event_channel_op', 'EVTCHNOP_alloc_unbound', 'evtchn_alloc_unbound', {
        dom: [2, id],
        remote_dom: [2, 0],
      }),
      0,
    );
    const remote = dom0.get('evtchn_alloc_unbound', 'port', 4);
    assert.equal(
      dom0.op('event_channel_op', 'EVTCHNOP_bind_interdomain', 'evtchn_bind_interdomain', {
        remote_dom: [2, id],
        remote_port: [4, remote],
      }),
      0,
    );
    return dom0.get('evtchn_bind_interdomain', 'local_port', 4);
  };
  const send = (port: number) => dom0.op('event_channel_op', 'EVTCHNOP_send', 'evtchn_send', { port: [4, port] });
  assert.equal(m.x.test_hypercall_page(id, 0x9000n), 1);
  const ports = Array.from({ length: 40 }, dom0Port);
  assert.equal(send(ports[0]), 0);
  assert.equal(send(ports[39]), 0);
  assert.equal(shared(0x800), 1 << 1, 'port 1');
  assert.equal(shared(0x804), 1 << 8, 'port 40');
  assert.equal(shared(4), 3, 'a selector of 32 bits behind the two flags: words 0 and 1');
  assert.equal(shared(8), 0);
  assert.equal(shared(offset('shared_info', 'wc_version')) & 1, 0);
  assert.equal(shared(offset('shared_info', 'wc_sec')), 1e9);
  // A port that is masked in the 32-bit bitmap does not reach the selector.
  dom0.setU32(80 * 4096 + offset('shared_info', 'evtchn_mask'), ~0);
  dom0.setU32(80 * 4096 + 4, 0);
  assert.equal(send(ports[2]), 0);
  assert.equal(shared(4), 0);
  mode(MODE_64);
  assert.equal(m.x.test_hypercall_page(id, 0x9000n), 1);
  mode(MODE_32);
  assert.equal(shared(N.shared_info__wc_sec), 1e9, 'and back to 64 bits');
  assert.equal(send(ports[1]), 0);
  assert.equal(shared(8), 1, 'the selector is the 64-bit one');
  assert.equal(invariants(m.x), null);
});

test('two levels have 1024 ports for 32-bit words', () => {
  const { m, dom0, id } = guest();
  const fill = (): number => {
    for (let n = 0; ; n++) {
      const fields = { dom: [2, id], remote_dom: [2, 0] } as Record<string, [number, number]>;
      if (dom0.op('event_channel_op', 'EVTCHNOP_alloc_unbound', 'evtchn_alloc_unbound', fields) !== 0) return n;
    }
  };
  assert.equal(m.x.test_hypercall_page(id, 0x9000n), 1);
  assert.equal(fill(), 1023);
});
