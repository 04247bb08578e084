// What `xe` takes for itself of its command line, of XE_EXTRA_ARGS and of ~/.xe; all else is the host's.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Options {
  server: string;
  port: number | undefined;
  username: string;
  password: string;
  ssl: boolean;
  debug: boolean;
  debugOnFail: boolean;
  /** SHA-256 of the host's certificate, if that is to be looked at. */
  fingerprint: string | undefined;
  traceparent: string | undefined;
  /** What the host gets. */
  args: string[];
}

/** A mistake in what was given; the sentence is for a person. */
export class Wrong extends Error {}
/** The usage is wanted. */
export class Usage extends Error {}

export const LOCAL = '127.0.0.1';

/** Switches and what they are as `name=value`; those without a value say true. */
const SWITCHES: Record<string, { key: string; value?: string }> = {
  '-s': { key: 'server' },
  '-h': { key: 'server' },
  '-p': { key: 'port' },
  '-u': { key: 'username' },
  '-pw': { key: 'password' },
  '-pwf': { key: 'passwordfile' },
  '--nossl': { key: 'nossl', value: 'true' },
  '--debug': { key: 'debug', value: 'true' },
  '--debug-on-fail': { key: 'debugonfail', value: 'true' },
  '--traceparent': { key: 'traceparent' },
  '--fingerprint': { key: 'fingerprint' },
};
const KEYS = new Set([...Object.values(SWITCHES).map(({ key }) => key)]);

/** Arguments with commas between; a backslash takes a comma its meaning. */
export function splitExtra(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\' && i + 1 < text.length) part += text[++i];
    else if (text[i] === ',') {
      if (part !== '') parts.push(part);
      part = '';
    } else part += text[i];
  }
  return part === '' ? parts : [...parts, part];
}

/** Lines of `name=value`; a file that has others counts as none. */
export function parseRc(text: string): [string, string][] {
  const pairs: [string, string][] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const at = line.indexOf('=');
    if (at < 0) throw new Wrong('~/.xe has a line without `=`: it takes lines of name=value.');
    pairs.push([line.slice(0, at), line.slice(at + 1)]);
  }
  return pairs;
}

function readRc(home: string | undefined): [string, string][] {
  if (!home) return [];
  try {
    return parseRc(readFileSync(join(home, '.xe'), 'utf8'));
  } catch (error) {
    if (error instanceof Wrong) throw error;
    return [];
  }
}

/** Takes known settings out of a list of arguments; the rest is returned. */
function take(args: readonly string[], settings: Map<string, string>): string[] {
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const known = Object.hasOwn(SWITCHES, args[i]) ? SWITCHES[args[i]] : undefined;
    if (known) {
      const value = known.value ?? args[++i];
      if (value === undefined) throw new Wrong(`${args[i - 1]} needs a value.`);
      settings.set(known.key, value);
      continue;
    }
    const at = args[i].indexOf('=');
    const key = args[i].slice(0, Math.max(at, 0));
    if (at > 0 && KEYS.has(key)) settings.set(key, args[i].slice(at + 1));
    else rest.push(args[i]);
  }
  return rest;
}

const isTrue = (text: string | undefined): boolean => text === 'true';

function port(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535) throw new Wrong('a port is a number from 0 to 65535.');
  return Number(text);
}

/** A file with the user's name and password, a line each. */
function credentials(path: string): [string, string] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Wrong(`the password file '${path}' cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  const [username, password] = text.split('\n');
  if (password === undefined || text.trim() === '')
    throw new Wrong(`the password file '${path}' has to have the user's name in its first line, the password in its second.`); // prettier-ignore
  return [username, password];
}

export function parseOptions(args: readonly string[], env: NodeJS.ProcessEnv): Options {
  const settings = new Map<string, string>();
  // The command line counts more than the environment, and that more than the file.
  const rc = readRc(env.HOME).filter(([key, value]) => {
    if (KEYS.has(key)) settings.set(key, value);
    return !KEYS.has(key);
  });
  const extra = take(splitExtra(env.XE_EXTRA_ARGS ?? ''), settings);
  const wanted = args.filter((arg) => arg !== '-help' && arg !== '--help');
  const own = take(wanted, settings);
  if (wanted.length < args.length) throw new Usage();
  const file = settings.get('passwordfile');
  const [username, password] = file ? credentials(file) : [settings.get('username'), settings.get('password')];
  return {
    server: settings.get('server') ?? LOCAL,
    port: port(settings.get('port')),
    username: username ?? 'root',
    password: password ?? 'null',
    ssl: !isTrue(settings.get('nossl')),
    debug: isTrue(settings.get('debug')),
    debugOnFail: isTrue(settings.get('debugonfail')),
    fingerprint: settings.get('fingerprint')?.replaceAll(':', '').toUpperCase(),
    traceparent: env.TRACEPARENT ?? settings.get('traceparent'),
    args: [...own, ...extra, ...rc.map(([key, value]) => `${key}=${value}`)],
  };
}

/** Files that the host may ask for: those that the person has named. */
export const namedFiles = (args: readonly string[]): string[] =>
  args
    .map((arg) => arg.slice(arg.indexOf('=') + 1))
    .filter((value, index) => args[index].includes('=') && value.trim() !== '');
