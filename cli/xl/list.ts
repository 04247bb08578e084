// `xl list` and the other tables of domains. The columns are Xen's: programs read them.
import {
  SHUTDOWN_crash,
  XEN_DOMINF_blocked,
  XEN_DOMINF_dying,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
} from '../../spec/abi/constants.ts';
import { libxlJson } from '../../toolstack/config/index.ts';
import type { ListedDomain, Xl } from './context.ts';
import { Failure, Misuse, type Given, type Verb } from './verb.ts';

const KIB_PER_PAGE = 4;

export const memoryMib = (d: ListedDomain): number => Math.floor((d.pages * KIB_PER_PAGE) / 1024);
export const seconds = (ns: number): string => (ns / 1e9).toFixed(1);
export const nameOf = (d: ListedDomain): string => d.name ?? '(null)';

/** The six letters of `xl list`: running, blocked, paused, shut down, crashed, dying. */
export function stateLetters({ flags, shutdown }: Pick<ListedDomain, 'flags' | 'shutdown'>): string {
  const stopped = (flags & XEN_DOMINF_shutdown) !== 0;
  // Of a domain that has stopped or is held, Xen does not say whether it waited for something.
  const held = stopped || (flags & (XEN_DOMINF_paused | XEN_DOMINF_dying)) !== 0;
  const letters: [string, boolean][] = [
    ['r', (flags & XEN_DOMINF_running) !== 0 && !held],
    ['b', (flags & XEN_DOMINF_blocked) !== 0 && !held],
    ['p', (flags & XEN_DOMINF_paused) !== 0],
    ['s', stopped],
    ['c', stopped && shutdown === SHUTDOWN_crash],
    ['d', (flags & XEN_DOMINF_dying) !== 0],
  ];
  return letters.map(([letter, on]) => (on ? letter : '-')).join('');
}

const HEAD = 'Name                                        ID   Mem VCPUs\tState\tTime(s)';

export function basicRow(d: ListedDomain): string {
  const numbers = [d.domid, memoryMib(d), d.onlineVcpus].map((n) => String(n).padStart(5)).join(' ');
  return `${nameOf(d).padEnd(40)} ${numbers}     ${stateLetters(d)}  ${seconds(d.cpuTime).padStart(8)}`;
}

export interface Columns {
  verbose: boolean;
  context: boolean;
  cpupool: boolean;
  numa: boolean;
}

export function listTable(domains: readonly ListedDomain[], columns: Columns): string[] {
  const { verbose, context, cpupool, numa } = columns;
  let head = HEAD;
  if (verbose) head += '   UUID                            Reason-Code\tSecurity Label';
  else if (context) head += '   Security Label';
  if (cpupool) head += '         Cpupool';
  if (numa) head += ' NODE Affinity';
  const row = (d: ListedDomain): string => {
    let text = basicRow(d);
    // There is no FLASK, so nobody has a label that says something.
    const label = '-'.padStart(16);
    if (verbose) text += ` ${d.uuid} ${(d.shutdown === null ? '-' : d.shutdown.toString(16)).padStart(8)}`;
    if (verbose || context) text += ` ${label}`;
    if (cpupool) text += 'Pool-0'.padStart(16);
    if (numa) text += ' all';
    return text;
  };
  return [head, ...domains.map(row)];
}

async function list(xl: Xl, { options, args }: Given): Promise<number> {
  if (args.length > 1) throw new Misuse('xl list takes one domain at most.');
  const domains = args.length === 1 ? [await xl.domain(args[0]!)] : await xl.domains();
  if (options.has('long')) return long(xl, domains);
  const columns = {
    verbose: options.has('verbose'),
    context: options.has('context'),
    cpupool: options.has('cpupool'),
    numa: options.has('numa'),
  };
  for (const line of listTable(domains, columns)) xl.out(line);
  return 0;
}

/** A dying domain has no configuration any more. */
async function long(xl: Xl, domains: readonly ListedDomain[]): Promise<number> {
  const named = domains.filter(({ name }) => name !== null);
  const configs = await Promise.all(named.map(({ domid }) => xl.call('domain.config', { domid })));
  xl.out(`${libxlJson(configs)}\n`);
  return 0;
}

async function vmList(xl: Xl): Promise<number> {
  xl.out('UUID                                  ID    name');
  for (const d of await xl.domains()) xl.out(`${d.uuid}  ${d.domid}    ${nameOf(d).padEnd(30)}`);
  return 0;
}

async function domid(xl: Xl, { args }: Given): Promise<number> {
  const found = (await xl.domains()).find(({ name }) => name === args[0]);
  if (!found) throw new Failure(`Can't get domid of domain name '${args[0]}', maybe this domain does not exist.`);
  xl.out(String(found.domid));
  return 0;
}

async function domname(xl: Xl, { args }: Given): Promise<number> {
  if (!/^\d+$/.test(args[0]!)) throw new Failure('Invalid domain id.\n');
  const found = (await xl.domains()).find((d) => d.domid === Number(args[0]));
  if (!found || found.name === null)
    throw new Failure(`Can't get domain name of domain id '${args[0]}', maybe this domain does not exist.`);
  xl.out(found.name);
  return 0;
}

async function claims(xl: Xl): Promise<number> {
  xl.out(`${HEAD}  Claimed`);
  // Memory is taken at once when a domain is made: nothing is ever claimed before.
  for (const d of await xl.domains()) xl.out(`${basicRow(d)} ${'0'.padStart(5)}`);
  return 0;
}

async function sharing(xl: Xl, { args }: Given): Promise<number> {
  const domains = args.length > 0 ? [await xl.domain(args[0]!)] : await xl.domains();
  xl.out('Name                                        ID   Mem Shared');
  for (const d of domains) {
    const numbers = `${String(d.domid).padStart(5)} ${String(memoryMib(d)).padStart(5)} ${'0'.padStart(6)}`;
    xl.out(`${nameOf(d).padEnd(40)} ${numbers}`);
  }
  return 0;
}

export const LIST: Verb[] = [
  {
    name: 'list',
    usage: '[options] [Domain]',
    about: 'Show all domains, or one',
    options: [
      { short: 'l', long: 'long', help: 'Show the whole configuration, as JSON.' },
      { short: 'v', long: 'verbose', help: 'Show UUIDs, why a domain stopped, and security labels.' },
      { short: 'Z', long: 'context', help: 'Show security labels.' },
      { short: 'c', long: 'cpupool', help: 'Show the CPU pool.' },
      { short: 'n', long: 'numa', help: 'Show the NUMA nodes that a domain may use.' },
    ],
    completes: 'domain',
    run: list,
  },
  { name: 'vm-list', usage: '', about: 'Show the domains with their UUIDs', run: vmList },
  {
    name: 'domid',
    usage: '<DomainName>',
    about: "Show a domain's number",
    needs: 1,
    completes: 'domain',
    run: domid,
  },
  { name: 'domname', usage: '<DomainId>', about: "Show a domain's name", needs: 1, run: domname },
  { name: 'claims', usage: '', about: 'Show memory that domains have claimed and not yet got', run: claims },
  {
    name: 'sharing',
    usage: '[Domain]',
    about: 'Show memory that domains share',
    completes: 'domain',
    run: sharing,
  },
];
