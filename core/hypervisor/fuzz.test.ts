// Properties under random input: no argument traps the hypervisor, no reference is lost, the p2m is a map.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { Machine, N, random, Service } from '../../test/hypervisor.ts';

const SELF = 0x7ff0;

test('random hypercalls with random arguments never trap', () => {
  const rnd = random(0xbadc0de);
  const m = new Machine();
  const all = [m.service(0, 1), m.service(5), m.service(6, 2)];
  const interesting = [
    0, 1, 2, 3, 7, 8, 31, 40, 100, 4095, 4096, 0x7ff0, 0x7fff, 0x8000, 0xffff, 0x20000, 0x7fffffff, 0xfffff000,
    0xffffffff,
  ];
  const word = () => (rnd(3) ? interesting[rnd(interesting.length)] : rnd(0x10000) * rnd(0x10000));
  const big = () => (rnd(4) ? BigInt(word()) : (BigInt(word()) << 32n) | BigInt(word()));
  const calls = Object.entries(N)
    .filter(([name]) => name.startsWith('__HYPERVISOR_'))
    .map(([, nr]) => nr);
  let answered = 0;
  for (let i = 0; i < 30000; i++) {
    const s = all[rnd(10) ? 1 + rnd(2) : 0];
    const bytes = new Uint8Array(256);
    const v = new DataView(bytes.buffer);
    for (let at = 0; at < 256; at += 4) v.setUint32(at, word(), true);
    // Half of the time a plausible structure: small numbers, a valid interface version, real domains.
    if (rnd(2)) for (let at = 0; at < 64; at += 4) v.setUint32(at, [0, 0, 1, 5, 6, 0x15, 0x7ff0, 4096][rnd(8)], true);
    if (!s.write(0, bytes)) s.write(4096, bytes);
    const nr = rnd(20) ? calls[rnd(calls.length)] : rnd(100);
    const op = rnd(10) ? rnd(40) : word();
    // A domain may end in the middle; the services themselves stay.
    const domctlOnSelf = nr === N.__HYPERVISOR_domctl && v.getUint32(0, true) === N.XEN_DOMCTL_destroydomain;
    if (domctlOnSelf) continue;
    const r = s.hypercall(nr, op, rnd(2) ? 0 : big(), rnd(2) ? rnd(4) : big(), rnd(3) ? 0 : big(), big());
    assert.ok(Number.isInteger(r));
    if (r >= 0) answered++;
    if (i % 500 === 0) assert.equal(invariants(m.x), null);
  }
  assert.ok(answered > 500, `${answered} succeeded`);
  assert.equal(all[1].hypercall(N.__HYPERVISOR_xen_version, 0), 0x40011);
});

test('random maps and unmaps of grants: flags and counts agree with a model, and all frames come back', () => {
  const rnd = random(99);
  const m = new Machine();
  m.service(0, 1);
  const a = m.service(5);
  const b = m.service(6);
  const TABLE = 40;
  a.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', {
    domid: [2, SELF],
    space: [4, 1],
    gpfn: [8, TABLE],
  });
  const entry = (ref: number) => TABLE * 4096 + 8 * ref;
  for (let ref = 8; ref < 16; ref++) a.write(entry(ref), new Uint8Array(new Uint16Array([1, 6, ref, 0]).buffer));
  const maps = new Map<number, { ref: number; readonly: boolean; gfn: number }>();
  const uses = (ref: number, readonly: boolean) =>
    [...maps.values()].filter((x) => x.ref === ref && x.readonly === readonly).length;
  const unmap = (handle: number) => {
    b.op('grant_table_op', 'GNTTABOP_unmap_grant_ref', 'gnttab_unmap_grant_ref', { handle: [4, handle] }, 1);
    assert.equal(b.get('gnttab_unmap_grant_ref', 'status', 2, true), 0);
    maps.delete(handle);
  };
  const check = (ref: number) => {
    const [r, w] = [uses(ref, true), uses(ref, false)];
    assert.equal(a.u32(entry(ref)) & 0xffff, 1 | (r + w ? 8 : 0) | (w ? 16 : 0));
  };
  let free = 0;
  for (let i = 0; i < 3000; i++) {
    const ref = 8 + rnd(8);
    if (maps.size && (maps.size > 60 || rnd(2))) {
      const handles = [...maps.keys()];
      unmap(handles[rnd(handles.length)]);
    } else {
      const gfn = 100 + rnd(200);
      const readonly = rnd(2) === 1;
      b.op(
        'grant_table_op',
        'GNTTABOP_map_grant_ref',
        'gnttab_map_grant_ref',
        { host_addr: [8, gfn * 4096], flags: [4, readonly ? 6 : 2], ref: [4, ref], dom: [2, 5] },
        1,
      );
      const status = b.get('gnttab_map_grant_ref', 'status', 2, true);
      const taken = [...maps.values()].some((x) => x.gfn === gfn);
      assert.equal(status, taken ? N.GNTST_general_error : 0);
      if (!taken) maps.set(b.get('gnttab_map_grant_ref', 'handle', 4), { ref, readonly, gfn });
    }
    check(ref);
    if (i % 300 === 0) assert.equal(invariants(m.x), null);
    if (i === 1000) {
      for (const h of [...maps.keys()]) unmap(h);
      free = m.x.frames_free();
    }
  }
  for (const h of [...maps.keys()]) unmap(h);
  for (let ref = 8; ref < 16; ref++) check(ref);
  assert.equal(m.x.frames_free(), free);
  // The mapper dies with mappings in place: the granter's entries are free again.
  b.op(
    'grant_table_op',
    'GNTTABOP_map_grant_ref',
    'gnttab_map_grant_ref',
    { host_addr: [8, 100 * 4096], flags: [4, 2], ref: [4, 9], dom: [2, 5] },
    1,
  );
  assert.equal(a.u32(entry(9)) & 0xffff, 25);
  assert.equal(m.x.service_destroy(6), 0);
  assert.equal(a.u32(entry(9)) & 0xffff, 1);
});

