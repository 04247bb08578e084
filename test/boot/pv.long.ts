// PV guests that take long: `npm run test:long`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { boot, treesOf } from '../../services/bootloader/protocol/boot.ts';
import { MemoryDisk } from '../../services/bootloader/protocol/disk.ts';
import { extImage, tools } from '../disk_images.ts';
import { grubImage } from './grub_image.ts';
import { checkTour, debian, run, TOUR } from './pv.ts';

test('PV and PVH guests run at once', async () => {
  const [pv, pvh] = await run(debian('pv', 128), debian('pvh', 128));
  checkTour(pv!, 'Xen PV');
  checkTour(pvh!, 'Xen HVM');
});

test('GRUB for PV loads a Debian kernel and its initrd from its memory disk; they boot to user land and power off', async () => {
  const { kernel, initrd } = guestImage();
  const config = `linux (memdisk)/vmlinuz ${TOUR}\ninitrd (memdisk)/initrd\nboot\n`;
  const image = grubImage('x86_64-xen', config, { vmlinuz: kernel, initrd });
  const [ran] = await run({ type: 'pv', kernel: image, cmdline: '', memory: 384 });
  checkTour(ran!, 'Xen PV');
});

for (const type of ['pv', 'pvh'] as const)
  test(`Debian boots as ${type} from the kernel on its own disk`, async () => {
    await tools();
    const { kernel, initrd } = guestImage();
    const image = extImage(
      {
        'boot/grub/grub.cfg': `menuentry 'Debian' { linux /vmlinuz ${TOUR}\n initrd /initrd.img }\n`,
        'boot/vmlinuz-6': readFileSync(kernel),
        'boot/initrd-6': readFileSync(initrd),
        vmlinuz: '->boot/vmlinuz-6',
        'initrd.img': '->boot/initrd-6',
      },
      ['-t', 'ext4'],
      '96M',
    );
    const found = boot(treesOf(new MemoryDisk(image)));
    const [ran] = await run({ type, kernel: found.kernel, initrd: found.ramdisk, cmdline: found.args, memory: 256 });
    checkTour(ran!, type === 'pv' ? 'Xen PV' : 'Xen HVM');
  });

for (let i = 1; i <= 3; i++)
  test(`Debian as PV with two vCPUs on two pCPUs, ${i} of 3`, async () => {
    const [ran] = await run({ ...debian('pv', 256), vcpus: 2 });
    checkTour(ran!, 'Xen PV');
    assert.match(ran!.output, /smp: Brought up 1 node, 2 CPUs/);
    assert.doesNotMatch(ran!.output, /WARNING:|rcu: INFO|multicall\(s\) failed/);
  });
