// The client against hosts that are not what they should be, or want what is not theirs.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseOptions, splitExtra } from '../../cli/xe/options.ts';
import { runXe } from '../../cli/xe/run.ts';
import { encode, greeting, type Command, type Message } from '../../toolstack/xenapi/cli/protocol.ts';
import { temporary, type Ran } from './bed.ts';

/** A host that has its own ideas; what the client has sent is in `heard`. */
async function host(
  t: TestContext,
  act: (socket: Socket, path: string) => void,
): Promise<{ port: number; heard: () => string }> {
  let heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let first = true;
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1');
      heard += text;
      if (first) act(socket, /^\w+ (\S+)/.exec(text)?.[1] ?? '');
      first = false;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, heard: () => heard };
}

async function xe(port: number, ...args: string[]): Promise<Ran> {
  let [out, err] = ['', ''];
  const io = { out: (text: string) => void (out += text), err: (text: string) => void (err += text), env: {} };
  const code = await runXe([...args, '-s', '127.0.0.1', '-p', String(port), '--nossl'], io);
  return { code, out, err };
}

const commands = (...list: Command[]): Buffer =>
  Buffer.concat([greeting(), ...list.map((command): Message => ({ command })).map(encode)]);
const EXIT: Command = { kind: 'Exit', code: 7 };

test('what a host says is done, and its exit code is the program\u2019s', async (t) => {
  const { port, heard } = await host(t, (socket) => {
    socket.write(commands(
      { kind: 'Print', text: 'one' }, { kind: 'PrintStderr', text: 'two\n' }, { kind: 'Debug', text: 'three' },
      { kind: 'Error', code: 'SOME_CODE', params: ['a', 'b'] }, EXIT,
    )); // prettier-ignore
  });
  const ran = await xe(port, 'vm-list', 'x=y z', '--minimal', '-u', 'me', '-pw', 'mine');
  assert.deepEqual(ran, { code: 7, out: 'one\n', err: 'two\nError code: SOME_CODE\nError parameters: a, b\n' });
  for (let i = 0; !heard().endsWith('\x02\0\0\0') && i < 200; i++) await sleep(5);
  const [head, body] = heard().split('\r\n\r\n');
  assert.match(head, /^POST \/cli HTTP\/1\.0\r\nUser-agent: xe-cli\/Unix\/0\.2\r\ncontent-length: 49$/);
  assert.equal(body, `vm-list\nx=y z\n--minimal\nusername=me\npassword=mine${greeting().toString('latin1')}`);
  assert.match((await xe(port, 'x', '--debug')).err, /Server has protocol version 0\.2\. Client has 0\.2\n.*debug from server: three/s); // prettier-ignore
  assert.match((await xe(port, 'x', '--debug-on-fail')).err, /Debug info:\n\n.*debug from server: three/s);
});

test('a host gets and writes only files that were named', async (t) => {
  const folder = temporary(t);
  const [named, other] = [join(folder, 'named'), join(folder, 'other')];
  writeFileSync(other, 'secret');
  const asks = async (command: Command): Promise<[Ran, string]> => {
    const { port, heard } = await host(t, (socket, path) => {
      if (path === '/cli') socket.write(commands(command, EXIT));
      else socket.end('HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\ndata');
    });
    return [await xe(port, 'vm-export', `filename=${named}`), heard()];
  };
  for (const command of [
    { kind: 'Load', text: other },
    { kind: 'HttpPut', file: other, url: '/import' },
    { kind: 'HttpGet', file: `${named}/../evil`, url: '/export' },
    { kind: 'HttpGet', file: `${named}x`, url: '/export' },
  ] as Command[]) {
    const [ran, heard] = await asks(command);
    assert.match(ran.err, /^File not permitted: the host asks for the file /, command.kind);
    assert.equal(ran.code, 1);
    assert.ok(!heard.includes('secret'));
  }
  assert.ok(!existsSync(join(folder, 'evil')) && !existsSync(`${named}x`));
  const [ran] = await asks({ kind: 'HttpGet', file: named, url: '/export' });
  assert.deepEqual([ran.code, ran.err, readFileSync(named, 'utf8')], [7, '', 'data']);
  // The second machine of an export has a number behind its file.
  await asks({ kind: 'HttpGet', file: `${named}2`, url: '/export' });
  assert.equal(readFileSync(`${named}2`, 'utf8'), 'data');
});

test('what is no host, or breaks off, is one sentence', async (t) => {
  const says = async (bytes: Buffer | string): Promise<Ran> => {
    const { port } = await host(t, (socket) => socket.end(bytes));
    return xe(port, 'vm-list');
  };
  const version = greeting();
  version.writeInt32LE(9, 27);
  for (const [bytes, sentence] of [
    ['', /^xe: the host has ended the connection: is that a XenAPI port\?\n$/],
    ['HTTP/1.1 404 Not Found\r\n\r\n'.padEnd(60), /^xe: what answers there is no host with a thin-CLI server/],
    [version, /^xe: the host speaks version 9\.2 of the protocol, this is 0\.2\.\n$/],
    [greeting(), /^Lost connection to the server\.\n$/],
    [
      Buffer.concat([greeting(), Buffer.from('08000000ff000000ff000000', 'hex')]),
      /^xe: the host has sent what is no message/,
    ],
    [Buffer.concat([greeting(), Buffer.from('ffffff7f', 'hex')]), /^xe: the host has sent what is no message/],
    [Buffer.concat([greeting(), encode({ response: 'OK' })]), /^xe: the host has sent what is no message/],
  ] as [Buffer | string, RegExp][]) {
    const ran = await says(bytes);
    assert.match(ran.err, sentence);
    assert.deepEqual([ran.code, ran.out], [1, '']);
  }
});

test('a transfer that the host breaks off or does not have is told to it as failed', async (t) => {
  const folder = temporary(t);
  let n = 0;
  for (const answer of [
    'HTTP/1.0 404 Not Found\r\n\r\n',
    'HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\nshort',
    '',
    'HTTP/1.0 302 Found\r\nlocation: /again\r\n\r\n',
  ]) {
    const file = join(folder, String(n++));
    const { port, heard } = await host(t, (socket, path) => {
      if (path === '/cli') socket.write(commands({ kind: 'HttpGet', file, url: '/export' }, EXIT));
      else socket.end(answer);
    });
    assert.equal((await xe(port, 'vm-export', `filename=${file}`)).code, 7);
    const failed = encode({ response: 'Failed' }).toString('latin1');
    for (let i = 0; !heard().endsWith(failed) && i < 200; i++) await sleep(5);
    assert.ok(heard().endsWith(failed), answer);
  }
});

test('options, the environment and the file, in that order', (t) => {
  const home = temporary(t);
  writeFileSync(join(home, '.xe'), 'server=rc\nusername=rc\nport=1\nparams=all\n');
  const env = { HOME: home, XE_EXTRA_ARGS: 'username=extra,port=2,a=b\\,c' };
  const options = parseOptions(['vm-list', '-p', '3', 'server=line', 'x=y'], env);
  assert.deepEqual([options.server, options.username, options.port], ['line', 'extra', 3]);
  assert.deepEqual(options.args, ['vm-list', 'x=y', 'a=b,c', 'params=all']);
  assert.deepEqual(splitExtra(',a,,b\\,c,d\\\\,'), ['a', 'b,c', 'd\\']);
  assert.throws(() => parseOptions(['-p', '70000'], {}), /a port is a number/);
  assert.throws(() => parseOptions(['vm-list', '-pw'], {}), /-pw needs a value/);
});
