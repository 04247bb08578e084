// Clients that mean harm, or are broken: each gets the protocol's error or is left, memory stays bounded, and the others are served.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { MESSAGES } from '../../../spec/xenapi/index.ts';
import { random as generator } from '../../../test/random.ts';
import { Failure } from '../failure.ts';
import { bed, diskRecord, listen, PASSWORD, VM_RECORD, type Bed } from '../testing.ts';
import { HttpServer } from './http.ts';
import { MAX_BODY, type Raw } from './limits.ts';

type Cleanup = { after(act: () => Promise<void> | void): void };

async function call(port: number, method: string, ...params: unknown[]): Promise<never> {
  const body = JSON.stringify({ method, params, id: 1 });
  const reply = await fetch(`http://127.0.0.1:${port}/jsonrpc`, { method: 'POST', body });
  const { result, error } = (await reply.json()) as { result: never; error: string[] | null };
  if (error) throw new Error(error.join(' '));
  return result;
}

/** A connection of its own that has sent this, and says no more. */
async function sent(t: Cleanup, port: number, bytes: string | Buffer): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  t.after(() => void socket.destroy());
  await once(socket, 'connect');
  await new Promise((resolve) => socket.write(bytes, resolve));
  return socket;
}

const head = (length: number, path = '/jsonrpc') =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`;

test('who is slow, or says nothing, makes room for others; what goes on is not cut', async (t) => {
  const { xapi, session } = await bed(t);
  const http = new HttpServer(xapi, 20);
  const port = await http.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => http.close());
  const { token }: { token: string } = await call(port, 'event.from', session, ['vm'], '', 0);
  const waiting = call(port, 'event.from', session, ['vm'], token, 60) as Promise<{ events: unknown[] }>;
  const slow = [
    '',
    'P',
    'POST /jsonrpc HTTP/1.1\r\nhost:',
    head(100),
    `${head(100)}{"met`,
    'POST /cli HTTP/1.0\r\n',
    'GET /import?',
  ];
  const sockets: Socket[] = [];
  for (let i = 0; i < 70; i++) {
    sockets.push(await sent(t, port, slow[i % slow.length]));
    if (i % 10 === 0) assert.equal(((await call(port, 'pool.get_all', session)) as string[]).length, 1);
  }
  await sleep(50);
  assert.ok(sockets.filter((socket) => !socket.destroyed).length <= 20);
  await call(port, 'VM.create', session, VM_RECORD);
  assert.equal((await waiting).events.length, 1);
});

test('many long bodies at a time: some are put off, short calls are not, and there is room again', async (t) => {
  const server = await bed(t);
  const port = await listen(t, server);
  const part = Buffer.alloc(MAX_BODY - 1000, ' ');
  const replies: string[] = [];
  const sockets: Socket[] = [];
  for (let i = 0; i < 24; i++) {
    const socket = await sent(t, port, head(MAX_BODY, i % 2 ? '/' : '/jsonrpc'));
    socket.on('data', (bytes) => replies.push(String(bytes)));
    socket.write(part);
    sockets.push(socket);
  }
  for (const late = Date.now() + 10_000; replies.length < 6 && Date.now() < late; ) await sleep(20);
  assert.ok(replies.length >= 6, `${replies.length} were put off`);
  for (const reply of replies) assert.match(reply, /^HTTP\/1\.1 503 /);
  assert.equal(((await call(port, 'pool.get_all', server.session)) as string[]).length, 1);
  for (const socket of sockets) socket.destroy();
  await sleep(50);
  // One that is as long, and whole.
  const text = JSON.stringify({ method: 'pool.get_all', params: [server.session], id: 1 });
  const reply = await fetch(`http://127.0.0.1:${port}/jsonrpc`, { method: 'POST', body: text.padEnd(MAX_BODY - 10) });
  assert.equal(reply.status, 200);
});

test('many that do not read a long answer take little memory', async (t) => {
  const { xapi, session } = await bed(t);
  const port = await listen(t, { xapi } as Bed);
  xapi.db.change(() => {
    for (let n = 0; n < 12_000; n++)
      xapi.db.create('VM', { name_label: `vm ${n}`, other_config: { text: 'x'.repeat(500) } });
  });
  const body = JSON.stringify({ method: 'VM.get_all_records', params: [session], id: 1 });
  const whole = await (await fetch(`http://127.0.0.1:${port}/jsonrpc`, { method: 'POST', body })).arrayBuffer();
  assert.ok(whole.byteLength > 30e6, `${whole.byteLength}`);
  const before = process.memoryUsage().rss;
  const xml = `<methodCall><methodName>VM.get_all_records</methodName><params><param><value>${session}</value></param></params></methodCall>`;
  for (let i = 0; i < 60; i++) {
    const request = i % 2 ? `${head(body.length)}${body}` : `${head(xml.length, '/')}${xml}`;
    const socket = await sent(t, port, request);
    // The beginning has come; no more is read.
    await once(socket, 'readable');
  }
  const grown = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grown < 300, `${grown.toFixed(0)} MiB for 60 answers of ${(whole.byteLength / 2 ** 20).toFixed(0)} MiB`);
  assert.equal(((await call(port, 'pool.get_all', session)) as string[]).length, 1);
});

