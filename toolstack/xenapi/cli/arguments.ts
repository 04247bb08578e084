/** What `xe` has sent: arguments, one a line, as a command and its parameters. */

/** A command line that cannot be understood: `what` it is, and about which part. */
export class UsageFailure extends Error {
  readonly what: string;
  constructor(what: string, about = '') {
    super(what === '' ? about : `${what}: ${about}`);
    this.what = what;
  }
}
/** What a person is told in words behind `Error: `. */
export class CliFailure extends Error {}
/** The command has said all; its exit code is left. */
export class ExitWith extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** A parameter may be given more than once; the first counts. */
export type Params = readonly (readonly [string, string])[];

export interface CommandLine {
  name: string;
  params: Params;
  /** A session that the client has already. */
  session: string | undefined;
}

/** Switches with a value, as they are called otherwise. */
const SWITCHES: Record<string, string> = {
  '-u': 'username',
  '-pw': 'password',
  '-s': 'server',
  '-h': 'server',
  '-p': 'port',
};

export function parseCommandLine(body: string): CommandLine {
  const lines = body.split('\n').map((line) => line.replace(/\r$/, ''));
  const [first] = lines;
  const session = first.startsWith('session_id=') ? first.slice('session_id='.length) : undefined;
  const [name, ...rest] = session === undefined ? lines : lines.slice(1);
  if (!name || name.includes('=')) throw new UsageFailure('Syntax error', 'the command comes first');
  const params: [string, string][] = [];
  for (let i = 0; i < rest.length; i++) {
    const text = rest[i];
    if (text.startsWith('--')) params.push([text.slice(2), 'true']);
    else if (text.startsWith('-')) {
      const key = SWITCHES[text];
      if (key === undefined) throw new UsageFailure('Syntax error', `nothing is known of the switch ${text}`);
      if (++i === rest.length) throw new UsageFailure('Syntax error', `the switch ${text} needs a value`);
      params.push([key, rest[i]]);
    } else {
      const at = text.indexOf('=');
      params.push(at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]);
    }
  }
  return { name, params, session };
}

export const given = (params: Params, name: string): string | undefined => params.find(([key]) => key === name)?.[1];

export function needed(params: Params, name: string): string {
  const value = given(params, name);
  if (value === undefined) throw new UsageFailure('Required parameter not found', name);
  return value;
}

/** Parameters that are about the command, not about what it works on. */
export const STANDARD: ReadonlySet<string> = new Set(
  'server password port username minimal force multiple all message-priority trace'.split(' '),
);

export function readBool(name: string, text: string): boolean {
  const word = text.toLowerCase();
  if (word === 'true' || word === 'yes') return true;
  if (word === 'false' || word === 'no') return false;
  throw new CliFailure(`Failed to parse parameter '${name}': Expected 'true','yes','false','no', got ${text}`);
}

export const flag = (params: Params, name: string, otherwise = false): boolean => {
  const value = given(params, name);
  return value === undefined ? otherwise : readBool(name, value);
};

export function readInt(name: string, text: string): number {
  if (/^-?\d{1,19}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new CliFailure(`Failed to parse parameter '${name}': expecting an integer`);
}

export function readFloat(name: string, text: string): number {
  if (/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  throw new CliFailure(`Failed to parse parameter '${name}': expecting a float`);
}

const UNITS: Record<string, number> = { bytes: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** A size, in bytes or with a unit. */
export function readBytes(name: string, text: string): number {
  const [, digits, unit] = /^\s*(-?\d+)\s*([a-zA-Z]*)\s*$/.exec(text) ?? [];
  const wrong = (why: string): never => {
    throw new CliFailure(`Failed to parse field '${name}': ${why}`);
  };
  if (digits === undefined) return wrong('expecting an integer (possibly with suffix)');
  const factor = unit === '' ? 1 : Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  if (factor === undefined) return wrong(`Unknown suffix: '${unit}' (try KiB, MiB, GiB or TiB)`);
  const value = Number(digits) * factor;
  return Number.isSafeInteger(value) ? value : wrong('number too big');
}

/** The pairs of `name:key=value`; `name-key=value` is the old way to write it. */
export function mapOf(params: Params, name: string): Record<string, string> {
  const map = Object.create(null) as Record<string, string>;
  for (const [key, value] of params)
    if (key.length > name.length + 1 && (key.startsWith(`${name}:`) || key.startsWith(`${name}-`)))
      map[key.slice(name.length + 1)] = value;
  return map;
}
