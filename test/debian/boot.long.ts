// The image that `xenolith image build debian` has made: to its login prompt by its own kernel, with its own units; reboot; power off.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { debianImage, overlay } from '../../guests/debian/build.ts';
import { Bed, until } from '../host/bed.ts';
import { DebianGuest } from './guest.ts';

const b = new Bed();
const guest = new DebianGuest(b, 'whole');
let disk = '';

before(async () => {
  disk = await overlay(await debianImage(), join(b.folder, 'whole.qcow2'));
  await b.up('--memory', '420');
});
after(async () => {
  guest.close();
  await b.close();
});

test('from the disk to the login prompt; a system that is whole', async () => {
  await guest.start(disk);
  await guest.login();
  assert.equal(await guest.run('systemctl is-system-running --wait'), 'running');
  assert.equal(await guest.run('systemctl --failed --no-legend --plain'), '');
  assert.match(await guest.run('findmnt -no SOURCE,FSTYPE /'), /^\/dev\/xvda1 +ext4$/);
  assert.equal(await guest.run('hostname'), 'debian');
  assert.equal(await guest.run('dpkg --audit'), '');
  assert.match(await guest.run('apt-get check -qq && echo consistent'), /^consistent$/);
  assert.match(await guest.run('dpkg --verify | grep -v "^......... c \\|^missing .* /usr/share/\\|^missing .*/lib/modules/"; echo verified'), /^verified$/); // prettier-ignore
  assert.equal(await guest.run('ls -A /install /usr/sbin/policy-rc.d 2>/dev/null; echo clean'), 'clean');
});

test('a reboot, by the kernel that the boot loader finds; what was written is there', async () => {
  const id = await guest.run('cat /etc/machine-id');
  assert.match(id, /^[0-9a-f]{32}$/);
  await guest.run('echo kept >/etc/kept');
  const domid = await guest.domid;
  guest.type('systemctl reboot\n');
  await guest.again(domid);
  await guest.login();
  assert.equal(await guest.run('cat /etc/kept /etc/machine-id'), `kept\n${id}`);
});

test('power off ends the domain, and the file system is clean', async () => {
  guest.type('systemctl poweroff\n');
  await until(async () => (await b.xl('domid', 'whole')).code === 1, 'the domain is gone', 180_000);
  const { out } = await b.run('xenolith', ['image', 'check', '-f', 'qcow2', disk]);
  assert.match(out, /^0 errors, 0 clusters of lost space/);
});
