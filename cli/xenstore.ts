// `xenstore VERB …`, also as `xenstore-VERB`: xenstore's command-line clients, with the options, output and exit codes of Xen's.
import { pathToFileURL } from 'node:url';
import './parent.ts';
import { connectStore, socketPath } from '../services/xenstore/backend/client.ts';
import type { AsyncClient } from '../services/xenstore/protocol/async_client.ts';
import { XsError, type XsErrorCode } from '../services/xenstore/protocol/wire.ts';

export interface Streams {
  out: (text: string) => void;
  error: (text: string) => void;
  /** Columns of the terminal that `out` is; undefined: it is none. */
  columns: number | undefined;
}

interface Call {
  readonly client: AsyncClient;
  readonly args: string[];
  readonly has: (option: string) => boolean;
  readonly value: (option: string) => string | undefined;
  readonly streams: Streams;
}

interface Verb {
  /** As getopt's: a letter an option, a colon behind those that take a value. Every verb also knows -h and -s. */
  readonly options: string;
  readonly usage: string;
  readonly help: string;
  readonly count: (args: string[]) => boolean;
  readonly run: (call: Call) => Promise<number | void>;
}

/** Ends the command with one line on stderr. */
class Failure extends Error {
  readonly code: number;
  constructor(message: string, code = 1) {
    super(message);
    this.code = code;
  }
}

const ERRORS: Partial<Record<XsErrorCode, string>> = {
  EINVAL: 'Invalid argument',
  EACCES: 'Permission denied',
  EEXIST: 'File exists',
  EISDIR: 'Is a directory',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOSPC: 'No space left on device',
  EIO: 'Input/output error',
  ENOSYS: 'Function not implemented',
  EROFS: 'Read-only file system',
  EBUSY: 'Device or resource busy',
  EAGAIN: 'Resource temporarily unavailable',
  E2BIG: 'Argument list too long',
  EPERM: 'Operation not permitted',
};

/** Says `message` instead of the store's refusal; `detailed` adds its reason. */
async function or<T>(result: Promise<T>, message: string, detailed = false): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof XsError)) throw error;
    throw new Failure(detailed ? `${message}: ${ERRORS[error.code] ?? error.code}` : message);
  }
}

// --- values as text ---

const NAMED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r' };

/** A value as one line of plain ASCII. */
export const escapeValue = (value: string): string =>
  value.replace(/[^ -[\]-~]/g, (char) => {
    const code = char.charCodeAt(0);
    return NAMED[char] ?? (code < 32 ? `\\${code.toString(8).padStart(3, '0')}` : `\\x${code.toString(16)}`);
  });

const MEANT: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '': '\0' };

/** The value that such a line stands for: \n \t \r, octal and hexadecimal numbers; any other character stands for itself. */
export const unescapeValue = (text: string): string =>
  text.replace(/\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|([^]?))/g, (_, hex?: string, octal?: string, char?: string) => {
    if (char !== undefined) return MEANT[char] ?? char;
    return String.fromCharCode((hex === undefined ? parseInt(octal!, 8) : parseInt(hex, 16)) & 255);
  });

const below = (path: string, name: string): string => (path.endsWith('/') ? path + name : `${path}/${name}`);

// --- verbs ---

async function read({ client, args, has, streams }: Call): Promise<void> {
  for (const path of args) {
    const value = await or(client.read(path), `couldn't read path ${path}`);
    streams.out((has('p') ? `${path}: ` : '') + (has('R') ? value : `${escapeValue(value)}\n`));
  }
}

async function write({ client, args, has }: Call): Promise<void> {
  await client.transaction(async (tx) => {
    for (let i = 0; i < args.length; i += 2) {
      const value = has('R') ? args[i + 1]! : unescapeValue(args[i + 1]!);
      await or(client.write(args[i]!, value, tx), `could not write path ${args[i]}`);
    }
  });
}

