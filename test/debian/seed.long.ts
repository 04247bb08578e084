// cloud-init itself, in a Debian that has it by `--include cloud-init`, takes what `xenolith image seed` has made: once for each instance.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { debianImage, overlay } from '../../guests/debian/build.ts';
import { Bed, until } from '../host/bed.ts';
import { DebianGuest } from './guest.ts';
import { bySsh, forwarded } from './ssh.ts';

const NETWORK = 'lab';
const MAC = '00:16:3e:00:00:07';
/** Not one that a DHCP server would give first. */
const ADDRESS = '10.7.0.77';
const PASSWORD = 'four words and more';
/** cloud-init is Python, four times. */
const FINISHED_MS = 300_000;
const b = new Bed();
const guest = new DebianGuest(b, 'seeded');
let disk = '';
let key = '';
let port = 0;

const userData = (text: string): string => `#cloud-config
users:
  - name: ada
    gecos: Ada L.
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    lock_passwd: false
    plain_text_passwd: ${JSON.stringify(PASSWORD)}
    ssh_authorized_keys: [${JSON.stringify(readFileSync(`${key}.pub`, 'utf8').trim())}]
write_files:
  - path: /etc/seeded/note
    permissions: '0640'
    content: ${JSON.stringify(text)}
runcmd:
  - echo "$(id -un) on $(hostname), $(cat /etc/seeded/note)" >>/var/lib/ran
`;

const NETWORK_CONFIG = `version: 2
ethernets:
  lan:
    match: { macaddress: '${MAC}' }
    addresses: [${ADDRESS}/24]
    gateway4: 10.7.0.2
`;

/** The volume's path; the machine is named as the instance is. */
async function seed(instance: string, text: string): Promise<string> {
  const place = (name: string): string => join(b.folder, `${instance}.${name}`);
  const files = {
    'user-data': userData(text),
    'meta-data': `instance-id: ${instance}\nlocal-hostname: ${instance}\n`,
    'network-config': NETWORK_CONFIG,
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(place(name), content);
  const options = Object.keys(files).flatMap((name) => [`--${name}`, place(name)]);
  const { code, err } = await b.run('xenolith', ['image', 'seed', ...options, place('iso')]);
  assert.deepEqual([code, err], [0, '']);
  return place('iso');
}

/** With the volume as the second disk, until cloud-init says that it has done all, and with whose data. */
async function start(iso: string): Promise<void> {
  await guest.start(disk, {
    disk: [`${disk},qcow2,xvda,w`, `${iso},raw,xvdb,r`],
    vif: [`bridge=${NETWORK},mac=${MAC}`],
  });
  await finished();
}

const finished = (): Promise<void> =>
  guest.waits(
    /Cloud-init v\. \S+ finished at .*DataSourceNoCloud \[seed=\/dev\/xvdb\]/,
    'cloud-init ends, with the data of the seed',
    FINISHED_MS,
  );

const run = (command: string): Promise<string> => bySsh(key, port, 'ada@127.0.0.1', command);

before(async () => {
  const image = await debianImage(['cloud-init']);
  ({ key } = image);
  disk = await overlay(image, join(b.folder, 'seeded.qcow2'));
  await b.up('--memory', '420');
  const { code, err } = await b.run('xenolith', ['net', 'create', NETWORK, '--subnet', '10.7.0.0/24']);
  assert.deepEqual([code, err], [0, '']);
  port = await forwarded(b, NETWORK, ADDRESS, 22);
});
after(async () => {
  guest.close();
  await b.close();
});

test('name, address, user, file and command of the seed; a system that is whole', async () => {
  await start(await seed('web-1', 'first'));
  assert.equal(await run('hostname; id -un; sudo -n id -un'), 'web-1\nada\nroot');
  assert.equal(await run('getent passwd ada | cut -d : -f 5,7'), 'Ada L.:/bin/bash');
  assert.match(await run('ip -4 -o address show scope global'), new RegExp(`inet ${ADDRESS}/24 [^\\n]*$`));
  assert.equal(await run('sudo stat -c "%a %U" /etc/seeded/note; sudo cat /etc/seeded/note'), '640 root\nfirst');
  assert.equal(await run('cat /var/lib/ran'), 'root on web-1, first');
  assert.equal(await run('cloud-init status; systemctl is-system-running --wait'), 'status: done\nrunning');
  assert.equal(await run('sudo blkid -o value -s LABEL /dev/xvdb; cat /sys/block/xvdb/ro'), 'cidata\n1');
});

test('the user’s password, on the console', async () => {
  guest.type('ada\n');
  await guest.waits(/Password: $/, 'the question for the password', FINISHED_MS);
  guest.type(`${PASSWORD}\n`);
  await guest.waits(/ada@web-1:~\$ /, 'a shell', FINISHED_MS);
});

test('a reboot with the same seed does nothing again', async () => {
  const domid = await guest.domid;
  guest.type('sudo systemctl reboot\n');
  await guest.again(domid);
  await finished();
  assert.equal(await run('hostname; cat /var/lib/ran'), 'web-1\nroot on web-1, first');
});

test('the seed of another instance makes another machine of the same disk', async () => {
  await run('sudo systemctl poweroff').catch(() => {}); // ssh may end with the machine
  await until(async () => (await b.xl('domid', guest.name)).code === 1, 'the domain is gone', FINISHED_MS);
  await start(await seed('web-2', 'second'));
  assert.equal(await run('hostname; cat /var/lib/ran'), 'web-2\nroot on web-1, first\nroot on web-2, second');
});
