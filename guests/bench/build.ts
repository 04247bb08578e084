/** Builds the bench program and the initial RAM disk that has it: the guest image's, with a second archive behind it. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { compiled, OUT, sourcesOf } from '../build.ts';
import { directory, file, writeCpio } from '../../services/image_builder/cpio.ts';
import type { Image } from '../image/index.ts';
import { largeProgram } from './large.ts';

const HERE = import.meta.dirname;
/** As a distribution builds for x86-64-v2; no contraction, so that sums are equal everywhere. */
const FLAGS = ['-m64', '-O2', '-g0', '-march=x86-64-v2', '-ffp-contract=off', '-std=gnu11', '-static'].concat([
  ...['-fno-math-errno', '-Wall', '-Wextra', '-Werror'],
]);
const TINY = 'tiny.c';
/** What the machine runs first. */
export const BENCH_INIT = '/bench/bench';

export interface Bench {
  /** The program, which also runs on the host. */
  bench: string;
  /** What fork-exec starts: has to lie beside it as `tiny`. */
  tiny: string;
}

/** Writes a file unless it is there; its name has its content's hash. */
function written(name: string, extension: string, content: string | Uint8Array): string {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const path = join(OUT, `${name}-${hash}${extension}`);
  if (existsSync(path)) return path;
  mkdirSync(OUT, { recursive: true });
  const partial = `${path}.${process.pid}.tmp`;
  writeFileSync(partial, content);
  renameSync(partial, path);
  return path;
}

export function buildBench(): Bench {
  const units = sourcesOf(HERE, /\.c$/).filter((path) => basename(path) !== TINY);
  const headers = sourcesOf(HERE, /\.h$/);
  const large = written('bench-large', '.S', largeProgram());
  return {
    bench: compiled('bench', FLAGS, [...units, large], headers),
    tiny: compiled('bench-tiny', [...FLAGS, '-nostdlib'], [join(HERE, TINY)], []),
  };
}

/** Path of an initial RAM disk with the image's files and the bench program. Linux takes archives in a row. */
export function benchInitrd(image: Image): string {
  const { bench, tiny } = buildBench();
  const added = writeCpio([
    directory('bench'),
    file(BENCH_INIT.slice(1), readFileSync(bench), 0o755),
    file('bench/tiny', readFileSync(tiny), 0o755),
  ]);
  return written('bench-initrd', '.cpio', Buffer.concat([readFileSync(image.initrd), added]));
}
