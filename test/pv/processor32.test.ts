// The 32-bit PV guest that tests what the hypervisor owes it, once interpreted and once translated: turn by turn their processors are in the same state.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import '../lazy_regions.ts';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { crashReport } from '../../services/report/crash.ts';
import { alikeInBothTiers } from './alike.ts';
import { run } from './bed.ts';
import { pv32Guest } from './bed32.ts';

test('ring 1: bounces, iret, events, emulation, PAE tables, descriptors, refusals, in both tiers alike', (t) => {
  const image = readFileSync(buildGuest('pv32'));
  const core = loadCore();
  alikeInBothTiers(t, (translate) => pv32Guest(image, translate, core), { checks: 400, retired: 500_000 });
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
