// PV domains' memory: what they have, what their page tables may say, and what they may ask for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { destroyDomain, foreign, Machine, N } from '../../test/hypervisor.ts';
import { BASE, entry, PvGuest, RO_PTE, RW_PTE } from '../../test/pv.ts';

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
