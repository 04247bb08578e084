// `xenolith run` as a person or a script sees it: exit codes, traces, statistics.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { buildGuest } from '../../guests/build.ts';

const KERNEL = buildGuest('unikernel');

async function run(cmdline: string, ...options: string[]): Promise<{ code: number; out: string; err: string }> {
  const args = ['run', '--kernel', KERNEL, '--memory', '32', '--cmdline', cmdline, ...options];
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, out, err };
}

/** What the guest writes with console_io alone, on stderr beside the rest. */
const BY_CONSOLE_IO = 'console\n';

test('exit codes: power-off, reboot, crash with its report, time-out', async () => {
  const off = await run('test=version');
  assert.deepEqual([off.code, off.err], [0, BY_CONSOLE_IO]);
  assert.match(off.out, /done \d+ passed, 0 failed/);

  const reboot = await run('test=idle reboot', '--no-reboot');
  assert.deepEqual([reboot.code, reboot.err], [3, '']);

  const crash = await run('crash=triple');
  assert.equal(crash.code, 4);
  assert.match(
    crash.err,
    /^domain 1 crashed: triple fault.*\n {2}rip [\s\S]*at rip: 0f0b {2}ud2[\s\S]*last hypercalls, /,
  );

  const late = await run('loop', '--timeout', '0.5');
  assert.deepEqual([late.code, late.err], [5, 'xenolith: the guest did not end within 0.5 seconds.\n']);
});

test('a reboot starts the guest again, until it is left', async () => {
  const { code, out } = await run('test=idle reboot', '--timeout', '2');
  assert.equal(code, 5);
  assert.ok(out.match(/xenolith unikernel/g)!.length >= 2, out);
});

test('--trace prints a line each', async () => {
  const hypercalls = await run('test=version', '--trace', 'hypercalls');
  assert.match(hypercalls.err, /^ +\d+\.\d{6} d1 xen_version\(XENVER_pagesize, .*\) = 4096$/m);
  assert.match(hypercalls.err, /^ +\d+\.\d{6} d1 sched_op\(SCHEDOP_shutdown, .*\) = 0$/m);

  const xenstore = await run('test=xenstore', '--trace', 'xenstore');
  assert.match(xenstore.err, /^d1 xenstore > READ domid\nd1 xenstore < READ 1$/m);

  const instructions = await run('test=none', '--trace', 'insn');
  const lines = instructions.err.split('\n');
  assert.match(lines[0], /^[0-9a-f]{16} fc +cld$/);
  assert.ok(lines.length > 1000);
  assert.match(lines.at(-2)!, /vmm?call$/); // to the last
  assert.ok(lines.slice(0, -1).every((line) => /^[0-9a-f]{16} ([0-9a-f]{2})+ +[a-z]/.test(line)));
});

test('--stats says what the run cost', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-stats-'));
  try {
    const file = join(folder, 'stats.json');
    const { code } = await run('spin=3', '--stats', file);
    assert.equal(code, 0);
    const stats = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual([stats.outcome, stats.shutdownReason, stats.boots], ['poweroff', 0, 1]);
    assert.ok(stats.firstConsoleByteMs > 0 && stats.firstConsoleByteMs < stats.exitMs);
    assert.ok(stats.instructions > 9e6 && stats.mips > 1, JSON.stringify(stats));
    for (const cause of ['hypercall', 'hlt']) assert.ok(stats.exits[cause] > 0, cause);
    assert.equal(stats.tiers.interpreted + stats.tiers.translated, stats.instructions);
    assert.ok(stats.tiers.interpreted > 1e6 && stats.tiers.translated > 1e6, JSON.stringify(stats.tiers));
    const { requests, installed, entries, interprets, targets, failed } = stats.translator;
    assert.ok(installed > 0 && requests >= installed && failed === 0, JSON.stringify(stats.translator));
    assert.ok(entries >= interprets + targets, JSON.stringify(stats.translator));
    assert.ok(stats.machineMemory > 32 << 20);
    assert.ok(stats.peakMemory > 50e6 && stats.peakMemory < 400e6, `${stats.peakMemory}`);

    const crashed = await run('crash=panic', '--stats', file);
    const { outcome, shutdownReason } = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual([crashed.code, outcome, shutdownReason], [4, 'crash', 3]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
