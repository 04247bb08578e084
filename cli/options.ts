// The command line of `xenolith`.
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Exit codes: what became of the guest, or why it did not start (the last two as in sysexits.h). */
export const EXIT = {
  poweredOff: 0,
  failed: 1,
  rebooted: 3,
  crashed: 4,
  timedOut: 5,
  usage: 64,
  badImage: 65,
} as const;

export const TRACES = ['hypercalls', 'events', 'xenstore', 'insn'] as const;
export type Trace = (typeof TRACES)[number];

const TYPES = ['pvh', 'pv'] as const;
export type GuestType = (typeof TYPES)[number];

export interface RunOptions {
  kernel: string;
  initrd: string | undefined;
  cmdline: string;
  /** MiB */
  memory: number;
  name: string;
  type: GuestType;
  /** seconds */
  timeout: number | undefined;
  deterministic: boolean;
  /** file that gets the statistics as JSON */
  stats: string | undefined;
  trace: Trace[];
  /** file that gets a trace for chrome://tracing and Perfetto */
  traceFile: string | undefined;
  /** loopback port for a debugger; 0: any free one */
  gdb: { port: number; wait: boolean } | undefined;
  /** false: a reboot ends the run */
  reboot: boolean;
}

export interface ProfileOptions {
  /** folder that gets the results */
  out: string;
  /** samples a second */
  hz: number;
  /** further files with symbols, and how far above where they were linked they lie */
  symbols: { file: string; base: bigint }[];
}

export type Command =
  | { command: 'run'; options: RunOptions }
  | { command: 'profile'; options: RunOptions; profile: ProfileOptions }
  | { command: 'symbols'; kernel: string; out: string }
  | { command: 'help' }
  | { command: 'version' };

/** A command line that is not understood: one sentence, exit 64. */
export class UsageError extends Error {}

const MIN_MEMORY_MIB = 16;
const MAX_MEMORY_MIB = 3072;
const MAX_TIMEOUT_S = 2 ** 31 / 1000 - 1; // what a Node timer holds

const RUN = {
  kernel: { type: 'string', value: 'FILE', help: "kernel: bzImage or ELF with Xen's notes (needed)" },
  initrd: { type: 'string', value: 'FILE', help: 'initial RAM disk' },
  cmdline: { type: 'string', value: 'TEXT', help: "the kernel's command line (console=hvc0)" },
  memory: { type: 'string', value: 'MIB', help: `memory in MiB, ${MIN_MEMORY_MIB} to ${MAX_MEMORY_MIB} (256)` },
  name: { type: 'string', value: 'NAME', help: "the domain's name (guest)" },
  type: { type: 'string', value: TYPES.join('|'), help: `guest type (${TYPES[0]})` },
  timeout: { type: 'string', value: 'SECONDS', help: 'give up after this time: exit code 5' },
  deterministic: { type: 'boolean', help: 'time from the instruction count: equal runs give equal output' },
  'no-reboot': { type: 'boolean', help: 'a reboot ends the run: exit code 3' },
  stats: { type: 'string', value: 'FILE', help: 'write statistics as JSON' },
  trace: {
    type: 'string',
    value: 'WHAT',
    multiple: true,
    help: `show ${TRACES.join(', ')} on stderr; may be repeated`,
  },
  'trace-file': { type: 'string', value: 'FILE', help: 'write a trace for Perfetto or chrome://tracing' },
  gdb: { type: 'string', value: 'PORT', help: 'let gdb connect on 127.0.0.1; the guest waits for it' },
  'no-gdb-wait': { type: 'boolean', help: 'with --gdb: the guest does not wait' },
  'gdb-wait': { type: 'boolean', help: 'with --gdb: the guest waits (as it does anyway)' },
} as const;

const PROFILE = {
  out: { type: 'string', value: 'DIR', help: 'folder for the results (xenolith-profile)' },
  hz: { type: 'string', value: 'N', help: 'samples a second (997)' },
  symbols: {
    type: 'string',
    value: 'FILE[@BASE]',
    multiple: true,
    help: 'names: ELF file or System.map, BASE added to its addresses; may be repeated',
  },
} as const;

const BOTH = {
  help: { type: 'boolean', short: 'h', help: 'show this' },
  version: { type: 'boolean', help: 'show the version' },
} as const;

export function helpText(): string {
  const line = ([name, option]: [string, { value?: string; help: string }]) =>
    `  --${name}${option.value ? ` ${option.value}` : ''}`.padEnd(24) + option.help;
  return [
    'usage: xenolith run --kernel FILE [options]',
    '       xenolith profile --kernel FILE [options] [profile options]',
    '       xenolith symbols --kernel FILE --out FILE',
    '       xenolith up [--memory MIB] [--detach] [--xenapi PORT] | down | status',
    '       xenolith simulate [options]',
    '       xenolith xe COMMAND [parameters]',
    '       xenolith image build | create | info | check | convert | resize | snapshot | serve | seed …',
    '       xenolith net list | create | remove | forward | unforward | capture',
    '       xenolith user list | password NAME | remove NAME',
    '       xenolith database dump FILE | restore FILE',
    '       xenolith service list | restart NAME',
    '',
    'run: runs a Xen guest with its console on this terminal; Ctrl-] leaves it.',
    'profile: does the same and says where the time went: a table, a flame graph, folded stacks.',
    "symbols: writes a kernel's own symbols as an ELF file, for gdb's symbol-file command.",
    'image: makes, copies, checks and resizes disk images; `xenolith image --help` says more.',
    'up, down, status: a host for many guests, which `xl` creates and looks after; `xenolith up --help` says more.',
    'simulate: XenAPI of a host that is not there, for who writes clients; `xenolith simulate --help` says more.',
    "xe: XenAPI's command for hosts, pools and virtual machines; `xenolith xe help` says more.",
    'net: the networks of a host; `xenolith net --help` says more.',
    "user, database: XenAPI's local users, and its objects as a file; `xenolith user --help` says more.",
    'service: the threads that serve its guests; `xenolith service --help` says more.',
    '',
    ...Object.entries({ ...RUN, ...BOTH }).map(line),
    '',
    'profile options:',
    ...Object.entries(PROFILE).map(line),
    '',
    'exit code: 0 the guest powered off, 3 rebooted under --no-reboot, 4 crashed, 5 time-out;',
    '           1 xenolith failed, 64 wrong usage, 65 no image that can be booted',
    '',
  ].join('\n');
}

