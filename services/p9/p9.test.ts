import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { constants as os, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { random } from '../xenstore/testing.ts';
import { Folder } from './backend/folder.ts';
import { LOCK, Locks, WHOLE, type Lock } from './backend/locks.ts';
import { P9Server } from './backend/server.ts';
import { Errno, P9, P9Error, readRequest, Writer } from './protocol/codec.ts';
import { Client } from './testing.ts';

const E = os.errno;
const O = { RDONLY: 0, WRONLY: 1, RDWR: 2, EXCL: 0o200, CREAT: 0o100, TRUNC: 0o1000, APPEND: 0o2000 };
const base = mkdtempSync(join(tmpdir(), 'xenolith-9p-'));
after(() => rmSync(base, { recursive: true, force: true }));
let count = 0;
const servers: P9Server[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

/** A share with something beside it that nobody may get at. */
async function share(readonly = false) {
  const at = join(base, `t${count++}`);
  const [inside, outside] = [join(at, 'inside'), join(at, 'outside')];
  for (const folder of [at, inside, outside, join(inside, 'sub')]) mkdirSync(folder);
  writeFileSync(join(outside, 'secret'), 'secret');
  writeFileSync(join(inside, 'file'), 'contents');
  const folder = await Folder.open(inside);
  const server = new P9Server({ folder, readonly, msize: 1 << 17, locks: new Locks() });
  servers.push(server);
  const client = await new Client(server).start();
  const untouched = (): void => {
    assert.deepEqual(readdirSync(outside), ['secret']);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.deepEqual(readdirSync(at).sort(), ['inside', 'outside']);
  };
  return { inside, outside, folder, server, client, untouched };
}

const name = (fid: number, text: string): Writer => new Writer().u32(fid).text(Buffer.from(text));

test('before anything else the version; others are unknown; all ids go with it', async () => {
  const { server, client } = await share();
  const fresh = new Client(new P9Server({ folder: (await share()).folder, readonly: false, msize: 65536, locks: new Locks() })); // prettier-ignore
  assert.equal(await fresh.clunk(0), -E.EPROTO);
  const version = (msize: number, text: string) =>
    fresh.call(P9.VERSION, new Writer().u32(msize).text(Buffer.from(text)));
  assert.equal(await version(100, '9P2000.L'), -E.EMSGSIZE);
  assert.match(String(await version(8192, '9P2000.u')), /unknown/);
  assert.equal(((await version(1 << 20, '9P2000.L')) as Buffer).readUInt32LE(), 65536);
  await client.walk(0, 1);
  await client.start();
  assert.equal(await client.clunk(1), -E.EBADF);
  await server.close();
});

test('names are one entry of one folder, links are never followed, up ends at the share', async () => {
  const { inside, outside, client, untouched } = await share();
  symlinkSync('../outside/secret', join(inside, 'leak'));
  symlinkSync(outside, join(inside, 'leakdir'));
  for (const bad of ['', 'a/b', '../outside', 'sub/..', 'x\0y', '/etc'])
    assert.equal(await client.walk(0, 9, bad), -E.ENOENT, JSON.stringify(bad));
  assert.equal(await client.walk(0, 9, 'x'.repeat(300)), -E.ENAMETOOLONG);
  const root = (await client.walk(0, 1)) as Buffer;
  assert.equal(root.readUInt16LE(), 0);
  const up = (await client.walk(0, 2, '..', '..', 'sub', '..', '.')) as Buffer;
  assert.equal(up.readUInt16LE(), 5);
  assert.deepEqual(up.subarray(2, 15), up.subarray(2 + 4 * 13, 2 + 5 * 13), 'the share is its own parent');
  assert.equal(((await client.walk(0, 3, 'leak')) as Buffer)[2], 2, 'a link is a link');
  assert.equal(await client.open(3, O.RDONLY), -E.ELOOP);
  assert.match(String(await client.call(P9.READLINK, new Writer().u32(3))), /\.\.\/outside\/secret/);
  assert.equal(((await client.walk(0, 4, 'leakdir', 'secret')) as Buffer).readUInt16LE(), 1, 'a walk ends at a link');
  assert.equal(await client.clunk(4), -E.EBADF);
  await client.walk(0, 5);
  assert.equal(await client.create(5, 'leak', O.WRONLY | O.TRUNC, 0o644), -E.ELOOP);
  assert.equal(await client.create(5, 'leakdir', O.WRONLY, 0o644), -E.ELOOP);
  await client.walk(0, 6, 'leakdir');
  for (const [type, body] of [
    [P9.MKDIR, name(6, 'new').u32(0o755).u32(0)],
    [P9.UNLINKAT, name(6, 'secret').u32(0)],
    [P9.RENAMEAT, name(6, 'secret').u32(0).text(Buffer.from('got'))],
    [P9.LCREATE, name(6, 'new').u32(O.WRONLY).u32(0o644).u32(0)],
  ] as const)
    assert.equal(await client.call(type, body), -E.ENOTDIR);
  for (const bad of ['..', '.', '', 'a/b'])
    for (const [type, body] of [
      [P9.MKDIR, name(0, bad).u32(0o755).u32(0)],
      [P9.UNLINKAT, name(0, bad).u32(0x200)],
      [P9.RENAMEAT, name(0, 'file').u32(0).text(Buffer.from(bad))],
      [P9.SYMLINK, name(0, bad).text(Buffer.from('x')).u32(0)],
      [P9.LINK, new Writer().u32(0).u32(1).text(Buffer.from(bad))],
    ] as const)
      assert.ok([-E.EINVAL, -E.ENOENT].includes((await client.call(type, body)) as number), `${type} ${bad}`);
  untouched();
});

test('folders that become links while a guest is in them lead nowhere else', async () => {
  const { inside, outside, client, untouched } = await share();
  writeFileSync(join(inside, 'sub', 'secret'), 'mine');
  await client.walk(0, 1, 'sub');
  renameSync(join(inside, 'sub'), join(inside, 'moved'));
  symlinkSync(outside, join(inside, 'sub'));
  await client.walk(1, 2, 'secret');
  await client.open(2, O.RDWR);
  assert.equal(String(await client.read(2, 0, 100)), 'mine');
  await client.write(2, 0, Buffer.from('MINE'));
  await client.ok(P9.MKDIR, name(1, 'new').u32(0o755).u32(0));
  assert.ok(existsSync(join(inside, 'moved', 'new')));
  untouched();
  // A folder that the host has moved out: its way up is the way the guest came.
  renameSync(join(inside, 'moved'), join(outside, 'moved'));
  await client.walk(1, 3, '..', '..', 'file');
  await client.open(3, O.RDONLY);
  assert.equal(String(await client.read(3, 0, 100)), 'contents');
});

test('pipes, devices and sockets of the host are not opened, and nothing waits for them', async () => {
  const { inside, client } = await share();
  execFileSync('mkfifo', [join(inside, 'pipe')]);
  await client.walk(0, 1, 'pipe');
  for (const flags of [O.RDONLY, O.WRONLY, O.RDWR]) assert.equal(await client.open(1, flags), -E.ENXIO);
  await client.walk(0, 2);
  assert.equal(await client.create(2, 'pipe', O.WRONLY, 0o644), -E.ENXIO);
  const size = new Writer().u32(1).u32(8).u32(0).u32(0).u32(0).u64(0n, 0n, 0n, 0n, 0n);
  assert.equal(await client.call(P9.SETATTR, size), -E.EINVAL);
});

test('a read-only share changes nothing', async () => {
  const { inside, client } = await share(true);
  const state = (): string =>
    JSON.stringify(readdirSync(inside).map((each) => [each, { ...statSync(join(inside, each)), atimeMs: 0 }]));
  const before = state();
  await client.walk(0, 1, 'file');
  const requests: [number, Writer][] = [
    [P9.LOPEN, new Writer().u32(1).u32(O.WRONLY)],
    [P9.LOPEN, new Writer().u32(1).u32(O.RDWR)],
    [P9.LOPEN, new Writer().u32(1).u32(O.RDONLY | O.TRUNC)],
    [P9.LCREATE, name(0, 'new').u32(O.RDONLY).u32(0o644).u32(0)],
    [P9.MKDIR, name(0, 'new').u32(0o755).u32(0)],
    [P9.SYMLINK, name(0, 'new').text(Buffer.from('x')).u32(0)],
    [P9.MKNOD, name(0, 'new').u32(0o100644).u32(0).u32(0).u32(0)],
    [P9.LINK, new Writer().u32(0).u32(1).text(Buffer.from('new'))],
    [P9.RENAMEAT, name(0, 'file').u32(0).text(Buffer.from('new'))],
    [P9.UNLINKAT, name(0, 'file').u32(0)],
    [P9.SETATTR, new Writer().u32(1).u32(1).u32(0o777).u32(0).u32(0).u64(0n, 0n, 0n, 0n, 0n)],
  ];
  for (const [type, body] of requests) assert.equal(await client.call(type, body), -E.EROFS, String(type));
  await client.open(1, O.RDONLY);
  assert.equal(await client.write(1, 0, Buffer.from('x')), -E.EROFS);
  assert.equal(String(await client.read(1, 0, 100)), 'contents');
  assert.equal(state(), before);
});

test('ids, files and listings are bounded; all descriptors come back', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  const { inside, folder, server, client } = await share();
  const atFirst = open();
  for (let i = 1; i <= 100; i++) await client.walk(0, i, 'file');
  assert.equal(open(), atFirst + 100);
  const attach = (fid: number) => client.call(P9.ATTACH, new Writer().u32(fid).u32(0xffffffff).text(Buffer.alloc(0)).text(Buffer.alloc(0)).u32(0)); // prettier-ignore
  for (let fid = 101; fid < 4096; fid++) assert.ok(typeof (await attach(fid)) !== 'number');
  assert.equal(await attach(4096), -E.EMFILE);
  assert.equal(await client.walk(0, 9999, 'file'), -E.EMFILE);
  await client.start();
  assert.equal(open(), atFirst);
  for (let i = 0; i < 300; i++) writeFileSync(join(inside, 'sub', `entry-${i}`), '');
  await client.walk(0, 1, 'sub');
  await client.open(1, O.RDONLY);
  const names: string[] = [];
  for (let offset = 0n, more = true; more; ) {
    const answer = await client.ok(P9.READDIR, new Writer().u32(1).u64(offset).u32(1000));
    let at = 4;
    for (more = answer.readUInt32LE() > 0; at < answer.length; ) {
      offset = answer.readBigUInt64LE(at + 13);
      const length = answer.readUInt16LE(at + 22);
      names.push(answer.toString('latin1', at + 24, at + 24 + length));
      at += 24 + length;
    }
    assert.ok(answer.readUInt32LE() <= 1000);
  }
  assert.deepEqual(names.toSorted(), ['.', '..', ...readdirSync(join(inside, 'sub'))].toSorted());
  assert.equal(await client.call(P9.READDIR, new Writer().u32(1).u64(0n).u32(10)), -E.EINVAL);
  const far = await client.ok(
    P9.READDIR,
    new Writer()
      .u32(1)
      .u64(2n ** 63n)
      .u32(1000),
  );
  assert.equal(far.readUInt32LE(), 0);
  await server.close();
  await folder.close();
  assert.equal(open(), atFirst - 1);
});

test('set-id bits, giant offsets and odd flags are refused', async () => {
  const { inside, client } = await share();
  await client.walk(0, 1);
  assert.equal(await client.create(1, 'x', O.WRONLY, 0o4755), -E.EPERM);
  assert.equal(await client.create(1, 'x', 3, 0o644), -E.EINVAL);
  assert.ok(typeof (await client.create(1, 'x', O.RDWR | O.EXCL, 0o666)) !== 'number');
  assert.equal(statSync(join(inside, 'x')).mode & 0o777, 0o666, "not the host's mask");
  const chmod = new Writer().u32(1).u32(1).u32(0o2755).u32(0).u32(0).u64(0n, 0n, 0n, 0n, 0n);
  assert.equal(await client.call(P9.SETATTR, chmod), -E.EPERM);
  assert.equal(
    await client.call(
      P9.WRITE,
      new Writer()
        .u32(1)
        .u64(2n ** 63n)
        .u32(1)
        .u8(0),
    ),
    -E.EFBIG,
  );
  const end = (
    await client.ok(
      P9.READ,
      new Writer()
        .u32(1)
        .u64(2n ** 64n - 1n)
        .u32(1000),
    )
  ).readUInt32LE();
  assert.equal(end, 0);
  assert.equal((await client.read(1, 0, 0xffffffff)).length, 0);
});

test('locks: ranges of processes, replaced, split and dropped', () => {
  const locks = new Locks();
  const lock = (owner: string, type: number, start: number, end: number | bigint, by: object = {}): Lock => ({ owner, type, start: BigInt(start), end: BigInt(end), process: 1, by }); // prettier-ignore
  const by = {};
  assert.equal(locks.set('f', lock('a', LOCK.WRITE, 0, 100, by)), true);
  assert.equal(locks.set('f', lock('b', LOCK.READ, 50, 60)), false);
  assert.equal(locks.set('g', lock('b', LOCK.READ, 50, 60)), true);
  assert.equal(locks.set('f', lock('a', LOCK.UNLOCK, 40, 70)), true);
  assert.equal(locks.set('f', lock('b', LOCK.READ, 50, 60)), true);
  assert.equal(locks.set('f', lock('a', LOCK.WRITE, 0, WHOLE, by)), false);
  assert.equal(locks.conflict('f', lock('b', LOCK.READ, 99, 100))?.owner, 'a');
  locks.drop('f', by);
  assert.equal(locks.set('f', lock('c', LOCK.WRITE, 60, WHOLE)), true);
  let made = 0;
  while (locks.set('h', lock('a', LOCK.READ, 2 * made, 2 * made + 1))) made++;
  assert.equal(made, 1024);
});

test('fuzz: bytes that are nearly messages are an answer or the end of the connection, and stay inside', async () => {
  const next = random(41);
  const { client, server, untouched } = await share();
  const types = Object.values(P9);
  const names = ['file', 'sub', '..', '.', 'new', 'a/b', '', '../outside/secret', 'leak'];
  let answered = 0;
  let ended = 0;
  for (let i = 0; i < 6000; i++) {
    const w = new Writer();
    const type = next(30) === 0 ? next(256) : types[next(types.length)]!;
    for (let field = next(9); field > 0; field--) {
      const kind = next(5);
      if (kind === 0) w.u32(next(3) ? next(8) : next(0xffffffff));
      else if (kind === 1) w.text(Buffer.from(names[next(names.length)]!));
      else if (kind === 2) w.u64(next(3) ? BigInt(next(100)) : BigInt.asUintN(64, BigInt(next(0xffffffff)) << 33n));
      else if (kind === 3) w.u16(next(20));
      else w.u32([O.RDWR, O.WRONLY | O.TRUNC, 0o755, 0x200][next(4)]!);
    }
    // Mostly with the fields that such a message has.
    const body = next(3) ? w : (proper(type, next, names) ?? w);
    try {
      await server.answer(body.message(type, 0x8000 + (i % 1000)));
      answered++;
    } catch (error) {
      assert.ok(error instanceof P9Error, String(error));
      ended++;
    }
    if (server.msize === 0) await client.start();
  }
  assert.ok(answered > 1000 && ended > 500, `${answered} ${ended}`);
  untouched();
  await server.close();
});

function proper(type: number, next: (n: number) => number, names: readonly string[]): Writer | undefined {
  const text = (): Buffer => Buffer.from(names[next(names.length)]!);
  const fid = (): number => next(6);
  switch (type) {
    case P9.WALK: {
      const steps = next(4);
      const w = new Writer().u32(fid()).u32(fid()).u16(steps);
      for (let i = 0; i < steps; i++) w.text(text());
      return w;
    }
    case P9.LOPEN:
      return new Writer().u32(fid()).u32([0, 1, 2, O.TRUNC | 1, 3][next(5)]!);
    case P9.LCREATE:
      return new Writer().u32(fid()).text(text()).u32(O.RDWR).u32(0o644).u32(0);
    case P9.SYMLINK:
      return new Writer().u32(fid()).text(text()).text(Buffer.from('../outside')).u32(0);
    case P9.RENAMEAT:
      return new Writer().u32(fid()).text(text()).u32(fid()).text(text());
    case P9.MKDIR:
      return new Writer().u32(fid()).text(text()).u32(0o755).u32(0);
    case P9.UNLINKAT:
      return new Writer()
        .u32(fid())
        .text(text())
        .u32(next(2) * 0x200);
    case P9.WRITE:
      return new Writer()
        .u32(fid())
        .u64(BigInt(next(100)))
        .u32(3)
        .bytes(Buffer.from('abc'));
    case P9.READ:
    case P9.READDIR:
      return new Writer()
        .u32(fid())
        .u64(BigInt(next(10)))
        .u32(next(2000));
    case P9.ATTACH:
      return new Writer().u32(fid()).u32(0xffffffff).text(Buffer.alloc(0)).text(Buffer.alloc(0)).u32(0);
    case P9.CLUNK:
      return next(4) === 0 ? new Writer().u32(fid()) : undefined;
    default:
      return undefined;
  }
}

test('messages are read whole or not at all', () => {
  const good = new Writer().u32(1).u64(5n).u32(3).bytes(Buffer.from('abc')).message(P9.WRITE, 7);
  const read = readRequest(good);
  assert.ok(read.type === P9.WRITE && read.tag === 7 && read.offset === 5n && String(read.data) === 'abc');
  for (let cut = 7; cut < good.length; cut++) assert.throws(() => readRequest(good.subarray(0, cut)), P9Error);
  assert.throws(() => readRequest(Buffer.concat([good, Buffer.of(0)])), P9Error);
  assert.throws(() => readRequest(new Writer().message(200, 1)), Errno);
  assert.throws(() => readRequest(new Writer().u32(0).u32(1).u16(17).message(P9.WALK, 1)), P9Error);
});
