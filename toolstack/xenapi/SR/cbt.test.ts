import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bed, diskRecord, driveRecord, VM_RECORD, type Bed } from '../testing.ts';

const KIB = 1024;
const MIB = 2 ** 20;

async function tracked(t: TestContext, format: string): Promise<Bed & { vdi: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-cbt-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  const sr: string = await server.call('pool.get_default_SR', server.xapi.pool.ref);
  const vdi: string = await server.call('VDI.create', diskRecord(sr, 4 * MIB, { sm_config: { 'image-format': format } })); // prettier-ignore
  await write({ ...server, vdi }, 10);
  await server.call('VDI.enable_cbt', vdi);
  return { ...server, vdi };
}

/** One sector in that block of 64 KiB. */
async function write({ xapi, vdi }: Bed & { vdi: string }, block: number): Promise<void> {
  const image = await xapi.storage.open(xapi.db.row('VDI', vdi), { readonly: false });
  await image.write(block * 64 * KIB + 512, [Buffer.alloc(512, 1)]);
  await image.close();
}

/** Numbers of the blocks, the highest bit first. */
function blocks(base64: string): number[] {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length * 8 }, (_, i) => i).filter((i) => bytes[i >> 3] & (0x80 >> (i & 7)));
}

for (const format of ['qcow2', 'vhd'])
  test(`${format}: what has changed between snapshots is known, also when their contents or they themselves are gone`, async (t) => {
    const server = await tracked(t, format);
    const { call, xapi, vdi } = server;
    const settled = () => xapi.storage.chains.settled();
    const changed = async (from: string, to: string) => blocks(await call('VDI.list_changed_blocks', from, to));
    const one: string = await call('VDI.snapshot', vdi);
    assert.equal(await call('VDI.get_cbt_enabled', one), true);
    await write(server, 3);
    await write(server, 40);
    const two: string = await call('VDI.snapshot', vdi);
    await write(server, 5);
    assert.deepEqual(await changed(one, two), [3, 40]);
    assert.deepEqual(await changed(two, vdi), [5]);
    assert.deepEqual(await changed(one, vdi), [3, 5, 40]);
    assert.deepEqual(await changed(two, two), []);
    const path = xapi.storage.image(xapi.db.row('VDI', one)).path;
    await call('VDI.data_destroy', one);
    await settled();
    assert.equal(existsSync(path), false);
    assert.equal(await call('VDI.get_type', one), 'cbt_metadata');
    assert.deepEqual(await changed(one, two), [3, 40]);
    assert.deepEqual(await changed(one, vdi), [3, 5, 40]);
    // A clone takes what there is from under the disk, and changes nothing of what is known.
    await call('VDI.clone', vdi);
    await write(server, 6);
    assert.deepEqual(await changed(two, vdi), [5, 6]);
    const three: string = await call('VDI.snapshot', vdi);
    await call('VDI.destroy', two);
    await settled();
    assert.deepEqual(await changed(one, three), [3, 5, 6, 40]);
    assert.deepEqual(await changed(one, vdi), [3, 5, 6, 40]);
    // After a start as well.
    await call('SR.scan', await call('VDI.get_SR', vdi));
    assert.deepEqual(await changed(one, three), [3, 5, 6, 40]);
    await assert.rejects(changed(vdi, one), { code: 'SR_BACKEND_FAILURE_460' });
    await call('VDI.resize', vdi, 5 * MIB);
    assert.deepEqual(await changed(three, vdi), Array.from({ length: 16 }, (_, i) => 64 + i)); // prettier-ignore
  });

test('what cannot be: without notes, of what is in use, of what has no contents', async (t) => {
  const server = await tracked(t, 'qcow2');
  const { call, vdi, xapi } = server;
  const frozen: string = await call('VDI.snapshot', vdi);
  await assert.rejects(call('VDI.enable_cbt', frozen), { code: 'OPERATION_NOT_ALLOWED' });
  await assert.rejects(call('VDI.data_destroy', vdi), { code: 'OPERATION_NOT_ALLOWED' });
  const vm: string = await call('VM.create', VM_RECORD);
  await call('VBD.create', driveRecord(vm, vdi));
  await call('VM.start', vm, false, false);
  await assert.rejects(call('VDI.list_changed_blocks', frozen, vdi), { code: 'VDI_IN_USE' });
  // Noted all the same.
  const second: string = await call('VDI.snapshot', vdi);
  assert.deepEqual(blocks(await call('VDI.list_changed_blocks', frozen, second)), []);
  await call('VDI.data_destroy', frozen);
  for (const method of ['clone', 'snapshot'])
    await assert.rejects(call(`VDI.${method}`, frozen), { code: 'VDI_INCOMPATIBLE_TYPE' });
  const other: string = await call('VM.create', VM_RECORD);
  await call('VBD.create', driveRecord(other, frozen, { mode: 'RO' }));
  await assert.rejects(call('VM.start', other, false, false), { code: 'VDI_INCOMPATIBLE_TYPE' });
  await call('VDI.disable_cbt', vdi);
  await call('VM.hard_shutdown', vm);
  await assert.rejects(call('VDI.list_changed_blocks', second, vdi), { code: 'VDI_NO_CBT_METADATA' });
  const raw: string = await call('VDI.create', diskRecord(await call('VDI.get_SR', vdi), MIB, { sm_config: { 'image-format': 'raw' } })); // prettier-ignore
  await assert.rejects(call('VDI.enable_cbt', raw), { code: 'SR_OPERATION_NOT_SUPPORTED' });
  await xapi.storage.chains.settled();
});
