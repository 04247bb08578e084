// Run by full.test.ts in a mount namespace of its own: a host whose file system is full.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve, xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { diskRecord, driveRecord, VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { Simulator } from '../../toolstack/xenapi/xenops/simulator.ts';
import { rpc } from './bed.ts';

const MIB = 2 ** 20;
const SIZE = 8 * MIB;

const state = mkdtempSync(join(tmpdir(), 'xenolith-full-'));
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', state]);
const logged: string[] = [];
const { plainPort, close } = await serve({
  ...{ state, xenops: new Simulator(), version: '0', log: (text) => void logged.push(text) },
  plain: { host: '127.0.0.1', port: 0 },
});
const url = `http://127.0.0.1:${plainPort}`;
const password = readFileSync(xenapiPaths(state).password, 'utf8').trim();
const session: string = await rpc(url, 'session.login_with_password', 'root', password);
const call = (method: string, ...params: unknown[]): Promise<never> => rpc(url, method, session, ...params);
const [pool]: string[] = await call('pool.get_all');
const sr: string = await call('pool.get_default_SR', pool);
const folder = join(xenapiPaths(state).storage, await call('SR.get_uuid', sr));

const free = (): number => {
  const { bavail, bsize } = statfsSync(state);
  return bavail * bsize;
};
const filler = join(state, 'filler');
/** Leaves so many bytes. */
function fillTo(left: number): void {
  rmSync(filler, { force: true });
  writeFileSync(filler, new Uint8Array(Math.max(0, free() - left)));
}

interface Reply {
  status: number;
  text: string;
}
async function put(path: string, body: Uint8Array, task = ''): Promise<Reply> {
  const reply = await fetch(`${url}${path}&session_id=${session}&task_id=${task}`, {
    method: 'PUT',
    body: Buffer.from(body),
  });
  return { status: reply.status, text: await reply.text() };
}

/** Fails for want of room, is told so by its task as well, and leaves nothing; others are served meanwhile. */
async function fails(what: string, act: (task: string) => Promise<Reply>): Promise<void> {
  const look = async () => ({
    files: readdirSync(folder).sort(),
    vdis: [...((await call('VDI.get_all')) as string[])].sort(),
    vms: ((await call('VM.get_all')) as string[]).length,
  });
  const [before, room] = [await look(), free()];
  const task: string = await call('task.create', what, '');
  const [{ status, text }] = await Promise.all([act(task), call('pool.get_all')]);
  assert.equal(status, 500, `${what}: ${text}`);
  assert.match(text, /^SR_BACKEND_FAILURE_44\n/, what);
  const record: { status: string; error_info: string[] } = await call('task.get_record', task);
  assert.deepEqual([record.status, record.error_info[0]], ['failure', 'SR_BACKEND_FAILURE_44'], what);
  assert.deepEqual(await look(), before, what);
  const vdis: Record<string, { storage_lock: boolean; current_operations: object }> = await call('VDI.get_all_records');
  for (const vdi of Object.values(vdis))
    assert.deepEqual([vdi.storage_lock, vdi.current_operations], [false, {}], what);
  await call('task.destroy', task);
  // What the database's log takes is not lost.
  assert.ok(room - free() < 3 * MIB, `${what}: ${room - free()} bytes are gone`);
}

try {
  const vdi: string = await call('VDI.create', diskRecord(sr, SIZE));
  assert.equal((await put(`/import_raw_vdi?vdi=${vdi}`, randomBytes(SIZE))).status, 200);
  const vm: string = await call('VM.create', VM_RECORD);
  await call('VBD.create', driveRecord(vm, vdi));
  const get = async (path: string): Promise<Buffer> =>
    Buffer.from(await (await fetch(`${url}${path}&session_id=${session}`)).arrayBuffer());
  const archive = await get(`/export?ref=${vm}`);
  const image = await get(`/export_raw_vdi?vdi=${vdi}&format=qcow2`);
  const other: string = await call('VDI.create', diskRecord(sr, SIZE));

  fillTo(5 * MIB);
  await fails('a machine', (task) => put('/import?', archive, task));
  await fails('an image', (task) => put(`/import_raw_vdi?vdi=${other}&format=qcow2`, image, task));
  await assert.rejects(call('VDI.copy', vdi, sr, 'OpaqueRef:NULL', 'OpaqueRef:NULL'), /SR_BACKEND_FAILURE_44/);
  // A raw disk has what fitted: it is written in place. It goes as a whole.
  const third: string = await call('VDI.create', diskRecord(sr, SIZE));
  assert.match((await put(`/import_raw_vdi?vdi=${third}`, randomBytes(SIZE))).text, /^SR_BACKEND_FAILURE_44\n/);
  await call('VDI.destroy', third);
  assert.equal(readdirSync(folder).length, 2);

  // Not even a record has room: what is not on the disk is not acknowledged, and can be asked for again.
  fillTo(0);
  let refused = 0;
  for (let i = 0; i < 200 && refused === 0; i++)
    await call('VM.set_name_description', vm, `${i} ${'x'.repeat(100_000)}`).catch((error: Error) => {
      assert.match(error.message, /INTERNAL_ERROR.*the database cannot be written/);
      refused++;
    });
  assert.equal(refused, 1);
  assert.equal(((await call('pool.get_all')) as string[]).length, 1);

  rmSync(filler);
  await call('VM.set_name_description', vm, 'there is room again');
  assert.equal((await put('/import?', archive)).status, 200);
  assert.equal((await put(`/import_raw_vdi?vdi=${other}&format=qcow2`, image)).status, 200);
  assert.ok(
    (await get(`/export_raw_vdi?vdi=${other}&format=raw`)).equals(await get(`/export_raw_vdi?vdi=${vdi}&format=raw`)),
  );
  await close();
  console.log('told, left nothing, goes on');
} finally {
  execFileSync('umount', ['-l', state]);
  rmSync(state, { recursive: true });
}
