// Disk images for the tests, made by Debian's tools without root.
import { execFileSync, type ExecFileSyncOptions } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { need } from '../tools/apt.ts';

/** Contents by path; a link is its target behind `->`. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

const quiet: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'pipe'] };

export async function tools(): Promise<void> {
  await need('e2fsprogs', 'genisoimage', 'fdisk');
}

/** A folder with these files, gone when `use` is done. */
export function withFolder<T>(files: Files, use: (folder: string, scratch: string) => T): T {
  const scratch = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
  try {
    const folder = join(scratch, 'root');
    mkdirSync(folder);
    for (const [path, contents] of Object.entries(files)) {
      const at = join(folder, path);
      mkdirSync(dirname(at), { recursive: true });
      if (typeof contents === 'string' && contents.startsWith('->')) symlinkSync(contents.slice(2), at);
      else writeFileSync(at, contents);
    }
    return use(folder, scratch);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** `options`: mke2fs's own. */
export function extImage(files: Files, options: readonly string[], size = '24M'): Uint8Array {
  return withFolder(files, (folder, scratch) => {
    const image = join(scratch, 'image');
    execFileSync('/sbin/mke2fs', ['-q', '-F', ...options, '-d', folder, image, size], quiet);
    return readFileSync(image);
  });
}

export function isoImage(files: Files, options: readonly string[]): Uint8Array {
  return withFolder(files, (folder, scratch) => {
    const image = join(scratch, 'image');
    execFileSync('genisoimage', ['-quiet', ...options, '-o', image, folder], quiet);
    return readFileSync(image);
  });
}

export interface Part {
  /** In sectors of 512 bytes. */
  start: number;
  contents: Uint8Array;
}

/** `script`: sfdisk's own language; contents go where it puts the partitions. */
export function disk(script: string, sectors: number, parts: readonly Part[]): Uint8Array {
  const scratch = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
  try {
    const image = join(scratch, 'disk');
    writeFileSync(image, new Uint8Array(sectors * 512));
    execFileSync('/sbin/sfdisk', ['-q', image], { input: script, stdio: ['pipe', 'ignore', 'pipe'] });
    const bytes = readFileSync(image);
    for (const { start, contents } of parts) bytes.set(contents, start * 512);
    return bytes;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
