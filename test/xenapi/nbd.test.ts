// Disks over NBD, as nbdinfo and nbdcopy find and read them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { diskRecord } from '../../toolstack/xenapi/testing.ts';
import { need } from '../../tools/apt.ts';
import { rpc, run, Simulated } from './bed.ts';

const MIB = 2 ** 20;
const host = new Simulated();
let session = '';
let folder = '';
const call = (method: string, ...params: unknown[]): Promise<never> => rpc(host.plain, method, session, ...params);

before(async () => {
  await need('libnbd-bin');
  folder = await mkdtemp(join(tmpdir(), 'xenolith-nbd-'));
  await host.start();
  session = await rpc(host.plain, 'session.login_with_password', 'root', host.password);
});
after(async () => {
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

interface Info {
  exportname: string;
  address: string;
  port: number;
  cert: string;
  subject: string;
}

/** The host's own address is that of the machine; the server listens on loopback here. */
const uri = ({ exportname, port }: Info, scheme: string): string =>
  `${scheme}://127.0.0.1:${port}/${encodeURIComponent(exportname)}`;

test('a disk is read over NBD, on networks that are for it alone', async () => {
  const [pool]: string[] = await call('pool.get_all');
  const vdi: string = await call('VDI.create', diskRecord(await call('pool.get_default_SR', pool), 24 * MIB));
  const bytes = Buffer.alloc(24 * MIB);
  randomBytes(70_000).copy(bytes, 5 * MIB);
  await fetch(`${host.plain}/import_raw_vdi?vdi=${vdi}&session_id=${session}`, { method: 'PUT', body: bytes });
  assert.deepEqual(await call('VDI.get_nbd_info', vdi), []);
  const networks = (await call('network.get_all_records')) as Record<string, { bridge: string; PIFs: string[] }>;
  const [network] = Object.entries(networks).find(([, { PIFs }]) => PIFs.length > 0)!;
  await call('network.add_purpose', network, 'nbd');
  const [info] = (await call('VDI.get_nbd_info', vdi)) as Info[];
  assert.match(info.exportname, /^\/[0-9a-f-]{36}\?session_id=OpaqueRef:/);
  assert.match(info.cert, /^-----BEGIN CERTIFICATE-----/);
  // Nobody is served without TLS.
  const plain = await run('nbdinfo', [uri(info, 'nbd')]);
  assert.notEqual(plain.code, 0);
  const secure = `${uri(info, 'nbds')}?tls-verify-peer=false`;
  const told = await run('nbdinfo', ['--json', secure]);
  assert.equal(told.code, 0, told.err);
  const [{ 'export-size': size, is_read_only }] = (JSON.parse(told.out) as { exports: { 'export-size': number; is_read_only: boolean }[] }).exports; // prettier-ignore
  assert.deepEqual([size, is_read_only], [24 * MIB, true]);
  const copied = await run('nbdcopy', [secure, join(folder, 'disk')]);
  assert.equal(copied.code, 0, copied.err);
  assert.ok((await readFile(join(folder, 'disk'))).equals(bytes));
  const map = await run('nbdinfo', ['--map', '--totals', secure]);
  assert.match(map.out, /hole,zero/);
  // Without a session there is nothing to see.
  for (const name of [info.exportname.replace(/session_id=.*/, 'session_id=OpaqueRef:none'), '/etc/passwd', '']) {
    const refused = await run('nbdinfo', [`${uri({ ...info, exportname: name }, 'nbds')}?tls-verify-peer=false`]);
    assert.notEqual(refused.code, 0, name);
  }
  await assert.rejects(call('network.add_purpose', network, 'insecure_nbd'), /NETWORK_INCOMPATIBLE_PURPOSES/);
  await call('network.remove_purpose', network, 'nbd');
  assert.notEqual((await run('nbdinfo', [secure])).code, 0);
  await call('network.add_purpose', network, 'insecure_nbd');
  const [open] = (await call('VDI.get_nbd_info', vdi)) as Info[];
  const again = await run('nbdcopy', [uri(open, 'nbd'), join(folder, 'again')]);
  assert.equal(again.code, 0, again.err);
  assert.ok((await readFile(join(folder, 'again'))).equals(bytes));
  // Everybody has left: it is free again.
  await call('VDI.destroy', vdi);
});
