// Killed at any moment, by any signal, at either end: nothing stays behind, and the terminal is as it was.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../../bin/setup.cjs';
import { buildGuest } from '../../guests/build.ts';

const onLinux = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const scratch = mkdtempSync(join(tmpdir(), 'xenolith-kill-'));
after(() => rmSync(scratch, { recursive: true }));
const TMP = join(scratch, 'tmp');
mkdirSync(TMP);

const KERNEL = buildGuest('unikernel');
const LAUNCHER = join(ROOT, 'bin/xenolith');
const command = (name: string): string[] => [
  process.execPath,
  LAUNCHER,
  'run',
  '--kernel',
  KERNEL,
  '--memory',
  '32',
  '--cmdline',
  'loop',
  '--name',
  name,
];

interface Process {
  pid: number;
  args: string[];
}

/** The processes that run a machine of this name. */
function processes(name: string): Process[] {
  const read = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch {
      return ''; // gone meanwhile
    }
  };
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => ({ pid: Number(pid), args: read(pid).split('\0') }))
    .filter(({ args }) => args[0] === process.execPath && args.includes(name));
}

const launcherOf = (found: Process[]) => found.find(({ args }) => args[1] === LAUNCHER);
/** Node's own options stand before the script. */
const machineOf = (found: Process[]) => found.find(({ args }) => args.some((arg) => arg.endsWith('cli/main.ts')));

async function until<T>(what: string, ms: number, get: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + ms; ; await sleep(20)) {
    const found = get();
    if (found) return found;
    assert.ok(Date.now() < end, `not within ${ms} ms: ${what}`);
  }
}

const gone = (name: string) => until('every process has ended', 1000, () => processes(name).length === 0);

const env = { ...process.env, TMPDIR: TMP, SHELL: '/bin/sh' };
const WHO = { launcher: launcherOf, machine: machineOf } as const;

test('a sweep over a run: at no moment does anything stay', onLinux, async () => {
  const before = readdirSync(ROOT);
  for (let i = 0; i < 12; i++) {
    const name = `sweep-${process.pid}-${i}`;
    const signal = (['SIGINT', 'SIGTERM', 'SIGKILL'] as const)[i % 3];
    const child = spawn(command(name)[0], command(name).slice(1), { env, stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = once(child, 'exit');
    await sleep(i * 45);
    // Early on there may be no machine yet.
    const target = i % 2 ? machineOf(processes(name))?.pid : undefined;
    process.kill(target ?? child.pid!, signal);
    await gone(name);
    const [code, by] = await ended;
    assert.ok(
      by === signal || code === 128 + { SIGINT: 2, SIGTERM: 15, SIGKILL: 9 }[signal],
      `${signal}: ${code} ${by}`,
    );
  }
  assert.deepEqual(readdirSync(TMP), []);
  assert.deepEqual(readdirSync(ROOT), before);
});

/** Runs a machine on a terminal of its own and gives the settings before and after. */
async function onTerminal(
  name: string,
  act: (terminal: { pid: number; type(text: string): void }) => Promise<unknown>,
) {
  const shell = `stty -a; echo; ${command(name).join(' ')}; echo code=$?; sleep 0.7; stty -a`;
  const child = spawn('script', ['-qec', shell, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  const closed = once(child, 'close');
  try {
    await until('the guest speaks', 20_000, () => output.includes('xenolith unikernel'));
    await act({ pid: child.pid!, type: (text) => child.stdin.write(text) });
    await gone(name);
  } catch (error) {
    // or this test would wait for what it found to stay
    for (const { pid } of processes(name)) process.kill(pid, 'SIGKILL');
    throw new Error(`${name}: ${JSON.stringify(output.slice(-500))}`, { cause: error });
  }
  await closed;
  const settings = output.replaceAll('\r', '').match(/^speed .*(\n.+)+/gm) ?? [];
  return { settings, code: /code=(\d+)/.exec(output)?.[1] };
}

const ENDS: [keyof typeof WHO, NodeJS.Signals, string][] = [
  ['launcher', 'SIGTERM', '143'],
  ['launcher', 'SIGINT', '130'],
  ['launcher', 'SIGKILL', '137'],
  ['machine', 'SIGTERM', '143'],
  ['machine', 'SIGKILL', '137'],
];

test('on a terminal: its settings are the same after any end', onLinux, async () => {
  const run = async ([who, signal, expected]: (typeof ENDS)[number]) => {
    const name = `tty-${process.pid}-${who}-${signal}`;
    const kill = async () => process.kill(WHO[who](processes(name))!.pid, signal);
    const { settings, code } = await onTerminal(name, kill);
    assert.equal(code, expected, name);
    assert.equal(settings.length, 2, name);
    assert.equal(settings[1], settings[0], name);
  };
  const escape = async () => {
    const { settings, code } = await onTerminal(`tty-${process.pid}-escape`, async ({ type }) => type('\x03\x1d'));
    assert.deepEqual([code, settings.length], ['0', 2]);
    assert.equal(settings[1], settings[0]);
  };
  await Promise.all([run(ENDS[0]), run(ENDS[1]), escape()]);
  await Promise.all(ENDS.slice(2).map(run));
});

test('a terminal that is closed ends the machine', onLinux, async () => {
  const name = `tty-${process.pid}-closed`;
  await onTerminal(name, async ({ pid }) => process.kill(pid, 'SIGKILL'));
});
