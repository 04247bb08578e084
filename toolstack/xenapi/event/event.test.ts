import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { Event, EventBatch } from '../rpc/encode.ts';
import { bed, VM_RECORD } from '../testing.ts';

const of = ({ events }: EventBatch) => events.map((event) => [event.class, event.operation, event.ref]);

test('everything is new at first, then only what has changed', async (t) => {
  const { xapi, call } = await bed(t);
  const first: EventBatch = await call('event.from', ['*'], '', 0);
  assert.match(first.token, /^\d{20},\d{20}$/);
  assert.ok(first.events.every(({ operation, snapshot }) => operation === 'add' && snapshot));
  assert.deepEqual(new Set(first.events.map((event) => event.class)).has('session'), false);
  const vm: string = await call('VM.create', VM_RECORD);
  const second: EventBatch = await call('event.from', ['VM'], first.token, 10);
  assert.deepEqual(of(second), [['vm', 'add', vm]]);
  assert.equal(second.valid_ref_counts.vm, xapi.db.table('VM').size);
  await call('VM.set_name_label', vm, 'b');
  await call('VM.set_name_label', vm, 'c');
  const third: EventBatch = await call('event.from', ['vm'], second.token, 10);
  assert.deepEqual(of(third), [['vm', 'mod', vm]]);
  assert.equal(third.events[0].snapshot!.text('name_label'), 'c');
  await call('VM.destroy', vm);
  const fourth: EventBatch = await call('event.from', ['vm', 'task'], third.token, 10);
  assert.deepEqual(of(fourth), [['vm', 'del', vm]]);
  assert.equal('snapshot' in fourth.events[0], false);
  assert.equal(fourth.valid_ref_counts.task, xapi.db.table('task').size);
});

test('what came and went between two looks is not told; additions come first, removals last', async (t) => {
  const { call } = await bed(t);
  const old: string = await call('VM.create', VM_RECORD);
  const gone: string = await call('VM.create', VM_RECORD);
  const { token }: EventBatch = await call('event.from', ['vm'], '', 0);
  await call('VM.destroy', gone);
  await call('VM.destroy', await call('VM.create', VM_RECORD));
  await call('VM.set_name_label', old, 'x');
  const added: string = await call('VM.create', VM_RECORD);
  assert.deepEqual(of(await call('event.from', ['vm'], token, 0)), [
    ['vm', 'add', added],
    ['vm', 'mod', old],
    ['vm', 'del', gone],
  ]);
});

test('a single object, and a wait for it', async (t) => {
  const { call } = await bed(t);
  const [a, b]: string[] = [await call('VM.create', VM_RECORD), await call('VM.create', VM_RECORD)];
  const { token }: EventBatch = await call('event.from', [`VM/${a}`], '', 0);
  const waiting = call('event.from', [`VM/${a}`], token, 30) as Promise<EventBatch>;
  let told = false;
  void waiting.then(() => (told = true));
  await call('VM.set_name_label', b, 'x');
  // Who waits for the other one is told, in the same round.
  assert.deepEqual(of(await call('event.from', [`VM/${b}`], token, 30)), [['vm', 'mod', b]]);
  assert.equal(told, false);
  await call('VM.set_name_label', a, 'y');
  assert.deepEqual(of(await waiting), [['vm', 'mod', a]]);
});

test('an empty answer is held until the time is up', async (t) => {
  const { call } = await bed(t);
  const { token }: EventBatch = await call('event.from', ['vm'], '', 0);
  const before = performance.now();
  const batch: EventBatch = await call('event.from', ['vm'], token, 0.3);
  assert.ok(performance.now() - before >= 290);
  assert.deepEqual(batch.events, []);
});

test('inject gives a token just before the change that it makes', async (t) => {
  const { call } = await bed(t);
  const [pool]: string[] = await call('pool.get_all');
  const token: string = await call('event.inject', 'pool', pool);
  assert.deepEqual(of(await call('event.from', ['pool'], token, 10)), [['pool', 'mod', pool]]);
  await assert.rejects(call('event.inject', 'pool', 'OpaqueRef:x'), { code: 'HANDLE_INVALID' });
});

test('bad tokens and subscriptions', async (t) => {
  const { call } = await bed(t);
  for (const token of ['x', '1', '1,2,3', '-1,0', '1;2'])
    await assert.rejects(call('event.from', ['vm'], token, 0), {
      code: 'EVENT_FROM_TOKEN_PARSE_FAILURE',
      params: [token],
    });
  await assert.rejects(call('event.from', ['a/b/c'], '', 0), {
    code: 'EVENT_SUBSCRIPTION_PARSE_FAILURE',
    params: ['a/b/c'],
  });
  // A token from the future: the database is another one.
  const batch: EventBatch = await call('event.from', ['pool'], '00000000009999999999,00000000000000000000', 0);
  assert.equal(batch.events.length, 1);
});

test('register and next, the old way', async (t) => {
  const { call, session } = await bed(t);
  await assert.rejects(call('event.next'), { code: 'SESSION_NOT_REGISTERED', params: [session] });
  await call('event.register', ['VM']);
  const next = call('event.next') as Promise<Event[]>;
  const vm: string = await call('VM.create', VM_RECORD);
  assert.deepEqual(
    (await next).map(({ operation, ref }) => [operation, ref]),
    [['add', vm]],
  );
  await call('event.unregister', ['VM']);
  await assert.rejects(call('event.next'), { code: 'SESSION_NOT_REGISTERED' });
});

test('a logout ends the wait', async (t) => {
  const { xapi, call, session } = await bed(t);
  const { token }: EventBatch = await call('event.from', ['vm'], '', 0);
  const waiting = call('event.from', ['vm'], token, 600) as Promise<EventBatch>;
  await sleep(10);
  xapi.sessions.close(xapi.sessions.use(session));
  assert.deepEqual((await waiting).events, []);
});

test('the number of the last change', async (t) => {
  const { call, xapi } = await bed(t);
  const before: number = await call('event.get_current_id');
  xapi.db.set(xapi.pool, { name_description: 'changed' });
  assert.equal(await call('event.get_current_id'), before + 1);
});
