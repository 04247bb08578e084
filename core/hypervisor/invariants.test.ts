// The invariant walker itself: it is silent about a host that is well, and finds each kind of thing that a wrong core would do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { createDomain, destroyDomain, Machine } from '../../test/hypervisor.ts';

function host() {
  const m = new Machine();
  const dom0 = m.service(0, 1);
  const b = m.service(6);
  const id = createDomain(dom0, 64);
  return { m, dom0, b, id };
}

test('a host with domains, and one whose domains have gone, is well', () => {
  const { m, dom0, id } = host();
  assert.equal(invariants(m.x), null);
  assert.equal(destroyDomain(dom0, id), 0);
  assert.equal(invariants(m.x), null);
  assert.equal(invariants(m.x), null, 'looking changes nothing');
});

test('the walker finds what is planted', () => {
  const plant = (what: number): string | null => {
    const { m, id } = host();
    m.x.test_plant(id, what);
    return invariants(m.x);
  };
  assert.match(plant(0)!, /frame \d+ has 1 holds more/, 'a hold nobody has');
  assert.match(plant(1)!, /frame \d+ has -1 holds more/, 'a hold that was dropped too often');
  assert.match(plant(2)!, /domain \d+'s account is off by 1 frames/);
  assert.match(plant(3)!, /frame \d+ has 1 holds more/, 'a page of the hypervisor that hangs off nothing');
  assert.match(plant(4)!, /domain \d+'s p2m has a wrong entry at frame 5/, "somebody else's frame");
  assert.match(plant(5)!, /domain \d+'s port 1 does not fit/);
  assert.match(plant(6)!, /domain \d+'s grant 9 is counted as in use/);
  assert.match(plant(7)!, /the free list .* 0 frames, 1 are free/, 'freed, and on no list');
});
