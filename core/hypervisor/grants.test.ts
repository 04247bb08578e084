// Grants beyond the simple map: version 2, parts of pages, grants of grants, transfers, and what outlives what.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { Machine, N, Service } from '../../test/hypervisor.ts';

const SELF = 0x7ff0;
/** Where a service sees its table, and its status frame in version 2. */
const TABLE = 40;
const STATUS = 41;
const { GTF_permit_access, GTF_readonly, GTF_transitive, GTF_sub_page, GTF_accept_transfer } = N;

function physmap(s: Service, idx: number, gpfn: number): number {
  const fields = { domid: [2, SELF], space: [4, 1], idx: [8, idx], gpfn: [8, gpfn] } as Record<
    string,
    [number, number]
  >;
  return s.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', fields);
}

function three() {
  const m = new Machine();
  m.service(0, 1);
  const [a, b, c] = [5, 6, 7].map((domid) => m.service(domid));
  for (const s of [a, b, c]) assert.equal(physmap(s, 0, TABLE), 0);
  const after = () => assert.equal(invariants(m.x), null);
  return { m, a, b, c, after };
}

const version = (s: Service, v: number) =>
  s.op('grant_table_op', 'GNTTABOP_set_version', 'gnttab_set_version', { version: [4, v] }, 1);

/** An entry of version 1, or of version 2 with its middle word. */
const v1 = (s: Service, ref: number, flags: number, domid: number, gfn: number) =>
  s.write(TABLE * 4096 + 8 * ref, new Uint8Array(new Uint16Array([flags, domid, gfn, 0]).buffer));
const v2 = (s: Service, ref: number, flags: number, domid: number, gfn: number, x = 0, y = 0) =>
  s.write(TABLE * 4096 + 16 * ref, new Uint8Array(new Uint16Array([flags, domid, x, y, gfn, 0, 0, 0]).buffer));
const flags1 = (s: Service, ref: number) => s.u32(TABLE * 4096 + 8 * ref) & 0xffff;
const status2 = (s: Service, ref: number) => s.u32(STATUS * 4096 + 2 * ref) & 0xffff;

function map(s: Service, dom: number, ref: number, gfn: number, flags = 2): { status: number; handle: number } {
  const fields = { host_addr: [8, gfn * 4096], flags: [4, flags], ref: [4, ref], dom: [2, dom] } as const;
  assert.equal(s.op('grant_table_op', 'GNTTABOP_map_grant_ref', 'gnttab_map_grant_ref', { ...fields } as never, 1), 0);
  const got = (f: string, n: 2 | 4, signed: boolean) => s.get('gnttab_map_grant_ref', f, n, signed);
  return { status: got('status', 2, true), handle: got('handle', 4, false) };
}
function unmap(s: Service, handle: number): number {
  s.op('grant_table_op', 'GNTTABOP_unmap_grant_ref', 'gnttab_unmap_grant_ref', { handle: [4, handle] }, 1);
  return s.get('gnttab_unmap_grant_ref', 'status', 2, true);
}
/** Copies from a grant of `dom` to page 3 of the caller's own. */
function copyFrom(s: Service, dom: number, ref: number, offset: number, length: number): number {
  const one = new Uint8Array(N.sizeof_gnttab_copy);
  const v = new DataView(one.buffer);
  v.setUint32(N.gnttab_copy__source, ref, true);
  v.setUint16(N.gnttab_copy__source + 8, dom, true);
  v.setUint16(N.gnttab_copy__source + 10, offset, true);
  v.setUint32(N.gnttab_copy__dest, 3, true);
  v.setUint16(N.gnttab_copy__dest + 8, SELF, true);
  v.setUint16(N.gnttab_copy__len, length, true);
  v.setUint16(N.gnttab_copy__flags, N.GNTCOPY_source_gref, true);
  s.write(0, one);
  assert.equal(s.hypercall(N.__HYPERVISOR_grant_table_op, N.GNTTABOP_copy, 0, 1), 0);
  return s.get('gnttab_copy', 'status', 2, true);
}

