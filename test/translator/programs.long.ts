// A million random programs: `npm run test:long`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bed } from './bed.ts';
import { junk, program } from './program.ts';
import { compareMany } from './programs.ts';
import { checkModule } from './wasm.ts';

const PART = 50_000;

for (let i = 0; i < 20; i++)
  test(`random programs, part ${i + 1} of 20`, async (t) => {
    const found = { state: 0, probes: 0, neighbours: 0, accesses: 0 };
    const pair = { plain: new Bed(false), translated: new Bed(true) };
    let modules = 0;
    const totals = compareMany(pair, program, 100 + i, 0, PART, (module) => {
      if (modules++ % 8 === 0) checkModule(module, found);
    });
    t.diagnostic(`${totals.retired} instructions, ${totals.inRegions} of them in ${totals.regions} regions`);
    assert.ok(totals.inRegions > totals.retired * 0.55);
    await new Promise(setImmediate); // or nobody is told before the last part has ended
  });

test('random bytes as code', () => {
  const totals = compareMany({ plain: new Bed(false), translated: new Bed(true) }, junk, 100, 0, 200_000);
  assert.ok(totals.regions > 60_000);
});
