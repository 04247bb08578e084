// Bad input to `xenolith run`: one sentence that says what is wrong, where and what to do, exit 64 or 65, nothing left.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { makeBzImage, makeElf } from '../services/domain_builder/protocol/fixtures.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const folder = mkdtempSync(join(tmpdir(), 'xenolith-bad-'));
after(() => rmSync(folder, { recursive: true }));

/** Halts with interrupts off: powers off at once. */
const good = makeElf({ code: Uint8Array.of(0xfa, 0xf4) });
const packed = makeBzImage(gzipSync(good));
const FILES: Record<string, string | Uint8Array> = {
  good,
  initrd: 'not empty',
  text: 'no kernel\n',
  empty: '',
  'cut.elf': good.subarray(0, 100),
  'cut.bz': packed.subarray(0, 1060),
  'no-note': makeElf({ notes: [] }),
  'odd.bz': makeBzImage(Uint8Array.from({ length: 100 }, () => 9)),
  'damaged.bz': makeBzImage(gzipSync(good).fill(0x55, 12, 20)),
};
for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content);
for (const name of ['large', 'huge']) {
  writeFileSync(join(folder, name), '');
  truncateSync(join(folder, name), name === 'large' ? 64 << 20 : 5 * 2 ** 30);
}
mkdirSync(join(folder, 'folder'));
spawnSync('mkfifo', [join(folder, 'pipe')]);
const before = readdirSync(folder).sort();

async function xenolith(args: string[], shell = ''): Promise<{ code: number; out: string; complaint: string }> {
  const node = [process.execPath, MAIN, ...args];
  const [command, ...rest] = shell ? ['/bin/sh', '-c', `${shell}; exec "$@"`, 'sh', ...node] : node;
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(command, rest, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 });
  const [out, complaint, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, out, complaint };
}

/** Command line, exit code, what the sentence holds. */
const CASES: [string, number, RegExp][] = [
  ['', 64, /No command.*xenolith run/],
  ['run --kernel good --colour', 64, /'--colour'.*--help/],
  ['run --kernel good --memory', 64, /--memory needs a value/],
  ['run --kernel good --memory 8', 64, /--memory takes a whole number from 16 to 3072, not '8'/],
  [
    'run --kernel good --stats nowhere/stats',
    64,
    /--stats nowhere\/stats cannot be written .*no such folder.*name a file/,
  ],
  ['run --kernel good --stats folder', 64, /--stats folder cannot be written .*it is a folder/],
  ['run --kernel nothing', 65, /the kernel nothing: there is no such file; name a readable file/],
  ['run --kernel good/x', 65, /the kernel good\/x: a part of the path is no folder/],
  ['run --kernel folder', 65, /the kernel folder: it is a folder/],
  ['run --kernel /dev/zero', 65, /\/dev\/zero: it is neither a file nor a pipe/],
  ['run --kernel huge', 65, /the kernel huge: it is larger than 3072 MiB/],
  ['run --kernel text', 65, /neither an ELF image nor a bzImage; give .* \(kernel: text\)/],
  ['run --kernel empty', 65, /is empty; give .* \(kernel: empty\)/],
  ['run --kernel cut.elf', 65, /the kernel is truncated: .*; fetch .* \(kernel: cut.elf\)/],
  ['run --kernel cut.bz', 65, /the bzImage is truncated: .*; fetch .* \(kernel: cut.bz\)/],
  ['run --kernel no-note', 65, /no PVH entry note .*; build it with CONFIG_PVH=y. \(kernel: no-note\)/],
  ['run --kernel odd.bz', 65, /unknown compression; gzip, xz, lz4 and zstd .* \(kernel: odd.bz\)/],
  ['run --kernel damaged.bz', 65, /corrupt .*; fetch the file again. \(kernel: damaged.bz\)/],
  ['run --kernel good --initrd nothing', 65, /the initrd nothing: there is no such file/],
  ['run --kernel good --initrd folder', 65, /the initrd folder: it is a folder/],
  ['run --kernel good --initrd empty', 65, /the initrd is empty; leave it out .* \(kernel: good, initrd: empty\)/],
  ['run --kernel good --initrd large --memory 32', 65, /the initrd \(64.0 MiB\) do not fit .*; give at least 66 MiB/],
];

test('bad input is one sentence and an exit code; nothing is left behind', { concurrency: true }, async (t) => {
  const run = async ([line, code, sentence]: (typeof CASES)[number]) =>
    t.test(`xenolith ${line}`, async () => {
      const result = await xenolith(line.split(' ').filter(Boolean));
      assert.match(result.complaint, /^xenolith: [^\n]*\n$/);
      assert.match(result.complaint, sentence);
      assert.deepEqual([result.code, result.out], [code, '']);
    });
  const queue = [...CASES];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) await run(next);
  };
  await Promise.all([worker(), worker()]);
  assert.deepEqual(readdirSync(folder).sort(), before);
});

test('a file that may not be read', { skip: process.getuid?.() === 0 && 'root may read everything' }, async () => {
  writeFileSync(join(folder, 'secret'), good, { mode: 0 });
  const { code, complaint } = await xenolith(['run', '--kernel', 'secret']);
  rmSync(join(folder, 'secret'));
  assert.equal(code, 65);
  assert.match(complaint, /^xenolith: the kernel secret: it may not be read; name a readable file.\n$/);
});

test('a kernel may come through a pipe', async () => {
  const { code, complaint } = await xenolith(['run', '--kernel', 'pipe', '--memory', '16'], 'cat good > pipe & :');
  assert.equal(complaint, '');
  assert.equal(code, 0);
});

test('statistics that do not fit on the disk are one sentence, after the guest has run', async () => {
  const { code, complaint } = await xenolith(['run', '--kernel', 'good', '--memory', '16', '--stats', '/dev/full']);
  assert.equal(code, 1);
  assert.match(complaint, /^xenolith: the statistics could not be written to \/dev\/full \(ENOSPC\); .*\n$/);
});
