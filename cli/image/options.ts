// The command lines of `xenolith image`.
import { extname } from 'node:path';
import { FORMATS, type Format } from '../../services/block/image/image.ts';
import { parse, UsageError } from '../options.ts';

const FORMAT = {
  type: 'string',
  short: 'f',
  value: FORMATS.join('|'),
  help: 'the format (by the name: .qcow2, .vhd)',
} as const;
const HELP = { type: 'boolean', short: 'h', help: 'show this' } as const;
const QUIET = { type: 'boolean', short: 'q', help: 'no progress' } as const;
const SETTINGS = {
  type: 'string',
  short: 'o',
  value: 'NAME=VALUE,…',
  multiple: true,
  help: 'qcow2: cluster_size, compat, lazy_refcounts, refcount_bits; vhd: subformat=fixed',
} as const;

export const VERBS = {
  build: {
    arguments: 'SYSTEM OUT',
    about:
      'makes a disk with a whole system (debian) from its packages; what a broken-off run has done is not done again.',
    options: {
      format: { ...FORMAT, help: 'the format of OUT (by its name, else raw)' },
      size: { type: 'string', short: 's', value: 'SIZE', help: 'of the disk (2G); what is not used takes no room' },
      hostname: { type: 'string', value: 'NAME', help: "the machine's name (debian)" },
      include: { type: 'string', short: 'i', value: 'PACKAGE,…', multiple: true, help: 'these packages too' },
      'authorized-keys': { type: 'string', short: 'k', value: 'FILE', help: 'keys with which ssh lets root in' },
      'password-file': {
        type: 'string',
        value: 'FILE',
        help: "root's password; without one the console asks for none",
      },
      full: { type: 'boolean', help: "documentation, translations and hardware's drivers too" },
      cache: { type: 'string', value: 'FOLDER', help: 'where packages are kept (build/apt)' },
      quiet: QUIET,
      help: HELP,
    },
  },
  create: {
    arguments: 'FILE [SIZE]',
    about: 'makes an empty image; over another one (-b) it holds what differs from that.',
    options: {
      format: FORMAT,
      backing: { type: 'string', short: 'b', value: 'FILE', help: 'the image behind it, as seen from its folder' },
      'backing-format': { type: 'string', short: 'F', value: FORMATS.join('|'), help: 'the format of that image' },
      options: SETTINGS,
      help: HELP,
    },
  },
  info: {
    arguments: 'FILE',
    about: 'says what an image is. Without a format it says what the file looks like.',
    options: {
      format: FORMAT,
      json: { type: 'boolean', help: 'as JSON' },
      'force-share': { type: 'boolean', short: 'U', help: 'also of an image that is in use' },
      help: HELP,
    },
  },
  check: {
    arguments: 'FILE',
    about: 'looks through the tables: exit code 0 all good, 2 errors, 3 space that is lost.',
    options: {
      format: FORMAT,
      json: { type: 'boolean', help: 'as JSON' },
      repair: { type: 'boolean', short: 'r', help: 'set refcounts right (qcow2)' },
      'force-share': { type: 'boolean', short: 'U', help: 'also of an image that is in use' },
      help: HELP,
    },
  },
  convert: {
    arguments: 'FROM TO',
    about: 'copies a disk, with all that is behind it, to a new image. TO appears when it is whole.',
    options: {
      format: FORMAT,
      'target-format': {
        type: 'string',
        short: 'O',
        value: FORMATS.join('|'),
        help: 'the format of TO (by its name, else raw)',
      },
      snapshot: { type: 'string', short: 'l', value: 'NAME', help: 'of FROM, instead of its present contents' },
      options: SETTINGS,
      quiet: QUIET,
      help: HELP,
    },
  },
  resize: {
    arguments: 'FILE [+|-]SIZE',
    about: 'makes a disk larger, or smaller.',
    options: { format: FORMAT, shrink: { type: 'boolean', help: 'what is beyond the new end is lost' }, help: HELP },
  },
  snapshot: {
    arguments: 'FILE',
    about: 'lists, takes, goes back to or deletes snapshots within a qcow2 image.',
    options: {
      format: FORMAT,
      list: { type: 'boolean', short: 'l', help: 'list them (what happens without an option)' },
      create: { type: 'string', short: 'c', value: 'NAME', help: 'take one' },
      apply: { type: 'string', short: 'a', value: 'NAME', help: 'the disk becomes what it was then' },
      delete: { type: 'string', short: 'd', value: 'NAME', help: 'forget one' },
      json: { type: 'boolean', help: 'list as JSON' },
      help: HELP,
    },
  },
  serve: {
    arguments: 'FILE',
    about: 'lets NBD clients (nbdcopy, qemu-img, nbd-client) use a disk, until Ctrl-C.',
    options: {
      format: FORMAT,
      socket: { type: 'string', short: 'k', value: 'PATH', help: 'on this unix socket, for its owner only' },
      port: {
        type: 'string',
        short: 'p',
        value: 'PORT',
        help: 'on this port of 127.0.0.1, for every user of the machine (0: any)',
      },
      'read-only': { type: 'boolean', short: 'r', help: 'for reading only' },
      help: HELP,
    },
  },
  seed: {
    arguments: 'FILE',
    about: 'makes the volume from which cloud-init (NoCloud) takes what a cloud image is to be.',
    options: {
      'user-data': {
        type: 'string',
        short: 'u',
        value: 'FILE',
        help: 'its user-data: #cloud-config, a script … (needed)',
      },
      'meta-data': {
        type: 'string',
        short: 'm',
        value: 'FILE',
        help: 'its meta-data (a new instance id and --hostname)',
      },
      'network-config': { type: 'string', short: 'n', value: 'FILE', help: 'its network-config' },
      hostname: { type: 'string', value: 'NAME', help: "the machine's name, in place of --meta-data" },
      help: HELP,
    },
  },
} as const;
export type Verb = keyof typeof VERBS;

