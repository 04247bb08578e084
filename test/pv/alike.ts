// The guests that test what the processor owes them (guests/pv, guests/pv32), once interpreted and once translated: turn by turn their
// processors are in the same state.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { regionCounts } from '../../platform/regions.ts';
import { crashReport } from '../../services/report/crash.ts';
import { invariants } from '../invariants.ts';
import { cpuDifference } from '../translator/bed.ts';
import type { PvGuest } from './bed.ts';

const TURNS = 20_000;

/** More than `checks` hold in the guest, and more than `retired` of its instructions are translated ones. */
export function alikeInBothTiers(
  t: TestContext,
  guest: (translate: boolean) => PvGuest,
  { checks, retired }: { checks: number; retired: number },
): void {
  const sides = [guest(false), guest(true)] as const;
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
    assert.ok(held > checks, `${held} checks`);
  }
  const counts = regionCounts(translated.machine.core, 0);
  t.diagnostic(`${turns} turns; ${JSON.stringify(counts)}`);
  assert.ok(counts.installed > 0 && counts.retired > retired, 'hot code was not translated');
}
