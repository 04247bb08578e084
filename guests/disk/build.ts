/** An initial RAM disk with Debian's own drivers for disks and ext4: the guest image's, with a second archive behind it. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ROOT } from '../../bin/setup.cjs';
import { compiled, OUT } from '../build.ts';
import { Apt, start } from '../../services/image_builder/apt.ts';
import { directory, file, writeCpio } from '../../services/image_builder/cpio.ts';
import { guestImage } from '../image/index.ts';
import { untar } from '../../services/image_builder/tar.ts';

/** In the order in which they are loaded. */
const MODULES = ['crc16', 'crc32c_generic', 'mbcache', 'jbd2', 'ext4', 'xen-blkfront'];
/** For QEMU's disks, which the benchmarks compare with. */
const VIRTIO = ['virtio_ring', 'virtio', 'virtio_mmio', 'virtio_blk'];

/** What the machine runs first: `rdinit=`. */
export const DISK_INIT = '/disk/init';
/** The same, to measure a disk: with `disk=` and `seconds=`. */
export const DISK_BENCH_INIT = '/disk/bench-init';

const PROGRAM_FLAGS = ['-m64', '-O2', '-g0', '-std=gnu11', '-static', '-Wall', '-Wextra', '-Werror'];

export async function modules(names: readonly string[]): Promise<Map<string, Uint8Array>> {
  const { packages } = guestImage();
  const [name] = packages.find((each) => each.startsWith('linux-image'))!.split(' ');
  const apt = new Apt(join(ROOT, 'build', 'apt'));
  const deb = await apt.download(await apt.show(name!));
  const found = new Map<string, Uint8Array>();
  const nameOf = (path: string): string => /([\w-]+)\.ko$/.exec(path)?.[1] ?? '';
  const { child, ended } = start('dpkg-deb', ['--fsys-tarfile', deb], { piped: true });
  for await (const entry of untar(child.stdout as Readable, (path) => names.includes(nameOf(path))))
    found.set(nameOf(entry.path), entry.content);
  // What follows the archive's end is not read: what still writes it ends at the closed pipe.
  for (const stream of child.stdio) stream?.destroy();
  ended.catch(() => {});
  const missing = names.find((each) => !found.has(each));
  if (missing) throw new Error(`${deb} has no ${missing}.ko`);
  return found;
}

/** Path of the RAM disk; `bench`: with a program that measures, and QEMU's drivers too. Made once. */
export async function diskInitrd(bench = false): Promise<string> {
  const { initrd, sha256, release } = guestImage();
  const here = (name: string): Buffer => readFileSync(join(import.meta.dirname, name));
  const scripts = bench ? ['init', 'bench-init'] : ['init'];
  const io = bench ? compiled('disk-io', PROGRAM_FLAGS, [join(import.meta.dirname, 'io.c')], []) : undefined;
  const names = bench ? [...MODULES, ...VIRTIO] : MODULES;
  const key = createHash('sha256')
    .update(JSON.stringify([sha256.initrd, release, names, io, ...scripts.map((name) => here(name).toString())]))
    .digest('hex');
  const path = join(OUT, `disk-initrd-${key.slice(0, 16)}.cpio`);
  if (existsSync(path)) return path;
  const files = await modules(names);
  const added = writeCpio([
    directory('disk'),
    ...scripts.map((name) => file(`disk/${name}`, here(name), 0o755)),
    ...(io ? [file('disk/io', readFileSync(io), 0o755)] : []),
    file('disk/order', Buffer.from(names.map((name) => `${name}.ko\n`).join(''))),
    ...names.map((name) => file(`disk/${name}.ko`, files.get(name)!)),
  ]);
  mkdirSync(OUT, { recursive: true });
  const partial = `${path}.${process.pid}.tmp`;
  writeFileSync(partial, Buffer.concat([readFileSync(initrd), added]));
  renameSync(partial, path);
  return path;
}
