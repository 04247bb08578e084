import assert from 'node:assert/strict';
import { existsSync, linkSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { image_info } from '../../../services/block/image/info.ts';
import { create_image, open_image } from '../../../services/block/image/open.ts';
import { bed, diskRecord, driveRecord, VM_RECORD, type Bed } from '../testing.ts';
import { Lock } from './lock.ts';

const MIB = 2 ** 20;
type Format = 'qcow2' | 'vhd';

interface Stored extends Bed {
  folder: string;
  sr: string;
}

async function stored(t: TestContext): Promise<Stored> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-chains-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  return { ...server, folder, sr: await server.call('pool.get_default_SR', server.xapi.pool.ref) };
}

const pathOf = ({ xapi }: Bed, vdi: string): string => xapi.storage.image(xapi.db.row('VDI', vdi)).path;

async function write(server: Bed, vdi: string, text: string, at = 0, length = 512): Promise<void> {
  const image = await server.xapi.storage.open(server.xapi.db.row('VDI', vdi), { readonly: false });
  await image.write(at, [Buffer.alloc(length, text)]);
  await image.close();
}
async function contents(server: Bed, vdi: string): Promise<Buffer> {
  const image = await server.xapi.storage.open(server.xapi.db.row('VDI', vdi), { readonly: true });
  const bytes = Buffer.alloc(image.size);
  await image.read(0, [bytes]);
  await image.close();
  return bytes;
}
const first = async (server: Bed, vdi: string): Promise<string> =>
  (await contents(server, vdi)).subarray(0, 1).toString();
const settled = ({ xapi }: Bed): Promise<void> => xapi.storage.chains.settled();
/** Disks that clients do not see as theirs. */
const hidden = ({ xapi }: Bed) => [...xapi.db.table('VDI').values()].filter((row) => !row.flag('managed'));
const images = ({ folder, xapi, sr }: Stored): string[] => readdirSync(join(folder, xapi.db.row('SR', sr).uuid)).sort();

for (const format of ['qcow2', 'vhd'] as const) {
  const make = (server: Stored, size = 8 * MIB): Promise<string> =>
    server.call('VDI.create', diskRecord(server.sr, size, { sm_config: { 'image-format': format } }));

  test(`${format}: a snapshot shares what there is`, async (t) => {
    const server = await stored(t);
    const { call, xapi, sr } = server;
    const vdi = await make(server, 64 * MIB);
    await write(server, vdi, 'a', 0, 32 * MIB);
    await call('VDI.update', vdi);
    const before = statSync(pathOf(server, vdi)).blocks;
    const frozen: string = await call('VDI.snapshot', vdi);
    await write(server, vdi, 'b');
    assert.deepEqual([await first(server, vdi), await first(server, frozen)], ['b', 'a']);
    const [base] = hidden(server);
    assert.equal(base.text('name_label'), 'base copy');
    for (const ref of [vdi, frozen]) {
      const row = xapi.db.row('VDI', ref);
      assert.equal(row.map('sm_config')['vhd-parent'], base.uuid);
      const info = await image_info(pathOf(server, ref), { format });
      assert.match(info.backing!, new RegExp(`^(\\./)?${base.uuid}`));
    }
    // What both have is there once.
    assert.ok(statSync(pathOf(server, vdi)).blocks + statSync(pathOf(server, frozen)).blocks < before / 4);
    assert.ok((xapi.db.row('VDI', frozen).number('physical_utilisation') as number) < 8 * MIB);
    // A clone of what has not changed since it was frozen needs no other layer.
    const clone: string = await call('VDI.clone', frozen);
    assert.equal(hidden(server).length, 1);
    assert.equal(await first(server, clone), 'a');
    await call('SR.scan', sr);
    assert.equal(xapi.db.row('VDI', vdi).map('sm_config')['vhd-parent'], base.uuid);
    assert.equal(xapi.db.table('VDI').size, 4);
  });

  test(`${format}: when copies go, what only one disk needs becomes its own again`, async (t) => {
    const server = await stored(t);
    const { call } = server;
    const vdi = await make(server);
    const frozen: string[] = [];
    for (let i = 0; i < 4; i++) {
      await write(server, vdi, String(i), 0);
      await write(server, vdi, String(i), (i + 1) * MIB, 70_144);
      frozen.push(await call('VDI.snapshot', vdi));
    }
    await write(server, vdi, 'x');
    const now = await contents(server, vdi);
    const third = await contents(server, frozen[2]);
    assert.equal(hidden(server).length, 4);
    for (const i of [1, 0, 3]) await call('VDI.destroy', frozen[i]);
    await settled(server);
    // One that both of the others need.
    assert.equal(hidden(server).length, 1);
    assert.ok((await contents(server, vdi)).equals(now));
    assert.ok((await contents(server, frozen[2])).equals(third));
    await call('VDI.destroy', frozen[2]);
    await settled(server);
    assert.equal(hidden(server).length, 0);
    assert.ok((await contents(server, vdi)).equals(now));
    assert.equal(images(server).length, 1);
    assert.equal((await image_info(pathOf(server, vdi), { format })).backing, undefined);
  });
}

