// Unpacked kernels, kept: to unpack one takes longer than all else before a guest's first instruction.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { compactElf, extractElf, isPacked, parseElf } from '../services/domain_builder/protocol/index.ts';

const FOLDER = fileURLToPath(new URL('../build/cache/kernels', import.meta.url));
/** So many stay: the ones used last. */
const KEPT = 4;
/** Counted up when what is kept changes its form. */
const FORM = 1;

/** The kernel file's ELF image: itself, or what a bzImage or a gzip file holds. The domain builder checks what it is. */
export function elfImage(file: Uint8Array, folder = FOLDER): Uint8Array {
  if (!isPacked(file)) return file;
  const path = placeOf(file, folder);
  const known = lookUp(path);
  if (known) return known;
  const elf = compactElf(extractElf(file));
  try {
    keep(folder, path, elf);
  } catch {
    // A full disk or a folder that may not be written: the next start unpacks again.
  }
  return elf;
}

const placeOf = (file: Uint8Array, folder: string): string =>
  join(folder, `${createHash('sha256').update(file).digest('hex')}.${FORM}`);

/**
 * Unpacks a kernel that is not kept yet in a thread of its own: who has others to serve calls this before `elfImage`, which
 * then finds it. A file that cannot be read or unpacked is `elfImage`'s to complain of.
 */
export async function prepareKernel(file: Uint8Array, folder = FOLDER): Promise<void> {
  if (!isPacked(file) || existsSync(placeOf(file, folder))) return;
  const worker = new Worker(new URL('./kernel_worker.ts', import.meta.url), { workerData: { file, folder } });
  await new Promise<void>((resolve) => {
    worker.once('error', () => resolve());
    worker.once('exit', () => resolve());
  });
}

function lookUp(path: string): Uint8Array | undefined {
  try {
    const elf = readFileSync(path);
    parseElf(elf); // throws if it is shorter than what was to be written
    const now = new Date();
    utimesSync(path, now, now);
    return elf;
  } catch {
    return undefined;
  }
}

function keep(folder: string, path: string, elf: Uint8Array): void {
  mkdirSync(folder, { recursive: true });
  // One name: a writer who was killed leaves at most this, and two at a time write the same bytes.
  const fresh = `${path}.new`;
  try {
    writeFileSync(fresh, elf);
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  const files = readdirSync(folder).map((name) => join(folder, name));
  const age = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const oldest = files.map((file) => [age(file), file] as const).sort(([a], [b]) => b - a);
  for (const [, file] of oldest.slice(KEPT)) rmSync(file, { force: true });
}
