import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request as ask } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { xxhash64 } from 'hash-wasm';
import { bed, diskRecord, driveRecord, listen, VM_RECORD, type Bed } from '../testing.ts';
import { END, tarHeader, tarPadding } from './tar.ts';

const MIB = 2 ** 20;

export interface Served extends Bed {
  folder: string;
  sr: string;
  port: number;
}

async function served(t: TestContext): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-xva-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  const sr: string = await server.call('pool.get_default_SR', server.xapi.pool.ref);
  return { ...server, folder, sr, port: await listen(t, server) };
}

interface Reply {
  status: number;
  length: string | undefined;
  body: Buffer;
}

function transfer(
  { port, session }: Served,
  method: string,
  path: string,
  body?: Buffer,
  headers = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const whole = `${path}${path.includes('?') ? '&' : '?'}session_id=${session}`;
    const sent = ask({ host: '127.0.0.1', port, method, path: whole, agent: false, headers }, (response) => {
      const { statusCode: status, headers } = response;
      buffer(response).then((bytes) => resolve({ status: status!, length: headers['content-length'], body: bytes }), reject); // prettier-ignore
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const contents = async (server: Bed, vdi: string): Promise<Buffer> => {
  const image = await server.xapi.storage.open(server.xapi.db.row('VDI', vdi), { readonly: true });
  const bytes = Buffer.alloc(image.size);
  await image.read(0, [bytes]);
  await image.close();
  return bytes;
};

async function machine(server: Served, size = 5 * MIB + 512): Promise<{ vm: string; vdi: string }> {
  const { call, xapi } = server;
  const vm: string = await call('VM.create', { ...VM_RECORD, name_label: 'ä <machine>', tags: ['x'] });
  const vdi: string = await call('VDI.create', diskRecord(server.sr, size, { name_label: 'a disk' }));
  await call('VBD.create', driveRecord(vm, vdi));
  await call('VBD.create', driveRecord(vm, 'OpaqueRef:NULL', { type: 'CD', mode: 'RO', userdevice: '3' }));
  const [network] = [...xapi.db.table('network').values()];
  await call('VIF.create', {
    ...{ device: '0', network: network.ref, VM: vm, MAC: '', MTU: 1500, other_config: {} },
    ...{ qos_algorithm_type: '', qos_algorithm_params: {} },
  });
  const image = await xapi.storage.open(xapi.db.row('VDI', vdi), { readonly: false });
  await image.write(MIB, [randomBytes(70 * 512)]);
  await image.write(size - 512, [randomBytes(512)]);
  await image.close();
  return { vm, vdi };
}

/** What an answer of an import says it has made. */
const made = (body: Buffer): string[] => [...body.toString().matchAll(/OpaqueRef:[0-9a-f-]+/g)].map(([ref]) => ref);
const disksOf = ({ xapi }: Bed, vm: string): string[] =>
  xapi.db.row('VM', vm).refs('VBDs').map((ref) => xapi.db.row('VBD', ref).text('VDI')).filter((ref) => ref !== 'OpaqueRef:NULL'); // prettier-ignore

test('a machine goes out and comes in again, with its snapshots, compressed or not', async (t) => {
  const server = await served(t);
  const { call, xapi } = server;
  const { vm, vdi } = await machine(server);
  await call('VM.snapshot', vm, 'frozen');
  const before = await contents(server, vdi);
  const plain = await transfer(server, 'GET', `/export?uuid=${await call('VM.get_uuid', vm)}`);
  assert.deepEqual([plain.status, Number(plain.length)], [200, plain.body.length]);
  const gzip = await transfer(server, 'GET', `/export/?ref=${vm}&use_compression=true`);
  const zstd = await transfer(server, 'GET', `/export?ref=${vm}&use_compression=zstd`);
  assert.equal(gunzipSync(gzip.body).length, plain.body.length);
  assert.equal(zstdDecompressSync(zstd.body).length, plain.body.length);
  assert.equal(gzip.length, undefined);
  assert.ok(gzip.body.length < plain.body.length / 4);
  for (const { body } of [plain, gzip, zstd]) {
    const reply = await transfer(server, 'PUT', '/import', body);
    assert.equal(reply.status, 200, reply.body.toString());
    const [ref, ...more] = made(reply.body);
    assert.equal(more.length, 0);
    const row = xapi.db.row('VM', ref);
    assert.deepEqual([row.text('name_label'), row.refs('tags')], ['ä <machine>', ['x']]);
    assert.notEqual(row.uuid, xapi.db.row('VM', vm).uuid);
    assert.equal(row.refs('snapshots').length, 1);
    const [disk] = disksOf(server, ref);
    assert.ok((await contents(server, disk)).equals(before));
    const [frozen] = disksOf(server, row.refs('snapshots')[0]);
    assert.ok((await contents(server, frozen)).equals(before));
    assert.equal(xapi.db.row('VDI', frozen).text('snapshot_of'), disk);
    assert.equal(row.refs('VBDs').length, 2);
    const vif = (of: string) => xapi.db.row('VIF', xapi.db.row('VM', of).refs('VIFs')[0]);
    assert.equal(vif(ref).text('network'), vif(vm).text('network'));
    assert.notEqual(vif(ref).text('MAC'), vif(vm).text('MAC'));
    await call('VM.start', ref, false, false);
  }
});

test('restored it is the machine that it was, and there cannot be two of it', async (t) => {
  const server = await served(t);
  const { call, xapi } = server;
  const { vm } = await machine(server);
  const { body } = await transfer(server, 'GET', `/export?ref=${vm}`);
  const twice = await transfer(server, 'PUT', '/import?restore=true', body);
  assert.match(twice.body.toString(), /^DUPLICATE_VM/);
  const uuid: string = await call('VM.get_uuid', vm);
  const mac = xapi.db.row('VIF', xapi.db.row('VM', vm).refs('VIFs')[0]).text('MAC');
  const [vdi] = disksOf(server, vm);
  await call('VM.destroy', vm);
  await call('VDI.destroy', vdi);
  const [ref] = made((await transfer(server, 'PUT', '/import?restore=true', body)).body);
  assert.equal(await call('VM.get_uuid', ref), uuid);
  assert.equal(xapi.db.row('VIF', xapi.db.row('VM', ref).refs('VIFs')[0]).text('MAC'), mac);
});

/** An archive of our own making. */
function archive(files: [string, Buffer][], end = END): Buffer {
  return Buffer.concat([...files.flatMap(([name, bytes]) => [tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]), end]); // prettier-ignore
}

/** The files of an archive. */
function filesOf(bytes: Buffer): [string, Buffer][] {
  const files: [string, Buffer][] = [];
  for (let at = 0; bytes[at] !== 0; ) {
    const name = bytes.toString('utf8', at, at + 100).replace(/\0.*$/s, '');
    const size = parseInt(bytes.toString('latin1', at + 124, at + 135), 8);
    files.push([name, bytes.subarray(at + 512, at + 512 + size)]);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

test('what is in an archive, and what may not be', async (t) => {
  const server = await served(t);
  const { call, folder, sr, xapi } = server;
  const { vm } = await machine(server);
  const files = filesOf((await transfer(server, 'GET', `/export?ref=${vm}`)).body);
  assert.equal(files[0][0], 'ova.xml');
  const blocks = files.slice(1).map(([name]) => name.replace(/^Ref:\d+\//, ''));
  // The first, those with contents, the last.
  assert.deepEqual(blocks, ['00000000', '00000001', '00000005'].flatMap((each) => [each, `${each}.checksum`])); // prettier-ignore
  const images = (): number => readdirSync(join(folder, xapi.db.row('SR', sr).uuid)).length;
  const put = async (bytes: Buffer): Promise<string> => {
    const [machines, disks, here] = [xapi.db.table('VM').size, xapi.db.table('VDI').size, images()];
    const reply = await transfer(server, 'PUT', '/import', bytes);
    if (reply.status === 200) return 'imported';
    assert.deepEqual([xapi.db.table('VM').size, xapi.db.table('VDI').size, images()], [machines, disks, here]);
    return reply.body.toString().trim().split('\n')[0];
  };
  const change = (at: number, file: [string, Buffer]): [string, Buffer][] => files.with(at, file);
  const [name, bytes] = files[1];
  const changed = Buffer.from(bytes);
  changed[5]++;
  // As others write it: XXH64, or no checksum at all.
  const hashed = change(2, [`${name}.xxhash`, Buffer.from((await xxhash64(bytes)).toUpperCase())]);
  assert.equal(await put(archive(hashed)), 'imported');
  assert.equal(await put(archive(files.filter(([each]) => !each.endsWith('.checksum')))), 'imported');
  assert.equal(await put(archive(change(1, [name, changed]))), 'IMPORT_ERROR_SOME_CHECKSUMS_FAILED');
  assert.equal(await put(archive(hashed.with(1, [name, changed]))), 'IMPORT_ERROR_SOME_CHECKSUMS_FAILED');
  const whole = archive(files);
  for (const at of [100, 600, 30_000, whole.length - 2 * MIB, whole.length - 1024])
    assert.equal(await put(whole.subarray(0, at)), 'IMPORT_ERROR_PREMATURE_EOF', String(at));
  assert.equal(await put(archive(change(1, ['../../etc/passwd', bytes]))), 'IMPORT_ERROR');
  assert.equal(await put(archive(change(1, [name.replace(/\d{8}$/, '99999999'), bytes]))), 'IMPORT_ERROR');
  assert.equal(await put(archive(change(1, [name, Buffer.alloc(MIB + 512)]))), 'IMPORT_ERROR');
  assert.equal(await put(archive(files.slice(1))), 'IMPORT_ERROR_CANNOT_HANDLE_CHUNKED');
  assert.equal(await put(randomBytes(4096)), 'IMPORT_ERROR');
  const ova = files[0][1].toString();
  const withOva = (text: string): Promise<string> => put(archive(change(0, ['ova.xml', Buffer.from(text)])));
  assert.equal(await withOva('<value'), 'IMPORT_ERROR_FAILED_TO_FIND_OBJECT');
  assert.equal(await withOva(`<!DOCTYPE a [<!ENTITY b "c">]>${ova}`), 'IMPORT_ERROR_FAILED_TO_FIND_OBJECT');
  assert.equal(await withOva(ova.replace('<name>export_vsn</name><value>2<', '<name>export_vsn</name><value>9<')), 'IMPORT_INCOMPATIBLE_VERSION'); // prettier-ignore
  assert.equal(await withOva(ova.replace('<value>VM</value>', '<value>SR</value>')), 'IMPORT_ERROR_FAILED_TO_FIND_OBJECT'); // prettier-ignore
  const task: string = await call('task.create', 'mine', '');
  assert.equal((await transfer(server, 'PUT', `/import?task_id=${task}`, whole)).status, 200);
  assert.equal(await call('task.get_status', task), 'success');
  assert.match(await call('task.get_result', task), /^<value><array><data><value>OpaqueRef:/);
  const running: string = await call('VM.create', VM_RECORD);
  await call('VM.start', running, false, false);
  assert.match((await transfer(server, 'GET', `/export?ref=${running}`)).body.toString(), /^VM_BAD_POWER_STATE/);
  assert.match((await transfer(server, 'GET', `/export?ref=${vm}&use_compression=lzma`)).body.toString(), /^INVALID/);
});

test('records alone', async (t) => {
  const server = await served(t);
  const { call } = server;
  const { vm, vdi } = await machine(server);
  const { body, length } = await transfer(server, 'GET', `/export_metadata?ref=${vm}`);
  assert.equal(Number(length), body.length);
  assert.ok(body.length < 64 * 1024);
  assert.deepEqual(made((await transfer(server, 'PUT', '/import_metadata?dry_run=true', body)).body), []);
  const [ref] = made((await transfer(server, 'PUT', '/import_metadata', body)).body);
  assert.deepEqual(disksOf(server, ref), [vdi]);
  await call('VM.destroy', ref);
  await call('VDI.destroy', vdi);
  assert.match((await transfer(server, 'PUT', '/import_metadata', body)).body.toString(), /^VDI_NOT_IN_MAP/);
  const [bare] = made((await transfer(server, 'PUT', '/import_metadata?force=true', body)).body);
  assert.deepEqual(disksOf(server, bare), []);
});
