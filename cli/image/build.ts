// `xenolith image build`: a whole system on a new disk.
import { join } from 'node:path';
import { ROOT } from '../../bin/setup.cjs';
import { acquire } from '../../bin/lock.cjs';
import { buildDebian } from '../../services/image_builder/debian/build.ts';
import { ImageError } from '../../services/image_builder/error.ts';
import { readInput } from '../../toolstack/files.ts';
import { elfImage } from '../../toolstack/kernel.ts';
import { EXIT, UsageError } from '../options.ts';
import { formatNamed, formatOfName, parseSize, type ImageCommand } from './options.ts';

type Say = (text: string) => void;
type Value = ImageCommand['values'][string];

const MAX_KEYS = 1 << 20;
const MAX_PASSWORD = 4096;
const DEFAULT_SIZE = '2G';
/** What the system itself needs, and a little room. */
const LEAST_SIZE = '768M';
const HOSTNAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const PACKAGE = /^[a-z0-9][a-z0-9.+-]*(:[a-z0-9]+)?$/;

const text = (value: Value): string | undefined => (typeof value === 'string' ? value : undefined);

export async function build({ files, values }: ImageCommand, out: Say, complain: Say): Promise<number> {
  const [system, path] = files as [string, string];
  if (system !== 'debian') throw new UsageError(`image build makes debian, not '${system}'.`);
  const format = text(values.format) === undefined ? (formatOfName(path) ?? 'raw') : formatNamed('format', text(values.format)!); // prettier-ignore
  const hostname = text(values.hostname) ?? 'debian';
  if (!HOSTNAME.test(hostname))
    throw new UsageError(`--hostname takes small letters, digits and '-', not '${hostname}'.`);
  const include = (Array.isArray(values.include) ? values.include : []).flatMap((each) => each.split(','));
  const odd = include.find((name) => !PACKAGE.test(name));
  if (odd !== undefined) throw new UsageError(`--include takes names of packages, not '${odd}'.`);
  const given = (name: string, most: number): Uint8Array | undefined => {
    const file = text(values[name]);
    return file === undefined ? undefined : readInput(name, file, most);
  };
  const size = parseSize(text(values.size) ?? DEFAULT_SIZE);
  if (size < parseSize(LEAST_SIZE)) throw new UsageError(`--size: a Debian system takes at least ${LEAST_SIZE}.`);
  const options = {
    ...{ format, hostname, include, elfImage, full: Boolean(values.full) },
    size,
    authorizedKeys: given('authorized-keys', MAX_KEYS),
    password: passwordOf(given('password-file', MAX_PASSWORD)),
    cache: text(values.cache) ?? join(ROOT, 'build', 'apt'),
  };
  const began = performance.now();
  const held = await acquire(`packages ${options.cache}`, () =>
    complain('another build uses the packages; waiting …\n'),
  );
  const stop = new AbortController();
  const stopped = (): void => stop.abort(new ImageError('stopped; the next start goes on from here.'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stopped);
  try {
    const onProgress = values.quiet ? (): void => {} : progress(complain);
    await buildDebian(path, { ...options, onProgress, signal: stop.signal });
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    complain(`xenolith: ${error.message}\n`);
    return EXIT.failed;
  } finally {
    for (const signal of signals) process.off(signal, stopped);
    held.release();
  }
  if (!values.quiet) out(`${path}: ${format}, debian, in ${Math.round((performance.now() - began) / 1000)} s\n`);
  return 0;
}

function passwordOf(bytes: Uint8Array | undefined): string | undefined {
  if (!bytes) return undefined;
  const [line = ''] = Buffer.from(bytes).toString().split('\n');
  if (line === '') throw new UsageError('--password-file: the password is empty; without the option there is none.');
  return line;
}

/** Each step is a line; on a terminal, how far it is stands behind it. */
function progress(complain: Say): (step: string, done?: number, total?: number, what?: string) => void {
  let last = '';
  return (step, done, total, what = '') => {
    const terminal = process.stderr.isTTY;
    const begins = step !== last;
    if (begins) complain(`${last && terminal ? '\n' : ''}${step}${terminal ? '' : '\n'}`);
    if (terminal && done !== undefined) complain(`\r\x1b[K${step} ${done} of ${total}: ${what}`);
    last = step;
  };
}
