/** An initial RAM disk with Debian's own network driver: the guest image's, with a second archive behind it. `net` there brings eth0 up. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compiled, OUT } from '../build.ts';
import { modules } from '../disk/build.ts';
import { directory, file, writeCpio } from '../../services/image_builder/cpio.ts';
import { guestImage } from '../image/index.ts';

/** In the order in which they are loaded. */
const MODULES = ['xen-netfront'];
/** For QEMU's interfaces, which the benchmark compares with. */
const VIRTIO = ['virtio_ring', 'virtio', 'virtio_mmio', 'failover', 'net_failover', 'virtio_net'];

/** Our own files, and where they go. */
const PLACES = { init: 'net/init', dhcp: 'net/dhcp', up: 'bin/net', traffic: 'bin/traffic' };

/** What the machine runs first: `rdinit=`. */
export const NET_INIT = '/net/init';

/** Path of the RAM disk; `virtio`: with QEMU's driver instead of Xen's. Made once. */
export async function netInitrd(virtio = false): Promise<string> {
  const { initrd, sha256, release } = guestImage();
  const source = join(import.meta.dirname, 'traffic.c');
  const traffic = compiled('net-traffic', ['-O2', '-g0', '-std=gnu11', '-Wall', '-static'], [source], []);
  const own = Object.entries(PLACES).map(([name, path]) => {
    return { path, content: readFileSync(name === 'traffic' ? traffic : join(import.meta.dirname, name)) };
  });
  const names = virtio ? VIRTIO : MODULES;
  const hash = createHash('sha256').update(JSON.stringify([sha256.initrd, release, names]));
  for (const { content } of own) hash.update(content);
  const path = join(OUT, `net-initrd-${hash.digest('hex').slice(0, 16)}.cpio`);
  if (existsSync(path)) return path;
  const files = await modules(names);
  const added = writeCpio([
    directory('net'),
    ...own.map(({ path, content }) => file(path, content, 0o755)),
    file('net/order', Buffer.from(names.map((name) => `${name}.ko\n`).join(''))),
    ...names.map((name) => file(`net/${name}.ko`, files.get(name)!)),
  ]);
  mkdirSync(OUT, { recursive: true });
  const partial = `${path}.${process.pid}.tmp`;
  writeFileSync(partial, Buffer.concat([readFileSync(initrd), added]));
  renameSync(partial, path);
  return path;
}
