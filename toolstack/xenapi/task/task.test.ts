import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { Row } from '../database/row.ts';
import { bed, userWith, VM_RECORD, type Bed } from '../testing.ts';

async function ended({ xapi }: Bed, ref: string): Promise<Row> {
  for (;;) {
    const row = xapi.db.row('task', ref);
    if (!['pending', 'cancelling'].includes(row.text('status'))) return row;
    await sleep(5);
  }
}

test('work goes on as a task, and its result is told as XML', async (t) => {
  const server = await bed(t);
  const task = await ended(server, await server.call('Async.VM.create', VM_RECORD));
  assert.equal(task.text('status'), 'success');
  assert.match(task.text('result'), /^<value>OpaqueRef:[-0-9a-f]+<\/value>$/);
  assert.equal(task.text('name_label'), 'Async.VM.create');
  assert.equal(task.number('progress'), 1);
  const vm = task.text('result').slice(7, -8);
  assert.equal((await ended(server, await server.call('Async.VM.start', vm, false, false))).text('result'), '');
  const failed = await ended(server, await server.call('Async.VM.start', vm, false, false));
  assert.equal(failed.text('status'), 'failure');
  assert.deepEqual(failed.refs('error_info'), ['VM_BAD_POWER_STATE', vm, 'halted', 'running']);
});

test('cancelled work ends, and what was going on is over', async (t) => {
  const server = await bed(t, { obeysAfter: undefined });
  const vm: string = await server.call('VM.create', VM_RECORD);
  await server.call('VM.start', vm, false, false);
  const task: string = await server.call('Async.VM.clean_shutdown', vm);
  assert.deepEqual(Object.values(server.xapi.db.row('VM', vm).map('current_operations')), ['clean_shutdown']);
  await server.call('task.cancel', task);
  assert.equal((await ended(server, task)).text('status'), 'cancelled');
  await sleep(1);
  assert.deepEqual(server.xapi.db.row('VM', vm).map('current_operations'), {});
});

test("a client's own task", async (t) => {
  const { call, xapi } = await bed(t);
  const task: string = await call('task.create', 'upload', 'of a disk');
  await call('task.set_progress', task, 0.5);
  assert.equal(xapi.db.row('task', task).number('progress'), 0.5);
  await call('task.set_status', task, 'success');
  assert.equal(await call('task.get_status', task), 'success');
  await call('task.destroy', task);
  await assert.rejects(call('task.get_status', task), { code: 'HANDLE_INVALID', params: ['task', task] });
});

test("nobody ends another user's task, operators apart", async (t) => {
  const server = await bed(t);
  const [mine, other] = [await userWith(server, 'vm-admin'), await userWith(server, 'vm-operator')];
  const operator = await userWith(server, 'pool-operator');
  const as = async (session: string, method: string, ...params: string[]) =>
    (
      await server.xapi.dispatcher.call(
        { method, params: [session, ...params] },
        { address: 'test', signal: new AbortController().signal },
      )
    ).value as string;
  const task = await as(mine, 'task.create', 'a', 'b');
  await assert.rejects(as(other, 'task.destroy', task), { code: 'RBAC_PERMISSION_DENIED' });
  await assert.rejects(as(other, 'task.set_status', task, 'success'), { code: 'RBAC_PERMISSION_DENIED' });
  await as(operator, 'task.cancel', task);
  await as(mine, 'task.destroy', task);
});

test('tasks that have ended go after a while', async (t) => {
  const { call, xapi } = await bed(t);
  const old: string = await call('task.create', 'a', '');
  const fresh: string = await call('task.create', 'b', '');
  await call('task.set_status', old, 'success');
  xapi.tasks.expire(Date.now() + 66 * 60_000);
  assert.equal(xapi.db.find('task', old), undefined);
  assert.ok(xapi.db.find('task', fresh));
  xapi.tasks.expire(Date.now() + 25 * 3600_000);
  assert.equal(xapi.db.find('task', fresh), undefined);
});

test('what is not done at once alone can be a task', async (t) => {
  const { call } = await bed(t);
  for (const name of [
    'Async.VM.get_all',
    'Async.event.from',
    'Async.session.logout',
    'Async.VM.set_name_label',
    'VM.nonsense',
    'x',
  ])
    await assert.rejects(call(name), { code: 'MESSAGE_METHOD_UNKNOWN', params: [name] });
  await assert.rejects(call('VM.snapshot_with_quiesce'), {
    code: 'MESSAGE_REMOVED',
    params: ['VM.snapshot_with_quiesce'],
  });
});

test('what a client reports of its own work', async (t) => {
  const { call } = await bed(t);
  const task: string = await call('task.create', 'mine', '');
  await call('task.set_result', task, '<value>42</value>');
  await call('task.set_error_info', task, ['MINE', 'a']);
  assert.deepEqual([await call('task.get_result', task), await call('task.get_error_info', task)], ['<value>42</value>', ['MINE', 'a']]); // prettier-ignore
});
