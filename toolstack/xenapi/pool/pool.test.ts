import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed, VM_RECORD } from '../testing.ts';

const NULL = 'OpaqueRef:NULL';
const failed = (code: string) => ({ code });

test('where updates would come from', async (t) => {
  const { call, xapi } = await bed(t);
  const { db, pool } = xapi;
  const set = (url: string, ...rest: string[]) => call('pool.configure_repository_proxy', pool.ref, url, ...rest);
  await set('http://proxy.example:3128', 'me', 'secret');
  const secret = pool.text('repository_proxy_password');
  assert.equal(await call('secret.get_value', secret), 'secret');
  assert.deepEqual([pool.text('repository_proxy_url'), pool.text('repository_proxy_username')], ['http://proxy.example:3128', 'me']); // prettier-ignore
  for (const bad of ['', 'ftp://x', 'http://a:b@x', 'http://x/path']) await assert.rejects(set(bad), failed('INVALID_REPOSITORY_PROXY_URL'), bad); // prettier-ignore
  for (const pair of [['me', ''], ['', 'x'], ['a:b', 'x'], ['a', 'x\n']]) await assert.rejects(set('http://x', ...pair), failed('INVALID_REPOSITORY_PROXY_CREDENTIAL')); // prettier-ignore
  await set('http://other');
  assert.equal(pool.text('repository_proxy_password'), NULL);
  await assert.rejects(call('secret.get_value', secret), failed('HANDLE_INVALID'));
  await call('pool.disable_repository_proxy', pool.ref);
  assert.equal(pool.text('repository_proxy_url'), '');

  await call('pool.configure_update_sync', pool.ref, 'weekly', 3);
  assert.deepEqual([pool.text('update_sync_frequency'), pool.number('update_sync_day')], ['weekly', 3]);
  await call('pool.configure_update_sync', pool.ref, 'daily', 5);
  assert.deepEqual([pool.text('update_sync_frequency'), pool.number('update_sync_day')], ['daily', 0]);
  await assert.rejects(call('pool.configure_update_sync', pool.ref, 'weekly', 7), failed('INVALID_UPDATE_SYNC_DAY'));
  await assert.rejects(call('pool.set_update_sync_enabled', pool.ref, true), failed('NO_REPOSITORIES_CONFIGURED'));

  const [a, b] = ['a', 'b'].map((name_label) => db.create('Repository', { name_label, binary_url: `http://${name_label}` })); // prettier-ignore
  await call('pool.set_repositories', pool.ref, [a.ref]);
  await call('pool.add_repository', pool.ref, b.ref);
  assert.deepEqual(pool.refs('repositories'), [a.ref, b.ref]);
  await call('pool.set_update_sync_enabled', pool.ref, true);
  assert.equal(pool.flag('update_sync_enabled'), true);
  await call('pool.set_update_sync_enabled', pool.ref, false);
  assert.equal(pool.flag('update_sync_enabled'), false);
  await call('pool.remove_repository', pool.ref, a.ref);
  assert.deepEqual(pool.refs('repositories'), [b.ref]);
  await assert.rejects(call('pool.set_repositories', pool.ref, [NULL]), failed('HANDLE_INVALID'));
});

test('agents in guests are told, and nobody else than is known', async (t) => {
  const { call, xapi, simulator } = await bed(t);
  const { pool } = xapi;
  const told = () => simulator.agentFeatures.Guest_agent_auto_update;
  assert.deepEqual(told(), {});
  await call('pool.add_to_guest_agent_config', pool.ref, 'auto_update_enabled', 'true');
  await call('pool.add_to_guest_agent_config', pool.ref, 'auto_update_url', 'https://updates.example/');
  assert.deepEqual(told(), { enabled: '1', update_url: 'https://updates.example/' });
  assert.deepEqual({ ...pool.map('guest_agent_config') }, { auto_update_enabled: 'true', auto_update_url: 'https://updates.example/' }); // prettier-ignore
  const add = (key: string, value: string) => call('pool.add_to_guest_agent_config', pool.ref, key, value);
  await assert.rejects(add('auto_update_enabled', 'false'), failed('MAP_DUPLICATE_KEY'));
  await call('pool.remove_from_guest_agent_config', pool.ref, 'auto_update_enabled');
  assert.deepEqual(told(), { update_url: 'https://updates.example/' });
  for (const [key, value] of [['auto_update_enabled', 'x'], ['other', '1']]) await assert.rejects(add(key, value), failed('INVALID_VALUE')); // prettier-ignore
});

test('where VMs would go, and whether hosts are alike', async (t) => {
  const { call, xapi } = await bed(t);
  const { db, hostRef, pool } = xapi;
  const vm: string = await call('VM.create', VM_RECORD);
  const large: string = await call('VM.create', {
    ...VM_RECORD,
    memory_static_max: 2 ** 40,
    memory_dynamic_max: 2 ** 40,
  });
  const plan = async (...hosts: string[]) => Object.fromEntries(await call('pool.ha_compute_vm_failover_plan', hosts, [vm, large])); // prettier-ignore
  assert.deepEqual(await plan(), { [vm]: { host: hostRef }, [large]: { error_code: 'HOST_NOT_ENOUGH_FREE_MEMORY' } });
  assert.deepEqual(await plan(hostRef), { [vm]: { error_code: 'NO_HOSTS_AVAILABLE' }, [large]: { error_code: 'NO_HOSTS_AVAILABLE' } }); // prettier-ignore

  await call('pool.detect_nonhomogeneous_external_auth', pool.ref);
  const { uuid: _uuid, ...values } = xapi.host.fields as Record<string, never>;
  const own = Object.fromEntries(Object.entries(values).filter(([name]) => xapi.host.schema.stored.includes(name)));
  const other = db.create('host', { ...own, uuid: '', external_auth_type: 'AD', external_auth_service_name: 'x' });
  await assert.rejects(call('pool.detect_nonhomogeneous_external_auth', pool.ref), failed('POOL_JOINING_EXTERNAL_AUTH_MISMATCH')); // prettier-ignore
  db.destroy(other);

  await call('pool.reset_telemetry_uuid', pool.ref);
  const first = pool.text('telemetry_uuid');
  assert.match(await call('secret.get_value', first), /^[0-9a-f-]{36}$/);
  await call('pool.reset_telemetry_uuid', pool.ref);
  assert.notEqual(pool.text('telemetry_uuid'), first);
  assert.equal(db.table('secret').size, 1);
  await call('pool.set_ext_auth_max_threads', pool.ref, 4);
  assert.equal(pool.number('ext_auth_max_threads'), 4);
  await assert.rejects(call('pool.set_ext_auth_max_threads', pool.ref, 0), failed('INVALID_VALUE'));
  assert.equal(pool.map('restrictions').restrict_usb_passthrough, 'true');
  assert.equal(pool.map('restrictions').restrict_cbt, 'false');
});

test('records that are nothing but records', async (t) => {
  const { call } = await bed(t);
  const user: string = await call('user.create', { short_name: 'me', fullname: 'I', other_config: {} });
  assert.equal(await call('user.get_fullname', user), 'I');
  await call('user.destroy', user);
  await assert.rejects(call('user.get_fullname', user), failed('HANDLE_INVALID'));
});