async function list({ client, args, has, streams }: Call): Promise<void> {
  for (const path of args) {
    const names = await or(client.list(path), `could not list path ${path}`);
    for (const name of names) streams.out(`${has('p') ? `${path}/` : ''}${name}\n`);
  }
}

async function exists({ client, args }: Call): Promise<number> {
  for (const path of args) {
    if (!(await client.read(path).then(Boolean, () => false)) && !(await client.list(path).catch(() => null))) return 1;
  }
  return 0;
}

async function remove({ client, args, has }: Call): Promise<void> {
  await client.transaction(async (tx) => {
    for (const path of args) {
      await or(client.remove(path, tx), `could not remove path ${path}`);
      if (has('t')) await tidy(client, path, tx);
    }
  });
}

/** Removes the parents that have neither value nor children left. */
async function tidy(client: AsyncClient, path: string, tx: number): Promise<void> {
  for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
    const parent = path.slice(0, cut);
    if ((await client.list(parent, tx)).length > 0 || (await client.read(parent, tx)) !== '') return;
    await or(client.remove(parent, tx), `could not remove path ${parent}`);
  }
}

const PERMS_MAX = 16;

async function chmod({ client, args: [path, ...perms], has }: Call): Promise<void> {
  if (perms.length > PERMS_MAX) throw new Failure(`at most ${PERMS_MAX} permissions can be given`);
  for (const perm of perms) {
    if (!/^[nrwb]/.test(perm)) throw new Failure(`Invalid permission specification: '${perm[0] ?? ''}'`);
  }
  // As Xen's does: what follows the letter is read as far as it is a number.
  const named = perms.map((perm) => perm[0]! + (/^\d+/.exec(perm.slice(1))?.[0] ?? '0'));
  await client.transaction(async (tx) => {
    const set = async (where: string): Promise<void> => {
      await or(client.setPerms(where, named, tx), `Error occurred setting permissions on '${where}'`, true);
    };
    const down = async (where: string): Promise<void> => {
      await set(where);
      if (has('r')) for (const name of await client.list(where, tx)) await down(below(where, name));
    };
    await down(path!);
    if (!has('u')) return;
    for (let cut = path!.lastIndexOf('/'); cut > 0; cut = path!.lastIndexOf('/', cut - 1))
      await set(path!.slice(0, cut));
  });
}

async function watch({ client, args, value, streams }: Call): Promise<void> {
  const count = value('n') === undefined ? Infinity : Number(/^\s*\+?(\d+)/.exec(value('n')!)?.[1] ?? 0);
  let [seen, done] = [0, (): void => {}];
  const enough = new Promise<void>((resolve) => (done = resolve));
  client.onEvent = (path) => {
    if (seen++ < count) streams.out(`${path}\n`);
    if (seen >= count) done();
  };
  for (const path of args) await or(client.watch(path, path), `Unable to add watch on ${path}`);
  if (count > 0) await Promise.race([enough, client.closed]);
  if (seen < count) throw new Failure('the store has closed the connection');
}

const WIDTH = 80;
/** What stands around a value that is cut: ` = "..."`. */
const FRAME = 8;
const PERMS_COLUMN = 60;

async function ls({ client, args, has, streams }: Call): Promise<void> {
  const width = has('f') ? Infinity : streams.columns === undefined ? WIDTH : streams.columns - 2;
  const show = async (path: string, depth: number): Promise<void> => {
    let names: string[];
    try {
      names = await client.list(path);
    } catch (error) {
      if (depth > 0 && error instanceof XsError && error.code === 'ENOENT') return; // gone meanwhile
      return or(Promise.reject(error), `xs_directory (${path})`, true);
    }
    for (const name of names) {
      const child = below(path, name);
      const head = has('f') ? child : ' '.repeat(depth) + name.slice(0, Math.max(0, width - FRAME - depth));
      let line = head + (await shown(client, child, width - head.length));
      if (has('p')) {
        if (!line.endsWith('\\..."')) line += has('f') ? ' ' : dots(line.length);
        line += `  (${(await client.perms(child).catch(() => ['?'])).join()})`;
      }
      streams.out(`${line}\n`);
      await show(child, depth + 1);
    }
  };
  await show(args[0] ?? '/', 0);
}

