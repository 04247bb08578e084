// `xl sched-*`, `cpupool-*`: there is one pool, and a scheduler without parameters.
import type { HostInfo } from '../../toolstack/host/inquiries.ts';
import { schedulerName } from './host_info.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

/** As Xen's xl: nothing is listed for a scheduler that is not in use; to set what it has not is an error. */
const schedule =
  (name: string) =>
  async (xl: Xl, { options }: Given): Promise<number> => {
    const given = options.get('domain');
    if (typeof given === 'string') await xl.domain(given);
    const used = schedulerName((await xl.call<HostInfo>('host.info')).scheduler);
    if (given !== undefined || [...options.keys()].some((key) => key !== 'schedparam' && key !== 'cpupool'))
      throw new Failure(`xl: the ${name} scheduler is not in use: this host's is ${used}, which has no parameters.`);
    return 0;
  };

const verb = (name: string, options: [short: string, long: string, help: string][]): Verb => ({
  name: `sched-${name}`,
  usage: '[options]',
  about: `Show or set parameters of the ${name} scheduler (another one is in use)`,
  options: [
    { short: 'd', long: 'domain', value: 'DOMAIN', help: 'The domain.' },
    { short: 's', long: 'schedparam', help: "The scheduler's own parameters." },
    { short: 'p', long: 'cpupool', value: 'CPUPOOL', help: 'Of this pool only.' },
    ...options.map(([short, long, help]) => ({ short, long, value: 'N', help })),
  ],
  run: schedule(name),
});

const POOL = 'Pool-0';

async function poolList(xl: Xl, { args, options }: Given): Promise<number> {
  if (args.length > 0 && args[0] !== POOL) throw new Failure(`Pool '${args[0]}' does not exist`);
  const { physical, scheduler } = await xl.call<HostInfo>('host.info');
  const name = POOL.padEnd(19);
  if (options.has('cpus')) {
    xl.out('Name               CPU list');
    xl.out(`${name}${Array.from({ length: physical.cpus }, (_, i) => i).join(',')}`);
    return 0;
  }
  const domains = await xl.domains();
  const sched = schedulerName(scheduler);
  xl.out('Name               CPUs   Sched     Active   Domain count');
  xl.out(
    `${name}${String(physical.cpus).padStart(3)} ${sched.padStart(9)}       y ${String(domains.length).padStart(10)}`,
  );
  return 0;
}

const refused = (name: string, usage: string, about: string): Verb => ({
  name,
  usage,
  about: `${about} (there is one pool)`,
  run: () => {
    throw new Failure(`xl: ${name} is not supported: this host has one pool, ${POOL}, with all pCPUs.`);
  },
});

export const SCHEDULING: Verb[] = [
  verb('credit', [
    ['w', 'weight', 'Its weight.'],
    ['c', 'cap', 'Its cap.'],
  ]),
  verb('credit2', [
    ['w', 'weight', 'Its weight.'],
    ['c', 'cap', 'Its cap.'],
    ['r', 'ratelimit_us', 'The rate limit.'],
  ]),
  verb('rtds', [
    ['v', 'vcpuid', 'The vCPU.'],
    ['b', 'budget', 'Its budget.'],
  ]),
  {
    name: 'cpupool-list',
    usage: '[-c|--cpus] [<CPU Pool>]',
    about: 'Show the CPU pools',
    options: [{ short: 'c', long: 'cpus', help: 'Show the CPUs of each.' }],
    run: poolList,
  },
  refused('cpupool-create', '[options] [<ConfigFile>] [KEY=VALUE ...]', 'Create a CPU pool'),
  refused('cpupool-destroy', '<CPU Pool>', 'Remove a CPU pool'),
  refused('cpupool-rename', '<CPU Pool> <new name>', 'Rename a CPU pool'),
  refused('cpupool-cpu-add', '<CPU Pool> <CPU nr>|node:<node nr>', 'Give a pool a CPU'),
  refused('cpupool-cpu-remove', '<CPU Pool> <CPU nr>|node:<node nr>', 'Take a CPU from a pool'),
  refused('cpupool-migrate', '<Domain> <CPU Pool>', 'Move a domain to a pool'),
  refused('cpupool-numa-split', '', 'Make a pool of each NUMA node'),
];
