/** An initial RAM disk with Debian's own drivers for input devices and 9p: the guest image's, with a second archive behind it. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OUT } from '../build.ts';
import { modules } from '../disk/build.ts';
import { directory, file, writeCpio } from '../../services/image_builder/cpio.ts';
import { guestImage } from '../image/index.ts';

/** In the order in which they are loaded. */
const MODULES = ['evdev', 'netfs', 'fscache', '9pnet', '9p', '9pnet_xen'];

/** What the machine runs first: `rdinit=`. */
export const DEVICES_INIT = '/devices/init';

/** Path of the RAM disk. Made once. */
export async function devicesInitrd(): Promise<string> {
  const { initrd, sha256, release } = guestImage();
  const init = readFileSync(join(import.meta.dirname, 'init'));
  const hash = createHash('sha256')
    .update(JSON.stringify([sha256.initrd, release, MODULES]))
    .update(init);
  const path = join(OUT, `devices-initrd-${hash.digest('hex').slice(0, 16)}.cpio`);
  if (existsSync(path)) return path;
  const files = await modules(MODULES);
  const added = writeCpio([
    directory('devices'),
    file('devices/init', init, 0o755),
    file('devices/order', Buffer.from(MODULES.map((name) => `${name}.ko\n`).join(''))),
    ...MODULES.map((name) => file(`devices/${name}.ko`, files.get(name)!)),
  ]);
  mkdirSync(OUT, { recursive: true });
  const partial = `${path}.${process.pid}.tmp`;
  writeFileSync(partial, Buffer.concat([readFileSync(initrd), added]));
  renameSync(partial, path);
  return path;
}
