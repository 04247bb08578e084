// PV domains' memory: what they have, what their page tables may say, and what they may ask for.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { invariants } from '../../test/invariants.ts';
import { createDomain, destroyDomain, foreign, Machine, N } from '../../test/hypervisor.ts';
import { BASE, domctl, entry, PvGuest, RO_PTE, RW_PTE } from '../../test/pv.ts';

const SELF = 0x7ff0;
const WRITABLE = 6;

function guest(pages = 64, tables = 40) {
  const m = new Machine();
  const dom0 = m.service(0, 1);
  const free = m.x.frames_free();
  const g = new PvGuest(m, dom0, pages);
  if (tables) g.tables(tables);
  return { m, dom0, g, free };
}

test('a PV domain has frames, and its own numbers for them', () => {
  const { m, dom0, g, free } = guest(64, 0);
  assert.equal(new Set(g.mfns).size, 64);
  const x = m.x as unknown as Record<string, (n: number) => bigint>;
  g.mfns.forEach((mfn, pfn) => assert.equal(Number(x.test_m2p(mfn)), pfn));
  assert.equal(invariants(m.x), null);
  foreign(dom0, g.id, g.mfns[3], 100);
  dom0.setU32(100 * 4096, 0x12345678);
  assert.equal(Number(g.words(g.mfns[3])[0]), 0x12345678);
  assert.equal(g.type(g.mfns[3]), WRITABLE);
  assert.equal(invariants(m.x), null);
  assert.equal(destroyDomain(dom0, g.id), 0);
  assert.equal(dom0.u32(100 * 4096), 0x12345678, 'a frame lives as long as its mapping');
  dom0.op('memory_op', 'XENMEM_remove_from_physmap', 'xen_remove_from_physmap', { domid: [2, SELF], gpfn: [8, 100] });
  assert.equal(invariants(m.x), null);
  assert.equal(m.x.domain_state(g.id), -1);
  assert.ok(free - m.x.frames_free() <= 6, 'the M2P stays');
});

test('tables are looked at, pinned, and taken apart again', () => {
  const { m, dom0, g } = guest();
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => g.type(g.roots[i])),
    [4, 3, 2, 1],
  );
  assert.equal(g.uses(g.roots[0]), 2, 'pinned, and in use');
  assert.equal(g.type(g.mfns[0]), WRITABLE);
  assert.equal(invariants(m.x), null);
  assert.equal(g.call('xen_version', 0), 0x40011);
  assert.equal(destroyDomain(dom0, g.id), 0);
  assert.equal(invariants(m.x), null);
  assert.equal(m.x.domain_state(g.id), -1);
});

test('entries change by mmu_update and update_va_mapping', () => {
  const { m, g } = guest();
  const l1 = g.roots[3];
  const words = g.words(l1);
  assert.equal(g.map(5, entry(g.mfns[5], RO_PTE)), 0);
  assert.equal(g.type(g.mfns[5]), 0);
  assert.equal(words[5], entry(g.mfns[5], RO_PTE));
  assert.equal(g.map(5, entry(g.mfns[6], RW_PTE)), 0);
  assert.equal(g.uses(g.mfns[6]), 2);
  assert.equal(g.set(l1, 5, 0n), 0);
  assert.equal(g.uses(g.mfns[6]), 1);
  assert.equal(g.holds(g.mfns[5]), 1);
  assert.equal(g.set(l1, 5, entry(g.mfns[5], 3n)), 0);
  assert.equal(words[5], entry(g.mfns[5], 7n), 'the kernel runs in ring 3');
  words[5] |= 0x60n; // a processor
  assert.equal(g.set(l1, 5, entry(g.mfns[5], 7n), 2), 0);
  assert.equal(words[5], entry(g.mfns[5], 0x67n), 'accessed and dirty are kept');
  assert.equal(g.set(l1, 5, entry(g.mfns[5], 7n), 0), 0);
  assert.equal(words[5], entry(g.mfns[5], 7n));
  const other = new PvGuest(m, g.dom0, 8);
  const refused: [bigint, number][] = [
    [entry(g.mfns[40], RW_PTE), N.EBUSY], // a table, to be written
    [entry(g.mfns[5], RW_PTE | 0x80n), N.EINVAL], // PAT
    [entry(g.mfns[5], RW_PTE | 0x10n), N.EINVAL],
    [entry(0xfffff, RO_PTE), N.EINVAL],
    [entry(1, RO_PTE), N.EINVAL],
    [entry(other.mfns[0], RO_PTE), N.EBUSY],
    [entry(m.x.service_mailbox(0) >>> 12, RO_PTE), N.EINVAL],
  ];
  for (const [value, errno] of refused) {
    assert.equal(g.set(l1, 5, value), -errno, value.toString(16));
    assert.equal(g.map(5, value), -errno, value.toString(16));
  }
  assert.equal(words[5], entry(g.mfns[5], 7n));
  assert.equal(g.call('update_va_mapping', 0xffff800000000000n, 0), -N.EINVAL);
  assert.equal(g.call('update_va_mapping', 0x1000, 0), -N.EINVAL, 'no table there');
  assert.equal(g.set(g.roots[0], 256, 0n), -N.EINVAL, "the hypervisor's slot");
  assert.equal(g.set(g.roots[2], 1, entry(g.mfns[9], RW_PTE)), -N.EINVAL, 'a page that is mapped writable is no table');
  assert.equal(g.set(g.roots[2], 1, entry(l1, RW_PTE | 0x80n)), -N.EINVAL, 'no large pages');
  assert.equal(g.set(other.mfns[0], 0, 0n), -N.EINVAL, "another's");
  assert.equal(g.set(g.mfns[9], 1, 77n), 0, 'memory like other');
  assert.equal(g.words(g.mfns[9])[1], 77n);
  assert.equal(g.update([[4n, 0n]]), -N.ENOSYS);
  assert.equal(g.update([[0n, 0n]], other.id), -N.EPERM);
  assert.equal(g.update([[0n, 0n]], 4321), -N.ESRCH);
  assert.equal(invariants(m.x), null);
});