test('version 2: flags and use are in words of their own; there and back keeps the reserved entries', () => {
  const { a, b, after } = three();
  v1(a, 1, GTF_permit_access, 6, 7);
  v1(a, 9, GTF_permit_access, 6, 8);
  const reserved = map(b, 5, 1, 50);
  const other = map(b, 5, 9, 51);
  assert.equal(version(a, 2), -N.EBUSY, 'an entry that is not reserved is in use');
  assert.equal(unmap(b, other.handle), 0);
  assert.equal(version(a, 3), -N.EINVAL);
  assert.equal(version(a, 2), 0);
  assert.equal(physmap(a, N.XENMAPIDX_grant_table_status + 1, STATUS), -N.EINVAL);
  assert.equal(physmap(a, N.XENMAPIDX_grant_table_status, STATUS), 0);
  assert.equal(a.u32(TABLE * 4096 + 16), GTF_permit_access | (6 << 16));
  assert.equal(status2(a, 1), 24, 'read and written, as before');
  assert.equal(a.u32(TABLE * 4096 + 16 * 9), 0, 'the others are cleared');
  v2(a, 20, GTF_permit_access | GTF_readonly, 6, 8);
  assert.equal(map(b, 5, 20, 51).status, N.GNTST_general_error);
  const readonly = map(b, 5, 20, 51, 6);
  assert.equal(readonly.status, 0);
  assert.equal(status2(a, 20), 8);
  assert.equal(map(b, 5, 300, 52).status, N.GNTST_bad_gntref, '256 entries a frame');
  assert.equal(version(a, 1), -N.EBUSY);
  assert.equal(unmap(b, readonly.handle), 0);
  assert.equal(status2(a, 20), 0);
  assert.equal(version(a, 1), -N.EBUSY, 'the status frame is mapped');
  a.op('memory_op', 'XENMEM_remove_from_physmap', 'xen_remove_from_physmap', { domid: [2, SELF], gpfn: [8, STATUS] });
  assert.equal(version(a, 1), 0);
  assert.equal(flags1(a, 1), GTF_permit_access | 24);
  assert.equal(unmap(b, reserved.handle), 0);
  assert.equal(flags1(a, 1), GTF_permit_access);
  after();
});

test('the status frames are listed for version 2 only', () => {
  const { a, after } = three();
  const frames = (n: number) => {
    const fields = { nr_frames: [4, n], dom: [2, SELF], frame_list: [8, 2048] } as Record<string, [number, number]>;
    const rc = a.op('grant_table_op', 'GNTTABOP_get_status_frames', 'gnttab_get_status_frames', fields, 1);
    assert.equal(rc, 0);
    return a.get('gnttab_get_status_frames', 'status', 2, true);
  };
  assert.equal(frames(1), N.GNTST_general_error);
  version(a, 2);
  assert.equal(frames(1), 0);
  assert.notEqual(a.u32(2048), 0);
  a.op('grant_table_op', 'GNTTABOP_get_version', 'gnttab_get_version', { dom: [2, SELF] }, 1);
  assert.equal(a.get('gnttab_get_version', 'version', 4), 2);
  after();
});

test('a part of a page: copies in it, no copies out of it, no mapping', () => {
  const { a, b, after } = three();
  version(a, 2);
  a.write(7 * 4096 + 100, new Uint8Array([1, 2, 3, 4, 5]));
  v2(a, 20, GTF_permit_access | GTF_sub_page, 6, 7, 100, 4);
  assert.equal(copyFrom(b, 5, 20, 100, 4), 0);
  assert.deepEqual(b.read(3 * 4096, 5), new Uint8Array([1, 2, 3, 4, 0]));
  assert.equal(copyFrom(b, 5, 20, 100, 5), N.GNTST_general_error);
  assert.equal(copyFrom(b, 5, 20, 99, 1), N.GNTST_general_error);
  assert.equal(map(b, 5, 20, 50).status, N.GNTST_general_error);
  v2(a, 20, GTF_permit_access | GTF_sub_page, 6, 7, 4000, 200);
  assert.equal(copyFrom(b, 5, 20, 4000, 1), N.GNTST_general_error, 'a part that ends behind the page');
  after();
});

