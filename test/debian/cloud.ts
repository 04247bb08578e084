// A disk as Debian's cloud images are laid out: with a menu as grub-mkconfig writes it, made of the root file system that we build.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianImage } from '../../guests/debian/build.ts';
import type { DiskImage } from '../../services/block/image/image.ts';
import { create_image, open_image } from '../../services/block/image/open.ts';
import { BoundedDisk, MemoryDisk } from '../../services/bootloader/protocol/disk.ts';
import { partitions } from '../../services/bootloader/protocol/partitions.ts';
import { layOut, partitionTable } from '../../services/image_builder/gpt.ts';
import { need } from '../../tools/apt.ts';

const MIB = 1 << 20;
const STEP = 4 * MIB;
const ZEROS = Buffer.alloc(STEP);
const BIOS_BOOT = 3 * MIB;
const EFI = 124 * MIB;

/** Where the root file system lies in an image that we build. */
async function rootOf(image: DiskImage): Promise<{ from: number; size: number }> {
  const head = Buffer.alloc(MIB);
  await image.read(0, [head]);
  // The table alone tells; what it names is not looked at here.
  const disk = new (class extends MemoryDisk {
    override get size(): number {
      return image.size;
    }
  })(head);
  return partitions(new BoundedDisk(disk, { bytes: MIB })).find(({ number }) => number === 1)!;
}

async function copy(source: DiskImage, from: number, target: DiskImage, to: number, size: number): Promise<void> {
  for (let at = 0; at < size; at += STEP) {
    const bytes = Buffer.alloc(Math.min(STEP, size - at));
    await source.read(from + at, [bytes]);
    if (!bytes.equals(ZEROS.subarray(0, bytes.length))) await target.write(to + at, [bytes]);
  }
}

const MENU_HEAD = `if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
set default="0"
if [ x"\${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
serial --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=5
`;

/** As grub-mkconfig names things: the kernel with its version, the root by UUID, consoles that this host does not have. */
const menuEntry = (uuid: string, release: string, name: string, args: string): string => `
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option 'gnulinux-${name}-${uuid}' {
  insmod part_gpt
  insmod ext2
  search --no-floppy --fs-uuid --set=root ${uuid}
  echo 'Loading Linux ${release} ...'
  linux /boot/vmlinuz-${release} root=UUID=${uuid} ro ${args}console=tty0 console=ttyS0,115200
  initrd /boot/initrd.img-${release}
}
`;

const menu = (uuid: string, release: string): string =>
  `${MENU_HEAD}${menuEntry(uuid, release, 'simple', '')}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-${uuid}' {
${menuEntry(uuid, release, 'recovery', 'single ')}}
`;

const debugfs = (path: string, request: string): string =>
  execFileSync('/sbin/debugfs', ['-w', '-R', request, path], { encoding: 'utf8', stdio: 'pipe' });

/** The root file system of the image that we build, with that menu; gives its length. */
async function root(path: string, folder: string): Promise<number> {
  const image = await open_image((await debianImage()).path, { format: 'qcow2', readonly: true });
  const { from, size } = await rootOf(image);
  await create_image(path, { format: 'raw', size });
  const target = await open_image(path, { format: 'raw' });
  await copy(image, from, target, 0, size);
  await Promise.all([image.close(), target.close()]);
  const release = /vmlinuz-(\S+)/.exec(debugfs(path, 'ls -p /boot').replaceAll('/', ' '))![1]!;
  const uuid = /UUID: +(\S+)/.exec(debugfs(path, 'stats'))![1]!;
  const own = join(folder, 'grub.cfg');
  writeFileSync(own, menu(uuid, release));
  debugfs(path, 'rm /boot/grub/grub.cfg');
  debugfs(path, `write ${own} /boot/grub/grub.cfg`);
  return size;
}

/** An EFI system partition with a file, as mkfs.fat makes it. */
async function efiPartition(folder: string): Promise<Buffer> {
  await need('dosfstools');
  const path = join(folder, 'efi');
  execFileSync('/sbin/mkfs.fat', ['-C', path, String(EFI / 1024)], { stdio: 'ignore' });
  const bytes = readFileSync(path);
  rmSync(path);
  return bytes;
}

/** GPT: BIOS boot, EFI system, and behind them the root as number 1. Gives the qcow2 image's path. */
export async function cloudDisk(folder: string): Promise<string> {
  const file = join(folder, 'root');
  const length = await root(file, folder);
  const path = join(folder, 'cloud.qcow2');
  const size = length + BIOS_BOOT + EFI + 4 * MIB;
  const placed = layOut(size, [
    { type: 'bios-boot', number: 14, size: BIOS_BOOT, name: '' },
    { type: 'efi-system', number: 15, size: EFI, name: '' },
    { type: 'linux-root-x86-64', number: 1, name: '' },
  ]);
  await create_image(path, { format: 'qcow2', size });
  const [image, source] = [await open_image(path, { format: 'qcow2' }), await open_image(file, { format: 'raw' })];
  for (const { at, bytes } of partitionTable(size, placed)) await image.write(at, [bytes]);
  // GRUB's second part: code, which nobody here runs.
  await image.write(placed[0]!.from, [randomBytes(100 * 1024)]);
  await image.write(placed[1]!.from, [await efiPartition(folder)]);
  await copy(source, 0, image, placed[2]!.from, length);
  await Promise.all([image.close(), source.close()]);
  rmSync(file);
  return path;
}
