// CONTROL: the commands for administrators. A command that is not known, or that this store's owner has not provided for, is EINVAL.
import { memoryOf, QUOTA_HELP, QUOTA_NAMES } from './domains.ts';
import type { Call } from './messages.ts';
import type { Store } from './store.ts';
import { numberArgument, packStrings, unpackStrings, XsError } from './wire.ts';

/** What CONTROL does beyond the store itself: whoever owns files and the process provides it. */
export interface Administration {
  /** Every message from now on, or no longer, in the log. */
  log?(store: Store, on: boolean): void;
  logfile?(name: string): void;
  /** A report on memory, for the log or for a file. */
  memreport?(text: string, file: string | undefined): void;
  /** Restarts the service in place, when it may: soon, not during this call. */
  liveUpdate?(): void;
}

interface Command {
  readonly usage: string;
  /** Fewest and most arguments. */
  readonly count: readonly [number, number];
  readonly run: (store: Store, args: string[]) => string;
}

const QUOTA_MAX = 0x7fffffff;
const DOMID_MAX = 0x7fff;

const line = (name: string, value: number, width: number): string =>
  `${name.padEnd(width)}: ${String(value).padStart(8)}`;

function domainUsage(store: Store, domid: number): string {
  const domain = store.domains.peek(domid);
  if (!domain) throw new XsError('ENOENT', 'no such domain');
  const own = [...store.connections].filter((each) => each.domid === domid && (domid === 0 || !each.privileged));
  const sum = (value: (each: (typeof own)[number]) => number) => own.reduce((total, each) => total + value(each), 0);
  const rows: [string, number][] = [
    ['nodes', domain.nodes],
    ['watches', sum((each) => each.watches.size)],
    ['transactions', sum((each) => each.transactions.size)],
    ['outstanding', sum((each) => each.outstanding)],
    ['memory', memoryOf(domain)],
  ];
  return `Domain ${domid}:\n${rows.map(([name, value]) => line(name, value, 16)).join('\n')}\n`;
}

function quota(store: Store, args: string[]): string {
  if (args.length === 0) {
    const rows = QUOTA_NAMES.map((name) => `${line(name, store.quotas[name], 17)} ${QUOTA_HELP[name]}`);
    return `Quota settings:\n${rows.join('\n')}\n`;
  }
  if (args.length === 1) return domainUsage(store, numberArgument(args[0], DOMID_MAX));
  const name = QUOTA_NAMES.find((each) => each === args[1]);
  if (args[0] !== 'set' || args.length !== 3 || !name) throw new XsError('EINVAL', 'quota');
  store.quotas[name] = numberArgument(args[2], QUOTA_MAX);
  return 'OK';
}

function softQuota(store: Store, args: string[]): string {
  if (args.length === 0) return `Quota settings:\n${line('memory', store.softMemory, 17)} ${SOFT_HELP}\n`;
  if (args[0] !== 'set' || args.length !== 3 || args[1] !== 'memory') throw new XsError('EINVAL', 'quota-soft');
  store.softMemory = numberArgument(args[2], QUOTA_MAX);
  return 'OK';
}

const SOFT_HELP = 'bytes a domain may take in the store before a warning';

/** What takes memory here, domain by domain. */
function memoryReport(store: Store): string {
  const domains = [...store.domains.all()].sort((a, b) => a.domid - b.domid);
  const transactions = [...store.connections].reduce((sum, each) => sum + each.transactions.size, 0);
  const totals = `${store.tree.size} nodes, ${store.connections.size} connections, ${transactions} transactions\n`;
  return totals + domains.map(({ domid }) => domainUsage(store, domid)).join('');
}

function administer<T>(action: T | undefined): T {
  if (!action) throw new XsError('EINVAL', 'nobody here does that');
  return action;
}

/** Xen's tool sends the steps of its own update one by one. The program to come is always ours, so there is but one step. */
function liveUpdate(store: Store, [step, ...options]: string[]): string {
  const restart = administer(store.administration.liveUpdate);
  if (step === '-a') return 'OK';
  if (step !== '-s') return 'the store restarts with its own program: there is nothing to load (use -s alone)';
  const force = options.includes('-F');
  const busy = [...store.connections].some((each) => each.transactions.size > 0);
  const timeout = options[options.indexOf('-t') + 1];
  if (options.includes('-t')) numberArgument(timeout, QUOTA_MAX);
  if (busy && !force) return 'BUSY';
  restart();
  return 'OK';
}

const COMMANDS: Readonly<Record<string, Command>> = {
  check: { usage: '', count: [0, 0], run: (store) => store.check().join('\n') || 'OK' },
  log: {
    usage: 'on|off',
    count: [1, 1],
    run: (store, [state]) => {
      if (state !== 'on' && state !== 'off') throw new XsError('EINVAL', 'on or off expected');
      administer(store.administration.log)(store, state === 'on');
      return 'OK';
    },
  },
  'live-update': { usage: '-s [-t <seconds>] [-F] | -a', count: [1, 4], run: liveUpdate },
  logfile: {
    usage: '<file>',
    count: [1, 1],
    run: (store, [name]) => {
      administer(store.administration.logfile)(name!);
      return 'OK';
    },
  },
  memreport: {
    usage: '[<file>]',
    count: [0, 1],
    run: (store, [file]) => {
      administer(store.administration.memreport)(memoryReport(store), file);
      return 'OK';
    },
  },
  print: {
    usage: '<text>',
    count: [1, 1],
    run: (store, [text]) => {
      store.options.onPrint?.(text!);
      return 'OK';
    },
  },
  quota: { usage: '[<domid> | set <name> <value>]', count: [0, 3], run: quota },
  'quota-soft': { usage: '[set <name> <value>]', count: [0, 3], run: softQuota },
  help: { usage: '', count: [0, 0], run: () => USAGE },
};

const USAGE = Object.entries(COMMANDS)
  .map(([name, { usage }]) => `${name}\t${usage}\n`)
  .join('');

export function control({ store, payload }: Call): string {
  const [name, ...args] = unpackStrings(payload);
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command || args.length < command.count[0] || args.length > command.count[1]) {
    throw new XsError('EINVAL', 'unknown command, or not its arguments');
  }
  return packStrings(command.run(store, args));
}
