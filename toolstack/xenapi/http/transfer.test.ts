import assert from 'node:assert/strict';
import { createServer, request as ask, type OutgoingHttpHeaders } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { bed, PASSWORD, userWith, type Bed } from '../testing.ts';
import { done, serveTransfer, type Transfer, type TransferRoute } from './transfer.ts';

const KIB = 1024;

/** A server with one transfer. */
async function serving(t: TestContext, server: Bed, route: Partial<TransferRoute>): Promise<number> {
  const whole: TransferRoute = {
    ...{ method: 'PUT', path: '/', name: 'put_test', allowed: 'vm-admin', task: 'a test' },
    run: () => Promise.resolve(),
    ...route,
  };
  const answer = serveTransfer(whole);
  const http = createServer({ requestTimeout: 0 }, (request, response) => {
    void answer(server.xapi, request, response, '127.0.0.1');
  });
  Object.assign(http, { httpAllowHalfOpen: true });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.after(() => http.close());
  t.after(() => http.closeAllConnections());
  return (http.address() as AddressInfo).port;
}

/** Everything that comes, and whether the connection was cut before it should end. */
async function received(transfer: Transfer): Promise<{ bytes: number; cut: boolean }> {
  let bytes = 0;
  for await (const chunk of transfer.body()) bytes += chunk.length;
  return { bytes, cut: transfer.upload.cut };
}

const put = (port: number, path: string, body: Buffer, headers: OutgoingHttpHeaders = {}) =>
  new Promise<{ status: number; body: string; headers: OutgoingHttpHeaders }>((resolve, reject) => {
    const sent = ask({ port, host: '127.0.0.1', path, method: 'PUT', agent: false, headers }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode!, body, headers: response.headers }), reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });

/** What a raw connection hears until it is closed. */
function hear(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    socket.on('data', (bytes) => (heard += bytes.toString()));
    socket.on('error', () => {});
    socket.on('close', () => resolve(heard));
  });
}

test('who may transfer: by session, cookie or password, with the role', async (t) => {
  const server = await bed(t);
  const port = await serving(t, server, { run: async (transfer) => void (await received(transfer)) });
  const body = Buffer.from('x');
  const status = async (path: string, headers = {}) => (await put(port, path, body, headers)).status;
  const basic = (password: string) => ({
    authorization: `Basic ${Buffer.from(`root:${password}`).toString('base64')}`,
  });
  assert.equal(await status(`/?session_id=${server.session}`), 200);
  assert.equal(await status('/', { cookie: `a=b; session_id=${encodeURIComponent(server.session)}` }), 200);
  const before = server.xapi.sessions.size;
  assert.equal(await status('/', basic(PASSWORD)), 200);
  assert.equal(server.xapi.sessions.size, before, 'its session went with it');
  assert.equal(await status('/', basic('wrong')), 401);
  assert.equal(await status('/?session_id=OpaqueRef:none'), 401);
  const nobody = await put(port, '/', body);
  assert.equal(nobody.status, 401);
  assert.match(String(nobody.headers['www-authenticate']), /^Basic /);
  assert.equal(await status(`/?session_id=${await userWith(server, 'read-only')}`), 403);
  assert.equal(await status(`/?session_id=${await userWith(server, 'vm-admin')}`), 200);
});

test('a task shows how it ended; a failure is its and the status’', async (t) => {
  const server = await bed(t);
  const port = await serving(t, server, {
    run: async (transfer) => {
      const { bytes } = await received(transfer);
      if (bytes === 3) transfer.object('VM', 'vm');
      return done('string', `${bytes} bytes`);
    },
  });
  const [good, bad, gone]: string[] = await Promise.all([1, 2, 3].map(() => server.call('task.create', 'mine', '')));
  const path = (task: string) => `/?session_id=${server.session}&task_id=${task}&vm=OpaqueRef:none`;
  assert.equal((await put(port, path(good), Buffer.alloc(5))).body, '<value>5 bytes</value>');
  assert.equal(await server.call('task.get_status', good), 'success');
  assert.equal(await server.call('task.get_result', good), '<value>5 bytes</value>');
  assert.equal((await put(port, path(bad), Buffer.alloc(3))).status, 404);
  assert.deepEqual(await server.call('task.get_error_info', bad), ['UUID_INVALID', 'VM', 'OpaqueRef:none']);
  // Also when nobody was let in.
  assert.equal((await put(port, `/?session_id=none&task_id=${gone}`, Buffer.alloc(5))).status, 401);
  assert.equal(await server.call('task.get_status', gone), 'failure');
});

