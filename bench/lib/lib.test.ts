// What a guest says, and what becomes of it in the table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuSeconds, median } from './host.ts';
import { Reader, type Figure } from './machines.ts';
import { programNamed } from './programs.ts';
import { rowsOf, table, tcgFigure } from './record.ts';

const counters = (instructions: number) => ({ instructions, hypercalls: 1, halts: 2, io: 3 });

test('a program is measured from its first line to its last, between the kernel’s lines', () => {
  const reader = new Reader();
  reader.line('[    0.1] bench mark\r', 0.5, 0.4);
  reader.line('bench: init\r', 1, 0.5, counters(10));
  reader.line('bench: begin fib\r', 2, 1, counters(100));
  reader.line('[    2.0] random: crng init done\r', 2.5, 1.5);
  reader.line('bench: fib 300 1.250000 0000000000012511\r', 4, 2.5, counters(5100));
  assert.equal(reader.ended, false);
  reader.line('bench: end\r', 4.5, 3);
  assert.equal(reader.ended, true);
  assert.equal(reader.boot?.seconds, 1);
  assert.deepEqual(reader.figures.get('fib'), {
    ...{ rounds: 300, seconds: 1.25, cpu: 1.5, wall: 2 },
    counters: { instructions: 5000, hypercalls: 0, halts: 0, io: 0 },
  });
});

test('a wrong answer, a complaint and a figure without a beginning are errors', () => {
  const says = (...lines: string[]) => {
    const reader = new Reader();
    for (const line of lines) reader.line(line, 1, 1);
  };
  assert.throws(() => says('bench: begin fib', 'bench: fib failed: 0x1 instead of 0x2 in round 0'), /fib failed/);
  assert.throws(() => says('bench: mmap: Cannot allocate memory'), /mmap/);
  assert.throws(() => says('bench: fib 300 1.250000 0000000000012511'), /fib 300/);
});

test("the faster of TCG's models counts, round by round, and the median of the runs", () => {
  const figure = (cpu: number, seconds: number, rounds = 10): Figure => ({ rounds, seconds, cpu, wall: seconds });
  const figures = {
    fib: {
      xenolith: [figure(4, 9), figure(8, 8), figure(5, 7)],
      'tcg max': [figure(2, 1)],
      'tcg nehalem': [figure(2, 30, 20)],
    },
    boot: { xenolith: [figure(1, 4)], 'tcg max': [figure(7, 2)] },
    jit: { xenolith: [figure(1, 1)] },
  };
  assert.equal(tcgFigure(programNamed('fib'), figures.fib)?.model, 'tcg nehalem');
  const rows = rowsOf(figures);
  assert.deepEqual(
    rows.map(({ name, ratio, ours }) => [name, ratio, ours]),
    [
      ['fib', 1 / 5, 8],
      ['boot', 2 / 4, 4],
    ],
  );
  const [, , , boot] = table(rows).split('\n');
  assert.match(boot!, /^\| boot +\| +0\.50 \| +0\.50 \| +1\.30 \|/);
  assert.match(table(rowsOf({ boot: { ...figures.boot, 'tcg max': [figure(7, 1)] } })), /0\.25 ↓/);
});

test('processor time of this process grows with what it does', () => {
  const before = cpuSeconds(process.pid);
  const until = performance.now() + 60;
  while (performance.now() < until);
  const used = cpuSeconds(process.pid) - before;
  assert.ok(used > 0 && used < 10, String(used));
});

test('the median of an even number lies between the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([3, 1, 2]), 2);
});
