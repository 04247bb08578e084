// Images that a person names: read with bounds.
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';

/** A file that cannot be had: one sentence, exit 65. */
export class Unreadable extends Error {}

/** No guest has more memory; a kernel with all its symbols is far smaller. */
const LARGEST = 3 * 2 ** 30 - 1;
const CHUNK = 1 << 20;

/** The system's error codes in words. */
export const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is no folder',
  ELOOP: 'its links go in a circle',
};

/** A reason of our own, beside the system's error codes. */
class Refusal extends Error {}

export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

export function readInput(what: string, path: string, largest = LARGEST): Uint8Array {
  try {
    const fd = openSync(path, 'r');
    try {
      return contents(fd, largest);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const why =
      error instanceof Refusal ? error.message : (WHY[codeOf(error)] ?? `reading fails with ${codeOf(error)}`);
    throw new Unreadable(`the ${what} ${path}: ${why}; name a readable file.`);
  }
}

/** A regular file at once; a pipe until it ends. Devices have no end. */
function contents(fd: number, largest: number): Uint8Array {
  const stat = fstatSync(fd);
  if (stat.isFile()) {
    if (stat.size > largest) throw tooLarge(largest);
    return stat.size < 2 ** 31 - 1 ? readFileSync(fd) : readAll(fd, largest);
  }
  if (stat.isDirectory()) throw new Refusal(WHY.EISDIR);
  if (!stat.isFIFO()) throw new Refusal('it is neither a file nor a pipe');
  return readAll(fd, largest);
}

const tooLarge = (largest: number) => new Refusal(`it is larger than ${Math.ceil(largest / 2 ** 20)} MiB`);

function readAll(fd: number, largest: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let size = 0; ; ) {
    const part = new Uint8Array(CHUNK);
    const n = readSync(fd, part);
    if (n === 0) return Buffer.concat(parts);
    if ((size += n) > largest) throw tooLarge(largest);
    parts.push(part.subarray(0, n));
  }
}