test('a new table, an old one, and how much was done', () => {
  const { m, g } = guest();
  const [t] = [g.mfns[10]];
  g.words(t).fill(0n);
  g.words(t)[0] = entry(g.mfns[11], RW_PTE);
  assert.equal(g.map(10, entry(t, RO_PTE)), 0);
  assert.equal(g.mmuext('PIN_L1_TABLE', t), 0);
  assert.equal(g.mmuext('PIN_L1_TABLE', t), -N.EINVAL, 'twice');
  assert.equal(g.map(10, entry(t, RW_PTE)), -N.EBUSY);
  assert.equal(g.set(g.roots[2], 3, entry(t, RW_PTE)), 0);
  assert.equal(g.uses(t), 2);
  assert.equal(g.call('update_va_mapping', BASE + 0x600000n, entry(g.mfns[12], RW_PTE)), 0);
  assert.equal(g.words(t)[0], entry(g.mfns[12], RW_PTE));
  assert.equal(g.mmuext('UNPIN_TABLE', t), 0);
  assert.equal(g.mmuext('UNPIN_TABLE', t), -N.EINVAL);
  const ptr = (mfn: number, i: number) => (BigInt(mfn) << 12n) | BigInt(i * 8);
  const done = g.va(0, 2048);
  assert.equal(
    g.update(
      [
        [ptr(g.roots[2], 3), 0n],
        [ptr(g.roots[3], 10), entry(t, RW_PTE)],
        [ptr(1, 1), 0n],
      ],
      SELF,
      done,
    ),
    -N.EINVAL,
  );
  assert.equal(g.get(2048), 2n);
  assert.equal(g.type(t), WRITABLE);
  assert.equal(invariants(m.x), null);
});

test('the walker finds what a wrong hypervisor would do', () => {
  const plant = (what: (g: PvGuest, m: Machine, other: PvGuest) => void): string | null => {
    const { m, dom0, g } = guest();
    const other = new PvGuest(m, dom0, 16);
    other.tables(8);
    assert.equal(invariants(m.x), null);
    what(g, m, other);
    return invariants(m.x);
  };
  const l1 = (g: PvGuest) => g.words(g.roots[3]);
  assert.match(plant((g) => (l1(g)[41] |= 2n))!, /page table \d+ has a wrong entry 41/, 'a table that can be written');
  assert.match(plant((g) => (l1(g)[3] = 0n))!, /frame \d+ has 1 holds more/, 'a mapping that has gone');
  assert.match(plant((g) => (l1(g)[60] = entry(g.mfns[5], RO_PTE)))!, /frame \d+ has -1 holds more/);
  assert.match(plant((g, _m, other) => (l1(g)[60] = entry(other.mfns[5], RO_PTE)))!, /that nobody has granted/);
  assert.match(plant((g) => (g.words(g.roots[2])[9] = entry(g.mfns[5], RO_PTE)))!, /has a wrong entry 9/, 'no table');
  assert.match(plant((g) => (g.words(g.roots[1])[9] = entry(g.roots[1], RW_PTE)))!, /has a wrong entry 9/, 'linear');
  assert.match(plant((g, m) => m.x.test_plant_use(g.mfns[5], 1))!, /frame \d+ has 1 uses of its type more/);
  assert.match(plant((g, m) => m.x.test_plant_use(g.mfns[5], -1))!, /frame \d+ has -1 uses of its type more/);
});

test('tables with a mistake leave nothing behind', () => {
  const { m, g } = guest();
  const bad = [g.mfns[40], 0xfffff];
  for (const what of bad)
    for (const slot of [0, 1, 511]) {
      const t = g.mfns[10];
      g.words(t).fill(entry(g.mfns[11], RW_PTE));
      g.words(t)[slot] = entry(what, RW_PTE);
      assert.equal(g.map(10, entry(t, RO_PTE)), 0);
      const holds = g.holds(g.mfns[11]);
      const rc = g.mmuext('PIN_L1_TABLE', t);
      assert.ok(rc === -N.EBUSY || rc === -N.EINVAL, `${rc}`);
      assert.equal(g.holds(g.mfns[11]), holds);
      assert.equal(g.type(t), 0);
      assert.equal(g.map(10, entry(t, RW_PTE)), 0);
      assert.equal(invariants(m.x), null);
    }
});

/** The guest's grant table: entry `ref` lets `domid` have its frame. */
function grant(g: PvGuest, ref: number, domid: number, mfn: number, readonly = false) {
  const frames = g.va(0, 1024);
  assert.equal(g.call('grant_table_op', N.GNTTABOP_setup_table, g.put(0, (1n << 32n) | BigInt(SELF), 0, frames), 1), 0);
  const table = Number(g.get(1024));
  g.words(table)[ref] = BigInt(readonly ? 5 : 1) | (BigInt(domid) << 16n) | (BigInt(mfn) << 32n);
  return () => Number(g.words(table)[ref] & 0xffffn);
}
const mapFields = 'host_addr flags ref dom status handle dev_bus_addr'.split(' ');

/** GNTTABOP_map_grant_ref by a PV guest: its status. */
function map(g: PvGuest, addr: bigint, flags: number, ref: number, dom: number) {
  const at = g.put(0, addr, BigInt(flags) | (BigInt(ref) << 32n), BigInt(dom), 0, 0);
  assert.equal(mapFields.length, 7);
  assert.equal(g.call('grant_table_op', N.GNTTABOP_map_grant_ref, at, 1), 0);
  const status = Number(BigInt.asIntN(16, g.get(16) >> 16n));
  return { status, handle: Number(g.get(16) >> 32n), bus: g.get(24) };
}
function unmap(g: PvGuest, addr: bigint, handle: number, bus = 0n) {
  const at = g.put(0, addr, bus, handle);
  assert.equal(g.call('grant_table_op', N.GNTTABOP_unmap_grant_ref, at, 1), 0);
  return Number(BigInt.asIntN(16, g.get(16) >> 32n));
}
function replace(g: PvGuest, addr: bigint, handle: number, instead: bigint) {
  const at = g.put(0, addr, instead, handle);
  assert.equal(g.call('grant_table_op', N.GNTTABOP_unmap_and_replace, at, 1), 0);
  return Number(BigInt.asIntN(16, g.get(16) >> 32n));
}

