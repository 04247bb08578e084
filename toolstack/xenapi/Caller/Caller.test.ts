import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed, listen } from '../testing.ts';
import { matches } from './callers.ts';

const failed = (code: string) => ({ code });

test('clients are counted by what they say they are, the narrowest pattern first', async (t) => {
  const server = await bed(t);
  const { call, session } = server;
  const port = await listen(t, server);
  const as = async (agent: string): Promise<number> => {
    const headers = { 'user-agent': agent };
    const body = JSON.stringify({ method: 'pool.get_all', params: [session], id: 1 });
    const begin = performance.now();
    const reply = await fetch(`http://127.0.0.1:${port}/jsonrpc`, { method: 'POST', headers, body });
    assert.equal(((await reply.json()) as { result: string[] }).result.length, 1);
    return performance.now() - begin;
  };
  const any: string = await call('Caller.create', 'any', '', '', '127.*');
  const tool: string = await call('Caller.create', 'tool', 'a tool', 'tool/*', '');
  await assert.rejects(call('Caller.create', 'x', '', 'tool/*', ''), failed('MAP_DUPLICATE_KEY'));
  await assert.rejects(call('Caller.create', 'x', '', '', ''), failed('INVALID_VALUE'));
  const exact: string = await call('Caller.create', 'exact', '', 'tool/2', '');
  await as('tool/1');
  await as('tool/1.1');
  await as('tool/2');
  await as('other');
  const usage = async (ref: string) => ((await call('Caller.query_usage', ref)) as { calls: string }).calls;
  assert.deepEqual([await usage(any), await usage(tool), await usage(exact)], ['1', '2', '1']);
  assert.match(await call('Caller.get_last_access', tool), /^20\d\d/);
  for (const ref of [tool, exact]) await call('Caller.add_group', ref, 'g');
  assert.deepEqual(await call('Caller.query_group_usage', 'g'), { calls: '3', tokens: '3.0' });
  await call('Caller.remove_group', exact, 'g');
  assert.deepEqual(await call('Caller.query_group_usage', 'g'), { calls: '2', tokens: '2.0' });
  const rows: string[][] = await call('Caller.query_all_usage');
  assert.deepEqual(rows.map(([, name, tokens, calls]) => [name, tokens, calls])[0], ['tool', '2.0', '2']);
  await call('Caller.destroy', exact);
  await as('tool/2');
  assert.equal(await usage(tool), '3');
});

test('who calls more than he may waits', async (t) => {
  const server = await bed(t);
  const { call, session, xapi } = server;
  const port = await listen(t, server);
  const run = async (agent: string, count: number): Promise<number> => {
    const begin = performance.now();
    const body = JSON.stringify({ method: 'pool.get_all', params: [session], id: 1 });
    const options = { method: 'POST', headers: { 'user-agent': agent }, body };
    await Promise.all(Array.from({ length: count }, async () => (await fetch(`http://127.0.0.1:${port}/jsonrpc`, options)).text())); // prettier-ignore
    return performance.now() - begin;
  };
  const limit = (client_id: string, burst_size: number, fill_rate: number): Promise<string> =>
    call('Rate_limit.create', { client_id, burst_size, fill_rate });
  for (const [burst, rate] of [[0, 1], [1, 0], [-1, 1], [0.5, 1]]) await assert.rejects(limit('x', burst, rate), failed('INVALID_VALUE')); // prettier-ignore
  const ref = await limit('slow', 2, 20);
  await assert.rejects(limit('slow', 1, 1), failed('MAP_DUPLICATE_KEY'));
  // Two at once, the other six one by one in a twentieth of a second.
  assert.ok((await run('slow', 8)) >= 290);
  await call('Rate_limit.destroy', ref);
  assert.ok((await run('slow', 8)) < 290);
  const caller: string = await call('Caller.create', 'c', '', 'mine', '');
  const own = await limit(await call('Caller.get_uuid', caller), 1, 10);
  assert.equal(await call('Caller.get_rate_limit', caller), own);
  assert.ok((await run('mine', 4)) >= 290);
  await call('Rate_limit.destroy', own);
  assert.equal(xapi.db.row('Caller', caller).text('rate_limit'), 'OpaqueRef:NULL');
});

test('patterns', () => {
  assert.deepEqual(['', 'a*', 'ab', 'b*'].map((pattern) => matches(pattern, 'ab')), [true, true, true, false]); // prettier-ignore
});