test('many operations in any order, against disks that are only remembered', async (t) => {
  const server = await stored(t);
  const { call, xapi } = server;
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const expected = new Map<string, Buffer>();
  for (const format of ['qcow2', 'vhd'] as Format[]) {
    const sm_config = { 'image-format': format };
    const vdi: string = await call('VDI.create', diskRecord(server.sr, 2 * MIB, { sm_config }));
    expected.set(vdi, Buffer.alloc(2 * MIB));
  }
  for (let step = 0; step < 120; step++) {
    const all = [...expected.keys()];
    const vdi = all[random(all.length)];
    const what = random(10);
    const before = expected.get(vdi)!;
    if (what < 4) {
      const [at, length] = [random(4000) * 512, (1 + random(60)) * 512];
      const bytes = Buffer.from(before);
      const end = Math.min(at + length, bytes.length);
      if (at >= end || xapi.db.row('VDI', vdi).flag('is_a_snapshot')) continue;
      bytes.fill(step + 1, at, end);
      await xapi.storage.chains.claim(xapi.db.row('VDI', vdi));
      const image = await xapi.storage.open(xapi.db.row('VDI', vdi), { readonly: false }).catch(() => undefined);
      // In the background something is done with it just now.
      if (!image) continue;
      await image.write(at, [bytes.subarray(at, end)]);
      await image.close();
      expected.set(vdi, bytes);
    } else if (what < 7) {
      if (all.length > 8) continue;
      expected.set(await call(what === 6 ? 'VDI.clone' : 'VDI.snapshot', vdi), before);
    } else if (what === 7) {
      const size = before.length + MIB;
      if (size > 5 * MIB) continue;
      await call('VDI.resize', vdi, size);
      expected.set(vdi, Buffer.concat([before, Buffer.alloc(MIB)]));
    } else if (all.length > 2) {
      await call('VDI.destroy', vdi);
      expected.delete(vdi);
    }
    if (random(8) === 0) await settled(server);
  }
  await settled(server);
  for (const [vdi, bytes] of expected) assert.ok((await contents(server, vdi)).equals(bytes), vdi);
  for (const vdi of expected.keys()) await call('VDI.destroy', vdi);
  await settled(server);
  assert.deepEqual(images(server), []);
  assert.equal(xapi.db.table('VDI').size, 0);
});

