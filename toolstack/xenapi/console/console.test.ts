import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { ROLES } from '../../../spec/xenapi/roles.ts';
import { ENCODING } from '../../../services/rfb/protocol/messages.ts';
import { seen, Viewer } from '../../../services/rfb/testing.ts';
import { random } from '../../../services/xenstore/testing.ts';
import { HttpServer } from '../rpc/http.ts';
import { bed, PASSWORD, userWith, VM_RECORD, type Bed } from '../testing.ts';
import { targetOf } from './serve.ts';
import { frame, open, rest, UPGRADE } from './testing.ts';

const NULL = 'OpaqueRef:NULL';

async function serving(t: TestContext): Promise<Bed & { port: number; vm: string; uuid: string; http: HttpServer }> {
  const server = await bed(t);
  const http = new HttpServer(server.xapi);
  const port = await http.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => http.close());
  const vm: string = await server.call('VM.create', { ...VM_RECORD, name_label: 'texts', domain_type: 'pv' });
  await server.call('VM.start', vm, false, false);
  return { ...server, port, vm, uuid: await server.call('VM.get_uuid', vm), http };
}

const consoles = async ({ call }: Bed, vm: string): Promise<Record<string, Record<string, string>>> => {
  const records: Record<string, Record<string, string>> = {};
  for (const ref of (await call('VM.get_consoles', vm)) as string[]) {
    const record: Record<string, string> = { ref };
    for (const field of ['uuid', 'protocol', 'location', 'VM']) record[field] = await call(`console.get_${field}`, ref);
    records[record.protocol] = record;
  }
  return records;
};

const viewer = (stream: Duplex): Promise<Viewer> => new Viewer(stream, { encodings: [ENCODING.ZRLE] }).connect();

async function typed(v: Viewer, text: string): Promise<void> {
  v.type(`${text}\n`);
  await v.update(false);
  await seen(v, new RegExp(`^${text}$`));
}

test('records come at the start, stay over a reboot, go at the end', async (t) => {
  const server = await serving(t);
  const { call, vm, xapi } = server;
  const first = await consoles(server, vm);
  assert.deepEqual(Object.keys(first).sort(), ['rfb', 'vt100']);
  for (const { uuid, location, VM } of Object.values(first))
    assert.deepEqual([location, VM], [`https://127.0.0.1/console?uuid=${uuid}`, vm]);
  xapi.url = 'https://[::1]:8443';
  await call('VM.hard_reboot', vm);
  const second = await consoles(server, vm);
  assert.equal(second.rfb.ref, first.rfb.ref);
  await assert.rejects(call('console.destroy', first.rfb.ref), { params: ['Console.destroy'] });
  await assert.rejects(call('console.create', { other_config: {} }), { params: ['Console.create'] });
  assert.match(second.rfb.location, /^https:\/\/\[::1\]:8443\/console\?uuid=/);
  // What is set by hand stays.
  await call('console.add_to_other_config', first.rfb.ref, 'a', 'b');
  await call('VM.clean_reboot', vm);
  assert.deepEqual({ ...((await call('console.get_other_config', first.rfb.ref)) as object) }, { a: 'b' });
  await call('VM.add_to_other_config', vm, 'disable_pv_vnc', '1');
  await call('VM.hard_reboot', vm);
  assert.deepEqual(await consoles(server, vm), {});
  await call('VM.remove_from_other_config', vm, 'disable_pv_vnc');
  await call('VM.hard_reboot', vm);
  assert.equal(Object.keys(await consoles(server, vm)).length, 2);
  await call('VM.hard_shutdown', vm);
  assert.deepEqual(await call('console.get_all'), []);
  const hvm: string = await call('VM.create', { ...VM_RECORD, HVM_boot_policy: 'BIOS order' });
  await call('VM.start', hvm, false, false);
  assert.deepEqual(Object.keys(await consoles(server, hvm)), ['rfb']);
  // A reboot that fails leaves none.
  xapi.xenops.start = () => Promise.reject(new Error('no'));
  await assert.rejects(call('VM.hard_reboot', hvm));
  assert.deepEqual(await call('console.get_all'), []);
});

