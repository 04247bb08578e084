import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryDatabase } from '../database/open.ts';
import { bed, PASSWORD, userWith } from '../testing.ts';
import { Attempts } from './attempts.ts';
import { IDLE_MS, MAX_PER_ORIGINATOR, Sessions, type Login } from './sessions.ts';
import { Users } from './users.ts';

const LOGIN: Login = {
  ...{ user: 'root', originator: 'a', superuser: true, subject: 'OpaqueRef:NULL', subjectIdentifier: '' },
  ...{ roles: [], host: 'OpaqueRef:NULL' },
};
const origin = (address = 'test') => ({ address, signal: new AbortController().signal });

test('a session ends a day after its last use', () => {
  let now = 0;
  const sessions = new Sessions(memoryDatabase(), () => now);
  const { ref } = sessions.open(LOGIN);
  for (let i = 0; i < 3; i++) {
    now += IDLE_MS - 1;
    assert.equal(sessions.use(ref).ref, ref);
  }
  now += IDLE_MS;
  assert.throws(() => sessions.use(ref), { code: 'SESSION_INVALID', params: [ref] });
  assert.equal(sessions.size, 0);
  for (const forged of ['', 'OpaqueRef:NULL', 'x', null, 5, {}])
    assert.throws(() => sessions.use(forged), { code: 'SESSION_INVALID' });
});

test('too many sessions of one originator: the one that was longest idle goes', () => {
  let now = 0;
  const sessions = new Sessions(memoryDatabase(), () => now++);
  const refs = Array.from({ length: MAX_PER_ORIGINATOR }, () => sessions.open(LOGIN).ref);
  const other = sessions.open({ ...LOGIN, originator: 'b' });
  sessions.use(refs[0]);
  sessions.open(LOGIN);
  assert.equal(sessions.peek(refs[1]), undefined);
  assert.ok(sessions.peek(refs[0]) && sessions.peek(other.ref));
  assert.equal(sessions.size, MAX_PER_ORIGINATOR + 1);
});

test('login and logout', async (t) => {
  const { xapi, call, session } = await bed(t);
  const row = xapi.db.row('session', session);
  assert.equal(row.flag('is_local_superuser'), true);
  assert.equal(row.text('this_host'), xapi.hostRef);
  await call('session.logout');
  await assert.rejects(call('pool.get_all'), { code: 'SESSION_INVALID', params: [session] });
  assert.equal(xapi.db.table('session').size, 0);
});

test('wrong passwords are refused, put off, and nothing of them is in the log', async (t) => {
  const { xapi, logged } = await bed(t);
  const login = (user: string, password: string, address?: string) =>
    xapi.dispatcher.call({ method: 'session.login_with_password', params: [user, password] }, origin(address));
  for (let i = 0; i < 3; i++)
    await assert.rejects(login('root', `secret-${i}`, 'evil'), { code: 'SESSION_AUTHENTICATION_FAILED' });
  await assert.rejects(login('nobody\nforged line', 'secret-x', 'other'), { code: 'SESSION_AUTHENTICATION_FAILED' });
  for (let i = 0; i < 100; i++) xapi.attempts.failed('evil');
  // From now on not even the right one is looked at, from there.
  await assert.rejects(login('root', PASSWORD, 'evil'), { code: 'SESSION_AUTHENTICATION_FAILED' });
  await login('root', PASSWORD, 'good');
  const text = logged.join('\n');
  assert.equal(logged.length, 5);
  assert.doesNotMatch(text, /secret|forged line$/m);
  assert.doesNotMatch(text, new RegExp(PASSWORD));
});

test('attempts come back by time, and the list of addresses is bounded', () => {
  const attempts = new Attempts();
  for (let i = 0; i < 10; i++) attempts.failed('a', 0);
  assert.equal(attempts.allowed('a', 0), false);
  assert.equal(attempts.allowed('a', 3000), true);
  assert.equal(attempts.allowed('b', 0), true);
  for (let i = 0; i < 20_000; i++) attempts.failed(`x${i}`, 0);
  assert.equal(attempts.allowed('a', 0), true);
});

test('attempts from one network of IPv6 are one address’s', () => {
  const attempts = new Attempts();
  for (let i = 0; i < 10; i++) attempts.failed(`2001:db8:0:1::${i.toString(16)}`, 0);
  assert.equal(attempts.allowed('2001:db8:0:1:ffff:ffff:ffff:ffff', 0), false);
  assert.equal(attempts.allowed('2001:db8:0:2::1', 0), true);
  for (let i = 0; i < 10; i++) attempts.failed('::1', 0);
  assert.deepEqual([attempts.allowed('::1', 0), attempts.allowed('::ffff:10.0.0.1', 0), attempts.allowed('1::1', 0)], [false, true, true]); // prettier-ignore
});