test('a granter that dies first leaves the mapper its frame, and nothing afterwards', () => {
  const m = new Machine();
  m.service(0, 1);
  const b = m.service(6);
  let free = -1;
  for (let i = 0; i < 3; i++) {
    const a = m.service(5);
    a.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', {
      domid: [2, SELF],
      space: [4, 1],
      gpfn: [8, 40],
    });
    a.write(40 * 4096 + 64, new Uint8Array(new Uint16Array([1, 6, 7, 0]).buffer));
    a.write(7 * 4096, new Uint8Array([42]));
    b.op(
      'grant_table_op',
      'GNTTABOP_map_grant_ref',
      'gnttab_map_grant_ref',
      { host_addr: [8, 100 * 4096], flags: [4, 2], ref: [4, 8], dom: [2, 5] },
      1,
    );
    const handle = b.get('gnttab_map_grant_ref', 'handle', 4);
    assert.equal(m.x.service_destroy(5), 0);
    assert.deepEqual(b.read(100 * 4096, 1), new Uint8Array([42]));
    assert.throws(() => m.service(5), /-17/, 'the number is taken while frames of it are mapped');
    b.op('grant_table_op', 'GNTTABOP_unmap_grant_ref', 'gnttab_unmap_grant_ref', { handle: [4, handle] }, 1);
    assert.equal(m.x.domain_state(5), -1);
    if (i) assert.equal(m.x.frames_free(), free);
    assert.equal(invariants(m.x), null);
    free = m.x.frames_free();
  }
});

test('the p2m against a model: populate, release, move', () => {
  const rnd = random(4242);
  const m = new Machine();
  m.service(0, 1);
  const a: Service = m.service(5, 0, 0, 64);
  const model = new Map<number, number>(); // gfn → content
  for (let g = 8; g < 64; g++) {
    a.setU32(g * 4096, g);
    model.set(g, g);
  }
  const places = Array.from({ length: 60 }, () => 64 + rnd(2) * rnd(0x3fffff00) + rnd(2000));
  const any = () => (rnd(2) ? 8 + rnd(56) : places[rnd(places.length)]);
  const one = (op: string, gfn: number) => {
    a.write(4096, new Uint8Array(new BigUint64Array([BigInt(gfn)]).buffer));
    return a.op('memory_op', op, 'xen_memory_reservation', {
      extent_start: [8, 4096],
      nr_extents: [8, 1],
      domid: [2, SELF],
    });
  };
  let content = 1000;
  for (let i = 0; i < 4000; i++) {
    const g = any();
    switch (rnd(3)) {
      case 0:
        if (model.has(g)) break; // replacing one's own page is allowed, but the model keeps it simple
        if (one('XENMEM_populate_physmap', g) === 1) {
          a.setU32(g * 4096, ++content);
          model.set(g, content);
        } else assert.ok(model.size >= 56, 'refused only at the limit');
        break;
      case 1:
        assert.equal(one('XENMEM_decrease_reservation', g), model.delete(g) ? 1 : 0);
        break;
      default: {
        const to = any();
        const rc = a.op('memory_op', 'XENMEM_add_to_physmap', 'xen_add_to_physmap', {
          domid: [2, SELF],
          space: [4, 2],
          idx: [8, g],
          gpfn: [8, to],
        });
        if (!model.has(g)) assert.equal(rc, -N.EINVAL);
        else {
          assert.equal(rc, 0);
          const value = model.get(g)!;
          model.delete(g);
          model.set(to, value);
        }
      }
    }
    const look = any();
    const bytes = a.read(look * 4096, 4);
    assert.equal(bytes === null ? undefined : new DataView(bytes.buffer).getUint32(0, true), model.get(look));
  }
});
