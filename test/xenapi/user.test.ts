// What the owner of a host's folder does to its XenAPI from the command line.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { manage } from '../../cli/host/user.ts';
import { EXIT, UsageError } from '../../cli/options.ts';
import { VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { rpc, run, Simulated } from './bed.ts';

const host = new Simulated();
before(() => host.start());
after(() => host.close());

const xenolith = (args: string[], input = '') =>
  run(process.execPath, [join(ROOT, 'cli/main.ts'), ...args, '--state', host.state], input);
const login = (user: string, password: string): Promise<string> =>
  rpc(host.plain, 'session.login_with_password', user, password);

test('a user is made while the host runs, becomes a subject, logs in, and goes', async () => {
  assert.deepEqual(await xenolith(['user', 'password', 'alice'], 'her secret\n'), { code: 0, out: '', err: '' });
  assert.equal((await xenolith(['user', 'list'])).out, 'root\nalice\n');
  const root = await login('root', host.password);
  const call = (method: string, ...params: unknown[]): Promise<never> => rpc(host.plain, method, root, ...params);
  await assert.rejects(login('alice', 'her secret'), /SESSION_AUTHENTICATION_FAILED/);
  const subject_identifier: string = await call('auth.get_subject_identifier', 'alice');
  const subject: string = await call('subject.create', { subject_identifier, other_config: {} });
  const [role]: string[] = await call('role.get_by_name_label', 'vm-operator');
  await call('subject.add_to_roles', subject, role);
  const session = await login('alice', 'her secret');
  await assert.rejects(rpc(host.plain, 'VM.create', session, VM_RECORD), /RBAC_PERMISSION_DENIED vm.create/);
  assert.equal((await xenolith(['user', 'remove', 'alice'])).code, 0);
  await assert.rejects(login('alice', 'her secret'), /SESSION_AUTHENTICATION_FAILED/);
});

test("root's first password lies in a file until it is changed", async () => {
  const session = await login('root', host.password);
  await rpc(host.plain, 'session.change_password', session, host.password, 'a new one');
  assert.throws(() => readFileSync(xenapiPaths(host.state).password), /ENOENT/);
  await login('root', 'a new one');
  assert.equal((await xenolith(['user', 'password', 'root'], host.password)).code, 0);
  await login('root', host.password);
});

/** In this process: a process of its own takes longer than all it does. */
async function refusal(t: TestContext, args: string[]): Promise<[code: number, sentence: string]> {
  let said = '';
  const write = t.mock.method(process.stderr, 'write', (text: string) => ((said += text), true));
  try {
    return [await manage([...args, '--state', host.state]), said];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return [EXIT.usage, `${error.message}\n`];
  } finally {
    write.mock.restore();
  }
}

test('mistakes are one sentence', async (t) => {
  for (const [args, code, sentence] of [
    [['user'], 64, /Nothing is known of 'user '/],
    [['user', 'password'], 64, /needs a name/],
    [['user', 'password', 'a b'], 1, /no user's name/],
    [['user', 'remove', 'bob'], 1, /there is no user 'bob'/],
    [['user', 'remove', 'root'], 1, /root stays/],
    [['database', 'restore', 'none'], 65, /there is no file/],
    [['database', 'dump', 'a', 'b'], 64, /'b' is too much/],
  ] as [string[], number, RegExp][]) {
    const [got, said] = await refusal(t, args);
    assert.equal(got, code, args.join(' '));
    assert.match(said, sentence);
    assert.equal(said.trimEnd().split('\n').length, 1);
  }
  assert.match((await xenolith(['user', 'password', 'bob'])).err, /^xenolith: .*1 to 1024 characters\.\n$/);
});

test('an address that somebody has', async () => {
  const port = new URL(host.tls).port;
  const { code, err } = await run(process.execPath, [join(ROOT, 'cli/main.ts'), 'simulate', '--listen', port]);
  assert.deepEqual(
    [code, err],
    [1, 'xenolith: XenAPI cannot be served there (EADDRINUSE): choose another address by --listen or --http.\n'],
  );
});

test('objects are dumped while the host runs, and restored to another', async () => {
  const session = await login('root', host.password);
  const vm: string = await rpc(host.plain, 'VM.create', session, { ...VM_RECORD, name_label: 'kept' });
  const file = join(host.state, 'dump');
  const dumped = await xenolith(['database', 'dump', file]);
  assert.equal(dumped.code, 0, dumped.err);
  assert.match(dumped.out, /^\d+ objects\n$/);
  assert.match((await xenolith(['database', 'restore', file])).err, /a host runs on/);
  const other = new Simulated();
  try {
    const restored = await run(process.execPath, [
      join(ROOT, 'cli/main.ts'),
      'database',
      'restore',
      file,
      '--state',
      other.state,
    ]);
    assert.deepEqual([restored.code, restored.out], [0, dumped.out], restored.err);
    await other.start();
    const there: string = await rpc(other.plain, 'session.login_with_password', 'root', other.password);
    assert.equal(await rpc(other.plain, 'VM.get_name_label', there, vm), 'kept');
    await other.end();
    writeFileSync(xenapiPaths(other.state).database, 'no database');
    const { code, err } = await run(process.execPath, [
      join(ROOT, 'cli/main.ts'),
      'simulate',
      '--state',
      other.state,
      '--listen',
      '0',
    ]);
    assert.equal(code, 65);
    assert.match(err, /cannot be used as a database/);
  } finally {
    await other.close();
  }
});
