/** A whole Debian on a disk for tests and benchmarks, made once by `xenolith image build`: minutes, so only what runs long asks for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { acquire } from '../../bin/lock.cjs';
import { ROOT, V8_FLAGS } from '../../bin/setup.cjs';
import { create_image } from '../../services/block/image/open.ts';
import { need } from '../../tools/apt.ts';
import { OUT } from '../build.ts';

const FOLDER = join(OUT, 'debian');
const BUILDER = join(ROOT, 'services', 'image_builder');

export interface DebianImage {
  /** a qcow2 image, never written to: see `overlay` */
  path: string;
  /** with which ssh lets root in */
  key: string;
}

/** Content hash of the recipe: another image when it changes. */
function recipe(): string {
  const hash = createHash('sha256');
  for (const folder of [BUILDER, join(BUILDER, 'debian')])
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isFile() && !entry.name.endsWith('.test.ts')) hash.update(readFileSync(join(folder, entry.name)));
  return hash.digest('hex').slice(0, 16);
}

/** The image, made when it is missing; with further packages it is another one. */
export async function debianImage(include: readonly string[] = []): Promise<DebianImage> {
  await need('openssh-client');
  mkdirSync(FOLDER, { recursive: true });
  const key = join(FOLDER, 'key');
  const current = recipe();
  const path = join(FOLDER, `${[current, ...include].join('-')}.qcow2`);
  const held = await acquire(FOLDER);
  try {
    if (!existsSync(key)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', key]);
    for (const name of readdirSync(FOLDER))
      if (/^[0-9a-f]{16}.*\.qcow2$/.test(name) && !name.startsWith(current)) rmSync(join(FOLDER, name));
    if (!existsSync(path)) make(path, key, include);
  } finally {
    held.release();
  }
  return { path, key };
}

function make(path: string, key: string, include: readonly string[]): void {
  const fresh = join(FOLDER, 'new.qcow2');
  rmSync(fresh, { force: true });
  const more = include.length > 0 ? ['--include', include.join(',')] : [];
  const order = ['image', 'build', 'debian', fresh, '--authorized-keys', `${key}.pub`, ...more];
  const { status } = spawnSync(process.execPath, [...V8_FLAGS, join(ROOT, 'cli', 'main.ts'), ...order], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error(`\`xenolith image build debian\` ended with ${status}`);
  renameSync(fresh, path);
}

/** A disk that begins as the image and takes what is written. */
export async function overlay({ path }: DebianImage, place: string): Promise<string> {
  await create_image(place, { format: 'qcow2', backing: { path, format: 'qcow2' } });
  return place;
}