test('requests that are no requests, by the thousand', async (t) => {
  const server = await bed(t);
  const port = await listen(t, server);
  const below = generator(20261127);
  const xml = `<?xml version="1.0"?><methodCall><methodName>pool.get_all</methodName><params><param><value>${server.session}</value></param></params></methodCall>`;
  const json = JSON.stringify({ method: 'VM.set_name_label', params: [server.session, 'OpaqueRef:x', 'y'], id: 1 });
  const nested = (open: string, close: string) => open.repeat(20_000) + close.repeat(20_000);
  const bodies = [
    ...[xml, json, nested('[', ']'), `{"method":"x","params":${nested('{"a":', '}')}}`],
    xml.replace('<value>', `<value>${nested('<array><data><value>', '</value></data></array>')}`),
    `<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">${Array.from({ length: 9 }, (_, i) => `<!ENTITY a${i} "${`&a${i - 1};`.repeat(10)}">`).join('')}]>${xml}`,
    `${xml.slice(0, 100)}&#x0;&#xFFFFFFFF;&nbsp;${xml.slice(100)}`,
  ];
  const heads = [
    'POST / HTTP/1.1',
    'POST /jsonrpc HTTP/1.1',
    'PUT /import HTTP/1.1',
    'GET /export?uuid=../.. HTTP/1.1',
    'POST /cli HTTP/1.0',
    'OPTIONS * HTTP/1.1',
    'BREW / HTTP/9.9',
  ];
  const one = async (): Promise<void> => {
    const text = Buffer.from(bodies[below(bodies.length)]);
    for (let n = below(4); n > 0; n--) text[below(text.length)] = below(256);
    const claimed = [text.length, text.length + below(9), -1, '1e3', 2 ** 60][below(8)] ?? text.length;
    const more = [
      '',
      'transfer-encoding: chunked\r\n',
      'expect: 100-continue\r\n',
      `x: ${'y'.repeat(below(20_000))}\r\n`,
      'authorization: Basic ////\r\n',
      'cookie: session_id=%%%\r\n',
    ][below(6)];
    const socket = await sent(
      t,
      port,
      `${heads[below(heads.length)]}\r\nhost: x\r\ncontent-length: ${claimed}\r\n${more}\r\n`,
    );
    socket.resume();
    socket.write(text.subarray(0, below(4) === 0 ? below(text.length) : text.length));
    await Promise.race([once(socket, 'data').catch(() => {}), once(socket, 'close'), sleep(30)]);
    if (below(2)) socket.end();
    await sleep(below(3));
    socket.destroy();
  };
  for (let round = 0; round < 60; round++) {
    await Promise.all(Array.from({ length: 20 }, one));
    if (round % 10 === 0) assert.equal(((await call(port, 'pool.get_all', server.session)) as string[]).length, 1);
  }
  // Attempts to log in are told; a mistake of ours would have a stack.
  for (const line of server.logged) assert.doesNotMatch(line, /mistake of this program|\n {4}at /, line);
});

test('sessions that somebody has made up are none', async (t) => {
  const { xapi, session, call: mine } = await bed(t);
  const origin = { address: 'forger', signal: new AbortController().signal };
  const vm: string = await mine('VM.create', VM_RECORD);
  const { uuid } = xapi.db.row('session', session);
  const forged: Raw[] = [
    '',
    'OpaqueRef:NULL',
    vm,
    uuid,
    `${session} `,
    session.toUpperCase(),
    session.slice(0, -1),
    `OpaqueRef:${uuid}`,
  ];
  forged.push('__proto__', 'constructor', '*', '%', 0, true, null, [], [session], { session }, 'x'.repeat(100_000));
  for (const each of forged) {
    await assert.rejects(xapi.dispatcher.call({ method: 'VM.get_all', params: [each] }, origin), {
      code: 'SESSION_INVALID',
    });
    await assert.rejects(xapi.dispatcher.call({ method: 'Async.VM.destroy', params: [each, vm] }, origin), {
      code: 'SESSION_INVALID',
    });
  }
  assert.ok(xapi.db.find('VM', vm));
});

