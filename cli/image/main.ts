// `xenolith image`: disk images made, looked at, checked, copied, resized, and their snapshots.
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, unlink, writeFile } from 'node:fs/promises';
import { image_error } from '../../services/block/image/file.ts';
import { copy_image } from '../../services/block/image/convert.ts';
import {
  has_snapshots,
  ImageError,
  type DiskImage,
  type Format,
  type Snapshot,
} from '../../services/block/image/image.ts';
import { check_image, image_info } from '../../services/block/image/info.ts';
import { create_image, open_image, probe_format, type CreateOptions } from '../../services/block/image/open.ts';
import { makeSeed, metaData } from '../../services/block/iso/seed.ts';
import { codeOf, readInput, Unreadable } from '../../toolstack/files.ts';
import { EXIT, number, UsageError } from '../options.ts';
import {
  formatNamed,
  formatOfName,
  imageHelp,
  parseImage,
  parseSettings,
  parseSize,
  type ImageCommand,
} from './options.ts';
import { bytes, infoText, snapshotTable } from './text.ts';

type Say = (text: string) => void;
let out: Say = (text) => void process.stdout.write(text);
let complain: Say = (text) => void process.stderr.write(text);

/** `say`: where it goes instead, in tests. */
export async function imageCommand(args: string[], say?: { out: Say; complain: Say }): Promise<number> {
  if (say) ({ out, complain } = say);
  const command = parseImage(args);
  if ('help' in command) {
    out(imageHelp(command.help));
    return 0;
  }
  try {
    return await RUN[command.verb](command);
  } catch (error) {
    if (error instanceof Unreadable) {
      complain(`xenolith: ${error.message}\n`);
      return EXIT.badImage;
    }
    if (!(error instanceof ImageError)) throw error;
    const name = error.path === undefined || error.message.includes(error.path) ? '' : `${error.path}: `;
    complain(`xenolith: ${name}${error.message}\n`);
    return ['corrupt', 'unsupported', 'missing', 'permission'].includes(error.kind) ? EXIT.badImage : EXIT.failed;
  }
}

const text = (value: ImageCommand['values'][string]): string | undefined =>
  typeof value === 'string' ? value : undefined;
const list = (value: ImageCommand['values'][string]): string[] => (Array.isArray(value) ? value : []);

/**
 * As which format a person's file is opened: what they say, else what its name says. What it contains decides nothing, for a guest may
 * have written that; it is a reason to ask.
 */
async function formatOf(path: string, said: ImageCommand['values'][string]): Promise<Format> {
  const given = text(said);
  if (given !== undefined) return formatNamed('format', given);
  const named = formatOfName(path);
  if (named) return named;
  const looks = await probe_format(path);
  if (looks === 'raw') return 'raw';
  throw new UsageError(
    `${path} looks like ${looks}, but a raw disk whose guest wrote that would too: say -f ${looks} or -f raw.`,
  );
}

async function create({ files, values }: ImageCommand): Promise<number> {
  const [path, size] = files as [string, string?];
  const given = text(values.format);
  const format = given === undefined ? (formatOfName(path) ?? 'raw') : formatNamed('format', given);
  const behind = text(values.backing);
  const behindFormat = text(values['backing-format']);
  if (behind !== undefined && format === 'raw')
    throw new UsageError('a raw image has nothing behind it: -f qcow2 makes one that has.');
  if (behind !== undefined && behindFormat === undefined)
    throw new UsageError('-b needs the format of that image too: add -F raw, qcow2 or vhd.');
  if (behind === undefined && size === undefined) throw new UsageError('the SIZE is missing.');
  const backing =
    behind === undefined ? undefined : { path: behind, format: formatNamed('backing-format', behindFormat!) };
  await create_image(path, creation(format, size === undefined ? undefined : parseSize(size), values, backing));
  const made = await image_info(path, { format });
  out(`${path}: ${format}, ${bytes(made.size)}\n`);
  return 0;
}

function creation(
  format: Format,
  size: number | undefined,
  values: ImageCommand['values'],
  backing?: { path: string; format: Format },
): CreateOptions {
  const settings = parseSettings(format, list(values.options));
  const common = { ...settings, ...(size === undefined ? {} : { size }), ...(backing ? { backing } : {}) };
  return { format, ...common } as CreateOptions;
}

