// Everyday commands on a simulated host whose disks are real: what they do, not what they say.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { converse, dial, temporary, xeBed, type XeBed } from './bed.ts';
import { PASSWORD } from '../../toolstack/xenapi/testing.ts';
import { authority } from '../../toolstack/xenapi/testing_certificates.ts';

const DISKS = '<provision><disk device="0" size="1048576" sr="" bootable="true" type="system"/></provision>';

async function withTemplate(t: TestContext): Promise<XeBed & { template: string }> {
  const server = await xeBed(t, { storage: temporary(t) });
  const template = await server.ok('vm-create', 'name-label=little');
  await server.ok('vm-param-set', `uuid=${template}`, `other-config:disks=${DISKS}`, 'is-a-template=true');
  return { ...server, template };
}

test('a VM from its template to its end', async (t) => {
  const { ok, xe, xapi } = await withTemplate(t);
  const row = (uuid: string) => xapi.db.byUuid('VM', uuid);
  const uuid = await ok('vm-install', 'template=little', 'new-name-label=web');
  const vm = row(uuid);
  assert.deepEqual([vm.text('name_label'), vm.text('name_description'), vm.flag('is_a_template')], ['web', 'Installed via xe CLI', false]); // prettier-ignore
  const [disk] = vm.refs('VBDs').map((ref) => xapi.db.row('VDI', xapi.db.row('VBD', ref).text('VDI')));
  const image = xapi.storage.image(disk).path;
  assert.ok(existsSync(image));
  await ok('vm-start', 'vm=web');
  assert.equal(vm.text('power_state'), 'Running');
  assert.match((await xe('vm-start', 'vm=web')).err, /not in the power state that this needs\.\nvm: .* \(web\)\nexpected: halted\nactual: running\n/); // prettier-ignore
  await ok('vm-pause', `uuid=${uuid}`);
  assert.equal(vm.text('power_state'), 'Paused');
  await ok('vm-unpause', 'name-label=web');
  await ok('vm-reboot', 'vm=web');
  await ok('vm-shutdown', 'vm=web');
  assert.equal(vm.text('power_state'), 'Halted');
  await ok('vm-start', 'vm=web', 'paused=true');
  assert.equal(vm.text('power_state'), 'Paused');
  await ok('vm-shutdown', 'vm=web', '--force');
  const clone = await ok('vm-clone', 'vm=web', 'new-name-label=web', 'new-name-description=another');
  assert.equal(row(clone).text('name_description'), 'another');
  assert.match((await xe('vm-start', 'vm=web')).err, /^Error: Multiple matches VMs found\. --multiple required/);
  await ok('vm-start', 'vm=web', '--multiple');
  assert.deepEqual([vm, row(clone)].map((each) => each.text('power_state')), ['Running', 'Running']); // prettier-ignore
  assert.match(
    (await xe('vm-start', 'vm=web', '--multiple')).out,
    /^operation failed on [0-9a-f-]{36}: The VM is not in/,
  );
  assert.match((await xe('vm-start', 'vm=nobody')).err, /^Error: No matching VMs found/);
  assert.match((await xe('vm-start', 'nothing=x')).err, /^Error: Parameter 'nothing' is not a field of the VM class/);
  assert.match((await xe('vm-suspend', 'vm=web', '--multiple')).out, /does not have what this needs/);
  await ok('vm-shutdown', 'vm=web', '--multiple', '--force');
  const said = await ok('vm-uninstall', `uuid=${uuid}`, '--force');
  assert.match(said, new RegExp(`VM : ${uuid} \\(web\\)\nVDI: ${disk.uuid} \\(.*\\)\nAll objects destroyed$`));
  assert.ok(vm.gone && disk.gone && !existsSync(image));
  assert.match(await ok('diagnostic-vm-status', `uuid=${clone}`), /simulated: OK|simulated +: OK/);
  await ok('vm-destroy', `uuid=${clone}`);
});

