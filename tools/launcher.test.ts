// The launcher, in a small stand-in for a clone: its own `bin/`, a core that "builds" by a script that takes its time.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const MAIN = `
import '../bin/parent.cjs';
const [what, arg] = process.argv.slice(2);
if (what === 'exit') process.exit(Number(arg));
if (what === 'show') console.log(JSON.stringify(process.argv.slice(2)));
if (what === 'wait') { console.log('pid ' + process.pid); setInterval(() => {}, 1000); }
if (what === 'catch') {
  process.on('SIGTERM', () => { console.log('caught'); process.exit(9); });
  console.log('pid ' + process.pid);
  setInterval(() => {}, 1000);
}
`;
const BUILD = `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import setup from '../bin/setup.cjs';
mkdirSync('build', { recursive: true });
appendFileSync('build/log', 'start ' + process.pid + '\\n');
await new Promise((done) => setTimeout(done, 700));
writeFileSync('build/output', '');
writeFileSync(setup.BUILD_STAMP, JSON.stringify({ sources: setup.sourcesHash(), outputs: ['build/output'] }));
appendFileSync('build/log', 'done\\n');
`;

function clone(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'xenolith-clone-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const write = (name: string, content: string) => {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), content);
  };
  cpSync(join(import.meta.dirname, '../bin'), join(root, 'bin'), { recursive: true });
  write('package.json', '{ "type": "module" }');
  write('package-lock.json', '{ "packages": { "": {} } }');
  write('node_modules/.package-lock.json', '{ "packages": {} }');
  write('core/index.ts', '');
  write('cli/main.ts', MAIN);
  write('tools/build.ts', BUILD);
  return root;
}

function start(root: string, ...args: string[]) {
  const child = spawn(process.execPath, [join(root, 'bin/xenolith'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = text(child.stdout);
  const complaints = text(child.stderr);
  const ended = once(child, 'exit').then(([code, signal]: unknown[]) => ({ code, signal }));
  return { child, output, complaints, ended };
}

/** Whether a process runs; one that has ended but is not yet collected (state Z in proc(5)) does not. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean, what: string, ms = 5000): Promise<void> {
  for (const end = Date.now() + ms; !condition(); await sleep(10)) assert.ok(Date.now() < end, `not in time: ${what}`);
}

/** The process id a waiting main says. */
async function announced(child: ChildProcess): Promise<number> {
  const [chunk] = await once(child.stdout!, 'data');
  return Number(/pid (\d+)/.exec(String(chunk))?.[1]);
}

const log = (root: string): string[] => {
  try {
    return readFileSync(join(root, 'build/log'), 'utf8').trim().split('\n');
  } catch {
    return [];
  }
};

test('arguments and exit codes are passed on; the build is made once, and anew when a source changes or an output is missing', async (t) => {
  const root = clone(t);
  const first = start(root, 'show', 'a b', '--c');
  assert.equal(await first.output, '["show","a b","--c"]\n');
  assert.deepEqual(await first.ended, { code: 0, signal: null });
  assert.match(await first.complaints, /building .*\n.*done in/);
  for (const code of [0, 3, 64]) {
    const { ended, complaints } = start(root, 'exit', String(code));
    assert.equal((await ended).code, code);
    assert.equal(await complaints, '');
  }
  assert.equal(log(root).length, 2);
  writeFileSync(join(root, 'core/more.ts'), '// new');
  assert.equal((await start(root, 'exit', '0').ended).code, 0);
  assert.equal(log(root).length, 4);
  rmSync(join(root, 'build/output'));
  assert.equal((await start(root, 'exit', '0').ended).code, 0);
  assert.equal(log(root).length, 6);
});

test('starts at the same time share one build', async (t) => {
  const root = clone(t);
  const all = [1, 2, 3, 4].map((code) => start(root, 'exit', String(code)));
  assert.deepEqual(await Promise.all(all.map(async ({ ended }) => (await ended).code)), [1, 2, 3, 4]);
  assert.equal(log(root).length, 2);
  const texts = await Promise.all(all.map(({ complaints }) => complaints));
  assert.equal(texts.filter((complaint) => complaint.includes('building')).length, 1);
});

test('killed during set-up: the work ends, nothing is locked, the next start does it again', async (t) => {
  const root = clone(t);
  const first = start(root, 'exit', '0');
  await until(() => log(root).length === 1, 'the build starts');
  const builder = Number(log(root)[0].split(' ')[1]);
  const waiting = start(root, 'exit', '5');
  await sleep(100);
  first.child.kill('SIGKILL');
  await until(() => !alive(builder), 'the build ends with its starter', 1000);
  assert.equal((await waiting.ended).code, 5);
  const lines = log(root).map((line) => line.split(' ')[0]);
  assert.deepEqual(lines, ['start', 'start', 'done']);
});

test('a sweep of ends over set-up: none leaves a process, a lock or half a build', async (t) => {
  const root = clone(t);
  const builders = (): number[] =>
    log(root).flatMap((line) => (line.startsWith('start') ? [Number(line.split(' ')[1])] : []));
  for (const [i, signal] of (['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGKILL', 'SIGHUP', 'SIGKILL'] as const).entries()) {
    const { child, ended } = start(root, 'exit', '0');
    await sleep(60 + i * 120);
    child.kill(signal);
    await ended;
    await until(() => !builders().some(alive), `set-up ends after ${signal}`, 1000);
  }
  const last = start(root, 'exit', '7');
  assert.equal((await last.ended).code, 7);
  assert.doesNotMatch(await last.complaints, /waiting/);
  assert.equal(log(root).at(-1), 'done');
});

test('the child goes within a second of the launcher, even by SIGKILL', async (t) => {
  const root = clone(t);
  const { child } = start(root, 'wait');
  const pid = await announced(child);
  child.kill('SIGKILL');
  await until(() => !alive(pid), 'the child ends', 1000);
});

test('npm killed: the launcher behind its shell goes too; without npm it lives on', async (t) => {
  const root = clone(t);
  await start(root, 'exit', '0').ended; // the build
  const launcher = JSON.stringify(join(root, 'bin/xenolith'));
  const npm = `require('child_process').spawn('sh', ['-c', '"$0" ' + ${JSON.stringify(launcher)} + ' wait; true',
    process.execPath], { stdio: 'inherit' })`;
  const under = async (env: Record<string, string>): Promise<number> => {
    const options = { stdio: ['ignore', 'pipe', 'inherit'] as ['ignore', 'pipe', 'inherit'] };
    const child = spawn(process.execPath, ['-e', npm], { ...options, env: { PATH: process.env.PATH, ...env } });
    const pid = await announced(child);
    await sleep(100);
    child.kill('SIGKILL');
    return pid;
  };
  const names = { npm_lifecycle_event: 'start', npm_package_json: join(root, 'package.json') };
  const followed = await under(names);
  await until(() => !alive(followed), 'the machine ends with npm', 1000);
  const free = await under({});
  await sleep(1000);
  assert.ok(alive(free));
  process.kill(free);
});

test('signals reach the child, and its end is the launcher’s', async (t) => {
  const root = clone(t);
  const catching = start(root, 'catch');
  await announced(catching.child);
  catching.child.kill('SIGTERM');
  assert.deepEqual(await catching.ended, { code: 9, signal: null });
  assert.match(await catching.output, /caught/);

  const waiting = start(root, 'wait');
  const pid = await announced(waiting.child);
  waiting.child.kill('SIGINT');
  assert.deepEqual(await waiting.ended, { code: 130, signal: null });
  assert.ok(!alive(pid));

  const killed = start(root, 'wait');
  process.kill(await announced(killed.child), 'SIGKILL');
  assert.deepEqual(await killed.ended, { code: 137, signal: null });
});

test('a clone that is not whole, and a failing step, are one sentence', async (t) => {
  const root = clone(t);
  writeFileSync(join(root, 'tools/build.ts'), 'process.exit(1);');
  const failing = start(root, 'exit', '0');
  assert.equal((await failing.ended).code, 1);
  assert.match(await failing.complaints, /^xenolith: building.*\nxenolith: the build failed: .*\n$/);
  rmSync(join(root, 'package-lock.json'));
  const broken = start(root, 'exit', '0');
  assert.equal((await broken.ended).code, 1);
  assert.match(await broken.complaints, /^xenolith: package-lock.json is missing .*\n$/);
});