test('a screen by CONNECT: named in any way, typed at, seen by several; it ends with the machine', async (t) => {
  const server = await serving(t);
  const { port, session, vm, uuid, call, logged, xapi } = server;
  const { rfb } = await consoles(server, vm);
  const basic = `Basic ${Buffer.from(`root:${PASSWORD}`).toString('base64')}`;
  const ways: [string, Record<string, string>][] = [
    [`/console?ref=${rfb.ref}&session_id=${session}`, {}],
    [`/console?uuid=${rfb.uuid}`, { Cookie: `other=1; session_id=${session}` }],
    [`//console?uuid=${uuid}`, { Cookie: `session_id=${encodeURIComponent(session)}` }],
    [`https://there.example/console?ref=${vm}`, { Authorization: basic }],
  ];
  const viewers: Viewer[] = [];
  for (const [path, headers] of ways) {
    const { status, head, socket } = await open(port, path, { headers });
    assert.equal(status, 200, head);
    viewers.push(await viewer(socket));
    assert.deepEqual([viewers.at(-1)!.name, viewers.at(-1)!.width], ['texts', 640]);
  }
  await viewers[0].update(false);
  await seen(viewers[0], /^texts is simulated/);
  await typed(viewers[0], 'Hello, World');
  for (const v of viewers) {
    await v.update(false);
    assert.ok((await seen(v, /^Hello, World$/)).includes('> Hello, World'));
  }
  const sessions = () => xapi.db.table('session').size;
  assert.equal(sessions(), 2);
  viewers[3].close();
  await sleep(20);
  assert.equal(sessions(), 1, 'its own session is closed');
  await call('VM.hard_reboot', vm);
  await Promise.all(viewers.map((v) => v.closed || rest(v.stream as never)));
  const again = await viewer((await open(port, ways[0][0])).socket);
  await again.update(false);
  assert.deepEqual((await seen(again, /simulated/)).filter(Boolean).length, 2, 'it is a new one');
  await call('VM.hard_shutdown', vm);
  await rest(again.stream as never);
  assert.equal((await open(port, ways[0][0])).status, 404);
  assert.match(logged.join('\n'), /root at 127\.0\.0\.1 sees the rfb console of VM/);
  assert.doesNotMatch(logged.join('\n'), /OpaqueRef|correct horse/);
});

test('a terminal by CONNECT is shared with the screen; half-closed it ends', async (t) => {
  const server = await serving(t);
  const { port, session, vm } = server;
  const { vt100, rfb } = await consoles(server, vm);
  const { socket, status } = await open(port, `/console?uuid=${vt100.uuid}&session_id=${session}`);
  assert.equal(status, 200);
  let heard = '';
  socket.on('data', (bytes: Buffer) => (heard += bytes.toString()));
  const v = await viewer((await open(port, `/console?ref=${rfb.ref}&session_id=${session}`)).socket);
  socket.write('from the terminal\r');
  await v.update(false);
  await seen(v, /^from the terminal$/);
  await typed(v, 'from the screen');
  assert.match(heard, /is simulated.*\r\n> from the terminal\r\nfrom the terminal\r\n> from the screen\r\n/s);
  socket.end();
  await once(socket, 'close');
  await typed(v, 'still here');
});

test('WebSockets: binary, base64, or neither; a wrong frame ends it', async (t) => {
  const { port, session, uuid } = await serving(t);
  const url = `ws://127.0.0.1:${port}/console?uuid=${uuid}&session_id=${session}`;
  for (const protocols of [['binary'], ['base64'], ['base64', 'binary'], []]) {
    const ws = new WebSocket(url, protocols);
    const text = protocols.length === 1 && protocols[0] === 'base64';
    const stream = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _, done) => ws.send(text ? bytes.toString('base64') : bytes, () => done()),
    });
    ws.on('message', (data: Buffer, isBinary) => {
      assert.equal(isBinary, !text);
      stream.push(text ? Buffer.from(data.toString(), 'base64') : data);
    });
    await once(ws, 'open');
    assert.equal(ws.protocol, text ? 'base64' : (protocols.at(-1) ?? ''));
    const v = await viewer(stream);
    await typed(v, `by ${protocols.join(' and ') || 'none'}`);
    ws.send(text ? Buffer.of(1) : 'text');
    const [code] = (await once(ws, 'close')) as [number];
    assert.equal(code, 1003);
  }
  const wrong = await open(port, `/console?uuid=${uuid}&session_id=${session}`, {
    ...{ method: 'GET', version: '1.1', headers: { ...UPGRADE, 'Sec-WebSocket-Version': '7' } },
  });
  assert.equal(wrong.status, 400);
  // Other upgrades are none, and what is no upgrade is told what it should be.
  const h2c = await open(port, `/console?uuid=${uuid}`, {
    ...{ method: 'GET', version: '1.1', headers: { ...UPGRADE, Upgrade: 'h2c' } },
  });
  assert.equal(h2c.status, 426);
  wrong.socket.destroy();
  h2c.socket.destroy();
});

test('who may not, and what is not there', async (t) => {
  const server = await serving(t);
  const { port, session, uuid, vm, call } = server;
  const status = async (path: string, ask = {}): Promise<number> => {
    const { status, socket } = await open(port, path, ask);
    socket.destroy();
    return status;
  };
  for (const ask of [{}, { method: 'GET', version: '1.1', headers: UPGRADE }]) {
    const good = (query: string) => status(`/console?${query}&session_id=${session}`, ask);
    assert.deepEqual(
      [
        await status(`/console?uuid=${uuid}`, ask),
        await status(`/console?uuid=${uuid}&session_id=OpaqueRef:none`, ask),
        await status('/other', ask),
        await status(`/console/${uuid}`, ask),
        ...[
          await good(''),
          await good('ref='),
          await good(`ref=${NULL}`),
          await good('uuid=x'),
          await good(`ref=${uuid}`),
        ],
      ],
      [401, 401, 404, 404, 400, 400, 404, 404, 404],
    );
    for (const role of ROLES) {
      const other = await userWith(server, role);
      const found = await status(`/console?uuid=${uuid}&session_id=${other}`, ask);
      assert.equal(found, role === 'read-only' ? 403 : 'method' in ask ? 101 : 200, role);
      await call('session.logout_subject_identifier', `local:user-${role}`);
      for (const subject of (await call('subject.get_all')) as string[]) await call('subject.destroy', subject);
    }
  }
  const basic = (password: string) => ({ headers: { Authorization: `Basic ${Buffer.from(`root:${password}`).toString('base64')}` } }); // prettier-ignore
  assert.equal(await status(`/console?uuid=${uuid}`, basic('wrong')), 401);
  await call('VM.hard_shutdown', vm);
  assert.equal(await status(`/console?uuid=${uuid}&session_id=${session}`), 404);
});

