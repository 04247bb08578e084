import assert from 'node:assert/strict';
import { request, type IncomingHttpHeaders } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { connect } from 'node:net';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bed, listen, PASSWORD } from '../testing.ts';
import { certificateOf } from './certificate.ts';
import { HttpServer, service } from './http.ts';
import { MAX_BODY } from './limits.ts';

interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

function ask(
  port: number,
  path: string,
  body: string | undefined,
  method = 'POST',
  socketPath?: string,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const where = socketPath ? { socketPath } : { host: '127.0.0.1', port };
    const sent = request({ ...where, path, method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => (text += piece));
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const json = (method: string, params: unknown[], rest = {}) => JSON.stringify({ method, params, id: 7, ...rest });
const xml = (method: string, ...params: string[]) =>
  `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${params
    .map((each) => `<param><value>${each}</value></param>`)
    .join('')}</params></methodCall>`;

test('both protocols, with the content types that clients compare', async (t) => {
  const server = await bed(t);
  const port = await listen(t, server);
  const one = await ask(port, '/jsonrpc', json('session.login_with_password', ['root', PASSWORD]));
  assert.equal(one.headers['content-type'], 'application/json');
  assert.equal(one.headers['access-control-allow-origin'], '*');
  const first = JSON.parse(one.body) as { result: string; error: null; id: number };
  assert.match(first.result, /^OpaqueRef:/);
  assert.deepEqual([first.error, first.id], [null, 7]);
  const two = await ask(port, '/jsonrpc', json('VM.get_uuid', [first.result, 'OpaqueRef:x'], { jsonrpc: '2.0' }));
  assert.deepEqual(JSON.parse(two.body), {
    jsonrpc: '2.0',
    error: { code: 1, message: 'HANDLE_INVALID', data: ['VM', 'OpaqueRef:x'] },
    id: 7,
  });
  const bad = await ask(port, '/jsonrpc', json('VM.get_uuid', [first.result, 'OpaqueRef:x']));
  assert.deepEqual(JSON.parse(bad.body), { result: null, error: ['HANDLE_INVALID', 'VM', 'OpaqueRef:x'], id: 7 });
  // A session of one protocol is one of the other.
  const three = await ask(port, '/', xml('VM.get_uuid', first.result, 'OpaqueRef:x'));
  assert.equal(three.headers['content-type'], 'text/xml');
  assert.match(three.body, /<name>Status<\/name><value>Failure<\/value>.*HANDLE_INVALID.*VM.*OpaqueRef:x/);
  const four = await ask(port, '/RPC2', xml('pool.get_all', first.result));
  assert.match(
    four.body,
    /<name>Status<\/name><value>Success<\/value>.*<name>Value<\/name><value><array><data><value>OpaqueRef:/,
  );
  const five = await ask(port, '/anything', xml('system.listMethods'));
  assert.match(five.body, /<params><param><value><array><data><value>system.listMethods<\/value><value>/);
});

test('what is no call is an error of HTTP', async (t) => {
  const port = await listen(t, await bed(t));
  for (const [path, type] of [
    ['/', 'text/xml'],
    ['/jsonrpc', 'application/json'],
  ]) {
    const { status, headers } = await ask(port, path, 'nonsense');
    assert.equal(status, 500);
    assert.equal(headers['content-type'], type);
  }
  assert.equal((await ask(port, '/', undefined, 'GET')).status, 404);
  assert.equal((await ask(port, '/jsonrpc', 'x'.repeat(MAX_BODY + 1))).status, 413);
  const options = await ask(port, '/jsonrpc', undefined, 'OPTIONS');
  assert.equal(options.status, 200);
  assert.match(options.headers['access-control-allow-headers'] as string, /Content-Type/);
});

test('bytes that are no UTF-8 are no call', async (t) => {
  const port = await listen(t, await bed(t));
  const status = await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path: '/', method: 'POST', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on('error', reject);
    sent.end(Buffer.from([0x3c, 0xff, 0xfe]));
  });
  assert.equal(status, 500);
});

test('the longest beginning of a path decides', () => {
  assert.equal(service('POST', '/jsonrpc'), service('POST', '/jsonrpc/x'));
  assert.equal(service('POST', '/'), service('POST', '/RPC2'));
  assert.notEqual(service('POST', '/jsonrpc'), service('POST', '/'));
  assert.equal(service('DELETE', '/'), undefined);
});

test('a client of HTTP 1.0 gets its answer and the end of the connection', async (t) => {
  const port = await listen(t, await bed(t));
  const body = xml('system.listMethods');
  const answer = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`POST / HTTP/1.0\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
    );
    socket.setEncoding('utf8');
    socket.on('data', (piece) => (text += String(piece)));
    socket.on('close', () => resolve(text));
  });
  assert.match(answer, /^HTTP\/1\.1 200/);
  assert.match(answer, /<\/methodResponse>$/);
});

test('a request that is cut harms nobody', async (t) => {
  const server = await bed(t);
  const port = await listen(t, server);
  for (const head of [
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<meth',
    'POST /jsonrpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"met',
  ])
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(head, () => setTimeout(() => socket.destroy(), 20)));
      socket.on('close', () => resolve());
      socket.on('error', () => {});
    });
  const { status } = await ask(port, '/', xml('system.listMethods'));
  assert.equal(status, 200);
  assert.deepEqual(server.logged, []);
});

test('TLS by a certificate of its own, which stays', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const certificate = await certificateOf(folder);
  assert.deepEqual(await certificateOf(folder), certificate);
  assert.equal(statSync(join(folder, 'server.pem')).mode & 0o777, 0o600);
  const { xapi } = await bed(t);
  const http = new HttpServer(xapi);
  t.after(() => http.close());
  const port = await http.listen({ host: '127.0.0.1', port: 0, tls: certificate });
  const status = await new Promise((resolve, reject) => {
    // Whoever trusts this certificate needs no more.
    const sent = tlsRequest(
      {
        host: '127.0.0.1',
        servername: 'localhost',
        port,
        path: '/',
        method: 'POST',
        ca: certificate.cert,
        agent: false,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    sent.on('error', reject);
    sent.end(xml('system.listMethods'));
  });
  assert.equal(status, 200);
});

test('a unix socket serves as well, and its file goes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { xapi } = await bed(t);
  const http = new HttpServer(xapi);
  const path = join(folder, 'socket');
  await http.listen({ path });
  assert.equal((await ask(0, '/', xml('system.listMethods'), 'POST', path)).status, 200);
  await http.close();
  assert.throws(() => statSync(path), /ENOENT/);
});

test('who does not read his answer costs little and holds up nobody', async (t) => {
  const server = await bed(t);
  const { xapi, session } = server;
  const port = await listen(t, server);
  xapi.db.change(() => {
    for (let n = 0; n < 20_000; n++) xapi.db.create('VM', { name_label: `vm ${n}` });
  });
  const body = json('VM.get_all_records', [session]);
  const sockets = Array.from({ length: 8 }, () => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`POST /jsonrpc HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
    );
    socket.on('error', () => {});
    return socket;
  });
  // Each has the beginning of its answer, and reads no further.
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('readable', resolve))));
  for (let n = 0; n < 20; n++) assert.equal((await ask(port, '/jsonrpc', json('pool.get_all', [session]))).status, 200);
  for (const socket of sockets) assert.ok(!socket.readableEnded);
  for (const socket of sockets) socket.destroy();
  const whole = await ask(port, '/jsonrpc', body);
  const { result } = JSON.parse(whole.body) as { result: Record<string, { name_label: string }> };
  assert.equal(Object.keys(result).length, 20_001);
});
