import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { bed, listen } from '../testing.ts';
import { destinationOf } from './syslog.ts';

const NULL = 'OpaqueRef:NULL';
const failed = (code: string) => ({ code });

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-host-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('the server gives back memory, and counts what it is asked', async (t) => {
  const server = await bed(t);
  const { call, xapi, session } = server;
  const host = xapi.hostRef;
  let weak: WeakRef<object> | undefined;
  const waste = (): void => void (weak = new WeakRef(Array.from({ length: 100_000 }, () => ({}))));
  waste();
  // A turn that made a weak reference keeps what it is to.
  await new Promise((resolve) => setTimeout(resolve, 1));
  await call('Diagnostics.gc_compact', host);
  assert.equal(weak?.deref(), undefined);

  const port = await listen(t, server);
  const body = JSON.stringify({ method: 'host.get_all', params: [session], id: 1 });
  for (let i = 0; i < 3; i++) await (await fetch(`http://127.0.0.1:${port}/jsonrpc`, { method: 'POST', body })).text();
  assert.deepEqual(await call('Diagnostics.network_stats', host, { params: 'uri,requests' }), [['/jsonrpc', '3']]);
  const [[method, uri, requests, connections]]: string[][] = await call('Diagnostics.network_stats', host, { method: 'post', uri: '/jsonrpc' }); // prettier-ignore
  assert.deepEqual([method, uri, requests], ['POST', '/jsonrpc', '3']);
  assert.ok(Number(connections) >= 1 && Number(connections) <= 3);
  assert.deepEqual(await call('Diagnostics.network_stats', host, { uri: '/nothing' }), []);
});

test('records of the host are put right', async (t) => {
  const { call, xapi } = await bed(t, { storage: folderOf(t) });
  const { db, hostRef, host } = xapi;
  db.set(host, { software_version: {}, pending_guidances: ['reboot_host'], ssl_legacy: true });
  await call('host.refresh_pack_info', hostRef);
  assert.equal(host.map('software_version').network_backend, 'openvswitch');
  await call('host.emergency_clear_mandatory_guidance');
  assert.deepEqual(host.refs('pending_guidances'), []);
  await call('pool.disable_ssl_legacy', xapi.pool.ref);
  assert.equal(host.flag('ssl_legacy'), false);
  await call('host.set_numa_affinity_policy', hostRef, 'best_effort');
  assert.equal(await call('host.get_numa_affinity_policy', hostRef), 'best_effort');
  const sr: string = await call('pool.get_default_SR', xapi.pool.ref);
  for (const message of ['host.disable_local_storage_caching', 'pool.disable_local_storage_caching']) {
    db.set(host, { local_cache_sr: sr });
    db.set(db.row('SR', sr), { local_cache_enabled: true });
    await call(message, message.startsWith('pool') ? xapi.pool.ref : hostRef);
    assert.deepEqual([host.text('local_cache_sr'), db.row('SR', sr).flag('local_cache_enabled')], [NULL, false]);
  }
  await assert.rejects(call('pool.enable_local_storage_caching', xapi.pool.ref), failed('HOSTS_FAILED_TO_ENABLE_CACHING')); // prettier-ignore
  db.set(xapi.pool, { client_certificate_auth_enabled: true, client_certificate_auth_name: 'x' });
  await call('pool.disable_client_certificate_auth', xapi.pool.ref);
  assert.deepEqual([xapi.pool.flag('client_certificate_auth_enabled'), xapi.pool.text('client_certificate_auth_name')], [false, '']); // prettier-ignore
});

test('the log goes to a collector as well', async (t) => {
  const { call, xapi } = await bed(t);
  const host = xapi.hostRef;
  const collector = createSocket('udp4');
  await new Promise<void>((resolve) => collector.bind(0, '127.0.0.1', resolve));
  t.after(() => void collector.close());
  const lines: string[] = [];
  collector.on('message', (line) => lines.push(line.toString()));
  const heard = (): Promise<void> => new Promise((resolve) => collector.once('message', () => resolve()));
  const { port } = collector.address();
  await call('host.set_logging', host, { syslog_destination: `127.0.0.1:${port}` });
  xapi.log('before');
  await call('host.syslog_reconfigure', host);
  const first = heard();
  xapi.log('a line');
  await first;
  assert.match(lines[0], /^<30>1 \d{4}-\S+Z simulated xapi \d+ - - a line$/);
  await call('host.set_logging', host, { syslog_destination: 'not a host' });
  await assert.rejects(call('host.syslog_reconfigure', host), failed('INVALID_VALUE'));
  await call('host.set_logging', host, {});
  await call('host.syslog_reconfigure', host);
  xapi.log('after');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(lines.length, 1);
  assert.deepEqual(destinationOf('[::1]:99'), { host: '::1', port: 99 });
  assert.deepEqual(destinationOf('logs.example'), { host: 'logs.example', port: 514 });
  for (const bad of ['', 'a:b', 'a:99999', '[x]:1', 'a b']) assert.equal(destinationOf(bad), undefined);
});

