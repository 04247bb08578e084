// The recorded answers of a processor, given by regions of one instruction each.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCore } from '../cpu/core.ts';
import { EngineMachine } from '../cpu/engine.ts';
import { cases, diff } from '../cpu/replay.ts';

/** Replays every `step`th case of a file of rows; at least `share` of those without a trap have to retire in the region. */
export function answersInRegions(file: string, step: number, share: number): void {
  test(`${file}: translated instructions give the recorded answers`, (t) => {
    const machine = new EngineMachine(openCore());
    const wrong: string[] = [];
    let [n, all, retired] = [0, 0, 0];
    for (const c of cases(file)) {
      if (n++ % step || c.answer.trap || c.row.attrs.has('interp')) continue;
      all++;
      const result = machine.runInRegion(c.bytes, c.mode, c.state);
      if (!result) continue;
      retired++;
      const differences = diff(c, result);
      if (differences.length && wrong.length < 20)
        wrong.push(`${c.row.source} #${c.n} ${Buffer.from(c.bytes).toString('hex')}: ${differences.join('; ')}`);
    }
    assert.equal(wrong.length, 0, wrong.join('\n'));
    t.diagnostic(`${retired} of ${all} cases retired in a region`);
    assert.ok(retired >= all * share, `only ${retired} of ${all} retired in a region`);
  });
}