test('grants in page tables: by address, by entry, read-only, replaced', () => {
  const { m, dom0, g } = guest();
  const a = new PvGuest(m, dom0, 16);
  a.tables(8);
  const use = grant(a, 9, g.id, a.mfns[3]);
  const l1 = g.words(g.roots[3]);
  const HOST = 2;
  const READONLY = 4;
  const PTE = 16;
  let r = map(g, g.va(5), HOST, 9, a.id);
  assert.equal(r.status, 0);
  assert.equal(r.bus, BigInt(a.mfns[3]) << 12n);
  assert.equal(l1[5], entry(a.mfns[3], RW_PTE));
  assert.equal(use(), 25);
  assert.equal(g.holds(g.mfns[5]), 1, 'what was mapped there is so no more');
  assert.equal(invariants(m.x), null);
  assert.equal(unmap(g, g.va(6), r.handle), N.GNTST_general_error);
  assert.equal(unmap(g, g.va(5), r.handle + 1), N.GNTST_bad_handle);
  assert.equal(unmap(g, g.va(5), r.handle), 0);
  assert.equal(l1[5], 0n);
  assert.equal(use(), 1);
  const pte = (BigInt(g.roots[3]) << 12n) | 40n;
  r = map(g, pte, HOST | READONLY | PTE, 9, a.id);
  assert.equal(r.status, 0);
  assert.equal(l1[5], entry(a.mfns[3], RO_PTE | 0x40n));
  assert.equal(g.set(g.roots[3], 5, entry(a.mfns[3], RW_PTE)), -N.EBUSY, 'the guest cannot make it writable');
  assert.equal(g.map(6, entry(a.mfns[3], RO_PTE)), -N.EBUSY, 'nor map it elsewhere');
  assert.equal(invariants(m.x), null);
  assert.equal(replace(g, pte, r.handle, g.va(7)), N.GNTST_general_error, 'not by entry');
  assert.equal(unmap(g, pte, r.handle), 0);
  assert.equal(map(g, pte + 4n, HOST | PTE, 9, a.id).status, N.GNTST_general_error);
  assert.equal(map(g, pte & ~0xfffn, HOST | PTE, 8, a.id).status, N.GNTST_general_error);
  assert.equal(map(g, BigInt(g.mfns[20]) << 12n, HOST | PTE, 9, a.id).status, N.GNTST_general_error, 'no table');
  assert.equal(map(g, BigInt(a.roots[3]) << 12n, HOST | PTE, 9, a.id).status, N.GNTST_general_error, "another's");
  assert.equal(map(g, 0x1000n, HOST, 9, a.id).status, N.GNTST_general_error);
  assert.equal(use(), 1);
  r = map(g, g.va(5), HOST, 9, a.id);
  assert.equal(replace(g, g.va(5), r.handle, g.va(7)), 0);
  assert.equal(l1[5], entry(g.mfns[7], RW_PTE));
  assert.equal(l1[7], 0n);
  assert.equal(use(), 1);
  assert.equal(invariants(m.x), null);
  // Both parts, one after the other.
  r = map(g, g.va(5), HOST | 1, 9, a.id);
  assert.equal(r.status, 0);
  assert.equal(unmap(g, g.va(5), r.handle, 4096n), N.GNTST_bad_dev_addr);
  assert.equal(unmap(g, g.va(5), r.handle), 0);
  assert.equal(use(), 25);
  assert.equal(invariants(m.x), null);
  assert.equal(unmap(g, 0n, r.handle, r.bus), 0);
  assert.equal(use(), 1);
  // A mapping that the guest has overwritten stays in use until it ends.
  r = map(g, g.va(5), HOST, 9, a.id);
  assert.equal(g.map(5, 0n), 0);
  assert.equal(unmap(g, g.va(5), r.handle), N.GNTST_general_error);
  assert.equal(invariants(m.x), null);
  assert.equal(map(g, g.va(8), HOST, 9, a.id).status, 0);
  assert.equal(destroyDomain(dom0, a.id), 0);
  assert.equal(invariants(m.x), null);
  assert.equal(l1[8], entry(a.mfns[3], RW_PTE), 'the frame lives as long as its mapping');
  assert.equal(destroyDomain(dom0, g.id), 0);
  assert.equal(invariants(m.x), null);
  assert.equal(m.x.domain_state(a.id), -1);
});

test('what is written for others goes into no page table', () => {
  const { m, dom0, g } = guest();
  const s = m.service(5);
  for (const mfn of [g.roots[3], g.roots[0]]) {
    grant(g, 9, 5, mfn);
    grant(g, 10, 5, mfn, true);
    const ask = (flags: number, ref: number) => {
      const fields = { host_addr: [8, 90 * 4096], flags: [4, flags], ref: [4, ref], dom: [2, g.id] } as Record<
        string,
        [number, number]
      >;
      s.op('grant_table_op', 'GNTTABOP_map_grant_ref', 'gnttab_map_grant_ref', fields, 1);
      return s.get('gnttab_map_grant_ref', 'status', 2, true);
    };
    assert.equal(ask(2, 9), N.GNTST_bad_page);
    assert.equal(ask(6, 9), 0, 'to be read it may be had');
    const before = g.words(mfn)[3];
    const v = new DataView(new ArrayBuffer(N.sizeof_gnttab_copy));
    v.setUint16(N.gnttab_copy__source + N.gnttab_copy_ptr__domid, SELF, true);
    v.setUint32(N.gnttab_copy__dest, 9, true);
    v.setUint16(N.gnttab_copy__dest + N.gnttab_copy_ptr__domid, g.id, true);
    v.setUint16(N.gnttab_copy__len, 64, true);
    v.setUint16(N.gnttab_copy__flags, 2, true);
    s.write(0, new Uint8Array(v.buffer));
    assert.equal(s.hypercall(N.__HYPERVISOR_grant_table_op, N.GNTTABOP_copy, 0, 1), 0);
    assert.equal(s.get('gnttab_copy', 'status', 2, true), N.GNTST_bad_page);
    assert.equal(g.words(mfn)[3], before);

    s.op('grant_table_op', 'GNTTABOP_unmap_grant_ref', 'gnttab_unmap_grant_ref', { handle: [4, 0] }, 1);
  }
  foreign(dom0, g.id, g.roots[3], 100);
  assert.equal(dom0.write(100 * 4096, new Uint8Array(8)), false, 'the control domain reads tables only');
  assert.ok(dom0.read(100 * 4096, 8));
  const info = g.put(0, g.roots[3], 0);
  assert.equal(g.call('vcpu_op', N.VCPUOP_register_vcpu_info, 0, info), -N.EINVAL);
  assert.equal(g.call('vcpu_op', N.VCPUOP_register_vcpu_info, 0, g.put(0, g.mfns[9], 0)), 0);
  assert.equal(g.map(9, entry(g.mfns[9], RO_PTE)), 0);
  assert.equal(g.mmuext('PIN_L1_TABLE', g.mfns[9]), -N.EINVAL, 'vcpu_info is written for good');
  assert.equal(g.call('xen_version', N.XENVER_extraversion, g.va(43)), -N.EFAULT, 'a handle that leads to a table');
  assert.equal(invariants(m.x), null);
});

