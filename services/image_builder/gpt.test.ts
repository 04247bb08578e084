// A disk laid out as Debian's cloud images are: who reads partition tables finds what was meant, and the boot loader what lies there, in every format.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { extImage, tools } from '../../test/disk_images.ts';
import { FORMATS } from '../block/image/image.ts';
import { create_image, open_image } from '../block/image/open.ts';
import { bootFromImage } from '../bootloader/backend/sources.ts';
import { layOut, partitionTable, type NewPartition } from './gpt.ts';

const MIB = 1 << 20;
const DISK = 32 * MIB;
/** The root file system has the first number and lies behind the others. */
const CLOUD: NewPartition[] = [
  { type: 'bios-boot', number: 14, size: 3 * MIB, name: 'bios' },
  { type: 'efi-system', number: 15, size: 4 * MIB, name: 'efi' },
  { type: 'linux-root-x86-64', number: 1, name: 'root' },
];
/** As grub-mkconfig writes it, shortened. */
const GRUB_CFG = `set default="0"
if [ x"\${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function load_video {
  insmod all_video
}
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
  load_video
  insmod gzio
  if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
  insmod part_gpt
  insmod ext2
  search --no-floppy --fs-uuid --set=root 1b9a67b8-7a0a-4d6e-9c27-0123456789ab
  echo  'Loading Linux 6.1.0 ...'
  linux  /boot/vmlinuz-6.1.0 root=PARTUUID=1b9a67b8-01 ro console=tty0 console=ttyS0,115200
  echo  'Loading initial ramdisk ...'
  initrd  /boot/initrd.img-6.1.0
}
`;

const folder = mkdtempSync(join(tmpdir(), 'xenolith-gpt-'));
const placed = layOut(DISK, CLOUD);
before(tools);
after(() => rmSync(folder, { recursive: true }));

test('partitions follow each other on whole MiB; what has no room is refused', () => {
  assert.deepEqual(
    placed.map(({ number, from, size }) => [number, from / MIB, size / MIB]),
    [[14, 1, 3], [15, 4, 4], [1, 8, 23]], // prettier-ignore
  );
  assert.throws(() => layOut(9 * MIB, CLOUD), /no room for root/);
});

test('sfdisk takes the table for good, both copies of it', () => {
  const path = join(folder, 'table');
  const disk = Buffer.alloc(DISK);
  for (const { at, bytes } of partitionTable(DISK, placed)) disk.set(bytes, at);
  writeFileSync(path, disk);
  assert.match(execFileSync('/sbin/sfdisk', ['--verify', path], { encoding: 'utf8' }), /No errors detected/);
  const dump = execFileSync('/sbin/sfdisk', ['--dump', path], { encoding: 'utf8' });
  assert.match(dump, /label: gpt/);
  assert.match(dump, /table15 : start= +8192, size= +8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, .*name="efi"/);
  // The first copy is lost: the second one serves.
  disk.fill(0, 512, 34 * 512);
  writeFileSync(path, disk);
  const again = execFileSync('/sbin/sfdisk', ['--dump', path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  assert.match(again, /table1 : start= +16384, size= +47104, type=4F68BCE3/);
});

for (const format of FORMATS)
  test(`the boot loader reads kernel, initrd and arguments from such a disk, ${format}`, async () => {
    const path = join(folder, `disk.${format}`);
    const kernel = Buffer.alloc(3 * MIB, 'kernel');
    const files = { 'boot/grub/grub.cfg': GRUB_CFG, 'boot/vmlinuz-6.1.0': kernel, 'boot/initrd.img-6.1.0': 'initrd' };
    const root = extImage(files, ['-t', 'ext4'], '16M');
    await create_image(path, { format, size: DISK });
    const image = await open_image(path, { format });
    for (const { at, bytes } of partitionTable(DISK, placed)) await image.write(at, [bytes]);
    await image.write(placed[2]!.from, [root]);
    const booted = await bootFromImage(image, { args: 'console=hvc0' });
    await image.close();
    assert.equal(booted.kernelPath, '/boot/vmlinuz-6.1.0');
    assert.ok(kernel.equals(booted.kernel));
    assert.equal(Buffer.from(booted.ramdisk!).toString(), 'initrd');
    assert.equal(booted.args, 'root=PARTUUID=1b9a67b8-01 ro console=tty0 console=ttyS0,115200 console=hvc0');
  });
