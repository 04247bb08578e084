// Disks and machines, out and in, by programs that others have made: qemu-img, xva-img, npm's xen-api, Xen Orchestra's XVA upload, curl.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { importVm } from '@xen-orchestra/xva/importVm.mjs';
import { createClient } from 'xen-api';
import { diskRecord, driveRecord, VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { need } from '../../tools/apt.ts';
import { until } from '../host/bed.ts';
import { rpc, run, Simulated } from './bed.ts';

const MIB = 2 ** 20;
const host = new Simulated();
let session = '';
let sr = '';
let folder = '';
let xapi: ReturnType<typeof createClient>;

const call = (method: string, ...params: unknown[]): Promise<never> => rpc(host.plain, method, session, ...params);
const at = (name: string): string => join(folder, name);

before(async () => {
  await need('qemu-utils', 'xva-img', 'curl');
  folder = await mkdtemp(join(tmpdir(), 'xenolith-transfers-'));
  await host.start();
  session = await rpc(host.plain, 'session.login_with_password', 'root', host.password);
  const [pool]: string[] = await call('pool.get_all');
  sr = await call('pool.get_default_SR', pool);
  const auth = { user: 'root', password: host.password };
  xapi = createClient({ url: host.tls, auth, allowUnauthorized: true });
  await xapi.connect();
  await xapi.objectsFetched;
});
after(async () => {
  await xapi?.disconnect();
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

async function ok(command: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await run(command, args);
  assert.equal(code, 0, `${command} ${args.join(' ')}: ${out}${err}`);
  return out;
}

/** A disk with something in it, and what that is. */
async function written(size: number): Promise<{ vdi: string; bytes: Buffer }> {
  const vdi: string = await call('VDI.create', diskRecord(sr, size));
  const bytes = Buffer.alloc(size);
  randomBytes(100_000).copy(bytes, 3 * MIB + 5);
  randomBytes(512).copy(bytes, size - 512);
  const reply = await fetch(`${host.plain}/import_raw_vdi?vdi=${vdi}&session_id=${session}`, {
    ...{ method: 'PUT', body: bytes },
  });
  assert.equal(reply.status, 200, await reply.text());
  return { vdi, bytes };
}
const raw = async (vdi: string): Promise<Buffer> =>
  Buffer.from(await (await fetch(`${host.plain}/export_raw_vdi?vdi=${vdi}&format=raw&session_id=${session}`)).arrayBuffer()); // prettier-ignore

test('disks go out as QEMU reads them, and come in as QEMU writes them', async () => {
  const { vdi, bytes } = await written(20 * MIB + 1536);
  assert.ok((await raw(vdi)).equals(bytes));
  await writeFile(at('raw'), bytes);
  for (const [format, theirs] of [
    ['vhd', 'vpc'],
    ['qcow2', 'qcow2'],
  ]) {
    const url = `${host.plain}/export_raw_vdi/?vdi=${vdi}&format=${format}&session_id=${session}`;
    const head = await ok('curl', '-sS', '-f', '-D', '-', '-o', at(format), url);
    const length = Number(/content-length: (\d+)/i.exec(head)![1]);
    assert.equal((await readFile(at(format))).length, length);
    // QEMU checks no VHDs.
    if (format === 'qcow2') await ok('qemu-img', 'check', '-f', theirs, at(format));
    // VHD's geometry is coarser than the disk; the name of the creator says that the size is meant.
    const compare = await run('qemu-img', ['compare', '-f', theirs, '-F', 'raw', at(format), at('raw')]);
    assert.match(compare.out, /identical/, compare.out + compare.err);
    await ok('qemu-img', 'convert', '-f', 'raw', '-O', theirs, ...(format === 'vhd' ? ['-o', 'force_size=on'] : ['-c']), at('raw'), at('theirs')); // prettier-ignore
    const into: string = await call('VDI.create', diskRecord(sr, bytes.length));
    const task: string = await call('task.create', 'upload', '');
    const put = `${host.tls}/import_raw_vdi?vdi=${into}&format=${format}&session_id=${session}&task_id=${task}`;
    // Chunked, since curl does not know how much it will be.
    const upload = await run('sh', ['-c', `cat "$0" | curl -sSk -f -T - "$1"`, at('theirs'), put]);
    assert.equal(upload.code, 0, upload.err);
    assert.equal(await call('task.get_status', task), 'success');
    assert.ok((await raw(into)).equals(bytes), format);
  }
});

test('what differs from a base goes out alone, and into a copy of the base', async () => {
  const { vdi, bytes } = await written(64 * MIB);
  const frozen: string = await call('VDI.snapshot', vdi);
  const changed = Buffer.from(bytes);
  randomBytes(1000).copy(changed, 33 * MIB);
  changed.fill(0, 3 * MIB, 4 * MIB);
  await fetch(`${host.plain}/import_raw_vdi?vdi=${vdi}&session_id=${session}`, {
    ...{ method: 'PUT', body: changed.subarray(0, 34 * MIB) },
  });
  const second: string = await call('VDI.snapshot', vdi);
  const url = `${host.plain}/export_raw_vdi?vdi=${second}&format=vhd&base=${frozen}&session_id=${session}`;
  const delta = Buffer.from(await (await fetch(url)).arrayBuffer());
  const clone: string = await call('VDI.clone', frozen);
  const put = `${host.plain}/import_raw_vdi?vdi=${clone}&format=vhd&session_id=${session}`;
  const reply = await fetch(put, { method: 'PUT', body: delta });
  assert.equal(reply.status, 200, await reply.text());
  assert.ok((await raw(clone)).equals(changed));
});

test('what is no image of the disk is refused, and the disk stays what it was', async () => {
  const { vdi, bytes } = await written(8 * MIB);
  await ok('qemu-img', 'create', '-f', 'qcow2', at('secret'), '8M');
  await ok('qemu-img', 'create', '-f', 'qcow2', '-b', at('secret'), '-F', 'qcow2', at('stray'));
  await ok('qemu-img', 'create', '-f', 'qcow2', at('large'), '9M');
  const image = await readFile(at('qcow2'));
  const bodies = {
    ...{ stray: await readFile(at('stray')), large: await readFile(at('large')), none: randomBytes(100_000) },
    ...{ cut: image.subarray(0, image.length - 65536), empty: Buffer.alloc(0) },
  };
  for (const [name, body] of Object.entries(bodies)) {
    const task: string = await call('task.create', name, '');
    const url = `${host.plain}/import_raw_vdi?vdi=${vdi}&format=qcow2&session_id=${session}&task_id=${task}`;
    assert.equal((await fetch(url, { method: 'PUT', body })).status, 500, name);
    assert.deepEqual(((await call('task.get_error_info', task)) as string[])[0], 'VDI_IO_ERROR', name);
  }
  const url = `${host.plain}/import_raw_vdi?vdi=${vdi}&session_id=${session}`;
  assert.equal((await fetch(url, { method: 'PUT', body: Buffer.alloc(9 * MIB) })).status, 500);
  assert.ok((await raw(vdi)).equals(bytes));
});

test('xen-api: a disk and a machine as streams, of known and of unknown length', async () => {
  const { vdi, bytes } = await written(12 * MIB);
  const response = await xapi.getResource('/export_raw_vdi/', { query: { vdi, format: 'vhd' }, task: true });
  await pipeline(response.body, createWriteStream(at('from-xen-api.vhd')));
  await response.task;
  await writeFile(at('known'), bytes);
  const compare = await run('qemu-img', ['compare', '-f', 'vpc', '-F', 'raw', at('from-xen-api.vhd'), at('known')]);
  assert.match(compare.out, /identical/);
  const into: string = await call('VDI.create', diskRecord(sr, bytes.length));
  const known = Object.assign(Readable.from([bytes]), { length: bytes.length });
  await xapi.putResource(known, '/import_raw_vdi/', { query: { vdi: into, format: 'raw' }, task: true });
  assert.ok((await raw(into)).equals(bytes));
  // It claims 2^50 bytes, and cuts the connection at the end.
  const other: string = await call('VDI.create', diskRecord(sr, bytes.length));
  // In pieces: when it has handed the last one on, it does not wait for it.
  const pieces = Array.from({ length: bytes.length / MIB }, (_, i) => bytes.subarray(i * MIB, (i + 1) * MIB));
  await xapi.putResource(Readable.from(pieces), '/import_raw_vdi/', {
    query: { vdi: other, format: 'raw' },
    task: true,
  });
  assert.ok((await raw(other)).equals(bytes));
  const vm: string = await call('VM.create', { ...VM_RECORD, name_label: 'out and in' });
  await call('VBD.create', driveRecord(vm, vdi));
  const xva = await xapi.getResource('/export/', { query: { ref: vm, use_compression: 'zstd' }, task: true });
  await pipeline(xva.body, createWriteStream(at('vm.xva.zst')));
  const stream = Object.assign(Readable.from([await readFile(at('vm.xva.zst'))]), { length: (await readFile(at('vm.xva.zst'))).length }); // prettier-ignore
  const answer = (await xapi.putResource(stream, '/import/', { query: { sr_id: sr }, task: true })) as unknown;
  const ref = /OpaqueRef:[0-9a-f-]+/.exec(String(answer))![0];
  await xapi.barrier(ref);
  assert.equal(xapi.getObject(ref).name_label, 'out and in');
});

test('xva-img unpacks our exports and packs what we import', async () => {
  const { vdi, bytes } = await written(9 * MIB);
  const vm: string = await call('VM.create', { ...VM_RECORD, name_label: 'for xva-img' });
  await call('VBD.create', driveRecord(vm, vdi));
  const response = await fetch(`${host.plain}/export?ref=${vm}&session_id=${session}`);
  await writeFile(at('vm.xva'), Buffer.from(await response.arrayBuffer()));
  await mkdir(at('unpacked'));
  await ok('tar', '-xf', at('vm.xva'), '-C', at('unpacked'));
  const [, id] = /(Ref:\d+)\//.exec(await ok('tar', '-tf', at('vm.xva')))!;
  await ok('xva-img', 'disk-export', at(`unpacked/${id}/`), at('unpacked/raw'));
  assert.ok((await readFile(at('unpacked/raw'))).subarray(0, bytes.length).equals(bytes));
  await rm(at(`unpacked/${id}`), { recursive: true });
  await mkdir(at(`unpacked/${id}`));
  await ok('xva-img', 'disk-import', at(`unpacked/${id}/`), at('unpacked/raw'));
  await rm(at('unpacked/raw'));
  await ok('xva-img', 'package', at('packed.xva'), at('unpacked/ova.xml'), at(`unpacked/${id}/`));
  const reply = await fetch(`${host.plain}/import?session_id=${session}`, {
    ...{ method: 'PUT', body: await readFile(at('packed.xva')) },
  });
  const said = await reply.text();
  assert.equal(reply.status, 200, said);
  const [ref] = /OpaqueRef:[0-9a-f-]+/.exec(said)!;
  const [vbd]: string[] = await call('VM.get_VBDs', ref);
  assert.ok((await raw(await call('VBD.get_VDI', vbd))).equals(bytes));
});

test('Xen Orchestra’s upload of a machine that it makes up', async () => {
  const size = 5 * MIB;
  const bytes = Buffer.alloc(size);
  randomBytes(2000).copy(bytes, 2 * MIB);
  const vhd = { footer: { currentSize: size }, rawContent: () => Promise.resolve(Readable.from([bytes], { objectMode: false })) }; // prettier-ignore
  // Their subclass of xen-api has it.
  Object.assign(xapi, { task_create: (name: string) => call('task.create', name, '') });
  const ref: string = await importVm(
    {
      ...{ name_label: 'made up', memory: 64 * MIB, nCpus: 2, firmware: 'bios', networks: [{ macAddress: '', isGenerated: true }] }, // prettier-ignore
      ...{ vdis: [{ name_label: 'its disk', virtual_size: size }], vhds: [vhd] },
    },
    xapi,
    xapi.getObject(sr),
    { ...xapi.getObject(((await call('network.get_all')) as string[])[0]) },
  );
  await until(() => xapi.getObject(ref, null) !== null, 'it is seen');
  const { name_label, VBDs, VIFs, VCPUs_max } = xapi.getObject(ref);
  assert.deepEqual([name_label, VBDs.length, VIFs.length, VCPUs_max], ['made up', 1, 1, 2]);
  assert.ok((await raw(await call('VBD.get_VDI', VBDs[0]))).equals(bytes));
});
