// Messages that need a test of their effect and have no subsystem of their own, and what is refused, with real hosts' words.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { create_image } from '../../services/block/image/open.ts';
import { refusals } from './refusals.ts';
import { bed, diskRecord, driveRecord, listen, PASSWORD, VM_RECORD, type Bed } from './testing.ts';

const NULL = 'OpaqueRef:NULL';
const MIB = 2 ** 20;
const failed = (code: string) => ({ code });

async function stored(t: TestContext): Promise<Bed & { folder: string; sr: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-messages-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  return { ...server, folder, sr: await server.call('pool.get_default_SR', server.xapi.pool.ref) };
}

test('blobs: bytes beside objects, over HTTP', async (t) => {
  const server = await stored(t);
  const { call, folder, session, xapi } = server;
  Object.assign(xapi, { blobs: join(folder, 'blobs') });
  const port = await listen(t, server);
  const vm: string = await call('VM.create', VM_RECORD);
  const blob: string = await call('VM.create_new_blob', vm, 'notes', 'text/plain', false);
  assert.deepEqual(await call('VM.get_blobs', vm), { notes: blob });
  await assert.rejects(call('VM.create_new_blob', vm, 'notes', '', false), failed('BLOB_ALREADY_EXISTS'));
  const url = `http://127.0.0.1:${port}/blob?ref=${blob}&session_id=${session}`;
  assert.equal((await fetch(url, { method: 'PUT', body: 'hello' })).status, 200);
  assert.equal(await call('blob.get_size', blob), 5);
  const reply = await fetch(url);
  assert.deepEqual([await reply.text(), reply.headers.get('content-type')], ['hello', 'text/plain']);
  assert.equal((await fetch(url.replace(session, 'OpaqueRef:none'))).status, 401);
  await call('blob.destroy', blob);
  assert.deepEqual([await call('VM.get_blobs', vm), readdirSync(join(folder, 'blobs'))], [{}, []]);
});

test('a machine is imported from a URL', async (t) => {
  const server = await stored(t);
  const { call, session, sr, xapi } = server;
  const port = await listen(t, server);
  const vm: string = await call('VM.create', { ...VM_RECORD, name_label: 'from afar' });
  await call('VBD.create', driveRecord(vm, await call('VDI.create', diskRecord(sr, MIB))));
  const [ref]: string[] = await call('VM.import', `http://127.0.0.1:${port}/export?ref=${vm}&session_id=${session}`, sr, false, false); // prettier-ignore
  assert.notEqual(ref, vm);
  assert.equal(xapi.db.row('VM', ref).text('name_label'), 'from afar');
  assert.equal(xapi.db.row('VM', ref).refs('VBDs').length, 1);
  const withName = `http://root:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/export?ref=${vm}`;
  assert.equal(((await call('VM.import', withName, sr, false, false)) as string[]).length, 1);
  for (const url of ['file:///etc/passwd', 'x', `http://127.0.0.1:${port}/export?ref=${vm}`])
    await assert.rejects(call('VM.import', url, sr, false, false), /IMPORT_ERROR|INVALID_VALUE/);
});