/** A guest whose pages 8 to 11 are an L4 to an L1, mapped read-only and not yet looked at. */
function unlooked() {
  const all = guest();
  const { g } = all;
  const tree = g.mfns.slice(8, 12);
  for (let i = 0; i < 4; i++) {
    const words = g.words(tree[i]);
    words.fill(0n);
    if (i < 3) words[7] = entry(tree[i + 1], RW_PTE);
    else for (let n = 0; n < 6; n++) words[80 * n] = entry(g.mfns[20 + n], RW_PTE);
    if (i === 0) words[511] = g.words(g.roots[0])[511];
    assert.equal(g.map(8 + i, entry(tree[i], RO_PTE)), 0);
  }
  return { ...all, tree };
}
const PARTIAL = 8;

test('validation gives way after each entry, and goes on', () => {
  const { m, g, tree } = unlooked();
  m.x.test_type_budget(1);
  assert.equal(g.mmuext('PIN_L4_TABLE', tree[0]), 0);
  // All entries of four tables but the hypervisor's slots; the last of each is done with the first of the next level up.
  assert.ok(m.x.test_continued() > 4 * 512 - 16 - 8, String(m.x.test_continued()));
  assert.deepEqual(
    tree.map((mfn) => g.type(mfn)),
    [4, 3, 2, 1],
  );
  assert.deepEqual(
    tree.map((mfn) => g.uses(mfn)),
    [1, 1, 1, 1],
  );
  assert.equal(invariants(m.x), null);
  assert.equal(g.mmuext('UNPIN_TABLE', tree[0]), 0);
  assert.ok(m.x.test_continued() > 4 * 512 - 16 - 8);
  assert.deepEqual(
    tree.map((mfn) => g.type(mfn)),
    [0, 0, 0, 0],
  );
  assert.equal(invariants(m.x), null);
});

test('an operation that is left in the middle', () => {
  const { m, dom0, g, tree } = unlooked();
  const pin = (most: number) => g.steps(most, 'mmuext_op', g.put(0, N.MMUEXT_PIN_L4_TABLE, tree[0], 0), 1, 0, SELF);
  const flags = () => tree.map((mfn) => m.x.test_frame_flags(mfn) & PARTIAL);
  for (const most of [1, 5, 100, 700, 1500, 1900]) {
    m.x.test_type_budget(1);
    pin(most);
    assert.equal(m.x.test_continued(), most);
    assert.ok(flags()[0]);
    assert.equal(invariants(m.x), null, `${most}`);
    assert.equal(g.map(8, entry(tree[0], RW_PTE)), -N.EBUSY, 'half a table is no memory');
    assert.equal(g.set(tree[0], 3, 0n), -N.EINVAL, 'nor a table to be changed');
    assert.equal(g.mmuext('PIN_L3_TABLE', tree[0]), -N.EINVAL);
    assert.equal(g.mmuext('UNPIN_TABLE', tree[0]), -N.EINVAL);
    assert.equal(invariants(m.x), null, `${most}`);
    // Whoever comes goes on: the control domain, too.
    m.x.test_type_budget(4096);
    assert.equal(g.pin('L4', tree[0]), 0);
    assert.deepEqual(flags(), [0, 0, 0, 0]);
    assert.equal(invariants(m.x), null);
    m.x.test_type_budget(1);
    // Left while it is taken apart; the next operation of the vCPU's comes first to its end.
    g.steps(most, 'mmuext_op', g.put(0, N.MMUEXT_UNPIN_TABLE, tree[0], 0), 1, 0, SELF);
    assert.equal(invariants(m.x), null);
    if (most % 200) assert.equal(g.mmuext('PIN_L4_TABLE', tree[0]), 0);
    else assert.equal(g.mmuext('TLB_FLUSH_LOCAL'), 0);
    assert.equal(g.type(tree[0]), most % 200 ? 4 : 0);
    if (most % 200) assert.equal(g.mmuext('UNPIN_TABLE', tree[0]), 0);
    assert.equal(invariants(m.x), null);
  }
  m.x.test_type_budget(1);
  pin(1200);
  assert.equal(destroyDomain(dom0, g.id), 0);
  assert.equal(invariants(m.x), null);
  assert.equal(m.x.domain_state(g.id), -1);
});

