// XENMEM_exchange, claims and resources.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { createDomain, destroyDomain, Machine, N, type Service } from '../../test/hypervisor.ts';
import { domctl } from '../../test/pv.ts';

const SELF = 0x7ff0;
type Fields = Record<string, [number, number]>;

function two() {
  const m = new Machine();
  return { m, dom0: m.service(0, 1), a: m.service(5) };
}
const list = (s: Service, gpa: number, ...values: number[]) =>
  s.write(gpa, new Uint8Array(new BigUint64Array(values.map(BigInt)).buffer));

function exchange(s: Service, from: number[], to: number[], orders: [number, number], done = 0, domid = SELF) {
  list(s, 8192, ...from);
  list(s, 12288, ...to);
  const bytes = new Uint8Array(N.sizeof_xen_memory_exchange);
  const v = new DataView(bytes.buffer);
  [N.xen_memory_exchange__in, N.xen_memory_exchange__out].forEach((at, i) => {
    v.setBigUint64(at + N.xen_memory_reservation__extent_start, BigInt(8192 + 4096 * i), true);
    v.setBigUint64(at + N.xen_memory_reservation__nr_extents, BigInt([from, to][i].length), true);
    v.setUint32(at + N.xen_memory_reservation__extent_order, orders[i], true);
    v.setUint16(at + N.xen_memory_reservation__domid, domid, true);
  });
  v.setBigUint64(N.xen_memory_exchange__nr_exchanged, BigInt(done), true);
  s.write(0, bytes);
  const rc = s.hypercall(N.__HYPERVISOR_memory_op, N.XENMEM_exchange, 0);
  return { rc, done: s.get('xen_memory_exchange', 'nr_exchanged', 8) };
}

test('memory is exchanged in whole chunks, and the rest stays', () => {
  const { m, a } = two();
  assert.deepEqual(exchange(a, [20, 21], [100, 101], [0, 0]), { rc: 0, done: 2 });
  assert.equal(a.read(20 * 4096, 1), null);
  assert.deepEqual(a.read(101 * 4096, 1), new Uint8Array(1));
  assert.deepEqual(exchange(a, [22, 23, 24, 25], [104, 106], [0, 1]), { rc: 0, done: 4 });
  assert.ok(a.read(107 * 4096, 1));
  assert.deepEqual(exchange(a, [104], [30, 31], [1, 0]), { rc: 0, done: 1 }, 'and the other way');
  assert.deepEqual(exchange(a, [26, 999], [110, 111], [0, 0]), { rc: -N.EINVAL, done: 1 }, 'the first one is done');
  assert.equal(exchange(a, [27], [112, 113], [0, 0]).rc, -N.EINVAL, 'unequal amounts');
  assert.equal(exchange(a, [27], [112], [10, 10]).rc, -N.EPERM, 'extents that are not for guests');
  assert.equal(exchange(a, [27], [112], [0, 0], 2).rc, -N.EINVAL, 'more done than there is');
  assert.equal(exchange(a, [27], [112], [0, 0], 0, 0).rc, -N.EPERM, "another domain's");
  assert.equal(exchange(a, [27], [0x7fffffffffff], [0, 0]).rc, -N.EINVAL, 'to nowhere');
  assert.ok(a.read(27 * 4096, 1));
  assert.equal(invariants(m.x), null);
});

test('claimed memory is there when it is populated, and for nobody else', () => {
  const { m, dom0, a } = two();
  const claim = (s: Service, id: number, pages: number) =>
    s.op('memory_op', 'XENMEM_claim_pages', 'xen_memory_reservation', {
      nr_extents: [8, pages],
      domid: [2, id],
    } as Fields);
  const maxMemory = (id: number, pages: number) => {
    dom0.put(0, 'xen_domctl', { cmd: [4, N.XEN_DOMCTL_max_mem], interface_version: [4, 0x15], domain: [2, id] });
    list(dom0, 16, pages * 4);
    assert.equal(dom0.hypercall(N.__HYPERVISOR_domctl, 0), 0);
  };
  const populate = (id: number, gfn: number) => {
    list(dom0, 4096, gfn);
    const fields = { extent_start: [8, 4096], nr_extents: [8, 1], domid: [2, id] } as Fields;
    return dom0.op('memory_op', 'XENMEM_populate_physmap', 'xen_memory_reservation', fields);
  };
  const one = createDomain(dom0, 16);
  const other = createDomain(dom0, 16);
  const free = m.x.frames_free();
  for (const id of [one, other]) maxMemory(id, free + 100);
  assert.equal(claim(a, one, 20), -N.EPERM);
  assert.equal(claim(dom0, 4321, 20), -N.ESRCH);
  assert.equal(claim(dom0, one, 16), -N.EINVAL, 'no more than it has');
  assert.equal(claim(dom0, one, free + 17), -N.ENOMEM);
  assert.equal(claim(dom0, one, free + 14), 0);
  assert.equal(claim(dom0, one, free + 15), -N.EINVAL, 'one claim at a time');
  assert.equal(invariants(m.x), null);
  assert.equal(populate(one, 20), 1);
  assert.equal(populate(other, 20), 1);
  assert.equal(populate(other, 21), 1);
  assert.equal(populate(other, 22), 0, 'what remains is claimed');
  assert.equal(populate(one, 21), 1);
  assert.equal(claim(dom0, one, 0), 0);
  assert.equal(populate(other, 22), 1);
  assert.equal(claim(dom0, one, 100), 0);
  assert.equal(destroyDomain(dom0, one), 0);
  assert.equal(populate(other, 23), 1, 'a claim goes with its domain');
  assert.equal(invariants(m.x), null);
});

