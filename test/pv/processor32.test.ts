// The 32-bit PV guest that tests what the hypervisor owes it, once interpreted and once translated: turn by turn their processors are in the same state.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import '../lazy_regions.ts';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { regionCounts } from '../../platform/regions.ts';
import { crashReport } from '../../services/report/crash.ts';
import { invariants } from '../invariants.ts';
import { cpuDifference } from '../translator/bed.ts';
import { run } from './bed.ts';
import { pv32Guest } from './bed32.ts';

const TURNS = 20_000;

test('ring 1: bounces, iret, events, emulation, PAE tables, descriptors, refusals, in both tiers alike', (t) => {
  const image = readFileSync(buildGuest('pv32'));
  const core = loadCore();
  const sides = [pv32Guest(image, false, core), pv32Guest(image, true, core)] as const;
  const [plain, translated] = sides;
  let turns = 0;
  for (; turns < TURNS && plain.stopped() === null; turns++) {
    for (const side of sides) side.machine.step();
    const differs = cpuDifference(plain.machine.memory, plain.cpu, translated.machine.memory, translated.cpu);
    assert.equal(differs, '', `turn ${turns}\n${plain.output()}`);
    if (turns % 20 === 0) for (const side of sides) assert.equal(invariants(side.machine.core), null, `turn ${turns}`);
  }
  for (const side of sides) {
    assert.equal(side.stopped(), 0, `${side.output()}\n${crashReport(side.machine, side.domid)}`);
    assert.deepEqual(side.output().match(/^FAIL .*/gm) ?? [], []);
    const held = Number(/all checks hold, (0x[0-9a-f]+)/.exec(side.output())?.[1]);
    assert.ok(held > 400, `${held} checks`);
  }
  const counts = regionCounts(translated.machine.core, 0);
  t.diagnostic(`${turns} turns; ${JSON.stringify(counts)}`);
  assert.ok(counts.installed > 0 && counts.retired > 500_000, 'hot code was not translated');
});

/** How guests/pv32/crashes.c ends, and what the report says of it. */
const ENDS: readonly [number, RegExp][] = [
  [1, /an exception for which the PV guest has no handler/],
  [2, /an event could not be put on the PV guest kernel's stack/],
  [3, /an event could not be put on the PV guest kernel's stack/],
  [4, /an event could not be put on the PV guest kernel's stack/],
  [5, /HYPERVISOR_iret with a frame that cannot be read/],
  [6, /HYPERVISOR_iret to ring 0/],
  [7, /segments that cannot be loaded/],
  [8, /segments that cannot be loaded/],
  [9, /an event for which the PV guest has registered no callback/],
  [10, /an event could not be put on the PV guest kernel's stack/],
];

test('a guest whose kernel cannot be entered, or left, ends with a report that says why', () => {
  const image = readFileSync(buildGuest('pv32'));
  const core = loadCore();
  for (const [how, says] of ENDS) {
    const guest = pv32Guest(image, false, core, how);
    assert.equal(run(guest, 1000), 3, `${how}: ${guest.output()}`);
    const report = crashReport(guest.machine, guest.domid);
    assert.match(report, says, `${how}: ${guest.output()}`);
    assert.doesNotMatch(guest.output(), /FAIL/);
    if (how === 1) assert.match(report, /at rip: 0f0b +ud2/);
  }
});