test('disks move to another SR, and are introduced where they lie', async (t) => {
  const { call, folder, sr, xapi } = await stored(t);
  const other: string = await call('SR.create', xapi.hostRef, { location: 'other' }, 0, 'o', '', 'file', 'user', false);
  const vdi: string = await call('VDI.create', diskRecord(sr, MIB));
  await assert.rejects(call('VDI.pool_migrate', vdi, other, {}), failed('VDI_NEEDS_VM_FOR_MIGRATE'));
  const vm: string = await call('VM.create', VM_RECORD);
  const vbd: string = await call('VBD.create', driveRecord(vm, vdi));
  const moved: string = await call('VDI.pool_migrate', vdi, other, {});
  assert.equal(await call('VDI.get_SR', moved), other);
  assert.equal(await call('VBD.get_VDI', vbd), moved);
  await assert.rejects(call('VDI.get_uuid', vdi), failed('HANDLE_INVALID'));
  const uuid = '6f1c1f3e-0000-4000-8000-000000000009';
  await create_image(join(folder, 'other', `${uuid}.vhd`), { format: 'vhd', size: 3 * MIB });
  const introduce = (location: string): Promise<string> =>
    call('VDI.introduce', uuid, 'mine', 'about', other, 'user', false, false, { a: 'b' }, location, {}, {});
  await assert.rejects(introduce('../x'), failed('SR_BACKEND_FAILURE_46'));
  const made = await introduce(`${uuid}.vhd`);
  assert.deepEqual(
    [await call('VDI.get_name_label', made), await call('VDI.get_virtual_size', made)],
    ['mine', 3 * MIB],
  );
  await assert.rejects(introduce(`${uuid}.vhd`), failed('LOCATION_NOT_UNIQUE'));
  const found = (await call('SR.probe_ext', xapi.hostRef, {}, 'file', {})) as { configuration: { location: string }; sr: { uuid: string[] }[] }[]; // prettier-ignore
  const place = found.find(({ configuration }) => configuration.location === 'other')!;
  assert.deepEqual(place.sr[0].uuid, [await call('SR.get_uuid', other)]);
  assert.match(await call('SR.probe', xapi.hostRef, {}, 'file', {}), /<Location>other<\/Location>/);
  const local: string = await call('SR.create', xapi.hostRef, { location: 'ext' }, 0, 'e', '', 'ext', 'user', false);
  const copy: string = await call('VDI.copy', made, local);
  assert.equal(await call('VDI.get_virtual_size', copy), 3 * MIB);
  await call('SR.set_physical_size', other, 5);
  assert.equal(await call('SR.get_physical_size', other), 5);
  await call('SR.set_shared', other, true);
  assert.equal(await call('SR.get_shared', other), true);
  const name: string = await call('SR.make', xapi.hostRef, { location: 'made' }, 0, 'm', '', 'file', 'user', {});
  assert.equal(await call('SR.get_name_label', await call('SR.get_by_uuid', name)), 'm');
  await assert.rejects(call('VDI.set_on_boot', moved, 'reset'), failed('SR_OPERATION_NOT_SUPPORTED'));
  assert.deepEqual(await call('VM.get_SRs_required_for_recovery', vm, NULL), [other]);
});