test('whoever does not say yes keeps what he has', async (t) => {
  const { port, ok, xapi } = await withTemplate(t);
  const uuid = await ok('vm-install', 'template=little', 'new-name-label=web');
  for (const [word, gone] of [
    ['no', false],
    [' YES ', true],
  ] as const) {
    const { channel } = await dial(port, ['vm-uninstall', 'vm=web', 'username=root', `password=${PASSWORD}`]);
    const said = await converse(channel, async ({ kind }) => {
      if (kind !== 'Prompt') return;
      await channel.send({ blob: word.length });
      await channel.write(Buffer.from(word));
      await channel.send({ blob: 'End' });
    });
    assert.equal(xapi.db.hasUuid('VM', uuid), !gone);
    const last = said.at(-2)!;
    assert.equal('text' in last && last.text, gone ? 'All objects destroyed' : "Aborted (you typed: 'no')");
  }
});

test('snapshots', async (t) => {
  const { ok, xe, xapi } = await withTemplate(t);
  const uuid = await ok('vm-install', 'template=little', 'new-name-label=web');
  const frozen = await ok('vm-snapshot', 'vm=web', 'new-name-label=before');
  assert.equal(await ok('snapshot-list', 'name-label=before', '--minimal'), frozen);
  assert.equal(await ok('vm-list', 'name-label=before', '--minimal'), '');
  await ok('vm-param-set', `uuid=${uuid}`, 'VCPUs-max=4');
  assert.match(await ok('snapshot-disk-list', `snapshot-uuid=${frozen}`), /^Disk 0 VBD:\nuuid /);
  await ok('snapshot-revert', `snapshot-uuid=${frozen}`);
  assert.equal(xapi.db.byUuid('VM', uuid).number('VCPUs_max'), 1);
  assert.match((await xe('snapshot-revert', `uuid=${uuid}`)).err, /is not a VM snapshot/);
  assert.match((await xe('snapshot-revert')).err, /snapshot-uuid or uuid/);
  const template = await ok('snapshot-clone', `uuid=${frozen}`, 'new-name-label=of it');
  assert.equal(await ok('template-list', 'name-label=of it', '--minimal'), template);
  const count = xapi.db.table('VDI').size;
  await ok('snapshot-uninstall', `uuid=${frozen}`, '--force');
  assert.deepEqual([xapi.db.hasUuid('VM', frozen), xapi.db.table('VDI').size], [false, count - 1]);
  await ok('template-uninstall', `template-uuid=${template}`, 'force=true');
  assert.equal(xapi.db.hasUuid('VM', template), false);
});

