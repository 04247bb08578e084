import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { connect } from 'node:tls';
import { serve, type Server } from '../server.ts';
import { authority, type Made } from '../testing_certificates.ts';
import { Simulator } from '../xenops/simulator.ts';

const failed = (code: string) => ({ code });
const nobody = { address: 'test', signal: new AbortController().signal };

interface Running extends Server {
  folder: string;
  call(method: string, ...params: unknown[]): Promise<never>;
}

async function running(t: TestContext): Promise<Running> {
  const state = mkdtempSync(join(tmpdir(), 'xenapi-certificates-'));
  t.after(() => rmSync(state, { recursive: true, force: true }));
  const listen = { host: '127.0.0.1', port: 0 };
  const server = await serve({
    state,
    xenops: new Simulator(),
    log: () => {},
    version: '0',
    tls: listen,
    plain: listen,
  });
  t.after(() => server.close());
  const folder = join(state, 'xenapi');
  const params = ['root', readFileSync(join(folder, 'root.password'), 'utf8').trim()];
  const { dispatcher } = server.xapi;
  const { value } = await dispatcher.call({ method: 'session.login_with_password', params }, nobody);
  const call = async (method: string, ...rest: unknown[]): Promise<never> =>
    (await dispatcher.call({ method, params: [value, ...rest] as string[] }, nobody)).value as never;
  return { ...server, folder, call };
}

