// Replays the recorded cases of one file of rows on the engine; engine_*.test.ts name the file, so that they run side by side.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCore } from './core.ts';
import { EngineMachine } from './engine.ts';
import { cases, diff } from './replay.ts';

/**
 * Rows that are known not to agree yet, by name. The test fails when another row differs, and also when one of these agrees: then it
 * leaves the list. docs/SUPPORT.md says the same.
 */
const OPEN: Readonly<Record<string, string>> = {};

/** Differences listed of each row, operand size and mode, and rows listed. */
const [EACH, ROWS] = [2, 60];

interface Tally {
  all: number;
  bad: number;
  lines: string[];
  name: string;
}

export function agrees(file: string): void {
  test(`${file}: the engine gives the recorded answers`, (t) => {
    const machine = new EngineMachine(openCore());
    const tallies = new Map<string, Tally>();
    let all = 0;
    for (const c of cases(file)) {
      const where = `${c.row.source.replace(/\s+/g, ' ')} (${c.opsize} bits, mode ${c.mode})`;
      const tally = tallies.get(where) ?? { all: 0, bad: 0, lines: [], name: c.row.name };
      tallies.set(where, tally);
      tally.all++;
      all++;
      const differences = diff(c, machine.run(c.bytes, c.mode, c.state));
      if (differences.length === 0) continue;
      tally.bad++;
      if (tally.bad <= EACH)
        tally.lines.push(`  #${c.n} ${Buffer.from(c.bytes).toString('hex')}: ${differences.join('; ')}`);
    }
    const failed = [...tallies].filter(([, tally]) => tally.bad > 0 && !(tally.name in OPEN));
    const names = new Set([...tallies.values()].map((tally) => tally.name));
    const stillBad = new Set([...tallies.values()].filter((tally) => tally.bad > 0).map((tally) => tally.name));
    const agree = Object.keys(OPEN).filter((name) => names.has(name) && !stillBad.has(name));
    assert.deepEqual(agree, [], 'these rows agree now: take them from OPEN');
    const list = failed
      .slice(0, ROWS)
      .map(([where, { all: n, bad, lines }]) => [`${bad} of ${n}: ${where}`, ...lines].join('\n'));
    assert.ok(all > 0, 'no cases');
    assert.equal(failed.length, 0, `${failed.length} of ${tallies.size} groups differ\n${list.join('\n')}`);
    const known = [...stillBad].filter((name) => name in OPEN);
    t.diagnostic(
      `${all} cases${known.length ? `, of which these rows differ and are known: ${known.join(' ')}` : ' agree'}`,
    );
  });
}