test('passwords are kept as hashes that only the owner can read', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'users.json');
  await new Users(path).setPassword('root', PASSWORD);
  assert.doesNotMatch(readFileSync(path, 'utf8'), new RegExp(PASSWORD));
  const again = new Users(path);
  assert.equal(await again.check('root', PASSWORD), true);
  assert.equal(await again.check('root', PASSWORD), true);
  assert.equal(await again.check('root', 'other'), false);
  assert.equal(await again.check('toString', PASSWORD), false);
  await again.setPassword('root', 'new');
  assert.equal(await again.check('root', PASSWORD), false);
});

test('a user changes his own password, knowing the old one', async (t) => {
  const server = await bed(t);
  const session = await userWith(server, 'vm-operator');
  const as = (method: string, ...params: string[]) =>
    server.xapi.dispatcher.call({ method, params: [session, ...params] }, origin());
  await assert.rejects(as('session.change_password', PASSWORD, 'new'), { code: 'RBAC_PERMISSION_DENIED' });
  assert.equal(await server.xapi.users.check('user-vm-operator', PASSWORD), true);
  await server.call('session.change_password', '', 'newer');
  assert.equal(await server.xapi.users.check('root', 'newer'), true);
});

test('a subject comes and goes with its sessions', async (t) => {
  const { xapi, call } = await bed(t);
  await xapi.users.setPassword('alice', PASSWORD);
  const login = () =>
    xapi.dispatcher.call({ method: 'session.login_with_password', params: ['alice', PASSWORD] }, origin());
  await assert.rejects(login(), { code: 'SESSION_AUTHENTICATION_FAILED' });
  const identifier = await call('auth.get_subject_identifier', 'alice');
  await assert.rejects(call('auth.get_subject_identifier', 'bob'), { code: 'SUBJECT_CANNOT_BE_RESOLVED' });
  const subject = await call('subject.create', { subject_identifier: identifier, other_config: {} });
  await assert.rejects(call('subject.create', { subject_identifier: identifier }), { code: 'SUBJECT_ALREADY_EXISTS' });
  await assert.rejects(login(), { code: 'SESSION_AUTHENTICATION_FAILED' });
  const [role] = (await call('role.get_by_name_label', 'vm-admin')) as string[];
  await call('subject.add_to_roles', subject, role);
  const session = (await login()).value as string;
  assert.deepEqual(await call('session.get_all_subject_identifiers'), [identifier]);
  const permissions = xapi.db.row('session', session).refs('rbac_permissions');
  assert.ok(permissions.includes('vm.create') && !permissions.includes('host.reboot'));
  assert.deepEqual(
    [...permissions].sort(),
    [...((await call('subject.get_permissions_name_label', subject)) as string[])].sort(),
  );
  await call('subject.remove_from_roles', subject, role);
  assert.equal(xapi.sessions.peek(session), undefined);
});

test('the directory is the list of users, and a subject can be put out', async (t) => {
  const server = await bed(t);
  const { xapi, call } = server;
  const session = await userWith(server, 'vm-admin');
  const identifier = 'local:user-vm-admin';
  assert.deepEqual(await call('auth.get_subject_information_from_identifier', identifier), {
    ...{ 'subject-name': 'user-vm-admin', 'subject-sid': identifier, 'subject-is-group': 'false' },
  });
  assert.deepEqual(await call('auth.get_group_membership', identifier), []);
  const unknown = { code: 'SUBJECT_CANNOT_BE_RESOLVED' };
  await assert.rejects(call('auth.get_group_membership', 'local:nobody'), unknown);
  await assert.rejects(call('auth.get_subject_information_from_identifier', 'x'), unknown);
  assert.ok(xapi.sessions.peek(session));
  await call('session.logout_subject_identifier', 'local:somebody-else');
  assert.ok(xapi.sessions.peek(session));
  await call('session.logout_subject_identifier', identifier);
  assert.equal(xapi.sessions.peek(session), undefined);
  const params = ['user-vm-admin', PASSWORD];
  const { value } = await xapi.dispatcher.call({ method: 'session.login_with_password', params }, origin());
  const [subject] = xapi.db.table('subject').keys();
  await call('subject.destroy', subject);
  assert.deepEqual([xapi.db.table('subject').size, xapi.sessions.peek(value as string)], [0, undefined]);
  await assert.rejects(xapi.dispatcher.call({ method: 'session.login_with_password', params }, origin()), { code: 'SESSION_AUTHENTICATION_FAILED' }); // prettier-ignore
});
