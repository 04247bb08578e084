// CONTROL: the commands for administrators. What is not listed here is EINVAL, as an unknown command is.
import type { Quotas } from './domains.ts';
import { QUOTA_HELP } from './domains.ts';
import type { Call } from './messages.ts';
import type { Store } from './store.ts';
import { numberArgument, packStrings, unpackStrings, XsError } from './wire.ts';

const USAGE = 'check\nhelp\nprint <text>\nquota [<domid> | set <name> <value>]\n';
const QUOTA_NAMES = Object.keys(QUOTA_HELP) as (keyof Quotas)[];

const line = (name: string, value: number, width: number): string =>
  `${name.padEnd(width)}: ${String(value).padStart(8)}`;

function domainUsage(store: Store, domid: number): string {
  const domain = store.domains.peek(domid);
  if (!domain) throw new XsError('ENOENT', 'no such domain');
  const own = [...store.connections].filter((each) => each.domid === domid && !each.privileged);
  const sum = (value: (each: (typeof own)[number]) => number) => own.reduce((total, each) => total + value(each), 0);
  const rows: [string, number][] = [
    ['nodes', domain.nodes],
    ['watches', sum((each) => each.watches.size)],
    ['transactions', sum((each) => each.transactions.size)],
    ['outstanding', sum((each) => each.outstanding)],
    ['memory', domain.memory + domain.watchMemory],
  ];
  return `Domain ${domid}:\n${rows.map(([name, value]) => line(name, value, 16)).join('\n')}\n`;
}

function quota(store: Store, args: string[]): string {
  if (args.length === 0) {
    const rows = QUOTA_NAMES.map((name) => `${line(name, store.quotas[name], 17)} ${QUOTA_HELP[name]}`);
    return `Quota settings:\n${rows.join('\n')}\n`;
  }
  if (args.length === 1) return domainUsage(store, numberArgument(args[0], 0x7fff));
  const name = QUOTA_NAMES.find((each) => each === args[1]);
  if (args[0] !== 'set' || args.length !== 3 || !name) throw new XsError('EINVAL', 'quota');
  store.quotas[name] = numberArgument(args[2], 0x7fffffff);
  return 'OK';
}

export function control(call: Call): Uint8Array {
  const { store } = call;
  const [command, ...args] = unpackStrings(call.payload);
  const run: Record<string, () => string> = {
    check: () => store.check().join('\n') || 'OK',
    help: () => USAGE,
    print: () => {
      if (args.length !== 1) throw new XsError('EINVAL', 'print');
      store.options.onPrint?.(args[0]!);
      return 'OK';
    },
    quota: () => quota(store, args),
  };
  const action = command !== undefined && Object.hasOwn(run, command) ? run[command] : undefined;
  if (!action) throw new XsError('EINVAL', 'unknown command');
  return packStrings(action());
}
