/** `xenolith image build debian`: from packages to a disk that boots. What an earlier run has got done is not done again. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { link, unlink } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Format } from '../../block/image/image.ts';
import { create_image, open_image } from '../../block/image/open.ts';
import { Apt, ImageError } from '../apt.ts';
import { layOut, partitionTable } from '../gpt.ts';
import { install, makeInstaller } from '../installer.ts';
import { CHOSEN, FILTERS } from './packages.ts';
import { writeRoot } from './root.ts';
import { GRUB, systemFiles } from './system.ts';

export interface DebianOptions {
  format: Format;
  /** of the disk, in bytes */
  size: number;
  hostname: string;
  /** packages beside those that there always are */
  include: readonly string[];
  /** documentation, translations and hardware's drivers too */
  full: boolean;
  /** OpenSSH's lines, for root */
  authorizedKeys?: Uint8Array | undefined;
  /** root's; without one root logs in on the console as he is, and by key only elsewhere */
  password?: string | undefined;
  /** packages and what is made of them */
  cache: string;
  /** A bzImage's ELF file: unpacking it takes long, so whoever calls keeps it. */
  elfImage: (file: Uint8Array) => Uint8Array;
  /** one step begins, or is so far: `done` of `total`, of what */
  onProgress: (step: string, done?: number, total?: number, what?: string) => void;
  signal?: AbortSignal | undefined;
}

/** Lines of the console that are kept for who has to find out what went wrong. */
const KEPT_LINES = 15;

export async function buildDebian(out: string, options: DebianOptions): Promise<void> {
  if (existsSync(out)) throw new ImageError(`${out}: the file exists already; remove it or give another name.`);
  mkdirSync(options.cache, { recursive: true });
  options.onProgress('packages');
  const apt = new Apt(options.cache);
  await apt.update();
  const wanted = [...(await apt.required()), ...CHOSEN, ...options.include];
  const debs = await apt.fetch(wanted);
  const busybox = await apt.download(await apt.show('busybox-static'));
  options.signal?.throwIfAborted();
  const root = await rootArchive(apt, debs, wanted, options);
  const disk = await partDisk(out, root, options);
  const own = (name: string): Buffer => readFileSync(join(import.meta.dirname, name));
  const files = new Map<string, Uint8Array>([
    ['init', own('install')],
    ['configure', own('configure')],
    ['grub.cfg', Buffer.from(GRUB)],
  ]);
  if (options.authorizedKeys) files.set('seed/authorized_keys', options.authorizedKeys);
  if (options.password !== undefined) files.set('seed/password', Buffer.from(`root:${options.password}\n`));
  const { kernel, initrd } = await makeInstaller(debs, busybox, files);
  await installed(options.elfImage(kernel), initrd, { disk, root, count: debs.length, options });
  await link(disk.path, out); // unlike a renamed one it takes nobody's place
  for (const path of [disk.path, disk.note]) await unlink(path);
}

/** The archive of all files, made once for the same packages and the same choices. */
async function rootArchive(apt: Apt, debs: readonly string[], wanted: readonly string[], options: DebianOptions) {
  const filters = options.full ? [] : FILTERS;
  const files = systemFiles(await apt.sources(), filters);
  const hash = createHash('sha256').update(JSON.stringify([debs.map((deb) => basename(deb)), wanted, files, filters]));
  for (const name of ['root.ts', '../tar.ts']) hash.update(readFileSync(join(import.meta.dirname, name)));
  const folder = join(options.cache, 'roots');
  const path = join(folder, `${hash.digest('hex').slice(0, 32)}.tar`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const part = `${path}.part`;
  const { signal } = options;
  try {
    const onPackage = (done: number, name: string): void => options.onProgress('unpacking', done, debs.length, name);
    await writeRoot(part, debs, { filters, wanted, files, onPackage, signal });
    // One is kept: they are large.
    for (const name of readdirSync(folder)) if (name.endsWith('.tar')) rmSync(join(folder, name));
    renameSync(part, path);
  } finally {
    rmSync(part, { force: true });
  }
  return path;
}

interface PartDisk {
  path: string;
  note: string;
  uuid: string;
}

/** The disk under its working name: new, or what an earlier run for the same has left. */
async function partDisk(out: string, root: string, { format, size, hostname }: DebianOptions): Promise<PartDisk> {
  const path = `${resolve(out)}.part`;
  const note = `${path}.json`;
  const wanted = { root: basename(root), format, size, hostname };
  try {
    const { uuid, ...made } = JSON.parse(readFileSync(note, 'utf8'));
    if (typeof uuid === 'string' && existsSync(path) && JSON.stringify(made) === JSON.stringify(wanted))
      return { path, note, uuid };
  } catch {
    // There is none, or it is of another version: it is made anew.
  }
  for (const left of [path, note]) rmSync(left, { force: true });
  const uuid = randomUUID();
  await create_image(path, { format, size });
  const image = await open_image(path, { format });
  try {
    const partitions = layOut(image.size, [{ type: 'linux-root-x86-64', number: 1, name: 'root' }]);
    for (const { at, bytes } of partitionTable(image.size, partitions)) await image.write(at, [bytes]);
  } finally {
    await image.close();
  }
  writeFileSync(note, JSON.stringify({ ...wanted, uuid }));
  return { path, note, uuid };
}

interface Work {
  disk: PartDisk;
  root: string;
  /** packages */
  count: number;
  options: DebianOptions;
}

async function installed(kernel: Uint8Array, initrd: Uint8Array, { disk, root, count, options }: Work): Promise<void> {
  const { format, hostname, onProgress, signal } = options;
  const lines: string[] = [];
  let failed: string | undefined;
  let configured = 0;
  const onLine = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    const said = /^install: (.*)$/.exec(line)?.[1];
    if (said?.startsWith('failed: ')) failed = said.slice('failed: '.length);
    else if (said !== undefined) onProgress(said);
    const name = /^Setting up (\S+)/.exec(line)?.[1];
    if (name !== undefined) onProgress('configures', ++configured, count, name);
  };
  const disks = [{ path: disk.path, format, readonly: false }, { path: root, format: 'raw', readonly: true } as const];
  const cmdline = `console=hvc0 quiet install.uuid=${disk.uuid} install.hostname=${hostname}`;
  await install({ kernel, initrd, cmdline, disks, onLine, signal }).catch((error: Error) => {
    failed ??= error instanceof ImageError ? error.message : undefined;
    if (failed === undefined) throw error;
  });
  if (failed === undefined && !lines.some((line) => line.startsWith('install: done'))) failed = 'it ended early';
  if (failed !== undefined)
    throw new ImageError(`the installation failed: ${failed}. The machine's last lines:\n${lines.join('\n')}`);
}