test('disks, discs and their repositories', async (t) => {
  const { ok, xe, xapi, simulator } = await withTemplate(t);
  const uuid = await ok('vm-install', 'template=little', 'new-name-label=web');
  const vm = xapi.db.byUuid('VM', uuid);
  await ok('vm-disk-add', 'vm=web', 'disk-size=2MiB', 'device=1');
  assert.match(await ok('vm-disk-list', 'vm=web', 'vdi-params=virtual-size'), /Disk 1 VDI:\nvirtual-size \( RO\) +: 2097152\n/); // prettier-ignore
  await ok('vm-start', 'vm=web');
  await ok('vm-disk-add', 'vm=web', 'disk-size=4096', 'device=2');
  assert.deepEqual(simulator.devices(uuid).disks, [0, 1, 2]);
  const vbd = await ok('vbd-list', `vm-uuid=${uuid}`, 'userdevice=2', '--minimal');
  await ok('vbd-unplug', `uuid=${vbd}`);
  assert.deepEqual(simulator.devices(uuid).disks, [0, 1]);
  await ok('vm-disk-remove', 'vm=web', 'device=2');
  assert.equal(vm.refs('VBDs').length, 2);
  assert.match((await xe('vm-disk-remove', 'vm=web', 'device=2')).err, /^Error: Disk not found/);

  const discs = await ok(
    'sr-create',
    'name-label=discs',
    'type=iso',
    'content-type=iso',
    'device-config:location=discs',
  );
  writeFileSync(join(xapi.storage.folder(xapi.db.byUuid('SR', discs)), 'a.iso'), Buffer.alloc(4096));
  await ok('sr-scan', `uuid=${discs}`);
  assert.match(await ok('cd-list'), /name-label \( RW\): a\.iso/);
  await ok('vbd-create', `vm-uuid=${uuid}`, 'device=3', 'type=CD', 'mode=RO');
  await ok('vm-cd-insert', 'vm=web', 'cd-name=a.iso');
  assert.match(await ok('vm-cd-list', 'vm=web'), /empty \( RO\): false/);
  assert.match((await xe('vm-cd-insert', 'vm=web', 'cd-name=a.iso')).err, /has no empty CD drive\.\nvm: /);
  await ok('vm-cd-eject', 'vm=web');
  await ok('vm-cd-remove', 'vm=web', 'cd-name=<EMPTY>');

  const sr = await ok('sr-list', 'type=file', '--minimal');
  const vdi = await ok(
    'vdi-create',
    `sr-uuid=${sr}`,
    'name-label=d',
    'virtual-size=1MiB',
    'sm-config:image-format=raw',
    'tags:x=',
  );
  assert.deepEqual(xapi.db.byUuid('VDI', vdi).fields.tags, ['x']);
  await ok('vdi-resize', `uuid=${vdi}`, 'disk-size=3MiB');
  assert.equal(readFileSync(xapi.storage.image(xapi.db.byUuid('VDI', vdi)).path).length, 3 * 2 ** 20);
  const clone = await ok('vdi-clone', `uuid=${vdi}`, 'new-name-label=e');
  const copy = await ok('vdi-copy', `uuid=${vdi}`, `sr-uuid=${sr}`);
  assert.match(await ok('diagnostic-vdi-status', `uuid=${copy}`), /no active VBDs\.$/);
  assert.match((await xe('vdi-copy', `uuid=${vdi}`)).err, /Name one of them/);
  for (const each of [vdi, clone, copy]) await ok('vdi-destroy', `uuid=${each}`);
  const pbd = await ok('pbd-list', `sr-uuid=${discs}`, '--minimal');
  await ok('pbd-unplug', `uuid=${pbd}`);
  assert.match(await ok('pbd-list', `uuid=${pbd}`), /currently-attached \( RO\): false/);
  await ok('pbd-plug', `uuid=${pbd}`);
  assert.match((await xe('sr-destroy', `uuid=${discs}`)).err, /A host is connected to the storage repository/);
  await ok('pbd-unplug', `uuid=${pbd}`);
  await ok('sr-forget', `uuid=${discs}`);
  assert.equal(xapi.db.hasUuid('SR', discs), false);
});

