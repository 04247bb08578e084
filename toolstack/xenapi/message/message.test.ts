import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Row } from '../database/row.ts';
import { bed, VM_RECORD } from '../testing.ts';

test('messages are made, found and destroyed', async (t) => {
  const { call, xapi } = await bed(t);
  const vm: string = await call('VM.create', VM_RECORD);
  const { uuid } = xapi.db.row('VM', vm);
  const make = (name: string): Promise<string> => call('message.create', name, 3, 'VM', uuid, `about ${name}`);
  await assert.rejects(call('message.create', 'x', 3, 'VM', 'nobody', ''), { code: 'UUID_INVALID' });
  const [a, b, c] = [await make('A'), await make('B'), await make('C')];
  // Without a wire the record is the row itself.
  const { fields: record }: Row = await call('message.get_record', a);
  assert.deepEqual([record.name, record.body, record.obj_uuid, record.priority], ['A', 'about A', uuid, 3]);
  const own: string = await call('message.get_by_uuid', xapi.db.row('message', b).uuid);
  assert.equal(own, b);
  const all = async (): Promise<string[]> => call('message.get_all');
  assert.deepEqual(new Set(await all()), new Set([a, b, c]));
  const keys = async (method: string, ...params: string[]) => [...((await call(method, ...params)) as Map<string, unknown>).keys()]; // prettier-ignore
  assert.deepEqual(await keys('message.get_all_records'), await all());
  assert.deepEqual(await keys('message.get_all_records_where', 'true'), await all());
  assert.deepEqual(await keys('message.get', 'VM', uuid, '19700101T00:00:00Z'), [a, b, c]);
  assert.deepEqual(await keys('message.get', 'VM', 'other', '19700101T00:00:00Z'), []);
  assert.deepEqual(await keys('message.get_since', '19700101T00:00:00Z'), [a, b, c]);
  assert.deepEqual(await keys('message.get_since', '29700101T00:00:00Z'), []);
  await call('message.destroy', a);
  assert.deepEqual(await all(), [b, c]);
  // All or none.
  await assert.rejects(call('message.destroy_many', [b, a]), { code: 'HANDLE_INVALID' });
  assert.deepEqual(await all(), [b, c]);
  await call('message.destroy_many', [b, c]);
  assert.deepEqual(await all(), []);
});
