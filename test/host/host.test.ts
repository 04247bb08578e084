// The host process: its beginning and its end, by whatever way.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hostHelp } from '../../cli/host/options.ts';
import { Bed, until } from './bed.ts';

function bed(t: TestContext): Bed {
  const made = new Bed();
  t.after(() => made.close());
  return made;
}

/** What of the state folder stays when no host runs. */
const LEFT = ['domains', 'dump', 'host.log', 'lost', 'xenstored'];

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/\) Z/.test(process.platform === 'linux' ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '');
  } catch {
    return false;
  }
};

test('up --detach, status, a second up, down', async (t) => {
  const b = bed(t);
  const none = await b.run('xenolith', ['status']);
  assert.equal(none.code, 1);
  assert.match(none.err, /^xenolith: the host of .* is not running: `xenolith up --detach` starts one .*\n$/);

  // By the launchers, as a person does it: what they started to stay outlives them.
  const up = await b.run('bin/xenolith', ['up', '--detach', '--memory', '64']);
  assert.deepEqual([up.code, up.err, up.out], [0, '', `the host of ${b.state} is ready.\n`]);
  const status = await b.run('xenolith', ['status']);
  const pid = Number(/^process *: (\d+)$/m.exec(status.out)?.[1]);
  t.after(() => alive(pid) && process.kill(pid, 'SIGKILL'));
  assert.ok(alive(pid), status.out);
  assert.match(status.out, /^domains *: 0$/m);
  assert.match(status.out, new RegExp(`^export XENSTORED_RUNDIR=${b.state}/xenstored$`, 'm'));
  assert.equal(statSync(join(b.state, 'control.sock')).mode & 0o777, 0o600);
  assert.equal(statSync(b.state).mode & 0o777, 0o700);

  // Debian's own client finds the store by what status prints.
  const [, rundir] = /^export XENSTORED_RUNDIR=(.*)$/m.exec(status.out)!;
  const read = spawnSync('xenstore-read', ['/local/domain/0/name'], {
    env: { ...process.env, XENSTORED_RUNDIR: rundir },
  });
  if (read.error === undefined) assert.equal(read.stdout.toString(), 'Domain-0\n', read.stderr.toString());
  else t.diagnostic(`xenstore-read was not tried: ${read.error.message}`);

  const sentence = new RegExp(`^xenolith: a host runs on ${b.state} already \\(process ${pid}\\): .*\\n$`);
  const seconds = await Promise.all([[], ['--detach']].map((more) => b.run('xenolith', ['up', ...more])));
  for (const second of seconds) {
    assert.deepEqual([second.code, second.out], [1, '']);
    assert.match(second.err, sentence);
  }

  const list = await b.run('bin/xl', ['list']);
  assert.deepEqual([list.code, list.err], [0, '']);
  assert.match(list.out, /^Domain-0 /m);

  const down = await b.run('xenolith', ['down']);
  assert.deepEqual([down.code, down.out, down.err], [0, '', '']);
  assert.equal(alive(pid), false);
  assert.deepEqual(readdirSync(b.state).sort(), LEFT);
  assert.equal((await b.run('xenolith', ['down'])).code, 1);
});

test('killed by SIGKILL: the next up says what was lost, and begins clean', async (t) => {
  const b = bed(t);
  await b.up();
  await b.create('one', { extra: 'loop' });
  await b.create('two', {}, '-p');
  await b.xl('rename', 'two', 'new name');
  const console = b.start('xl', ['console', 'one']);
  await until(() => console.pid !== undefined, 'a console');
  await b.end('SIGKILL');
  // Whoever was connected ends too.
  await until(() => console.exitCode !== null, 'the console ends');
  assert.ok(existsSync(join(b.state, 'control.sock')), 'SIGKILL leaves it');
  assert.match((await b.xl('list')).err, /^xl: the host of .* is not running/);

  const said = await b.up();
  assert.match(said, /lost with it: 2 domains: 'one' \(1\), 'new name' \(2\); the configurations are in .*lost\./);
  const list = await b.ok('list');
  assert.equal(list.trim().split('\n').length, 2, list);
  assert.deepEqual(readdirSync(join(b.state, 'domains')), []);
  assert.deepEqual(readdirSync(join(b.state, 'lost')).sort(), ['new_name.cfg', 'one.cfg']);
  // And they can be made again.
  assert.equal((await b.xl('create', '-q', join(b.state, 'lost', 'one.cfg'))).code, 0);
  assert.match(readFileSync(join(b.state, 'host.log'), 'utf8'), /the last host did not end by/);
  assert.equal(await b.end('SIGTERM'), 0);
  assert.deepEqual(readdirSync(b.state).sort(), LEFT);
  assert.doesNotMatch(await b.up(), /lost/);
});

test('wrong usage, and folders that cannot be used', async (t) => {
  const b = bed(t);
  const cases: [string[], number, RegExp][] = [
    [['up', '--colour'], 64, /'--colour'/],
    [['up', 'x'], 64, /Nothing is known of 'x'/],
    [['up', '--memory', '8'], 64, /--memory takes a whole number from 16 to/],
    [['down', '--timeout', 'x'], 64, /--timeout takes a number/],
    [['up', '--state', `${b.folder}/${'x'.repeat(120)}`], 1, /too long a name/],
    [['up', '--state', `${b.folder}/file/state`], 1, /cannot be made \(ENOTDIR\): name another by --state/],
  ];
  mkdirSync(b.folder, { recursive: true });
  writeFileSync(join(b.folder, 'file'), '');
  const rans = await Promise.all(cases.map(([args]) => b.run('xenolith', args)));
  for (const [i, [args, code, sentence]] of cases.entries()) {
    const ran = rans[i]!;
    assert.match(ran.err, /^xenolith: [^\n]*\n$/);
    assert.match(ran.err, sentence);
    assert.deepEqual([ran.code, ran.out], [code, ''], args.join(' '));
  }
  for (const verb of ['up', 'down', 'status'] as const)
    assert.match(hostHelp(verb), new RegExp(`^usage: xenolith ${verb} `));
  assert.equal((await b.run('xenolith', ['down', '--help'])).out, hostHelp('down'));
});