test('a mistake deep down: all is given back in steps, and the answer stays', () => {
  for (const slot of [1, 400, 511]) {
    const { m, g, tree } = unlooked();
    g.words(tree[3])[slot] = entry(g.roots[0], RW_PTE);
    m.x.test_type_budget(1);
    assert.equal(g.mmuext('PIN_L4_TABLE', tree[0]), -N.EBUSY);
    assert.ok(m.x.test_continued() > slot);
    assert.deepEqual(
      tree.map((mfn) => g.type(mfn)),
      [0, 0, 0, 0],
    );
    assert.equal(invariants(m.x), null);
    // The same by an entry that names it.
    assert.equal(g.set(g.roots[0], 3, entry(tree[1], RW_PTE)), -N.EBUSY);
    assert.deepEqual(
      tree.map((mfn) => g.type(mfn)),
      [0, 0, 0, 0],
    );
    g.words(tree[3])[slot] = 0n;
    assert.equal(g.set(g.roots[0], 3, entry(tree[1], RW_PTE)), 0);
    assert.deepEqual(
      tree.map((mfn) => g.type(mfn)),
      [0, 3, 2, 1],
    );
    const done = g.va(0, 2048);
    const slots: [bigint, bigint][] = [3, 4].map((i) => [(BigInt(g.roots[0]) << 12n) | BigInt(8 * i), 0n]);
    assert.equal(g.update(slots, SELF, done), 0);
    assert.equal(g.get(2048), 2n, 'counted once, though it gave way');
    assert.deepEqual(
      tree.map((mfn) => g.type(mfn)),
      [0, 0, 0, 0],
    );
    assert.equal(invariants(m.x), null);
  }
});

test('roots: the kernel goes on another, and back', () => {
  const { m, g, tree } = unlooked();
  for (const budget of [4096, 1]) {
    m.x.test_type_budget(budget);
    assert.equal(g.mmuext('NEW_BASEPTR', g.mfns[9]), -N.EINVAL, 'no root');
    assert.equal(g.mmuext('NEW_BASEPTR', tree[0]), 0);
    assert.equal(g.uses(tree[0]), 1);
    assert.equal(g.uses(g.roots[0]), 1, 'still pinned');
    assert.equal(g.mmuext('NEW_USER_BASEPTR', tree[0]), 0);
    assert.equal(g.uses(tree[0]), 2);
    assert.equal(g.mmuext('NEW_USER_BASEPTR', 0xfffffff), -N.EINVAL);
    assert.equal(g.mmuext('NEW_BASEPTR', g.roots[0]), 0);
    assert.equal(g.uses(tree[0]), 1);
    assert.equal(g.mmuext('NEW_USER_BASEPTR', 0), 0);
    assert.deepEqual(
      tree.map((mfn) => g.type(mfn)),
      [0, 0, 0, 0],
    );
    assert.equal(invariants(m.x), null);
  }
});

test('linear page tables: read-only, and no chains of them', () => {
  const { m, g, tree } = unlooked();
  const [l4, l3] = tree;
  assert.equal(g.mmuext('PIN_L4_TABLE', l4), 0);
  assert.equal(g.set(l4, 300, entry(l4, RO_PTE)), 0);
  assert.equal(g.set(l4, 301, entry(l4, RW_PTE)), -N.EINVAL);
  assert.equal(g.set(l4, 300, entry(l4, RW_PTE)), -N.EINVAL);
  assert.equal(g.uses(l4), 1, 'by itself it is not kept');
  const root = g.roots[0];
  assert.equal(g.set(root, 300, entry(l4, RO_PTE)), 0);
  assert.equal(g.uses(l4), 2);
  assert.equal(g.set(l4, 302, entry(root, RO_PTE)), -N.EINVAL, 'who is named so names none');
  assert.equal(g.set(root, 303, entry(l3, RO_PTE)), 0, 'that is no linear one');
  assert.equal(invariants(m.x), null);
  assert.equal(g.mmuext('UNPIN_TABLE', l4), 0);
  assert.equal(g.type(l4), 4, 'its other use');
  assert.equal(g.set(root, 300, 0n), 0);
  assert.equal(g.type(l4), 0);
  assert.equal(g.set(root, 303, 0n), 0);
  assert.equal(g.type(l3), 0);
  assert.equal(invariants(m.x), null);
});

test('mmuext_op: what else there is, and what is refused', () => {
  const { m, dom0, g } = guest();
  const other = new PvGuest(m, dom0, 8);
  const hvm = createDomain(dom0, 8);
  g.words(g.mfns[9]).fill(5n);
  assert.equal(g.mmuext('COPY_PAGE', g.mfns[10], g.mfns[9]), 0);
  assert.equal(g.words(g.mfns[10])[511], 5n);
  assert.equal(g.mmuext('CLEAR_PAGE', g.mfns[10]), 0);
  assert.equal(g.words(g.mfns[10])[511], 0n);
  assert.equal(g.mmuext('CLEAR_PAGE', g.roots[3]), -N.EINVAL);
  assert.equal(g.mmuext('COPY_PAGE', g.roots[3], g.mfns[9]), -N.EINVAL);
  assert.equal(g.mmuext('COPY_PAGE', g.mfns[10], other.mfns[0]), -N.EINVAL);
  assert.equal(g.mmuext('FLUSH_CACHE'), -N.EACCES);
  assert.equal(g.mmuext('FLUSH_CACHE_GLOBAL'), -N.EACCES);
  assert.equal(g.mmuext('MARK_SUPER', g.mfns[10]), -N.EOPNOTSUPP);
  assert.equal(g.mmuext('UNMARK_SUPER', g.mfns[10]), -N.EOPNOTSUPP);
  assert.equal(g.call('mmuext_op', g.put(0, 14, 0, 0), 1, 0, SELF), -N.ENOSYS);
  assert.equal(g.call('mmuext_op', 0x1000, 1, 0, SELF), -N.EFAULT);
  for (const op of ['TLB_FLUSH_LOCAL', 'TLB_FLUSH_ALL', 'INVLPG_LOCAL', 'INVLPG_ALL'])
    assert.equal(g.mmuext(op, g.va(3)), 0);
  assert.equal(g.mmuext('TLB_FLUSH_MULTI', 0, g.va(0, 2048)), 0);
  assert.equal(g.mmuext('INVLPG_MULTI', g.va(3), 0x1000), -N.EINVAL);
  assert.equal(g.mmuext('SET_LDT', g.va(3), 8192), 0);
  assert.equal(g.mmuext('SET_LDT', g.va(3, 8), 4), -N.EINVAL);
  assert.equal(g.mmuext('SET_LDT', g.va(3), 8193), -N.EINVAL);
  assert.equal(g.mmuext('SET_LDT', 0xffff800000000000n, 4), -N.EINVAL);
  assert.equal(g.mmuext('SET_LDT', g.va(3, 8), 0), 0);
  assert.equal(g.mmuext('PIN_L1_TABLE', other.mfns[0], 0, other.id), -N.EPERM);
  assert.equal(g.mmuext('TLB_FLUSH_LOCAL', 0, 0, 4321), -N.ESRCH);
  assert.equal(g.mmuext('TLB_FLUSH_LOCAL', 0, 0, g.id), -N.ESRCH, 'not by its own number');
  assert.equal(g.mmuext('PIN_L1_TABLE', 0, 0, hvm), -N.EINVAL);
  // What a guest that is not PV may ask for.
  const ask = (cmd: string, whom: number, mfn = 0) => {
    dom0.put(64, 'mmuext_op', { cmd: [4, N[`MMUEXT_${cmd}`]], arg1__mfn: [8, mfn] });
    return dom0.hypercall(N.__HYPERVISOR_mmuext_op, 64, 1, 0, whom);
  };
  assert.equal(ask('PIN_L1_TABLE', other.id, other.mfns[0]), 0);
  assert.equal(ask('UNPIN_TABLE', other.id, other.mfns[0]), 0);
  assert.equal(ask('CLEAR_PAGE', other.id, other.mfns[0]), -N.EOPNOTSUPP);
  assert.equal(ask('PIN_L1_TABLE', hvm), -N.EINVAL);
  assert.equal(dom0.hypercall(N.__HYPERVISOR_mmu_update, 0, 0, 0, SELF), -N.ENOSYS);
  assert.equal(invariants(m.x), null);
});