/** ` = "value"`, cut to `room`. */
async function shown(client: AsyncClient, path: string, room: number): Promise<string> {
  let value: string;
  try {
    value = await client.read(path);
  } catch (error) {
    if (!(error instanceof XsError)) throw error;
    return `:\n${ERRORS[error.code] ?? error.code}`;
  }
  if (value.length + FRAME <= room) return ` = "${escapeValue(value)}"`;
  return ` = "${escapeValue(value).slice(0, Math.max(0, room - FRAME))}\\..."`;
}

/** What leads the eye to the permissions. */
function dots(column: number): string {
  let text = ' ';
  for (let at = column + 1; at < PERMS_COLUMN; at++) text += at % 2 === 1 ? '.' : ' ';
  return text;
}

const UPDATE_SECONDS = 60;

async function control({ client, args, streams }: Call): Promise<void> {
  let answer: string;
  try {
    answer = args[0] === 'live-update' ? await update(client, args.slice(1)) : await client.control(...args);
  } catch (error) {
    if (!(error instanceof XsError)) throw error;
    if (error.code !== 'EINVAL') throw new Failure(`${args[0]}: ${ERRORS[error.code] ?? error.code}`);
    throw new Failure(`Command not supported. Valid commands are:\n${await client.control('help')}`, 3);
  }
  streams.out(`${answer}\n`);
}

/** The store restarts once no transaction is open; with -F it does not wait longer than its time. */
async function update(client: AsyncClient, args: string[]): Promise<string> {
  const at = args.indexOf('-t');
  const seconds = at < 0 ? UPDATE_SECONDS : Number(args[at + 1]);
  if (!Number.isInteger(seconds) || seconds < 0) throw new Failure('live-update: -t takes a number of seconds', 2);
  for (const end = Date.now() + seconds * 1000; ; ) {
    const late = Date.now() >= end;
    const answer = await client.control('live-update', '-s', ...(late && args.includes('-F') ? ['-F'] : []));
    if (answer !== 'BUSY' || late) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const some = (args: string[]): boolean => args.length > 0;

const VERBS: Readonly<Record<string, Verb>> = {
  chmod: {
    options: 'ur',
    usage: '[-u] [-r] PATH PERM...',
    help: 'set permissions (n, r, w or b and a domain id); -r: also of all below, -u: also of all above',
    count: some,
    run: chmod,
  },
  control: {
    options: '+',
    usage: 'COMMAND [ARGUMENT...]',
    help: 'administer the store; `help` lists commands',
    count: some,
    run: control,
  },
  exists: { options: '', usage: 'PATH...', help: 'exit code 0 if all are there, else 1', count: some, run: exists },
  list: { options: 'p', usage: '[-p] PATH...', help: 'names of children; -p: with the path', count: some, run: list },
  ls: {
    options: 'fp',
    usage: '[-f] [-p] [PATH]',
    help: 'everything below; -f: whole paths and values, -p: permissions',
    count: () => true,
    run: ls,
  },
  read: {
    options: 'pR',
    usage: '[-p] [-R] PATH...',
    help: 'values; -p: with the path, -R: as they are',
    count: some,
    run: read,
  },
  rm: {
    options: 't',
    usage: '[-t] PATH...',
    help: 'remove with all below; -t: and parents left empty',
    count: some,
    run: remove,
  },
  watch: {
    options: 'n:',
    usage: '[-n COUNT] PATH...',
    help: 'show changes; -n: end after so many',
    count: some,
    run: watch,
  },
  write: {
    options: 'R',
    usage: '[-R] PATH VALUE [PATH VALUE]...',
    help: 'write all or none; -R: backslashes mean nothing',
    count: (args) => args.length > 0 && args.length % 2 === 0,
    run: write,
  },
};

const usage = (name: string): string => `Usage: xenstore-${name} ${VERBS[name]!.usage}\n  ${VERBS[name]!.help}`;

const help = (): string =>
  [
    'Usage: xenstore VERB [-h] [ARGUMENT...]',
    ...Object.entries(VERBS).map(([name, verb]) => `  ${name} ${verb.usage}`),
  ].join('\n');

const LONG: Readonly<Record<string, string>> = {
  help: 'h',
  flat: 'f',
  socket: 's',
  prefix: 'p',
  tidy: 't',
  upto: 'u',
  recurse: 'r',
  number: 'n',
  raw: 'R',
};

/** getopt's rules: letters may be joined, options may stand anywhere before `--`; undefined: the usage is to be shown. */
function parse(verb: Verb, words: string[], warn: (text: string) => void) {
  const found = new Map<string, string>();
  const args: string[] = [];
  const all = Object.values(LONG);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === '--') return { found, args: [...args, ...words.slice(i + 1)] };
    if (!word.startsWith('-') || word === '-') {
      if (verb.options.startsWith('+')) return { found, args: words.slice(i) };
      args.push(word);
      continue;
    }
    const [long, given] = word.startsWith('--') ? word.slice(2).split(/=(.*)/s) : [];
    const letters = long === undefined ? word.slice(1) : (LONG[long] ?? '');
    if (letters === '') warn(`unrecognized option '${word}'`);
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at]!;
      if (!all.includes(letter)) {
        warn(`invalid option -- '${letter}'`);
        continue;
      }
      if (letter !== 's' && !verb.options.includes(letter)) return undefined;
      if (!verb.options.includes(`${letter}:`)) found.set(letter, '');
      else {
        const value = given ?? (letters.slice(at + 1) || words[++i]);
        if (value === undefined) return undefined;
        found.set(letter, value);
        break;
      }
    }
  }
  return { found, args };
}

