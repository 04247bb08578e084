/** The machine that installs: a PVH guest of this hypervisor with the new disk and the archive of its contents, and no network. */
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import type { ImageOptions } from '../block/backend/messages.ts';
import { buildDomain } from '../domain_builder/protocol/index.ts';
import { OrderError } from '../lib/supervisor.ts';
import { Host } from '../xenops/host.ts';
import { ImageError } from './apt.ts';
import { characterDevice, directory, file, link, writeCpio, type CpioEntry } from './cpio.ts';
import { unpack } from './deb.ts';

const MIB = 1 << 20;
const MEMORY_MIB = 512;
/** For what domains need beside their memory. */
const SPARE_MIB = 16;
const XVDA = 51712;
const VBD_STEP = 16;

/** In the order in which they are loaded. */
const MODULES = ['crc16', 'crc32c_generic', 'mbcache', 'jbd2', 'ext4', 'xen-blkfront'];
/** mke2fs and what it is linked with, by package. */
const PROGRAMS: Readonly<Record<string, RegExp[]>> = {
  e2fsprogs: [/^sbin\/mke2fs$/, /^etc\/mke2fs\.conf$/],
  libext2fs2: [/\/libext2fs\.so\.2\.\d+$/, /\/libe2p\.so\.2\.\d+$/],
  'libcom-err2': [/\/libcom_err\.so\.2\.\d+$/],
  libblkid1: [/\/libblkid\.so\.1\.\d[\d.]*$/],
  libuuid1: [/\/libuuid\.so\.1\.\d[\d.]*$/],
  libc6: [/\/libc\.so\.6$/, /\/ld-linux-x86-64\.so\.2$/],
};
const COMMANDS = 'chroot cat cp cut echo hostname insmod mkdir mount poweroff rm sh sleep sync tar umount'.split(' ');

export interface Installer {
  kernel: Uint8Array;
  initrd: Uint8Array;
}

/** The package of a name among files of packages. */
export function debOf(debs: readonly string[], name: RegExp | string): string {
  const fits = (base: string): boolean => (typeof name === 'string' ? base.startsWith(`${name}_`) : name.test(base));
  const found = debs.find((deb) => fits(deb.slice(deb.lastIndexOf('/') + 1)));
  if (found === undefined) throw new ImageError(`there is no package ${name} among those of the system.`);
  return found;
}

/** `files`: the first program (`init`) and what it needs beside mke2fs and busybox. */
export async function makeInstaller(
  debs: readonly string[],
  busyboxDeb: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<Installer> {
  const kernelDeb = debOf(debs, /^linux-image-\d/);
  const module = (name: string): RegExp => new RegExp(`/${name}\\.ko$`);
  const [vmlinuz, ...modules] = await unpack(kernelDeb, [/^boot\/vmlinuz-/, ...MODULES.map(module)]);
  const [busybox] = await unpack(busyboxDeb, [/^(usr\/)?bin\/busybox$/]);
  const entries: CpioEntry[] = ['bin', 'dev', 'etc', 'lib', 'lib64', 'modules', 'proc', 'seed', 'sbin', 'sys'].map((name) => directory(name)); // prettier-ignore
  entries.push(characterDevice('dev/console', 5, 1), file('bin/busybox', busybox!.content, 0o755)); // prettier-ignore
  entries.push(...COMMANDS.map((name) => link(`bin/${name}`, 'busybox')));
  entries.push(file('modules/order', Buffer.from(MODULES.map((name) => `${name}\n`).join(''))));
  MODULES.forEach((name, i) => entries.push(file(`modules/${name}.ko`, modules[i]!.content)));
  for (const [name, patterns] of Object.entries(PROGRAMS))
    for (const { path, content } of await unpack(debOf(debs, name), patterns)) {
      const base = path.slice(path.lastIndexOf('/') + 1);
      // The loader looks for names with the first number only.
      if (base.includes('.so.'))
        entries.push(
          file(`${base.startsWith('ld-') ? 'lib64' : 'lib'}/${base.replace(/(\.so\.\d+).*/, '$1')}`, content, 0o755),
        );
      else entries.push(file(path, content, 0o755));
    }
  for (const [name, content] of files) entries.push(file(name, content, 0o700));
  return { kernel: vmlinuz!.content, initrd: writeCpio(entries) };
}

export interface Installation {
  /** an ELF file */
  kernel: Uint8Array;
  initrd: Uint8Array;
  cmdline: string;
  /** xvda, xvdb */
  disks: readonly ImageOptions[];
  /** each line of the console */
  onLine: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** Runs it to its end; throws unless it powers off by itself. */
export async function install({ kernel, initrd, cmdline, disks, onLine, signal }: Installation): Promise<void> {
  const plan = buildDomain({ type: 'pvh', kernel, initrd, cmdline, memory: MEMORY_MIB * MIB });
  const machine = new Machine({ memory: plan.size + SPARE_MIB * MIB }, loadCore());
  const stop = new AbortController();
  let failure: Error | undefined;
  machine.onFailure((error) => {
    failure = error;
    stop.abort();
  });
  const host = new Host(machine);
  try {
    const open = await openAll(host, disks);
    let rest = '';
    const write = (bytes: Uint8Array): void => {
      const lines = (rest + Buffer.from(bytes).toString('latin1')).split(/\r?\n/);
      rest = lines.pop()!;
      for (const line of lines) onLine(line);
    };
    const options = { name: 'installer', plan, memoryKib: MEMORY_MIB * 1024, vcpus: 1, console: { write } };
    const guest = host.create({ ...options, disks: open });
    await host.run(() => guest.outcome !== null, AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]));
    while (host.pump());
    const { outcome } = guest;
    guest.destroy();
    if (failure) throw failure;
    signal?.throwIfAborted();
    if (outcome !== 'poweroff') throw new ImageError(`the machine that installs ended by ${outcome}.`);
  } finally {
    await host.stop();
  }
}

async function openAll(host: Host, disks: readonly ImageOptions[]) {
  try {
    return await host.disks.open(
      disks.map((image, i) => ({
        ...{ vdev: `xvd${'ab'[i]}`, number: XVDA + i * VBD_STEP, image },
        ...{ cdrom: false, discard: true, sectorSize: 512 },
      })),
    );
  } catch (error) {
    if (!(error instanceof OrderError)) throw error;
    throw new ImageError(error.message);
  }
}