test('reservations and exchanges of a PV guest', () => {
  const { m, dom0, g } = guest(64, 40);
  const list = g.va(0, 1024);
  const reserve = (op: string, n: number, order = 0, domid = SELF, at: bigint = list) =>
    g.call('memory_op', N[`XENMEM_${op}`], g.put(0, at, n, BigInt(order), BigInt(domid)));
  const m2p = (mfn: number) => Number((m.x as unknown as Record<string, (n: number) => bigint>).test_m2p(mfn));
  g.put(1024, 100, 101);
  assert.equal(reserve('populate_physmap', 2), 2);
  const [a, b] = [g.get(1024), g.get(1032)].map(Number);
  assert.deepEqual([m2p(a), m2p(b)], [100, 101]);
  assert.equal(g.map(10, entry(a, RW_PTE)), 0);
  assert.equal(g.words(a)[0], 0n);
  assert.equal(reserve('decrease_reservation', 2), 2);
  assert.equal(g.holds(a), 1, 'mapped, it stays');
  assert.equal(invariants(m.x), null);
  assert.equal(g.map(10, entry(g.mfns[10], RW_PTE)), 0);
  g.put(1024, 0, 0);
  assert.equal(reserve('increase_reservation', 1, 2), 1);
  const run = Number(g.get(1024));
  assert.equal(run % 4, 0, 'in a row, and aligned');
  assert.equal(m2p(run), -1, 'without a number');
  assert.equal(g.update([[(BigInt(run) << 12n) | 1n, 77n]]), 0);
  assert.equal(m2p(run), 77);
  assert.equal(g.update([[(BigInt(run + 0x1000) << 12n) | 1n, 77n]]), -N.EINVAL);
  assert.equal(reserve('increase_reservation', 100), 60, 'no more than it may have');
  g.put(1024, 0xfffff);
  assert.equal(reserve('decrease_reservation', 1), 0);
  const exchange = (from: number[], to: number[], orders: [number, number]) => {
    g.put(1024, ...from);
    g.put(1536, ...to);
    const part = (at: bigint, n: number, order: number) => [at, n, BigInt(order), BigInt(SELF)];
    return g.call(
      'memory_op',
      N.XENMEM_exchange,
      g.put(0, ...part(list, from.length, orders[0]), ...part(g.va(0, 1536), to.length, orders[1]), 0),
    );
  };
  const singles = [run, run + 1, run + 2, run + 3];
  assert.equal(exchange([g.mfns[5]], [200], [0, 0]), -N.EINVAL, 'mapped');
  assert.equal(exchange(singles, [200], [0, 2]), 0);
  const row = Number(g.get(1536));
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => m2p(row + i)),
    [200, 201, 202, 203],
  );
  assert.equal(exchange([row], [300, 301, 302, 303], [2, 0]), 0);
  assert.equal(m2p(Number(g.get(1560))), 303);
  assert.equal(
    exchange([Number(g.get(1536)), Number(g.get(1536))], [400, 401], [0, 0]),
    -N.EINVAL,
    'the same one twice',
  );
  assert.equal(g.get(64), 1n, 'one was exchanged');
  assert.equal(invariants(m.x), null);
  // There is no map of a PV guest's.
  const physmap = g.put(0, BigInt(SELF), 0, 0);
  assert.equal(g.call('memory_op', N.XENMEM_add_to_physmap, physmap), -N.EACCES);
  assert.equal(g.call('memory_op', N.XENMEM_machphys_mapping, g.put(0, 0, 0, 0)), 0);
  assert.deepEqual([g.get(0), g.get(8), g.get(16)], [0xffff800000000000n, 0xffff804000000000n, 0x7ffffffffn]);
  assert.equal(g.call('memory_op', N.XENMEM_machphys_mfn_list, g.put(0, 8, list, 0)), 0);
  assert.equal(g.get(16), 1n);
  assert.equal(g.call('memory_op', N.XENMEM_maximum_gpfn, g.put(0, BigInt(SELF))), 0);
  assert.equal(destroyDomain(dom0, g.id), 0);
  assert.equal(invariants(m.x), null);
});

