// `xenolith service list` and `restart`.
import { resolve } from 'node:path';
import type { ServiceStatus } from '../../toolstack/host/service.ts';
import { parse, UsageError } from '../options.ts';
import { onHost } from './main.ts';
import { defaultState } from './options.ts';

const HELP = `usage: xenolith service list [--state DIR]
       xenolith service restart NAME [--state DIR]

list: shows the host's service workers: their domain, what they serve, how often they were started again, and for how
      long nobody served then.
restart: ends a service's worker in the middle of whatever it does; the next one goes on where it was, and guests
      notice nothing but the pause.

exit code: 0 done; 1 there is no host, or no such service; 64 wrong usage
`;

const OPTIONS = { state: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;

export async function serviceCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, OPTIONS);
  const given = values as { state?: string; help?: boolean };
  if (given.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [what, name, ...rest] = positionals;
  const good = (what === 'list' && name === undefined) || (what === 'restart' && name !== undefined);
  if (!good || rest.length > 0)
    throw new UsageError('service takes `list`, or `restart` and a name: `xenolith service --help` says more.');
  return onHost(given.state === undefined ? defaultState() : resolve(given.state), async (client) => {
    if (what === 'restart') await client.call('service.restart', { name });
    else list(await client.call<ServiceStatus[]>('service.list'));
    return 0;
  });
}

function list(services: readonly ServiceStatus[]): void {
  const rows = [
    ['NAME', 'DOMID', 'STATE', 'DEVICES', 'RESTARTS', 'LAST-GAP'],
    ...services.map(({ name, domid, state, devices, restarts, gapMs }) => {
      const gap = restarts === 0 ? '-' : `${gapMs.toFixed(0)} ms`;
      return [name, String(domid), state, String(devices), String(restarts), gap];
    }),
  ];
  for (const row of rows) process.stdout.write(`${row.map((cell) => cell.padEnd(9)).join(' ').trimEnd()}\n`); // prettier-ignore
}