export const EXIT_CODES =
  'exit code: 0 done, 1 failed, 64 wrong usage, 65 no image that can be used; check: 2 errors, 3 lost space';

export function imageHelp(verb?: Verb): string {
  if (!verb)
    return [
      'usage: xenolith image VERB [options] …',
      '',
      ...Object.entries(VERBS).map(([name, each]) => `  ${`${name} ${each.arguments}`.padEnd(26)}${each.about}`),
      '',
      '`xenolith image VERB --help` says more. SIZE is in bytes, or with K, M, G, T.',
      EXIT_CODES,
      '',
    ].join('\n');
  const { arguments: names, about, options } = VERBS[verb];
  const rows = Object.entries(options as Record<string, { short?: string; value?: string; help: string }>);
  const line = ([name, { short, value, help }]: (typeof rows)[number]): string =>
    `  ${short ? `-${short}, ` : '    '}--${name}${value ? ` ${value}` : ''}`.padEnd(40) + help;
  return [
    `usage: xenolith image ${verb} [options] ${names}`,
    '',
    about,
    '',
    ...rows.map(line),
    '',
    EXIT_CODES,
    '',
  ].join('\n');
}

export interface ImageCommand {
  verb: Verb;
  files: string[];
  values: Record<string, string | boolean | string[] | undefined>;
}

/** Undefined: the help that is to be shown. */
export function parseImage(args: string[]): ImageCommand | { help: Verb | undefined } {
  const [name, ...rest] = args;
  if (name === undefined || name === '-h' || name === '--help') return { help: undefined };
  if (!Object.hasOwn(VERBS, name))
    throw new UsageError(`There is no command 'image ${name}': \`xenolith image --help\` shows what there is.`);
  const verb = name as Verb;
  // A size that begins with a dash is no option.
  const words = rest.map((word) => (/^-\d+[KMGT]?$/i.test(word) ? `\0${word}` : word));
  const { values, positionals } = parse(words, VERBS[verb].options);
  if (values.help) return { help: verb };
  const files = positionals.map((word) => word.replace('\0', ''));
  const wanted = VERBS[verb].arguments.split(' ');
  const least = wanted.filter((each) => !/^\[.*\]$/.test(each)).length;
  if (files.length < least || files.length > wanted.length)
    throw new UsageError(`image ${verb} takes ${VERBS[verb].arguments}: \`xenolith image ${verb} --help\` says more.`);
  return { verb, files, values: values as ImageCommand['values'] };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Bytes, up to the next whole sector. */
export function parseSize(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([KMGT]?)$/i.exec(text) ?? [];
  const bytes = digits === undefined ? NaN : Number(digits) * UNITS[unit!.toUpperCase()]!;
  const sectors = Math.ceil(bytes / 512) * 512;
  if (!Number.isSafeInteger(sectors))
    throw new UsageError(`'${text}' is no size: a number of bytes, or with K, M, G, T.`);
  return sectors;
}

export function formatNamed(option: string, name: string): Format {
  const known = FORMATS.find((each) => each === name) ?? (name === 'vpc' ? 'vhd' : undefined);
  if (known) return known;
  throw new UsageError(`--${option} takes ${FORMATS.join(', ')}, not '${name}'.`);
}

/** The format that a file's name says, if it says one. */
export const formatOfName = (path: string): Format | undefined =>
  (({ '.qcow2': 'qcow2', '.vhd': 'vhd', '.raw': 'raw', '.iso': 'raw' }) as const)[extname(path).toLowerCase()];

export interface Settings {
  cluster_size?: number;
  version?: 2 | 3;
  lazy_refcounts?: boolean;
  refcount_bits?: number;
  fixed?: boolean;
}

const BOOLEANS: Readonly<Record<string, boolean>> = { on: true, off: false, true: true, false: false };

/** What `-o` says, in qemu-img's words. */
export function parseSettings(format: Format, texts: readonly string[]): Settings {
  const settings: Settings = {};
  for (const text of texts.flatMap((each) => each.split(','))) {
    const [name, value = ''] = text.split(/=(.*)/s);
    const bad = (): UsageError =>
      new UsageError(`-o ${text} means nothing to ${format}: \`xenolith image create --help\` says more.`);
    if (format === 'qcow2' && name === 'cluster_size') settings.cluster_size = parseSize(value);
    else if (format === 'qcow2' && name === 'refcount_bits' && /^\d+$/.test(value))
      settings.refcount_bits = Number(value);
    else if (format === 'qcow2' && name === 'compat' && /^(0\.10|1\.1|v2|v3)$/.test(value))
      settings.version = value === '0.10' || value === 'v2' ? 2 : 3;
    else if (format === 'qcow2' && name === 'lazy_refcounts' && value in BOOLEANS)
      settings.lazy_refcounts = BOOLEANS[value]!;
    else if (format === 'vhd' && name === 'subformat' && /^(fixed|dynamic)$/.test(value))
      settings.fixed = value === 'fixed';
    else throw bad();
  }
  return settings;
}
