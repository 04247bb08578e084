import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MESSAGES } from '../../../spec/xenapi/index.ts';
import { ROLES, rolesOf } from '../../../spec/xenapi/roles.ts';
import { mayBeAsync } from '../dispatch.ts';
import { Failure } from '../failure.ts';
import { bed, userWith, VM_RECORD } from '../testing.ts';

/** What the published data model says, by message: the letter of the least role. */
function published(): Map<string, string> {
  const lines = JSON.parse(
    readFileSync(new URL('../../../spec/xenapi/manifest.json', import.meta.url), 'utf8'),
  ) as string[];
  const letters = new Map<string, string>();
  for (const line of lines) {
    const match = /^(?:message|implicit) ([\w.]+)\(session.*? \| ([-AOPVUR])\+?(?: \||$)/.exec(line);
    if (match) letters.set(match[1], match[2]);
  }
  return letters;
}

const nobody = { address: 'test', signal: new AbortController().signal };

/** Whether a session may call; asked with a parameter too much, so that nothing is done. */
async function denied(server: Awaited<ReturnType<typeof bed>>, session: string, method: string): Promise<boolean> {
  try {
    await server.xapi.dispatcher.call({ method, params: [session, ...Array<string>(40).fill('x')] }, nobody);
  } catch (error) {
    assert.ok(error instanceof Failure, `${method}: ${String(error)}`);
    if (error.code === 'RBAC_PERMISSION_DENIED') {
      assert.deepEqual(error.params, [method.replace('Async.', '').toLowerCase(), 'No permission in user session']);
      return true;
    }
    assert.equal(error.code, 'MESSAGE_PARAMETER_COUNT_MISMATCH', method);
    return false;
  }
  throw new Error(`${method} took 40 parameters`);
}

test('every role against every message, as published', async (t) => {
  const server = await bed(t);
  const letters = published();
  assert.ok(letters.size > 1700);
  for (const [index, role] of ROLES.entries()) {
    const session = await userWith(server, role);
    for (const [method, letter] of letters)
      assert.equal(
        await denied(server, session, method),
        !(letter !== '-' && index <= 'AOPVUR'.indexOf(letter)),
        `${role} ${method}`,
      );
  }
  for (const method of letters.keys()) assert.equal(await denied(server, server.session, method), false, method);
});

test('every role against what is newer than what is published, and against all that can be a task', async (t) => {
  const server = await bed(t);
  const letters = published();
  const newer = [...MESSAGES].filter(([name, { session }]) => session && !letters.has(name));
  const tasks = [...MESSAGES].filter(([, message]) => message.session && mayBeAsync(message));
  assert.ok(newer.length > 20 && tasks.length > 200);
  const asked = [...newer, ...tasks.map(([name, message]) => [`Async.${name}`, message] as const)];
  for (const role of ROLES) {
    const session = await userWith(server, role);
    for (const [name, { allowed }] of asked)
      assert.equal(await denied(server, session, name), !rolesOf(allowed).includes(role), `${role} ${name}`);
  }
  assert.equal(server.xapi.db.table('task').size, 0);
});

test('who may not call is told nothing of arguments', async (t) => {
  const server = await bed(t);
  const session = await userWith(server, 'read-only');
  const as = (method: string, ...params: string[]) =>
    server.xapi.dispatcher.call({ method, params: [session, ...params] }, nobody);
  await assert.rejects(as('VM.start', 'OpaqueRef:none', 'x', 'y'), { code: 'RBAC_PERMISSION_DENIED' });
  await assert.rejects(as('Async.VM.start', 'OpaqueRef:none'), { code: 'RBAC_PERMISSION_DENIED' });
  assert.equal(server.xapi.db.table('task').size, 0);
});

test('some keys of a map are free for operators', async (t) => {
  const server = await bed(t);
  const vm = (await server.call('VM.create', VM_RECORD)) as string;
  const operator = await userWith(server, 'vm-operator');
  const reader = await userWith(server, 'read-only');
  const as = (session: string, method: string, ...params: string[]) =>
    server.xapi.dispatcher.call({ method, params: [session, ...params] }, nobody);
  await as(operator, 'VM.add_to_other_config', vm, 'folder', '/x');
  await as(operator, 'VM.add_to_other_config', vm, 'XenCenter.CustomFields.a', '1');
  await as(operator, 'VM.remove_from_other_config', vm, 'folder');
  const refused = { code: 'RBAC_PERMISSION_DENIED' };
  await assert.rejects(as(operator, 'VM.add_to_other_config', vm, 'other', '1'), refused);
  await assert.rejects(as(reader, 'VM.add_to_other_config', vm, 'folder', '1'), refused);
});

test('roles tell what they permit', async (t) => {
  const { call } = await bed(t);
  const [role] = (await call('role.get_by_name_label', 'vm-operator')) as string[];
  const names = (await call('role.get_permissions_name_label', role)) as string[];
  assert.ok(names.includes('vm.start') && !names.includes('vm.destroy'));
  const by = (await call('role.get_by_permission_name_label', 'VM.destroy')) as string[];
  assert.equal(by.length, 4);
  const refs = (await call('role.get_permissions', role)) as string[];
  assert.equal(refs.length, names.length);
  const [start] = (await call('role.get_by_name_label', 'vm.start')) as string[];
  assert.ok(refs.includes(start));
  assert.ok(((await call('role.get_by_permission', start)) as string[]).includes(role));
});