test('bodies: chunked, of a claimed length and cut, half-closed, to HTTP/1.0', async (t) => {
  const server = await bed(t);
  const seen: { bytes: number; cut: boolean }[] = [];
  let heard: () => void = () => {};
  const port = await serving(t, server, {
    run: async (transfer) => {
      transfer.accept();
      seen.push(await received(transfer));
      heard();
      return done('string', 'ended');
    },
  });
  const path = `/?session_id=${server.session}`;
  const big = Buffer.alloc(3000 * KIB, 'a');
  await put(port, path, big, { 'transfer-encoding': 'chunked' });
  assert.deepEqual(seen.pop(), { bytes: big.length, cut: false });

  // As npm's xen-api: the head has to come before the body's end, and nothing that was sent may be lost.
  const told = new Promise<void>((resolve) => (heard = resolve));
  const claiming = connect(port, '127.0.0.1');
  claiming.on('error', () => {});
  claiming.write(`PUT ${path}&task_id= HTTP/1.1\r\nhost: x\r\ncontent-length: 1125899906842624\r\n\r\n`);
  await new Promise<void>((resolve) => claiming.once('data', () => resolve()));
  claiming.end(big);
  await told;
  assert.deepEqual(seen.pop(), { bytes: big.length, cut: true });
  claiming.destroy();

  const half = connect(port, '127.0.0.1');
  half.end(`PUT ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfour`);
  assert.match(await hear(half), /^HTTP\/1\.1 200 [\s\S]*<value>ended<\/value>$/);
  assert.deepEqual(seen.pop(), { bytes: 4, cut: false });

  const old = connect(port, '127.0.0.1');
  const all = hear(old);
  old.write(`PUT ${path} HTTP/1.0\r\ncontent-length: 4\r\n\r\n`);
  await new Promise<void>((resolve) => old.once('data', () => resolve()));
  old.write('four');
  assert.match(await all, /^HTTP\/1\.1 200 [\s\S]*<value>ended<\/value>$/);
});

test('an empty upload without a task is a question, and does nothing', async (t) => {
  const server = await bed(t);
  let ran = 0;
  const port = await serving(t, server, { run: () => Promise.resolve(void ran++) });
  assert.equal((await put(port, `/?session_id=${server.session}`, Buffer.alloc(0))).status, 200);
  assert.equal(ran, 0);
});

test('an upload that fails after its head is cut off, so that nobody takes it for done', async (t) => {
  const server = await bed(t);
  const port = await serving(t, server, {
    run: async (transfer) => {
      transfer.accept();
      await received(transfer);
      transfer.object('VM', 'vm');
    },
  });
  const socket = connect(port, '127.0.0.1');
  const ended = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
    socket.on('end', () => resolve('a clean end'));
  });
  socket.resume();
  socket.write(`PUT /?session_id=${server.session}&vm=x HTTP/1.0\r\ncontent-length: 1\r\n\r\n1`);
  assert.equal(await ended, 'ECONNRESET');
});

test('a download waits for a slow reader in bounded memory, shows its progress and can be cancelled', async (t) => {
  const server = await bed(t);
  const piece = Buffer.alloc(256 * KIB);
  let written = 0;
  let failed: unknown;
  const port = await serving(t, server, {
    method: 'GET',
    run: async (transfer) => {
      transfer.begin('application/octet-stream');
      try {
        for (let n = 0; n < 4000; n++) {
          await transfer.write(piece);
          written = n;
          transfer.task.progress(n / 4000);
        }
      } catch (error) {
        failed = error;
        throw error;
      }
    },
  });
  const task: string = await server.call('task.create', 'mine', '');
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`GET /?session_id=${server.session}&task_id=${task} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  socket.pause();
  // Until it does not get on: what the kernel takes has an end.
  for (let before = -1; before !== written; ) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(written < 200, `${written} pieces are under way`);
  await server.call('task.cancel', task);
  assert.equal(await server.call('task.get_status', task), 'cancelling');
  // Though nobody reads.
  while ((await server.call('task.get_status', task)) !== 'cancelled')
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal((failed as { code: string }).code, 'TASK_CANCELLED');
  socket.destroy();
});

test('an upload whose client says nothing more ends when it is cancelled', async (t) => {
  const server = await bed(t);
  const port = await serving(t, server, { run: async (transfer) => void (await received(transfer)) });
  const task: string = await server.call('task.create', 'mine', '');
  const socket = connect(port, '127.0.0.1');
  const all = hear(socket);
  socket.write(`PUT /?session_id=${server.session}&task_id=${task} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n12`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await server.call('task.cancel', task);
  await all;
  while ((await server.call('task.get_status', task)) !== 'cancelled')
    await new Promise((resolve) => setTimeout(resolve, 5));
});
