// PV guests as they come: Debian's kernel, the same file that boots as PVH, and GRUB's image.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { grubImage } from './grub_image.ts';
import { checkTour, debian, run } from './pv.ts';

test('Debian boots as PV, shows where it runs and powers off', async () => {
  const [ran] = await run(debian('pv', 256));
  checkTour(ran!, 'Xen PV');
  assert.match(ran!.output, /Booting kernel on Xen/);
  assert.match(ran!.output, /Xen version: 4\.\d+.* \(preserve-AD\)/);
});

test('Debian gives memory back and takes it again', async () => {
  const steps = [
    'cd /sys/devices/system/xen_memory/xen_memory0',
    'for k in 81920 131072; do echo $k > target_kb',
    'until [ $(cat info/current_kb) = $k ]; do sleep 1; done; echo now $k KiB; done',
    'poweroff -f\r',
  ];
  const typed: [RegExp, string] = [/xenolith:\/root#/, steps.join('; ')];
  const [ran] = await run({ type: 'pv', ...guestImage(), cmdline: 'console=hvc0', memory: 128, typed });
  assert.match(ran!.output, /now 81920 KiB\s+now 131072 KiB/, ran!.output.slice(-2000));
  assert.equal(ran!.outcome, 'poweroff');
});

for (const [bits, image] of [
  [64, 'grub-x86_64-xen.bin'],
  [32, 'grub-i386-xen.bin'],
] as const)
  test(`Debian's ${bits}-bit GRUB image for PV comes to its prompt, lists its devices and halts`, async () => {
    const kernel = `/usr/lib/grub-xen/${image}`;
    const [ran] = await run({ type: 'pv', kernel, cmdline: '', memory: 64, typed: [/grub>/, 'ls\rhalt\r'] });
    assert.match(ran!.output, /\(memdisk\)/, ran!.output.slice(-2000));
    assert.equal(ran!.outcome, 'poweroff');
  });

test('GRUB for 32-bit PV loads a kernel from its memory disk, which finds everything in order', async () => {
  const config = 'linux (memdisk)/kernel from GRUB\nboot\n';
  const kernel = grubImage('i386-xen', config, { kernel: buildGuest('pv32') });
  const [ran] = await run({ type: 'pv', kernel, cmdline: '', memory: 64, vcpus: 2 });
  assert.match(ran!.output, /all checks hold/, ran!.output.slice(-2000));
  assert.equal(ran!.outcome, 'poweroff');
});
