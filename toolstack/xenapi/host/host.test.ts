import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../database/open.ts';
import { bed, VM_RECORD } from '../testing.ts';

const failed = (code: string) => ({ code });

test('what a host says of itself', async (t) => {
  const { call, xapi } = await bed(t);
  const host = xapi.hostRef;
  const time = /^(\d{4})(\d\d)(\d\d)T(\d\d:\d\d:\d\d)Z?$/;
  const utc: string = await call('host.get_servertime', host);
  const at = Date.parse(utc.replace(time, '$1-$2-$3T$4Z'));
  assert.ok(Math.abs(at - Date.now()) < 5000);
  const local: string = await call('host.get_server_localtime', host);
  assert.ok(Math.abs(Date.parse(local.replace(time, '$1-$2-$3T$4')) - Date.now()) < 5000, 'without a zone it is local');
  const methods: string[] = await call('host.list_methods');
  assert.ok(methods.includes('VM.start') && methods.includes('Async.VM.start'));
  assert.equal(await call('host.compute_memory_overhead', host), xapi.host.number('memory_overhead'));
  assert.deepEqual([await call('host.has_extension', host, 'x'), await call('pool.has_extension', xapi.pool.ref, 'x')], [false, false]); // prettier-ignore
  assert.deepEqual({ ...(await call('pool.get_license_state', xapi.pool.ref) as object) }, { edition: 'xcp-ng', expiry: 'never' }); // prettier-ignore
  const [pif] = xapi.host.refs('PIFs').filter((ref) => xapi.db.row('PIF', ref).flag('management'));
  if (pif === undefined)
    await assert.rejects(call('host.get_management_interface', host), failed('HOST_HAS_NO_MANAGEMENT_IP')); // prettier-ignore
  else assert.equal(await call('host.get_management_interface', host), pif);
});

test('what keeps a host from being emptied', async (t) => {
  const { call, xapi } = await bed(t);
  const host = xapi.hostRef;
  await call('host.assert_can_evacuate', host);
  assert.deepEqual(await call('host.get_vms_which_prevent_evacuation', host), {});
  const vm: string = await call('VM.create', VM_RECORD);
  await call('VM.start', vm, false, false);
  await assert.rejects(call('host.assert_can_evacuate', host), failed('CANNOT_EVACUATE_HOST'));
  assert.deepEqual(await call('host.get_vms_which_prevent_evacuation', host), { [vm]: ['NO_HOSTS_AVAILABLE'] });
  assert.deepEqual(await call('host.get_uncooperative_resident_VMs', host), []);
});

test('what cannot be otherwise is refused if it is to be', async (t) => {
  const { call, xapi } = await bed(t);
  const host = xapi.hostRef;
  xapi.db.set(xapi.host, { ssl_legacy: true });
  await call('host.set_ssl_legacy', host, false);
  assert.equal(xapi.host.flag('ssl_legacy'), false);
  await assert.rejects(call('host.set_ssl_legacy', host, true), failed('OPERATION_NOT_ALLOWED'));
  await call('host.set_sched_gran', host, 'cpu');
  assert.equal(await call('host.get_sched_gran', host), 'cpu');
  await assert.rejects(call('host.set_sched_gran', host, 'socket'), failed('OPERATION_NOT_ALLOWED'));
  await call('pool.designate_new_master', host);
  assert.equal(xapi.pool.text('master'), host);
  assert.deepEqual([await call('pool.ha_failover_plan_exists', 0), await call('pool.ha_failover_plan_exists', 1)], [true, false]); // prettier-ignore
  assert.equal(await call('pool.ha_compute_hypothetical_max_host_failures_to_tolerate', {}), 0);
  await call('pool.set_telemetry_next_collection', xapi.pool.ref, '20300101T00:00:00Z');
  assert.equal(await call('pool.get_telemetry_next_collection', xapi.pool.ref), '20300101T00:00:00Z');
});

test('what is asked to be on the disk is there', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-sync-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'database');
  const { call, xapi } = await bed(t, { db: openDatabase(path) });
  const written = (): string => {
    const other = openDatabase(path);
    const name = [...other.table('pool').values()][0].text('name_description');
    void other.close();
    return name;
  };
  // Past the messages that wait for it themselves.
  for (const [message, ...params] of [['pool.sync_database'], ['host.sync_data', xapi.hostRef]]) {
    xapi.db.set(xapi.pool, { name_description: message });
    await call(message, ...params);
    assert.equal(written(), message);
  }
});

test('room for bytes beside objects', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-blobs-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { call, xapi } = await bed(t, { storage: folder });
  const network: string = await call('network.create', { name_label: 'n', name_description: '', MTU: 1500, other_config: {} }); // prettier-ignore
  const sr: string = await call('pool.get_default_SR', xapi.pool.ref);
  const owners = [
    ['host.create_new_blob', xapi.hostRef],
    ['pool.create_new_blob', xapi.pool.ref],
    ['network.create_new_blob', network],
    ['SR.create_new_blob', sr],
  ];
  for (const [method, ref] of owners) {
    const blob: string = await call(method, ref, 'notes', 'text/plain', false);
    const name = method.split('.')[0];
    assert.deepEqual({ ...xapi.db.row(name, ref).map('blobs') }, { notes: blob });
    assert.equal(await call('blob.get_mime_type', blob), 'text/plain');
  }
  const alone: string = await call('blob.create', 'image/png', true);
  assert.deepEqual([await call('blob.get_mime_type', alone), await call('blob.get_public', alone)], ['image/png', true]); // prettier-ignore
});
