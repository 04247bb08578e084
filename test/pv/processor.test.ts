// The PV guest that tests what the processor half owes it, once interpreted and once translated: turn by turn their processors are in the same state.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import '../lazy_regions.ts';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { crashReport } from '../../services/report/crash.ts';
import { invariants } from '../invariants.ts';
import { alikeInBothTiers } from './alike.ts';
import { CONTEXT, pvGuest, run } from './bed.ts';

test('bounces, system calls, iret, emulation, descriptor and page tables, refusals, in both tiers alike', (t) => {
  const image = readFileSync(buildGuest('pv'));
  const core = loadCore();
  alikeInBothTiers(t, (translate) => pvGuest(image, translate, core), { checks: 550, retired: 1_000_000 });
});

test('a vCPU is reset by a null context: it is down and holds nothing until it is given another', () => {
  const guest = pvGuest(readFileSync(buildGuest('pv')), false);
  const retired = (): bigint => new DataView(guest.machine.memory.buffer).getBigUint64(guest.cpu + 304, true);
  for (let turn = 0; turn < 20; turn++) guest.machine.step();
  const before = retired();
  assert.ok(before > 0n);
  assert.equal(guest.load(null), 0);
  assert.equal(invariants(guest.machine.core), null);
  for (let turn = 0; turn < 5; turn++) guest.machine.step();
  assert.equal(retired(), before, 'it runs on');
  assert.equal(guest.load(null), 0, 'once more');
  assert.equal(guest.load(CONTEXT), -22, 'a domain that is not paused');
  assert.equal(guest.domctl('XEN_DOMCTL_pausedomain'), 0);
  assert.equal(guest.load(CONTEXT), 0);
  assert.equal(guest.domctl('XEN_DOMCTL_unpausedomain'), 0);
  guest.machine.step();
  assert.ok(retired() > before, 'it runs again');
  assert.equal(invariants(guest.machine.core), null);
});

/** How guests/pv/crashes.c ends, and what the report says of it. */
const ENDS: readonly [number, RegExp][] = [
  [1, /an exception for which the PV guest has no handler/],
  [2, /an event could not be put on the PV guest kernel's stack/],
  [3, /an event could not be put on the PV guest kernel's stack/],
  [4, /an event could not be put on the PV guest kernel's stack/],
  [5, /HYPERVISOR_iret with a frame that cannot be read/],
  [6, /HYPERVISOR_iret to user mode without a user page table/],
  [7, /an event for which the PV guest has registered no callback/],
  [8, /an event for which the PV guest has registered no callback/],
  [9, /an exception for which the PV guest has no handler/],
];

test('a guest whose kernel cannot be entered, or left, ends with a report that says why', () => {
  const image = readFileSync(buildGuest('pv'));
  const core = loadCore();
  for (const [how, says] of ENDS) {
    const guest = pvGuest(image, false, core, how);
    assert.equal(run(guest, 1000), 3, `${how}: ${guest.output()}`);
    const report = crashReport(guest.machine, guest.domid);
    assert.match(report, says, `${how}: ${guest.output()}`);
    assert.doesNotMatch(guest.output(), /FAIL/);
    assert.match(report, /console_io\(CONSOLEIO_write, \d+, "the end\\n"\)/);
    assert.doesNotMatch(report, /unreadable/);
    if (how === 1) assert.match(report, /at rip: 0f0b +ud2/);
  }
});