test('rare settings of machines', async (t) => {
  const { call, simulator, xapi } = await stored(t);
  const vm: string = await call('VM.create', VM_RECORD);
  await call('VM.set_NVRAM', vm, { a: '1' });
  await call('VM.add_to_NVRAM', vm, 'b', '2');
  await assert.rejects(call('VM.add_to_NVRAM', vm, 'b', '3'), failed('MAP_DUPLICATE_KEY'));
  await call('VM.remove_from_NVRAM', vm, 'a');
  assert.deepEqual({ ...(await call('VM.get_NVRAM', vm) as object) }, { b: '2' }); // prettier-ignore
  await call('VM.set_ha_restart_priority', vm, 'restart');
  assert.deepEqual([await call('VM.get_ha_restart_priority', vm), await call('VM.get_ha_always_run', vm)], ['restart', true]); // prettier-ignore
  await assert.rejects(call('VM.set_ha_restart_priority', vm, 'always'), failed('INVALID_VALUE'));
  await call('VM.set_ha_always_run', vm, false);
  assert.equal(await call('VM.get_ha_restart_priority', vm), '');
  await call('VM.set_HVM_shadow_multiplier', vm, 1.5);
  assert.equal(await call('VM.get_HVM_shadow_multiplier', vm), 1.5);
  await assert.rejects(call('VM.set_HVM_shadow_multiplier', vm, 0.5), failed('INVALID_VALUE'));
  await call('VM.set_has_vendor_device', vm, true);
  assert.equal(await call('VM.get_has_vendor_device', vm), true);
  await assert.rejects(call('VM.set_suspend_VDI', vm, NULL), failed('VM_BAD_POWER_STATE'));
  await assert.rejects(call('VM.wait_memory_target_live', vm), failed('VM_BAD_POWER_STATE'));
  await call('VM.start', vm, false, false);
  await assert.rejects(call('VM.set_NVRAM', vm, {}), failed('VM_BAD_POWER_STATE'));
  const { uuid } = xapi.db.row('VM', vm);
  let memory = 2 ** 27;
  simulator.memoryOf = () => memory;
  let waited = false;
  const waiting = call('VM.wait_memory_target_live', vm).then(() => (waited = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(waited, false);
  memory = xapi.db.byUuid('VM', uuid).number('memory_target');
  await waiting;
});

test('settings of the host and the pool', async (t) => {
  const { call, xapi } = await bed(t);
  const [host, pool] = [xapi.hostRef, xapi.pool.ref];
  await call('host.set_hostname_live', host, 'new-name');
  assert.equal(await call('host.get_hostname', host), 'new-name');
  for (const bad of ['', 'a b', '-x']) await assert.rejects(call('host.set_hostname_live', host, bad), failed('HOST_NAME_INVALID')); // prettier-ignore
  await call('host.set_power_on_mode', host, 'wake-on-lan', {});
  assert.equal(await call('host.get_power_on_mode', host), 'wake-on-lan');
  await call('host.set_iscsi_iqn', host, 'iqn.2026-01.org.example:host');
  assert.equal(await call('host.get_iscsi_iqn', host), 'iqn.2026-01.org.example:host');
  await assert.rejects(call('host.set_iscsi_iqn', host, 'x'), failed('INVALID_VALUE'));
  await assert.rejects(call('host.apply_edition', host, 'platinum', false), failed('INVALID_EDITION'));
  await call('pool.apply_edition', pool, 'xcp-ng');
  assert.equal(await call('host.get_edition', host), 'xcp-ng');
  xapi.log('a line of the log');
  assert.match(await call('host.get_log', host), /a line of the log/);
  await call('pool.set_local_auth_max_threads', pool, 3);
  assert.equal(xapi.users.most, 3);
  const vm: string = await call('VM.create', VM_RECORD);
  await call('VM.start', vm, false, false);
  await assert.rejects(call('host.evacuate', host, NULL, 0), failed('CANNOT_EVACUATE_HOST'));
  await call('VM.hard_shutdown', vm);
  await call('host.evacuate', host, NULL, 0);
  assert.equal(await call('host.get_enabled', host), false);
  assert.ok(Number(((await call('Diagnostics.gc_stats', host)) as { rss: string }).rss) > 2 ** 20);
  assert.equal(((await call('Diagnostics.db_stats')) as { rows_VM: string }).rows_VM, '2');
  const nobody = { address: 'test', signal: new AbortController().signal };
  const local = (password: string) => xapi.dispatcher.call({ method: 'session.slave_local_login_with_password', params: ['root', password] }, nobody); // prettier-ignore
  const { value } = await local(PASSWORD);
  assert.ok(xapi.sessions.peek(value as string)?.login.superuser);
  await assert.rejects(local('wrong'), failed('SESSION_AUTHENTICATION_FAILED'));
  await xapi.dispatcher.call({ method: 'session.local_logout', params: [value as string] }, nobody);
  assert.equal(xapi.sessions.peek(value as string), undefined);
});

test('what this host is not is said as real hosts say it', async (t) => {
  const { call, xapi } = await stored(t);
  const [host, pool] = [xapi.hostRef, xapi.pool.ref];
  const pif = [...xapi.db.table('PIF').keys()][0] ?? NULL;
  const vm: string = await call('VM.create', VM_RECORD);
  const said: [string, unknown[], string][] = [
    ['pool.enable_ha', [[], {}], 'CANNOT_CREATE_STATE_FILE'],
    ['pool.disable_ha', [], 'HA_NOT_ENABLED'],
    ['pool.set_ha_host_failures_to_tolerate', [pool, 1], 'HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN'],
    ['pool.enable_external_auth', [pool, {}, 'x', 'AD'], 'AUTH_UNKNOWN_TYPE'],
    ['pool.retrieve_wlb_configuration', [], 'WLB_NOT_INITIALIZED'],
    ['pool.join', ['a', 'b', 'c'], 'OPERATION_NOT_ALLOWED'],
    ['host.destroy', [host], 'HOST_IS_LIVE'],
    ['host.call_extension', [host, 'x.y'], 'MESSAGE_METHOD_UNKNOWN'],
    ['host.call_plugin', [host, 'p', 'f', {}], 'XENAPI_MISSING_PLUGIN'],
    ['VTPM.create', [vm, false], 'FEATURE_REQUIRES_HVM'],
    ['network_sriov.create', [pif, [...xapi.db.table('network').keys()][0]], 'PIF_IS_NOT_SRIOV_CAPABLE'],
    ['PVS_site.introduce', ['n', '', ''], 'LICENCE_RESTRICTION'],
    ['VM.suspend', [vm], 'VM_BAD_POWER_STATE'],
    ['VM.checkpoint', [vm, 'x'], 'VM_BAD_POWER_STATE'],
  ];
  for (const [method, params, code] of said) await assert.rejects(call(method, ...params), failed(code), method);
  await call('VM.start', vm, false, false);
  for (const [
    method,
    ...params
  ] of [['suspend'], ['checkpoint', 'x'], ['pool_migrate', host, {}], ['migrate_send', {}, true, {}, {}, {}]] as const) // prettier-ignore
    await assert.rejects(call(`VM.${method}`, vm, ...params), failed('VM_LACKS_FEATURE'), method);
  assert.deepEqual(await call('pool.recover_slaves'), []);
  assert.equal(await call('pool.ha_compute_max_host_failures_to_tolerate'), 0);
  assert.ok(Object.keys(refusals).length > 60);
});
