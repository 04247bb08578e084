// What people do with Ansible: machines from templates, changed, started and stopped, taken away; on a simulated host and on a real one.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { Bed } from '../host/bed.ts';
import { packages, play } from './ansible.ts';
import { rpc, Simulated } from './bed.ts';

const simulated = new Simulated();
const bed = new Bed();
before(async () => {
  await packages();
  await simulated.start();
});
after(() => Promise.all([simulated.close(), bed.close()]));

test('a simulated host: from a template to its end', async () => {
  const { plain, password } = simulated;
  const host = { url: plain, password };
  const session: string = await rpc(plain, 'session.login_with_password', 'root', password);
  const call = (method: string, ...params: unknown[]): Promise<never> => rpc(plain, method, session, ...params);
  const network: string = await call('network.create', { name_label: 'lab', name_description: '', other_config: {}, tags: [] }); // prettier-ignore
  const name = { name: 'web' };
  const wanted = {
    ...{ ...name, template: 'Other install media', folder: '/test/vms', name_desc: 'a server' },
    disks: [{ size_gb: 1, name: 'system' }],
    hardware: { num_cpus: 2, num_cpu_cores_per_socket: 2, memory_mb: 512 },
    networks: [{ name: 'lab', mac: 'aa:bb:dd:aa:00:14' }],
  };
  const power = (state: string) => ({ module: 'guest_powerstate', args: { ...name, state } });
  const outcomes = await play(host, [
    { module: 'guest', args: { ...wanted, state: 'poweredon' }, check: true },
    { module: 'guest', args: { ...wanted, state: 'poweredon' } },
    { module: 'guest', args: { ...wanted, state: 'present' } },
    { module: 'guest_info', args: name },
    ...['powered-on', 'reboot-guest', 'restarted', 'shutdown-guest', 'powered-on', 'powered-off'].map(power),
    { ...power('suspended'), fails: true },
    {
      module: 'guest',
      args: {
        ...{ ...name, name_desc: 'changed', disks: [{ size_gb: 2 }, { size_mb: 100, name: 'data' }] },
        ...{ networks: [{ name: 'lab', mac: 'aa:bb:dd:aa:00:15' }, { name: 'lab' }], hardware: { num_cpus: 1, memory_mb: 256 } }, // prettier-ignore
        ...{ custom_params: [{ key: 'HVM_boot_params', value: { order: 'ndc' } }], cdrom: { type: 'none' } },
      },
    },
    { module: 'guest_info', args: name },
    { module: 'guest', args: { ...name, template: 'no such', state: 'present' } },
    { module: 'guest', args: { name: 'other', template: 'no such' }, fails: true },
    { module: 'guest_info', args: { name: 'other' }, fails: true },
    { module: 'guest', args: { ...name, state: 'absent', force: true } },
    { module: 'guest', args: { ...name, state: 'absent' } },
  ]);
  assert.deepEqual(
    outcomes.map(({ changed }) => changed),
    [
      true,
      true,
      false,
      false,
      false,
      true,
      true,
      true,
      true,
      true,
      false,
      true,
      false,
      false,
      false,
      false,
      true,
      false,
    ],
  );
  const made = outcomes[3].instance!;
  assert.deepEqual(
    [made.state, made.name, made.name_desc, made.hardware, made.folder],
    ['poweredon', 'web', 'a server', { memory_mb: 512, num_cpus: 2, num_cpu_cores_per_socket: 2 }, '/test/vms'],
  );
  assert.deepEqual(
    made.disks.map(({ name, size, vbd_userdevice }: Record<string, unknown>) => [name, size, vbd_userdevice]),
    [['system', 2 ** 30, '0']],
  );
  assert.deepEqual(
    made.networks.map(({ name, mac, vif_device }: Record<string, unknown>) => [name, mac, vif_device]),
    [['lab', 'aa:bb:dd:aa:00:14', '0']],
  );
  const changed = outcomes[12].instance!;
  assert.deepEqual(
    [changed.state, changed.name_desc, changed.hardware.memory_mb, changed.hardware.num_cpus],
    ['poweredoff', 'changed', 256, 1],
  );
  assert.deepEqual(changed.disks.map(({ size }: { size: number }) => size), [2 * 2 ** 30, 100 * 2 ** 20]); // prettier-ignore
  assert.equal(changed.networks[0].mac, 'aa:bb:dd:aa:00:15');
  assert.equal(changed.networks.length, 2);
  assert.deepEqual(await call('network.get_VIFs', network), []);
  assert.deepEqual(await call('VDI.get_by_name_label', 'system'), []);
});

test('a real host: Debian from its kernel, started, looked at and taken away', async () => {
  const paths = xenapiPaths(bed.state);
  mkdirSync(paths.boot, { recursive: true, mode: 0o700 });
  const { kernel, initrd } = guestImage();
  copyFileSync(kernel, join(paths.boot, 'debian'));
  copyFileSync(initrd, join(paths.boot, 'debian.initrd'));
  const said = await bed.up('--xenapi', '0', '--memory', '220');
  const host = {
    ...{ url: /(https:\S+?);/.exec(said)![1], password: readFileSync(paths.password, 'utf8').trim() },
    certificate: join(paths.folder, 'server.pem'),
  };
  const name = { name: 'own' };
  const power = (state: string) => ({ module: 'guest_powerstate', args: { ...name, state } });
  const [made, info, , restarted, off] = await play(host, [
    {
      module: 'guest',
      args: { ...name, template: 'Kernel debian', state: 'poweredon', disks: [{ size_mb: 16 }], hardware: { memory_mb: 144 } }, // prettier-ignore
    },
    { module: 'guest_info', args: name },
    power('powered-on'),
    power('restarted'),
    power('powered-off'),
    { module: 'guest', args: { ...name, state: 'absent' } },
  ]);
  assert.deepEqual([made.changed, info.instance!.state, info.instance!.hardware.memory_mb], [true, 'poweredon', 144]);
  assert.deepEqual([restarted.instance!.state, off.instance!.state], ['poweredon', 'poweredoff']);
  assert.doesNotMatch(await bed.ok('list'), /own/);
});