async function info({ files, values }: ImageCommand): Promise<number> {
  const [path] = files as [string];
  const given = text(values.format);
  const format =
    given === undefined ? (formatOfName(path) ?? (await probe_format(path))) : formatNamed('format', given);
  const found = await image_info(path, { format, lock: !values['force-share'] });
  out(values.json ? `${JSON.stringify(found, null, 2)}\n` : infoText(path, found));
  return 0;
}

async function check({ files, values }: ImageCommand): Promise<number> {
  const [path] = files as [string];
  const format = await formatOf(path, values.format);
  const result = await check_image(path, { format, repair: Boolean(values.repair), lock: !values['force-share'] });
  if (values.json) out(`${JSON.stringify(result, null, 2)}\n`);
  else {
    for (const each of result.errors) out(`error: ${each}\n`);
    const more = result.error_count - result.errors.length;
    if (more > 0) out(`and ${more} more errors\n`);
    if (result.dirty) out('it was not closed: refcounts are set right when it is opened for writing\n');
    const repaired = result.repaired ? ' after the repair' : '';
    out(`${result.error_count} errors, ${result.leaks} clusters of lost space${repaired}; `);
    out(`${result.allocated} of ${result.clusters} clusters have data\n`);
  }
  return result.error_count > 0 ? 2 : result.leaks > 0 ? 3 : 0;
}

/** Runs the work until Ctrl-C or SIGTERM; then it has the time to clean up. */
async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new ImageError('io', 'stopped; nothing is left of the new image.'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const each of signals) process.on(each, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const each of signals) process.off(each, stop);
  }
}

async function convert({ files, values }: ImageCommand): Promise<number> {
  const [from, to] = files as [string, string];
  const given = text(values['target-format']);
  const format = given === undefined ? (formatOfName(to) ?? 'raw') : formatNamed('target-format', given);
  if (existsSync(to))
    throw new ImageError('exists', 'the file exists already; remove it or give another name.', { path: to });
  const source = await open_image(from, { format: await formatOf(from, values.format), readonly: true });
  const part = `${to}.part-${process.pid}`;
  try {
    if (text(values.snapshot) !== undefined) await lookAt(source, text(values.snapshot)!);
    await interruptible(async (signal) => {
      try {
        await create_image(part, creation(format, source.size, values));
        const target = await open_image(part, { format });
        try {
          await copy_image(source, target, { signal, onProgress: progress(source.size, Boolean(values.quiet)) });
        } finally {
          await target.close();
        }
        await link(part, to); // unlike a renamed one it takes nobody's place
      } finally {
        await unlink(part).catch(() => undefined);
      }
    });
  } catch (error) {
    // The file that is being written has a name that means nothing to anybody.
    if (error instanceof ImageError && error.path === part) error.path = to;
    throw error;
  } finally {
    await source.close();
  }
  return 0;
}

async function lookAt(image: DiskImage, name: string): Promise<void> {
  if (!has_snapshots(image)) throw new ImageError('unsupported', `${image.format} images have no snapshots within.`);
  await image.look_at_snapshot(name);
}

/** A line on the terminal that says how far it is. */
function progress(total: number, quiet: boolean): (done: number) => void {
  if (quiet || !process.stderr.isTTY) return () => undefined;
  let shown = -1;
  return (done) => {
    const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
    if (percent === shown) return;
    shown = percent;
    process.stderr.write(`\r${percent} % of ${bytes(total)}${percent === 100 ? '\n' : ''}`);
  };
}

async function resize({ files, values }: ImageCommand): Promise<number> {
  const [path, wanted] = files as [string, string];
  const sign = /^[+-]/.exec(wanted)?.[0];
  const amount = parseSize(wanted.replace(/^[+-]/, ''));
  const image = await open_image(path, { format: await formatOf(path, values.format) });
  try {
    const size = sign === '+' ? image.size + amount : sign === '-' ? image.size - amount : amount;
    if (size < 0) throw new UsageError(`the disk has only ${bytes(image.size)}.`);
    if (size < image.size && !values.shrink)
      throw new UsageError(`${bytes(size)} are less than its ${bytes(image.size)}: --shrink gives up what is beyond.`);
    await image.resize(size);
    out(`${path}: ${bytes(image.size)}\n`);
  } finally {
    await image.close();
  }
  return 0;
}