test("a domain's grant table as a resource", () => {
  const { m, dom0, a } = two();
  const id = createDomain(dom0, 16);
  const acquire = (s: Service, domid: number, more: Fields = {}) =>
    s.op('memory_op', 'XENMEM_acquire_resource', 'xen_mem_acquire_resource', {
      domid: [2, domid],
      type: [2, N.XENMEM_resource_grant_table],
      frame_list: [8, 4096],
      ...more,
    });
  assert.equal(acquire(dom0, id, { frame_list: [8, 0] }), 0);
  assert.equal(dom0.get('xen_mem_acquire_resource', 'nr_frames', 4), 32);
  list(dom0, 4096, 70, 71);
  assert.equal(acquire(dom0, id, { nr_frames: [4, 2] }), 0);
  dom0.setU32(71 * 4096, 0x1234);
  assert.equal(dom0.u32(71 * 4096), 0x1234);
  assert.equal(acquire(dom0, id, { nr_frames: [4, 2], frame: [8, 31] }), -N.EINVAL);
  assert.equal(acquire(dom0, id, { nr_frames: [4, 1], id: [4, 1] }), -N.EINVAL, 'version 1 has no status frames');
  assert.equal(acquire(dom0, id, { nr_frames: [4, 1], type: [2, 0] }), -N.ENOENT, 'no such ioreq server');
  assert.equal(acquire(dom0, id, { nr_frames: [4, 1], type: [2, 9] }), -N.EOPNOTSUPP);
  assert.equal(acquire(dom0, SELF, { nr_frames: [4, 1] }), -N.EPERM);
  assert.equal(acquire(a, id, { nr_frames: [4, 1] }), -N.EPERM);
  assert.equal(destroyDomain(dom0, id), 0);
  assert.equal(dom0.u32(71 * 4096), 0x1234, 'the frame lives as long as the mapping');
  assert.equal(invariants(m.x), null);
  for (const gfn of [70, 71]) {
    const fields = { domid: [2, SELF], gpfn: [8, gfn] } as Fields;
    assert.equal(dom0.op('memory_op', 'XENMEM_remove_from_physmap', 'xen_remove_from_physmap', fields), 0);
  }
  assert.equal(invariants(m.x), null);
});

test("a PV domain's extents are machine frames in a row: freed ones first, then others; where there is no row there is no extent", () => {
  const { m, dom0 } = two();
  const create = (): number => {
    const max_vcpus: [number, number, number] = [N.xen_domctl_createdomain__max_vcpus, 4, 1];
    assert.equal(domctl(dom0, 'XEN_DOMCTL_createdomain', 0, [max_vcpus]), 0);
    const id = new DataView(dom0.read(N.xen_domctl__domain, 2)!.buffer).getUint16(0, true);
    assert.equal(domctl(dom0, 'XEN_DOMCTL_max_mem', id, [[0, 8, 1 << 20]]), 0);
    return id;
  };
  /** Gives the first machine frame, if the extent was made. */
  const populate = (domid: number, pfn: number, order: number): number | undefined => {
    list(dom0, 4096, pfn);
    const fields = {
      extent_start: [8, 4096],
      nr_extents: [8, 1],
      extent_order: [4, order],
      domid: [2, domid],
    } as Fields;
    const made = dom0.op('memory_op', 'XENMEM_populate_physmap', 'xen_memory_reservation', fields);
    return made === 1 ? new DataView(dom0.read(4096, 8)!.buffer).getUint32(0, true) : undefined;
  };
  const rows = (domid: number): number[] => {
    const found: number[] = [];
    for (let mfn; (mfn = populate(domid, 128 * found.length, 7)) !== undefined; ) found.push(mfn);
    return found;
  };
  const one = create();
  const first = rows(one);
  assert.ok(first.length > 4, 'most of the memory');
  assert.ok(first.every((mfn) => mfn % 128 === 0));
  assert.equal(new Set(first).size, first.length);
  assert.equal(invariants(m.x), null);
  const single = populate(one, 1 << 16, 0);
  assert.notEqual(single, undefined, 'less than a row is left');
  assert.equal(destroyDomain(dom0, one), 0);

  const again = create();
  assert.deepEqual(rows(again).toSorted(), first.toSorted(), 'all of them again');
  assert.equal(destroyDomain(dom0, again), 0);

  // One frame of somebody else's, and its row is none.
  const [guest, other] = [create(), create()];
  const taken = populate(other, 0, 0)!;
  const left = first.filter((mfn) => taken < mfn || taken >= mfn + 128);
  assert.deepEqual(rows(guest).toSorted(), left.toSorted());
  for (const id of [guest, other]) assert.equal(destroyDomain(dom0, id), 0);
  assert.equal(invariants(m.x), null);
});