test('a report of the host, for who asks and to where it is sent', async (t) => {
  const server = await bed(t);
  const { call, xapi, session } = server;
  const host = xapi.hostRef;
  xapi.log('something that helps');
  const about: string = await call('host.get_system_status_capabilities', host);
  const keys = [...about.matchAll(/ key="([\w-]+)"/g)].map(([, key]) => key);
  assert.ok(keys.includes('xenserver-logs') && keys.includes('hypervisor'));
  const port = await listen(t, server);
  const url = (rest: string) => `http://127.0.0.1:${port}/system-status?session_id=${session}&${rest}`;
  const fetched = await fetch(url('entries=xenserver-logs&output=tar'));
  const tar = Buffer.from(await fetched.arrayBuffer()).toString('latin1');
  assert.ok(tar.startsWith('bug-report/xensource.log\0') && tar.includes('something that helps'));
  assert.ok(!tar.includes('xl-dmesg.txt'));
  assert.equal((await fetch(url('entries=nothing'))).status, 400);

  const got: { method?: string; url?: string; auth?: string; body: Buffer }[] = [];
  let status = 200;
  const collector = createServer((request, response) => {
    void buffer(request).then((body) => {
      got.push({ method: request.method, url: request.url, auth: request.headers.authorization, body });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  t.after(() => void collector.close());
  const to = `127.0.0.1:${(collector.address() as AddressInfo).port}/report.tar.gz`;
  await call('host.bugreport_upload', host, `http://me:secret@${to}`, {});
  const [{ body, ...rest }] = got;
  assert.deepEqual(rest, { method: 'PUT', url: '/report.tar.gz', auth: `Basic ${btoa('me:secret')}` });
  assert.ok(gunzipSync(body).toString('latin1').includes('something that helps'));
  status = 507;
  await assert.rejects(call('host.bugreport_upload', host, `http://${to}`, {}), failed('SYSTEM_STATUS_RETRIEVAL_FAILED')); // prettier-ignore
  await assert.rejects(call('host.bugreport_upload', host, 'file:///etc', {}), failed('INVALID_VALUE'));
});

test('plug-ins are programs in a folder of the host', async (t) => {
  const folder = folderOf(t);
  const { call, xapi, session } = await bed(t, { folder });
  mkdirSync(join(folder, 'plugins'));
  const write = (name: string, script: string): void => {
    writeFileSync(join(folder, 'plugins', name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'plugins', name), 0o755);
  };
  const said = (value: string): string => `echo '<methodResponse><params><param>${value}</param></params></methodResponse>'`; // prettier-ignore
  const struct = (status: string, name: string, value: string): string =>
    `<value><struct><member><name>Status</name><value>${status}</value></member><member><name>${name}</name>${value}</member></struct></value>`;
  write('ok', `printf %s "$1" > ${folder}/call\n${said(struct('Success', 'Value', '<value>done &amp; well</value>'))}`);
  write('plain', said('<value><string>text</string></value>'));
  write('fails', said(struct('Failure', 'ErrorDescription', '<value><array><data><value>MINE</value><value>a</value></data></array></value>'))); // prettier-ignore
  write('dies', 'echo out; echo err >&2; exit 3');
  write('babbles', 'echo no XML');
  writeFileSync(join(folder, 'plugins', 'data'), 'no program');
  writeFileSync(join(folder, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  const plugin = (name: string, args: object = {}): Promise<string> =>
    call('host.call_plugin', xapi.hostRef, name, 'fn<', args);
  assert.equal(await plugin('ok', { key: 'a & b' }), 'done & well');
  const { readFileSync } = await import('node:fs');
  const got = readFileSync(join(folder, 'call'), 'utf8');
  assert.ok(got.includes('<methodName>fn&lt;</methodName>') && got.includes(session) && got.includes('a &amp; b'));
  assert.equal(await plugin('plain'), 'text');
  await assert.rejects(plugin('fails'), { code: 'MINE', params: ['a'] });
  await assert.rejects(plugin('dies'), {
    code: 'XENAPI_PLUGIN_FAILURE',
    params: ['non-zero exit: 3', 'out\n', 'err\n'],
  });
  await assert.rejects(plugin('babbles'), failed('XENAPI_PLUGIN_FAILURE'));
  for (const name of ['nothing', 'data', '../program', '.', '']) await assert.rejects(plugin(name), failed('XENAPI_MISSING_PLUGIN'), name); // prettier-ignore
});