/** What a listener shows of itself. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!.fingerprint256);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

const fingerprints = ({ xapi }: Running, type: string): string[] =>
  [...xapi.db.table('Certificate').values()].filter((row) => row.text('type') === type).map((row) => row.text('fingerprint')); // prettier-ignore

test('another certificate is served at once, kept, and gone again', async (t) => {
  const server = await running(t);
  const { call, xapi, folder, tlsPort } = server;
  const host = xapi.hostRef;
  const ca = await authority('ca');
  const first = await shown(tlsPort!);
  assert.deepEqual(fingerprints(server, 'host'), [first]);
  const { cert, key } = await ca.sign('host.example');
  await call('host.install_server_certificate', host, cert, key, ca.cert);
  const second = await shown(tlsPort!);
  assert.notEqual(second, first);
  assert.deepEqual(fingerprints(server, 'host'), [second]);
  assert.equal(await call('host.get_server_certificate', host), cert);
  const file = readFileSync(join(folder, 'server.pem'), 'utf8');
  assert.ok(file.includes(cert) && file.includes(ca.cert), 'the next start finds it, with its chain');

  const rsa = await ca.sign('host.example', { bits: 2048 });
  await call('host.install_server_certificate', host, rsa.cert, rsa.key);
  const third = await shown(tlsPort!);
  assert.ok(![first, second].includes(third));

  const install = (made: Made, chain = '') => call('host.install_server_certificate', host, made.cert, made.key, chain);
  const DAY = 86_400_000;
  const bad: [Made, string, string?][] = [
    [{ cert, key: 'x' }, 'SERVER_CERTIFICATE_KEY_INVALID'],
    [{ cert: 'x', key }, 'SERVER_CERTIFICATE_INVALID'],
    [{ cert, key: rsa.key }, 'SERVER_CERTIFICATE_KEY_MISMATCH'],
    [await ca.sign('a', { bits: 1024 }), 'SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED'],
    [await ca.sign('a', { from: -2 * DAY, to: -DAY }), 'SERVER_CERTIFICATE_EXPIRED'],
    [await ca.sign('a', { from: DAY, to: 2 * DAY }), 'SERVER_CERTIFICATE_NOT_VALID_YET'],
    [await ca.sign('a', { hash: 'SHA-1' }), 'SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED'],
    [{ cert, key }, 'SERVER_CERTIFICATE_CHAIN_INVALID', 'x'],
  ];
  for (const [made, code, chain] of bad) await assert.rejects(install(made, chain), failed(code), code);
  assert.equal(await shown(tlsPort!), third, 'what is refused changes nothing');

  await call('host.reset_server_certificate', host);
  const own = await shown(tlsPort!);
  assert.ok(![first, second, third].includes(own));
  await call('host.emergency_reset_server_certificate');
  assert.notEqual(await shown(tlsPort!), own);
  assert.equal(fingerprints(server, 'host').length, 1);
});

/** A server that answers what it got, under that certificate. */
async function echo(t: TestContext, { cert, key }: Made): Promise<number> {
  const server = createServer({ cert, key }, (request, response) => {
    void text(request).then((body) => response.end(`${request.method} ${body}`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => void server.close());
  return (server.address() as AddressInfo).port;
}

test('authorities decide whom this host believes', async (t) => {
  const server = await running(t);
  const { call, xapi, folder } = server;
  const [ca, other] = [await authority('ca'), await authority('other')];
  const [signed, taken] = [await ca.sign('a.example'), await ca.sign('b.example')];
  const [port, takenPort] = [await echo(t, signed), await echo(t, taken)];
  const post = (to: number): Promise<string> => call('pool.send_test_post', '127.0.0.1', to, 'hello');
  const distrust = failed('CONNECTION_FAILED');
  await assert.rejects(post(port), distrust);

  await call('pool.install_ca_certificate', 'other', other.cert);
  await assert.rejects(post(port), distrust);
  await call('pool.certificate_install', 'ours.pem', ca.cert);
  assert.equal(await post(port), 'POST hello');
  assert.deepEqual(await call('pool.certificate_list'), ['other', 'ours.pem']);
  assert.equal(fingerprints(server, 'ca').length, 2);
  await assert.rejects(call('pool.install_ca_certificate', 'other', ca.cert), failed('CERTIFICATE_ALREADY_EXISTS'));
  for (const name of ['', '../x', '.x', 'a/b']) await assert.rejects(call('pool.certificate_install', name, ca.cert), failed('CERTIFICATE_NAME_INVALID')); // prettier-ignore
  await assert.rejects(call('pool.certificate_install', 'x', signed.key), failed('CERTIFICATE_CORRUPT'));

  // What the authority has taken back is believed no more.
  assert.equal(await post(takenPort), 'POST hello');
  await call('pool.crl_install', 'ours.crl', await ca.revoke(taken.cert));
  assert.deepEqual(await call('pool.crl_list'), ['ours.crl']);
  await assert.rejects(post(takenPort), /revoked/);
  assert.equal(await post(port), 'POST hello');
  await assert.rejects(call('pool.crl_install', 'x', ca.cert), failed('CRL_CORRUPT'));
  await assert.rejects(call('pool.crl_install', 'ours.crl', ''), failed('CRL_ALREADY_EXISTS'));
  await assert.rejects(call('pool.crl_uninstall', 'x'), failed('CRL_DOES_NOT_EXIST'));
  await call('pool.crl_uninstall', 'ours.crl');
  assert.deepEqual(readdirSync(join(folder, 'trusted', 'crl')), []);

  await call('pool.certificate_uninstall', 'ours.pem');
  await assert.rejects(post(port), distrust);
  await assert.rejects(call('pool.uninstall_ca_certificate', 'ours.pem'), failed('CERTIFICATE_DOES_NOT_EXIST'));
  await call('pool.uninstall_ca_certificate', 'other');
  assert.deepEqual(fingerprints(server, 'ca'), []);

  // Files that somebody else has put there.
  writeFileSync(join(folder, 'trusted', 'ca', 'by-hand'), ca.cert);
  await call('pool.certificate_sync');
  assert.deepEqual([await call('pool.certificate_list'), fingerprints(server, 'ca').length], [['by-hand'], 1]);
  assert.equal(await post(port), 'POST hello');
  await call('pool.certificate_uninstall', 'by-hand');

  // In an emergency nobody's certificate is looked at.
  await call('host.emergency_disable_tls_verification');
  assert.equal(await post(port), 'POST hello');
  assert.equal(await call('host.get_tls_verification_enabled', xapi.hostRef), false);
  await call('host.emergency_reenable_tls_verification');
  await assert.rejects(post(port), distrust);
  await call('host.emergency_disable_tls_verification');
  await call('pool.enable_tls_verification');
  await assert.rejects(post(port), distrust);
});

test('networks reach the host by TLS alone, if it is to be so', async (t) => {
  const { call, xapi, plainPort, tlsPort } = await running(t);
  const url = `http://127.0.0.1:${plainPort}/jsonrpc`;
  const body = JSON.stringify({ method: 'system.listMethods', params: [], id: 1 });
  const ask = (): Promise<Response> => fetch(url, { method: 'POST', body });
  /** A connection that stays, as clients keep theirs. */
  const kept = connectPlain(plainPort!, '127.0.0.1');
  const closed = new Promise<void>((resolve) => kept.on('close', () => resolve()));
  kept.on('error', () => {});
  kept.write('OPTIONS / HTTP/1.1\r\nhost: x\r\n\r\n');
  await new Promise((resolve) => kept.once('data', resolve));
  assert.equal((await ask()).status, 200);

  await call('host.set_https_only', xapi.hostRef, true);
  assert.equal(await call('host.get_https_only', xapi.hostRef), true);
  await assert.rejects(ask());
  kept.write('POST /jsonrpc HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}');
  await closed;
  assert.ok(await shown(tlsPort!));
  await call('pool.set_https_only', xapi.pool.ref, false);
  assert.equal((await ask()).status, 200);
  await call('pool.set_https_only', xapi.pool.ref, true);
  await assert.rejects(ask());
});