test("a device model that is a PV guest maps its target's grant table", () => {
  const { m, dom0, g } = guest();
  const target = createDomain(dom0, 16);
  const other = createDomain(dom0, 16);
  assert.equal(domctl(dom0, 'XEN_DOMCTL_set_target', g.id, [[0, 2, target]]), 0);
  // domid, type | id, nr_frames, pad | frame, frame_list
  const acquire = (domid: number, n: number, list: bigint) => {
    const head = BigInt(domid) | (BigInt(N.XENMEM_resource_grant_table) << 16n);
    return g.call('memory_op', N.XENMEM_acquire_resource, g.put(0, head, n, 0, list));
  };
  const list = g.va(0, 1024);
  assert.equal(acquire(target, 0, 0n), 0);
  assert.equal(Number(g.get(8)) & 0xffff, 32);
  assert.equal(acquire(other, 2, list), -N.EPERM);
  assert.equal(acquire(g.id, 2, list), -N.EPERM);
  assert.equal(acquire(target, 2, 0x1000n), -N.EFAULT);
  assert.equal(acquire(target, 2, list), 0);
  const [first, second] = [Number(g.get(1024)), Number(g.get(1032))];
  assert.ok(first !== second && first > 0);
  const [table, index] = g.slot(7);
  const map = (mfn: number, foreign: number) =>
    g.update([[(BigInt(table) << 12n) | BigInt(8 * index), entry(mfn, RW_PTE)]], foreign);
  assert.equal(map(first, SELF), -N.EBUSY, 'it is not its own');
  assert.equal(map(first, target), 0);
  g.words(first)[5] = 77n;
  assert.equal(invariants(m.x), null);
  assert.equal(destroyDomain(dom0, target), 0);
  assert.equal(g.words(first)[5], 77n, 'the frame lives as long as the mapping');
  assert.equal(invariants(m.x), null);
  assert.equal(destroyDomain(dom0, g.id), 0);
  assert.equal(invariants(m.x), null);
});

test('stores to a page table are updates of its entries', () => {
  const { m, g } = guest();
  const x = m.x as unknown as Record<string, (...a: unknown[]) => number>;
  const signed = (v: bigint) => BigInt.asIntN(64, v);
  const l1 = g.roots[3];
  const words = g.words(l1);
  const write = (mfn: number, offset: number, mask: bigint, old: bigint, value: bigint) =>
    x.test_ptwr(g.id, (BigInt(mfn) << 12n) | BigInt(offset), signed(mask), signed(old), signed(value));
  const store = (mfn: number, offset: number, value: bigint, size = 8) => {
    const shift = BigInt(8 * (offset & 7));
    const mask = ((1n << BigInt(8 * size)) - 1n) << shift;
    return write(mfn, offset & ~7, mask, words[(offset & 0xfff) >> 3] ?? 0n, value << shift) === 0;
  };
  assert.ok(store(l1, 40, entry(g.mfns[6], 3n)));
  assert.equal(words[5], entry(g.mfns[6], 7n));
  assert.equal(g.uses(g.mfns[6]), 2);
  assert.ok(store(l1, 40, 0x61n, 1), 'one byte of it');
  assert.equal(words[5], entry(g.mfns[6], 0x65n));
  assert.equal(g.uses(g.mfns[6]), 1);
  assert.ok(store(l1, 44, 0x80000000n, 4));
  assert.equal(words[5], entry(g.mfns[6], (1n << 63n) | 0x65n));
  assert.ok(!store(l1, 40, entry(g.roots[0], RW_PTE)), 'a table');
  assert.equal(write(l1, 40, 0xffn, 1n, 0n), 1, 'it has changed since');
  assert.ok(!store(g.roots[2], 40, 0n), 'an L2 table');
  assert.ok(!store(g.mfns[5], 40, 0n), 'no table');
  assert.ok(store(l1, 40, 0n));
  assert.equal(g.uses(g.mfns[6]), 1);
  assert.equal(invariants(m.x), null);
  assert.equal(x.test_new_root(g.id, g.roots[0]), 0);
  assert.ok(x.test_new_root(g.id, g.roots[1]) < 0);
});

test('what only translated guests have', () => {
  const { m, dom0, g } = guest();
  assert.equal(domctl(dom0, 'XEN_DOMCTL_soft_reset', g.id, []), -N.EINVAL);
  assert.equal(g.call('sched_op', N.SCHEDOP_shutdown, g.put(0, 5)), 0);
  assert.equal(domctl(dom0, 'XEN_DOMCTL_soft_reset', g.id, []), -N.EINVAL);
  assert.equal(g.call('hvm_op', N.HVMOP_flush_tlbs, 0), -N.EPERM);
  assert.equal(g.call('hvm_op', N.HVMOP_get_param, g.put(0, BigInt(SELF), 0)), -N.EINVAL);
  assert.equal(
    domctl(dom0, 'XEN_DOMCTL_createdomain', 0, [
      [N.xen_domctl_createdomain__flags, 4, 2],
      [N.xen_domctl_createdomain__max_vcpus, 4, 1],
    ]),
    -N.EINVAL,
  );
  assert.equal(invariants(m.x), null);
});

test('a domain ends while the control domain takes a table of its apart', () => {
  for (const budget of [1, 40, 300]) {
    const { m, dom0, g, tree } = unlooked();
    assert.equal(g.mmuext('PIN_L4_TABLE', tree[0]), 0);
    // Another control domain of the same host, whose operation is left in the middle.
    const other = new PvGuest(m, dom0, 8);
    m.x.test_privilege(other.id);
    other.tables(2);
    m.x.test_type_budget(budget);
    other.steps(3, 'mmuext_op', other.put(0, N.MMUEXT_UNPIN_TABLE, tree[0], 0), 1, 0, g.id);
    assert.equal(m.x.test_continued(), 3);
    assert.equal(destroyDomain(dom0, g.id), 0);
    assert.equal(invariants(m.x), null);
    m.x.test_type_budget(4096);
    assert.equal(other.mmuext('TLB_FLUSH_LOCAL'), 0);
    assert.equal(invariants(m.x), null);
    assert.equal(m.x.domain_state(g.id), -1);
  }
});