async function snapshot({ files, values }: ImageCommand): Promise<number> {
  const [path] = files as [string];
  const asked = (['create', 'apply', 'delete'] as const).filter((each) => values[each] !== undefined);
  if (asked.length + (values.list ? 1 : 0) > 1)
    throw new UsageError('one of --list, --create, --apply, --delete at a time.');
  const format = await formatOf(path, values.format);
  if (format !== 'qcow2')
    throw new ImageError('unsupported', `${format} images have no snapshots within; qcow2 has.`, { path });
  const [what] = asked;
  if (!what) {
    const found = (await image_info(path, { format })).snapshots ?? [];
    out(values.json ? `${JSON.stringify(found, null, 2)}\n` : snapshotTable(found));
    return 0;
  }
  const image = await open_image(path, { format });
  try {
    if (!has_snapshots(image)) throw new ImageError('unsupported', 'it has no snapshots within.', { path });
    const name = text(values[what])!;
    if (what === 'create') said(path, await image.create_snapshot(name));
    else if (what === 'apply') await image.revert_snapshot(name);
    else await image.delete_snapshot(name);
  } finally {
    await image.close();
  }
  return 0;
}

async function serve({ files, values }: ImageCommand): Promise<number> {
  const [path] = files as [string];
  const [socket, port] = [text(values.socket), text(values.port)];
  if ((socket === undefined) === (port === undefined))
    throw new UsageError('--socket or --port is needed, one of them.');
  const listen =
    socket === undefined ? { host: '127.0.0.1', port: number('port', port!, 0, 65535, true) } : { path: socket };
  const image = await open_image(path, {
    format: await formatOf(path, values.format),
    readonly: Boolean(values['read-only']),
  });
  try {
    const { NbdServer } = await import('../../services/nbd/backend/server.ts');
    const mask = process.umask(0o177); // the socket is its owner's from its first moment
    const server = await NbdServer.listen({ exports: new Map([['', image]]), listen })
      .catch((error: unknown) => {
        const where = socket ?? `port ${port}`;
        throw new ImageError('io', `${where} cannot be served (${codeOf(error)}): give another one.`, { path: where });
      })
      .finally(() => process.umask(mask));
    out(socket === undefined ? `nbd://127.0.0.1:${server.address}/\n` : `nbd+unix:///?socket=${socket}\n`);
    await interruptible((signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)));
    await server.close();
  } finally {
    await image.close();
  }
  return 0;
}

const MAX_SEED = 64 << 20;

async function seed({ files, values }: ImageCommand): Promise<number> {
  const [path] = files as [string];
  const given = (name: string): Uint8Array | undefined => {
    const file = text(values[name]);
    return file === undefined ? undefined : readInput(name, file, MAX_SEED);
  };
  const hostname = text(values.hostname);
  const user_data = given('user-data');
  if (!user_data) throw new UsageError('--user-data is missing: name the file with it.');
  if (hostname !== undefined && values['meta-data'] !== undefined)
    throw new UsageError('--hostname goes into the meta-data: give one of the two.');
  if (hostname !== undefined && !/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/i.test(hostname))
    throw new UsageError(`--hostname takes letters, digits, '-' and '.', not '${hostname}'.`);
  const meta_data = given('meta-data') ?? metaData(randomUUID(), hostname);
  const image = makeSeed({ user_data, meta_data, network_config: given('network-config') }, new Date());
  try {
    await writeFile(path, image, { flag: 'wx' });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') await unlink(path).catch(() => undefined); // half of it
    throw image_error(error, path, 'writing');
  }
  out(`${path}: ${bytes(image.length)}\n`);
  return 0;
}

const said = (path: string, { id, name }: Snapshot): void => out(`${path}: snapshot ${id}, ${name}\n`);

const RUN: Record<ImageCommand['verb'], (command: ImageCommand) => Promise<number>> = {
  build: (command) => import('./build.ts').then(({ build }) => build(command, out, complain)),
  create,
  info,
  check,
  convert,
  resize,
  snapshot,
  seed,
  serve,
};