/** Runs one command line; `words` begins with the verb. */
export async function xenstore(words: string[], streams: Streams, path = socketPath()): Promise<number> {
  const [name = '', ...rest] = words;
  if (!Object.hasOwn(VERBS, name)) {
    streams.error(
      name === '' || name === '-h' || name === '--help' ? `${help()}\n` : `xenstore: unknown verb ${name}\n${help()}\n`,
    );
    return 1;
  }
  const verb = VERBS[name]!;
  const say = (text: string): void => streams.error(`xenstore-${name}: ${text}\n`);
  const parsed = parse(verb, rest, say);
  if (!parsed || !verb.count(parsed.args)) {
    say(usage(name));
    return verb.run === control ? 2 : 1;
  }
  let client: AsyncClient | undefined;
  try {
    client = await connectStore(path);
    const { found, args } = parsed;
    const has = (option: string): boolean => found.has(option);
    return (await verb.run({ client, args, has, value: (option) => found.get(option), streams })) ?? 0;
  } catch (error) {
    say(client || !(error instanceof Error) ? (error as Error).message : unreachable(path, error));
    return error instanceof Failure ? error.code : 1;
  } finally {
    client?.close();
  }
}

const unreachable = (path: string, error: NodeJS.ErrnoException): string =>
  `no store can be reached at ${path} (${error.code}); start a host, or name its socket in XENSTORED_PATH.`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
  const bytes = process.argv.slice(2).map((word) => Buffer.from(word).toString('latin1'));
  process.stdout.on('error', () => process.exit(1)); // its reader has gone
  const columns = process.stdout.isTTY ? process.stdout.columns : undefined;
  const streams = {
    out: (text: string) => void process.stdout.write(latin(text)),
    error: (text: string) => void process.stderr.write(latin(text)),
    columns,
  };
  const code = await xenstore(bytes, streams);
  process.stdout.write('', () => process.exit(code));
}
