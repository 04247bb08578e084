// The programs on this machine's own CPU: one round of each gives the answer that the table has.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCpio } from '../../services/image_builder/cpio.ts';
import { guestImage } from '../image/index.ts';
import { readFileSync } from 'node:fs';
import { PROGRAMS } from '../../bench/lib/programs.ts';
import { benchInitrd, buildBench } from './build.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const bench = join(folder, 'bench');
{
  const built = buildBench();
  copyFileSync(built.bench, bench);
  copyFileSync(built.tiny, join(folder, 'tiny'));
}

const run = (...args: string[]): string => spawnSync(bench, args, { encoding: 'utf8' }).stdout;

test('the bench program and the table of goals have the same programs', () => {
  const listed = run('--list').trim().split('\n');
  assert.deepEqual(listed.toSorted(), [...PROGRAMS.map(({ name }) => name), 'idle'].toSorted());
});

test('one round of each program gives its known answer', () => {
  const names = PROGRAMS.map(({ name }) => name);
  const output = run(...names.map((name) => `${name}=1`));
  assert.doesNotMatch(output, /failed/);
  const done = [...output.matchAll(/^bench: (\S+) 1 [\d.]+ [0-9a-f]{16}$/gm)].map(([, name]) => name);
  assert.deepEqual(done, names);
});

test('an unknown program is named and counts as a failure', () => {
  const { status, stdout } = spawnSync(bench, ['nothing'], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stdout, /^bench: nothing failed: there is no such program$/m);
});

test("the RAM disk is the image's with the program behind it", () => {
  const image = guestImage();
  const whole = readFileSync(benchInitrd(image));
  const first = readFileSync(image.initrd);
  assert.ok(whole.subarray(0, first.length).equals(first));
  const added = readCpio(whole.subarray(first.length));
  assert.deepEqual(
    added.map(({ path }) => path),
    ['bench', 'bench/bench', 'bench/tiny'],
  );
  assert.ok(Buffer.from(added[1]!.content).equals(readFileSync(bench)));
});