test('names that are paths lead nowhere', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'xenapi-paths-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const storage = join(root, 'sr');
  mkdirSync(storage);
  for (const name of ['secret', 'secret.qcow2', 'secret.raw', 'secret.iso'])
    writeFileSync(join(root, name), `kept ${name}`);
  const { xapi, session, call: mine } = await bed(t, { storage });
  const origin = { address: 'paths', signal: new AbortController().signal };
  const [pool]: string[] = await mine('pool.get_all');
  const sr: string = await mine('pool.get_default_SR', pool);
  const [vm, vdi]: string[] = [await mine('VM.create', VM_RECORD), await mine('VDI.create', diskRecord(sr))];
  const tricks = ['../secret', '../../secret.qcow2', join(root, 'secret'), './../secret.raw', 'a/../../secret', '..\\secret', '../secret\u0000.iso', '%2e%2e/secret', `${storage}/../secret`, '//etc/passwd', '.', '..', '/', '~', '$HOME', '-rf', 'x'.repeat(5000)]; // prettier-ignore
  const before = readdirSync(root).sort();
  for (const trick of tricks)
    for (const [method, message] of MESSAGES) {
      if (!/^(SR|VDI|PBD|VM|blob|host|pool|PIF|crashdump)\./.test(method) || message.implicit?.act.startsWith('get'))
        continue;
      const params = message.parameters.map(({ name, type }): Raw => {
        if (type.kind === 'ref')
          return (
            ({ SR: sr, VDI: vdi, VM: vm, host: xapi.hostRef, pool } as Record<string, string>)[type.class] ??
            'OpaqueRef:NULL'
          );
        if (type.kind === 'string') return name.includes('uuid') ? crypto.randomUUID() : trick;
        if (type.kind === 'map')
          return { location: trick, path: trick, url: `file://${trick}`, uri: trick, SRmaster: 'true' };
        if (type.kind === 'enum') return 'user';
        return type.kind === 'int' || type.kind === 'float'
          ? 1 << 20
          : type.kind === 'bool'
            ? false
            : type.kind === 'set'
              ? []
              : '';
      });
      // These would end what the others need.
      if (/destroy|forget|unplug|shutdown|reboot|^VM\.(set|add_to|remove)|pool\.(eject|join)/.test(method)) continue;
      await xapi.dispatcher.call({ method, params: [session, ...params] }, origin).catch((error: unknown) => {
        assert.ok(
          error instanceof Failure && error.code !== 'INTERNAL_ERROR',
          `${method} ${JSON.stringify(params)}: ${(error as Error).stack}`,
        );
        assert.doesNotMatch(error.description.join(' '), /kept secret|root:x/);
      });
    }
  assert.deepEqual(readdirSync(root).sort(), before);
  for (const name of ['secret', 'secret.qcow2', 'secret.raw', 'secret.iso'])
    assert.equal(readFileSync(join(root, name), 'utf8'), `kept ${name}`);
});

test('no secret is in the log, whoever sends it and however', async (t) => {
  const server = await bed(t);
  const { xapi, session, logged } = server;
  const port = await listen(t, server);
  const SECRET = 'xyzzy-plugh-42';
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body, headers }).then((reply) => reply.text());
  const json = (method: string, ...params: unknown[]) => post('/jsonrpc', JSON.stringify({ method, params, id: 1 }));
  await json('session.login_with_password', 'root', SECRET);
  await json('session.login_with_password', 'root', SECRET, '1.0', SECRET, SECRET);
  await json('session.slave_local_login_with_password', 'root', SECRET);
  await json('session.change_password', session, SECRET, SECRET);
  await json('session.change_password', session, PASSWORD, `${SECRET}!`);
  await post('/jsonrpc', `{"method":"session.login_with_password","params":["root","${SECRET}`);
  await post(
    '/',
    `<methodCall><methodName>session.login_with_password</methodName><params><param><value>root</value></param><param><value>${SECRET}<`,
  );
  const basic = { authorization: `Basic ${Buffer.from(`root:${SECRET}`).toString('base64')}` };
  for (const path of ['/export', '/metrics', '/rrd_updates?host=true'])
    await (await fetch(`http://127.0.0.1:${port}${path}`, { headers: basic })).text();
  await json('secret.create', session, { value: SECRET, other_config: {} });
  await json('pool.enable_external_auth', session, xapi.pool.ref, { user: SECRET, pass: SECRET }, SECRET, 'AD');
  await json('pool.join', session, '127.0.0.1', 'root', SECRET);
  await json('host.create_new_blob', session, xapi.hostRef, SECRET, SECRET, false);
  await json('SR.create', session, xapi.hostRef, { cifspassword: SECRET }, 0, 'a', 'b', 'smb', '', false, {});
  await json('Async.VM.migrate_send', session, SECRET, { session_id: SECRET }, false, {}, {}, {});
  const cli = await sent(t, port, '');
  const line = `vm-list\nusername=root\npassword=${SECRET}\n`;
  cli.write(`POST /cli HTTP/1.0\r\ncontent-length: ${line.length}\r\n\r\n${line}`);
  cli.write(Buffer.concat([Buffer.from('XenSource thin CLI protocol'), Buffer.from([0, 0, 0, 0, 2, 0, 0, 0])]));
  cli.resume();
  await once(cli, 'close');
  assert.ok(logged.length > 3, 'logins that fail are told');
  const text = logged.join('\n');
  assert.ok(!text.includes(SECRET) && !text.includes(PASSWORD) && !text.includes(session), text);
});

test('many passwords at a time are tried no more than one after the other', async (t) => {
  const { xapi } = await bed(t);
  const login = (password: string) =>
    xapi.dispatcher.call({ method: 'session.login_with_password', params: ['root', password] }, { address: 'evil', signal: new AbortController().signal }); // prettier-ignore
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => login(`guess ${i}`).catch((error: Failure) => error.params[1])),
  );
  assert.ok(answers.filter((answer) => answer === 'Authentication failure').length <= 11);
  assert.ok(answers.filter((answer) => answer === 'Too many attempts: try again later').length >= 189);
});