test('seventeen viewers are one too many, and one that goes makes room', async (t) => {
  const { port, session, uuid } = await serving(t);
  const path = `/console?uuid=${uuid}&session_id=${session}`;
  const all = await Promise.all(Array.from({ length: 16 }, () => open(port, path)));
  assert.ok(all.every(({ status }) => status === 200));
  const more = await open(port, path);
  assert.equal(more.status, 503);
  all[0].socket.destroy();
  await sleep(50);
  assert.equal((await open(port, path)).status, 200);
});

test('targets as clients write them', () => {
  for (const text of [
    '/console?a=1&b=%20x',
    '//console?a=1&b=+x',
    'http://h:1/console?a=1&b=%20x#f',
    'HTTPS://h/console?a=1&b=%20x',
  ]) {
    // prettier-ignore
    const { path, query } = targetOf(text);
    assert.deepEqual([path, ...query], ['/console', ['a', '1'], ['b', ' x']], text);
  }
  assert.deepEqual(targetOf('http://h').path, '');
});

test('fuzz: heads, frames and RFB of any kind, slow and half-closed viewers; others are served', async (t) => {
  const server = await serving(t);
  const { port, session, uuid, vm, logged } = server;
  const { vt100 } = await consoles(server, vm);
  const next = random(23);
  const bytes = (most: number): Buffer => Buffer.from(Array.from({ length: 1 + next(most) }, () => next(256)));
  const path = `/console?uuid=${uuid}&session_id=${session}`;
  const witness = await viewer((await open(port, path)).socket);
  // Ones that never read, and one that has closed its half.
  const idle = await Promise.all([path, `/console?uuid=${vt100.uuid}&session_id=${session}`].map((each) => open(port, each))); // prettier-ignore
  setImmediate(() => idle.forEach(({ socket }) => socket.pause()));
  const half = await open(port, path);
  half.socket.write('RFB 003.008\n');
  half.socket.end();
  for (let round = 0; round < 150; round++) {
    const kind = next(5);
    const asked =
      kind === 0 ? path + bytes(60).toString('base64') : next(3) === 0 ? path.replace(uuid, vt100.uuid) : path;
    const headers: Record<string, string> = kind > 2 ? { ...UPGRADE, 'Sec-WebSocket-Protocol': ['binary', 'base64', 'x'][next(3)] } : {}; // prettier-ignore
    const { socket } = await open(port, asked, { method: kind > 2 ? 'GET' : 'CONNECT', version: '1.1', headers });
    for (let i = next(6); i > 0 && !socket.destroyed; i--) {
      const payload = next(2) === 0 ? Buffer.concat([Buffer.from('RFB 003.008\n\x01\x01'), bytes(200)]) : bytes(300);
      socket.write(kind > 2 && next(3) > 0 ? frame(next(16), payload, next(4) > 0) : payload);
      if (next(5) === 0) await sleep(1);
    }
    if (next(3) === 0) socket.end();
    else if (next(2) === 0) socket.resetAndDestroy();
    else setTimeout(() => socket.destroy(), next(20));
  }
  // A giant message and a giant frame: nobody keeps them.
  const giant = await open(port, path);
  giant.socket.write(Buffer.concat([Buffer.from('RFB 003.008\n\x01\x01'), Buffer.from('06000000ffffffff', 'hex')]));
  for (let i = 0; i < 100; i++) giant.socket.write(Buffer.alloc(1 << 16));
  const large = await open(port, path, { method: 'GET', version: '1.1', headers: UPGRADE });
  let heard = Buffer.alloc(0);
  large.socket.on('data', (data: Buffer) => (heard = Buffer.concat([heard, data])));
  large.socket.write(Buffer.from('82ff000000007fffffff00000000', 'hex'));
  // Closed, since it is too big (1009).
  while (!heard.includes(Buffer.from('880203f1', 'hex'))) await once(large.socket, 'data');
  // What others have typed ends here.
  witness.type('\n');
  await sleep(50);
  await typed(witness, 'nothing has happened');
  assert.deepEqual(logged.filter((line) => /internal|stack|Error/.test(line)), []); // prettier-ignore
  for (const { socket } of [...idle, giant, large]) socket.destroy();
});
