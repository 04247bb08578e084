// Real clients, as they are: npm's xen-api over both transports, Python's XenAPI.py, and the fence agent for clusters.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'xen-api';
import { VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { need } from '../../tools/apt.ts';
import { until } from '../host/bed.ts';
import { rpc, run, Simulated } from './bed.ts';

const host = new Simulated();
let session = '';

before(async () => {
  // Not between calls: a connection that rests while packages are installed is closed by the host.
  await need('python3-os-xenapi', 'fence-agents');
  await host.start();
  session = await rpc(host.plain, 'session.login_with_password', 'root', host.password);
});
after(() => host.close());

const call = (method: string, ...params: unknown[]): Promise<never> => rpc(host.plain, method, session, ...params);

for (const transport of ['json-rpc', 'xml-rpc'] as const)
  for (const [name, url] of [
    ['HTTP', () => host.plain],
    ['TLS', () => host.tls],
  ] as const)
    test(`xen-api by ${transport} over ${name}: connects, sees everything, starts a VM and sees it run`, async () => {
      const xapi = createClient({
        ...{ url: url(), auth: { user: 'root', password: host.password }, allowUnauthorized: true, transport },
      });
      await xapi.connect();
      try {
        await xapi.objectsFetched;
        const pool = xapi.pool;
        assert.equal(pool.$type, 'pool');
        assert.equal(xapi.getObject(pool.master).$type, 'host');
        const ref: string = await xapi.call('VM.create', { ...VM_RECORD, name_label: `by ${transport}` });
        await xapi.barrier(ref);
        assert.equal(xapi.getObject(ref).name_label, `by ${transport}`);
        // A task of its own, whose result it reads.
        const clone: string = await xapi.callAsync('VM.clone', ref, 'a clone');
        assert.match(clone, /^OpaqueRef:/);
        await xapi.callAsync('VM.start', ref, false, false);
        await xapi.barrier(ref);
        assert.equal(xapi.getObject(ref).power_state, 'Running');
        await assert.rejects(xapi.callAsync('VM.start', ref, false, false), {
          code: 'VM_BAD_POWER_STATE',
          params: [ref, 'halted', 'running'],
        });
        await assert.rejects(xapi.call('VM.destroy', ref), { code: 'VM_BAD_POWER_STATE' });
        await xapi.call('VM.hard_shutdown', ref);
        for (const each of [ref, clone]) await xapi.call('VM.destroy', each);
        await until(() => xapi.getObject(ref, null) === null, 'its end is seen');
        // What others do is seen as well.
        const vm: string = await call('VM.create', VM_RECORD);
        await xapi.barrier(vm);
        await call('VM.set_name_label', vm, 'renamed');
        await until(() => xapi.getObject(vm).name_label === 'renamed', 'the new name is seen');
        await call('VM.destroy', vm);
      } finally {
        await xapi.disconnect();
      }
    });

const PYTHON = `
import sys
from os_xenapi.client import XenAPI
url, password = sys.argv[1:]
session = XenAPI.Session(url)
session.xenapi.login_with_password('root', password, '1.0', 'test')
api = session.xenapi
record = ${JSON.stringify(VM_RECORD).replaceAll('false', 'False').replaceAll('true', 'True')}
for field in ('user_version', 'memory_static_max', 'memory_dynamic_max', 'memory_dynamic_min', 'memory_static_min', 'VCPUs_max', 'VCPUs_at_startup', 'version'):
    record[field] = str(record[field])
vm = api.VM.create(record)
assert api.VM.get_record(vm)['memory_static_max'] == '268435456'
token = session.xenapi_request('event.from', (['vm'], '', 0.0))['token']
task = session.xenapi_request('Async.VM.start', (vm, False, False))
while api.task.get_status(task) == 'pending': pass
assert api.task.get_status(task) == 'success', api.task.get_error_info(task)
batch = session.xenapi_request('event.from', (['vm'], token, 5.0))
assert [(e['operation'], e['ref'], e['snapshot']['power_state']) for e in batch['events']] == [('mod', vm, 'Running')], batch
assert batch['valid_ref_counts']['vm'] == str(len(api.VM.get_all())), batch
try:
    api.VM.start(vm, False, False)
    raise SystemExit('it started twice')
except XenAPI.Failure as failure:
    assert failure.details == ['VM_BAD_POWER_STATE', vm, 'halted', 'running'], failure.details
api.VM.hard_shutdown(vm)
api.VM.destroy(vm)
try:
    api.VM.get_record(vm)
    raise SystemExit('it is still there')
except XenAPI.Failure as failure:
    assert failure.details == ['HANDLE_INVALID', 'VM', vm], failure.details
assert len(api.host.get_all_records()) == 1
session.xenapi.session.logout()
print('done')
`;

test('XenAPI.py: logs in, creates, starts, watches, destroys', async () => {
  const { code, out, err } = await run('/usr/bin/python3', ['-', host.plain, host.password], PYTHON);
  assert.deepEqual([code, out], [0, 'done\n'], err);
});

test('fence_xenapi: lists, tells, stops, starts and reboots', async () => {
  const vm: string = await call('VM.create', { ...VM_RECORD, name_label: 'fenced' });
  const uuid: string = await call('VM.get_uuid', vm);
  const state = (): Promise<string> => call('VM.get_power_state', vm);
  const fence = (action: string, ...more: string[]) =>
    run('fence_xenapi', ['-s', host.plain, '-l', 'root', '-p', host.password, '-o', action, ...more]);
  const list = await fence('list');
  assert.equal(list.code, 0, list.err);
  assert.match(list.out, new RegExp(`${uuid},fenced`));
  assert.equal((await fence('status', '-n', uuid)).code, 2);
  assert.equal((await fence('on', '-n', uuid)).code, 0);
  assert.equal(await state(), 'Running');
  assert.equal((await fence('status', '-n', uuid)).code, 0);
  const before: number = await call('VM.get_domid', vm);
  assert.equal((await fence('reboot', '-n', uuid)).code, 0);
  assert.equal(await state(), 'Running');
  assert.notEqual(await call('VM.get_domid', vm), before);
  assert.equal((await fence('off', '-n', uuid)).code, 0);
  assert.equal(await state(), 'Halted');
  await call('VM.destroy', vm);
});
