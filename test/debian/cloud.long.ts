// A disk laid out as Debian's cloud images are, with its own kernel and menu: qcow2, booted as it is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tools } from '../disk_images.ts';
import { Bed } from '../host/bed.ts';
import { cloudDisk } from './cloud.ts';
import { DebianGuest } from './guest.ts';

const b = new Bed();
const guest = new DebianGuest(b, 'cloud');

before(async () => {
  await tools();
  await b.up('--memory', '420');
});
after(async () => {
  guest.close();
  await b.close();
});

test('it boots by its own menu and kernel, to the login prompt', async () => {
  await guest.start(await cloudDisk(b.folder), { extra: 'console=hvc0' });
  await guest.login();
  const lsblk = await guest.run('lsblk -nro NAME,FSTYPE,PARTTYPENAME /dev/xvda | sort');
  assert.match(lsblk, /^xvda1 ext4 Linux\\x20root\S*\nxvda14  BIOS\\x20boot\nxvda15 vfat EFI\\x20System$/m);
  assert.match(await guest.run('cat /proc/cmdline'), /root=UUID=\S+ ro console=tty0 console=ttyS0,115200 console=hvc0/);
  assert.equal(await guest.run('systemctl is-system-running --wait'), 'running');
});