test('a running VM is frozen and taken back; its snapshots are those of the disk it has then', async (t) => {
  const server = await stored(t);
  const { call, xapi } = server;
  const vm: string = await call('VM.create', VM_RECORD);
  const disks: string[] = [];
  for (const size of [4, 8]) {
    disks.push(await call('VDI.create', diskRecord(server.sr, size * MIB)));
    await call('VBD.create', driveRecord(vm, disks.at(-1)!));
  }
  for (const vdi of disks) await write(server, vdi, '1');
  await call('VM.start', vm, false, false);
  const frozen: string = await call('VM.snapshot', vm, 'while it runs', [disks[1]]);
  const second: string = await call('VM.snapshot', vm, 'all of it');
  const of = (ref: string) =>
    xapi.db.row('VM', ref).refs('VBDs').map((vbd) => xapi.db.row('VBD', vbd).text('VDI')); // prettier-ignore
  assert.deepEqual([of(frozen).length, of(second).length], [1, 2]);
  await call('VM.hard_shutdown', vm);
  await settled(server);
  for (const vdi of disks) await write(server, vdi, '2');
  await call('VM.revert', second);
  for (const vdi of of(vm)) assert.equal(await first(server, vdi), '1');
  const [now] = of(vm);
  assert.deepEqual(xapi.db.row('VDI', now).refs('snapshots').sort(), [of(frozen)[0], of(second)[0]].sort());
  // A copy shares nothing.
  const copy: string = await call('VM.copy', vm, 'a copy', 'OpaqueRef:NULL');
  const [own] = of(copy);
  assert.equal(xapi.storage.chains.behind(xapi.db.row('VDI', own)), undefined);
  assert.equal(await first(server, own), '1');
});

test('a disk is copied into another: all of it, or what differs from a base', async (t) => {
  const server = await stored(t);
  const { call } = server;
  const make = (size = 4): Promise<string> => call('VDI.create', diskRecord(server.sr, size * MIB));
  const [vdi, into, small] = [await make(), await make(), await make(1)];
  await write(server, vdi, 'a', 0, MIB);
  const frozen: string = await call('VDI.snapshot', vdi);
  await call('VDI.copy', frozen, 'OpaqueRef:NULL', 'OpaqueRef:NULL', into);
  assert.ok((await contents(server, into)).equals(await contents(server, vdi)));
  await write(server, vdi, 'b', 2 * MIB);
  // Of what is equal in the base nothing is written.
  await write(server, into, 'c', 3 * MIB);
  await call('VDI.copy', vdi, 'OpaqueRef:NULL', frozen, into);
  const bytes = await contents(server, into);
  assert.deepEqual([0, 2, 3].map((at) => String.fromCharCode(bytes[at * MIB])), ['a', 'b', 'c']); // prettier-ignore
  await assert.rejects(call('VDI.copy', vdi, 'OpaqueRef:NULL', 'OpaqueRef:NULL', small), { code: 'VDI_TOO_SMALL' });
});

test('whoever wants a disk gets it from the background at once', async (t) => {
  const server = await stored(t);
  const { call } = server;
  const vm: string = await call('VM.create', VM_RECORD);
  const vdi: string = await call('VDI.create', diskRecord(server.sr, 64 * MIB));
  await call('VBD.create', driveRecord(vm, vdi));
  await write(server, vdi, 'a', 0, 32 * MIB);
  const frozen: string = await call('VDI.snapshot', vdi);
  await write(server, vdi, 'b', MIB, 32 * MIB);
  const now = await contents(server, vdi);
  await call('VDI.destroy', frozen);
  await new Promise((resolve) => setTimeout(resolve, 30));
  await call('VM.start', vm, false, false);
  await settled(server);
  assert.equal(hidden(server).length, 1, 'it is left alone while it is used');
  assert.ok((await contents(server, vdi)).equals(now));
  await call('VM.hard_shutdown', vm);
  await settled(server);
  assert.equal(hidden(server).length, 0);
  assert.ok((await contents(server, vdi)).equals(now));
});

