/** The initial RAM disk of a machine that writes records until it is killed: that with Debian's drivers for disks, and a program. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { directory, file, writeCpio } from '../../services/image_builder/cpio.ts';
import { compiled, OUT } from '../build.ts';
import { diskInitrd } from '../disk/build.ts';

export const RECORDS_INIT = '/disk/records-init';

export async function recordsInitrd(): Promise<string> {
  const flags = ['-O2', '-g0', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-static'];
  const program = compiled('disk-records', flags, [join(import.meta.dirname, 'records.c')], []);
  const added = writeCpio([
    directory('disk'),
    file('disk/records', readFileSync(program), 0o755),
    file('disk/records-init', readFileSync(join(import.meta.dirname, 'records-init')), 0o755),
  ]);
  const whole = Buffer.concat([readFileSync(await diskInitrd()), added]);
  const path = join(OUT, `records-initrd-${createHash('sha256').update(whole).digest('hex').slice(0, 16)}.cpio`);
  if (existsSync(path)) return path;
  const partial = `${path}.${process.pid}.tmp`;
  writeFileSync(partial, whole);
  renameSync(partial, path);
  return path;
}
