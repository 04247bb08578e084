// The command lines of `xenolith up`, `down` and `status`.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { number, parse, UsageError } from '../options.ts';

export interface HostOptions {
  command: 'up' | 'down' | 'status';
  state: string;
  /** MiB for guests */
  memory: number;
  detach: boolean;
  /** seconds that guests get to shut down */
  timeout: number;
  /** Where XenAPI is served, by TLS. */
  xenapi: Address | undefined;
}

export interface Address {
  host: string;
  port: number;
}

/** `PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; an address alone is this machine's own. */
export function address(option: string, text: string): Address {
  const match = /^(?:\[([0-9a-f:.]+)\]:|([\w.-]+):)?(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65535)
    throw new UsageError(`--${option} takes a port, or an address and a port such as 0.0.0.0:443, not '${text}'.`);
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}

const MIN_MEMORY_MIB = 16;
/** The host's own tables and 4 GiB of address space leave this. */
const MAX_MEMORY_MIB = 3900;
const DEFAULT_MEMORY_MIB = 2048;
const DEFAULT_TIMEOUT_S = 30;
const MAX_TIMEOUT_S = 3600;

/** Where a host's files are when nobody says otherwise. */
export function defaultState(env: NodeJS.ProcessEnv = process.env): string {
  if (env.XENOLITH_STATE) return resolve(env.XENOLITH_STATE);
  return join(env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'xenolith');
}

const STATE = {
  type: 'string',
  value: 'DIR',
  help: "the host's folder ($XENOLITH_STATE, else ~/.local/state/xenolith)",
} as const;
const HELP = { type: 'boolean', short: 'h', help: 'show this' } as const;
const OPTIONS = {
  up: {
    state: STATE,
    memory: {
      type: 'string',
      value: 'MIB',
      help: `memory for guests, ${MIN_MEMORY_MIB} to ${MAX_MEMORY_MIB} (${DEFAULT_MEMORY_MIB})`,
    },
    detach: { type: 'boolean', help: 'return when the host is ready; it stays until `xenolith down`' },
    xenapi: { type: 'string', value: '[ADDR:]PORT', help: 'serve XenAPI there, by TLS (address: 127.0.0.1)' },
    help: HELP,
  },
  down: {
    state: STATE,
    timeout: {
      type: 'string',
      value: 'SECONDS',
      help: `what guests get to shut down (${DEFAULT_TIMEOUT_S}); then they are destroyed`,
    },
    force: { type: 'boolean', help: 'destroy the guests at once' },
    help: HELP,
  },
  status: { state: STATE, help: HELP },
} as const;

const ABOUT = {
  up: ['starts a host, on which `xl` creates guests. Without --detach it stays in the foreground; Ctrl-C ends it.'],
  down: ['ends the host: guests that know how shut down, the others are destroyed.'],
  status: ['says whether a host runs, what it has, and the variable by which xenstore tools find it.'],
};

export function hostHelp(command: HostOptions['command']): string {
  const line = ([name, option]: [string, { value?: string; help: string }]) =>
    `  --${name}${option.value ? ` ${option.value}` : ''}`.padEnd(24) + option.help;
  return [
    `usage: xenolith ${command} [options]`,
    '',
    `${command}: ${ABOUT[command].join('\n')}`,
    '',
    ...Object.entries(OPTIONS[command]).map(line),
    '',
    'exit code: 0 done; 1 there is no host, there is one already, or it failed; 64 wrong usage',
    '',
  ].join('\n');
}

/** Undefined: help is wanted. */
export function parseHost(args: string[]): HostOptions | undefined {
  const command = args[0] as HostOptions['command'];
  const { values, positionals } = parse(args.slice(1), OPTIONS[command]);
  const given = values as {
    state?: string;
    memory?: string;
    detach?: boolean;
    timeout?: string;
    force?: boolean;
    xenapi?: string;
    help?: boolean;
  };
  if (given.help) return undefined;
  if (positionals.length > 0)
    throw new UsageError(
      `Nothing is known of '${positionals[0]}': \`xenolith ${command} --help\` shows what there is.`,
    );
  return {
    command,
    state: given.state === undefined ? defaultState() : resolve(given.state),
    memory: number('memory', given.memory ?? String(DEFAULT_MEMORY_MIB), MIN_MEMORY_MIB, MAX_MEMORY_MIB, true),
    detach: given.detach ?? false,
    xenapi: given.xenapi === undefined ? undefined : address('xenapi', given.xenapi),
    timeout: given.force ? 0 : number('timeout', given.timeout ?? String(DEFAULT_TIMEOUT_S), 0, MAX_TIMEOUT_S, false),
  };
}
