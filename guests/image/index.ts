// The guest image, for whoever boots it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../bin/setup.cjs';

/** `build/image/image.json` */
export interface ImageInfo {
  /** content hash of what the image was made with */
  recipe: string;
  /** file names in the image's folder */
  kernel: string;
  initrd: string;
  /** as `uname -r` says */
  release: string;
  /** package and version */
  packages: string[];
  sha256: { kernel: string; initrd: string };
}

export interface Image extends ImageInfo {
  folder: string;
}

/** The image that set-up has made; kernel and initrd as whole paths. */
export function guestImage(folder = join(ROOT, 'build', 'image')): Image {
  let info: ImageInfo;
  try {
    info = JSON.parse(readFileSync(join(folder, 'image.json'), 'utf8'));
  } catch {
    throw new Error('there is no guest image yet: `node bin/task image` makes it.');
  }
  return { ...info, folder, kernel: join(folder, info.kernel), initrd: join(folder, info.initrd) };
}
