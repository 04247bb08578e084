// Whoever speaks the thin-CLI protocol badly harms nobody else, and learns nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { encode, greeting } from '../../toolstack/xenapi/cli/protocol.ts';
import { PASSWORD } from '../../toolstack/xenapi/testing.ts';
import { random } from '../random.ts';
import { converse, dial, xeBed } from './bed.ts';

const ROOT = ['username=root', `password=${PASSWORD}`];

/** What is answered to these bytes until the end. */
async function answer(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  socket.write(bytes);
  return text(socket);
}

test('requests that are none, and calls beside them', async (t) => {
  const { port, ok } = await xeBed(t);
  for (const bytes of [
    'POST /cli HTTP/1.0\r\n\r\n',
    'POST /cli HTTP/1.0\r\ncontent-length: 999999\r\n\r\n',
    'POST /cli HTTP/1.0\r\ncontent-length: -1\r\n\r\n',
    'POST /cli HTTP/7\r\ncontent-length: 1\r\n\r\nx',
    'POST /cliché HTTP/1.1\r\ncontent-length: 1\r\n\r\nx',
    `POST /cli HTTP/1.0\r\nx: ${'y'.repeat(20_000)}`,
  ])
    assert.match(await answer(port, bytes), /^HTTP\/1\.1 400 /, bytes.slice(0, 60));
  // The same port serves HTTP, whatever pieces a request comes in.
  const socket = connect({ host: '127.0.0.1', port });
  const body = '<?xml version="1.0"?><methodCall><methodName>system.listMethods</methodName><params/></methodCall>';
  for (const piece of ['P', 'OST /', 'c', `alls HTTP/1.0\r\ncontent-length: ${body.length}\r\n\r\n`, body]) {
    socket.write(piece);
    await sleep(2);
  }
  assert.match(await text(socket), /^HTTP\/1\.1 200 OK[^]*VM\.start/);
  assert.match(await answer(port, 'NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 /);
  await ok('host-list');
});

test('conversations that break off or go wrong', async (t) => {
  const { port, ok, xapi, logged } = await xeBed(t);
  const line = ['sr-create', 'name-label=x', 'type=file', 'device-config:key-filename=/etc/passwd', ...ROOT];
  const number = random(11);
  const wrong = [
    Buffer.from('HTTP/1.1 200 OK\r\n\r\n'.padEnd(64)),
    Buffer.concat([greeting().subarray(0, 27), Buffer.alloc(8, 9)]),
    Buffer.concat([greeting(), encode({ command: { kind: 'Exit', code: 0 } })]),
    Buffer.concat([greeting(), encode({ response: 'OK' }), encode({ blob: 2 ** 31 - 1 })]),
    Buffer.concat([greeting(), encode({ response: 'OK' }), encode({ response: 'OK' })]),
    Buffer.concat([greeting(), Buffer.from('ffffffff', 'hex')]),
    Buffer.concat([greeting(), Buffer.from('ff0f0000', 'hex'), Buffer.alloc(4095)]),
    ...Array.from({ length: 40 }, () =>
      Buffer.concat([greeting(), Buffer.from(Array.from({ length: 1 + number(40) }, () => number(256)))]),
    ),
  ];
  for (const bytes of wrong) {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    const body = line.join('\n');
    socket.write(`POST /cli HTTP/1.0\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  await sleep(20);
  // Nothing was made, nothing is left, nobody was told what the host thinks of it.
  assert.equal(await ok('sr-list', 'name-label=x', '--minimal'), '');
  assert.equal(xapi.sessions.size, 1);
  assert.ok(!logged.join('\n').includes(PASSWORD));
});

test('a crowd that says nothing keeps nobody from his work', async (t) => {
  const { port, ok } = await xeBed(t);
  const crowd = Array.from({ length: 300 }, (_, i) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.write(['', 'POST /cl', 'POST /cli HTTP/1.0\r\n', 'POST /cli HTTP/1.0\r\ncontent-length: 9\r\n\r\nx'][i % 4]);
    return socket;
  });
  t.after(() => crowd.forEach((socket) => socket.destroy()));
  await Promise.all(Array.from({ length: 20 }, () => ok('host-list')));
});

test('who leaves in the middle of a command ends it', async (t) => {
  const { port, ok, xapi } = await xeBed(t);
  const { socket, channel } = await dial(port, ['event-wait', 'class=vm', 'name-label=never', ...ROOT]);
  await channel.greeted();
  await channel.greet();
  for (let i = 0; xapi.sessions.size < 2 && i < 200; i++) await sleep(5);
  assert.equal(xapi.sessions.size, 2);
  socket.destroy();
  for (let i = 0; xapi.sessions.size > 1 && i < 200; i++) await sleep(5);
  assert.equal(xapi.sessions.size, 1);
  await ok('host-list');
});

test('sessions and passwords', async (t) => {
  const { port, session, xapi, xe, logged } = await xeBed(t);
  const said = async (...args: string[]): Promise<string> => {
    const { channel } = await dial(port, args);
    const commands = await converse(channel);
    return commands.map((each) => ('text' in each ? each.text : each.kind)).join('');
  };
  assert.match(await said(`session_id=${session}`, 'host-list'), /name-label/);
  assert.ok(xapi.sessions.peek(session), 'it is the client\u2019s own');
  assert.match(await said('session_id=OpaqueRef:forged', 'host-list'), /does not exist, or has ended/);
  assert.match(await said('host-list'), /^Username\/password must be specified/);
  assert.match(await said('host-list', 'username=root', 'password=wrong'), /^Authentication failed/);
  assert.equal((await xe('user-password-change', 'new=another secret')).code, 0);
  assert.match(await said('host-list', ...ROOT), /^Authentication failed/);
  assert.match(await said('host-list', 'username=root', 'password=another secret'), /name-label/);
  // Many wrong ones are put off, as they are elsewhere.
  for (let i = 0; i < 12; i++) await said('host-list', 'username=root', 'password=wrong');
  assert.match(await said('host-list', 'username=root', 'password=another secret'), /^Authentication failed/);
  for (const secret of [PASSWORD, 'another secret', session]) assert.ok(!logged.join('\n').includes(secret));
});

test('roles hold for commands', async (t) => {
  const server = await xeBed(t);
  const { userWith } = await import('../../toolstack/xenapi/testing.ts');
  const session = await userWith(server, 'read-only');
  const { channel } = await dial(server.port, [`session_id=${session}`, 'vm-create', 'name-label=x']);
  const said = await converse(channel);
  assert.deepEqual(said.at(-1), { kind: 'Exit', code: 1 });
  assert.match(said.map((each) => ('text' in each ? each.text : '')).join(''), /do not allow this\.\npermission: vm\.create\n/); // prettier-ignore
});
