// Makes the guest image: an unmodified Debian kernel and a small user land, from Debian packages, as any user.
// Everything is written beside its place and moved there whole; a broken-off run goes on from what it has fetched.
import '../../bin/parent.cjs';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, recipeHash } from '../../bin/setup.cjs';
import { Apt, ImageError } from '../../services/image_builder/apt.ts';
import { characterDevice, directory, file, link, writeCpio } from '../../services/image_builder/cpio.ts';
import type { ImageInfo } from './index.ts';
import { unpack } from '../../services/image_builder/deb.ts';

const KERNEL_META = 'linux-image-amd64';
const USER_LAND = 'busybox-static';

/** Commands that something calls by path: the kernel (poweroff, reboot), scripts, `env` and `xargs`. The shell itself
 * finds every applet without a link. */
const LINKS = {
  bin: 'sh cat cp cttyhack date dmesg echo env false free grep head kill less ln ls mkdir mount mv ps rm sed sleep sort stat'
    .concat(' sync tail tar test top touch true umount uname uptime vi wc xargs')
    .split(' '),
  sbin: ['halt', 'ifconfig', 'init', 'insmod', 'ip', 'modprobe', 'poweroff', 'reboot'],
};

function initramfs(busybox: Uint8Array, kernel: string): Buffer {
  const own = (name: string) => readFileSync(join(import.meta.dirname, name));
  const folders = ['bin', 'sbin', 'dev', 'proc', 'sys', 'etc', 'root', 'run', 'tmp'];
  const issue = `\nDebian's ${kernel} under Xenolith. \`poweroff\` ends the machine, Ctrl-] leaves it.\n\n`;
  return writeCpio([
    ...folders.map((path) => directory(path)),
    characterDevice('dev/console', 5, 1),
    file('bin/busybox', busybox, 0o755),
    ...LINKS.bin.map((name) => link(`bin/${name}`, 'busybox')),
    ...LINKS.sbin.map((name) => link(`sbin/${name}`, '../bin/busybox')),
    file('etc/passwd', Buffer.from('root::0:0:root:/root:/bin/sh\n')),
    file('etc/group', Buffer.from('root:x:0:\n')),
    file('etc/issue', Buffer.from(issue)),
    ...['inittab', 'profile', 'tour'].map((name) => file(`etc/${name}`, own(name))),
    file('init', own('init'), 0o755),
  ]);
}

/** Fetches, unpacks and assembles; gives the folder. */
export async function buildImage(folder = join(ROOT, 'build')): Promise<string> {
  const apt = new Apt(join(folder, 'apt'));
  await apt.update();
  const meta = await apt.show(KERNEL_META);
  const kernelName = /linux-image-[\w.+-]+-amd64/.exec(meta.Depends ?? '')?.[0];
  if (!kernelName) throw new ImageError(`${KERNEL_META} names no kernel package.`);
  const kernelPackage = await apt.show(kernelName);
  const userPackage = await apt.show(USER_LAND);
  const kernelDeb = await apt.download(kernelPackage);
  const userDeb = await apt.download(userPackage);

  const [vmlinuz] = await unpack(kernelDeb, [/^boot\/vmlinuz-/]);
  const [busybox] = await unpack(userDeb, [/^(usr\/)?bin\/busybox$/]);
  const release = vmlinuz.path.replace('boot/vmlinuz-', '');
  const initrd = initramfs(busybox.content, `Linux ${release}`);

  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const info: ImageInfo = {
    recipe: recipeHash(),
    kernel: 'vmlinuz',
    initrd: 'initrd.cpio',
    release,
    packages: [kernelPackage, userPackage].map(({ Package, Version }) => `${Package} ${Version}`),
    sha256: { kernel: sha256(vmlinuz.content), initrd: sha256(initrd) },
  };
  return replaceImage(join(folder, 'image'), { [info.kernel]: vmlinuz.content, [info.initrd]: initrd }, info);
}

/** Writes the files aside, then puts their folder in the place of the old one. */
function replaceImage(image: string, files: Record<string, Uint8Array>, info: ImageInfo): string {
  const fresh = `${image}.new`;
  const old = `${image}.old`;
  const clean = () => [fresh, old].forEach((left) => rmSync(left, { recursive: true, force: true }));
  clean();
  try {
    mkdirSync(fresh, { recursive: true });
    for (const [name, content] of Object.entries(files)) writeFileSync(join(fresh, name), content);
    writeFileSync(join(fresh, 'image.json'), `${JSON.stringify(info, undefined, 2)}\n`);
    if (existsSync(image)) renameSync(image, old);
    renameSync(fresh, image);
  } finally {
    clean();
  }
  return image;
}

/** What went wrong, as one sentence if it is not our own fault. */
function complaint(error: Error): string {
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (error instanceof ImageError) return `xenolith: ${error.message}`;
  if (syscall === undefined) return error.stack ?? error.message;
  return `xenolith: the guest image cannot be written (${code} at ${path ?? syscall}): make room or give the right to, then start again.`;
}

if (import.meta.main) {
  await buildImage(process.argv[2]).catch((error: Error) => {
    console.error(complaint(error));
    process.exitCode = 1;
  });
}
