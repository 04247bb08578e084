// The image's kernel as the ELF file inside its bzImage: what QEMU's PVH boot wants.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { extractElf } from '../../services/domain_builder/protocol/index.ts';
import type { Image } from './index.ts';

/** Path of the uncompressed kernel, kept beside the compressed one. */
export function kernelElf(image: Image): string {
  const file = join(image.folder, 'vmlinux');
  if (!existsSync(file)) {
    const fresh = `${file}.${process.pid}`;
    writeFileSync(fresh, extractElf(readFileSync(image.kernel)));
    renameSync(fresh, file);
  }
  return file;
}
