// PV guests as they come: Debian's kernel, the same file that boots as PVH, and GRUB's image.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkTour, debian, run } from './pv.ts';

test('Debian boots as PV, shows where it runs and powers off', async () => {
  const [ran] = await run(debian('pv', 256));
  checkTour(ran!, 'Xen PV');
  assert.match(ran!.output, /Booting kernel on Xen/);
  assert.match(ran!.output, /Xen version: 4\.\d+.* \(preserve-AD\)/);
});

for (const [bits, image] of [[64, 'grub-x86_64-xen.bin']] as const)
  test(`Debian's ${bits}-bit GRUB image for PV comes to its prompt, lists its devices and halts`, async () => {
    const kernel = `/usr/lib/grub-xen/${image}`;
    const [ran] = await run({ type: 'pv', kernel, cmdline: '', memory: 64, typed: [/grub>/, 'ls\rhalt\r'] });
    assert.match(ran!.output, /\(memdisk\)/, ran!.output.slice(-2000));
    assert.equal(ran!.outcome, 'poweroff');
  });