test('a grant of a grant: one step, for copies, and nothing stays in use', () => {
  const { a, b, c, after } = three();
  v1(a, 9, GTF_permit_access | GTF_readonly, 6, 7); // a → b
  a.write(7 * 4096, new Uint8Array([42]));
  version(b, 2);
  assert.equal(physmap(b, N.XENMAPIDX_grant_table_status, STATUS), 0);
  const via = (ref: number, dom: number, gref: number) => v2(b, ref, GTF_transitive | GTF_readonly, 7, gref, dom);
  via(20, 5, 9); // b → c
  assert.equal(copyFrom(c, 6, 20, 0, 1), 0);
  assert.deepEqual(c.read(3 * 4096, 1), new Uint8Array([42]));
  assert.equal(map(c, 6, 20, 50, 6).status, N.GNTST_general_error, 'not to be mapped');
  assert.equal(copyFrom(a, 6, 20, 0, 1), N.GNTST_general_error, 'granted to another');
  via(21, 6, 20);
  assert.equal(copyFrom(c, 6, 21, 0, 1), N.GNTST_general_error, 'not by itself');
  via(22, 5, 8);
  assert.equal(copyFrom(c, 6, 22, 0, 1), N.GNTST_general_error, 'the second grant does not exist');
  assert.equal(flags1(a, 9), GTF_permit_access | GTF_readonly);
  assert.equal(status2(b, 20), 0);
  after();
});

test('a transfer moves a page to where its receiver wants it', () => {
  const { m, a, b, after } = three();
  const give = (gfn: number, dom: number, ref: number): number => {
    const fields = { mfn: [8, gfn], domid: [2, dom], ref: [4, ref] } as Record<string, [number, number]>;
    assert.equal(a.op('grant_table_op', 'GNTTABOP_transfer', 'gnttab_transfer', fields, 1), 0);
    return a.get('gnttab_transfer', 'status', 2, true);
  };
  a.write(7 * 4096, new Uint8Array([42]));
  assert.equal(give(1000, 6, 9), N.GNTST_bad_page);
  assert.equal(give(TABLE, 6, 9), N.GNTST_bad_page, "the hypervisor's page is not the caller's");
  assert.equal(give(20, 4321, 9), N.GNTST_bad_domain);
  assert.equal(a.read(20 * 4096, 1), null, 'lost, as the header says');
  assert.equal(give(21, 6, 9), N.GNTST_general_error, 'the receiver has no room');
  b.write(4096, new Uint8Array(new BigUint64Array([20n]).buffer));
  const release = { extent_start: [8, 4096], nr_extents: [8, 1], domid: [2, SELF] } as Record<string, [number, number]>;
  assert.equal(b.op('memory_op', 'XENMEM_decrease_reservation', 'xen_memory_reservation', release), 1);
  assert.equal(give(22, 6, 9), N.GNTST_general_error, 'and has not asked');
  v1(b, 9, GTF_accept_transfer, 5, 60);
  const free = m.x.frames_free();
  assert.equal(give(7, 6, 9), 0);
  assert.equal(m.x.frames_free(), free);
  assert.equal(flags1(b, 9), GTF_accept_transfer | N.GTF_transfer_committed | N.GTF_transfer_completed);
  assert.deepEqual(b.read(60 * 4096, 1), new Uint8Array([42]));
  assert.equal(a.read(7 * 4096, 1), null);
  v1(a, 10, GTF_permit_access, 6, 8);
  const { handle } = map(b, 5, 10, 70);
  assert.equal(give(8, 6, 9), N.GNTST_bad_page, 'a page that somebody maps stays');
  assert.equal(unmap(b, handle), 0);
  after();
});