/** Node's messages name the option in their first sentence; what follows is advice for other programs. */
function complaint(message: string): string {
  const [first] = message.split(/\. |\n/);
  const [, option] = /^Option '(--[\w-]+)(?: <value>)?' argument (?:missing|is ambiguous)/.exec(first) ?? [];
  return option ? `${option} needs a value (one that begins with a dash as ${option}=VALUE)` : first.replace(/\.$/, '');
}

export function parse<T extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(`${complaint((error as Error).message)}: \`xenolith --help\` shows what there is.`);
  }
}

export function number(name: string, text: string, minimum: number, maximum: number, whole: boolean): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (!(value >= minimum && value <= maximum) || (whole && !Number.isInteger(value))) {
    const kind = whole ? 'a whole number' : 'a number';
    throw new UsageError(`--${name} takes ${kind} from ${minimum} to ${Math.floor(maximum)}, not '${text}'.`);
  }
  return value;
}

function guestType(text: string): GuestType {
  const known = TYPES.find((type) => type === text);
  if (known) return known;
  throw new UsageError(`--type takes ${TYPES.join(' or ')}, not '${text}'.`);
}

function traces(list: string[]): Trace[] {
  const known = (name: string): name is Trace => (TRACES as readonly string[]).includes(name);
  const names = list.flatMap((item) => item.split(','));
  for (const name of names) {
    if (!known(name)) throw new UsageError(`--trace takes ${TRACES.join(', ')}, not '${name}'.`);
  }
  return [...new Set(names.filter(known))];
}

/** `symbols` has two options of its own. */
function parseSymbols(args: string[]): Command {
  const { values, positionals } = parse(args, { kernel: RUN.kernel, out: PROFILE.out, ...BOTH });
  if (values.help) return { command: 'help' };
  if (positionals.length > 1)
    throw new UsageError(`Nothing is known of '${positionals[1]}': a value follows its option.`);
  if (!values.kernel) throw new UsageError('--kernel is missing: name a kernel file.');
  if (!values.out) throw new UsageError('--out is missing: name the file to write.');
  return { command: 'symbols', kernel: values.kernel, out: values.out };
}

/** `FILE` or `FILE@BASE`, BASE hexadecimal with 0x or without. */
function symbolFile(text: string): { file: string; base: bigint } {
  const [, file, base] = /^(.+?)(?:@(?:0x)?([0-9a-f]{1,16}))?$/i.exec(text) ?? [];
  if (file === undefined) throw new UsageError('--symbols takes FILE or FILE@BASE.');
  return { file, base: BigInt(`0x${base ?? '0'}`) };
}

const MAX_HZ = 10_000;

/** Reads the arguments after the program's name. */
export function parseCommand(args: string[]): Command {
  if (args[0] === 'symbols') return parseSymbols(args);
  const profiling = args[0] === 'profile';
  const { values, positionals } = parse(args, { ...RUN, ...BOTH, ...(profiling ? PROFILE : {}) });
  if (values.help) return { command: 'help' };
  if (values.version) return { command: 'version' };
  const [command, ...rest] = positionals;
  if (command === undefined) throw new UsageError('No command given: `xenolith run --kernel FILE` starts a guest.');
  if (command !== 'run' && command !== 'profile')
    throw new UsageError(`There is no command '${command}': \`xenolith --help\` shows what there is.`);
  if (rest.length > 0) throw new UsageError(`Nothing is known of '${rest[0]}': a value follows its option.`);
  if (!values.kernel) throw new UsageError('--kernel is missing: name a kernel file.');
  const { name = 'guest' } = values;
  const type = guestType(values.type ?? TYPES[0]);
  if (!/^[\w.+-]{1,64}$/.test(name)) {
    throw new UsageError("--name takes up to 64 letters, digits and '.', '_', '+', '-'.");
  }
  const options: RunOptions = {
    kernel: values.kernel,
    initrd: values.initrd,
    cmdline: values.cmdline ?? 'console=hvc0',
    memory: number('memory', values.memory ?? '256', MIN_MEMORY_MIB, MAX_MEMORY_MIB, true),
    name,
    type,
    timeout: values.timeout === undefined ? undefined : number('timeout', values.timeout, 0.001, MAX_TIMEOUT_S, false),
    deterministic: values.deterministic ?? false,
    stats: values.stats,
    trace: traces(values.trace ?? []),
    traceFile: values['trace-file'],
    gdb:
      values.gdb === undefined
        ? undefined
        : { port: number('gdb', values.gdb, 0, 65535, true), wait: !values['no-gdb-wait'] },
    reboot: !values['no-reboot'],
  };
  if (command === 'run') return { command, options };
  const { out = 'xenolith-profile', hz = '997', symbols = [] } = values as Partial<Profiling>;
  const profile = { out, hz: number('hz', hz, 1, MAX_HZ, true), symbols: symbols.map(symbolFile) };
  return { command, options, profile };
}

interface Profiling {
  out: string;
  hz: string;
  symbols: string[];
}