test('what a host that was killed has left: it is done as a whole, or it never was', async (t) => {
  const server = await stored(t);
  const { call, xapi, sr } = server;
  const { db, storage } = xapi;
  const vdi: string = await call('VDI.create', diskRecord(sr));
  await write(server, vdi, 'a');
  const row = db.row('VDI', vdi);
  const locked = (name: string, managed: boolean) => {
    const made = storage.record(row, { name_label: name });
    db.set(made, { storage_lock: true, managed });
    return { made, path: storage.image(made).path };
  };
  // Before the disk had its new image …
  const [base, copy] = [locked('base copy', false), locked('', true)];
  linkSync(pathOf(server, vdi), base.path);
  await create_image(copy.path, { format: 'qcow2', backing: { path: base.made.text('location'), format: 'qcow2' } });
  const half = `${pathOf(server, vdi)}.new`;
  await create_image(half, { format: 'qcow2', backing: { path: base.made.text('location'), format: 'qcow2' } });
  await storage.recover();
  assert.deepEqual([base.made.gone, copy.made.gone], [true, true]);
  assert.equal(images(server).length, 1);
  assert.equal(await first(server, vdi), 'a');
  // … and after it had.
  const [base2, copy2] = [locked('base copy', false), locked('', true)];
  linkSync(pathOf(server, vdi), base2.path);
  const backing = { path: base2.made.text('location'), format: 'qcow2' } as const;
  for (const path of [copy2.path, half]) await create_image(path, { format: 'qcow2', backing });
  renameSync(half, pathOf(server, vdi));
  await storage.recover();
  assert.deepEqual([base2.made.gone, copy2.made.gone, existsSync(copy2.path)], [false, true, false]);
  assert.equal(await first(server, vdi), 'a');
  await settled(server);
  assert.deepEqual([hidden(server).length, images(server).length], [0, 1]);
  assert.equal(await first(server, vdi), 'a');
});

test('when a guest cannot let go of its disk nothing has happened', async (t) => {
  const server = await stored(t);
  const { call, xapi, simulator } = server;
  const vm: string = await call('VM.create', VM_RECORD);
  const vdi: string = await call('VDI.create', diskRecord(server.sr));
  await call('VBD.create', driveRecord(vm, vdi));
  await call('VM.start', vm, false, false);
  simulator.whileHeld = () => Promise.reject(new Error('no'));
  await assert.rejects(call('VM.snapshot', vm, 'x'));
  assert.equal(xapi.db.table('VDI').size, 1);
  assert.equal(images(server).length, 1);
  assert.deepEqual(xapi.db.row('VDI', vdi).map('current_operations'), {});
});

test('images that need a file from elsewhere are no disks; one that comes to need it is not opened', async (t) => {
  const server = await stored(t);
  const { call, folder, sr, xapi } = server;
  const at = join(folder, xapi.db.row('SR', sr).uuid);
  const secret = join(folder, 'secret.qcow2');
  await create_image(secret, { format: 'qcow2', size: MIB });
  const name = (n: number, format: Format) => `6f1c1f3e-0000-4000-8000-00000000000${n}.${format}`;
  await create_image(join(at, name(1, 'qcow2')), { format: 'qcow2', backing: { path: secret, format: 'qcow2' } });
  await create_image(join(at, name(2, 'qcow2')), {
    format: 'qcow2',
    backing: { path: '../secret.qcow2', format: 'qcow2' },
  });
  await create_image(join(at, name(3, 'qcow2')), { format: 'qcow2', size: MIB });
  await create_image(join(at, name(4, 'qcow2')), {
    format: 'qcow2',
    backing: { path: name(3, 'qcow2'), format: 'qcow2' },
  });
  await call('SR.scan', sr);
  const uuids = [...xapi.db.table('VDI').values()].map((row) => [row.uuid.slice(-1), row.flag('managed')]).sort();
  assert.deepEqual(uuids, [
    ['3', false],
    ['4', true],
  ]);
  renameSync(join(at, name(1, 'qcow2')), join(at, name(3, 'qcow2')));
  const row = xapi.db.byUuid('VDI', name(4, 'qcow2').slice(0, 36));
  await assert.rejects(xapi.storage.open(row, { readonly: true }), { code: 'SR_BACKEND_FAILURE_40' });
  // What a client notes of a format decides nothing.
  await call('VDI.set_sm_config', row.ref, { 'image-format': 'raw' });
  assert.equal(xapi.storage.image(row).format, 'qcow2');
  await (await open_image(secret, { format: 'qcow2' })).close();
});

test('a lock: many together or one alone, in the order of their coming', async () => {
  const lock = new Lock();
  const said: string[] = [];
  let inside = 0;
  const enter = (name: string, alone: boolean) =>
    lock[alone ? 'alone' : 'shared'](async () => {
      inside++;
      assert.ok(!alone || inside === 1);
      said.push(name);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    });
  await Promise.all([enter('a', false), enter('b', false), enter('c', true), enter('d', false), enter('e', true)]);
  assert.deepEqual(said, ['a', 'b', 'c', 'd', 'e']);
});