test('a page that other pCPUs may still write becomes a table when they have left guest code', async () => {
  const { m, g } = guest();
  const stale = 16;
  g.words(g.mfns[9]).fill(0n);
  assert.ok(m.x.test_frame_flags(g.mfns[9]) & stale);
  assert.ok(!(m.x.test_frame_flags(g.roots[3]) & stale), 'the control domain has no TLB');
  assert.equal(g.map(9, entry(g.mfns[9], RO_PTE)), 0);
  // Somebody else's pCPU runs guest code, for a while.
  const code = `
    const { workerData: { memory, at, bell } } = require('node:worker_threads');
    const words = new Int32Array(memory.buffer);
    Atomics.store(words, bell, 1);
    Atomics.notify(words, bell);
    Atomics.wait(words, bell, 1, 60);
    Atomics.store(words, at, 0);
  `;
  const at = m.x.test_in_guest(0) >>> 2;
  const bell = 0x2000; // below the host's structures nothing is used
  const words = new Int32Array(m.memory.buffer);
  Atomics.store(words, at, 1);
  const worker = new Worker(code, { eval: true, workerData: { memory: m.memory, at, bell } });
  const ended = once(worker, 'exit');
  Atomics.wait(words, bell, 0);
  assert.equal(g.mmuext('PIN_L1_TABLE', g.mfns[9]), 0);
  assert.equal(Atomics.load(words, at), 0, 'not before');
  await ended;
  assert.ok(!(m.x.test_frame_flags(g.mfns[9]) & stale));
  // One that does not come: whoever waits gives the lock up again and again.
  g.words(g.mfns[10]).fill(0n);
  assert.equal(g.map(10, entry(g.mfns[10], RO_PTE)), 0);
  Atomics.store(words, at, 1);
  const from = performance.now();
  g.steps(3, 'set_gdt', g.put(0, g.mfns[10]), 1);
  assert.equal(m.x.test_continued(), 3);
  assert.ok(performance.now() - from < 1000, 'it waits for seconds');
  Atomics.store(words, at, 0);
  assert.equal(g.call('set_gdt', g.put(0, g.mfns[10]), 1), 0);
  assert.equal(invariants(m.x), null);
});

test('a domain becomes a 32-bit one before it has memory, or never', () => {
  const m = new Machine();
  const dom0 = m.service(0, 1);
  const size = (id: number): number => {
    assert.equal(domctl(dom0, 'XEN_DOMCTL_get_address_size', id, []), 0);
    return dom0.u32(N.xen_domctl__u);
  };
  const set = (id: number, bits: number): number => domctl(dom0, 'XEN_DOMCTL_set_address_size', id, [[0, 4, bits]]);
  const wide = new PvGuest(m, dom0, 64);
  const narrow = new PvGuest(m, dom0, 64, 1, 32);
  const hvm = createDomain(dom0, 16);
  assert.deepEqual([size(wide.id), size(narrow.id)], [64, 32]);
  assert.deepEqual([set(wide.id, 32), set(wide.id, 64), set(wide.id, 16)], [-N.EACCES, 0, -N.EINVAL]);
  assert.deepEqual([set(narrow.id, 64), set(narrow.id, 32), set(hvm, 32)], [-N.EINVAL, 0, -N.EINVAL]);
  narrow.tables(40);
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => narrow.type(narrow.roots[i])),
    [11, 10, 2, 1],
  );
  const [root, , l2] = narrow.roots;
  assert.equal(narrow.pin('L4', root), -N.EINVAL);
  assert.equal(narrow.set(root, 3, entry(narrow.roots[1], 1n)), -N.EINVAL, 'its last entry');
  assert.equal(narrow.set(root, 1, entry(narrow.roots[1], 1n)), -N.EINVAL, 'the table with slots of the hypervisor');
  assert.equal(narrow.set(root, 1, entry(root, 1n)), -N.EINVAL, 'a root as an L2');
  assert.equal(narrow.set(root, 1, entry(l2, 1n)), 0);
  assert.equal(narrow.set(narrow.roots[1], 0x1ac, entry(narrow.roots[3], 1n)), -N.EINVAL, "a slot of the hypervisor's");
  assert.equal(narrow.map(3, entry(narrow.mfns[3], 3n)), 0);
  const [table, i] = narrow.slot(3);
  assert.equal(narrow.words(table)[i] & 4n, 0n, 'the kernel alone');
  assert.equal(invariants(m.x), null);
  assert.equal(destroyDomain(dom0, narrow.id), 0);
  assert.equal(destroyDomain(dom0, wide.id), 0);
  assert.equal(invariants(m.x), null);
});

test('without memory for the table that 32-bit guests see there are none; later there are', () => {
  const m = new Machine(1536);
  const dom0 = m.service(0, 1);
  const wide = new PvGuest(m, dom0, 3000);
  const filler = createDomain(dom0, 64);
  const c = 'xen_domctl_createdomain__';
  assert.equal(domctl(dom0, 'XEN_DOMCTL_createdomain', 0, [[N[`${c}max_vcpus`], 4, 1]]), 0);
  const id = new DataView(dom0.read(N.xen_domctl__domain, 2)!.buffer).getUint16(0, true);
  assert.equal(domctl(dom0, 'XEN_DOMCTL_max_mem', filler, [[0, 8, 1 << 20]]), 0);
  for (let gfn = 100, n = 1; n === 1 && m.x.frames_free() > 2; gfn++) {
    dom0.write(4096, new Uint8Array(new BigUint64Array([BigInt(gfn)]).buffer));
    const fields = { extent_start: [8, 4096], nr_extents: [8, 1], domid: [2, filler] };
    n = dom0.op('memory_op', 'XENMEM_populate_physmap', 'xen_memory_reservation', fields as never);
  }
  const free = m.x.frames_free();
  const set = (): number => domctl(dom0, 'XEN_DOMCTL_set_address_size', id, [[0, 4, 32]]);
  assert.equal(set(), -N.ENOMEM);
  assert.equal(m.x.frames_free(), free, 'what it took it has given back');
  assert.equal(invariants(m.x), null);
  assert.equal(destroyDomain(dom0, filler), 0);
  assert.equal(set(), 0);
  assert.equal(invariants(m.x), null);
  for (const d of [wide.id, id]) assert.equal(destroyDomain(dom0, d), 0);
  assert.equal(invariants(m.x), null);
});