test('a mapping outlives the entry, its page in the granter, and the granter; the mapper takes its own with it', () => {
  const { m, a, b, c, after } = three();
  a.write(7 * 4096, new Uint8Array([42]));
  v1(a, 9, GTF_permit_access, 6, 7);
  const one = map(b, 5, 9, 50);
  const two = map(b, 5, 9, 51, 6);
  v1(a, 9, 0, 0, 0); // revoked while mapped: no new users, but who has it keeps it
  assert.equal(map(c, 5, 9, 50).status, N.GNTST_general_error);
  a.write(4096, new Uint8Array(new BigUint64Array([7n]).buffer));
  const release = { extent_start: [8, 4096], nr_extents: [8, 1], domid: [2, SELF] } as Record<string, [number, number]>;
  assert.equal(a.op('memory_op', 'XENMEM_decrease_reservation', 'xen_memory_reservation', release), 1);
  assert.deepEqual(b.read(50 * 4096, 1), new Uint8Array([42]));
  after();
  assert.equal(unmap(b, one.handle), 0);
  assert.deepEqual(b.read(51 * 4096, 1), new Uint8Array([42]));
  assert.equal(m.x.service_destroy(5), 0);
  assert.equal(m.x.domain_state(5), -2);
  assert.equal(map(b, 5, 9, 52).status, N.GNTST_bad_domain, 'a dying domain grants nothing');
  after();
  assert.equal(m.x.service_destroy(6), 0);
  assert.equal(m.x.domain_state(5), -1, 'the last mapping went with its mapper');
  assert.equal(two.status, 0);
  after();
});

test('swaps, replacements and flushes', () => {
  const { a, b, after } = three();
  const swap = (x: number, y: number) => {
    a.op('grant_table_op', 'GNTTABOP_swap_grant_ref', 'gnttab_swap_grant_ref', { ref_a: [4, x], ref_b: [4, y] }, 1);
    return a.get('gnttab_swap_grant_ref', 'status', 2, true);
  };
  v1(a, 9, GTF_permit_access, 6, 7);
  assert.equal(swap(9, 10), 0);
  assert.equal(flags1(a, 10), GTF_permit_access);
  assert.equal(swap(9, 5000), N.GNTST_bad_gntref);
  const { handle } = map(b, 5, 10, 50);
  assert.equal(swap(9, 10), N.GNTST_eagain);
  const replace = (to: number) => {
    const fields = { host_addr: [8, 50 * 4096], new_addr: [8, to], handle: [4, handle] } as Record<
      string,
      [number, number]
    >;
    b.op('grant_table_op', 'GNTTABOP_unmap_and_replace', 'gnttab_unmap_and_replace', fields, 1);
    return b.get('gnttab_unmap_and_replace', 'status', 2, true);
  };
  assert.equal(replace(51 * 4096), N.GNTST_general_error);
  assert.equal(replace(0), 0);
  assert.equal(replace(0), N.GNTST_bad_handle);
  const flush = (offset: number, length: number, op: number) =>
    a.op(
      'grant_table_op',
      'GNTTABOP_cache_flush',
      'gnttab_cache_flush',
      { offset: [2, offset], length: [2, length], op: [4, op] },
      1,
    );
  assert.equal(flush(4000, 97, 1), -N.EINVAL);
  assert.equal(flush(0, 0, 1), 0);
  assert.equal(flush(0, 64, 1 | 0x80000000), -N.EOPNOTSUPP);
  assert.equal(flush(0, 64, 4), -N.EINVAL);
  assert.equal(flush(0, 64, 1), -N.EINVAL, 'no frame of the machine that a guest could have');
  after();
});