test('networks and interfaces', async (t) => {
  const { ok, xe, xapi, simulator } = await xeBed(t);
  const uuid = await ok('vm-create', 'name-label=web');
  const network = await ok('network-create', 'name-label=inside', 'MTU=9000');
  const vif = await ok('vif-create', `vm-uuid=${uuid}`, `network-uuid=${network}`, 'device=0', 'mac=random');
  const row = xapi.db.byUuid('VIF', vif);
  assert.match(row.text('MAC'), /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
  assert.equal(await ok('vif-list', `MAC=${row.text('MAC').toUpperCase()}`, '--minimal'), vif);
  assert.match(await ok('vm-vif-list', 'vm=web'), new RegExp(`network-uuid \\( RO\\): ${network}\n +network-name-label \\( RO\\): inside\n`)); // prettier-ignore
  await ok('vm-start', 'vm=web');
  await ok('vif-unplug', `uuid=${vif}`);
  assert.deepEqual(simulator.devices(uuid).nics, []);
  await ok('vif-plug', `uuid=${vif}`);
  assert.deepEqual(simulator.devices(uuid).nics, [0]);
  await ok('vif-param-set', `uuid=${vif}`, 'ipv4-allowed=10.0.0.1,10.0.0.2', 'locking-mode=locked');
  assert.deepEqual(row.fields.ipv4_allowed, ['10.0.0.1', '10.0.0.2']);
  assert.match((await xe('network-destroy', `uuid=${network}`)).err, /are plugged into the network/);
  await ok('vm-shutdown', 'vm=web', '--force');
  await ok('vif-destroy', `uuid=${vif}`);
  await ok('network-destroy', `uuid=${network}`);
  assert.match((await xe('pif-unplug', `uuid=${await ok('pif-list', 'params=uuid', '--minimal')}`)).err, /does not support this\.\nfunction: PIF\.unplug|PIF/); // prettier-ignore
});

test('host, pool, messages, tasks, users', async (t) => {
  const { ok, xe, call, xapi } = await xeBed(t);
  await ok('host-disable');
  assert.equal(xapi.host.flag('enabled'), false);
  await ok('host-enable', 'host=simulated');
  assert.equal(xapi.host.flag('enabled'), true);
  assert.match(await ok('host-compute-free-memory'), /^\d+$/);
  assert.match(await ok('host-cpu-info'), /^cpu_count +: 8$/m);
  await ok('host-send-debug-keys', `host-uuid=${xapi.host.uuid}`, 'keys=h');
  assert.match(await ok('host-dmesg'), /keys h/);
  await ok('pool-param-set', `uuid=${xapi.pool.uuid}`, 'name-label=my pool');
  assert.equal(xapi.pool.text('name_label'), 'my pool');
  await ok('message-create', 'name=HELLO', 'priority=3', 'body=text', `host-uuid=${xapi.host.uuid}`);
  const message = await ok('message-list', 'name=HELLO', 'class=Host', '--minimal');
  await ok('message-destroy', `uuid=${message}`);
  assert.equal(await ok('message-list', 'name=HELLO', '--minimal'), '');
  await ok('message-create', 'name=HELLO', 'priority=3', 'body=text', `pool-uuid=${xapi.pool.uuid}`);
  await ok('message-destroy-all', 'after=2020-01-01T00:00:00Z', 'priority=3');
  assert.equal(await ok('message-list', 'name=HELLO', '--minimal'), '');
  const task: string = await call('task.create', 'mine', '');
  await ok('task-cancel', `uuid=${xapi.db.row('task', task).uuid}`);
  assert.equal(await ok('task-list', 'name-label=mine', 'params=status', '--minimal'), 'cancelling');
  await xapi.users.setPassword('alice', 'x');
  const subject = await ok('subject-add', 'subject-name=alice');
  await ok('subject-role-add', `uuid=${subject}`, 'role-name=vm-operator');
  assert.equal(await ok('subject-param-get', `uuid=${subject}`, 'param-name=roles'), 'vm-operator');
  await ok('subject-role-remove', `uuid=${subject}`, 'role-name=vm-operator');
  await ok('subject-remove', `subject-uuid=${subject}`);
  const secret = await ok('secret-create', 'value=x');
  assert.equal(await ok('secret-param-get', `uuid=${secret}`, 'param-name=value'), 'x');
  assert.match(
    (await xe('host-call-plugin', `host-uuid=${xapi.host.uuid}`, 'plugin=p', 'fn=f')).err,
    /no such plug-in\.\nname: p/,
  );
  assert.equal(xapi.db.table('task').size, 1);
});

test('event-wait sees what is and what becomes', async (t) => {
  const { ok, xe } = await xeBed(t);
  const uuid = await ok('vm-create', 'name-label=web');
  await ok('event-wait', 'class=vm', 'power-state=halted', `uuid=${uuid}`);
  const waiting = ok('event-wait', 'class=vm', `uuid=${uuid}`, 'power-state=/=halted', 'VCPUs-number=1');
  await ok('vm-start', `uuid=${uuid}`);
  await waiting;
  assert.match((await xe('event-wait', 'class=vm', 'what=1')).err, /^Error: key missing: what/);
  assert.match((await xe('event-wait', 'class=none')).err, /^Error: Cli listening for class 'none'/);
});

test('files that the host may have, and those it may not', async (t) => {
  const folder = temporary(t);
  const { ok, xe, port, xapi } = await xeBed(t, { storage: temporary(t) });
  const named = join(folder, 'key');
  writeFileSync(named, 'contents');
  const sr = await ok('sr-create', 'name-label=x', 'type=file', `device-config:note-filename=${named}`);
  const [pbd] = xapi.db.byUuid('SR', sr).refs('PBDs').map((ref) => xapi.db.row('PBD', ref)); // prettier-ignore
  assert.equal(pbd.map('device_config').note, 'contents');
  assert.match((await xe('sr-create', 'name-label=y', 'type=file', `device-config:note-filename=${folder}`)).err, /^Error: File not found/); // prettier-ignore
  // A client that sends more than it may.
  const line = [
    'sr-create',
    'name-label=z',
    'type=file',
    'device-config:a-filename=f',
    'username=root',
    `password=${PASSWORD}`,
  ];
  const { channel } = await dial(port, line);
  const said = await converse(channel, async ({ kind }) => {
    if (kind !== 'Load') return;
    await channel.send({ response: 'OK' });
    await channel.send({ blob: 2 ** 30 });
  });
  assert.match(said.map((each) => ('text' in each ? each.text : '')).join(''), /sends more than/);
});

test('authorities, the host’s certificate and schedules', async (t) => {
  const folder = temporary(t);
  const { ok, xe, xapi } = await xeBed(t, { storage: temporary(t) });
  const ca = await authority('ca');
  const made = await ca.sign('host.example');
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  await ok('pool-certificate-install', `filename=${file('ours.pem', ca.cert)}`);
  assert.equal(await ok('pool-certificate-list'), 'ours.pem');
  assert.match((await xe('pool-install-ca-certificate', `filename=${join(folder, 'ours.pem')}`)).err, /of this name already/); // prettier-ignore
  await ok('pool-crl-install', `filename=${file('ours.crl', await ca.revoke(made.cert))}`);
  assert.equal(await ok('pool-crl-list'), 'ours.crl');
  await ok('pool-crl-uninstall', 'name=ours.crl');
  await ok('pool-uninstall-ca-certificate', 'name=ours.pem');
  assert.deepEqual([xapi.authorities.names('ca'), xapi.authorities.names('crl')], [[], []]);
  const pair = [`certificate=${file('cert.pem', made.cert)}`, `private-key=${file('key.pem', made.key)}`];
  await ok('host-server-certificate-install', ...pair, `certificate-chain=${join(folder, 'ours.pem')}`);
  assert.deepEqual([xapi.certificate!.cert, xapi.certificate!.chain], [made.cert, ca.cert]);
  assert.equal((await ok('host-get-server-certificate')).trim(), made.cert.trim());
  assert.notEqual((await xe('host-server-certificate-install', pair[0], 'private-key=/none')).code, 0);

  const uuid = await ok('vmss-create', 'name-label=nightly', 'type=snapshot', 'frequency=daily', 'schedule:hour=3', 'retained-snapshots=2'); // prettier-ignore
  const row = xapi.db.byUuid('VMSS', uuid);
  assert.deepEqual([{ ...row.map('schedule') }, row.number('retained_snapshots'), row.flag('enabled')], [{ hour: '3', min: '0' }, 2, true]); // prettier-ignore
  await ok('vmss-param-set', `uuid=${uuid}`, 'frequency=hourly');
  assert.equal(row.text('frequency'), 'hourly');
  await ok('vmss-destroy', `uuid=${uuid}`);
  assert.equal(row.gone, true);
  const controller = await ok('sdn-controller-introduce', 'address=192.0.2.1');
  await ok('sdn-controller-forget', `uuid=${controller}`);
  assert.equal(xapi.db.table('SDN_controller').size, 0);
});
