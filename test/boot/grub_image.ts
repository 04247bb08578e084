// Images of GRUB with a memory disk, made by Debian's grub-mkimage.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** GRUB for `platform` with its configuration and the files that it is to load. */
export function grubImage(
  platform: 'i386-xen_pvh' | 'x86_64-xen' | 'i386-xen',
  config: string,
  files: Readonly<Record<string, string>>,
): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), 'xenolith-grub-'));
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: dir });
  try {
    writeFileSync(join(dir, 'grub.cfg'), config);
    writeFileSync(join(dir, 'early.cfg'), 'normal (memdisk)/grub.cfg\n');
    for (const [name, path] of Object.entries(files)) copyFileSync(path, join(dir, name));
    run('tar', 'cf', 'memdisk.tar', 'grub.cfg', ...Object.keys(files));
    // xzio: GRUB for PV unpacks the kernel itself.
    const modules = ['memdisk', 'tar', 'normal', 'linux', 'echo', 'configfile', 'xzio'];
    const options = ['-O', platform, '-c', 'early.cfg', '-m', 'memdisk.tar', '-p', '(memdisk)/', '-o', 'grub.elf'];
    run('grub-mkimage', ...options, ...modules);
    return readFileSync(join(dir, 'grub.elf'));
  } finally {
    rmSync(dir, { recursive: true });
  }
}
