// SERVICEOP_copy: what is granted goes to and from the service's heap, and nothing else does.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { Machine, N, random, type Service } from '../../test/hypervisor.ts';

const SELF = 0x7ff0;
const LIST = 0x8000;
/** The granter: its table and pages, in its own space. */
const GRANTER = 5;
const TABLE = 40;
const GFN = 7;
const { GTF_permit_access: PERMIT, GTF_readonly: READONLY } = N as { GTF_permit_access: number; GTF_readonly: number };

let m: Machine;
let front: Service;
let back: Service;

/** Entry `ref` of its table, version 1. */
const grant = (ref: number, flags: number, domid: number, gfn: number): void =>
  front.write(TABLE * 4096 + 8 * ref, new Uint8Array(new Uint16Array([flags, domid, gfn, 0]).buffer));

type Part = [gref: number, offset: number, length: number];

function copy(parts: readonly Part[], heap: number, out: number, domid = GRANTER): { status: number; done: number } {
  const list = new DataView(new ArrayBuffer(8 * parts.length));
  parts.forEach(([gref, offset, length], i) => {
    list.setUint32(8 * i, gref, true);
    list.setUint16(8 * i + 4, offset, true);
    list.setUint16(8 * i + 6, length, true);
  });
  back.write(LIST, new Uint8Array(list.buffer));
  const fields = { list: [8, LIST], heap: [4, heap], count: [4, parts.length], domid: [2, domid], out: [2, out] };
  assert.equal(back.op('service_op', 'SERVICEOP_copy', 'service_copy', fields as never, 1), 0);
  return { status: back.get('service_copy', 'status', 4, true), done: back.get('service_copy', 'done', 4) };
}

const page = (i: number): Uint8Array => front.read(4096 * (GFN + i), 4096)!;

before(() => {
  m = new Machine();
  m.service(0, 1);
  front = m.service(GRANTER);
  back = m.service(0x7f03, 256 | 1);
  const table = { domid: [2, SELF], space: [4, 1], idx: [8, 0], gpfn: [8, TABLE] };
  assert.equal(front.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', table as never), 0);
  for (let i = 0; i < 4; i++) grant(8 + i, PERMIT, 0x7f03, GFN + i);
});

test('parts of pages follow each other in the heap, both ways', () => {
  const next = random(3);
  for (let i = 0; i < 4; i++)
    front.write(
      4096 * (GFN + i),
      Uint8Array.from({ length: 4096 }, () => next(256)),
    );
  const pages = [0, 1, 2, 3].map(page);
  assert.deepEqual(copy([[8, 0, 4096], [11, 512, 1024], [9, 4095, 1]], 100, 0), { status: 0, done: 3 }); // prettier-ignore
  const expected = Buffer.concat([pages[0]!, pages[3]!.subarray(512, 1536), pages[1]!.subarray(4095)]);
  assert.ok(expected.equals(m.heap.subarray(100, 100 + expected.length)));
  m.heap.set(Buffer.from('into the guest'), 7000);
  assert.deepEqual(copy([[10, 4090, 6], [8, 0, 8]], 7000, 1), { status: 0, done: 2 }); // prettier-ignore
  assert.equal(Buffer.from(page(2).subarray(4090)).toString(), 'into t');
  assert.equal(Buffer.from(page(0).subarray(0, 8)).toString(), 'he guest');
  assert.deepEqual(page(3), pages[3]);
  // More than are looked at together.
  const many = Array.from({ length: 200 }, (_, i): Part => [8 + (i % 4), 16 * i, 16]);
  assert.deepEqual(copy(many, 0, 0), { status: 0, done: 200 });
  many.forEach(([gref, offset], i) =>
    assert.deepEqual(m.heap.slice(16 * i, 16 * i + 16), page(gref - 8).slice(offset, offset + 16)),
  );
});

test('what is not granted so, cannot be, or has no place ends it, with what was done before', () => {
  grant(12, PERMIT | READONLY, 0x7f03, GFN);
  grant(13, PERMIT, 0x7f04, GFN);
  grant(14, PERMIT, 0x7f03, 0xfff);
  const good: Part = [8, 0, 16];
  const cases: [Part, number, number][] = [
    [[12, 0, 16], 1, -N.EACCES!],
    [[13, 0, 16], 0, -N.EACCES!],
    [[14, 0, 16], 0, -N.EACCES!],
    [[15, 0, 16], 0, -N.EACCES!],
    [[0xffffffff, 0, 16], 0, -N.EACCES!],
    [[8, 4090, 7], 0, -N.EINVAL!],
    [[8, 0, 0], 0, -N.EINVAL!],
    [[8, 65535, 65535], 0, -N.EINVAL!],
  ];
  for (const [bad, out, status] of cases) assert.deepEqual(copy([good, bad, good], 0, out), { status, done: 1 });
  assert.deepEqual(copy([[12, 0, 16]], 0, 0), { status: 0, done: 1 });
  assert.deepEqual(copy([good, good], m.heap.length - 16, 0), { status: -N.EFAULT!, done: 1 });
  assert.deepEqual(copy([good], 0xfffffff8, 0), { status: -N.EFAULT!, done: 0 });
  assert.deepEqual(copy([good], 0, 2), { status: -N.EINVAL!, done: 0 });
  assert.deepEqual(copy([good], 0, 0, 77), { status: -N.ESRCH!, done: 0 });
  assert.deepEqual(copy(Array(513).fill(good), 0, 0), { status: -N.EINVAL!, done: 0 });
  assert.equal(invariants(m.x), null, 'no use of a grant is left');
});
