// The command line of `xenolith net`.
import { resolve } from 'node:path';
import { defaultState } from '../host/options.ts';
import { parse, UsageError } from '../options.ts';

export type NetCommand = { state: string } & (
  | { verb: 'list'; json: boolean }
  | { verb: 'create'; network: { name: string; subnet4?: string; subnet6?: string; hostLoopback: boolean; outside: boolean; isolated: boolean; dns?: string } } // prettier-ignore
  | { verb: 'remove'; name: string }
  | { verb: 'forward' | 'unforward'; forward: { name: string; forward: string } }
  | { verb: 'capture'; file: string; params: { name: string; domid?: number; devid?: number; snapLength?: number; count?: number } }
); // prettier-ignore

const OPTIONS = {
  state: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
  subnet: { type: 'string' },
  subnet6: { type: 'string' },
  'host-loopback': { type: 'boolean' },
  closed: { type: 'boolean' },
  isolated: { type: 'boolean' },
  dns: { type: 'string' },
  write: { type: 'string', short: 'w' },
  domain: { type: 'string' },
  devid: { type: 'string' },
  snaplen: { type: 'string', short: 's' },
  count: { type: 'string', short: 'c' },
} as const;

/** What each verb takes: its options, and how many words. */
const VERBS: Readonly<Record<string, { options: readonly string[]; words: readonly string[] }>> = {
  list: { options: ['json'], words: [] },
  create: { options: ['subnet', 'subnet6', 'host-loopback', 'closed', 'isolated', 'dns'], words: ['NAME'] },
  remove: { options: [], words: ['NAME'] },
  forward: { options: [], words: ['NAME', 'FORWARD'] },
  unforward: { options: [], words: ['NAME', 'FORWARD'] },
  capture: { options: ['write', 'domain', 'devid', 'snaplen', 'count'], words: ['NAME'] },
};

export function netHelp(): string {
  return `usage: xenolith net VERB [options] ...

The networks of a host. A guest is put on one by vif = ["bridge=NAME"]; xenbr0 is there from the first use on.

  list [--json]                     show networks, their forwarded ports and interfaces
  create NAME                       make a network
    --subnet ADDRESS/BITS             its IPv4 addresses (the next free of 10.0.2.0/24, 10.0.3.0/24, …)
    --subnet6 ADDRESS/64              its IPv6 addresses (of fd00:10:0:2::/64, …)
    --host-loopback                   its gateway's address leads to the host's loopback
    --closed                          guests reach no other machines
    --isolated                        no gateway at all: guests reach each other
    --dns ADDRESS[:PORT]              the name server (the host's first one)
  remove NAME                       remove a network that no guest is on
  forward NAME [tcp:|udp:][ADDRESS:]PORT:GUEST:PORT
                                    have a port of the host (of its loopback, unless an address is given) lead to a guest's
  unforward NAME FORWARD            end that
  capture NAME                      write what passes, as pcapng, until Ctrl-C
    -w, --write FILE                  where to (-: standard output)
    --domain N, --devid N             of one interface only
    -c, --count N                     so many frames
    -s, --snaplen N                   so many bytes of each
  --state DIR                       the host's folder ($XENOLITH_STATE, else ~/.local/state/xenolith)

exit code: 0 done; 1 there is no host, or it refuses; 64 wrong usage
`;
}

/** Undefined: help is wanted. */
export function parseNet(args: string[]): NetCommand | undefined {
  const { values, positionals } = parse(args.slice(1), OPTIONS);
  const given = values as Record<string, string | boolean | undefined>;
  const [verb, ...words] = positionals;
  if (given.help || (verb === undefined && Object.keys(given).length === 0)) return undefined;
  const known = verb === undefined ? undefined : VERBS[verb];
  if (!known)
    throw new UsageError(`Nothing is known of 'net ${verb ?? ''}': \`xenolith net --help\` shows what there is.`);
  if (words.length !== known.words.length)
    throw new UsageError(
      `net ${verb} takes ${known.words.join(' ') || 'no further words'}: \`xenolith net --help\` shows more.`,
    );
  const odd = Object.keys(given).find((key) => key !== 'state' && !known.options.includes(key));
  if (odd !== undefined)
    throw new UsageError(`net ${verb} takes no --${odd}: \`xenolith net --help\` shows what it takes.`);
  const state = typeof given.state === 'string' ? resolve(given.state) : defaultState();
  return { state, ...command(verb!, words, given) };
}

function command(verb: string, words: string[], given: Record<string, string | boolean | undefined>) {
  const text = (key: string) => given[key] as string | undefined;
  const [name = '', forward = ''] = words;
  switch (verb) {
    case 'list':
      return { verb, json: given.json === true } as const;
    case 'create': {
      const flags = { hostLoopback: given['host-loopback'] === true, outside: given.closed !== true, isolated: given.isolated === true }; // prettier-ignore
      const [subnet4, subnet6, dns] = [text('subnet'), text('subnet6'), text('dns')];
      return { verb, network: { name, ...flags, ...(subnet4 && { subnet4 }), ...(subnet6 && { subnet6 }), ...(dns && { dns }) } } as const; // prettier-ignore
    }
    case 'remove':
      return { verb, name } as const;
    case 'forward':
    case 'unforward':
      return { verb, forward: { name, forward } } as const;
    default: {
      const counts = { domid: count('domain', text('domain')), devid: count('devid', text('devid')), snapLength: count('snaplen', text('snaplen')), count: count('count', text('count')) }; // prettier-ignore
      const params = Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== undefined));
      return { verb: 'capture', file: text('write') ?? '-', params: { name, ...params } } as const;
    }
  }
}

function count(key: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--${key} is a number, not '${text}'.`);
}
