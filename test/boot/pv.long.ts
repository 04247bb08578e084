// PV guests that take long: `npm run test:long`.
import { test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
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
